// What a mesh promises to those who publish and subscribe, on members within one process.
import t from "tap"
import type { Discovery } from "../../lib/mesh/contract.ts"
import type { Ends } from "../../lib/mesh/ends.ts"
import { Mesh, seeds } from "../../lib/mesh/index.ts"
import type { MeshEvents } from "../../lib/mesh/events.ts"
import type { SubscribeOptions } from "../../lib/mesh/subscription.ts"
import { json, raw, text } from "../../lib/mesh/codecs.ts"
import type { PublishOptions } from "../../lib/mesh/outgoing.ts"
import type { Receipt } from "../../lib/mesh/receipt.ts"
import { testMesh, type VirtualTestMesh } from "../../lib/mesh/testing.ts"
import { hubOf } from "../support/mesh-peer.ts"

/** A subscription, and the data of what it got. */
function collect(mesh: Mesh, pattern: string, options: SubscribeOptions = {}) {
  const got: any[] = []
  const sub = mesh.subscribe(pattern, options, (message) => void got.push(message.data))
  return { got, sub }
}

/** Every event of one name. */
function record<Name extends keyof MeshEvents>(mesh: Mesh, name: Name): MeshEvents[Name][] {
  const seen: MeshEvents[Name][] = []
  mesh.on(name, (event) => seen.push(event))
  return seen
}

const sum = (events: readonly { count: number }[]): number => events.reduce((all, { count }) => all + count, 0)

const RECEIPT = { sent: 0, waiting: 0, dropped: 0, reasons: {} }

/** A promise that the test settles. */
function gate() {
  let open!: () => void
  return { opened: new Promise<void>((resolve) => (open = resolve)), open }
}

t.test("a receipt says who was sent it, who waits, and who does not get it, and why", async (t) => {
  await using net = await testMesh(["a", "b", "c", "d"], {
    clock: "virtual",
    member: (name) => (name === "d" ? { maxMessageSize: 65_536 } : {}),
  })
  const { a, b, c, d } = net.mesh
  t.strictSame(await a.publish("x", 1), RECEIPT, "nobody")
  b.subscribe("x.>", { queue: "q" }, () => {})
  c.subscribe("x.>", { queue: "q" }, () => {})
  collect(a, "x")
  collect(b, "x")
  collect(b, "*")
  collect(c, "x")
  await net.settle()
  t.strictSame(await a.publish("x", 1), { ...RECEIPT, sent: 3 }, "members count once each, ourselves too")
  t.strictSame(a.tryPublish("x", 1, { echo: false }), { ...RECEIPT, sent: 2 }, "without us")
  t.strictSame(a.tryPublish("x.y", 1), { ...RECEIPT, sent: 1 }, "one of a group")

  collect(d, "x")
  await net.settle()
  t.strictSame(
    a.tryPublish("x", new Uint8Array(70_000)),
    { ...RECEIPT, sent: 3, dropped: 1, reasons: { "too-large": 1 } },
    "larger than one of them takes",
  )
  net.cut("a", "b")
  await net.clock.settle()
  t.strictSame(a.tryPublish("x", 1), { ...RECEIPT, sent: 3, waiting: 1 }, "kept for one whose link is lost")
  net.cut("a", "c")
  await net.clock.settle()
  const drops = record(a, "drop")
  t.strictSame(
    a.tryPublish("x.y", 1),
    { ...RECEIPT, dropped: 1, reasons: { busy: 1 } },
    "a group none of whose members can be reached",
  )
  t.same(drops, [{ reason: "busy", subject: "x.y", member: undefined, count: 1, bytes: drops[0]!.bytes }])
  await d.close()
  await net.clock.settle()
  t.strictSame(a.tryPublish("x", 1), { ...RECEIPT, sent: 1, waiting: 2 }, "who said goodbye is not missed")
})

t.test("bad arguments throw at once, whatever the state of the mesh", async (t) => {
  await using net = await testMesh(["a"], { clock: "virtual" })
  const { a } = net.mesh
  for (const subject of ["", ".", "a..b", "a.", "a b", "a.*", ">", 7 as never])
    for (const call of [() => a.publish(subject), () => a.tryPublish(subject)])
      t.throws(call, { name: "EarshotError", code: "INVALID_SUBJECT" }, `publish ${JSON.stringify(subject)}`)
  for (const pattern of ["", "a..b", "a.>.b", "a*", "a b"])
    t.throws(() => a.subscribe(pattern), { code: "INVALID_SUBJECT" }, `subscribe ${JSON.stringify(pattern)}`)
  t.throws(() => a.subscribe("x", 7 as never), { code: "EINVAL" })
  t.throws(() => a.subscribe("x", {}, 7 as never), { code: "EINVAL" })
  t.throws(() => a.subscribe("x", { queue: "" }), { code: "EINVAL" })
  t.throws(() => a.subscribe("x", { concurrency: 0 }), { code: "EINVAL" })
  t.throws(() => a.serve("x", undefined as never), { code: "EINVAL" })
  t.throws(() => a.tryPublish("x", 1, { onFull: "wait" }), { code: "EINVAL" })
  t.throws(() => a.tryPublish("x", 1, { confirm: true }), { code: "EINVAL" })
  collect(a, "x")
  const cyclic: unknown[] = []
  cyclic.push(cyclic)
  t.throws(() => a.publish("x", cyclic, { codec: json }), { code: "ENCODE" })
  t.throws(() => a.publish("x", "text", { codec: raw }), { code: "ENCODE" })
  await a.close()
  t.throws(() => a.publish("x"), { code: "EBADF" })
  t.throws(() => a.tryPublish("x"), { code: "EBADF" })
  t.throws(() => a.subscribe("x"), { code: "EBADF" })
  t.throws(() => a.serve("x", () => 1), { code: "EBADF" })
})

t.test("busyPoll is of the links, and has bounds", async (t) => {
  for (const busyPoll of [-1, 0.5, 1_000_001, Infinity, "1" as never])
    await t.rejects(Mesh.join({ busyPoll, discovery: [], listen: ["tcp://127.0.0.1:0"] }), { code: "EINVAL" })
  const join = (busyPoll: number, ...discovery: Discovery[]) =>
    Mesh.join({ network: "polling", busyPoll, discovery, listen: ["tcp://127.0.0.1:0"] })
  const server = await join(100)
  t.teardown(() => server.close())
  const { ends } = hubOf(server).links as unknown as { ends: Ends }
  t.same([ends.listening.settings.busyPoll, ends.dialling.settings.busyPoll], [100, 100])
  server.serve("echo", (data) => data)
  const asker = await join(100, seeds(server.endpoints[0]!))
  t.teardown(() => asker.close())
  for (let n = 0; n < 100; n++) t.equal(await asker.request("echo", n), n)
})

t.test("a message arrives as it was published: subject, data, headers, sender, codec", async (t) => {
  const upper = {
    name: "upper",
    encode: (value: unknown) => new TextEncoder().encode(String(value).toUpperCase()),
    decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
  }
  await using net = await testMesh(["a", "b", "c"], {
    clock: "virtual",
    member: (name) => (name === "b" ? { codecs: [upper] } : {}),
  })
  const { a, b, c } = net.mesh
  const got: any[] = []
  const sub = b.subscribe("*.temp", (message) => void got.push(message))
  const lacking: any[] = []
  c.subscribe("own.temp", (message) => void lacking.push(message))
  await sub.ready()
  const headers = { "Content-Type": "x", "content-type": "y", many: ["1", "2"] }
  a.tryPublish("kitchen.temp", { c: 21.5, at: new Date(0), bytes: Uint8Array.of(1, 2) }, { headers })
  a.tryPublish("json.temp", { a: [1, null] }, { codec: json })
  a.tryPublish("text.temp", "grüße", { codec: text })
  a.tryPublish("raw.temp", Uint8Array.of(7, 8, 9), { codec: raw })
  a.tryPublish("own.temp", "loud", { codec: upper })
  a.tryPublish("none.temp")
  await net.clock.settle()
  t.strictSame(
    got.map(({ subject }) => subject.split(".")[0]),
    ["kitchen", "json", "text", "raw", "own", "none"],
  )
  const [first, asJson, asText, asRaw, own, none] = got
  t.same(first.data, { c: 21.5, at: new Date(0), bytes: Uint8Array.of(1, 2) })
  t.strictSame({ ...first.headers }, headers, "names keep their case")
  t.strictSame([first.from.id, first.from.name, first.user, first.retained], [a.id, "a", undefined, false])
  t.equal(first.reply, undefined)
  t.strictSame([asJson.data, asText.data, own.data, none.data], [{ a: [1, null] }, "grüße", "LOUD", undefined])
  t.same([...asRaw.data], [7, 8, 9])
  t.same([...asRaw.raw], [7, 8, 9])
  t.equal(lacking[0].data, undefined, "a codec that nobody here has")
  t.equal(new TextDecoder().decode(lacking[0].raw), "LOUD")
})

t.test("without a handler a subscription is iterated, and leaving the loop ends it", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const sub = b.subscribe<number>("x")
  await sub.ready()
  for (let i = 0; i < 5; i++) a.tryPublish("x", i)
  const seen: number[] = []
  for await (const { data } of sub) {
    seen.push(data)
    if (data === 3) break
  }
  t.strictSame(seen, [0, 1, 2, 3])
  t.ok(sub.closed)
  await net.clock.settle()
  t.strictSame(a.tryPublish("x", 9), RECEIPT, "the others know")

  const ended = b.subscribe("x", { signal: AbortSignal.abort() })
  t.ok(ended.closed)
  const controller = new AbortController()
  const waiting = b.subscribe("x", { signal: controller.signal })
  const next = waiting[Symbol.asyncIterator]().next()
  controller.abort()
  t.strictSame(await next, { value: undefined, done: true }, "a reader that waits is told")
  t.throws(() => b.subscribe("x", () => {})[Symbol.asyncIterator](), { code: "EBUSY" })

  const slow = gate()
  const handled: number[] = []
  const drained = b.subscribe("y", async ({ data }) => {
    await slow.opened
    handled.push(data)
  })
  await drained.ready()
  for (let i = 0; i < 3; i++) a.tryPublish("y", i)
  await net.clock.settle()
  const done = drained.drain()
  await net.clock.settle()
  t.strictSame(a.tryPublish("y", 3), RECEIPT, "it takes nothing more")
  slow.open()
  await done
  t.strictSame([handled, drained.closed], [[0, 1, 2], true], "but handles what it has")
})

t.test("a subscription hands over in order, one at a time, or as many as it was told", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const run = async (concurrency: number | undefined): Promise<{ most: number; order: number[] }> => {
    let running = 0
    let most = 0
    const order: number[] = []
    const sub = b.subscribe("x", { concurrency }, async ({ data }) => {
      order.push(data)
      most = Math.max(most, ++running)
      // The later, the quicker.
      await new Promise<void>((resolve) => net.clock.timeout(resolve, 100 - data))
      running--
    })
    await sub.ready()
    for (let i = 0; i < 50; i++) a.tryPublish("x", i)
    await net.advance(10_000)
    sub.unsubscribe()
    return { most, order }
  }
  const inOrder = Array.from({ length: 50 }, (_, i) => i)
  t.strictSame(await run(undefined), { most: 1, order: inOrder })
  t.strictSame(await run(7), { most: 7, order: inOrder })
})

t.test("what finds a subscription full is dropped by its rule, and counted; its link goes on", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const other = collect(b, "other")
  const expect = {
    drop: { got: [0, 1, 2, 3, 4], dropped: 5, reason: "full" },
    "drop-oldest": { got: [0, 6, 7, 8, 9], dropped: 5, reason: "full" },
    // Ten messages on three subjects: the first is handled, then the newest of each.
    conflate: { got: [0, 7, 8, 9], dropped: 6, reason: "conflated" },
    // One was too many; then the four that waited.
    end: { got: [0], dropped: 5, reason: "closed" },
  } as const
  for (const onFull of ["drop", "drop-oldest", "conflate", "end"] as const) {
    const drops = record(b, "drop")
    const slow = record(b, "slow")
    const { opened, open } = gate()
    const got: number[] = []
    const sub = b.subscribe("x.*", { onFull, queueSize: 4 }, ({ data }) => {
      got.push(data)
      return opened
    })
    await sub.ready()
    for (let i = 0; i < 10; i++) a.tryPublish(`x.${i % 3}`, i)
    a.tryPublish("other", onFull)
    await net.advance(200)
    t.equal(other.got.at(-1), onFull, "others on the link are not held up")
    t.equal(sub.closed, onFull === "end")
    if (onFull === "drop" || onFull === "drop-oldest") {
      t.strictSame(slow, [{ subject: "x.*", full: true }])
    }
    open()
    await net.advance(200)
    const { dropped, reason } = expect[onFull]
    t.strictSame(got, expect[onFull].got, onFull)
    t.equal(sub.stats().dropped, dropped, "its own count")
    const told = drops.filter((each) => each.subject === "x.*")
    t.equal(sum(told), dropped, "the events' count")
    t.ok(told.some((each) => each.reason === reason))
    sub.unsubscribe()
    await net.clock.settle()
  }
  await t.test("by bytes, too", async (t) => {
    const { opened, open } = gate()
    const got: number[] = []
    const sub = b.subscribe("bytes", { queueBytes: 10_000 }, ({ data }) => {
      got.push(data.length)
      return opened
    })
    await sub.ready()
    for (let i = 0; i < 10; i++) a.tryPublish("bytes", new Uint8Array(4000))
    await net.clock.settle()
    open()
    await net.clock.settle()
    t.strictSame(got, [4000, 4000, 4000], "one is handled, two wait")
    t.equal(sub.stats().dropped, 7)
  })
})

t.test("what a handler throws is counted and told, and ends nothing", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const handler = ({ data }: { data: number }): unknown => {
    if (data % 3 === 0) throw new Error(`at once ${data}`)
    return data % 3 === 1 ? Promise.reject(new Error(`later ${data}`)) : undefined
  }
  // Nobody listens to `error` yet: nothing throws.
  const sub = b.subscribe("x", handler)
  await sub.ready()
  a.tryPublish("x", 0)
  a.tryPublish("x", 1)
  await net.clock.settle()
  const errors = record(b, "error")
  for (let i = 2; i < 8; i++) a.tryPublish("x", i)
  await net.clock.settle()
  t.strictSame(
    errors.map(({ error, subject }) => [error.message, subject]),
    [
      ["at once 3", "x"],
      ["later 4", "x"],
      ["at once 6", "x"],
      ["later 7", "x"],
    ],
  )
  const { received, handled, failed } = sub.stats()
  t.strictSame({ received, handled, failed }, { received: 8, handled: 2, failed: 6 })
  t.notOk(sub.closed)

  // A listener's own throw reaches nobody else; `on` returns what removes it.
  const seen: string[] = []
  const off = b.on("error", () => seen.push("first"))
  b.on("error", () => seen.push("second"))
  a.tryPublish("x", 9)
  await net.clock.settle()
  off()
  a.tryPublish("x", 12)
  await net.clock.settle()
  t.strictSame(seen, ["first", "second", "second"])
})

t.test("every plain handler gets a message once, and one of each group in all", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const patterns = ["x.y", "x.*", "x.>", "*.y", ">"]
  const plain = new Map<string, number[]>()
  const grouped = new Map<string, number[]>()
  const expected = new Map<string, number>()
  for (const [name, mesh] of Object.entries(net.mesh))
    for (const pattern of patterns) {
      const mine: number[] = []
      plain.set(`${name} ${pattern}`, mine)
      mesh.subscribe(pattern, ({ data }) => void mine.push(data))
      for (const queue of ["q", "r"])
        mesh.subscribe(pattern, { queue, prefetch: 1000 }, ({ data }) => {
          const all = grouped.get(queue) ?? []
          grouped.set(queue, all)
          all.push(data)
          expected.set(name, (expected.get(name) ?? 0) + 1)
        })
    }
  await net.settle()
  const count = 300
  const sent = Array.from({ length: count }, (_, i) => i)
  for (const i of sent) {
    const from = Object.values<Mesh>(net.mesh)[i % 3]!
    t.equal(from.tryPublish("x.y", i).sent, 3)
    if (i % 10 === 0) await net.clock.settle()
  }
  await net.clock.settle()
  for (const [who, got] of plain)
    t.strictSame(
      [...got].sort((p, q) => p - q),
      sent,
      `${who}: each once`,
    )
  for (const [queue, got] of grouped)
    t.strictSame(
      [...got].sort((p, q) => p - q),
      sent,
      `${queue}: one in all`,
    )
  for (const [name, shares] of expected) t.ok(shares > count / 6, `${name} does its part: ${shares}`)
  // Who doesn't match every pattern: one group still, whatever its members' patterns.
  grouped.clear()
  net.mesh.a.tryPublish("x.z", -1)
  await net.clock.settle()
  t.strictSame([...grouped.values()], [[-1], [-1]])
})

t.test("no idle worker watches a busy one's queue", async (t) => {
  await using net = await testMesh(["boss", "w1", "w2", "w3"], { clock: "virtual" })
  const { boss } = net.mesh
  const wait = (ms: number): Promise<void> => new Promise((resolve) => net.clock.timeout(resolve, ms))
  const done = new Map<number, { by: string; at: number }>()
  for (const name of ["w1", "w2", "w3"] as const)
    net.mesh[name].subscribe("job", { queue: "workers" }, async ({ data: { id, ms } }) => {
      await wait(ms)
      done.set(id, { by: name, at: net.clock.now() })
    })
  await net.settle()
  const drops = [...Object.values<Mesh>(net.mesh)].map((mesh) => record(mesh, "drop"))
  const start = net.clock.now()
  const receipts = [boss.publish("job", { id: 0, ms: 60_000 }, { onFull: "wait" })]
  await net.clock.settle()
  for (let id = 1; id <= 300; id++) receipts.push(boss.publish("job", { id, ms: 10 }, { onFull: "wait" }))
  await net.advance(20_000)
  // One runs, one waits behind it (prefetch: as many as run); everything else was done by the other two.
  const short = [...done].filter(([id]) => id > 0)
  t.ok(short.length >= 299, `${short.length} of 300 short jobs are done while the slow one runs`)
  t.ok(Math.max(...short.map(([, { at }]) => at)) - start < 300 * 10, "in about half the time that one would take")
  await net.advance(60_000)
  t.equal(done.size, 301, "and all in the end")
  t.equal(new Set([...done.values()].map(({ by }) => by)).size, 3)
  for (const receipt of await Promise.all(receipts)) t.match(receipt, { sent: 1, dropped: 0 })
  t.strictSame(drops.flat(), [])
})

t.test("who iterates is busy between two messages, too", async (t) => {
  await using net = await testMesh(["boss", "w1", "w2"], { clock: "virtual" })
  const { boss } = net.mesh
  const wait = (ms: number): Promise<void> => new Promise((resolve) => net.clock.timeout(resolve, ms))
  const done = new Map<number, string>()
  const work = async (name: "w1" | "w2"): Promise<void> => {
    const jobs = net.mesh[name].subscribe("job", { queue: "workers", prefetch: 0, queueSize: 2 })
    for await (const { data } of jobs) {
      await wait(data.ms)
      done.set(data.id, name)
    }
  }
  const working = [work("w1"), work("w2")]
  await net.settle()
  const drops = [...Object.values<Mesh>(net.mesh)].map((mesh) => record(mesh, "drop"))
  const receipts = [boss.publish("job", { id: 0, ms: 10_000 }, { onFull: "wait" })]
  await net.clock.settle()
  for (let id = 1; id <= 50; id++) receipts.push(boss.publish("job", { id, ms: 10 }, { onFull: "wait" }))
  await net.advance(5000)
  t.equal(done.size, 50, "the other one has done all that is short")
  t.equal(new Set(done.values()).size, 1)
  await net.advance(10_000)
  t.equal(done.size, 51)
  for (const receipt of await Promise.all(receipts)) t.match(receipt, { sent: 1, dropped: 0 })
  t.strictSame(drops.flat(), [])
  await net.close()
  await Promise.all(working)
})

t.test("a group whose members are all full: the publisher drops, or waits for one of them", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  let gates: (() => void)[] = []
  const got: number[] = []
  const sub = b.subscribe("job", { queue: "q" }, ({ data }) => {
    got.push(data)
    return new Promise<void>((resolve) => gates.push(resolve))
  })
  await sub.ready()
  a.tryPublish("job", 0)
  a.tryPublish("job", 1)
  await net.clock.settle()
  t.strictSame(a.tryPublish("job", 2), { ...RECEIPT, dropped: 1, reasons: { busy: 1 } })
  let receipt: unknown
  const waits = a.publish("job", 3, { onFull: "wait" }).then((each) => (receipt = each))
  await net.clock.settle()
  t.equal(receipt, undefined, "it waits")
  for (let i = 0; i < 3; i++) {
    for (const open of gates) open()
    gates = []
    await net.clock.settle()
  }
  t.strictSame(await waits, { ...RECEIPT, sent: 1 })
  t.strictSame(got, [0, 1, 3])
})

t.test("one who answers is asked; what goes wrong has a code", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  await t.rejects(net.until(a.request("add", 1)), { code: "NO_RESPONDERS" })
  const asked = { b: 0, c: 0 }
  b.serve("add", ([x, y]: number[]) => (asked.b++, x! + y!))
  c.serve("add", async ([x, y]: number[]) => (asked.c++, x! + y!))
  // Plain subscribers get a copy, answer nothing and count for nothing.
  const copies: any[] = []
  c.subscribe(">", (message) => void copies.push([message.subject, message.data, message.reply]))
  collect(b, "nobody")
  await net.settle()
  for (let i = 0; i < 50; i++) t.equal(await a.request("add", [i, 1]), i + 1)
  t.equal(asked.b + asked.c, 50, "one of the two for each")
  t.ok(asked.b > 10 && asked.c > 10, `shared: ${asked.b} and ${asked.c}`)
  t.strictSame(copies[0], ["add", [0, 1], undefined])
  t.equal(copies.length, 50)
  await t.rejects(net.until(a.request("nobody")), { code: "NO_RESPONDERS" }, "a plain subscriber is no responder")

  const before = { ...asked }
  for (let i = 0; i < 20; i++) await a.request("add", [1, 1], { to: c.id })
  t.strictSame(asked, { b: before.b, c: before.c + 20 }, "one member, by id")
  t.equal(await c.request("add", [1, 1], { to: c.id }), 2, "oneself, too")
  await t.rejects(net.until(a.request("add", [1, 1], { to: a.id })), { code: "NO_RESPONDERS" })

  b.serve("fails", () => {
    throw Object.assign(new TypeError("no such thing"), { code: "E_THING" })
  })
  b.serve("plainly", () => Promise.reject(new Error("just so")))
  b.serve("unspeakable", () => {
    const cyclic: unknown[] = []
    return (cyclic[0] = () => cyclic)
  })
  await net.settle()
  const error: any = await a.request("fails").catch((each: unknown) => each)
  t.match(error, { name: "EarshotError", code: "REMOTE", remoteCode: "E_THING", message: "no such thing" })
  t.notMatch(error.stack, "mesh.test.ts", "never the handler's stack")
  await t.rejects(a.request("plainly"), { code: "REMOTE", message: "just so" })
  await t.rejects(a.request("unspeakable"), { code: "ENCODE" })
  t.throws(() => a.request("add.*"), { code: "INVALID_SUBJECT" })
  t.throws(() => a.request("add", 1, { timeout: 0 }), { code: "EINVAL" })
})

t.test("a late answer is TIMEOUT, a full server BUSY, and expired work reaches no handler", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const { opened, open } = gate()
  const handled: number[] = []
  const remaining: number[] = []
  b.serve(
    "slow",
    (data, call) => {
      handled.push(data)
      remaining.push(call.remaining)
      return opened
    },
    { concurrency: 1, queueSize: 2 },
  )
  await net.settle()
  const start = net.clock.now()
  const drops = record(b, "drop")
  const late = [0, 1, 2].map((i) => a.request("slow", i, { timeout: 500 + i }).catch((error: unknown) => error))
  await net.clock.settle()
  await t.rejects(a.request("slow", 3), { code: "BUSY" }, "one runs, two wait")
  for (const each of late) t.match(await net.until(each), { code: "TIMEOUT" })
  t.equal(net.clock.now() - start, 502)
  open()
  await net.advance(200)
  t.strictSame([handled, remaining], [[0], [500]])
  t.equal(sum(drops.filter(({ reason }) => reason === "expired")), 2)
})

t.test("who gives up tells the one who was asked", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const aborted: unknown[] = []
  b.serve("long", async (_, { signal }) => {
    await new Promise((resolve) => signal.addEventListener("abort", resolve))
    aborted.push(signal.reason.code)
  })
  await net.settle()
  const controller = new AbortController()
  const asked = a.request("long", null, { signal: controller.signal, timeout: 60_000 })
  await net.clock.settle()
  controller.abort(new Error("changed my mind"))
  await t.rejects(asked, { message: "changed my mind" })
  await net.clock.settle()
  t.strictSame(aborted, ["ECANCELED"])
  const other = a.request("long", null, { timeout: 60_000 })
  await net.clock.settle()
  net.cut("a", "b")
  await t.rejects(net.until(other), { code: "PEER_LOST" }, "who had accepted it is lost")
  await net.advance(6000)
  t.strictSame(aborted, ["ECANCELED", "PEER_LOST"], "and so is the one who asked")
})

t.test("waiting for the mesh to be as it is needed", async (t) => {
  await using net = await testMesh(["a"], { clock: "virtual" })
  const { a } = net.mesh
  await a.ready()
  await t.rejects(net.until(a.ready({ members: 1, timeout: 300 })), { code: "TIMEOUT" })
  await t.rejects(net.until(a.ready({ subject: "x", timeout: 300 })), { code: "TIMEOUT" })
  const two = a.ready({ members: 2 })
  const subject = a.ready({ subject: "x.y" })
  const closing = net.join("b").then((b) => b.subscribe("x.*", () => {}).ready())
  await closing
  await subject
  let done = false
  void two.then(() => (done = true))
  await net.clock.settle()
  t.notOk(done)
  await net.join("c")
  await two
  const waits = t.rejects(a.ready({ members: 7 }), { code: "EBADF" })
  await a.close()
  await waits
})

t.test("flush: what was published before has been read by all", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  const got = [collect(b, "x"), collect(c, "x")]
  await net.settle()
  net.slow("a", "b", 700)
  net.slow("a", "c", 50)
  const before = net.clock.now()
  for (let i = 0; i < 100; i++) a.tryPublish("x", i)
  await net.until(a.flush())
  t.equal(net.clock.now() - before, 1400, "there and back, to the slowest")
  for (const each of got) t.equal(each.got.length, 100)
  net.cut("a", "b", { silent: true })
  await t.rejects(net.until(a.flush({ timeout: 1000 })), { code: "TIMEOUT" })
})

t.test("a program's first publish and request reach who was already there", async (t) => {
  await using net = await testMesh(["b", "c"], { clock: "virtual" })
  const { b, c } = net.mesh
  const got = [collect(b, "news"), collect(c, "news")]
  b.serve("time", () => 12)
  await net.settle()
  const a = await net.add("a")
  t.equal(a.members.size, 0, "nobody is linked yet")
  const receipt = a.publish("news", 1)
  t.strictSame(a.tryPublish("news", 2), { ...RECEIPT, waiting: 1 }, "it waits")
  t.equal(await net.until(a.request("time")), 12)
  t.strictSame(await receipt, { ...RECEIPT, sent: 2 })
  await net.clock.settle()
  for (const each of got) t.strictSame(each.got, [1, 2])

  // Bounded, as any queue; and no longer than `settle` ms.
  const d = await net.add("d", {
    settle: 300,
    discovery: [{ name: "slow", start: () => new Promise(() => {}), stop: async () => {} }],
  })
  const drops = record(d, "drop")
  const receipts = Array.from({ length: 1003 }, () => d.tryPublish("news", 3))
  t.strictSame(receipts[999], { ...RECEIPT, waiting: 1 })
  t.strictSame(receipts[1000], { ...RECEIPT, dropped: 1, reasons: { early: 1 } })
  const start = net.clock.now()
  await net.until(d.ready())
  t.equal(net.clock.now() - start, 300)
  await net.advance(200)
  t.equal(sum(drops), 3)
})

/** Messages of 4 KB through a link that delivers nothing: about 200 are under way, 4,096 (16 MiB) wait. */
const BULK = 6000

/** Numbered messages, in portions that let the other links keep up. */
async function flood(
  net: VirtualTestMesh,
  from: Mesh,
  options: PublishOptions,
  subjectOf: (i: number) => string = () => "x",
): Promise<Promise<Receipt>[]> {
  const receipts: Promise<Receipt>[] = []
  for (let i = 0; i < BULK; i++) {
    receipts.push(from.publish(subjectOf(i), { i, fill: FILL }, options))
    if (i % 50 === 49) await net.clock.settle()
  }
  return receipts
}

const FILL = new Uint8Array(4096)
const numbers = (messages: readonly { i: number }[]): number[] => messages.map(({ i }) => i)
const upTo = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => i + from)

for (const onFull of ["drop", "drop-oldest", "wait", "conflate", "disconnect"] as const)
  t.test(`a member that takes nothing delays no other: ${onFull}`, async (t) => {
    await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
    const { a, b, c } = net.mesh
    const slow = collect(b, "x.>")
    const quick = collect(c, "x.>")
    await net.settle()
    net.cut("a", "b", { silent: true })
    const drops = record(a, "drop")
    const subject = (i: number): string => `x.${onFull === "conflate" ? i % 7 : 0}`
    const receipts = await flood(net, a, { onFull }, subject)
    await net.advance(1)
    t.strictSame(numbers(quick.got), upTo(BULK), "the other has all of it")
    if (onFull !== "disconnect") net.heal()
    await net.advance(1000)
    const all = await Promise.all(receipts)
    const refused = all.filter(({ dropped }) => dropped > 0)
    for (const receipt of refused) t.strictSame(receipt, { ...RECEIPT, sent: 1, dropped: 1, reasons: { full: 1 } })
    const got = numbers(slow.got)
    for (const drop of drops) t.equal(drop.member?.name, "b")
    if (onFull === "drop") {
      t.ok(refused.length > 1000 && refused.length < 2000, `${refused.length} were dropped`)
      t.strictSame(
        got,
        upTo(BULK).filter((i) => all[i]!.dropped === 0),
        "it gets exactly what its receipts promised, in order",
      )
      t.equal(sum(drops), refused.length)
    } else if (onFull === "drop-oldest") {
      t.equal(refused.length, 0)
      t.equal(got.length + sum(drops), BULK, "each has arrived or is counted")
      t.strictSame(got.slice(-3900), upTo(3900, BULK - 3900), "the newest are there")
      t.strictSame(
        got,
        [...got].sort((p, q) => p - q),
      )
    } else if (onFull === "wait") {
      t.equal(refused.length, BULK - got.length, "beyond 1,000 that wait, too, it drops")
      t.ok(got.length > 4000 + 1000 && refused.length > 0, `${got.length} have arrived`)
      t.strictSame(
        got,
        upTo(BULK).filter((i) => all[i]!.dropped === 0),
      )
      t.equal(sum(drops), refused.length)
    } else if (onFull === "conflate") {
      t.equal(refused.length, 0)
      t.equal(got.length + sum(drops), BULK)
      t.ok(drops.every(({ reason }) => reason === "conflated"))
      t.strictSame(
        got.slice(-7).sort((p, q) => p - q),
        upTo(7, BULK - 7),
        "the newest of each subject",
      )
      t.ok(got.length < 500, `${got.length} of ${BULK} have arrived`)
    } else {
      t.ok(refused.length > 0)
      t.equal(got.length, 0)
      t.strictSame(a.tryPublish("x.0", { i: BULK }), { ...RECEIPT, sent: 1, waiting: 1 }, "its link is ended")
      const gaps = record(a, "gap")
      net.heal()
      await net.advance(3000)
      const late = numbers(slow.got)
      t.equal(late.at(-1), BULK, "it has a new one")
      t.ok(gaps.length > 0)
      t.equal(late.length + sum(gaps as { count: number }[]) + refused.length, BULK + 1, "and what it lacks is counted")
    }
  })

t.test("confirm: every chosen member has taken it, or did not say so", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  const got = [collect(a, "x"), collect(b, "x"), collect(c, "x", { queue: "q" })]
  await net.settle()
  net.slow("a", "b", 100)
  const start = net.clock.now()
  t.strictSame(await net.until(a.publish("x", 1, { confirm: true })), {
    ...RECEIPT,
    sent: 3,
    confirmed: 3,
    unconfirmed: 0,
  })
  t.equal(net.clock.now() - start, 200)
  for (const each of got) t.strictSame(each.got, [1])
  t.strictSame(await net.until(a.publish("nobody", 1, { confirm: true })), { ...RECEIPT, confirmed: 0, unconfirmed: 0 })
  net.cut("a", "b", { silent: true })
  t.strictSame(await net.until(a.publish("x", 2, { confirm: true })), {
    ...RECEIPT,
    sent: 3,
    confirmed: 2,
    unconfirmed: 1,
  })
  t.equal(net.clock.now() - start, 10_200)
})

t.test(
  "confirm, and nobody of the group has room yet: who gets it at last confirms it, we ourselves as anybody",
  async (t) => {
    await using net = await testMesh(["a", "b"], { clock: "virtual" })
    const { a, b } = net.mesh
    for (const worker of [b, a]) {
      let free = (): void => {}
      const freed = new Promise<void>((resolve) => (free = resolve))
      const working = worker.subscribe("work", { queue: "w", prefetch: 0 }, () => freed)
      await net.settle()
      await net.until(a.publish("work", "fills it"))
      await net.advance(100)
      const plain = collect(b, "work")
      await net.settle()
      const start = net.clock.now()
      const receipt = a.publish("work", 1, { confirm: true, onFull: "wait" })
      await net.advance(500)
      free()
      t.strictSame(
        await net.until(receipt),
        { ...RECEIPT, sent: 2, confirmed: 2, unconfirmed: 0 },
        "who gets it twice confirms it twice",
      )
      t.ok(net.clock.now() - start < 1000, "as soon as it is taken")
      t.strictSame(plain.got, [1])
      working.unsubscribe()
      plain.sub.unsubscribe()
      await net.settle()
    }
  },
)

t.test("a member keeps the process alive while it subscribes, serves or waits, and not else", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a } = net.mesh
  t.equal(net.clock.holds, 0, "it has joined and has nothing to do")
  const sub = a.subscribe("x", () => {})
  t.equal(net.clock.holds, 1)
  const served = a.serve("y", () => 1)
  t.equal(net.clock.holds, 2)
  sub.unsubscribe()
  sub.unsubscribe()
  served.unsubscribe()
  t.equal(net.clock.holds, 0)
  const controller = new AbortController()
  a.subscribe("x", { signal: controller.signal }, () => {})
  controller.abort()
  t.equal(net.clock.holds, 0)
  const waits = [
    t.rejects(a.request("nobody", 1, { wait: 100 }), { code: "NO_RESPONDERS" }),
    t.rejects(a.ready({ members: 5, timeout: 100 }), { code: "TIMEOUT" }),
    a.flush(),
  ]
  t.ok(net.clock.holds >= 2, "somebody waits for an answer")
  await net.until(Promise.all(waits))
  t.equal(net.clock.holds, 0)
})

t.test("joining and closing, twice in a row, in the middle of everything: nothing stays", async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const net = await testMesh(["a", "b"], { clock: "virtual", seed })
    const { a } = net.mesh
    const idle = net.clock.timers
    const joined = record(a, "join")
    for (let round = 0; round < 2; round++) {
      const c = await net.add("c")
      // At a different point of its way into the mesh each time.
      if (seed > 1) await net.advance(seed - 2)
      const work = [
        c.request("nobody", 1, { wait: 5000 }),
        c.ready({ members: 9 }),
        c.publish("x", 1, { onFull: "wait" }),
        c.publish("x", 1, { confirm: true }),
        c.flush(),
      ].map((each: Promise<unknown>) => each.catch((error: { code: string }) => error.code))
      collect(c, "x")
      void (async () => {
        for await (const _ of c.subscribe("y"));
      })()
      const closed = [c.close(), c.close()]
      t.equal(closed[0], closed[1])
      t.ok(c.closed)
      await net.until(Promise.all(closed))
      await net.until(Promise.all(work), 20_000)
      await c[Symbol.asyncDispose]()
    }
    await net.advance(60_000)
    t.equal(a.members.size, 1, `${joined.length} joins were seen, and nobody is left of them`)
    t.ok(net.clock.timers <= idle + 2, `${net.clock.timers} timers, as before (${idle})`)
    await net.close()
    t.strictSame([net.clock.timers, net.clock.holds], [0, 0], `seed ${seed}`)
  }
})
