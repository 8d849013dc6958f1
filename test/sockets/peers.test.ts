// SOCKETS.md, "Who is there" and "ipc": peers, their coming and going, counters; and abstract names.
import t from "tap"
import { Dealer, Pair, Publisher, Pull, Push, Router, Subscriber, type PeerInfo } from "../../lib/index.ts"
import { fake } from "../support/fake.ts"
import {
  event,
  events,
  fill,
  freshName,
  link,
  outcome,
  strictClock,
  text,
  thrown,
  tidy,
  until,
  within,
} from "../support/sockets.ts"

t.test("socket.peers tells of each peer: who it is, what waits, when it was heard", async (t) => {
  const clock = strictClock(t)
  const dealer = tidy(t, new Dealer({ clock, routingId: "us", sendHighWaterMark: 5 }))
  t.strictSame(dealer.peers, [])
  await dealer.bind("fake://who")
  const peer = fake.connect("who", { host: "192.0.2.1", room: 300, identity: { userId: "alice" } })
  t.strictSame(dealer.peers, [], "not before its handshake")
  await clock.advance(5)
  peer.shake("ROUTER", { Identity: "them", "X-Custom": "v" })
  const [info] = dealer.peers
  t.equal(dealer.peers.length, 1)
  t.match(info, {
    address: peer.remote,
    type: "ROUTER",
    userId: "alice",
    online: true,
    queued: 0,
    queuedBytes: 0,
    waiting: 0,
    waitingBytes: 0,
    unconfirmed: 0,
    lastHeard: clock.now(),
  })
  t.ok(Buffer.isBuffer(info!.routingId), "bytes")
  t.strictSame(info!.routingId, Buffer.from("them"))
  t.strictSame(
    [...info!.metadata].map(([name, value]) => [name, value.toString()]),
    [
      ["Socket-Type", "ROUTER"],
      ["Identity", "them"],
      ["X-Custom", "v"],
    ],
  )

  await clock.advance(1000)
  t.equal(info!.lastHeard, clock.now() - 1000)
  peer.say("a", "bc")
  peer.say("d")
  t.match(info, { lastHeard: clock.now(), waiting: 2, waitingBytes: 4 }, "the same object goes on telling")
  dealer.tryReceive()
  t.match(info, { waiting: 1, waitingBytes: 1 })

  const taken = fill(dealer, 0, () => Buffer.alloc(200_000))
  t.equal(taken, 6)
  t.match(info, { queued: 5, queuedBytes: 1_000_000 })
  t.ok(info!.unconfirmed > 199_000 && info!.unconfirmed <= 200_009, "what the link has and the system has not")
  peer.open()
  await clock.settle()
  t.match(info, { queued: 0, queuedBytes: 0, unconfirmed: 0 })

  peer.hangUp()
  await clock.settle()
  t.strictSame(dealer.peers, [])
  t.match(info, { online: false, lastHeard: undefined })
})

t.test("the address is where it came from, or what was dialled", async (t) => {
  const [pull, push] = [tidy(t, new Pull()), tidy(t, new Push())]
  await pull.bind("tcp://127.0.0.1:*")
  await within("the handshake", push.connect(pull.lastEndpoint!))
  await until("the peer", () => pull.peers.length === 1)
  t.match(pull.peers[0]!.address, /^tcp:\/\/127\.0\.0\.1:\d+$/)
  t.not(pull.peers[0]!.address, pull.lastEndpoint)
  t.equal(push.peers[0]!.address, pull.lastEndpoint)
  t.equal(push.peers[0]!.type, "PULL")
  t.equal(push.peers[0]!.routingId.length, 0, "it announced none")
  t.equal(push.peers[0]!.userId, undefined)
})

t.test("on a Router the routing id is the one it is known by here", async (t) => {
  const clock = strictClock(t)
  const router = tidy(t, new Router({ clock }))
  const [named, nameless] = [tidy(t, new Dealer({ clock, routingId: "n" })), tidy(t, new Dealer({ clock }))]
  await link(router, named, nameless)
  const ids = new Map(router.peers.map((peer) => [peer.routingId.toString("hex"), peer]))
  t.ok(ids.has("6e"))
  ids.delete("6e")
  const [[id, info]] = [...ids] as [[string, PeerInfo]]
  t.match(id, /^00.{8}$/, "five bytes, the first of them zero")
  await router.send([info.routingId, "hello"])
  t.equal(text(await clock.until(nameless.receive())), "hello", "and it can be sent to by it")
  await nameless.send("back")
  const got = await clock.until(router.receive({ withPeer: true }))
  t.equal(got.peer, info)
  t.strictSame(got.message[0], info.routingId)
})

t.test("peer:join and peer:leave", async (t) => {
  const clock = strictClock(t)
  const [pull, push] = [tidy(t, new Pull({ clock })), tidy(t, new Push({ clock }))]
  const log: { who: string; what: string; peer: PeerInfo; count: number }[] = []
  for (const [who, socket] of Object.entries({ pull, push }))
    for (const what of ["peer:join", "peer:leave"] as const)
      socket.events.on(what, ({ peer }) => log.push({ who, what, peer, count: socket.peers.length }))
  const endpoint = freshName()
  await pull.bind(endpoint)
  await clock.until(push.connect(endpoint))
  await clock.settle()
  t.strictSame(log.map(({ who, what, count }) => `${who} ${what} ${count}`).sort(), [
    "pull peer:join 1",
    "push peer:join 1",
  ])
  const [dialled, accepted] = [push.peers[0]!, pull.peers[0]!]
  t.ok(log.every(({ who, peer }) => peer === (who === "push" ? dialled : accepted)))
  log.length = 0

  await clock.until(pull.unbind(endpoint))
  await clock.settle()
  t.strictSame(log.map(({ who, what, count }) => `${who} ${what} ${count}`).sort(), [
    "pull peer:leave 0",
    "push peer:leave 0",
  ])
  t.ok(log.every(({ who, peer }) => peer === (who === "push" ? dialled : accepted)))
  log.length = 0

  await pull.bind(endpoint)
  await clock.advance(1000)
  t.equal(push.peers[0], dialled, "an endpoint that comes back is the same peer")
  t.not(pull.peers[0], accepted, "who connects again is a new one")
  t.strictSame(log.map(({ who, what }) => `${who} ${what}`).sort(), ["pull peer:join", "push peer:join"])

  const left = events(pull, "peer:leave")
  await pull.bind("fake://leaving")
  const broken = fake.connect("leaving").shake("PUSH")
  broken.feed(Buffer.from([0xf8, 0]))
  await clock.settle()
  t.equal(left[0]?.error?.code, "EPROTO", "and why")
})

t.test("a second peer of a Pair is turned away: no join, no leave", async (t) => {
  const clock = strictClock(t)
  const pair = tidy(t, new Pair({ clock }))
  const joined = events(pair, "peer:join")
  const left = events(pair, "peer:leave")
  const refused = events(pair, "handshake:error:other")
  await pair.bind("fake://pair")
  fake.connect("pair").shake("PAIR")
  const second = fake.connect("pair").shake("PAIR")
  await clock.settle()
  t.strictSame([joined.length, left.length], [1, 0])
  t.equal(refused[0]?.error.code, "LIMIT")
  t.equal(second.ended, "destroyed")
  t.equal(pair.peers.length, 1)
  t.equal(pair.stats().refusedHandshakes, 0, "which is no matter of too many handshakes")
})

t.test("stats(): counters by peer and reason, which outlive the peers", async (t) => {
  const clock = strictClock(t)
  const zero = { count: 0, bytes: 0 }
  const publisher = tidy(t, new Publisher({ clock, sendHighWaterMark: 1 }))
  t.strictSame(publisher.stats(), {
    sent: zero,
    received: zero,
    dropped: {},
    unconfirmed: zero,
    refusedHandshakes: 0,
    refusedConnections: {},
    peers: [],
  })
  await publisher.bind("fake://stats")
  const [slow, quick] = [fake.connect("stats", { room: 200 }), fake.connect("stats")]
  for (const each of [slow, quick]) each.shake("SUB").say(Buffer.from("\x01"))
  await clock.settle()
  for (let n = 0; n < 4; n++) {
    await publisher.send(["topic", Buffer.alloc(200_000)])
    await clock.settle()
  }
  const size = 200_005
  const stats = publisher.stats()
  const [ofSlow, ofQuick] = stats.peers
  t.match(ofSlow, {
    address: slow.remote,
    sent: { count: 1, bytes: size },
    dropped: { full: { count: 2, bytes: 2 * size } },
    unconfirmed: zero,
  })
  t.match(ofQuick, { address: quick.remote, sent: { count: 4, bytes: 4 * size }, dropped: {} })
  t.strictSame(stats.sent, { count: 5, bytes: 5 * size })
  t.strictSame(stats.dropped, { full: { count: 2, bytes: 2 * size } })
  t.ok(stats.received.count >= 0)

  const gone = event(publisher, "disconnect")
  slow.hangUp(new Error("gone"))
  const { unconfirmed, unconfirmedBytes } = await gone
  t.equal(unconfirmed, 1)
  await clock.settle()
  const after = publisher.stats()
  t.strictSame(after.sent, { count: 5, bytes: 5 * size })
  t.strictSame(after.unconfirmed, { count: 1, bytes: unconfirmedBytes })
  t.strictSame(after.dropped, {
    full: { count: 2, bytes: 2 * size },
    disconnected: { count: 1, bytes: size },
  })
  t.equal(after.peers.length, 1)
  t.strictSame(stats.sent.count, 5, "what was given before doesn't change")
  t.strictSame(stats.dropped, { full: { count: 2, bytes: 2 * size } })
  after.dropped.full!.count = after.received.count = after.sent.count = 1000
  const { dropped, received, sent } = publisher.stats()
  t.strictSame([dropped.full!.count, sent.count, received.count < 1000], [2, 5, true], "nor can it be changed")

  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  await link(push, pull)
  await push.send(["a", "bc"])
  await push.send("d")
  await clock.settle()
  t.strictSame(pull.stats().received, { count: 2, bytes: 4 }, "received, whether or not it was taken")
  t.strictSame(push.stats().sent, { count: 2, bytes: 4 })
})

t.test("drops are told at once and every 100 ms, exact in sum, the last before close() resolves", async (t) => {
  const clock = strictClock(t)
  const publisher = tidy(t, new Publisher({ clock, sendHighWaterMark: 1 }))
  await publisher.bind("fake://drops")
  const slow = fake.connect("drops", { room: 200 }).shake("SUB")
  slow.say(Buffer.from("\x01"))
  await clock.settle()
  const [peer] = publisher.peers
  const log: string[] = []
  const start = clock.now()
  publisher.events.on("drop", (drop) => {
    if (drop.peer === peer) log.push(`${clock.now() - start}: ${drop.reason} ${drop.count} ${drop.bytes}`)
  })
  for (let n = 0; n < 12; n++) await publisher.send(Buffer.alloc(200_000))
  t.strictSame(log, ["0: full 1 200000"])
  await clock.advance(100)
  t.strictSame(log, ["0: full 1 200000", "100: full 9 1800000"])
  await publisher.send(Buffer.alloc(200_000))
  await publisher.send(Buffer.alloc(200_000))
  publisher.linger = 0
  await publisher.close()
  t.strictSame(log.slice(2).sort(), ["100: full 2 400000", "100: linger 1 200000"])
  t.equal(publisher.stats().dropped.full?.count, 12)
})

t.test("ipc: abstract names need Node 22", async (t) => {
  const major = Number.parseInt(process.versions.node, 10)
  const name = `ipc://@earshot-test-${process.pid}`
  const pull = tidy(t, new Pull())
  if (process.platform !== "linux" || major < 22) {
    for (const method of ["bind", "connect", "unbind", "disconnect"] as const)
      t.equal(
        thrown(() => pull[method](name)),
        "ENOTSUP",
        method,
      )
    return
  }
  await pull.bind(name)
  t.equal(pull.lastEndpoint, name)
  t.equal(await outcome(tidy(t, new Pull()).bind(name)), "EADDRINUSE", "a live one is not stolen")
  const push = tidy(t, new Push())
  await within("the handshake", push.connect(name))
  await push.send("x")
  t.equal(text(await within("the message", pull.receive())), "x")
})

t.test("a Subscriber's peers are its publishers", async (t) => {
  const clock = strictClock(t)
  const subscriber = tidy(t, new Subscriber({ clock }))
  const publisher = tidy(t, new Publisher({ clock }))
  await link(publisher, subscriber)
  t.strictSame(
    subscriber.peers.map(({ type }) => type),
    ["PUB"],
  )
  t.strictSame(
    publisher.peers.map(({ type }) => type),
    ["SUB"],
  )
})
