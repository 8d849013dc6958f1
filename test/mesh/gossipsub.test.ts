// The mesh over a node's pubsub service, with real nodes on loopback: what everybody gets, what is refused, what hostile
// peers and a stopped node do to it.
import { gossipsub as pubsub, type GossipSub, type GossipsubOpts } from "@libp2p/gossipsub"
import { identify, type Identify } from "@libp2p/identify"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { createLibp2p, type Libp2p } from "libp2p"
import { fork } from "node:child_process"
import t, { type Test } from "tap"
import { codes } from "../../lib/errors.ts"
import { gossipsub, type MeshMessage, type PubsubMesh, type PubsubOptions } from "../../lib/mesh/gossipsub.ts"
import { json, raw, text } from "../../lib/mesh/codecs.ts"
import { completePromise } from "../../transports/libp2p/library.ts"

t.setTimeout(120_000)
completePromise()

type Node = Libp2p<{ pubsub: GossipSub; identify: Identify }>

const unhandled: unknown[] = []
process.on("unhandledRejection", (error) => unhandled.push(error))

const TOPIC = "/earshot/mesh/1/default"

async function createNode(t: Test, options: Partial<GossipsubOpts> = {}): Promise<Node> {
  const node = await createLibp2p({
    addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { pubsub: pubsub(options), identify: identify() },
    connectionManager: { inboundConnectionThreshold: 1000 },
  })
  t.teardown(() => node.stop())
  return node
}

/** Nodes of which each is in the network, connected as `edges` say, by their numbers. */
async function network(
  t: Test,
  size: number,
  edges: readonly (readonly [number, number])[],
  options: Omit<PubsubOptions, "node"> = {},
): Promise<{ nodes: Node[]; meshes: PubsubMesh[] }> {
  const nodes = await Promise.all(Array.from({ length: size }, () => createNode(t)))
  const meshes = nodes.map((node) => join(t, node, options))
  for (const [a, b] of edges) await nodes[a]!.dial(nodes[b]!.getMultiaddrs())
  await Promise.all(
    meshes.map((mesh, i) => mesh.ready({ peers: edges.filter((edge) => edge.includes(i)).length, timeout: 30_000 })),
  )
  return { nodes, meshes }
}

function join(t: Test, node: Node, options: Omit<PubsubOptions, "node"> = {}): PubsubMesh {
  const mesh = gossipsub({ node, ...options })
  t.teardown(() => mesh.close())
  return mesh
}

const line = (size: number): [number, number][] => Array.from({ length: size - 1 }, (_, i) => [i, i + 1])

/** Resolves when it is true; looks again after each turn of the loop that had something to do, or 5 ms. */
async function until(what: string, met: () => boolean, ms = 30_000): Promise<void> {
  const end = performance.now() + ms
  while (!met()) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A node that says by itself what it likes: it takes part, and knows of `peers` others that do. */
async function hostility(node: Node, peers: number): Promise<(bytes: Uint8Array) => Promise<unknown>> {
  const { pubsub } = node.services
  await until("the hostile node knows its peers", () => pubsub.getSubscribers(TOPIC).length >= peers)
  return (bytes) => pubsub.publish(TOPIC, bytes)
}

/** Messages that come to a subscription. */
function listen(mesh: PubsubMesh, pattern: string): MeshMessage[] {
  const messages: MeshMessage[] = []
  mesh.subscribe(pattern, (message) => void messages.push(message))
  return messages
}

t.test("along a line of 10 everybody gets everything of everybody, once", async (t) => {
  const { nodes, meshes } = await network(t, 10, line(10))
  const heard = meshes.map((mesh) => listen(mesh, ">"))
  const EACH = 10
  const receipts = await Promise.all(
    meshes.flatMap((mesh, from) => Array.from({ length: EACH }, (_, i) => mesh.publish(`from.${from}`, i))),
  )
  for (const [i, { sent, waiting, dropped }] of receipts.entries()) {
    const from = Math.floor(i / EACH)
    t.strictSame({ sent, waiting, dropped }, { sent: from % 9 === 0 ? 1 : 2, waiting: 0, dropped: 0 })
  }
  await until("everybody has heard everything", () => heard.every(({ length }) => length >= 10 * EACH))
  const wanted = meshes.flatMap((_, from) => Array.from({ length: EACH }, (_, i) => `from.${from} ${i}`)).sort()
  for (const messages of heard) t.strictSame(messages.map(({ subject, data }) => `${subject} ${data}`).sort(), wanted)
  for (const messages of heard)
    for (const { subject, user, from } of messages) {
      const id = nodes[Number(subject.slice("from.".length))]!.peerId.toString()
      if (user !== id || from.id !== id) t.fail(`${subject} came as from ${user}`)
    }
  for (const mesh of meshes)
    t.match(mesh.stats(), { published: EACH, received: 9 * EACH, wanted: 9 * EACH, waiting: 0, errors: 0 })
  for (const mesh of meshes) t.strictSame(mesh.stats().dropped, {})
})

t.test("who is ready is heard at once, though the other side may be behind", async (t) => {
  for (let i = 0; i < 8; i++) {
    const [here, there] = await Promise.all([createNode(t), createNode(t)])
    const [a, b] = [join(t, here), join(t, there)]
    const heard = listen(b, "n")
    await (i % 2 === 0 ? here.dial(there.getMultiaddrs()) : there.dial(here.getMultiaddrs()))
    await a.ready()
    t.strictSame(a.peers, [b.id])
    t.equal((await a.publish("n", i)).sent, 1)
    await until("it arrives", () => heard.length === 1)
  }
})

t.test(
  "20 nodes in a ring with chords: wildcards, codecs and headers reach those who asked, and nobody else",
  async (t) => {
    const SIZE = 20
    const edges = Array.from({ length: SIZE }, (_, i) => [
      [i, (i + 1) % SIZE] as const,
      ...(i % 4 === 0 ? [[i, (i + 9) % SIZE] as const] : []),
    ]).flat()
    const own = {
      name: "veiled",
      encode: (value: unknown) => Buffer.from(String(value)).map((byte) => byte ^ 1),
      decode: (bytes: Uint8Array) => Buffer.from(bytes.map((byte) => byte ^ 1)).toString(),
    }
    const { meshes } = await network(t, SIZE, edges, { codecs: [own] })
    const stranger = await createNode(t)
    const apart = join(t, stranger)
    await stranger.dial(meshes.length > 0 ? (meshes[0] as any).settings.node.getMultiaddrs() : [])
    await apart.ready()
    const kitchens = meshes.map((mesh) => listen(mesh, "sensors.kitchen.*"))
    const all = meshes.map((mesh) => listen(mesh, "sensors.>"))
    const others = meshes.map((mesh) => listen(mesh, "sensors.*.hum"))
    const raws = listen(apart, ">")
    const [first] = meshes as [PubsubMesh]
    await first.publish("sensors.kitchen.temp", { c: 21.5 }, { headers: { unit: "C", tags: ["a", "b"] } })
    await first.publish("sensors.hall.temp", { c: 19 }, { codec: json })
    await first.publish("sensors.kitchen.text", "warm", { codec: text })
    await first.publish("sensors.kitchen.raw", Uint8Array.of(1, 2, 3), { codec: raw })
    await first.publish("sensors.kitchen.own", "abc", { codec: own })
    await first.publish("sensors.kitchen.temp.indoors", 1)
    await until("all have everything", () => all.every(({ length }) => length >= 6) && raws.length >= 6)
    for (const messages of kitchens) {
      const got = new Map(messages.map((message) => [message.subject.split(".")[2], message]))
      t.strictSame(new Set(got.keys()), new Set(["own", "raw", "temp", "text"]))
      t.equal(messages.length, 4)
      t.strictSame(got.get("temp")!.data, { c: 21.5 })
      t.strictSame({ ...got.get("temp")!.headers }, { unit: "C", tags: ["a", "b"] })
      t.equal(got.get("text")!.data, "warm")
      t.strictSame([...(got.get("raw")!.data as Uint8Array)], [1, 2, 3])
      t.equal(got.get("own")!.data, "abc")
    }
    for (const messages of all)
      t.strictSame(messages.find(({ subject }) => subject === "sensors.hall.temp")!.data, { c: 19 })
    for (const messages of others) t.strictSame(messages, [])
    const unknown = raws.find(({ subject }) => subject === "sensors.kitchen.own")!
    t.equal(unknown.data, undefined, "nobody there has that codec")
    t.equal(Buffer.from(unknown.raw).toString(), "`cb")
    t.strictSame(apart.stats().dropped, {}, "and it was passed on all the same")
  },
)

t.test("a slow subscription is bounded, told of and in nobody's way", async (t) => {
  const { meshes } = await network(t, 2, line(2))
  const [a, b] = meshes as [PubsubMesh, PubsubMesh]
  let release = (): void => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const slow: number[] = []
  const sub = b.subscribe("n", { queueSize: 10 }, async ({ data }) => {
    slow.push(data)
    await held
  })
  const newest = b.subscribe("n", { queueSize: 1, onFull: "drop-oldest" })
  const quick = listen(b, "n")
  const slows: unknown[] = []
  const drops = { full: 0 }
  b.on("slow", (event) => slows.push(event))
  b.on("drop", ({ reason, count }) => reason === "full" && (drops.full += count))
  for (let i = 0; i < 100; i++) await a.publish("n", i)
  await until("the quick one has all", () => quick.length === 100)
  t.match(sub.stats(), { received: 100, dropped: 89, waiting: 10, running: 1 })
  t.ok(slows.some((event: any) => event.subject === "n" && event.full))
  release()
  await until("the slow one has what it kept", () => slow.length === 11)
  t.match(b.stats().dropped, { full: { count: 89 + 99 } })
  await until("the events add up", () => drops.full === 89 + 99)
  for await (const { data } of newest) {
    t.equal(data, quick.at(-1)!.data, "the newest of them")
    break
  }
  t.ok(newest.closed)
  const controller = new AbortController()
  const aborted = b.subscribe("n", { signal: controller.signal })
  controller.abort()
  t.ok(aborted.closed)
  t.ok(b.subscribe("n", { signal: AbortSignal.abort() }).closed)
})

t.test("a handler that throws is an error, and nothing else", async (t) => {
  const { meshes } = await network(t, 2, line(2))
  const [a, b] = meshes as [PubsubMesh, PubsubMesh]
  const errors: any[] = []
  b.on("error", (event) => errors.push(event))
  b.subscribe("n", () => {
    throw new Error("sync")
  })
  b.subscribe("n", () => Promise.reject(new Error("async")))
  b.subscribe("n", () => {
    throw Object.create(null)
  })
  const heard = listen(b, "n")
  await a.publish("n", 1)
  await a.publish("n", 2)
  await until("six were thrown", () => errors.length === 6)
  t.equal(heard.length, 2)
  t.equal(b.stats().errors, 6)
  t.ok(errors.every(({ error, subject }) => error instanceof Error && subject === "n"))
})

t.test(
  "own subscriptions get what is published here, unless it says no, and with an engine that echoes, too",
  async (t) => {
    const loud = await createNode(t, { emitSelf: true })
    const a = join(t, loud)
    const mine = listen(a, "n.>")
    const alone = await a.publish("n.alone", 0)
    t.strictSame(alone, { sent: 0, waiting: 0, dropped: 1, reasons: { alone: 1 } })
    const node = await createNode(t)
    const b = join(t, node)
    const theirs = listen(b, "n.>")
    await node.dial(loud.getMultiaddrs())
    await Promise.all([a.ready(), b.ready()])
    t.equal((await a.publish("n.a", 1)).sent, 1)
    t.equal((await a.publish("n.b", 2, { echo: false })).sent, 1)
    await until("the other one has both", () => theirs.length === 2)
    t.strictSame(
      mine.map(({ subject }) => subject),
      ["n.alone", "n.a"],
    )
    t.ok(mine.every(({ user, from }) => user === a.id && from.id === a.id))
    t.equal(a.id, loud.peerId.toString())
  },
)

t.test("receipts: what nobody gets is said, counted and told", async (t) => {
  const { nodes, meshes } = await network(t, 2, line(2), { maxMessageSize: 2000 })
  const [a, b] = meshes as [PubsubMesh, PubsubMesh]
  const drops: Record<string, number> = {}
  const errors: any[] = []
  a.on("drop", ({ reason, count }) => (drops[reason] = (drops[reason] ?? 0) + count))
  a.on("error", ({ error, subject }) => errors.push([error, subject]))
  const heard: number[] = []
  b.subscribe("n", { queueSize: 10_000 }, ({ data }) => void heard.push(data))

  const big = await a.publish("n", new Uint8Array(2000), { codec: raw })
  t.strictSame(big, { sent: 0, waiting: 0, dropped: 1, reasons: { "too-large": 1 } })

  const receipts = Array.from({ length: 1500 }, (_, i) => a.tryPublish("n", i))
  t.ok(receipts.slice(0, 1000).every(({ waiting, dropped }) => waiting === 1 && dropped === 0))
  t.ok(receipts.slice(1000).every(({ waiting, reasons }) => waiting === 0 && reasons["full"] === 1))
  t.equal(a.stats().waiting, 1000)
  await until("the thousand arrive", () => heard.length === 1000)
  t.equal(a.stats().waiting, 0)
  t.equal(new Set(heard).size, 1000)

  const { pubsub } = nodes[0]!.services
  const publish = pubsub.publish.bind(pubsub)
  pubsub.publish = () => Promise.reject(new Error("PublishError.Duplicate"))
  const refused = await a.publish("n", 1)
  pubsub.publish = publish
  t.strictSame(refused.reasons, { refused: 1 })
  t.equal(errors.length, 1)
  t.match(errors[0]![0].message, /Duplicate/)

  await b.close()
  await until("the other has left", () => a.peers.length === 0)
  t.strictSame((await a.publish("n", 1)).reasons, { alone: 1 })
  await until("the events add up", () => drops["full"] === 500)
  t.strictSame(drops, { "too-large": 1, full: 500, refused: 1, alone: 1 })
  const { dropped } = a.stats()
  t.strictSame(Object.fromEntries(Object.entries(dropped).map(([reason, { count }]) => [reason, count])), drops)
})

t.test("garbage is turned back by the first who sees it, counted and told; what is good goes on", async (t) => {
  // The hostile node, one that judges, one behind it.
  const [hostile, judge, behind] = await Promise.all([createNode(t), createNode(t), createNode(t)])
  const [b, c] = [join(t, judge, { maxMessageSize: 5000 }), join(t, behind)]
  hostile.services.pubsub.subscribe(TOPIC)
  await hostile.dial(judge.getMultiaddrs())
  await judge.dial(behind.getMultiaddrs())
  await Promise.all([b.ready({ peers: 2 }), c.ready()])
  const say = await hostility(hostile, 1)
  const heard = listen(c, "good.>")
  const told: Record<string, number> = {}
  const members = new Set<string | undefined>()
  b.on("drop", ({ reason, count, member }) => {
    told[reason] = (told[reason] ?? 0) + count
    members.add(member?.id)
  })
  const good = Buffer.from([0, 6, ...Buffer.from("good.1"), 3, 0, 0, ...Buffer.from("hello")])
  const subject = (name: string): Buffer => Buffer.from([name.length >> 8, name.length, ...Buffer.from(name), 3, 0, 0])
  const deep = Buffer.from([0, 1, 0x6e, 3, 0, 4, 0x81, 0xa1, 0x61, 0xc1])
  const garbage = [
    Buffer.from([0]),
    Buffer.from("not a message at all"),
    Buffer.from([0xff, 0xff, ...Buffer.alloc(100, 0x61)]),
    Buffer.from([0, 0, 1, 0, 0]),
    subject("with.*"),
    subject("a..b"),
    subject("spa ce"),
    Buffer.from([0, 2, 0xc3, 0x28, 1, 0, 0]),
    Buffer.from([0, 1, 0x6e, 255, 0, 0, 0]),
    Buffer.from([0, 1, 0x6e, 255, 200, 0, 0]),
    Buffer.from([0, 1, 0x6e, 1, 0xff, 0xff]),
    deep,
    ...Array.from({ length: 11 }, (_, size) => good.subarray(0, size)),
  ]
  for (const bytes of garbage) await say(bytes)
  await say(Buffer.concat([good, Buffer.alloc(6000, 0x61)]))
  for (let i = 0; i < 5; i++) await say(good)
  await until("what is good arrives", () => heard.length === 5)
  t.ok(heard.every(({ data, user }) => data === "hello" && user === hostile.peerId.toString()))
  t.match(b.stats(), { received: 5, wanted: 0 })
  t.match(b.stats().dropped, { malformed: { count: garbage.length }, "too-large": { count: 1 } })
  await until("the events add up", () => told["malformed"] === garbage.length && told["too-large"] === 1)
  t.strictSame([...members], [hostile.peerId.toString()])
  const { received, dropped } = c.stats()
  t.strictSame({ received, dropped }, { received: 5, dropped: {} }, "nothing of it was passed on")
})

t.test("random bytes, and good messages with bytes changed: each is taken or counted, none does harm", async (t) => {
  const [hostile, judge] = await Promise.all([createNode(t), createNode(t)])
  const b = join(t, judge)
  hostile.services.pubsub.subscribe(TOPIC)
  await hostile.dial(judge.getMultiaddrs())
  await b.ready()
  const say = await hostility(hostile, 1)
  const read: unknown[] = []
  b.subscribe(">", { queueSize: 10_000 }, ({ data, headers, raw }) => void read.push([data, headers, raw]))
  let seed = 7
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
    return seed % below
  }
  const good = Buffer.from([0, 1, 0x6e, 1, 0, 5, 0x81, 0xa1, 0x61, 0xa1, 0x62, 0x93, 1, 2, 3])
  const COUNT = 400
  for (let i = 0; i < COUNT; i++) {
    const bytes =
      i % 2 === 0 ? Buffer.from(Array.from({ length: 1 + random(60) }, () => random(256))) : Buffer.from(good)
    if (i % 2 === 1) bytes[random(bytes.length)] = random(256)
    await say(bytes)
  }
  const seen = (): number => b.stats().received + (b.stats().dropped.malformed?.count ?? 0)
  await until("all have been judged", () => seen() === COUNT)
  t.ok(b.stats().received > 20 && b.stats().received < COUNT, `${b.stats().received} could be read`)
  t.equal(b.stats().wanted, read.length)
  t.equal(b.stats().errors, 0)
})

t.test("what nobody has signed, and what is played back as our own, is not taken", async (t) => {
  const [unsigned, node] = await Promise.all([createNode(t, { globalSignaturePolicy: "StrictNoSign" }), createNode(t)])
  const mesh = join(t, node)
  const heard = listen(mesh, ">")
  unsigned.services.pubsub.subscribe(TOPIC)
  await unsigned.dial(node.getMultiaddrs())
  await mesh.ready()
  const bytes = Buffer.from([0, 1, 0x6e, 3, 0, 0])
  const say = await hostility(unsigned, 1)
  await say(bytes)
  const validator = node.services.pubsub.topicValidators.get(TOPIC)!
  const judged = (message: object): unknown =>
    validator(unsigned.peerId, { topic: TOPIC, data: bytes, ...message } as any)
  t.equal(judged({ type: "unsigned" }), "reject")
  t.equal(judged({ type: "signed", from: node.peerId }), "ignore")
  t.equal(judged({ type: "signed", from: unsigned.peerId }), "accept")
  await until("the last one arrives", () => heard.length > 0)
  t.equal(heard.length, 1)
  t.equal(mesh.stats().received, 1)
})

t.test("a message that waits holds no more memory than its own", async (t) => {
  const { meshes } = await network(t, 2, line(2))
  const [a, b] = meshes as [PubsubMesh, PubsubMesh]
  const heard = listen(b, "n")
  for (let i = 0; i < 50; i++) a.tryPublish("n", new Uint8Array(i % 2 === 0 ? 10 : 20_000), { codec: raw })
  await until("all are there", () => heard.length === 50)
  const kept = heard.map(({ raw }) => raw.buffer.byteLength - raw.length)
  t.ok(Math.max(...kept) < 4096 + 64, `${Math.max(...kept)} bytes besides`)
})

t.test("the node is stopped under it", async (t) => {
  const { nodes, meshes } = await network(t, 3, line(3))
  const [a, b, c] = meshes as [PubsubMesh, PubsubMesh, PubsubMesh]
  const errors: any[] = []
  b.on("error", ({ error }) => errors.push(error))
  const sub = b.subscribe("n")
  const ended = (async () => {
    for await (const _ of sub);
    return "ended"
  })()
  const waiting = b.ready({ peers: 9, timeout: 60_000 })
  const publishing = Array.from({ length: 200 }, (_, i) => b.publish("n.x", i))
  await Promise.all([nodes[1]!.stop(), t.rejects(waiting, { code: "EBADF" })])
  const receipts = await Promise.all(publishing)
  t.ok(receipts.every(({ sent, dropped }) => sent + dropped > 0))
  t.equal(await ended, "ended")
  t.ok(b.closed)
  t.strictSame(
    errors.map(({ code }) => code),
    ["EADDRNOTAVAIL"],
  )
  t.throws(() => b.publish("n", 1), { code: "EBADF" })
  t.throws(() => b.subscribe("n"), { code: "EBADF" })
  t.throws(() => b.ready(), { code: "EBADF" })
  t.strictSame(b.peers, [])
  t.equal(b.stats().peers, 0)
  await b.close()
  await until("the others know", () => a.peers.length === 0 && c.peers.length === 0)
  t.strictSame((await a.publish("n", 1)).reasons, { alone: 1 })
  await nodes[1]!.start()
  const again = join(t, nodes[1]!)
  const heard = listen(again, "n")
  await nodes[0]!.dial(nodes[1]!.getMultiaddrs())
  await Promise.all([a.ready(), again.ready()])
  await a.publish("n", "back")
  await until("it is back", () => heard.length === 1)
})

t.test(
  "a program without Earshot takes part; when it stops reading it is given up, and nothing fills up",
  async (t) => {
    const node = await createNode(t, { maxOutboundBufferSize: 1024 * 1024 })
    const mesh = join(t, node)
    const heard = listen(mesh, "plain.>")
    const program = new URL("../support/peers/plain-pubsub.mjs", import.meta.url)
    const child = fork(program, [node.getMultiaddrs()[0]!.toString()], { execArgv: [], stdio: ["ignore", 2, 2, "ipc"] })
    // `child.kill` works once on Deno.
    const signal = (name: NodeJS.Signals): unknown => process.kill(child.pid!, name)
    t.teardown(() => signal("SIGKILL"))
    const told: { id?: string; subject?: string; size?: number }[] = []
    child.on("message", (message: object) => void told.push(message))
    await mesh.ready()
    await until("it has said who it is", () => told.length > 0)
    t.strictSame(mesh.peers, [told[0]!.id])
    await mesh.publish("to.plain", "hello", { codec: text })
    await until("it has heard us", () => told.length === 2)
    t.strictSame(told[1], { subject: "to.plain", size: 2 + 8 + 1 + 2 + 5 })
    child.send({ subject: "plain.1", text: "hello" })
    await until("we have heard it", () => heard.length === 1)
    t.match(heard[0], { data: "hello", user: told[0]!.id })

    signal("SIGSTOP")
    const piece = new Uint8Array(100_000)
    let given = 0
    while (given < 500 && (await mesh.publish("big", piece, { codec: raw })).sent === 1) given++
    t.ok(given < 200, `${given} pieces of 100 kB wait on the way`)
    t.strictSame(mesh.peers, [], "it is given nothing more")
    t.strictSame((await mesh.publish("big", piece, { codec: raw })).reasons, { alone: 1 })
    t.equal(mesh.stats().dropped.alone!.count, 2)
    signal("SIGCONT")
    await node.hangUp(node.getPeers()[0]!)
    await mesh.ready()
    await mesh.publish("to.plain.again", 1)
    await until("it hears us again", () => told.some(({ subject }) => subject === "to.plain.again"))
  },
)

t.test("networks on one node are apart, and one network is there once", async (t) => {
  const { nodes, meshes } = await network(t, 2, line(2))
  const [a, b] = meshes as [PubsubMesh, PubsubMesh]
  const [home, away] = nodes.map((node) => join(t, node, { network: "other" })) as [PubsubMesh, PubsubMesh]
  await Promise.all([home.ready(), away.ready()])
  const [here, there] = [listen(b, ">"), listen(away, ">")]
  await a.publish("n", 1)
  await home.publish("n", 2)
  await until("both have come", () => here.length > 0 && there.length > 0)
  t.strictSame([here.map(({ data }) => data), there.map(({ data }) => data)], [[1], [2]])
  t.throws(() => gossipsub({ node: nodes[0]! }), { code: "EADDRINUSE" })
  const closing = a.close()
  t.ok(a.closed)
  await closing
  t.notOk(nodes[0]!.services.pubsub.getTopics().includes(TOPIC))
  t.equal(nodes[0]!.status, "started", "the node is the user's")
  const again = join(t, nodes[0]!)
  await again.ready()
  await again.close()
  await again.close()
  await (again as any)[Symbol.asyncDispose]()
  await home.publish("n", 3)
  await until("the other network goes on", () => there.length === 2)
})

t.test("what pubsub can't hold is refused, with the way out", async (t) => {
  const mesh = join(t, await createNode(t))
  const any = mesh as any
  for (const name of [
    "request",
    "requestMany",
    "serve",
    "flush",
    "drain",
    "setMeta",
    "sample",
    "explain",
    "diagnose",
    "health",
  ])
    t.throws(() => any[name]("a.b", () => {}), {
      code: "ENOTSUP",
      message: new RegExp(`^${name}\\(\\): .*(over pubsub|Mesh\\.join)`),
    })
  t.strictSame(Object.keys(mesh).includes("request"), false)
  // @ts-expect-error There are no requests in the type.
  t.throws(() => mesh.request("a.b"), { code: "ENOTSUP" })
  // @ts-expect-error Nor queue groups.
  t.throws(() => mesh.subscribe("a.b", { queue: "workers" }), { code: "ENOTSUP", message: /queue groups/ })
  t.throws(() => any.subscribe("a.b", { responds: true }), { code: "ENOTSUP" })
  t.throws(() => any.subscribe("a.b", { prefetch: 3 }), { code: "ENOTSUP" })
  // @ts-expect-error Nor confirmations.
  t.throws(() => mesh.publish("a.b", 1, { confirm: true }), { code: "ENOTSUP" })
  t.throws(() => any.tryPublish("a.b", 1, { onFull: "wait" }), { code: "ENOTSUP", message: /await publish/ })
  t.throws(() => any.ready({ members: 2 }), { code: "ENOTSUP", message: /peers/ })
  t.throws(() => any.ready({ subject: "a.b" }), { code: "ENOTSUP" })
  await t.rejects((mesh.subscribe("a.b") as any).ready(), { code: "ENOTSUP" })
  t.match(mesh.stats(), { published: 0, subscriptions: [{ pattern: "a.b" }] }, "nothing was half done")
  t.ok("ENOTSUP" in codes)
})

t.test("arguments that can never work throw at once", async (t) => {
  const node = await createNode(t)
  const mesh = join(t, node)
  const any = mesh as any
  for (const subject of ["a..b", "a.*", "", "$SYS.x", "_INBOX.1", 7])
    t.throws(() => any.publish(subject, 1), { code: "INVALID_SUBJECT" }, `publish ${subject}`)
  for (const pattern of ["a..b", "a.>.b", "", "$SYS.>", 7])
    t.throws(() => any.subscribe(pattern), { code: "INVALID_SUBJECT" }, `subscribe ${pattern}`)
  t.throws(() => mesh.publish("a", () => {}, { codec: json }), { code: "ENCODE" })
  t.throws(() => any.publish("a", 1, { headers: { a: 1 } }), { code: "EINVAL" })
  t.throws(() => any.publish("a", 1, null), { code: "EINVAL" })
  t.throws(() => any.subscribe("a", {}, "no function"), { code: "EINVAL" })
  t.throws(() => any.subscribe("a", null), { code: "EINVAL" })
  t.throws(() => any.subscribe("a", { signal: {} }), { code: "EINVAL" })
  t.throws(() => any.ready({ peers: -1 }), { code: "EINVAL" })
  t.throws(() => any.on("join", () => {}), { code: "EINVAL", message: /there are slow, drop, error$/ })
  for (const timeout of ["soon", -1, Number.NaN]) t.throws(() => any.ready({ timeout }), { code: "EINVAL" })
  await t.rejects(mesh.ready({ timeout: 20 }), { code: "TIMEOUT", message: /0 connected nodes/ })
  t.strictSame(mesh.stats().subscriptions, [])

  const create = gossipsub as (options: any) => unknown
  t.throws(() => create(undefined), { code: "EINVAL" })
  t.throws(() => create({}), { code: "EINVAL" })
  t.throws(() => create({ node, queue: "x" }), { code: "EINVAL" })
  t.throws(() => create({ node, network: "" }), { code: "EINVAL" })
  t.throws(() => create({ node, maxMessageSize: 10 }), { code: "EINVAL" })
  t.throws(() => create({ node, codec: {} }), { code: "EINVAL" })
  const bare = await createLibp2p({ transports: [tcp()], start: false })
  t.throws(() => create({ node: bare }), { code: "ENOTSUP", message: /services\.pubsub/ })
  const unsigned = await createNode(t, { globalSignaturePolicy: "StrictNoSign" })
  t.throws(() => gossipsub({ node: unsigned }), { code: "ENOTSUP", message: /StrictSign/ })
  const stopped = await createNode(t)
  await stopped.stop()
  t.throws(() => gossipsub({ node: stopped }), { code: "EADDRNOTAVAIL" })
})

t.test("no rejection went unhandled", async (t) => {
  t.strictSame(unhandled, [])
})
