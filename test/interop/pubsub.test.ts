// Subscriptions between Earshot and libzmq: every topic arrives, however many and however long, and only what was asked for comes.
import t, { type Test } from "tap"
import { Publisher, Subscriber, XPublisher, XSubscriber } from "../../lib/index.ts"
import { pattern } from "../support/bytes.ts"
import { SIDES, join, ours, poking, theirs, zmq } from "../support/libzmq.ts"
import { rawServer } from "../support/raw.ts"
import { text, until, within } from "../support/sockets.ts"

/** Topics whose frames lie around the limits of short frames, in either spelling. */
const LENGTHS = [0, 1, 244, 245, 246, 253, 254, 255, 256, 257, 70_000]
/** No one a prefix of another, but for the empty one. */
const topicOf = (length: number): Buffer => pattern(length, length)

const byText = (a: string | undefined, b: string | undefined): number => a!.localeCompare(b!)

/** The topics that an XPUB of theirs tells of, until there are so many. */
async function topicsAt(them: zmq.XPublisher, count: number): Promise<string[]> {
  const topics: string[] = []
  while (topics.length < count) {
    const [frame] = await them.receive()
    topics.push((frame![0] === 1 ? "+" : "-") + frame!.toString("latin1", 1))
  }
  return topics
}

t.test("5,000 subscriptions before connect all arrive at libzmq", async (t) => {
  for (const side of SIDES) {
    const pub = theirs(t, new zmq.XPublisher())
    const sub = ours(t, new Subscriber())
    for (let i = 0; i < 5000; i++) void sub.subscribe(`topic ${i}`)
    await join(side, sub, pub)
    const topics = await topicsAt(pub, 5000)
    t.equal(new Set(topics).size, 5000, side)
    await pub.send("topic 4999")
    t.equal(text(await sub.receive()), "topic 4999")
  }
})

t.test("5,000 subscriptions after connect, and as many given up", async (t) => {
  const pub = theirs(t, new zmq.XPublisher())
  const sub = ours(t, new Subscriber())
  await join("they bind", sub, pub)
  const names = Array.from({ length: 5000 }, (_, i) => `topic ${i}`)
  // All at once: libzmq answers our PING only behind them.
  const done = sub.subscribe(...names)
  t.equal((await topicsAt(pub, 5000)).length, 5000)
  await within("the subscription", done)
  void sub.unsubscribe(...names)
  const left = await topicsAt(pub, 5000)
  t.ok(left.every((topic) => topic.startsWith("-")))
})

t.test("5,000 subscriptions of libzmq's", async (t) => {
  for (const side of SIDES) {
    const pub = ours(t, new XPublisher())
    const sub = theirs(t, new zmq.Subscriber())
    // ZMQ_SNDHWM, which zeromq.js doesn't offer here: it would let 1,000 of them through (libzmq#4064).
    ;(sub as unknown as { setInt32Option(option: number, value: number): void }).setInt32Option(23, 0)
    for (let i = 0; i < 5000; i++) sub.subscribe(`topic ${i}`)
    await join(side, pub, sub)
    const topics = new Set<string>()
    await poking(
      sub,
      (async () => {
        while (topics.size < 5000) topics.add(text(await pub.receive())!)
      })(),
    )
    t.equal(topics.size, 5000, side)
    t.equal(pub.subscribers("topic 4999"), 1)
  }
})

t.test("topics of every length, ours at theirs", async (t) => {
  for (const side of SIDES) {
    const pub = theirs(t, new zmq.XPublisher())
    const sub = ours(t, new Subscriber())
    await join(side, sub, pub)
    for (const length of LENGTHS) {
      const topic = topicOf(length)
      await sub.subscribe(topic)
      t.ok((await pub.receive())[0]!.equals(Buffer.concat([Buffer.from([1]), topic])), `${length} bytes: asked for`)
      await pub.send([topic, "body"])
      const [first, body] = await sub.receive()
      t.ok(first!.equals(topic) && String(body) === "body", `${length} bytes: delivered`)
      await sub.unsubscribe(topic)
      t.ok((await pub.receive())[0]!.equals(Buffer.concat([Buffer.from([0]), topic])), `${length} bytes: given up`)
      await pub.send([topic, "unwanted"])
    }
    await sub.subscribe("last")
    await pub.receive()
    await pub.send("last")
    t.equal(text(await sub.receive()), "last", "nothing that was given up came")
  }
})

t.test("topics of every length, theirs at ours", async (t) => {
  for (const side of SIDES) {
    const pub = ours(t, new XPublisher())
    const sub = theirs(t, new zmq.XSubscriber())
    await join(side, pub, sub)
    for (const length of LENGTHS) {
      const topic = topicOf(length)
      await sub.send(Buffer.concat([Buffer.from([1]), topic]))
      t.ok(
        (await poking(sub, pub.receive()))[0]!.equals(Buffer.concat([Buffer.from([1]), topic])),
        `${length} bytes: asked for`,
      )
      t.equal(pub.subscribers(topic), 1)
      await pub.send([topic, "body"])
      const [first, body] = await sub.receive()
      t.ok(first!.equals(topic) && String(body) === "body", `${length} bytes: delivered`)
      await sub.send(Buffer.concat([Buffer.from([0]), topic]))
      t.ok((await pub.receive())[0]!.equals(Buffer.concat([Buffer.from([0]), topic])), `${length} bytes: given up`)
      t.equal(pub.subscribers(topic), 0)
    }
  }
})

t.test("subscriptions add up: each is counted, one message comes", async (t) => {
  const pub = theirs(t, new zmq.XPublisher())
  const sub = ours(t, new Subscriber())
  await join("they bind", sub, pub)
  await sub.subscribe("A", "A", "AB")
  t.strictSame(await topicsAt(pub, 2), ["+A", "+AB"])
  await pub.send("ABC")
  await pub.send("end A")
  await sub.unsubscribe("A")
  await pub.send("A2")
  t.strictSame([text(await sub.receive()), text(await sub.receive())], ["ABC", "A2"], "once each; still subscribed")
  await sub.unsubscribe("A")
  t.strictSame(await topicsAt(pub, 1), ["-A"])
  await sub.unsubscribe("never")
  await pub.send("A3")
  await pub.send("AB3")
  t.equal(text(await sub.receive()), "AB3")
})

t.test("an await of subscribe() is enough: the next that libzmq publishes comes", async (t) => {
  for (const side of SIDES) {
    const pub = theirs(t, new zmq.Publisher())
    const sub = ours(t, new Subscriber())
    await join(side, sub, pub)
    for (let i = 0; i < 50; i++) {
      await sub.subscribe(`topic ${i} `)
      await pub.send(`topic ${i} first`)
      t.equal(text(await sub.receive()), `topic ${i} first`)
    }
  }
})

t.test("subscribe() before the handshake covers the endpoints that are being connected", async (t) => {
  const pubs = [theirs(t, new zmq.Publisher()), theirs(t, new zmq.Publisher())]
  const sub = ours(t, new Subscriber())
  for (const pub of pubs) {
    await pub.bind("tcp://127.0.0.1:*")
    void sub.connect(pub.lastEndpoint!)
  }
  await within("the subscription", sub.subscribe("x"))
  for (const [i, pub] of pubs.entries()) await pub.send(`x${i}`)
  t.strictSame([text(await sub.receive()), text(await sub.receive())].sort(byText), ["x0", "x1"])
})

/** A few letters, so that topics are prefixes of each other and of what is published. */
function randomTopic(next: () => number, most: number): string {
  let topic = ""
  for (let n = Math.floor(next() * (most + 1)); n > 0; n--) topic += "abc"[Math.floor(next() * 3)]!
  return topic
}

function generator(seed: number): () => number {
  return () => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
}

async function matching(
  t: Test,
  subscribe: (topic: string) => Promise<unknown>,
  publish: (message: string) => Promise<void>,
  receive: () => Promise<Uint8Array[]>,
) {
  const next = generator(20_260_731)
  const wanted = Array.from({ length: 30 }, () => `.${randomTopic(next, 5)}`.slice(0, 6)).filter(
    (topic) => topic.length > 2,
  )
  for (const topic of [...wanted, "end"]) await subscribe(topic)
  const published = Array.from({ length: 1000 }, () => `.${randomTopic(next, 8)}`)
  const expected = published.filter((message) => wanted.some((topic) => message.startsWith(topic)))
  const sending = (async () => {
    for (const message of [...published, "end"]) await publish(message)
  })()
  const got: string[] = []
  for (let message = text(await receive())!; message !== "end"; message = text(await receive())!) got.push(message)
  await sending
  t.ok(expected.length > 100 && expected.length < 900, `${expected.length} of 1,000 are wanted`)
  t.strictSame(got, expected)
}

t.test("what is asked for is what comes, theirs to ours", async (t) => {
  const pub = theirs(t, new zmq.Publisher({ sendHighWaterMark: 0 }))
  const sub = ours(t, new Subscriber())
  await join("they bind", sub, pub)
  await matching(
    t,
    (topic) => sub.subscribe(topic),
    (message) => pub.send(message),
    () => sub.receive(),
  )
})

t.test("what is asked for is what comes, ours to theirs", async (t) => {
  const pub = ours(t, new XPublisher({ verbosity: "all" }))
  const sub = theirs(t, new zmq.XSubscriber({ receiveHighWaterMark: 0 }))
  await join("we bind", pub, sub)
  const subscribe = async (topic: string): Promise<void> => {
    await sub.send(`\x01${topic}`)
    await poking(sub, pub.receive())
  }
  await matching(
    t,
    subscribe,
    (message) => pub.send(message),
    () => sub.receive(),
  )
})

t.test("XPUB's welcome message and manual subscriptions, with libzmq's SUB", async (t) => {
  const pub = ours(t, new XPublisher({ welcomeMessage: "welcome", manual: true }))
  const sub = theirs(t, new zmq.Subscriber())
  sub.subscribe("welcome", "A")
  await join("we bind", pub, sub)
  t.equal(text(await sub.receive()), "welcome")
  t.strictSame([text(await pub.receive()), text(await pub.receive())].sort(byText), ["\x01A", "\x01welcome"])
  await pub.send("A dropped: nobody was subscribed to it")
  pub.subscribe("B")
  await pub.send("B dropped by SUB itself")
  pub.subscribe("A")
  await pub.send("A at last")
  t.equal(text(await sub.receive()), "A at last")
})

t.test("a proxy of ours between theirs", async (t) => {
  const [front, back] = [ours(t, new XSubscriber()), ours(t, new XPublisher())]
  const [pub, sub] = [theirs(t, new zmq.XPublisher()), theirs(t, new zmq.Subscriber())]
  await join("we bind", front, pub)
  await join("we bind", back, sub)
  front.onmessage = (message) => void back.trySend(message)
  back.onmessage = (message) => void front.trySend(message)
  sub.subscribe("A")
  t.equal(text(await poking(sub, pub.receive())), "\x01A")
  await pub.send(["A1", "body"])
  t.equal(text(await sub.receive()), "A1|body")
  sub.unsubscribe("A")
  t.equal(text(await pub.receive()), "\x00A")
})

t.test("a publisher that comes back hears of every topic once, and of none that was given up", async (t) => {
  const server = await rawServer(t)
  const sub = ours(t, new Subscriber({ reconnectInterval: 5 }))
  void sub.subscribe("A", "A", "B", "C")
  void sub.connect(server.endpoint)
  for (let round = 0; round < 3; round++) {
    const peer = await server.accept()
    await peer.handshake("PUB")
    const topics: string[] = []
    const expected = round === 0 ? ["A", "B", "C"] : ["A", "B"]
    while (topics.length < expected.length) topics.push(String(await peer.command("SUBSCRIBE")))
    t.strictSame(topics, expected)
    if (round === 0) {
      void sub.unsubscribe("C")
      t.equal(String(await peer.command("CANCEL")), "C")
    }
    peer.socket.destroy()
    await until("the end", () => sub.peers.length === 0)
  }
})

t.test("libzmq's subscriptions are gone with it, and there again with the next", async (t) => {
  const pub = ours(t, new Publisher())
  await pub.bind("tcp://127.0.0.1:*")
  for (let round = 0; round < 3; round++) {
    const sub = theirs(t, new zmq.Subscriber())
    sub.subscribe("A")
    sub.connect(pub.lastEndpoint!)
    await pub.ready({ topic: "A" })
    await pub.send("A")
    t.equal(text(await sub.receive()), "A")
    sub.close()
    await until("its end", () => pub.subscribers("A") === 0)
  }
})
