// What is easily lost in silence, left behind or counted wrongly: ends, odd handlers, and sums.
import { join } from "node:path"
import t from "tap"
import { Mesh, json } from "../../lib/mesh/index.ts"
import type { Discovery } from "../../lib/mesh/contract.ts"
import { Lost, MOST_LOST } from "../../lib/mesh/lost.ts"
import type { Member } from "../../lib/mesh/member.ts"
import { KEPT, Replay } from "../../lib/mesh/replay.ts"
import { testMesh, virtualClock, type TestMesh } from "../../lib/mesh/testing.ts"
import { FULL, Kind, groupHead, publishHead } from "../../lib/mesh/wire.ts"
import { MeshPeer, hubOf, member, want } from "../support/mesh-peer.ts"
import { outcome, thrown, until, within } from "../support/sockets.ts"

t.jobs = 4

/** A promise, and what resolves it. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  let open!: () => void
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { open, opened }
}

/** What the members of a net remember between runs. */
const statesOf = (net: TestMesh): { readonly byPath: ReadonlyMap<string, { readonly addresses: readonly string[] }> } =>
  (net as unknown as { states: ReturnType<typeof statesOf> }).states

const dropsOf = (mesh: Mesh): Partial<Record<string, number>> =>
  Object.fromEntries(Object.entries(mesh.stats().dropped).map(([reason, tally]) => [reason, tally.count]))

t.test("requests whose askers gave up leave nothing behind, and a drain does not wait for them", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const { open, opened } = gate()
  let begun = 0
  b.serve("x", () => (begun++, opened), { concurrency: 1 })
  b.subscribe("mute", { responds: true }, () => {})
  await net.settle()
  const running = a.request("x", 1, { timeout: 200 })
  await until("it runs", () => begun === 1)
  const askers = [a, a, b, b]
  const rest = askers.flatMap((mesh) => [
    mesh.request("x", 1, { timeout: 50 }),
    mesh.request("mute", 1, { timeout: 50 }),
  ])
  const outcomes = await Promise.all([running, ...rest].map(outcome))
  t.ok(outcomes.every((each) => each === "TIMEOUT"))
  open()
  await within("a drain with nothing to wait for", b.drain({ timeout: 5000 }))
  t.equal(dropsOf(b)["expired"], 4, "what waited too long never reached the handler")
})

t.test("a handler may throw anything at all: its asker is told, and no link ends for it", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const odd = [
    Object.create(null),
    Symbol("odd"),
    undefined,
    {
      get message() {
        throw new Error("no")
      },
    },
  ]
  const throwing = (_: unknown): never => {
    throw odd.shift()
  }
  let left = 0
  a.on("leave", () => left++)
  const failed: unknown[] = []
  b.on("error", ({ error }) => failed.push(error))
  b.subscribe("s", throwing)
  b.serve("served", throwing)
  b.subscribe("answered", { responds: true }, throwing)
  await net.settle()
  t.match(await a.publish("s", 1, { confirm: true }), { sent: 1, confirmed: 1 })
  t.equal(await outcome(a.request("served")), "REMOTE")
  t.equal(await outcome(a.request("answered")), "REMOTE")
  t.match(await a.publish("s", 1, { confirm: true }), { sent: 1, confirmed: 1 })
  t.equal(left, 0)
  t.equal(failed.length, 3, "of subscriptions")
  t.ok(failed.every((error) => error instanceof Error))
})

t.test("drain of a subscription: as often as one likes, from its own handler, and at the mesh's end", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a } = net.mesh
  const { open, opened } = gate()
  let done = 0
  const handler = async (): Promise<void> => {
    await opened
    done++
  }
  const sub = a.subscribe("s", handler)
  for (let i = 0; i < 3; i++) a.tryPublish("s", i)
  await until("three", () => sub.stats().received === 3)
  const drained = Promise.all([sub.drain(), sub.drain()])
  const whole = a.drain()
  open()
  await within("the mesh's drain", whole)
  t.equal(done, 3, "the mesh waited for the subscription, too")
  await within("both drains", drained)

  const { b } = net.mesh
  let finished = false
  let early: boolean | undefined
  const own = b.subscribe("s", async () => {
    void own.drain().then(() => (early = !finished))
    await new Promise((resolve) => setTimeout(resolve, 5))
    finished = true
  })
  b.tryPublish("s")
  await until("the drain", () => early !== undefined)
  t.equal(early, false, "the handler that asked for it was waited for")

  const stuck = b.subscribe("stuck", () => new Promise(() => {}))
  for (let i = 0; i < 4; i++) b.tryPublish("stuck", i)
  await until("four", () => stuck.stats().received === 4)
  const never = stuck.drain()
  const unread = b.subscribe("stuck")
  b.tryPublish("stuck")
  await until("one", () => unread.stats().received === 1)
  const unreadDrained = unread.drain()
  b.tryPublish("none.of.theirs")
  await b.close()
  await within("drains that can't come to their end", Promise.all([never, unreadDrained]))
  t.equal(dropsOf(b)["closed"], 4, "three that waited for the handler, one that waited for a reader")
})

t.test("nothing listens to a signal any more when what it would end has ended", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  const { signal } = new AbortController()
  let listeners = 0
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    add(...args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--
    remove(...args)
  }
  a.subscribe("s", { signal }, () => {}).unsubscribe()
  await a.subscribe("s", { signal }, () => {}).drain()
  a.serve("s", () => 1, { signal }).unsubscribe()
  await outcome(a.request("nobody", 1, { signal }))
  for await (const _ of a.requestMany("nobody", 1, { signal })) t.fail("nobody is there")
  t.equal(listeners, 0)
  t.equal(
    thrown(() => a.subscribe("s", { signal: {} as AbortSignal }, () => {})),
    "EINVAL",
  )
  t.equal(a.stats().subscriptions.length, 0)
})

t.test(
  "confirm: what was dropped is neither confirmed nor awaited, what waits is awaited; the sums are exact",
  async (t) => {
    await using net = await testMesh(["a", "b", "c"], { clock: "virtual", member: { maxMessageSize: 65_536 } })
    const { a, b } = net.mesh
    b.subscribe("s", () => {})
    await net.settle()
    const large = await net.until(a.publish("s", "x".repeat(70_000), { confirm: true }), 100)
    t.match(large, { sent: 0, dropped: 1, reasons: { "too-large": 1 }, confirmed: 0, unconfirmed: 0 })
    a.subscribe("s", () => {})
    net.cut("a", "b")
    const lost = a.publish("s", 1, { confirm: true })
    net.heal()
    t.match(await net.until(lost, 9000), { dropped: 0, confirmed: 2, unconfirmed: 0 }, "it came when the link was back")
    net.cut("a", "b", { silent: true })
    t.match(await net.until(a.publish("s", 1, { confirm: true })), { sent: 2, confirmed: 1, unconfirmed: 1 })
    a.subscribe("work", { queue: "g" }, () => new Promise(() => {}))
    for (let i = 0; i < 2; i++)
      t.match(await net.until(a.publish("work", i, { confirm: true })), { sent: 1, confirmed: 1 })
    const waits = a.publish("work", 2, { confirm: true, onFull: "wait" })
    t.match(
      await net.until(waits),
      { sent: 0, waiting: 1, confirmed: 0, unconfirmed: 1 },
      "nobody had room within 10 s",
    )
  },
)

t.test("closing tells what it leaves undone: a flush, and what our own subscriptions were to get", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a } = net.mesh
  let got = 0
  a.subscribe("s", () => got++)
  net.slow("a", "b", 100)
  const flushed = outcome(a.flush())
  await Promise.resolve()
  t.match(a.tryPublish("s", 1), { sent: 1 })
  await a.close()
  t.equal(await within("the flush", flushed), "EBADF")
  t.equal(got + (dropsOf(a)["closed"] ?? 0), 1)
})

t.test("drops of very many subjects: bounded, and exact in sum", async (t) => {
  await using net = await testMesh(["a"], { clock: "virtual" })
  const { a } = net.mesh
  let told = 0
  const subjects = new Set<string | undefined>()
  a.on("drop", ({ count, subject }) => {
    told += count
    subjects.add(subject)
  })
  a.subscribe("s.*", { queue: "g" }, () => new Promise(() => {}))
  for (let i = 0; i < 2; i++) await net.until(a.publish(`s.${i}`))
  let dropped = 0
  for (let i = 0; i < 5000; i++) dropped += a.tryPublish(`s.${i}`).dropped
  await net.advance(1000)
  t.ok(dropped > 4000)
  t.equal(told, dropped)
  t.ok(subjects.size <= 1100, "told apart")
})

t.test("a member that is gone is not kept by what was found for subjects", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  b.subscribe("s.*", () => {})
  await net.settle()
  t.match(a.tryPublish("s.1"), { sent: 1 })
  const { routes } = (a as unknown as { hub: { routes: { table: { cached: number } } } }).hub
  t.equal(routes.table.cached, 1)
  await b.close()
  await until("its end", () => a.members.size === 0)
  t.equal(routes.table.cached, 0)
})

t.test("what is missing for good is told once, also when the link is lost again before the other hears of it", (t) => {
  const replay = new Replay(true)
  const message = [new Uint8Array(1)]
  for (let i = 0; i < KEPT + 10; i++) replay.note(message, 1)
  t.match(replay.resume(0), { missing: 10, fresh: 10 })
  t.match(replay.resume(0), { missing: 10, fresh: 0 }, "the other is told again")
  for (let i = 0; i < 5; i++) replay.note(message, 1)
  t.match(replay.resume(0), { missing: 15, fresh: 5 })
  t.equal(replay.untold, KEPT)
  replay.acknowledge(KEPT + 15)
  t.equal(replay.untold, 0)
  t.end()
})

t.test("requests that wait for somebody to come are bounded, too", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  const patient = { wait: 60_000, timeout: 60_000 }
  const waiting = Array.from({ length: 65_536 }, () => outcome(a.request("nobody", 1, patient)))
  t.equal(await outcome(a.request("nobody", 1, patient)), "LIMIT")
  t.equal(await outcome(a.requestMany("nobody")[Symbol.asyncIterator]().next()), "LIMIT")
  await a.close()
  t.strictSame([...new Set(await within("all of them", Promise.all(waiting)))], ["EBADF"])
})

t.test("what was on its way to a member that says goodbye is counted as left", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const dropped: unknown[] = []
  a.on("drop", ({ reason, count, member }) => dropped.push([reason, count, member?.name]))
  let got = 0
  b.subscribe("news", () => got++)
  await a.ready({ subject: "news" })
  const gone = new Promise((resolve) => a.once("leave", resolve))
  const closing = b.close()
  let sent = 0
  for (let n = 0; n < 10; n++) sent += a.tryPublish("news", n).sent
  await Promise.all([closing, gone])
  t.equal(sent, 10)
  t.strictSame(dropped, [["left", 10 - got, "b"]])
})

t.test("a leaf hears that a group it knew is there again", async (t) => {
  await using net = await testMesh(["carrier", "worker"])
  const leaf = await net.join("leaf", { listen: [] })
  const { carrier, worker } = net.mesh
  for (const who of [worker, carrier, worker])
    for (let round = 0; round < 2; round++) {
      let got = 0
      const sub = who.subscribe("job", { queue: "crew" }, () => void got++)
      await net.settle()
      t.match(leaf.explain("job").groups, [{ queue: "crew", full: [], free: [{ name: "carrier" }] }])
      t.match(await leaf.publish("job", round), { sent: 1, dropped: 0 })
      await until("the job", () => got === 1)
      sub.unsubscribe()
      await net.settle()
    }
})

t.test("what members say of groups that nobody is in is not remembered for leaves", async (t) => {
  const mesh = await member(t)
  await MeshPeer.join(t, mesh, { id: "leaf", leaf: true })
  const peer = await MeshPeer.join(t, mesh)
  for (let i = 0; i < 5000; i++) peer.send(groupHead(Kind.LOAD, FULL, `group-${i}`))
  await peer.settled()
  const { told } = hubOf(mesh).loads as unknown as { told: Map<string, unknown> }
  t.strictSame(
    [...told.keys()].filter((group) => group.startsWith("group-")),
    [],
  )
})

t.test("what we published and nobody had taken when we closed is counted, to each member", async (t) => {
  await using net = await testMesh(["a", "far", "near"])
  const { a, far, near } = net.mesh
  let heard = 0
  for (const mesh of [far, near]) mesh.subscribe("x", () => void heard++)
  await net.settle()
  net.slow("a", "far", 60_000)
  const drops: [string, string | undefined, number][] = []
  a.on("drop", ({ reason, member, count }) => drops.push([reason, member?.name, count]))
  for (let i = 0; i < 3000; i++) t.match(a.tryPublish("x", i), { sent: 2, dropped: 0 })
  await within("the end", a.close())
  t.equal(heard, 3000, "the other has them all")
  t.strictSame(dropsOf(a), { closed: 3000 })
  t.strictSame(drops, [["closed", "far", 3000]])
})

t.test("closing waits for those who take what was sent, and no longer", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  let heard = 0
  b.subscribe("x", () => void heard++)
  await net.settle()
  net.slow("a", "b", 200)
  for (let i = 0; i < 3000; i++) a.tryPublish("x", i)
  const began = net.clock.now()
  await net.until(a.close())
  t.equal(heard, 3000)
  t.strictSame(dropsOf(a), {})
  t.ok(net.clock.now() - began < 1000, `${net.clock.now() - began} ms`)
})

t.test("two that close at once count what the other takes no more", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  for (const mesh of [a, b]) mesh.subscribe("x", () => {})
  await net.settle()
  net.slow("a", "b", 50)
  for (const mesh of [a, b]) for (let i = 0; i < 10; i++) mesh.tryPublish("x", i, { echo: false })
  const began = net.clock.now()
  await net.until(Promise.all([a.close(), b.close()]))
  t.strictSame([dropsOf(a), dropsOf(b)], [{ closed: 10 }, { closed: 10 }])
  t.ok(net.clock.now() - began < 500, "neither waits for what the other will not say")
})

t.test("what was kept for a lost member is gone with us, and counted", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  b.subscribe("x", () => {})
  await net.settle()
  net.cut("a", "b")
  await until("the loss", () => a.stats().members[0]?.linked === false)
  for (let i = 0; i < 5; i++) t.match(a.tryPublish("x", i), { waiting: 1 })
  await a.close()
  t.strictSame(dropsOf(a), { closed: 5 })
})

for (const ends of ["its link is lost", "we close"])
  t.test(`what waited for one who acknowledges nothing is counted when ${ends}`, async (t) => {
    const mesh = await member(t)
    const peer = await MeshPeer.join(t, mesh, { features: [] }, [want("x")])
    const [gaps, drops] = [0, 0].map(() => [] as number[])
    mesh.on("gap", ({ count }) => gaps!.push(count!))
    mesh.on("drop", ({ count }) => drops!.push(count))
    // It reads nothing more, and what waits here is more than the system holds for it.
    peer.socket.receiveHighWaterMark = 1
    peer.socket.onmessage = undefined
    let [sent, refused, idle] = [0, 0, 0]
    await until("nothing more to leave", () => {
      idle++
      for (; mesh.tryPublish("x", new Uint8Array(65_536)).sent === 1; sent++) idle = 0
      refused++
      return idle > 50
    })
    const { queued } = mesh.stats().members[0]!
    if (ends === "its link is lost") {
      await peer.socket.close()
      await until("the loss", () => gaps!.length > 0)
    }
    await mesh.close()
    const sum = (all: readonly number[]): number => all.reduce((total, each) => total + each, 0)
    const [told, silent] =
      ends === "we close" ? [sum(drops!) - refused, sum(gaps!)] : [sum(gaps!), sum(drops!) - refused]
    t.equal(silent, 0)
    t.ok(told >= queued && told <= sent, `${told} of ${sent}, ${queued} waited`)
  })

t.test("arguments that can't be are refused at once, also before the mesh has settled", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  const odd = (value: unknown): never => value as never
  const signal = odd({})
  for (const [what, call] of Object.entries<() => unknown>({
    publish: () => a.publish("x", 1, { onFull: odd("drp") }),
    tryPublish: () => a.tryPublish("x", 1, { onFull: odd("block") }),
    subscribe: () => a.subscribe("x", { onFull: odd("wait") }, () => {}),
    timeout: () => a.request("x", 1, { timeout: odd("100") }),
    wait: () => a.request("x", 1, { wait: NaN }),
    to: () => a.request("x", 1, { to: odd(5) }),
    max: () => a.requestMany("x", 1, { max: odd("5") }),
    stall: () => a.requestMany("x", 1, { stall: odd("5") }),
    perSecond: () => a.sample("x", { perSecond: odd("5") }),
    signal: () => a.sample("x", { signal }),
    members: () => a.ready({ members: odd("1") }),
    ready: () => a.ready({ timeout: odd("50") }),
    "sub.ready": () => a.subscribe("y").ready({ timeout: NaN }),
    drain: () => a.drain({ timeout: NaN }),
    meta: () => a.setMeta({ f() {} }),
  }))
    t.throws(call, { code: "EINVAL" }, what)
  await t.rejects(a.flush({ timeout: NaN }), { code: "EINVAL" })
  for (const options of [
    { open: "yes" },
    { replay: 0 },
    { observe: "no" },
    { discovery: {} },
    { discovery: [{}] },
    { advertise: "tcp://x:1" },
    { advertise: ["nonsense"] },
    { codecs: {} },
    { listen: "tcp://127.0.0.1:0" },
    { meta: { f() {} } },
    { state: 5 },
  ])
    await t.rejects(Mesh.join({ discovery: [], ...options } as never), { code: "EINVAL" }, JSON.stringify(options))

  const slow = { name: "slow", start: () => new Promise<void>(() => {}), stop: async () => {} }
  const early = await member(t, { discovery: [slow] })
  t.throws(() => early.publish("a.*", 1), { code: "INVALID_SUBJECT" })
  t.throws(() => early.publish("a", () => {}), { code: "ENCODE" })
  await early.close()
  await t.rejects(early.flush(), { code: "EBADF" })
})

t.test("an event that there is not is a mistake, and said to be one", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  for (const name of ["joined", "message", "toString", ""] as never[]) {
    const expected = {
      code: "EINVAL",
      message: /^no event .*; there are join, leave, update, slow, drop, gap, denied, clash, error$/,
    }
    t.throws(() => a.on(name, () => {}), expected)
    t.throws(() => a.once(name, () => {}), expected)
  }
  t.throws(() => a.on("join", undefined as never), { code: "EINVAL" })
})

t.test("an option that nobody knows is a mistake, and said to be one", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const got: unknown[] = []
  b.subscribe("x", { queueSize: 5 }, ({ data }) => void got.push(data))
  await net.settle()
  const odd = { headrs: 1 } as never
  for (const [call, what] of [
    [() => a.publish("x", 1, odd), "publish"],
    [() => a.publish("x", 1, { confirm: true, ...(odd as object) }), "publish"],
    [() => a.tryPublish("x", 1, odd), "publish"],
    [() => a.subscribe("y", odd), "subscribe"],
    [() => a.serve("y", () => 1, odd), "serve"],
    [() => a.request("y", 1, odd), "request"],
    [() => a.requestMany("y", 1, odd), "requestMany"],
    [() => a.sample("y", odd), "sample"],
    [() => a.ready(odd), "ready"],
    [() => a.drain(odd), "drain"],
    [() => a.subscribe("y").ready(odd), "ready"],
  ] as const)
    t.throws(call, { code: "EINVAL", message: new RegExp(`${what} has no option headrs`) }, what)
  await t.rejects(a.flush(odd), { code: "EINVAL" })
  const none = null as never
  for (const call of [
    () => a.publish("x", 1, none),
    () => a.tryPublish("x", 1, none),
    () => a.subscribe("y", none),
    () => a.request("y", 1, "z" as never),
  ])
    t.throws(call, { code: "EINVAL" })
  const all = { headers: { k: "v" }, onFull: "wait", confirm: true, echo: false, codec: undefined } as const
  t.match(await a.publish("x", 2, all), { confirmed: 1 })
  t.strictSame(got, [2])
})

t.test("meta is what it was when it was given", async (t) => {
  const meta = { role: "cook", tags: ["a"] }
  await using net = await testMesh(["a", "b"], { member: (name) => (name === "a" ? { meta } : {}) })
  const { a, b } = net.mesh
  const seen = (): unknown => b.members.get(a.id)!.meta
  meta.role = "thief"
  meta.tags.push("b")
  const c = await net.join("c")
  t.strictSame([...c.members.values()].find(({ name }) => name === "a")!.meta, {
    role: "cook",
    tags: ["a"],
  })
  t.strictSame(seen(), { role: "cook", tags: ["a"] })
  const next = { role: "waiter" }
  const updated = new Promise((resolve) => b.once("update", resolve))
  a.setMeta(next)
  next.role = "thief"
  await updated
  t.strictSame(seen(), { role: "waiter" })
})

t.test("what can't be decoded here is counted, once for each message", async (t) => {
  const odd = { name: "odd", encode: (value: unknown) => Buffer.from(String(value)), decode: String }
  await using net = await testMesh(["a", "b"], { member: (name) => (name === "a" ? { codec: odd } : {}) })
  const { a, b } = net.mesh
  const got: unknown[] = []
  for (let i = 0; i < 2; i++) b.subscribe("x", ({ data, raw }) => void got.push([data, String(raw)]))
  await net.settle()
  const drops: unknown[] = []
  b.on("drop", ({ reason, subject, member, count }) => drops.push([reason, subject, member?.name, count]))
  await a.publish("x", 5)
  await a.flush()
  t.strictSame(got, [
    [undefined, "5"],
    [undefined, "5"],
  ])
  t.strictSame(drops, [["undecodable", "x", "a", 1]])
  t.strictSame(b.stats().dropped, { undecodable: { count: 1, bytes: 1 } })
})

t.test("a request that can't be decoded where it is served reaches no handler, and is answered DECODE", async (t) => {
  const odd = { name: "odd", encode: (value: unknown) => Buffer.from(String(value)), decode: String }
  await using net = await testMesh(["a", "b"], { member: (name) => (name === "a" ? { codec: odd } : {}) })
  const { a, b } = net.mesh
  const got: unknown[] = []
  const serving = b.serve("x", (data) => void got.push(data))
  await net.settle()
  await t.rejects(a.request("x", 5), { code: "DECODE", message: /codec "odd"/ })
  await a.publish("x", 5)
  await a.flush()
  t.equal(await a.request("x", 5, { codec: json }), undefined)
  t.strictSame(got, [5])
  t.match(serving.stats(), { received: 3, failed: 0, running: 0 })
  t.strictSame(b.stats().dropped, { undecodable: { count: 2, bytes: 2 } })
})

t.test("whoever waits for a receipt keeps the process alive, and no longer", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const { open, opened } = gate()
  b.subscribe("x", () => {})
  const work = b.subscribe("job", { queue: "crew", prefetch: 0 }, () => opened)
  await net.settle()
  const before = net.clock.holds
  const confirmed = a.publish("x", 1, { confirm: true })
  t.equal(net.clock.holds, before + 1)
  t.match(await net.until(confirmed), { confirmed: 1 })
  t.equal(net.clock.holds, before)
  await a.publish("job", 1)
  await net.until(a.flush())
  const waiting = a.publish("job", 2, { onFull: "wait" })
  t.ok(net.clock.holds > before)
  open()
  t.match(await net.until(waiting), { sent: 1 })
  await net.clock.settle()
  t.equal(net.clock.holds, before)
  // At the end, too.
  work.unsubscribe()
  b.subscribe("job", { queue: "crew", prefetch: 0 }, () => new Promise(() => {}))
  await net.settle()
  await a.publish("job", 1)
  await net.until(a.flush())
  const dropped = a.publish("job", 2, { onFull: "wait" })
  const unsure = a.publish("x", 1, { confirm: true })
  await net.close()
  t.match(await dropped, { dropped: 1 })
  t.match(await unsure, { sent: 1 })
  t.strictSame([net.clock.holds, net.clock.timers], [0, 0])
})

t.test("a join that fails lets go of the state", async (t) => {
  const state = join(t.testdir(), "state")
  await t.rejects(Mesh.join({ discovery: [], state, codecs: [{ name: "none" } as never] }), { code: "EINVAL" })
  await t.rejects(Mesh.join({ discovery: [], state, listen: ["none://x"] }), { code: "EPROTONOSUPPORT" })
  await member(t, { state })
})

t.test("good addresses are remembered while members are there, and not forgotten alone", async (t) => {
  await using net = await testMesh(["a"])
  const b = await net.join("b", { state: "s" })
  const kept = (): readonly string[] => statesOf(net).byPath.get("s")!.addresses
  t.strictSame(kept(), net.mesh.a.endpoints, "long before it is closed")
  await net.mesh.a.close()
  await until("nobody", () => b.members.size === 0)
  await b.close()
  t.strictSame(kept(), net.mesh.a.endpoints)
})

t.test("samples: as many as may be, whenever they begin; no signal is listened to for ever", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  const { signal } = new AbortController()
  let listeners = 0
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
  Object.assign(signal, {
    addEventListener: (...args: Parameters<typeof add>) => (listeners++, add(...args)),
    removeEventListener: (...args: Parameters<typeof remove>) => (listeners--, remove(...args)),
  })
  const all = Array.from({ length: 65 }, () => a.sample("x", { signal })[Symbol.asyncIterator]())
  const reads = all.map((each) => outcome(each.next()))
  t.equal(await reads[64], "LIMIT")
  t.equal(listeners, 64)
  await a.close()
  await Promise.all(reads)
  t.equal(listeners, 0)
})

t.test("the log tells who goes and what is lost, in lines for people", async (t) => {
  const lines = t.capture(console, "error")
  await using net = await testMesh(["ann", "bob"], { log: "info" })
  const { ann, bob } = net.mesh
  bob.subscribe("x", { queueSize: 1 }, () => new Promise(() => {}))
  bob.subscribe("y", () => {
    throw new Error("oops")
  })
  await net.settle()
  for (let i = 0; i < 3; i++) ann.tryPublish("x", i)
  ann.tryPublish("y", 1)
  await ann.flush()
  await ann.close()
  await until("the goodbye", () => bob.members.size === 0)
  const said = lines().map(({ args: [line] }) => line as string)
  for (const part of [
    /^earshot bob: ann \(.{26}\) is linked$/,
    /^earshot bob: dropped 1 messages about x, 1 bytes: full$/,
    /^earshot bob: error in y: oops$/,
    /^earshot bob: ann \(.{26}\) is gone: goodbye$/,
  ])
    t.ok(
      said.some((line) => part.test(line)),
      `${part}`,
    )
})

t.test("a discovery that throws or never stops harms nobody", async (t) => {
  const throwing = (): never => {
    throw new Error("no")
  }
  const bad = { name: "bad", start: throwing, nudge: throwing, announce: throwing, stop: throwing }
  const stuck = { name: "stuck", start: async () => {}, stop: () => new Promise<void>(() => {}) }
  await using net = await testMesh(["a"], { clock: "virtual" })
  const { endpoints } = net.mesh.a
  const good: Discovery = { name: "good", start: async (host) => host.found({ endpoints }), stop: async () => {} }
  const b = await net.join("b", { discovery: [bad, stuck, good] })
  const errors: string[] = []
  b.on("error", ({ error }) => errors.push(error.message))
  hubOf(b).finder.announce()
  await net.until(net.mesh.a.close())
  await net.clock.settle()
  t.equal(b.members.size, 0)
  t.ok(errors.length >= 2 && errors.every((each) => each === "no"))
  await net.until(b.close(), 5000)
  t.equal(net.clock.timers, 0)
})

t.test("members that are lost are bounded in number: the first one is forgotten", async (t) => {
  const gone: string[] = []
  const note = (what: string) => (member: Member) => {
    gone.push(`${what} ${member.id}`)
    if (what === "forgotten") lost.remove(member)
  }
  const clock = virtualClock()
  const lost: Lost = new Lost(clock, note("left"), note("forgotten"))
  for (let i = 0; i < MOST_LOST + 2; i++) lost.add({ id: String(i) } as Member, false, false)
  t.strictSame(gone, ["left 0", "forgotten 0", "left 1", "forgotten 1"])
  lost.clear()
  t.equal(clock.timers, 0)
})

t.test("work for one who can't take it back is counted where nobody is left to do it", async (t) => {
  const mesh = await member(t)
  const peer = await MeshPeer.join(t, mesh, { features: [] })
  peer.send(publishHead(false, ["crew"], 0), Buffer.from([0, 1, 0x78, 0, 0, 0, 1]))
  await peer.settled()
  t.strictSame(dropsOf(mesh), { busy: 1 })
  t.notOk(peer.inbox.some(([head]) => head![0] === Kind.RETURN))
})

t.test(
  "a leaf whose carrier closes asks again by another, or hears that it is lost: never what is wrong there",
  async (t) => {
    await using net = await testMesh(["carrier"])
    const leaf = await net.join("leaf", { listen: [] })
    const server = await net.join("server")
    const { open, opened } = gate()
    let asked = 0
    server.serve("x", () => (asked++, opened))
    await net.settle()
    const lost = outcome(leaf.request("x", 1))
    const again = leaf.request("x", 2, { idempotent: true, wait: 5000 })
    await until("both", () => asked === 2)
    await net.mesh.carrier.close()
    t.equal(await lost, "PEER_LOST")
    await until("the same again", () => asked === 3)
    open()
    t.equal(await again, undefined)
  },
)
