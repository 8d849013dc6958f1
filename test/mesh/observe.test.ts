// What a member tells of itself and of others: counters, health, explanations, reports, samples.
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import t from "tap"
import type { InterestReport, LinksReport, PingReport, Sample, StatsReport } from "../../lib/mesh/index.ts"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import { testMesh } from "../../lib/mesh/testing.ts"
import { END, Kind, numberAt, numbered } from "../../lib/mesh/wire.ts"
import { HELLO, MeshPeer, member } from "../support/mesh-peer.ts"
import { outcome, thrown, until, within } from "../support/sockets.ts"

t.jobs = 4

t.test("stats: every counter, and every member", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  b.subscribe("x", { queueSize: 1 }, () => new Promise(() => {}))
  b.serve("add", ([x, y]: number[]) => x! + y!)
  await net.settle()
  for (let i = 0; i < 5; i++) a.tryPublish("x", i)
  a.tryPublish("nobody", 1)
  await a.request("add", [1, 2])
  await outcome(a.request("nobody"))
  await a.flush()
  const [sent, taken] = [a.stats(), b.stats()]
  t.match(sent, {
    version: 1,
    id: a.id,
    name: "a",
    published: 6,
    received: 0,
    waiting: 0,
    gaps: { sent: 0, received: 0 },
    unknown: 0,
    errors: 0,
    requests: { asked: 2, answered: 1, failed: 1, open: 0 },
    calls: { answered: 0, refused: 0, open: 0 },
    subscriptions: [],
  })
  t.match(sent.members, [
    { id: b.id, name: "b", linked: true, link: "inproc", known: true, draining: false, leaf: false, outstanding: 0 },
  ])
  t.equal(sent.members[0]!.sent, 5, "counted to b: what it subscribes to")
  t.ok(sent.members[0]!.interest >= 2)
  t.equal(taken.received, 5)
  t.equal(taken.members[0]!.taken, 5)
  t.equal(taken.calls.answered, 1)
  t.match(taken.dropped, { full: { count: 3 } })
  t.strictSame(
    taken.subscriptions.map(({ pattern, received, running, waiting, dropped }) => ({
      pattern,
      received,
      running,
      waiting,
      dropped,
    })),
    [
      { pattern: "x", received: 5, running: 1, waiting: 1, dropped: 3 },
      { pattern: "add", received: 1, running: 0, waiting: 0, dropped: 0 },
    ],
    "our own reports are no subscription of the user's",
  )
  JSON.stringify(sent)
})

t.test("stats: what is kept for one that is lost, and what it acknowledged", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  b.subscribe("x", () => {})
  await net.settle()
  net.cut("a", "b")
  await until("the loss", () => a.stats().members[0]?.linked === false)
  for (let i = 0; i < 3; i++) t.equal((await a.publish("x", i)).waiting, 1)
  t.match(a.stats().members, [{ linked: false, link: undefined, kept: 3, sent: 3 }])
  t.ok(a.stats().members[0]!.keptBytes > 0)
  net.heal()
  await until("the acknowledgement", () => a.stats().members[0]!.kept === 0)
  t.equal(b.stats().received, 3)
})

t.test("health", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  t.strictSame(a.health(), { version: 1, live: true, ready: true, draining: false, reasons: [] })
  let proceed!: () => void
  b.serve("x", () => new Promise<void>((resolve) => (proceed = resolve)))
  await net.settle()
  const asked = a.request("x")
  await until("the call", () => b.stats().calls.open === 1)
  const drained = b.drain()
  t.strictSame(b.health(), { version: 1, live: true, ready: false, draining: true, reasons: ["draining"] })
  proceed()
  await asked
  await drained
  t.strictSame(b.health(), { version: 1, live: false, ready: false, draining: true, reasons: ["closed"] })
  await until("b's goodbye", () => a.members.size === 0)
  t.strictSame(a.health(), { version: 1, live: true, ready: true, draining: false, reasons: ["alone"] })
  const end = performance.now() + 1700
  while (performance.now() < end);
  t.strictSame(a.health().reasons, ["blocked", "alone"])
})

t.test("explain: who gets it, of whom one gets it, who answers", async (t) => {
  await using net = await testMesh(["a", "b", "c", "d"])
  const { a, b, c, d } = net.mesh
  a.subscribe("jobs.>", () => {})
  b.subscribe("jobs.*", () => {})
  b.subscribe("jobs.new", { queue: "w" }, () => {})
  c.subscribe("jobs.new", { queue: "w", prefetch: 0 }, () => new Promise(() => {}))
  d.serve("jobs.new", () => new Promise(() => {}))
  await net.settle()
  const names = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name).sort()
  let { plain, groups, servers, uninterested } = a.explain("jobs.new")
  t.strictSame(names(plain), ["a", "b"])
  t.ok(plain.find(({ name }) => name === "a")!.own)
  const group = groups.find(({ queue }) => queue === "w")!
  t.strictSame(names(group.free), ["b", "c"])
  t.strictSame(
    servers.map(({ queue, free }) => [queue, names(free)]),
    [["jobs.new", ["d"]]],
  )
  t.equal(uninterested, 0)
  t.equal(a.explain("else").uninterested, 3)
  // c becomes full, d drains, b is lost.
  await until("c at work", () => {
    a.tryPublish("jobs.new")
    return a.explain("jobs.new").groups.find(({ queue }) => queue === "w")!.full.length === 1
  })
  const open = outcome(a.request("jobs.new", null, { timeout: 60_000 }))
  await until("the call", () => d.stats().calls.open === 1)
  const drained = outcome(d.drain({ timeout: 500 }))
  await until("the word", () => a.explain("jobs.new").servers[0]!.draining.length === 1)
  net.cut("a", "b")
  await until("the loss", () => a.explain("jobs.new").kept.length === 1)
  ;({ plain, groups, servers } = a.explain("jobs.new"))
  t.strictSame(names(plain), ["a"])
  const { full, lost, free } = groups.find(({ queue }) => queue === "w")!
  t.strictSame([names(full), names(lost), names(free)], [["c"], ["b"], []])
  t.equal(await drained, "TIMEOUT")
  t.equal(await open, "PEER_LOST")
})

t.test("explain: who does not get it, and why", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  b.subscribe("sensors.*.temp", () => {})
  b.subscribe("sensors.kitchen.>", () => {})
  b.subscribe("other.things.entirely", () => {})
  await net.settle()
  const why = (subject: string, pattern: string): string | undefined =>
    a.explain(subject).nearest.find((miss) => miss.pattern === pattern)?.why
  t.equal(why("sensors.hall.temperature", "sensors.*.temp"), "token 3 is temp, not temperature")
  t.equal(why("Sensors.hall.temp", "sensors.*.temp"), "case counts: sensors is not Sensors")
  t.equal(why("sensors.hall.temp.max", "sensors.*.temp"), "it has 3 tokens, the subject 4")
  t.equal(why("sensors.kitchen", "sensors.kitchen.>"), "> stands for one token or more, and there is none left")
  t.equal(why("sensors.hall.temp", "sensors.*.temp"), undefined, "it matches")
  t.equal(why("sensors.hall.temp", "other.things.entirely"), undefined, "it is far off")
  t.match(a.explain("sensors.hall.tmp").nearest[0], { members: [{ id: b.id, own: false }] })
  t.equal(
    thrown(() => a.explain("a.*")),
    "INVALID_SUBJECT",
  )
})

t.test("reports: any member can draw the whole mesh", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  const { a, b, c } = net.mesh
  b.subscribe("sensors.>", { queue: "q" }, () => {})
  c.setMeta({ role: "store" })
  await net.settle()
  const ask = <Shape>(id: string, what: string, data?: unknown): Promise<Shape> =>
    a.request<Shape>(`$EARSHOT.${id}.${what}`, data)
  const drawn = new Set<string>()
  for (const id of [a.id, ...a.members.keys()]) {
    const { links, version } = await ask<LinksReport>(id, "LINKS")
    t.equal(version, 1)
    for (const link of links) drawn.add([id, link.id].sort().join(" "))
  }
  t.equal(drawn.size, 3, "every pair once")
  t.match(await ask<PingReport>(c.id, "PING"), {
    version: 1,
    id: c.id,
    name: "c",
    leaf: false,
    protocol: [1, 0],
    meta: { role: "store" },
    health: { ready: true },
  })
  t.match(await ask<StatsReport>(b.id, "STATS"), { version: 1, id: b.id, members: [{}, {}] })
  const all = await ask<InterestReport>(b.id, "INTEREST")
  t.ok(all.interest.some(({ pattern, queue, responds }) => pattern === "sensors.>" && queue === "q" && !responds))
  const page = await ask<InterestReport>(b.id, "INTEREST", { offset: 1 })
  t.strictSame([page.total, page.offset, page.interest.length], [all.total, 1, all.total - 1])
  t.equal(await outcome(ask(b.id, "NOTHING")), "NO_RESPONDERS")
  t.strictSame(b.stats().subscriptions.length, 1)
  t.equal((await a.publish("sensors.x")).sent, 1, "a receipt knows nothing of reports")
})

t.test("reports: observe: false answers nothing", async (t) => {
  await using net = await testMesh(["a", "b"], { member: (name) => (name === "b" ? { observe: false } : {}) })
  const { a, b } = net.mesh
  t.equal(await outcome(a.request(`$EARSHOT.${b.id}.PING`)), "NO_RESPONDERS")
  t.equal((await b.request<PingReport>(`$EARSHOT.${a.id}.PING`)).name, "a")
})

t.test("reports: they keep no process alive", async (t) => {
  const program = `
    const { Mesh } = await import(${JSON.stringify(new URL("../../dist/lib/mesh/index.js", import.meta.url).href)})
    const mesh = await Mesh.join({ listen: ["tcp://127.0.0.1:0"], discovery: [], settle: 10 })
    console.log((await mesh.request("$EARSHOT." + mesh.id + ".PING")).id === mesh.id)`
  const file = join(t.testdir({ "program.mjs": program }), "program.mjs")
  const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: 20_000 })
  t.equal(stdout, "true\n", "it answers, and ends by itself")
})

t.test("sample: bounded, marked, with what was left out counted", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  const taken: Sample[] = []
  const loop = (async () => {
    for await (const sample of a.sample("s.*", { perSecond: 10 })) taken.push(sample)
  })()
  await net.advance(100)
  for (let i = 0; i < 200; i++) {
    t.strictSame(b.tryPublish("s.x", i), { sent: 0, waiting: 0, dropped: 0, reasons: {} })
    c.tryPublish("other.x", i)
    await net.advance(10)
  }
  t.ok(taken.length >= 19 && taken.length <= 22, `${taken.length} in 2 s`)
  for (const { subject, from, sampled } of taken) t.match([subject, from.id, sampled], ["s.x", b.id, true])
  const last = taken.at(-1)!
  const told = taken.reduce((sum, { skipped }) => sum + skipped, 0)
  t.equal(told + taken.length, (last.data as number) + 1, "nothing is missing up to the last one")
  const { samples } = b.stats()
  t.equal(samples.sent + samples.skipped, 200, "publishers count what they skip")
  t.strictSame(c.stats().samples, { sent: 0, skipped: 0 })
  t.equal(await net.until(outcome(b.request("s.x"))), "NO_RESPONDERS", "who samples answers nothing")
  await net.close()
  await loop
})

t.test("sample: our own, requests, members that come later, and the end", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  b.serve("s.add", ([x, y]: number[]) => x! + y!)
  await net.settle()
  const seen: string[] = []
  const loop = (async () => {
    for await (const { subject, from } of a.sample("s.>", { perSecond: 1000 })) {
      seen.push(`${from.name} ${subject}`)
      if (subject === "s.end") break
    }
  })()
  a.tryPublish("s.own")
  await a.request("s.add", [1, 2])
  await until("both", () => seen.length === 2)
  const c = await net.join("c")
  await c.publish("s.late")
  await until("c's", () => seen.includes("c s.late"))
  await c.publish("s.end")
  await within("the end", loop)
  await a.flush()
  t.strictSame(seen, ["a s.own", "a s.add", "c s.late", "c s.end"])
  const before = c.stats().samples
  await c.publish("s.more")
  t.strictSame(c.stats().samples, before, "nobody samples any more")
})

t.test("sample: signals, limits, arguments", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  for (const perSecond of [0, Number.NaN, 20_000])
    t.equal(
      thrown(() => a.sample("x", { perSecond })),
      "EINVAL",
    )
  t.equal(
    thrown(() => a.sample("$EARSHOT.>")),
    "INVALID_SUBJECT",
  )
  const controller = new AbortController()
  const loop = (async () => {
    for await (const _ of a.sample("x", { signal: controller.signal }));
  })()
  controller.abort()
  await within("the end", loop)
  for await (const _ of a.sample("x", { signal: controller.signal })) t.fail("it was aborted before")
})

t.test("sample: a foreign member's, at its rate, as many as it may have, and nonsense", async (t) => {
  const mesh = await member(t)
  const features = [...(HELLO["features"] as string[]), "sample"]
  const peer = await MeshPeer.join(t, mesh, { features })
  const ask = (id: number, body: unknown): void => peer.send(numbered(Kind.SAMPLE, 0, id), msgpack.encode(body))
  ask(1, { pattern: "s.>", perSecond: 1 })
  ask(2, { pattern: "s.>", perSecond: 1e300 })
  for (const body of [
    {},
    { pattern: "a..b", perSecond: 1 },
    { pattern: "s.>", perSecond: 0 },
    { pattern: 1, perSecond: 1 },
  ])
    ask(3, body)
  await peer.settled()
  for (let i = 0; i < 5; i++) t.equal(mesh.tryPublish("s.x", i).sent, 0)
  const samples = [await peer.next(Kind.SAMPLED), await peer.next(Kind.SAMPLED)]
  t.strictSame(
    samples.map(([head]) => [numberAt(head!, 2), numberAt(head!, 6)]),
    [
      [1, 0],
      [2, 0],
    ],
  )
  t.ok(mesh.stats().samples.skipped >= 4)
  t.equal(mesh.stats().members[0]!.sent, 0, "no sample is counted or kept")
  peer.send(numbered(Kind.SAMPLE, END, 2))
  for (let id = 10; id < 74; id++) ask(id, { pattern: "many", perSecond: 1 })
  await peer.settled()
  const [, denial] = await peer.next(Kind.DENIED)
  t.match(msgpack.decode(denial!), { what: "sample", count: 1, subject: "many" })
  t.notOk(peer.ended)
  peer.send(Uint8Array.of(Kind.SAMPLE, 0, 1))
  await until("the end of the link", () => peer.ended)
  await until("the loss", () => mesh.stats().members.every(({ linked }) => !linked))
  const before = mesh.stats().samples
  mesh.tryPublish("many")
  t.strictSame(mesh.stats().samples, before, "who is gone samples nothing")
})
