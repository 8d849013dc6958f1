// Too much to do: slow and stuck subscribers, busy workers, services beyond their capacity, and what is lost by it, in numbers.
import { fork, type ChildProcess } from "node:child_process"
import t, { type Test } from "tap"
import type { MeshEvents } from "../../lib/mesh/events.ts"
import type { Mesh } from "../../lib/mesh/mesh.ts"
import { member } from "../support/mesh-peer.ts"

t.jobs = 2

const PEER = new URL("../support/peers/overload.mjs", import.meta.url)

/** A member in a process of its own. */
class Remote {
  readonly process: ChildProcess
  readonly heard: Record<string, any>[] = []

  constructor(t: Test, seed: string, role: string, options: object = {}) {
    this.process = fork(PEER, [JSON.stringify({ seed, role, ...options })], {
      execArgv: [],
      env: { PATH: process.env["PATH"] },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    })
    this.process.on("message", (message: Record<string, any>) => this.heard.push(message))
    t.teardown(async () => {
      if (this.process.exitCode !== null || this.process.signalCode !== null) return
      const gone = new Promise((resolve) => this.process.once("exit", resolve))
      this.process.kill("SIGKILL")
      await gone
    })
  }

  /** The answer to a command. */
  async ask(command: string, argument: unknown = null): Promise<any> {
    const from = this.heard.length
    this.process.send({ [command]: argument })
    return until(`${command}`, () => this.heard.slice(from).find((each) => command in each)?.[command])
  }

  stop(): void {
    this.process.kill("SIGSTOP")
  }

  goOn(): void {
    this.process.kill("SIGCONT")
  }
}

const PATIENCE = 30_000

/** What the function gives, once that is something. */
async function until<T>(what: string, look: () => T | undefined | false): Promise<T> {
  const end = performance.now() + PATIENCE
  for (;;) {
    const found = look()
    if (found !== undefined && found !== false) return found
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`)
    await turn()
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1))

/** Every event of one name. */
function record<Name extends keyof MeshEvents>(mesh: Mesh, name: Name): MeshEvents[Name][] {
  const seen: MeshEvents[Name][] = []
  mesh.on(name, (event) => seen.push(event))
  return seen
}

const sum = (events: readonly { readonly count?: number | undefined }[]): number =>
  events.reduce((all, { count = 0 }) => all + count, 0)

/**
 * Publishes `count` messages to both, as fast as the fast one takes them: it says every 250 messages how far it is. What the
 * other one has no room for is dropped. `begin` is called when all is ready.
 */
async function pour(mesh: Mesh, fast: string, slow: string, count: number, size: number, begin = (): void => {}) {
  const body = new Uint8Array(size)
  const toSlow = { sent: 0, waiting: 0, dropped: 0 }
  const toFast = { sent: 0, waiting: 0, dropped: 0 }
  let taken = 0
  const progress = mesh.subscribe("progress", ({ data }) => void (taken = data))
  await progress.ready()
  begin()
  let mostMemory = 0
  for (let n = 0; n < count; n++) {
    for (const [subject, tally] of [
      [fast, toFast],
      [slow, toSlow],
    ] as const) {
      const { sent, waiting, dropped } = mesh.tryPublish(subject, { n, body })
      tally.sent += sent
      tally.waiting += waiting
      tally.dropped += dropped
    }
    if (n % 250 === 0) mostMemory = Math.max(mostMemory, process.memoryUsage().rss)
    if (n - taken > 2000) await until("progress of the fast one", () => n - taken < 1000)
  }
  await until("the fast one's last", () => taken === count - 1)
  progress.unsubscribe()
  return { toFast, toSlow, mostMemory }
}

t.test("a slow subscriber beside a fast one: its own messages are dropped, and counted to the last", async (t) => {
  const mesh = await member(t, { network: "overload" })
  const seed = mesh.endpoints[0]!
  const fast = new Remote(t, seed, "sink", { pattern: "fast", progress: 250 })
  const slow = new Remote(t, seed, "sink", { pattern: "slow", stall: 2 })
  for (const subject of ["fast", "slow"]) await mesh.ready({ subject, timeout: PATIENCE })
  const [drops, loads] = [record(mesh, "drop"), record(mesh, "slow")]
  const before = process.memoryUsage().rss
  const COUNT = 24_000
  const { toFast, toSlow, mostMemory } = await pour(mesh, "fast", "slow", COUNT, 2000)

  t.strictSame(toFast, { sent: COUNT, waiting: 0, dropped: 0 }, "the fast one misses nothing")
  t.strictSame(await fast.ask("report"), { count: COUNT, last: COUNT - 1, wrong: 0, missing: 0 }, "and has its order")
  t.ok(toSlow.dropped > 0, `of the slow one ${toSlow.dropped} were dropped`)
  t.equal(toSlow.sent + toSlow.dropped, COUNT)
  t.ok(mostMemory - before < 150e6, `the sender grew by ${Math.round((mostMemory - before) / 1e6)} MB`)
  t.ok(loads.length > 0, "its link was said to be full")
  // It works off what it has been sent.
  slow.process.send({ hurry: true })
  await until("room on its link", () => loads.at(-1)?.full === false)
  const report = await until("the last that was sent", () => {
    slow.process.send({ report: null })
    const last = slow.heard.findLast((each) => "report" in each)?.["report"]
    return last?.count === toSlow.sent ? last : undefined
  })
  t.strictSame([report.count, report.wrong], [toSlow.sent, 0], "what was sent came, in order")
  await until("the last drop event", () => sum(drops) >= toSlow.dropped)
  t.equal(sum(drops), toSlow.dropped, "the events tell of each drop")
  t.ok(drops.every(({ reason, member }) => reason === "full" && member?.name === "slow"))
  t.ok(
    loads.every(({ member, full }, i) => member?.name === "slow" && full === (i % 2 === 0)),
    "full and not full in turn, of that link only",
  )
  t.equal(mesh.stats().dropped.full?.count, toSlow.dropped)
})

t.test("a stuck subscriber beside a fast one: what it misses is told when it is back, by both sides", async (t) => {
  const mesh = await member(t, { network: "overload" })
  const seed = mesh.endpoints[0]!
  const fast = new Remote(t, seed, "sink", { pattern: "fast", progress: 250 })
  const stuck = new Remote(t, seed, "sink", { pattern: "stuck" })
  for (const subject of ["fast", "stuck"]) await mesh.ready({ subject, timeout: PATIENCE })
  const [drops, loads, gaps] = [record(mesh, "drop"), record(mesh, "slow"), record(mesh, "gap")]
  const [leaves, joins] = [record(mesh, "leave"), record(mesh, "join")]
  const before = process.memoryUsage().rss
  const COUNT = 24_000
  const { toFast, toSlow, mostMemory } = await pour(mesh, "fast", "stuck", COUNT, 2000, () => stuck.stop())
  t.strictSame(toFast, { sent: COUNT, waiting: 0, dropped: 0 }, "the fast one misses nothing")
  t.strictSame(await fast.ask("report"), { count: COUNT, last: COUNT - 1, wrong: 0, missing: 0 }, "and has its order")
  t.ok(toSlow.sent > 0 && toSlow.dropped > 0, `${toSlow.sent} were sent to a stopped process`)
  t.ok(mostMemory - before < 150e6, `the sender grew by ${Math.round((mostMemory - before) / 1e6)} MB`)
  t.match(loads, [{ full: true, member: { name: "stuck" } }])

  await until("the loss of the stuck one", () => leaves.length > 0)
  t.match(leaves, [{ member: { name: "stuck" }, reason: "lost" }])
  t.match(loads.at(-1), { full: false, member: { name: "stuck" } }, "from then on nothing is refused")
  const KEPT = 100
  for (let n = COUNT; n < COUNT + KEPT; n++)
    t.same(mesh.tryPublish("stuck", { n }), { sent: 0, waiting: 1, dropped: 0, reasons: {} })

  stuck.goOn()
  await until("its return", () => joins.length > 0)
  await mesh.flush()
  const report = await stuck.ask("report")
  t.strictSame([report.last, report.wrong], [COUNT + KEPT - 1, 0])
  t.equal(report.count + sum(gaps) + toSlow.dropped, COUNT + KEPT, "each message came, or was dropped, or is in a gap")
  const told = stuck.heard.filter(({ gap }) => gap === "received")
  t.equal(sum(told as { count: number }[]), sum(gaps), "both sides count the same")
  await until("the last drop event", () => sum(drops) >= toSlow.dropped)
  t.equal(sum(drops), toSlow.dropped)
  t.ok(gaps.every(({ member, direction }) => member.name === "stuck" && direction === "sent"))
  t.notOk(fast.heard.some((each) => "gap" in each))
})
