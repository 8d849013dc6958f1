// Too much to do: slow and stuck subscribers, busy workers, services beyond their capacity, and what is lost by it, in numbers.
import { fork, type ChildProcess } from "node:child_process"
import t, { type Test } from "tap"
import type { MeshEvents } from "../../lib/mesh/events.ts"
import { Groups, type OwnLoad } from "../../lib/mesh/groups.ts"
import type { Member } from "../../lib/mesh/member.ts"
import type { Mesh } from "../../lib/mesh/mesh.ts"
import { testMesh } from "../../lib/mesh/testing.ts"
import { hubOf, member } from "../support/mesh-peer.ts"
import { virtualClock } from "../support/virtual-clock.ts"

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
    return until(command, () => this.heard.slice(from).find((each) => command in each)?.[command])
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
async function until<T>(what: string, look: () => T | undefined | false, patience = PATIENCE): Promise<T> {
  const end = performance.now() + patience
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

/** Members as far as picks know them. */
const parties = (count: number): Member[] =>
  Array.from({ length: count }, (_, i) => {
    const party = {
      id: `${i}`,
      linked: true,
      draining: false,
      full: new Set(),
      outstanding: 0,
      latency: 0,
      measured: 0,
    }
    return party as unknown as Member
  })
const NOBODY: OwnLoad = { full: () => true, outstanding: 0, latency: 0, measured: 0 }

t.test("among equals each of a group is picked as often as any other, whoever else is full", async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const clock = virtualClock({ seed })
    const groups = new Groups(clock, NOBODY)
    const all = parties(1 + Math.floor(clock.random() * 20))
    const open = new Set(all.filter(() => clock.random() < 0.4))
    for (const party of all) {
      if (open.has(party)) continue
      if (clock.random() < 0.5) party.full.add("g")
      else party.draining = true
    }
    const picks = new Map<Member, number>()
    const EACH = 600
    for (let i = 0; i < EACH * open.size; i++) {
      const picked = groups.pick(all, "g")
      picks.set(picked!, (picks.get(picked!) ?? 0) + 1)
    }
    if (open.size === 0) t.equal(groups.pick(all, "g"), null)
    // Six standard deviations.
    const far = [...open].filter((party) => Math.abs((picks.get(party) ?? 0) - EACH) > 6 * Math.sqrt(EACH))
    t.strictSame(far, [], `seed ${seed}: ${open.size} of ${all.length}`)
    t.equal(picks.size, open.size, "nobody else")
  }
})

t.test(
  "of two servers the faster is preferred, the newcomer not swamped, the one that was slow once tried again",
  async (t) => {
    await using net = await testMesh(["a", "b", "c"], { clock: "virtual", seed: 7 })
    const { a, b, c } = net.mesh
    const answers = { b: 0, c: 0 }
    const serve = (mesh: Mesh, name: "b" | "c", ms: () => number) =>
      mesh.serve("work", async () => {
        answers[name]++
        await new Promise<void>((resolve) => net.clock.timeout(resolve, ms()))
      })
    let slowness = 50
    serve(b, "b", () => 5)
    serve(c, "c", () => slowness)
    await net.settle()
    const ask = async (count: number): Promise<number> => {
      answers.b = answers.c = 0
      for (let i = 0; i < count; i++) await net.until(a.request("work"))
      return answers.c / count
    }
    t.ok((await ask(300)) < 0.05, "one that takes ten times as long")
    slowness = 5
    await net.advance(60_000)
    t.ok((await ask(300)) > 0.2, "it was tried again, and is as fast now")

    const d = await net.join("d")
    let most = 0
    let running = 0
    d.serve("work", async () => {
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => net.clock.timeout(resolve, 5))
      running--
    })
    await net.settle()
    await net.until(Promise.all(Array.from({ length: 90 }, () => a.request("work"))))
    t.ok(most <= 60, `of 90 requests at once ${most} went to who had not been heard of`)
  },
)

t.test("3,000 messages are shared by three equal members, ourselves among them; who drains gets none", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual", seed: 3 })
  const got = { a: 0, b: 0, c: 0 }
  for (const name of ["a", "b", "c"] as const) net.mesh[name].subscribe("job", { queue: "q" }, () => void got[name]++)
  await net.settle()
  for (let i = 0; i < 3000; i++) t.equal(net.mesh.a.tryPublish("job", i).sent, 1)
  await net.settle()
  t.equal(got.a + got.b + got.c, 3000)
  for (const count of Object.values(got)) t.ok(Math.abs(count - 1000) < 150, `${count} of 3,000`)

  got.a = got.b = got.c = 0
  net.mesh.b.serve("slow", () => new Promise((resolve) => net.clock.timeout(() => resolve(1), 3000)))
  await net.settle()
  const slow = net.mesh.a.request("slow")
  await net.advance(1)
  const drained = net.mesh.b.drain()
  await net.advance(100)
  for (let i = 0; i < 300; i++) net.mesh.a.tryPublish("job", i)
  await net.until(drained)
  t.equal(await slow, 1)
  t.equal(got.b, 0)
  t.equal(got.a + got.c, 300, "the others have it all")
})

t.test("behind a slow job at most as many wait as the worker wants to have waiting, be it our own", async (t) => {
  for (const onFull of ["wait", "drop"] as const) {
    await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
    const done: number[] = []
    let release!: () => void
    const slow = new Promise<void>((resolve) => (release = resolve))
    let busy: string | undefined
    const waitsAt = new Map<string, number>()
    const subs = ["a", "b", "c"].map((name) =>
      net.mesh[name as "a"].subscribe("job", { queue: "q", concurrency: 1, prefetch: 1 }, async ({ data }) => {
        if (data === -1) {
          busy = name
          await slow
        } else await new Promise<void>((resolve) => net.clock.timeout(resolve, 1))
        done.push(data)
        waitsAt.set(name, (waitsAt.get(name) ?? 0) + 1)
      }),
    )
    await net.settle()
    const { a } = net.mesh
    a.tryPublish("job", -1)
    await net.advance(1)
    const receipts = Array.from({ length: 300 }, (_, i) => a.publish("job", i, { onFull }))
    await net.advance(10_000)
    const most = subs["abc".indexOf(busy!)]!.stats()
    t.ok(most.running === 1 && most.waiting <= 1, `${onFull}: ${most.waiting} wait behind the slow one`)
    const { dropped = 0 } = { dropped: a.stats().dropped.busy?.count }
    t.equal(done.length + most.waiting + dropped, 300, "the others are done")
    if (onFull === "wait") t.equal(dropped, 0)
    release()
    await net.advance(1000)
    t.equal(done.length + dropped, 301)
    t.equal(new Set(done).size, done.length, "none twice")
    const all = await Promise.all(receipts)
    t.equal(all.filter((receipt) => receipt.sent === 1).length, 300 - dropped)
    t.equal(hubOf(a).outgoing.held, 0)
  }
})

t.test("work that waits goes to a worker that comes, and to one that subscribes anew", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const stuck = b.subscribe("job", { queue: "q", prefetch: 0 }, () => new Promise(() => {}))
  await net.settle()
  a.tryPublish("job", 0)
  await net.advance(1)
  const receipt = a.publish("job", 1, { onFull: "wait" })
  await net.advance(1000)
  t.equal(hubOf(a).outgoing.held, 1, "nobody has room")
  const c = await net.join("c")
  const got: number[] = []
  c.subscribe("job", { queue: "q" }, ({ data }) => void got.push(data))
  t.match(await net.until(receipt), { sent: 1, dropped: 0 })
  await net.advance(10)
  t.strictSame(got, [1])
  await c.close()

  stuck.unsubscribe()
  b.subscribe("job", { queue: "q" }, ({ data }) => void got.push(data))
  await net.settle()
  t.match(a.tryPublish("job", 2), { sent: 1, dropped: 0 }, "the group was full there, and is not any more")
  await net.advance(10)
  t.strictSame(got, [1, 2])

  // Nobody is left in the group: it does not wait for ever.
  const again = b.subscribe("other", { queue: "r", prefetch: 0 }, () => new Promise(() => {}))
  await net.settle()
  a.tryPublish("other", 0)
  await net.advance(1)
  const lost = a.publish("other", 1, { onFull: "wait" })
  await net.advance(1)
  t.equal(hubOf(a).outgoing.held, 1)
  again.unsubscribe()
  await net.settle()
  await net.until(lost)
  await net.advance(3000)
  t.equal(hubOf(a).outgoing.held, 0)
  t.equal(a.stats().dropped.busy?.count, 1)
})

t.test(
  "a service at three times its capacity: what it accepts is quick, the rest is BUSY, and nothing stays",
  async (t) => {
    const mesh = await member(t, { network: "overload" })
    // Four at a time, each 10 ms: 400 a second.
    const server = new Remote(t, mesh.endpoints[0]!, "server", {
      subject: "work",
      ms: 10,
      concurrency: 4,
      queueSize: 8,
    })
    await mesh.ready({ subject: "work", timeout: PATIENCE })
    const before = { own: process.memoryUsage().rss, its: await server.ask("memory") }
    const took: number[] = []
    const failed: string[] = []
    const all: Promise<unknown>[] = []
    const ask = async (): Promise<void> => {
      const began = performance.now()
      await mesh.request("work", null, { timeout: 20_000 }).then(
        () => took.push(performance.now() - began),
        ({ code }: { code: string }) => failed.push(code),
      )
    }
    const TOTAL = 2400
    for (const began = performance.now(); all.length < TOTAL; await turn())
      while (all.length < Math.min(TOTAL, (performance.now() - began) * 1.2)) all.push(ask())
    await Promise.all(all)
    took.sort((a, b) => a - b)
    const p99 = took[Math.floor(took.length * 0.99)]!
    t.comment(`${took.length} of ${TOTAL} accepted, p99 ${Math.round(p99)} ms`)
    t.equal(took.length + failed.length, TOTAL)
    t.ok(took.length > 100 && failed.length > TOTAL / 4)
    t.strictSame([...new Set(failed)], ["BUSY"])
    // Nominally 30 ms: three rounds of four.
    t.ok(p99 < 1500, `p99 ${p99} ms`)
    t.ok(process.memoryUsage().rss - before.own < 80e6)
    t.ok((await server.ask("memory")) - before.its < 80e6)
    t.strictSame([hubOf(mesh).asking.waiting, await server.ask("open")], [0, 0], "nothing is left open")
  },
)

t.test("a thousand requests at once: all are answered, or refused at once", async (t) => {
  for (const [queueSize, least] of [
    [64, 128],
    [1000, 1000],
  ] as const) {
    await using net = await testMesh(["a", "b"], { clock: "virtual" })
    const { a, b } = net.mesh
    b.serve("work", () => new Promise<void>((resolve) => net.clock.timeout(resolve, 10)), { queueSize })
    await net.settle()
    const results = await net.until(
      Promise.all(
        Array.from({ length: 1000 }, () =>
          a.request("work").then(
            () => "answered",
            ({ code }: { code: string }) => code,
          ),
        ),
      ),
    )
    const answered = results.filter((each) => each === "answered").length
    t.equal(answered, least, `64 at a time, and ${queueSize} wait`)
    t.equal(results.filter((each) => each === "BUSY").length, 1000 - answered)
    t.strictSame([hubOf(a).asking.waiting, hubOf(b).answering.size], [0, 0])
  }
})

// Alone: it keeps the process busy for seconds, and others go by the clock.
t.test("at most 65,536 requests are under way", { buffered: false }, async (t) => {
  await using net = await testMesh(["a"], { clock: "virtual" })
  const { a } = net.mesh
  a.serve("work", () => 1, { queueSize: 100_000 })
  await net.settle()
  const codes = new Map<string, number>()
  const all = Array.from({ length: 65_636 }, () =>
    a.request("work").then(
      () => "answered",
      ({ code }: { code: string }) => code,
    ),
  )
  for (const code of await net.until(Promise.all(all))) codes.set(code, (codes.get(code) ?? 0) + 1)
  t.strictSame(
    codes,
    new Map([
      ["answered", 65_536],
      ["LIMIT", 100],
    ]),
  )
  t.strictSame([hubOf(a).asking.waiting, hubOf(a).answering.size], [0, 0])
})

t.test("what waits beyond its deadline never reaches the handler, and is counted", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const handled: number[] = []
  b.serve(
    "work",
    async (n: number) => {
      handled.push(n)
      await new Promise<void>((resolve) => net.clock.timeout(resolve, 100))
    },
    { concurrency: 1 },
  )
  await net.settle()
  const results = await net.until(
    Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        a.request("work", n, { timeout: 250 }).then(
          () => "answered",
          ({ code }: { code: string }) => code,
        ),
      ),
    ),
  )
  await net.advance(2000)
  t.strictSame(results, ["answered", "answered", ...Array.from({ length: 8 }, () => "TIMEOUT")])
  t.strictSame(handled, [0, 1, 2])
  t.equal(b.stats().dropped.expired?.count, 7)
  t.strictSame([hubOf(a).asking.waiting, hubOf(b).answering.size], [0, 0])
})

t.test("fifty members in four processes that know one seed only are all linked", { timeout: 120_000 }, async (t) => {
  const network = "crowd"
  const TOTAL = 50
  // It is 8 s of work for the processor, of which others may leave us little: what is bounded closely is the work.
  const LONG = 90_000
  const mesh = await member(t, { network, name: "seed" })
  const began = performance.now()
  const crowds = [17, 16, 16].map(
    (count, i) =>
      new Remote(t, mesh.endpoints[0]!, "crowd", {
        name: `crowd ${i}`,
        count,
        total: TOTAL,
        patience: LONG,
        join: { network },
      }),
  )
  await mesh.ready({ members: TOTAL - 1, timeout: LONG })
  await until("the last links", () => crowds.every(({ heard }) => heard.some((each) => "complete" in each)), LONG)
  const took = performance.now() - began
  const cpu = crowds.map(({ heard }) => {
    const { user, system } = heard.find((each) => "complete" in each)!["complete"]
    return Math.round((user + system) / 1000)
  })
  t.comment(`all linked ${Math.round(took)} ms after the first start; CPU ${cpu.join(", ")} ms`)
  t.ok(Math.max(...cpu) < 5000, `CPU ${cpu.join(", ")} ms`)
  t.equal(mesh.members.size, TOTAL - 1)
})

t.test("a worker that dies: what was on its way to it is in a gap, what waits goes to the next", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  b.subscribe("job", { queue: "q", prefetch: 100 }, () => new Promise(() => {}))
  await net.settle()
  const [gaps, leaves, drops] = [record(a, "gap"), record(a, "leave"), record(a, "drop")]
  await net.kill("b", { silent: true })
  for (let n = 0; n < 5; n++) t.match(a.tryPublish("job", n), { sent: 1, dropped: 0 })
  await net.advance(7000)
  t.match(leaves, [{ member: { name: "b" }, reason: "lost" }])
  const receipts = [5, 6, 7].map((n) => a.publish("job", n, { onFull: "wait" }))
  t.match(a.tryPublish("job", 8), { sent: 0, dropped: 1, reasons: { busy: 1 } })
  await net.advance(1000)
  const c = await net.join("c")
  const got: number[] = []
  c.subscribe("job", { queue: "q" }, ({ data }) => void got.push(data))
  for (const receipt of await net.until(Promise.all(receipts))) t.match(receipt, { sent: 1, dropped: 0 })
  await net.advance(1000)
  t.strictSame(got, [5, 6, 7])
  await net.advance(400_000)
  t.match(gaps, [{ member: { name: "b" }, direction: "sent", count: 5 }])
  t.equal(sum(drops), 1)
})
