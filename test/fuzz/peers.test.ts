// Peers that know the protocol and break its rules, or keep to its letter and are up to no good: over TCP, to sockets that
// exchange messages with a good peer all the while.
import t, { type Test } from "tap"
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  type ErrorCode,
} from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { Ends } from "./support/ends.ts"
import { evilServer, evilTo, type EvilPeer } from "./support/evil-tcp.ts"
import { makeWorld, type World } from "./support/worlds.ts"
import {
  ascii,
  command,
  COMMAND,
  frame,
  greeting,
  head,
  LONG,
  message,
  MORE,
  partners,
  ping,
  property,
  ready,
  typeNames,
  type TypeName,
} from "./support/zmtp.ts"

// A pending connect() keeps no process alive.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => clearInterval(alive))

const MiB = 1024 * 1024

class Scene {
  readonly world: World
  readonly ends: Ends
  readonly endpoint: string

  constructor(world: World, endpoint: string) {
    this.world = world
    this.ends = new Ends(world.socket)
    this.endpoint = endpoint
  }

  static async of(t: Test, type: TypeName, options: object = {}): Promise<Scene> {
    const world = await makeWorld(type, undefined, options)
    await world.socket.bind("tcp://127.0.0.1:*")
    t.teardown(() => world.close())
    return new Scene(world, world.socket.lastEndpoint!)
  }

  async peer(...chunks: Uint8Array[]): Promise<EvilPeer> {
    const peer = await evilTo(this.endpoint)
    peer.say(...chunks)
    return peer
  }

  /** The connection ends so, and nobody else notices. */
  async endsWith(
    t: Test,
    peer: EvilPeer,
    event: "handshake" | "disconnect",
    code: ErrorCode,
    what: string,
  ): Promise<string> {
    const end = await this.ends.next(peer.address)
    t.strictSame([end.event, end.error?.code], [event, code], what)
    t.ok(await peer.gone(), `${what}: the connection is closed`)
    await this.world.exchange(true)
    return end.error?.message ?? ""
  }

  /** The peer is there still: it gets an answer to a PING. */
  async lives(t: Test, peer: EvilPeer, what: string): Promise<void> {
    peer.say(ping(0, "still there"))
    t.ok(await peer.hears((bytes) => bytes.includes("PONGstill there")), `${what}: the connection lives`)
    await this.world.exchange(false)
  }
}

const own = (type: TypeName): string => partners[type][0]
const hello = (type: TypeName, ...properties: Buffer[]): Buffer =>
  Buffer.concat([greeting(), ready(own(type), ...properties)])
const longCommand = (name: string, data: Buffer): Buffer => {
  const body = Buffer.concat([Buffer.from([name.length]), ascii(name), data])
  return Buffer.concat([head(COMMAND | LONG, body.length), body])
}

t.test("handshakes that must fail", async (t) => {
  const scene = await Scene.of(t, "PULL")
  const push = ready("PUSH")
  const many = Buffer.concat(Array.from({ length: 257 }, (_, i) => property(`X${i}`, "")))
  const wrong: [string, Buffer, ErrorCode][] = [
    ["HTTP", ascii("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "EPROTO"],
    ["TLS", Buffer.from("16030100a5010000a10303", "hex"), "EPROTO"],
    ["ZMTP 1.0", Buffer.from([1, 0]), "VERSION"],
    ["ZMTP 1.0 with a signature", Buffer.concat([greeting().subarray(0, 10), Buffer.from([0, 1])]), "VERSION"],
    ["ZMTP 2.0", Buffer.concat([greeting().subarray(0, 10), Buffer.from([1, 8, 0, 0])]), "VERSION"],
    ["another mechanism", Buffer.concat([greeting("PLAIN"), push]), "MECHANISM"],
    ["a mechanism in lower case", Buffer.concat([greeting("null"), push]), "MECHANISM"],
    ["no mechanism", Buffer.concat([greeting(""), push]), "MECHANISM"],
    ["a mechanism of 20 bytes", Buffer.concat([greeting("NULLNULLNULLNULLNULL"), push]), "MECHANISM"],
    ["something behind the mechanism", Buffer.concat([greeting("NULL\0X"), push]), "EPROTO"],
    ["a message before READY", Buffer.concat([greeting(), message("early"), push]), "EPROTO"],
    ["an empty message before READY", Buffer.concat([greeting(), message("")]), "EPROTO"],
    ["READY as a message", Buffer.concat([greeting(), frame(0, push.subarray(2))]), "EPROTO"],
    ["READY with MORE", Buffer.concat([greeting(), frame(COMMAND | MORE, push.subarray(2))]), "EPROTO"],
    ["reserved flags", Buffer.concat([greeting(), frame(0x40, push.subarray(2))]), "EPROTO"],
    ["PING before READY", Buffer.concat([greeting(), ping(), push]), "EPROTO"],
    ["SUBSCRIBE before READY", Buffer.concat([greeting(), command("SUBSCRIBE"), push]), "EPROTO"],
    ["an empty command", Buffer.concat([greeting(), frame(COMMAND, Buffer.alloc(0))]), "EPROTO"],
    ["a command with an empty name", Buffer.concat([greeting(), frame(COMMAND, Buffer.from([0, 1, 2]))]), "EPROTO"],
    [
      "a command's name longer than the command",
      Buffer.concat([greeting(), frame(COMMAND, Buffer.from([6, 82, 69]))]),
      "EPROTO",
    ],
    [
      "a stray byte after the properties",
      Buffer.concat([greeting(), command("READY", Buffer.concat([property("Socket-Type", "PUSH"), Buffer.from([0])]))]),
      "EPROTO",
    ],
    [
      "a value longer than the command",
      Buffer.concat([greeting(), command("READY", Buffer.from("\x0bSocket-Type\xff\xff\xff\xffPUSH", "latin1"))]),
      "EPROTO",
    ],
    [
      "a property's name of strange characters",
      Buffer.concat([greeting(), ready("PUSH", property("a b", ""))]),
      "EPROTO",
    ],
    ["257 properties", Buffer.concat([greeting(), longCommand("READY", many)]), "EPROTO"],
    [
      "a READY of 100 KB",
      Buffer.concat([greeting(), longCommand("READY", property("Socket-Type", Buffer.alloc(100_000)))]),
      "EMSGSIZE",
    ],
    ["a READY of 2^62 bytes", Buffer.concat([greeting(), head(COMMAND, 2n ** 62n)]), "EMSGSIZE"],
    ["a type that doesn't fit", Buffer.concat([greeting(), ready("PULL")]), "INCOMPATIBLE"],
    ["a type that doesn't exist", Buffer.concat([greeting(), ready("PUSHY")]), "INCOMPATIBLE"],
    ["an empty type", Buffer.concat([greeting(), ready("")]), "INCOMPATIBLE"],
    ["a type of control characters", Buffer.concat([greeting(), ready("\x1b[2J\n".repeat(100))]), "INCOMPATIBLE"],
    [
      "a routing id of 256 bytes",
      Buffer.concat([greeting(), ready("PUSH", property("Identity", Buffer.alloc(256, 1)))]),
      "EPROTO",
    ],
    [
      "a routing id that begins with a zero byte",
      Buffer.concat([greeting(), ready("PUSH", property("Identity", "\0abcd"))]),
      "EPROTO",
    ],
    ["ERROR", Buffer.concat([greeting(), command("ERROR", ascii("\x03400"))]), "REFUSED"],
    ["ERROR of control characters", Buffer.concat([greeting(), command("ERROR", ascii("\x04\x1b[2J"))]), "REFUSED"],
    ["a malformed ERROR", Buffer.concat([greeting(), command("ERROR", ascii("\x09400"))]), "EPROTO"],
  ]
  for (const [what, bytes, code] of wrong) {
    const text = await scene.endsWith(t, await scene.peer(bytes), "handshake", code, what)
    t.match(text, /^[\x20-\x7e…]{1,400}$/, "a reason fit for a log")
  }
})

t.test("handshakes that must not fail", async (t) => {
  const scene = await Scene.of(t, "PULL")
  const padding = greeting()
  padding.fill(0xee, 1, 9)
  const filler = greeting()
  filler.fill(0xee, 33)
  const right: [string, Buffer, Buffer][] = [
    ["the as-server bit", greeting("NULL", 3, 1, 1), ready("PUSH")],
    ["ZMTP 3.9", greeting("NULL", 3, 9), ready("PUSH")],
    ["ZMTP 255.0", greeting("NULL", 255, 0), ready("PUSH")],
    ["anything in the padding", padding, ready("PUSH")],
    ["anything in the filler", filler, ready("PUSH")],
    ["no Socket-Type", greeting(), ready(undefined)],
    ["no properties", greeting(), command("READY")],
    ["names in another case", greeting(), command("READY", property("sOCKET-tYPE", "PUSH"))],
    [
      "a routing id of 255 bytes",
      greeting(),
      longCommand(
        "READY",
        Buffer.concat([property("Socket-Type", "PUSH"), property("Identity", Buffer.alloc(255, 1))]),
      ),
    ],
    [
      "256 properties",
      greeting(),
      longCommand("READY", Buffer.concat(Array.from({ length: 256 }, (_, i) => property(`X${i}`, "")))),
    ],
    ["the same property twice", greeting(), ready("PUSH", property("X", "1"), property("X", "2"))],
    ["nonsense for X-Earshot-Max", greeting(), ready("PUSH", property("X-Earshot-Max", "-1e99"))],
    ["READY as a long command", greeting(), longCommand("READY", property("Socket-Type", "PUSH"))],
  ]
  for (const [what, first, second] of right) {
    const peer = await scene.peer(first, second)
    await scene.lives(t, peer, what)
    peer.hangUp()
    await scene.ends.next(peer.address)
  }
  const old = await scene.peer(greeting("NULL", 3, 0), ready("PUSH"))
  await scene.lives(t, old, "ZMTP 3.0")
})

t.test("traffic that must end the connection", async (t) => {
  for (const type of typeNames) {
    if (type === "PAIR") continue
    const scene = await Scene.of(t, type, { maxMessageSize: 1000, maxMessageParts: 10 })
    const wrong: [string, Buffer, ErrorCode][] = [
      ["reserved flags", frame(8, Buffer.alloc(1)), "EPROTO"],
      ["a command with MORE", frame(COMMAND | MORE, ascii("\x04PING\0\0")), "EPROTO"],
      [
        "a command with MORE between frames",
        Buffer.concat([frame(MORE, Buffer.alloc(0)), frame(COMMAND | MORE, ascii("\x04PING\0\0"))]),
        "EPROTO",
      ],
      ["an empty command", frame(COMMAND, Buffer.alloc(0)), "EPROTO"],
      ["a command with an empty name", frame(COMMAND, Buffer.from([0])), "EPROTO"],
      ["a command's name longer than the command", frame(COMMAND, Buffer.from([200, 1, 2])), "EPROTO"],
      ["PING without time-to-live", command("PING"), "EPROTO"],
      ["PING with half a time-to-live", command("PING", Buffer.alloc(1)), "EPROTO"],
      ["ERROR", command("ERROR", ascii("\x05sorry")), "REFUSED"],
      ["a malformed ERROR", command("ERROR", ascii("\xff")), "EPROTO"],
      ["2^63 bytes", head(0, 2n ** 63n), "EMSGSIZE"],
      ["2^64 - 1 bytes", head(MORE, 2n ** 64n - 1n), "EMSGSIZE"],
      ["a message over the limit", head(0, 1001), "EMSGSIZE"],
      ["frames over the limit together", Buffer.concat([frame(MORE, Buffer.alloc(600)), head(0, 401)]), "EMSGSIZE"],
      ["too many frames", Buffer.alloc(22, frame(MORE, Buffer.alloc(0))), "EMSGSIZE"],
      ["a command over the limit of commands", head(COMMAND, 65_537), "EMSGSIZE"],
    ]
    for (const [what, bytes, code] of wrong)
      await scene.endsWith(t, await scene.peer(hello(type), bytes), "disconnect", code, `${type}: ${what}`)
  }
})

t.test("traffic that must not end the connection", async (t) => {
  for (const type of typeNames) {
    if (type === "PAIR") continue
    const scene = await Scene.of(t, type)
    const right: [string, Buffer][] = [
      ["READY once more", ready(own(type), property("Identity", "another"))],
      ["an unknown command", command("MADEUP", Buffer.alloc(100))],
      ["a command named by any bytes", frame(COMMAND, Buffer.from([3, 0, 255, 10]))],
      ["SUBSCRIBE and CANCEL", Buffer.concat([command("SUBSCRIBE", ascii("x")), command("CANCEL", ascii("y"))])],
      ["a PONG that nobody asked for", command("PONG", ascii("\0\0\0\x01"))],
      ["a PING with a context of 58 bytes", ping(0, "x".repeat(58))],
      ["a PING in the middle of a message", Buffer.concat([frame(MORE, Buffer.alloc(0)), ping(), message("", "x")])],
      ["a long frame that could be short", Buffer.concat([frame(MORE, Buffer.alloc(0)), head(LONG, 1), ascii("x")])],
      ["PINGs with every time-to-live", Buffer.concat([1000, 65_535, 0].map((tenths) => ping(tenths)))],
    ]
    for (const [what, bytes] of right) {
      const peer = await scene.peer(hello(type), bytes)
      await scene.lives(t, peer, `${type}: ${what}`)
      peer.hangUp()
      await scene.ends.next(peer.address)
    }
    await scene.world.exchange(true)
  }
})

t.test("messages of the wrong kind are dropped and counted", async (t) => {
  const wrong: [TypeName, string, Buffer, number][] = [
    ["PUSH", "to one that receives none", message("data"), 1],
    ["PUB", "that is no subscription", Buffer.concat([message("data"), message(""), message("\x01a", "b")]), 3],
    ["REP", "without delimiter", Buffer.concat([message("data"), message("a", "b")]), 2],
    ["REP", "with nothing behind the delimiter", Buffer.concat([message(""), message("id", "")]), 2],
  ]
  for (const [type, what, bytes, count] of wrong) {
    const scene = await Scene.of(t, type)
    const peer = await scene.peer(hello(type), bytes)
    await scene.lives(t, peer, `${type}: ${what}`)
    t.equal(scene.world.socket.stats().dropped.malformed?.count, count, `${type}: ${what}`)
  }
  for (const bytes of [
    message("data"),
    message("a", "b"),
    message(""),
    message("1234", "x", "y"),
    message("123", "", "x"),
  ]) {
    const scene = await Scene.of(t, "REQ")
    await scene.endsWith(t, await scene.peer(hello("REQ"), bytes), "disconnect", "EPROTO", "a reply without envelope")
  }
  const scene = await Scene.of(t, "SUB")
  const { socket } = scene.world
  const heard: string[] = []
  const listener = (socket as Subscriber).onmessage!
  ;(socket as Subscriber).onmessage = (message, peer) => {
    heard.push(message.join())
    listener(message, peer)
  }
  const peer = await scene.peer(hello("SUB"), message("unasked"), message(""), message("good", "and proper"))
  await scene.lives(t, peer, "SUB: unasked")
  t.strictSame(heard.slice(0, 1), ["good,and proper"], "a Subscriber takes only what it asked for")
})

t.test("a peer that says it takes nothing stops nobody", async (t) => {
  const nothing = property("X-Earshot-Max", "0")
  for (const type of ["PUSH", "DEALER", "REQ", "PUB", "XPUB", "XSUB", "ROUTER"] as const) {
    const scene = await Scene.of(t, type)
    for (const other of partners[type]) {
      const peer = await scene.peer(greeting(), ready(other, nothing, property("X-Earshot", "1")), command("SUBSCRIBE"))
      await scene.lives(t, peer, `${type} and a ${other}`)
    }
    for (let i = 0; i < 10; i++) await scene.world.exchange(true)
    t.pass(`${type}: everything went to the good peer`)
  }

  const push = new Push({ linger: 0 })
  t.teardown(() => push.close())
  await push.bind("tcp://127.0.0.1:*")
  const peer = await evilTo(push.lastEndpoint!)
  peer.say(greeting(), ready("PULL", nothing))
  t.equal(await push.send("x").catch(({ code }: { code: string }) => code), "EMSGSIZE", "nobody else is there")
})

t.test("a Reply serves others, whatever becomes of its replies", async (t) => {
  const reply = new Reply({ linger: 0, sendHighWaterMark: 10 })
  const good = new Request({ linger: 0 })
  t.teardown(() => Promise.all([reply.close(), good.close()]))
  await reply.bind("tcp://127.0.0.1:*")
  void good.connect(reply.lastEndpoint!)
  const codes: string[] = []
  const body = Buffer.alloc(100_000)
  reply.onmessage = (request) =>
    void reply.send([...request, body]).catch(({ code }: { code: string }) => codes.push(code))

  const small = await evilTo(reply.lastEndpoint!)
  small.say(greeting(), ready("DEALER", property("X-Earshot-Max", "3")), message("1234", "", "question"))
  t.equal((await good.request("one"))[0]!.toString(), "one")
  await small.hears(() => codes.length > 0)
  t.strictSame(codes, ["EMSGSIZE"])

  const deaf = await evilTo(reply.lastEndpoint!, false)
  deaf.socket.pause()
  deaf.say(greeting(), ready("DEALER"), Buffer.alloc(4000, message("", "xx")))
  while ((reply.stats().dropped.full?.count ?? 0) === 0) await good.request("two")
  t.ok(reply.stats().dropped.full!.count > 0, "replies to one that never reads are dropped and counted")
  t.equal((await good.request("three"))[0]!.toString(), "three")
})

t.test("a Request takes an answer from the peer it asked, and from nobody else", async (t) => {
  const request = new Request({ linger: 0 })
  t.teardown(() => request.close())
  await request.bind("tcp://127.0.0.1:*")
  const [one, two] = [await evilTo(request.lastEndpoint!), await evilTo(request.lastEndpoint!)]
  for (const peer of [one, two]) peer.say(hello("REQ"))
  while (request.peers.length < 2)
    await new Promise<void>((resolve) => request.events.once("peer:join", () => resolve()))
  const asked = new Map<string, { peer: EvilPeer; id: Buffer }>()
  const answers = ["a", "b"].map((question) => request.request(`question ${question}`))
  for (const peer of [one, two]) {
    await peer.hears((bytes) => bytes.includes("question "))
    const at = peer.received.indexOf("question ")
    // 01 04 id(4) 01 00 00 length question
    asked.set(peer.received.toString("latin1", at + 9, at + 10), { peer, id: peer.received.subarray(at - 8, at - 4) })
  }
  const [a, b] = [asked.get("a")!, asked.get("b")!]
  a.peer.say(
    message(b.id, "", "forged"),
    message(Buffer.from("none"), "", "forged"),
    message("", "forged"),
    ping(0, "done"),
  )
  await a.peer.hears((bytes) => bytes.includes("PONGdone"))
  b.peer.say(message(b.id, "", "true b"))
  a.peer.say(message(a.id, "", "true a"), message(a.id, "", "again"))
  t.strictSame(
    (await Promise.all(answers)).map(([frame]) => frame!.toString()),
    ["true a", "true b"],
  )
  a.peer.say(ping(0, "end"))
  await a.peer.hears((bytes) => bytes.includes("PONGend"))
  t.equal(request.stats().dropped.late?.count, 4)
})

t.test("routing ids", async (t) => {
  const router = new Router({ linger: 0 })
  const good = new Dealer({ linger: 0, routingId: "good" })
  t.teardown(() => Promise.all([router.close(), good.close()]))
  const ends = new Ends(router)
  await router.bind("tcp://127.0.0.1:*")
  await good.connect(router.lastEndpoint!)
  const talk = async (): Promise<void> => {
    await good.send("to router")
    const message = await router.receive()
    t.strictSame(message.map(String), ["good", "to router"])
    await router.send(["good", "from router"])
    t.equal((await good.receive()).toString(), "from router")
  }
  await talk()
  const rivals: EvilPeer[] = []
  for (let i = 0; i < 20; i++) {
    const rival = await evilTo(router.lastEndpoint!)
    rival.say(greeting(), ready("DEALER", property("Identity", "good")), message(`forged ${i}`), ping())
    rivals.push(rival)
    // In this order.
    await rival.hears((bytes) => bytes.length > 64)
  }
  for (const rival of rivals.slice(0, 4)) {
    t.equal((await ends.next(rival.address)).error?.code, "LIMIT", "only so many wait for the same id")
    t.ok(await rival.gone())
  }
  await talk()
  t.equal(rivals[5]!.received.includes("from router"), false)
  const odd = await evilTo(router.lastEndpoint!)
  odd.say(greeting(), ready("REQ", property("Identity", "\n\xff odd")), message("", ""), message("only"))
  t.strictSame(
    (await router.receive()).map((frame) => frame.toString("latin1")),
    ["\n\xff odd", "", ""],
  )
  t.strictSame(
    (await router.receive()).map((frame) => frame.toString("latin1")),
    ["\n\xff odd", "only"],
  )
})

t.test("a second peer of a Pair is turned away", async (t) => {
  const scene = await Scene.of(t, "PAIR")
  for (let i = 0; i < 5; i++)
    await scene.endsWith(t, await scene.peer(hello("PAIR"), message("excess")), "handshake", "LIMIT", "second")
})

t.test("servers that are no good, to sockets that connect", async (t) => {
  const wrong: [string, ErrorCode, Buffer, boolean][] = [
    ["another protocol", "EPROTO", ascii("220 smtp.example.org ESMTP\r\n"), false],
    ["another mechanism", "MECHANISM", greeting("CURVE"), false],
    ["another type", "INCOMPATIBLE", Buffer.concat([greeting(), ready("PAIR")]), false],
    ["a huge frame", "EMSGSIZE", head(0, 2n ** 62n), true],
    ["an ERROR", "REFUSED", command("ERROR", ascii("\x02no")), true],
  ]
  for (const type of typeNames) {
    if (type === "PAIR") continue
    const { world, ends } = await Scene.of(t, type)
    for (const [what, code, bytes, established] of wrong) {
      const server = await evilServer((peer) => peer.say(...(established ? [hello(type), bytes] : [bytes])))
      const retry = new Promise<number>((resolve) =>
        world.socket.events.once("connect:retry", ({ interval }) => resolve(interval)),
      )
      void world.socket.connect(server.endpoint)
      const { event, error } = await ends.next(server.endpoint)
      t.strictSame([event, error?.code], [established ? "disconnect" : "handshake", code], `${type}: ${what}`)
      t.ok((await retry) >= 5000, "is tried again slowly")
      await world.socket.disconnect(server.endpoint)
      server.close()
    }
    await world.exchange(true)
  }
})

t.test("connections that say nothing are limited in number, and give way", async (t) => {
  const pull = new Pull({ linger: 0, maxHandshakes: 20 })
  const push = new Push({ linger: 0, reconnectInterval: 50 })
  t.teardown(() => Promise.all([pull.close(), push.close()]))
  const ends = new Ends(pull)
  await pull.bind("tcp://127.0.0.1:*")
  const silent = await Promise.all(Array.from({ length: 40 }, () => evilTo(pull.lastEndpoint!)))
  await Promise.all(silent.slice(20).map(async (peer) => t.ok(await peer.gone(), "one too many")))
  t.equal(pull.stats().refusedHandshakes, 20)
  // Turned away at first; and then the oldest goes.
  void push.connect(pull.lastEndpoint!)
  await push.send("at last")
  t.equal((await pull.receive()).toString(), "at last")
  t.equal((await ends.next(silent[0]!.address)).error?.code, "LIMIT")
  for (const peer of silent) peer.hangUp()
})

t.test("a publisher's subscribers are its own affair", async (t) => {
  for (const Class of [Publisher, XPublisher]) {
    const publisher: Publisher | XPublisher = new Class({ linger: 0 })
    const good = new Subscriber({ linger: 0 })
    t.teardown(() => Promise.all([publisher.close(), good.close()]))
    await publisher.bind("tcp://127.0.0.1:*")
    await good.connect(publisher.lastEndpoint!)
    await good.subscribe("topic")
    const evil = await evilTo(publisher.lastEndpoint!)
    const topics = ["topic", "topic", "top", "", "topics", "\0", "topic".repeat(1000)]
    evil.say(hello("PUB"), ...topics.map((topic) => longCommand("SUBSCRIBE", ascii(topic))))
    // What isn't there can be cancelled as often as one likes.
    evil.say(command("CANCEL", ascii("nothing")), command("CANCEL", ascii("")), command("CANCEL", ascii("")))
    evil.say(message("\x00topic"), message("\x01tops"), ping(0, "done"))
    t.ok(await evil.hears((bytes) => bytes.includes("PONGdone")))
    t.equal(publisher.subscribers("topic"), 2)
    t.equal(publisher.subscribers("tops"), 1)
    t.equal(publisher.subscribers("to"), 0)
    evil.hangUp()
    await new Promise<void>((resolve) => publisher.events.once("disconnect", () => resolve()))
    t.equal(publisher.subscribers("topic"), 1, "the good one's subscription stays")
    await publisher.send("topic 1")
    t.equal((await good.receive()).toString(), "topic 1")
  }
})

t.test("a frame that never ends leaves everybody else alone", async (t) => {
  const scene = await Scene.of(t, "PULL")
  const peers = await Promise.all(Array.from({ length: 20 }, () => scene.peer(hello("PULL"), head(0, 100 * MiB))))
  for (let i = 0; i < 50; i++) {
    for (const peer of peers) peer.say(Buffer.alloc(1))
    await scene.world.exchange(true)
  }
  t.equal(scene.world.socket.peers.length, 21)
  for (const peer of peers) peer.hangUp()
})

t.test("closes in the middle of everything", async (t) => {
  const sockets: Socket[] = [new Pull(), new Router(), new XPublisher(), new Pair(), new Reply()]
  const types = ["PULL", "ROUTER", "XPUB", "PAIR", "REP"] as const
  for (const [i, socket] of sockets.entries()) {
    Object.assign(socket, { linger: 0 })
    await socket.bind("tcp://127.0.0.1:*")
    const bytes = Buffer.concat([hello(types[i]!), message("", "x"), head(0, 1000)])
    const peers: EvilPeer[] = []
    for (const at of [0, 1, 10, 63, 64, 70, bytes.length - 10, bytes.length]) {
      const peer = await evilTo(socket.lastEndpoint!)
      peer.say(bytes.subarray(0, at))
      peers.push(peer)
    }
    await socket.close()
    for (const peer of peers) t.ok(await peer.gone())
  }
})
