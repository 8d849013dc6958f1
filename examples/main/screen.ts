/** What people see: a table that is drawn again and again in a terminal, and plain lines where there is none. */
import type { Monitor } from "./monitor.ts"

/** Lines of what has happened that stay below the table. */
const NOTES = 8

export class Screen {
  private readonly seconds: number
  private readonly all: number
  private readonly notes: string[] = []
  private readonly live: boolean = process.stdout.isTTY
  private readonly began = performance.now()
  private ready = 0
  private frozen = false
  private timer: NodeJS.Timeout | undefined
  private monitor: Monitor | undefined
  /** Lines of the table as it was drawn last. */
  private drawn = 0

  constructor(seconds: number, all: number) {
    this.seconds = seconds
    this.all = all
  }

  /** The show begins. */
  begin(monitor: Monitor): void {
    this.monitor = monitor
    this.ready = performance.now() - this.began
    this.timer = setInterval(() => (this.live ? this.draw() : this.line()), this.live ? 250 : 1000)
  }

  note(text: string): void {
    if (this.frozen) return
    const line = `${this.clock}  ${text}`
    this.notes.push(line)
    if (this.live && this.monitor !== undefined) this.draw()
    else console.log(line)
  }

  /** The table stays as it is: from here on they only leave. */
  freeze(): void {
    clearInterval(this.timer)
    this.frozen = true
  }

  /** Says how it went. */
  end({ accounts, readings, jobs, problems }: Monitor): void {
    this.freeze()
    const { requests = 0, census = 0 } = accounts
    if (problems.length > 0) {
      for (const problem of problems) console.error(`FAILED: ${problem}`)
      return
    }
    console.log(
      `\nAll is well: ${plain(readings)} readings, ${plain(jobs.count)} jobs and ${plain(requests)} requests among ${census} members; nothing lost, nothing twice. They had found each other ${this.ready.toFixed(0)} ms after the first start.`,
    )
  }

  private get clock(): string {
    return `${((performance.now() - this.began) / 1000).toFixed(1).padStart(5)} s`
  }

  private line(): void {
    const { mesh, readings, jobs, says } = this.monitor!
    console.log(
      `${this.clock}  ${mesh.members.size + 1} members, ${plain(readings)} readings, ${plain(jobs.count)} jobs done; office: ${says.get("office") ?? ""}`,
    )
  }

  private draw(): void {
    const { mesh, says, readings, jobs } = this.monitor!
    const members = [...mesh.members.values()].sort((a, b) => a.name.localeCompare(b.name))
    const rows = members.map(({ name, meta, rtt }) =>
      [
        name.padEnd(10),
        word(meta["role"]).padEnd(8),
        word(meta["process"]).padStart(8),
        (rtt === undefined ? "" : `${rtt.toFixed(1)} ms`).padStart(9),
        `  ${says.get(name) ?? ""}`,
      ].join(" "),
    )
    const lines = [
      `Earshot, ${this.clock.trim()} (${this.seconds} s in all): ${members.length + 1} of ${this.all} members, ${plain(readings)} readings, ${plain(jobs.count)} jobs done`,
      "",
      "member     part      process round trip  what it does",
      ...rows,
      ...Array.from({ length: Math.max(0, this.all - 1 - rows.length) }, () => ""),
      "",
      ...this.notes.slice(-NOTES),
    ]
    const width = process.stdout.columns
    const up = this.drawn === 0 ? "" : `\x1b[${this.drawn}A`
    process.stdout.write(`${up}${lines.map((line) => `\x1b[2K${line.slice(0, width - 1)}\n`).join("")}\x1b[0J`)
    this.drawn = lines.length
  }
}

/** What another process says of itself may be anything. */
function word(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? `${value}` : ""
}

function plain(number: number): string {
  return number.toLocaleString("en-US")
}
