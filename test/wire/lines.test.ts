// The lines of the wire's list of traps that concern NULL over TCP, by their numbers, and versions; against bare TCP peers and
// against libzmq. The same of the session alone: session.test.ts.
import t from "tap"
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Request,
  Router,
  Subscriber,
  XPublisher,
  type EarshotError,
} from "../../lib/index.ts"
import { Backoff } from "../../lib/backoff.ts"
import { bytes, command, frame, greeting, hexOf, metadata, pattern, ready, wire } from "../support/bytes.ts"
import { inOrder, join, ours, poking, theirs, zmq } from "../support/libzmq.ts"
import { rawClient, rawServer, type RawPeer } from "../support/raw.ts"
import { event, events, text, until, within } from "../support/sockets.ts"
import { virtualClock } from "../support/virtual-clock.ts"

const TCP = "tcp://127.0.0.1:*"

t.test("line 1: all 64 bytes of our greeting come unasked, on both sides", async (t) => {
  const pull = ours(t, new Pull())
  await pull.bind(TCP)
  const client = await rawClient(t, pull.lastEndpoint!)
  t.equal(hexOf(await client.read(64)), hexOf(greeting()), "who binds")
  const server = await rawServer(t)
  const push = ours(t, new Push())
  void push.connect(server.endpoint)
  const accepted = await server.accept()
  t.equal(hexOf(await accepted.read(64)), hexOf(greeting()), "who connects")
})

t.test("line 1: a peer that sends 10, 1 and 53 bytes in lock step, as libzmq does", async (t) => {
  const pull = ours(t, new Pull())
  await pull.bind(TCP)
  const peer = await rawClient(t, pull.lastEndpoint!)
  const theirs = greeting()
  peer.write(theirs.subarray(0, 10))
  await peer.read(10)
  peer.write(theirs.subarray(10, 11))
  await peer.read(2)
  peer.write(theirs.subarray(11))
  await peer.read(52)
  peer.write(ready("PUSH"), wire("hello"))
  t.equal(text(await pull.receive()), "hello")
})

t.test("line 2: padding and as-server may say anything", async (t) => {
  const pull = ours(t, new Pull())
  await pull.bind(TCP)
  for (const [padding, asServer] of [
    ["00*8", 1],
    ["00*7 04", 0],
    ["ff*8", 1],
  ] as const) {
    const peer = await rawClient(t, pull.lastEndpoint!)
    const chunk = greeting()
    bytes(padding).copy(chunk, 1)
    chunk[32] = asServer
    t.equal((await peer.read(64))[32], 0, "ours says 0: NULL has no server")
    peer.write(chunk, ready("PUSH"), wire(padding))
    t.equal(text(await pull.receive()), padding)
  }
})

t.test("line 3: subscriptions are commands to 3.1, messages to 3.0", async (t) => {
  for (const minor of [1, 0]) {
    const server = await rawServer(t)
    const sub = ours(t, new Subscriber())
    const subscribed = sub.subscribe("before")
    void sub.connect(server.endpoint)
    const peer = await server.accept()
    await peer.handshake("PUB", { minor })
    await within(
      "the handshake",
      until("a peer", () => sub.peers.length === 1),
    )
    void subscribed
    void sub.subscribe("A")
    void sub.unsubscribe("A")
    const expected =
      minor === 1
        ? [command("SUBSCRIBE", "before"), command("SUBSCRIBE", "A"), command("CANCEL", "A")]
        : [wire("\x01before"), wire("\x01A"), wire("\x00A")]
    for (const golden of expected) {
      let next = await peer.frame()
      // What subscribe() asks for its own promise.
      while (next.flags === 4 && next.body.toString("latin1", 1, 5) === "PING") next = await peer.frame()
      t.equal(hexOf(frame(next.flags, next.body)), hexOf(golden), `3.${minor}`)
    }
  }
})

t.test("line 3: both spellings are taken from both", async (t) => {
  for (const make of [() => new Publisher(), () => new XPublisher()])
    for (const minor of [1, 0]) {
      const pub = ours(t, make())
      await pub.bind(TCP)
      const peer = await rawClient(t, pub.lastEndpoint!)
      await peer.handshake("SUB", { minor })
      for (const spelling of [command("SUBSCRIBE", "A"), wire("\x01B")]) peer.write(spelling)
      await pub.ready({ topic: "A" })
      await pub.ready({ topic: "B" })
      for (const topic of ["A1", "C1", "B1"]) await pub.send([topic, "body"])
      t.strictSame(await peer.message(), ["A1", "body"])
      t.strictSame(await peer.message(), ["B1", "body"])
      for (const spelling of [wire("\x00A"), command("CANCEL", "B")]) peer.write(spelling)
      await until("no subscribers", () => pub.subscribers("A") === 0 && pub.subscribers("B") === 0)
      t.pass(`${pub.constructor.name}, 3.${minor}`)
    }
})

t.test("line 5: READY as libzmq wants it, read in any case", async (t) => {
  for (const [make, properties] of [
    [() => new Dealer(), { "Socket-Type": "DEALER", Identity: "" }],
    [() => new Dealer({ routingId: "bob" }), { "Socket-Type": "DEALER", Identity: "bob" }],
    [() => new Request(), { "Socket-Type": "REQ", Identity: "" }],
    [() => new Router(), { "Socket-Type": "ROUTER", Identity: "" }],
    [() => new Pull(), { "Socket-Type": "PULL" }],
    [() => new Publisher(), { "Socket-Type": "PUB" }],
  ] as const) {
    const us = ours(t, make())
    await us.bind(TCP)
    const peer = await rawClient(t, us.lastEndpoint!)
    const accepts = { DEALER: "ROUTER", REQ: "ROUTER", ROUTER: "DEALER", PULL: "PUSH", PUB: "SUB" }[
      properties["Socket-Type"]
    ]
    const body = await peer.handshake(accepts)
    const own = metadata({ ...properties, "X-Earshot": "1", "X-Earshot-Max": "134217728" })
    t.equal(hexOf(body), hexOf(own), properties["Socket-Type"])
  }
  const router = ours(t, new Router())
  await router.bind(TCP)
  const peer = await rawClient(t, router.lastEndpoint!)
  peer.write(greeting(), command("READY", metadata({ "sOCKET-tYPE": "DEALER", IDENTITY: "bob" })), wire("hi"))
  t.equal(text(await router.receive()), "bob|hi")
})

t.test("line 6: a long time-to-live is cut to what libzmq can count", async (t) => {
  const router = theirs(t, new zmq.Router())
  const dealer = ours(t, new Dealer({ heartbeatInterval: 200, heartbeatTimeToLive: 70_000 }))
  await join("they bind", dealer, router)
  const gone = events(dealer, "disconnect")
  // 656 tenths would come to 65 ms there, and end the link before the second PING.
  for (let answers = 0, last = dealer.peers[0]?.lastHeard; answers < 3; answers++) {
    await until("a PONG", () => gone.length > 0 || dealer.peers[0]?.lastHeard !== last)
    last = dealer.peers[0]?.lastHeard
  }
  t.equal(gone.length, 0)

  const pull = ours(t, new Pull({ heartbeatInterval: 20, heartbeatTimeToLive: 6_553_500 }))
  await pull.bind(TCP)
  const peer = await rawClient(t, pull.lastEndpoint!)
  await peer.handshake("PUSH")
  t.equal(hexOf(await peer.command("PING")), "028f")
})

t.test(
  "line 7: PINGs have their two bytes and at most 16 of context; contexts of libzmq's limit come back",
  async (t) => {
    const sub = ours(t, new Subscriber())
    await sub.bind(TCP)
    const peer = await rawClient(t, sub.lastEndpoint!)
    await peer.handshake("PUB")
    await until("a peer", () => sub.peers.length === 1)
    const subscribed = sub.subscribe("x")
    const ping = await peer.command("PING")
    t.equal(hexOf(ping.subarray(0, 2)), "0000")
    t.ok(ping.length <= 18)
    peer.write(command("PONG", ping.subarray(2)))
    await within("the subscription", subscribed)
    const context = pattern(58)
    peer.write(command("PING", Buffer.concat([bytes("00 00"), context])))
    t.equal(hexOf(await peer.command("PONG")), hexOf(context.subarray(0, 16)))
  },
)

t.test("line 8: a topic of 255 bytes from libzmq arrives, since we are a 3.1 peer", async (t) => {
  const pub = ours(t, new XPublisher())
  const sub = theirs(t, new zmq.Subscriber())
  await join("we bind", pub, sub)
  for (const size of [254, 255, 256]) {
    const topic = "t".repeat(size)
    sub.subscribe(topic)
    t.equal(text(await poking(sub, pub.receive())), `\x01${topic}`)
  }
  t.equal(pub.peers.length, 1)
})

t.test("line 9: who is turned away for now is only closed, and libzmq comes back", async (t) => {
  const pull = ours(t, new Pull({ maxHandshakes: 1 }))
  await pull.bind(TCP)
  const first = await rawClient(t, pull.lastEndpoint!)
  await first.read(64)
  const turnedAway = event(pull, "accept:error")
  const push = theirs(t, new zmq.Push({ reconnectInterval: 20 }))
  push.connect(pull.lastEndpoint!)
  t.equal((await turnedAway).error.code, "LIMIT")
  await event(pull, "accept:error")
  first.socket.destroy()
  await push.send("back again")
  t.equal(text(await pull.receive()), "back again")
  t.ok(pull.stats().refusedHandshakes >= 2)
})

t.test("line 9: nothing but the handshake is said to a second PAIR, and to peers of what is unbound", async (t) => {
  const pair = ours(t, new Pair())
  await pair.bind(TCP)
  const first = await rawClient(t, pair.lastEndpoint!)
  await first.handshake("PAIR")
  const second = await rawClient(t, pair.lastEndpoint!)
  second.write(greeting(), ready("PAIR"))
  await second.end()
  t.equal(hexOf(await second.read(64)), hexOf(greeting()))
  t.equal(String(await second.read(second.waiting)).includes("ERROR"), false)
  await pair.unbind(pair.lastEndpoint!)
  await first.end()
  t.equal(first.waiting, 0)
})

t.test(
  "line 10: a type that does not fit is told loudly here, with an ERROR there while that is possible",
  async (t) => {
    const pull = ours(t, new Pull())
    await pull.bind(TCP)
    const failed = event(pull, "handshake:error:protocol")
    const peer = await rawClient(t, pull.lastEndpoint!)
    peer.write(greeting(), ready("PAIR"))
    await peer.read(64)
    const said = await peer.frame()
    const reason = "a PAIR does not fit: only PUSH"
    t.equal(hexOf(frame(said.flags, said.body)), hexOf(command("ERROR", String.fromCharCode(reason.length) + reason)))
    t.equal(await peer.end(), "end")
    const { error, address } = await failed
    t.equal(error.code, "INCOMPATIBLE")
    t.match(address, /^tcp:\/\/127\.0\.0\.1:\d+$/)

    const slow = await rawClient(t, pull.lastEndpoint!)
    const again = event(pull, "handshake:error:protocol")
    slow.write(greeting())
    await slow.read(64)
    await slow.command("READY")
    slow.write(ready("PAIR"))
    await slow.end()
    t.equal(slow.waiting, 0, "READY was out: no ERROR")
    t.equal((await again).error.code, "INCOMPATIBLE")
  },
)

t.test("line 10: the same with libzmq, whoever binds", async (t) => {
  const pull = ours(t, new Pull())
  await pull.bind(TCP)
  const failed = event(pull, "handshake:error:protocol")
  theirs(t, new zmq.Pair()).connect(pull.lastEndpoint!)
  t.equal((await failed).error.code, "INCOMPATIBLE")
  const pair = theirs(t, new zmq.Pair())
  await pair.bind(TCP)
  const push = ours(t, new Push())
  const other = event(push, "handshake:error:protocol")
  void push.connect(pair.lastEndpoint!)
  t.equal((await other).error.code, "INCOMPATIBLE")
})

t.test("line 14: the high-water mark counts messages, for each peer", async (t) => {
  for (const size of [1, 100_000]) {
    const push = ours(t, new Push({ sendHighWaterMark: 7 }))
    const servers = [await rawServer(t), await rawServer(t)]
    for (const { endpoint } of servers) void push.connect(endpoint)
    let taken = 0
    while (push.trySend([pattern(size), "part"])) taken++
    t.equal(taken, 14, `two endpoints that do not answer, ${size} bytes`)
  }
})

t.test("line 15: a full subscriber loses what comes, exactly counted, until half of what waits has left", async (t) => {
  const mark = 100
  const pub = ours(t, new Publisher({ sendHighWaterMark: mark }))
  await pub.bind(TCP)
  const peer = await rawClient(t, pub.lastEndpoint!)
  await peer.handshake("SUB")
  peer.write(command("SUBSCRIBE", ""))
  await pub.ready()
  peer.socket.pause()
  const body = pattern(10_000).toString("latin1")
  let sent = 0
  const send = (): void => void pub.trySend([String(sent++), Buffer.from(body, "latin1")])
  // Until the system takes no more and the queue behind is full.
  while (pub.stats().dropped.full === undefined) {
    send()
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(pub.peers[0]!.queued, mark)
  for (let i = 0; i < 49; i++) send()
  const lost = pub.stats().dropped.full!.count
  t.equal(lost, 50)
  const firstLost = sent - lost
  peer.socket.resume()
  t.equal(await inOrder(async () => (await peer.message()).map((frame) => Buffer.from(frame)), firstLost), "all")
  await until("an empty queue", () => pub.peers[0]!.queued === 0)
  const next = String(sent)
  send()
  t.equal((await peer.message())[0], next, "none of the lost, then again each")
  t.equal(pub.stats().dropped.full!.count, lost)
})

t.test("line 15: a subscriber that is not read drops nothing: its publisher has to wait", async (t) => {
  const sub = ours(t, new Subscriber({ receiveHighWaterMark: 10 }))
  await sub.bind(TCP)
  const peer = await rawClient(t, sub.lastEndpoint!)
  await peer.handshake("PUB")
  await until("a peer", () => sub.peers.length === 1)
  void sub.subscribe("")
  await peer.command("SUBSCRIBE")
  let sent = 0
  const body = pattern(10_000)
  while (peer.socket.writableLength < 1_000_000) {
    peer.write(wire(String(sent++), body))
    await new Promise((resolve) => setImmediate(resolve))
  }
  const waiting = sub.peers[0]!.waiting
  t.ok(
    waiting >= 10 && waiting < 30,
    `${waiting} of ${sent} messages wait in the socket, the rest in the system and there`,
  )
  t.equal(await inOrder(() => sub.receive(), sent), "all")
  t.strictSame(sub.stats().dropped, {})
})

t.test("line 16: 5,000 subscriptions made before connect all arrive, in 3.1's spelling and in 3.0's", async (t) => {
  for (const minor of [1, 0]) {
    const pub = await rawServer(t)
    const sub = ours(t, new Subscriber())
    for (let i = 0; i < 5000; i++) void sub.subscribe(`topic ${i}`)
    void sub.connect(pub.endpoint)
    const peer = await pub.accept()
    await peer.handshake("PUB", { minor })
    const topics = new Set<string>()
    while (topics.size < 5000) {
      const { flags, body } = await peer.frame()
      topics.add(flags === 4 ? body.toString("latin1", 10) : body.toString("latin1", 1))
    }
    t.ok(topics.has("topic 0") && topics.has("topic 4999"), `3.${minor}`)
  }
})

t.test(
  "line 17: a second peer with a ROUTER's routing id is neither read nor closed until the first is gone",
  async (t) => {
    const router = ours(t, new Router())
    await router.bind(TCP)
    const dealer = () => theirs(t, new zmq.Dealer({ routingId: "twin" }))
    const [first, second] = [dealer(), dealer()]
    first.connect(router.lastEndpoint!)
    await first.send("first")
    t.equal(text(await router.receive()), "twin|first")
    const joined = event(router, "peer:join")
    second.connect(router.lastEndpoint!)
    await second.send("second")
    await joined
    await first.send("again")
    t.equal(text(await router.receive()), "twin|again")
    await router.send(["twin", "for the first"])
    t.equal(text(await first.receive()), "for the first")
    t.equal(router.tryReceive(), undefined)
    t.equal(router.peers.length, 2, "it stays connected")
    first.close()
    t.equal(text(await router.receive()), "twin|second", "and gets its turn")
    await router.send(["twin", "for the second"])
    t.equal(text(await second.receive()), "for the second")
  },
)

t.test("line 17: with handover the newcomer takes over", async (t) => {
  const router = ours(t, new Router({ handover: true }))
  await router.bind(TCP)
  const first = await rawClient(t, router.lastEndpoint!)
  await first.handshake("DEALER", { properties: { Identity: "twin" } })
  first.write(wire("first"))
  t.equal(text(await router.receive()), "twin|first")
  const second = theirs(t, new zmq.Dealer({ routingId: "twin" }))
  second.connect(router.lastEndpoint!)
  await second.send("second")
  t.equal(text(await router.receive()), "twin|second")
  await first.end()
  await router.send(["twin", "for the second"])
  t.equal(text(await second.receive()), "for the second")
})

t.test(
  "line 19: send resolves when the message is taken, connected or not; it is sent when somebody is there",
  async (t) => {
    const server = await rawServer(t)
    const push = ours(t, new Push())
    void push.connect(server.endpoint)
    await within("send", push.send("early"))
    t.equal(push.stats().sent.count, 0)
    const peer = await server.accept()
    await peer.handshake("PULL")
    t.strictSame(await peer.message(), ["early"])
    t.equal(push.stats().sent.count, 1)
  },
)

// ---------------------------------------------------------------------------------------------------------------

t.test("peers of 3.0, 3.1 and of what comes after 3: messages go both ways", async (t) => {
  for (const [major, minor] of [
    [3, 0],
    [3, 1],
    [3, 2],
    [4, 0],
    [200, 7],
  ] as const) {
    const dealer = ours(t, new Dealer())
    await dealer.bind(TCP)
    const peer = await rawClient(t, dealer.lastEndpoint!)
    peer.write(greeting(minor, "NULL", major), ready("DEALER"), wire("hi", "there"))
    t.equal(text(await dealer.receive()), "hi|there")
    await peer.read(64)
    await dealer.send(["back", "to you"])
    t.strictSame(await peer.message(), ["back", "to you"], `${major}.${minor}`)
  }
})

t.test("who speaks something older, or something else, is refused with an event that says what it is", async (t) => {
  for (const [what, chunk, code, says] of [
    ["ZMTP 1.0", bytes("01 00"), "VERSION", /ZMTP 1\.0/],
    ["ZMTP 1.0 with a name", bytes("04 00 'bob'"), "VERSION", /ZMTP 1\.0/],
    ["ZMTP 2.0", bytes("ff 00*7 01 7f 01 07 00 00"), "VERSION", /ZMTP 2\.0/],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "EPROTO", /not ZMTP/],
    ["PLAIN", greeting(1, "PLAIN"), "MECHANISM", /peer uses the mechanism PLAIN, this socket NULL/],
    ["CURVE", greeting(1, "CURVE"), "MECHANISM", /CURVE/],
  ] as const) {
    const pull = ours(t, new Pull())
    await pull.bind(TCP)
    const failed = event(pull, "handshake:error:protocol")
    const peer = await rawClient(t, pull.lastEndpoint!)
    peer.write(chunk)
    const { error } = await failed
    t.equal(error.code, code, what)
    t.match(error.message, says)
    await peer.end()
    t.ok(peer.waiting <= 64, "at most our greeting was sent")
    t.equal(pull.peers.length, 0)
  }
})

t.test("a libzmq peer with another mechanism closes before it has said which", async (t) => {
  const pull = ours(t, new Pull())
  await pull.bind(TCP)
  const failed = event(pull, "handshake:error:other")
  const push = theirs(t, new zmq.Push({ plainUsername: "a", plainPassword: "b" }))
  push.connect(pull.lastEndpoint!)
  const { error } = await failed
  t.equal(error.code, "ECONNRESET")
  t.match(error.message, /mechanism/, "what it may be is said")
})

t.test("an ERROR from the peer: its reason is told", async (t) => {
  const server = await rawServer(t)
  const push = ours(t, new Push())
  void push.connect(server.endpoint)
  const failed = event(push, "handshake:error:auth")
  const retry = event(push, "connect:retry")
  const peer = await server.accept()
  peer.write(greeting(), command("ERROR", "\x0fno, not you \x1b[m"))
  const { error } = await failed
  t.equal(error.code, "REFUSED")
  t.match(error.message, /no, not you \?\[m$/)
  t.ok((await retry).interval >= 5000)
})

t.test("after a protocol error dialling goes on, slowly, with an event each time", async (t) => {
  for (const [what, answer, code] of [
    ["a peer that speaks ZMTP 2.0", bytes("ff 00*7 01 7f 01 07 00 00"), "VERSION"],
    ["a web server", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), "EPROTO"],
    ["another mechanism", greeting(1, "CURVE"), "MECHANISM"],
    ["another type", Buffer.concat([greeting(), ready("PAIR")]), "INCOMPATIBLE"],
    ["garbage in traffic", Buffer.concat([greeting(), ready("PULL"), bytes("f8 00")]), "EPROTO"],
  ] as const) {
    const clock = virtualClock()
    const server = await rawServer(t)
    const push = new Push({ clock, linger: 0, reconnectInterval: 100 })
    const errors: EarshotError[] = []
    push.events.on("handshake:error:protocol", ({ error }) => errors.push(error))
    push.events.on("disconnect", ({ error }) => errors.push(error!))
    const retries = events(push, "connect:retry")
    void push.connect(server.endpoint)
    for (let attempt = 1; attempt <= 4; attempt++) {
      const peer = await server.accept()
      peer.write(answer)
      await until(`retry ${attempt}`, () => retries.length === attempt)
      const { interval } = retries[attempt - 1]!
      t.ok(interval >= 5000 && interval <= 75_000, `${what}: again in ${interval} ms`)
      await clock.advance(4999)
      t.equal(server.count, attempt)
      await clock.advance(interval - 4999 + 1)
    }
    await server.accept()
    t.equal(errors.length, 4, "an event each time")
    t.ok(
      errors.every((error) => error.code === code),
      code,
    )
    if (code !== "EPROTO" || what.startsWith("a web"))
      t.ok(retries[3]!.interval > retries[0]!.interval, "slower and slower")
    await push.close()
  }
})

t.test("after a plain end dialling goes on at once, and a handshake forgets what was", async (t) => {
  const server = await rawServer(t)
  const push = ours(t, new Push({ reconnectInterval: 10, reconnectMaxInterval: 40 }))
  const retries = events(push, "connect:retry")
  void push.connect(server.endpoint)
  const serve = async (how: (peer: RawPeer) => Promise<unknown> | void): Promise<void> => {
    const peer = await server.accept()
    await how(peer)
    peer.socket.destroy()
  }
  for (let i = 0; i < 4; i++) await serve(() => {})
  await serve((peer) => peer.handshake("PULL"))
  await server.accept()
  t.strictSame(
    retries.map(({ interval }) => interval),
    [10, 20, 40, 40, 10],
  )
})

t.test("how long until the next attempt", async (t) => {
  const clock = { ...virtualClock(), random: () => 0.5 }
  const plain = new Backoff(clock, 100, 0)
  t.strictSame(
    [1, 2, 3].map(() => plain.next(false)),
    [150, 150, 150],
    "libzmq's: no doubling without a maximum",
  )
  const growing = new Backoff(clock, 100, 1000)
  t.strictSame(
    [1, 2, 3, 4, 5, 6].map(() => growing.next(false)),
    [100, 200, 400, 800, 1000, 1000],
  )
  growing.reset()
  t.equal(growing.next(false), 100)
  const slow = new Backoff(clock, 100, 1000)
  for (let i = 0; i < 20; i++) slow.next(false)
  t.strictSame(
    [1, 2, 3, 4, 5, 6].map(() => slow.next(true)),
    [5625, 11_250, 22_500, 45_000, 67_500, 67_500],
    "whatever was before",
  )
  t.equal(new Backoff(clock, 100_000, 0).next(true), 112_500, "never faster than the user's own")
  for (let i = 0; i < 2000; i++) slow.next(true)
  t.ok(Number.isFinite(slow.next(true)))
})
