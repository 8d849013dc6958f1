/** The member that watches: it sees who comes and goes, takes what the sensors and workers publish, and ticks it off. */
import type { Mesh } from "earshot/mesh"
import type { Account } from "./cast.ts"
import { join } from "./parts.ts"

/** ms for the last jobs to be done, once no more are given. */
const PATIENCE = 10_000

/** Numbers of one kind: each from 0 on must come, and none twice. */
class Numbers {
  private readonly seen = new Set<number>()
  twice = 0
  tick(number: number): void {
    if (this.seen.has(number)) this.twice++
    this.seen.add(number)
  }
  get count(): number {
    return this.seen.size
  }
  lostOf(total: number): number {
    let lost = 0
    for (let number = 0; number < total; number++) if (!this.seen.has(number)) lost++
    return lost
  }
}

export class Monitor {
  /** Why this was no success. */
  readonly problems: string[] = []
  readonly mesh: Mesh
  /** The last word of each process about itself. */
  readonly says: Map<string, string> = new Map()
  readonly jobs: Numbers = new Numbers()
  readings = 0
  accounts: Record<string, number> = {}
  private readonly numbers = new Map<string, Numbers>()
  private onLine: (line: string) => void = () => {}
  private onJob: () => void = () => {}

  static async join(network: string): Promise<Monitor> {
    return new Monitor(await join("monitor", network, "monitor"))
  }

  private constructor(mesh: Mesh) {
    this.mesh = mesh
    mesh.serve("census", () => ({ name: mesh.name, process: process.pid }), { queue: null })
    mesh.subscribe<string>("status.*", ({ subject, data }) => void this.says.set(subject.split(".")[1]!, data))
    // Of every room the temperature, and of the kitchen everything: what fits both comes to both.
    mesh.subscribe<{ number: number }>("sensors.*.temp", ({ subject, data }) => this.reading(subject, data.number))
    mesh.subscribe<{ number: number }>("sensors.kitchen.>", ({ subject, data }) => {
      this.reading(`${subject} (by >)`, data.number)
    })
    mesh.subscribe<{ job: number }>("done.*", ({ data }) => {
      this.jobs.tick(data.job)
      this.onJob()
    })
    mesh.on("join", ({ member }) => this.onLine(`${member.name} has joined`))
    mesh.on("leave", ({ member, reason }) => this.onLine(`${member.name} is gone (${reason})`))
    mesh.on("drop", ({ reason, count }) => this.problem(`the monitor dropped ${count} messages (${reason})`))
    mesh.on("gap", ({ count, member }) => this.problem(`${count} missing between the monitor and ${member.name}`))
    mesh.on("error", ({ error }) => this.problem(`the monitor: ${error.message}`))
  }

  on(line: (text: string) => void): void {
    this.onLine = line
  }

  problem(text: string): void {
    this.problems.push(text)
  }

  /** So many are linked, and nobody else is taken to be there any more. */
  async complete(members: number): Promise<void> {
    await this.mesh.ready({ members, timeout: 20_000 })
    while (this.mesh.members.size > members) await new Promise((resolve) => this.mesh.once("leave", resolve))
  }

  /** What a process says it has sent, against what came. */
  compare({ name, sent, problems }: Account): void {
    for (const problem of problems) this.problem(`${name}: ${problem}`)
    for (const [what, total] of Object.entries(sent)) {
      this.accounts[what] = total
      // Subscriptions of both kinds may have it.
      for (const key of [what, `${what} (by >)`]) {
        const numbers = this.numbers.get(key)
        if (numbers !== undefined) this.check(key, numbers, total)
      }
    }
  }

  /** Resolves when every job that was given has been done, or time is up. */
  async jobsDone(): Promise<void> {
    const total = this.accounts["jobs"] ?? 0
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, PATIENCE)
      this.onJob = () => {
        if (this.jobs.count < total) return
        clearTimeout(late)
        resolve()
      }
      this.onJob()
    })
    this.check("jobs", this.jobs, total)
  }

  expectCensus(all: number): void {
    const there = this.accounts["census"]
    if (there !== all) this.problem(`${there} of ${all} members answered the census`)
  }

  close(): Promise<void> {
    return this.mesh.close()
  }

  private reading(key: string, number: number): void {
    let numbers = this.numbers.get(key)
    if (numbers === undefined) this.numbers.set(key, (numbers = new Numbers()))
    numbers.tick(number)
    this.readings++
  }

  private check(what: string, numbers: Numbers, total: number): void {
    const lost = numbers.lostOf(total)
    if (lost > 0) this.problem(`${what}: ${lost} of ${total} are lost`)
    if (numbers.twice > 0) this.problem(`${what}: ${numbers.twice} came twice`)
    if (numbers.count > total) this.problem(`${what}: ${numbers.count} came of ${total}`)
  }
}
