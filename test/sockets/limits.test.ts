// SOCKETS.md, "Limits": marks in messages and bytes, sizes, linger, handshakes. The defaults are in test/lib/options.test.ts.
import t from "tap"
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
  XSubscriber,
} from "../../lib/index.ts"
import { greeting, ready, wire } from "../support/bytes.ts"
import { fake, FakeLink } from "../support/fake.ts"
import {
  events,
  fill,
  freshName,
  link,
  outcome,
  range,
  strictClock,
  text,
  thrown,
  tidy,
  watch,
  within,
} from "../support/sockets.ts"

/** More than what is flushed at once, so that each message is one write. */
const BIG = 200_000
/** What such a message takes on the wire. */
const WRITE = BIG + 9

t.test("sendHighWaterMark: so many wait for a peer, and sending goes on once half of them have gone", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock, sendHighWaterMark: 10 }))
  await push.bind("fake://marks")
  const peer = fake.connect("marks", { room: 1000 }).shake("PULL")
  await clock.settle()
  t.equal(
    fill(push, 0, () => Buffer.alloc(BIG)),
    11,
    "one is with the link, ten wait",
  )
  t.equal(push.peers[0]!.queued, 10)
  t.equal(push.peers[0]!.queuedBytes, 10 * BIG)
  t.ok(push.peers[0]!.unconfirmed > BIG - 1000)
  const waiting = watch(push.send("waits"))
  for (let left = 9; left >= 6; left--) {
    peer.open(WRITE)
    await clock.settle()
    t.equal(push.peers[0]!.queued, left)
    t.equal(waiting.state, "pending", `${left} wait still`)
  }
  peer.open(WRITE)
  await clock.settle()
  t.equal(waiting.state, "done", "five")
  t.equal(push.peers[0]!.queued, 6)
  t.equal(fill(push), 4, "and up to the mark again")
  peer.open()
  await clock.settle()
  t.equal(peer.messages.length, 16)
})

t.test("sendHighWaterMarkBytes: the same in bytes; an empty queue takes one larger message", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock, sendHighWaterMarkBytes: 10 * BIG + 5 }))
  await push.bind("fake://bytes")
  const peer = fake.connect("bytes", { room: 1000 }).shake("PULL")
  await clock.settle()
  t.equal(
    fill(push, 0, () => Buffer.alloc(BIG)),
    11,
  )
  t.equal(push.peers[0]!.queuedBytes, 10 * BIG)
  t.notOk(push.trySend("tiny"), "once refused, until half has gone")
  const waiting = watch(push.send(["wai", "ts"]))
  for (let left = 9; left >= 6; left--) {
    peer.open(WRITE)
    await clock.settle()
    t.equal(waiting.state, "pending", `${left} wait still`)
  }
  peer.open(WRITE)
  await clock.settle()
  t.equal(waiting.state, "done")
  t.equal(push.peers[0]!.queuedBytes, 5 * BIG + 5, "frames are added up")
  peer.open()
  await clock.settle()

  const small = tidy(t, new Push({ clock, sendHighWaterMarkBytes: 1000 }))
  await small.bind("fake://larger")
  const slow = fake.connect("larger", { room: 300 }).shake("PULL")
  await clock.settle()
  fill(small, 0, () => Buffer.alloc(BIG))
  t.equal(small.peers[0]!.queued, 1)
  t.equal(small.peers[0]!.queuedBytes, BIG)
  slow.open()
  await clock.settle()
  t.ok(small.trySend(Buffer.alloc(1_000_000)))
  await clock.settle()
  t.equal(slow.messages.length, 3)
})

t.test("a mark of one message lets one wait; 0 is no mark", async (t) => {
  const clock = strictClock(t)
  const one = tidy(t, new Push({ clock, sendHighWaterMark: 1 }))
  await one.bind("fake://one-waits")
  const peer = fake.connect("one-waits", { room: 300 }).shake("PULL")
  await clock.settle()
  t.equal(
    fill(one, 0, () => Buffer.alloc(BIG)),
    2,
  )
  const waiting = watch(one.send("next"))
  peer.open(WRITE)
  await clock.settle()
  t.equal(waiting.state, "done")
  t.equal(one.peers[0]!.queued, 1)

  const none = tidy(t, new Push({ clock, sendHighWaterMark: 0, sendHighWaterMarkBytes: 0 }))
  void none.connect(freshName())
  const body = Buffer.alloc(100_000)
  for (let n = 0; n < 5000; n++) if (!none.trySend(body)) t.fail(`${n} was refused`)
  none.linger = 0
  await none.close()
  t.equal(none.stats().dropped.linger?.count, 5000)
})

t.test(
  "receiveHighWaterMark: so many wait for the user, and reading goes on once half of them are taken",
  async (t) => {
    const clock = strictClock(t)
    const pull = tidy(t, new Pull({ clock, receiveHighWaterMark: 10 }))
    await pull.bind("fake://reading")
    const peer = fake.connect("reading").shake("PUSH")
    for (const n of range(0, 20)) peer.say(n)
    t.equal(pull.peers[0]!.waiting, 10)
    t.equal(pull.peers[0]!.waitingBytes, 10)
    t.ok(peer.paused)
    for (const n of range(0, 4)) t.equal(text(pull.tryReceive()), n)
    t.ok(peer.paused, "six wait still")
    t.equal(pull.peers[0]!.waiting, 6)
    t.equal(text(pull.tryReceive()), "4")
    t.equal(pull.peers[0]!.waiting, 10, "five: what was held comes in")
    t.strictSame((await pull.receiveMany(100)).map(text), range(5, 20))
    t.notOk(peer.paused)

    const one = tidy(t, new Pull({ clock, receiveHighWaterMark: 1 }))
    await one.bind("fake://reading-one")
    const other = fake.connect("reading-one").shake("PUSH")
    other.feed(Buffer.concat(range(0, 5).map((n) => wire(n))))
    t.equal(one.peers[0]!.waiting, 1)
    for (const n of range(0, 5)) t.equal(text(one.tryReceive()), n)

    const none = tidy(t, new Pull({ clock, receiveHighWaterMark: 0, receiveHighWaterMarkBytes: 0 }))
    await none.bind("fake://reading-all")
    const all = fake.connect("reading-all").shake("PUSH")
    for (let n = 0; n < 5000; n++) all.say(Buffer.alloc(20_000))
    t.equal(none.peers[0]!.waiting, 5000)
    t.notOk(all.paused)
  },
)

t.test("receiveHighWaterMarkBytes: the same in bytes", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock, receiveHighWaterMarkBytes: 1000 }))
  await pull.bind("fake://reading-bytes")
  const peer = fake.connect("reading-bytes").shake("PUSH")
  for (let n = 0; n < 10; n++) peer.say(Buffer.alloc(150), Buffer.alloc(100))
  t.equal(pull.peers[0]!.waiting, 4)
  t.equal(pull.peers[0]!.waitingBytes, 1000)
  t.ok(peer.paused)
  pull.tryReceive()
  t.equal(pull.peers[0]!.waiting, 3, "750 bytes")
  pull.tryReceive()
  t.equal(pull.peers[0]!.waiting, 4, "500 bytes: reading goes on")
  t.equal((await pull.receiveMany(100)).length, 8)
  peer.say(Buffer.alloc(50_000))
  peer.say("next")
  t.equal(pull.peers[0]!.waiting, 1, "an empty queue takes one larger message")
  t.equal(pull.tryReceive()![0]!.length, 50_000)
  t.equal(text(pull.tryReceive()), "next")
})

t.test("marks are each peer's own", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock, receiveHighWaterMark: 3 }))
  await pull.bind("fake://own-marks")
  const [loud, quiet] = [fake.connect("own-marks").shake("PUSH"), fake.connect("own-marks").shake("PUSH")]
  for (let n = 0; n < 10; n++) loud.say("loud")
  quiet.say("quiet")
  t.strictSame(
    pull.peers.map(({ waiting }) => waiting),
    [3, 1],
  )
  t.ok((await pull.receiveMany(2)).map(text).includes("quiet"))
})

t.test("between two sockets, marks on both sides bound what is under way, and all of it arrives", async (t) => {
  const clock = strictClock(t)
  for (const marks of [
    { sendHighWaterMark: 5, receiveHighWaterMark: 5 },
    {
      sendHighWaterMarkBytes: 50_000,
      receiveHighWaterMarkBytes: 50_000,
      sendHighWaterMark: 0,
      receiveHighWaterMark: 0,
    },
  ]) {
    const { sendHighWaterMark, sendHighWaterMarkBytes = 0, ...receive } = marks
    const push = tidy(t, new Push({ clock, sendHighWaterMark, sendHighWaterMarkBytes }))
    const pull = tidy(t, new Pull({ clock, ...receive }))
    await link(push, pull)
    let sent = 0
    for (;;) {
      const before = sent
      sent = fill(push, sent, (n) => [String(n), Buffer.alloc(10_000)])
      await clock.settle()
      if (sent === before) break
    }
    t.ok(sent < 200, `${sent} are under way`)
    const got: string[] = []
    for (let n = 0; n < sent; n++) got.push(String((await clock.until(pull.receive()))[0]))
    t.strictSame(got, range(0, sent))
    t.ok(push.trySend("more"))
  }
})

t.test("maxMessageSize is for the whole message, maxMessageParts for its frames", async (t) => {
  const clock = strictClock(t)
  const MiB = 1024 * 1024
  let count = 0
  const served = async (options: object, chunk: Buffer): Promise<{ code: string | undefined; got: number }> => {
    const pull = tidy(t, new Pull({ clock, ...options }))
    const left = events(pull, "disconnect")
    await pull.bind(`fake://sizes-${++count}`)
    const peer = fake.connect(`sizes-${count}`).shake("PUSH")
    peer.feed(chunk)
    const got = pull.peers[0]?.waiting ?? 0
    await clock.settle()
    t.equal(peer.ended, left.length === 0 ? undefined : "destroyed")
    return { code: left[0]?.error?.code, got }
  }
  const parts = (...sizes: number[]): Buffer => wire(...sizes.map((size) => Buffer.alloc(size)))
  const fine = { code: undefined, got: 1 }
  t.strictSame(await served({ maxMessageSize: 1000 }, parts(1000)), fine)
  t.strictSame(await served({ maxMessageSize: 1000 }, parts(300, 300, 400)), fine)
  t.equal((await served({ maxMessageSize: 1000 }, parts(1001))).code, "EMSGSIZE")
  t.equal((await served({ maxMessageSize: 1000 }, parts(300, 300, 401))).code, "EMSGSIZE")
  t.equal((await served({ maxMessageSize: 0 }, parts(1))).code, "EMSGSIZE")
  t.strictSame(await served({ maxMessageSize: 0 }, parts(0)), fine, "0: only empty ones")
  t.strictSame(await served({ maxMessageParts: 3 }, parts(1, 1, 1)), fine)
  t.equal((await served({ maxMessageParts: 3 }, parts(1, 1, 1, 1))).code, "EMSGSIZE")
  t.equal((await served({ maxMessageParts: 1 }, parts(1, 1))).code, "EMSGSIZE")

  const head = (size: number): Buffer => {
    const bytes = Buffer.alloc(9)
    bytes[0] = 2
    bytes.writeBigUInt64BE(BigInt(size), 1)
    return bytes
  }
  t.equal((await served({}, head(128 * MiB))).code, undefined, "128 MiB may come")
  t.equal((await served({}, head(128 * MiB + 1))).code, "EMSGSIZE", "one byte more is refused by its head")
  t.equal((await served({ maxMessageSize: -1 }, head(2 ** 50))).code, undefined, "-1: no limit")
  const many = Buffer.concat([Buffer.alloc(2 * 65_535, Buffer.from([1, 0])), Buffer.from([0, 0])])
  t.strictSame(await served({}, many), fine, "65,536 frames")
  t.equal((await served({}, Buffer.concat([Buffer.from([1, 0]), many]))).code, "EMSGSIZE", "65,537")
})

t.test("X-Earshot-Max: what is larger is refused here and does not kill the link", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock, maxMessageSize: 1000 }))
  const push = tidy(t, new Push({ clock }))
  await link(pull, push)
  t.equal(push.peers[0]!.metadata.get("X-Earshot-Max")?.toString(), "1000", "READY tells of it")
  t.equal(await outcome(push.send(Buffer.alloc(1001))), "EMSGSIZE")
  t.equal(await outcome(push.send([Buffer.alloc(600), Buffer.alloc(401)])), "EMSGSIZE", "all frames together")
  t.equal(
    thrown(() => push.trySend(Buffer.alloc(1001))),
    "EMSGSIZE",
  )
  await push.send([Buffer.alloc(600), Buffer.alloc(400)])
  t.equal((await clock.until(pull.receive())).length, 2)
  t.equal(pull.peers.length, 1)
  t.equal(push.stats().sent.count, 1)

  const unlimited = tidy(t, new Pull({ clock, maxMessageSize: -1 }))
  const free = tidy(t, new Push({ clock }))
  await link(unlimited, free)
  t.notOk(free.peers[0]!.metadata.has("X-Earshot-Max"))

  await t.test("for each type that can refuse", async (t) => {
    const limit = { clock, maxMessageSize: 100 }
    const big = Buffer.alloc(101)
    const dealer = tidy(t, new Dealer({ clock }))
    await link(tidy(t, new Dealer(limit)), dealer)
    t.equal(await outcome(dealer.send(big)), "EMSGSIZE", "Dealer")
    const pair = tidy(t, new Pair({ clock }))
    await link(tidy(t, new Pair(limit)), pair)
    t.equal(await outcome(pair.send(big)), "EMSGSIZE", "Pair")
    const request = tidy(t, new Request({ clock }))
    const reply = tidy(t, new Reply(limit))
    await link(reply, request)
    t.equal(await outcome(request.send(big)), "EMSGSIZE", "Request")
    t.equal(await outcome(request.request(big)), "EMSGSIZE", "request()")
    t.equal(await outcome(request.request(Buffer.alloc(97))), "EMSGSIZE", "its id counts")
    const asked = request.request(Buffer.alloc(96))
    await reply.send((await clock.until(reply.receive()))[0]!)
    t.equal((await clock.until(asked))[0]!.length, 96)
    const router = tidy(t, new Router({ clock }))
    await link(router, tidy(t, new Dealer({ ...limit, routingId: "d" })))
    t.equal(await outcome(router.send(["d", big])), "EMSGSIZE", "Router")
    await router.send(["d", Buffer.alloc(100)])
  })

  await t.test("a Publisher drops and counts it, for that peer alone", async (t) => {
    for (const Class of [Publisher, XPublisher]) {
      const publisher = tidy(t, new Class({ clock }))
      const drops = events(publisher, "drop")
      const [small, large] = [
        tidy(t, new Subscriber({ clock, maxMessageSize: 100 })),
        tidy(t, new Subscriber({ clock })),
      ]
      await link(publisher, small, large)
      await clock.until(Promise.all([small.subscribe(), large.subscribe()]))
      await publisher.send(Buffer.alloc(101))
      await publisher.send("both")
      t.strictSame(
        drops.map(({ reason, count, bytes }) => ({ reason, count, bytes })),
        [{ reason: "too-large", count: 1, bytes: 101 }],
      )
      t.equal(text(await clock.until(small.receive())), "both")
      t.equal((await clock.until(large.receive()))[0]!.length, 101)
    }
    const greeter = tidy(t, new XPublisher({ clock, welcomeMessage: "x".repeat(101) }))
    const subscriber = tidy(t, new Subscriber({ clock, maxMessageSize: 100 }))
    await link(greeter, subscriber)
    t.equal(greeter.stats().dropped["too-large"]?.count, 1, "a welcome, too")
  })

  await t.test("an XSubscriber does so with what it sends upstream", async (t) => {
    const subscriber = tidy(t, new XSubscriber({ clock }))
    const [small, large] = [tidy(t, new XPublisher({ clock, maxMessageSize: 100 })), tidy(t, new XPublisher({ clock }))]
    for (const publisher of [small, large]) {
      await publisher.bind(freshName())
      await clock.until(subscriber.connect(publisher.lastEndpoint!))
    }
    await subscriber.send(Buffer.alloc(101, 7))
    t.equal((await clock.until(large.receive()))[0]!.length, 101)
    t.equal(subscriber.stats().dropped["too-large"]?.count, 1)
    t.equal(small.peers.length, 1)
  })

  await t.test("what was queued before the peer said so is dropped and counted", async (t) => {
    const push = tidy(t, new Push({ clock }))
    const endpoint = freshName()
    void push.connect(endpoint)
    for (const size of [10, 1001, 20]) t.ok(push.trySend(Buffer.alloc(size)))
    const pull = tidy(t, new Pull({ clock, maxMessageSize: 1000 }))
    await pull.bind(endpoint)
    t.strictSame(
      [(await clock.until(pull.receive()))[0]!.length, (await clock.until(pull.receive()))[0]!.length],
      [10, 20],
    )
    t.strictSame(push.stats().dropped, { "too-large": { count: 1, bytes: 1001 } })
    t.equal(push.peers.length, 1, "on the same connection")
  })
})

t.test("linger: close() sends what waits for so long, then drops, counts and tells", async (t) => {
  const clock = strictClock(t)
  const loaded = (options: object): { push: Push; endpoint: string; log: string[] } => {
    const push = new Push({ clock, ...options })
    const endpoint = freshName()
    void push.connect(endpoint)
    for (const n of range(0, 5)) push.trySend(n)
    const log: string[] = []
    push.events.on("drop", ({ reason, count, bytes }) => log.push(`${reason} ${count} ${bytes}`))
    push.events.on("end", () => log.push("end"))
    return { push, endpoint, log }
  }

  await t.test("30 s by default", async (t) => {
    const { push, log } = loaded({})
    const closing = watch(push.close())
    await clock.advance(29_999)
    t.equal(closing.state, "pending")
    t.strictSame(log, [])
    await clock.advance(1)
    t.equal(closing.state, "done")
    t.strictSame(log, ["linger 5 5", "end"])
    t.strictSame(push.stats().dropped, { linger: { count: 5, bytes: 5 } })
  })

  await t.test("0: not at all; the last drop is told before close() resolves", async (t) => {
    const { push, log } = loaded({ linger: 0 })
    await push.close()
    t.strictSame(log, ["linger 5 5", "end"])
  })

  await t.test("-1: until it is sent", async (t) => {
    const { push, endpoint, log } = loaded({ linger: -1 })
    const closing = watch(push.close())
    await clock.advance(1_000_000)
    t.equal(closing.state, "pending")
    const pull = tidy(t, new Pull({ clock }))
    await pull.bind(endpoint)
    await clock.advance(1000)
    t.equal(closing.state, "done")
    t.strictSame(log, ["end"])
    t.strictSame((await pull.receiveMany(10)).map(text), range(0, 5))
  })

  await t.test("a peer that reads slowly gets all of it", async (t) => {
    const push = new Push({ clock })
    await push.bind("fake://lingering")
    const peer = fake.connect("lingering", { room: 1000 }).shake("PULL")
    await clock.settle()
    for (let n = 0; n < 5; n++) t.ok(push.trySend(Buffer.alloc(BIG, n)))
    const closing = watch(push.close())
    for (let n = 0; n < 5; n++) {
      await clock.advance(5000)
      t.equal(closing.state, "pending", `${n} s`)
      peer.open(WRITE)
    }
    await clock.settle()
    t.equal(closing.state, "done")
    t.strictSame(
      peer.messages.map(([body]) => body![0]),
      [0, 1, 2, 3, 4],
    )
    t.equal(peer.ended, "closed", "in good order")
    t.strictSame(push.stats().dropped, {})
  })

  await t.test("disconnect() and unbind() linger too, and close() waits for them", async (t) => {
    const { push, endpoint, log } = loaded({ linger: 5000 })
    const disconnecting = watch(push.disconnect(endpoint))
    await clock.advance(1000)
    push.linger = 0
    const closing = watch(push.close())
    await clock.advance(3999)
    t.strictSame([disconnecting.state, closing.state], ["pending", "pending"])
    await clock.advance(1)
    t.strictSame([disconnecting.state, closing.state], ["done", "done"])
    t.strictSame(log, ["linger 5 5", "end"])

    const bound = tidy(t, new Push({ clock, linger: 2000 }))
    await bound.bind("fake://unbinding")
    const peer = fake.connect("unbinding", { room: 1000 }).shake("PULL")
    await clock.settle()
    for (let n = 0; n < 3; n++) bound.trySend(Buffer.alloc(BIG))
    const unbinding = watch(bound.unbind("fake://unbinding"))
    await clock.advance(1999)
    t.equal(unbinding.state, "pending")
    await clock.advance(1)
    t.equal(unbinding.state, "done")
    t.equal(peer.ended, "destroyed")
    t.strictSame(bound.stats().dropped, { linger: { count: 2, bytes: 2 * BIG } })
    t.strictSame(bound.stats().unconfirmed.count, 1, "and one may have arrived")
  })

  await t.test("what was received and not taken is counted", async (t) => {
    const pull = new Pull({ clock })
    await pull.bind("fake://unread")
    const peer = fake.connect("unread").shake("PUSH")
    for (const n of range(0, 3)) peer.say(n)
    const drops = events(pull, "drop")
    await pull.close()
    t.match(drops, [{ reason: "unread", count: 3, bytes: 3 }])
  })
})

t.test("inbound handshakes get 10 s, however their bytes trickle", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  const failed = events(pull, "handshake:error:other")
  await pull.bind("fake://trickle")
  const slow = fake.connect("trickle")
  const silent = fake.connect("trickle")
  const hello = Buffer.concat([greeting(), ready("PUSH")])
  for (let n = 0; n < 20; n++) {
    await clock.advance(499)
    slow.feed(hello.subarray(n, n + 1))
  }
  t.strictSame([slow.ended, silent.ended], [undefined, undefined])
  await clock.advance(20)
  t.strictSame([slow.ended, silent.ended], ["destroyed", "destroyed"])
  t.strictSame(
    failed.map(({ error }) => error.code),
    ["ETIMEDOUT", "ETIMEDOUT"],
  )
  t.equal(slow.named("ERROR").length, 0)

  const quick = tidy(t, new Pull({ clock, handshakeInterval: 100 }))
  await quick.bind("fake://quick")
  const late = fake.connect("quick")
  const timely = fake.connect("quick").shake("PUSH")
  await clock.advance(100)
  t.strictSame([late.ended, timely.ended], ["destroyed", undefined], "as handshakeInterval says; done is done")

  let dialled!: FakeLink
  fake.onDial = () => (dialled = new FakeLink("fake://outbound"))
  const push = tidy(t, new Push({ clock }))
  void push.connect("fake://outbound")
  await clock.settle()
  const first = dialled
  await clock.advance(9999)
  t.equal(first.ended, undefined)
  await clock.advance(1)
  t.equal(first.ended, "destroyed", "and outbound ones")
})

t.test("at most 256 handshakes at once, of one listener", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  const refused = events(pull, "accept:error")
  const accepted = events(pull, "accept")
  await pull.bind("fake://crowd")
  await pull.bind("fake://elsewhere")
  const done = Array.from({ length: 20 }, () => fake.connect("crowd").shake("PUSH"))
  const crowd: FakeLink[] = []
  for (let n = 0; n < 256; n++) crowd.push(fake.connect("crowd"))
  await clock.settle()
  t.strictSame(refused, [])
  t.equal(accepted.length, 276)

  await clock.advance(1999)
  const newcomer = fake.connect("crowd")
  t.equal(newcomer.ended, "destroyed", "the oldest has not waited 2 s: the newcomer goes")
  t.equal(newcomer.written, 0, "plainly")
  t.equal(refused[0]?.error.code, "LIMIT")
  t.equal(pull.stats().refusedHandshakes, 1)
  t.equal(accepted.length, 276, "it was not accepted")
  t.equal(fake.connect("elsewhere").ended, undefined, "another listener counts its own")

  await clock.advance(1)
  const next = fake.connect("crowd")
  await clock.settle()
  t.equal(next.ended, undefined, "now the oldest goes")
  t.strictSame(
    crowd.map((link) => link.ended),
    ["destroyed", ...Array<undefined>(255).fill(undefined)],
  )
  t.equal(crowd[0]!.named("ERROR").length, 0, "plainly, too")
  t.equal(pull.stats().refusedHandshakes, 2)

  crowd[1]!.shake("PUSH")
  crowd[2]!.hangUp()
  await clock.settle()
  for (const link of [fake.connect("crowd"), fake.connect("crowd")])
    t.equal(link.ended, undefined, "who is done or gone makes room")
  t.ok(done.every((link) => link.ended === undefined))
  t.equal(pull.peers.length, 21)
  t.equal(pull.stats().refusedHandshakes, 2)

  const few = tidy(t, new Pull({ clock, maxHandshakes: 2 }))
  await few.bind("fake://few")
  const three = [1, 2, 3].map(() => fake.connect("few"))
  t.strictSame(
    three.map((link) => link.ended),
    [undefined, undefined, "destroyed"],
    "as maxHandshakes says",
  )
})

t.test("at most 64 of one remote address other than loopback", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  await pull.bind("fake://addresses")
  const other = fake.connect("addresses", { host: "192.0.2.1" })
  const local = Array.from({ length: 100 }, () => fake.connect("addresses"))
  const crowd = Array.from({ length: 64 }, () => fake.connect("addresses", { host: "192.0.2.9" }))
  for (const link of [other, ...local, ...crowd]) if (link.ended !== undefined) t.fail("too early")
  t.equal(fake.connect("addresses", { host: "192.0.2.9" }).ended, "destroyed", "the 65th")
  t.equal(fake.connect("addresses", { host: "192.0.2.2" }).ended, undefined, "another address")
  t.equal(fake.connect("addresses").ended, undefined, "loopback has no such limit")
  await clock.advance(2000)
  t.equal(fake.connect("addresses", { host: "192.0.2.9" }).ended, undefined)
  t.equal(crowd[0]!.ended, "destroyed", "the oldest of that address goes")
  t.strictSame([other.ended, local[0]!.ended], [undefined, undefined], "not those of others, older as they are")
  t.equal(pull.stats().refusedHandshakes, 2)
})

t.test("a flood of connections that say nothing does not keep others out for long", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  await pull.bind("fake://flood")
  for (let n = 0; n < 300; n++) fake.connect("flood")
  await clock.advance(2000)
  const honest = fake.connect("flood").shake("PUSH")
  honest.say("hello")
  t.equal(text(await clock.until(pull.receive())), "hello")
  await clock.advance(10_000)
  const { length } = range(0, 256).filter(() => fake.connect("flood").ended === undefined)
  t.equal(length, 256, "after 10 s the rest is gone")
})

t.test("over TCP, a peer with a small maxMessageSize loses one message and keeps its connection", async (t) => {
  const pull = tidy(t, new Pull({ maxMessageSize: 1000 }))
  const push = tidy(t, new Push())
  await pull.bind("tcp://127.0.0.1:*")
  await within("the handshake", push.connect(pull.lastEndpoint!))
  const gone = events(push, "disconnect")
  t.equal(await outcome(push.send(Buffer.alloc(2000))), "EMSGSIZE")
  await push.send("after")
  t.equal(text(await within("the message", pull.receive())), "after")
  t.strictSame(gone, [])
})
