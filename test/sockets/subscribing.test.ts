// SOCKETS.md, "No slow joiner": what subscribe() promises, to whom, and how publishers wait for subscribers.
import t, { type Test } from "tap"
import { Publisher, Subscriber, XPublisher, XSubscriber } from "../../lib/index.ts"
import { fake, FakeLink } from "../support/fake.ts"
import {
  freshName,
  link,
  outcome,
  range,
  strictClock,
  text,
  thrown,
  tidy,
  until,
  watch,
  within,
} from "../support/sockets.ts"

t.test("after subscribe() every message comes, on every transport", async (t) => {
  for (const endpoint of ["tcp://127.0.0.1:*", "ipc://*", freshName()]) {
    const publishers = [tidy(t, new Publisher()), tidy(t, new XPublisher())]
    const subscriber = tidy(t, new Subscriber())
    for (const publisher of publishers) {
      await publisher.bind(endpoint.startsWith("inproc") ? freshName() : endpoint)
      void subscriber.connect(publisher.lastEndpoint!)
    }
    // The first one covers the handshakes, which are still running.
    for (const n of range(0, 100)) {
      await within("subscribe()", subscriber.subscribe(`topic ${n}.`))
      for (const publisher of publishers) {
        if (publisher.subscribers(`topic ${n}.`) !== 1) t.fail(`${n}: the publisher does not know of it`)
        await publisher.send(`topic ${n}.`)
      }
      for (const _ of publishers)
        if (text(await within(`topic ${n}`, subscriber.receive())) !== `topic ${n}.`) t.fail(`${n} did not come`)
    }
    for (const n of range(0, 100)) {
      await within("unsubscribe()", subscriber.unsubscribe(`topic ${n}.`))
      for (const publisher of publishers)
        if (publisher.subscribers(`topic ${n}.`) !== 0) t.fail(`${n}: the publisher still sends it`)
    }
    t.pass(endpoint)
  }
})

t.test(
  "subscribe() covers the peers that are there now, and the first of each endpoint that is being connected",
  async (t) => {
    const clock = strictClock(t)
    const subscriber = tidy(t, new Subscriber({ clock }))
    await clock.until(subscriber.subscribe("nobody yet"), 0)
    t.pass("nobody to wait for")

    const [there, coming, later] = [1, 2, 3].map(() => tidy(t, new Publisher({ clock })))
    await link(there!, subscriber)
    const endpoint = freshName()
    void subscriber.connect(endpoint)
    const both = watch(subscriber.subscribe("a"))
    await clock.advance(9000)
    t.equal(both.state, "pending")
    t.equal(there!.subscribers("a"), 1)
    await coming!.bind(endpoint)
    await clock.settle()
    t.equal(both.state, "done")
    t.equal(coming!.subscribers("a"), 1)
    t.equal(coming!.subscribers("nobody yet"), 1, "and it knows of what was subscribed to before")

    // An endpoint connected later, or that is away for a while, is not waited for; it hears of it when it comes.
    await clock.until(coming!.unbind(endpoint))
    await clock.until(subscriber.subscribe("b"), 50)
    const after = subscriber.subscribe("c")
    const place = freshName()
    void subscriber.connect(place)
    await clock.until(after, 0)
    await later!.bind(place)
    await later!.ready({ topic: "c" })
    t.equal(later!.subscribers("b"), 1)
  },
)

t.test("subscribe() gives up on an endpoint after 10 s: TIMEOUT; it stays subscribed", async (t) => {
  const clock = strictClock(t)
  const subscriber = tidy(t, new Subscriber({ clock }))
  const endpoint = freshName()
  void subscriber.connect(endpoint)
  const first = watch(subscriber.subscribe("a"))
  await clock.advance(4000)
  const second = watch(subscriber.unsubscribe("b"))
  await clock.advance(5999)
  t.strictSame([first.state, second.state], ["pending", "pending"])
  await clock.advance(1)
  t.strictSame([first.state, second.state], ["TIMEOUT", "pending"])
  await clock.advance(4000)
  t.equal(second.state, "TIMEOUT")
  t.equal(clock.holds, 0)
  const publisher = tidy(t, new Publisher({ clock }))
  await publisher.bind(endpoint)
  await clock.until(publisher.ready({ topic: "a" }))
  t.equal(publisher.subscribers("a"), 1)
})

t.test("subscribe() need not be awaited and never crashes when ignored", async (t) => {
  const clock = strictClock(t)
  const unhandled: unknown[] = []
  const listener = (error: unknown): void => void unhandled.push(error)
  process.on("unhandledRejection", listener)
  t.teardown(() => process.off("unhandledRejection", listener))
  const subscriber = tidy(t, new Subscriber({ clock }))
  void subscriber.connect(freshName())
  void subscriber.subscribe("a")
  void subscriber.unsubscribe("b")
  await clock.advance(11_000)
  void subscriber.subscribe("c")
  await subscriber.close()
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  t.strictSame(unhandled, [])
})

t.test("an endpoint that is disconnected is no longer waited for", async (t) => {
  const clock = strictClock(t)
  const subscriber = tidy(t, new Subscriber({ clock }))
  const [endpoint, other] = [freshName(), freshName()]
  void subscriber.connect(endpoint)
  void subscriber.connect(other)
  const waiting = watch(subscriber.subscribe("a"))
  await clock.until(subscriber.disconnect(endpoint))
  await clock.settle()
  t.equal(waiting.state, "pending")
  await clock.until(subscriber.disconnect(other))
  await clock.settle()
  t.equal(waiting.state, "done")
  void subscriber.connect(freshName())
  const closing = watch(subscriber.subscribe("a"))
  await subscriber.close()
  t.equal(closing.state, "EBADF", "close() is the end of it")
})

/** A publisher of somebody else's. */
async function foreign(t: Test, clock: ReturnType<typeof strictClock>, options: object = {}, minor = 1) {
  const subscriber = tidy(t, new Subscriber({ clock }))
  let peer!: FakeLink
  fake.onDial = () => (peer = new FakeLink("fake://foreign"))
  void subscriber.connect("fake://foreign")
  await clock.settle()
  peer.polite = false
  peer.shake("PUB", options as Record<string, string>, minor)
  await clock.settle()
  return { subscriber, peer }
}

t.test("a libzmq peer: its PONG, and 5 ms", async (t) => {
  const clock = strictClock(t)
  const { subscriber, peer } = await foreign(t, clock)
  const waiting = watch(subscriber.subscribe("a"))
  await clock.advance(300)
  t.equal(waiting.state, "pending", "no PONG yet")
  const names = peer.commands.map(({ name }) => name)
  t.ok(names.indexOf("PING") > names.indexOf("SUBSCRIBE"), "the PING is behind the SUBSCRIBE")
  const [ping] = peer.named("PING")
  peer.feed(pong(ping!))
  await clock.advance(4)
  t.equal(waiting.state, "pending")
  await clock.advance(1)
  t.equal(waiting.state, "done")

  const next = watch(subscriber.subscribe("b"))
  await clock.settle()
  peer.feed(pong(ping!))
  await clock.advance(100)
  t.equal(next.state, "pending", "the PONG of another PING is none")
  peer.feed(pong(peer.named("PING")[1]!))
  await clock.advance(5)
  t.equal(next.state, "done")
})

t.test("a peer that answers no PING: after 1 s of silence", async (t) => {
  const clock = strictClock(t)
  const { subscriber, peer } = await foreign(t, clock)
  const waiting = watch(subscriber.subscribe("a"))
  await clock.advance(999)
  t.equal(waiting.state, "pending")
  await clock.advance(6)
  t.equal(waiting.state, "done")
  t.equal(peer.ended, undefined, "it is not judged for that")
})

t.test("a 3.0 peer knows no PING: when it is written, in its spelling", async (t) => {
  const clock = strictClock(t)
  const { subscriber, peer } = await foreign(t, clock, {}, 0)
  const waiting = watch(subscriber.subscribe("a"))
  await clock.advance(5)
  t.equal(waiting.state, "done")
  t.strictSame(peer.messages.map(text), ["\x01a"])
  t.strictSame(peer.named("PING"), [])
})

t.test("an Earshot peer always answers: its PONG is waited for, up to 10 s", async (t) => {
  const clock = strictClock(t)
  const { subscriber, peer } = await foreign(t, clock, { "X-Earshot": "1" })
  const waiting = watch(subscriber.subscribe("a"))
  await clock.advance(5000)
  t.equal(waiting.state, "pending")
  peer.feed(pong(peer.named("PING")[0]!))
  await clock.settle()
  t.equal(waiting.state, "done", "and then at once")
  const never = watch(subscriber.subscribe("b"))
  await clock.advance(10_000)
  t.equal(never.state, "TIMEOUT")
  const gone = watch(subscriber.subscribe("c"))
  peer.hangUp()
  await clock.settle()
  t.equal(gone.state, "done", "one that goes is not waited for")
})

t.test("it tells of the next hop: XPublisher, manual or not", async (t) => {
  const clock = strictClock(t)
  const publisher = tidy(t, new XPublisher({ clock, manual: true }))
  const subscriber = tidy(t, new Subscriber({ clock }))
  await link(publisher, subscriber)
  await clock.until(subscriber.subscribe("a"))
  t.equal(publisher.subscribers("a"), 0, "it has come, and is the user's to decide on")
  t.equal(text(publisher.tryReceive()), "\x01a")
  publisher.subscribe("b")
  t.equal(publisher.subscribers("b"), 1)
  publisher.unsubscribe("b")
  t.equal(publisher.subscribers("b"), 0)
  t.equal(
    thrown(() => tidy(t, new XPublisher({ clock })).subscribe("x")),
    "EINVAL",
  )
  t.equal(
    thrown(() => tidy(t, new XPublisher({ clock, manual: true })).subscribe("x")),
    "EHOSTUNREACH",
  )
})

t.test("subscriptions add up; without topics it is everything", async (t) => {
  const clock = strictClock(t)
  const publisher = tidy(t, new Publisher({ clock }))
  const subscriber = tidy(t, new Subscriber({ clock }))
  await link(publisher, subscriber)
  await clock.until(subscriber.subscribe("a", Buffer.from("b"), "a"))
  await clock.until(subscriber.unsubscribe("a"))
  t.equal(publisher.subscribers("a"), 1)
  await clock.until(subscriber.unsubscribe("a", "b", "never"))
  t.equal(publisher.subscribers("a") + publisher.subscribers("b"), 0)
  await clock.until(subscriber.subscribe())
  t.equal(publisher.subscribers(), 1)
  t.equal(publisher.subscribers("anything"), 1)
  await clock.until(subscriber.unsubscribe())
  t.equal(publisher.subscribers("anything"), 0)
  t.equal(
    thrown(() => subscriber.subscribe({} as never)),
    "EINVAL",
  )
})

t.test("publisher.subscribers(topic): peers to whom a message beginning with it would go", async (t) => {
  const clock = strictClock(t)
  for (const Class of [Publisher, XPublisher]) {
    const publisher = tidy(t, new Class({ clock }))
    const [one, two, three] = [
      new Subscriber({ clock }),
      new Subscriber({ clock }),
      new XSubscriber({ clock }),
    ] as const
    tidy(t, one, two, three)
    t.equal(publisher.subscribers(), 0)
    await link(publisher, one, two, three)
    await clock.until(one.subscribe("a", "ab", "abc"))
    await clock.until(two.subscribe("ab"))
    await three.send("\x01")
    await clock.settle()
    t.equal(publisher.subscribers("abcd"), 3, "each counts once")
    t.equal(publisher.subscribers("ab"), 3)
    t.equal(publisher.subscribers("a"), 2)
    t.equal(publisher.subscribers("x"), 1)
    t.equal(publisher.subscribers(Buffer.from("a")), 2)
    t.equal(publisher.subscribers(), 1)
    publisher.invertMatching = true
    t.equal(publisher.subscribers("x"), 2, "invertMatching: those who did not ask for it")
    publisher.invertMatching = false
    await clock.until(two.close())
    await clock.settle()
    t.equal(publisher.subscribers("ab"), 2, "who is gone gets nothing")
  }
})

t.test("publisher.ready() waits for subscribers", async (t) => {
  const clock = strictClock(t)
  for (const Class of [Publisher, XPublisher]) {
    const publisher = tidy(t, new Class({ clock }))
    const all = [1, 2, 3].map(() => tidy(t, new Subscriber({ clock })))
    const three = watch(publisher.ready({ subscribers: 3, topic: "a" }))
    const any = watch(publisher.ready())
    t.equal(await outcome(publisher.ready({ subscribers: 0 })), "done", "it is so already")
    await link(publisher, ...all)
    for (const each of all) {
      t.equal(three.state, "pending")
      await clock.until(each.subscribe("a"))
    }
    await clock.settle()
    t.equal(three.state, "done")
    t.equal(any.state, "pending", "nobody wants every message")
    await clock.until(all[0]!.subscribe())
    await clock.settle()
    t.equal(any.state, "done")
    await clock.until(publisher.ready({ subscribers: 3, topic: "abc" }))

    const start = clock.now()
    const impatient = watch(publisher.ready({ topic: "a", subscribers: 4, timeout: 500 }))
    const standard = publisher.ready({ subscribers: 4 })
    const patient = watch(publisher.ready({ subscribers: 4, timeout: -1 }))
    await clock.advance(499)
    t.equal(impatient.state, "pending")
    await clock.advance(1)
    t.equal(impatient.state, "TIMEOUT")
    await t.rejects(clock.until(standard), { code: "TIMEOUT", message: /1 of 4 subscribers within 10000 ms/ })
    t.equal(clock.now() - start, 10_000, "10 s unless told otherwise")
    await clock.advance(1_000_000)
    t.equal(patient.state, "pending", "-1: for ever")
    await publisher.close()
    t.equal(patient.state, "EBADF")
  }
})

t.test("over TCP with real time: a subscriber that joins late misses nothing after its promise", async (t) => {
  const publisher = tidy(t, new Publisher())
  await publisher.bind("tcp://127.0.0.1:*")
  let published = 0
  let running = true
  const publishing = (async () => {
    while (running) {
      await publisher.send(["n", String(published++)])
      if (published % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  for (let round = 0; round < 10; round++) {
    const subscriber = tidy(t, new Subscriber({ receiveHighWaterMark: 0 }))
    void subscriber.connect(publisher.lastEndpoint!)
    await within("subscribe()", subscriber.subscribe("n"))
    const from = published
    const [, first] = (await within("a message", subscriber.receive())) as [Buffer, Buffer]
    let due = Number(first)
    t.ok(due <= from, `from message ${due}, and ${from} was the next`)
    await until("more", () => published > from + 100)
    for (let n = 0; n < 100; n++) {
      const [, count] = (await within("a message", subscriber.receive())) as [Buffer, Buffer]
      if (Number(count) !== ++due) t.fail(`${String(count)} where ${due} was due`)
    }
    await subscriber.close()
  }
  running = false
  await publishing
})

function pong(ping: Buffer): Buffer {
  const context = ping.subarray(2)
  return Buffer.concat([Buffer.from([4, 5 + context.length, 4]), Buffer.from("PONG"), context])
}
