/** PUB and SUB: who gets what (WIRE 1.5, 1.12). */
import type { Test } from "tap"
import type { Publisher, Subscriber } from "../../../lib/index.ts"
import { code, drops, event, fence, Kit, next, range, rest, take, text, until, type Subject } from "./support.ts"

/** A publisher and two subscribers, connected. */
async function news(kit: Kit): Promise<[Publisher, Subscriber, Subscriber]> {
  const publisher = kit.make("Publisher")
  const [first, second] = [kit.make("Subscriber"), kit.make("Subscriber")]
  await kit.link(publisher, first, second)
  return [publisher, first, second]
}

/** All that was published until now and got through. */
async function got(subscriber: Subscriber): Promise<string[]> {
  await fence(subscriber)
  return rest(subscriber)
}

export function pubsub(t: Test, subject: Subject): void {
  t.test("a subscriber gets what begins with one of its topics, by the first frame alone", async (t) => {
    const [publisher, subscriber] = await news(new Kit(t, subject))
    await publisher.send("a: before anything was asked for")
    await subscriber.subscribe("a", "long topic", "")
    await subscriber.unsubscribe("")
    for (const message of [
      "a",
      "ab",
      "b",
      "A",
      "long topic",
      "long topics",
      "long topi",
      ["b", "a"],
      ["a", "b"],
      ["", "a"],
    ])
      await publisher.send(message)
    t.strictSame(await got(subscriber), ["a", "ab", "long topic", "long topics", "a|b"])
  })

  t.test("a message that several topics match comes once", async (t) => {
    const [publisher, subscriber] = await news(new Kit(t, subject))
    await subscriber.subscribe("", "a", "ab", "abc", "b")
    await publisher.send("abcd")
    await publisher.send("b")
    t.strictSame(await got(subscriber), ["abcd", "b"])
  })

  t.test("without topics nothing comes, with the empty one everything", async (t) => {
    const [publisher, none, all] = await news(new Kit(t, subject))
    await all.subscribe()
    for (const message of ["a", ["", "b"], [""], Buffer.from([1, 2]), Buffer.alloc(0)]) await publisher.send(message)
    t.strictSame(await got(all), ["a", "|b", "", "\u0001\u0002", ""])
    t.strictSame(await got(none), [])
    await all.unsubscribe()
    await publisher.send("c")
    t.strictSame(await got(all), [])
  })

  t.test("subscriptions add up", async (t) => {
    const [publisher, subscriber] = await news(new Kit(t, subject))
    await subscriber.subscribe("a", "a")
    await subscriber.subscribe("a")
    for (const left of [2, 1, 0]) {
      await subscriber.unsubscribe("a")
      await publisher.send("a")
      t.strictSame(await got(subscriber), left > 0 ? ["a"] : [])
    }
    await subscriber.unsubscribe("a", "never subscribed")
    await subscriber.subscribe("a")
    await publisher.send("a")
    t.strictSame(await got(subscriber), ["a"], "and do not go below zero")
  })

  t.test("what comes for a topic that was left is not given, though its publisher could not know", async (t) => {
    const [publisher, subscriber] = await news(new Kit(t, subject))
    await subscriber.subscribe("a", "b")
    const left = subscriber.unsubscribe("a")
    for (const message of ["a", "b"]) await publisher.send(message)
    await left
    t.strictSame(await got(subscriber), ["b"])
    t.equal(subscriber.stats().received.count, 2)
  })

  t.test("one subscriber's topics are no other's", async (t) => {
    const [publisher, first, second] = await news(new Kit(t, subject))
    await Promise.all([first.subscribe("a", "both"), second.subscribe("b", "both")])
    for (const message of ["a", "b", "both"]) await publisher.send(message)
    t.strictSame(
      [await got(first), await got(second)],
      [
        ["a", "both"],
        ["b", "both"],
      ],
    )
    await first.unsubscribe("both")
    await publisher.send("both")
    t.strictSame([await got(first), await got(second)], [[], ["both"]])
    t.strictSame([publisher.subscribers("a"), publisher.subscribers("both"), publisher.subscribers("c")], [1, 1, 0])
  })

  t.test("topics are any bytes, of any length", async (t) => {
    const [publisher, subscriber] = await news(new Kit(t, subject))
    const topics = [
      Buffer.from([9]),
      Buffer.from([255, 0, 1]),
      ...[245, 246, 254, 255, 256, 5000].map((n) => Buffer.alloc(n, n)),
    ]
    await subscriber.subscribe(...topics)
    for (const topic of topics) await publisher.send([topic, "yes"])
    for (const topic of topics) await publisher.send([topic.subarray(1), "no"])
    const all = []
    for (const topic of topics) all.push((await subscriber.receive())[0]!.equals(topic))
    t.notOk(all.includes(false))
    // The repeated byte of some is the beginning of no other topic.
    t.strictSame(await got(subscriber), [])
  })

  t.test("10,000 topics, more than any mark, subscribed before the connection", async (t) => {
    const kit = new Kit(t, subject)
    const publisher = kit.make("Publisher", { sendHighWaterMark: 0 })
    const subscriber = kit.make("Subscriber", { receiveHighWaterMark: 0 })
    const endpoint = await kit.bind(publisher)
    void subscriber.subscribe(...range(0, 10_000).map((n) => `topic ${n}.`))
    void subscriber.connect(endpoint)
    await publisher.ready({ topic: "topic 9999." })
    for (let n = 0; n < 10_000; n++) await publisher.send(`topic ${n}.`)
    t.strictSame(
      await take(subscriber, 10_000),
      range(0, 10_000).map((n) => `topic ${n}.`),
    )
    await subscriber.unsubscribe(...range(0, 9999).map((n) => `topic ${n}.`))
    for (let n = 0; n < 10_000; n++) await publisher.send(`topic ${n}.`)
    t.strictSame(await got(subscriber), ["topic 9999."])
  })

  t.test("subscribe() is done when the publishers have it, also one that is being connected", async (t) => {
    const kit = new Kit(t, subject)
    const publishers = [kit.make("Publisher"), kit.make("Publisher")]
    const subscriber = kit.make("Subscriber")
    for (const publisher of publishers) void subscriber.connect(await kit.bind(publisher))
    await subscriber.subscribe("x")
    for (const [i, publisher] of publishers.entries()) {
      t.equal(publisher.subscribers("x"), 1)
      await publisher.send(`x${i}`)
    }
    t.strictSame((await take(subscriber, 2)).sort(), ["x0", "x1"])
    await subscriber.unsubscribe("x")
    t.equal(publishers[0]!.subscribers("x"), 0)
  })

  t.test("ready() waits for subscribers, and tells when they do not come", async (t) => {
    const kit = new Kit(t, subject)
    const [publisher, first] = await news(kit)
    const two = publisher.ready({ subscribers: 2, topic: "news.sport" })
    await first.subscribe("news")
    t.equal(await code(publisher.ready({ subscribers: 2, topic: "news.sport", timeout: 20 })), "TIMEOUT")
    const second = kit.make("Subscriber")
    void second.subscribe("news.sport")
    void second.connect(publisher.lastEndpoint!)
    await two
    await publisher.send("news.sport: 1:0")
    t.strictSame([await next(first), await next(second)], ["news.sport: 1:0", "news.sport: 1:0"])
  })

  t.test("a subscriber may be bound, and have many publishers", async (t) => {
    const kit = new Kit(t, subject)
    const subscriber = kit.make("Subscriber")
    const publishers = Array.from({ length: 5 }, () => kit.make("Publisher"))
    await subscriber.subscribe("n")
    await kit.link(subscriber, ...publishers)
    await subscriber.subscribe("m")
    for (const [i, publisher] of publishers.entries())
      for (const topic of ["n", "m", "o"]) await publisher.send(topic + i)
    t.strictSame((await take(subscriber, 10)).sort(), [
      ...range(0, 5).map((n) => `m${n}`),
      ...range(0, 5).map((n) => `n${n}`),
    ])
    t.strictSame(await got(subscriber), [])
  })

  t.test("a publisher that comes back hears of every topic again, and of none that was left", async (t) => {
    const kit = new Kit(t, subject)
    const [publisher, subscriber] = await news(kit)
    await subscriber.subscribe("stays", "stays", "goes")
    const endpoint = publisher.lastEndpoint!
    const left = event(subscriber, "disconnect")
    await publisher.unbind(endpoint)
    await left
    t.equal(publisher.subscribers("stays"), 0)
    void subscriber.unsubscribe("goes", "stays")
    void subscriber.subscribe("new")
    const again = kit.make("Publisher")
    await again.bind(endpoint)
    await Promise.all(["stays", "new"].map((topic) => again.ready({ topic })))
    for (const message of ["goes", "stays", "new"]) await again.send(message)
    t.strictSame(await got(subscriber), ["stays", "new"])
    await subscriber.unsubscribe("stays")
    await again.send("stays")
    t.strictSame(await got(subscriber), [])
  })

  t.test("a publisher that connects sends to a subscriber that comes back", async (t) => {
    const kit = new Kit(t, subject)
    const first = kit.make("Subscriber")
    const publisher = kit.make("Publisher")
    const endpoint = await kit.link(first, publisher)
    await first.subscribe("a", "b")
    const left = event(publisher, "disconnect")
    await first.close()
    await left
    await publisher.send("a: to nobody")
    const second = kit.make("Subscriber")
    await second.bind(endpoint)
    await second.subscribe("b")
    await publisher.ready({ topic: "b" })
    for (const message of ["a", "b"]) await publisher.send(message)
    t.strictSame(await got(second), ["b"])
  })

  t.test("whatever is subscribed, left and connected anew, each gets what it asks for", async (t) => {
    const kit = new Kit(t, subject)
    const [publisher, ...subscribers] = await news(kit)
    const endpoint = publisher.lastEndpoint!
    const words = [""]
    for (let n = 0; words.length < 31; n++) words.push(`${words[n]}a`, `${words[n]}b`)
    const counts = subscribers.map(() => new Map<string, number>())
    let seed = 1
    const chance = (below: number): number => (seed = (seed * 48_271) % 0x7fff_ffff) % below
    for (let round = 0; round < 60; round++) {
      for (const [i, subscriber] of subscribers.entries())
        for (let n = chance(6); n > 0; n--) {
          const word = words[chance(words.length)]!
          const count = counts[i]!.get(word) ?? 0
          const more = chance(2) === 0
          counts[i]!.set(word, Math.max(0, count + (more ? 1 : -1)))
          void (more ? subscriber.subscribe(word) : subscriber.unsubscribe(word))
        }
      if (round % 10 === 9) {
        await publisher.unbind(endpoint)
        await publisher.bind(endpoint)
        await until("both again", () => publisher.peers.length === 2)
        await fence(publisher)
      }
      await Promise.all(subscribers.map(fence))
      for (const word of words) await publisher.send(word)
      for (const [i, subscriber] of subscribers.entries()) {
        const topics = [...counts[i]!].filter(([, count]) => count > 0).map(([topic]) => topic)
        const wanted = words.filter((word) => topics.some((topic) => word.startsWith(topic)))
        t.strictSame(await got(subscriber), wanted, `round ${round}: ${topics.join(" ")}`)
      }
    }
  })

  t.test("invertMatching, on both sides: all but the topics", async (t) => {
    const kit = new Kit(t, subject)
    const publisher = kit.make("Publisher", { invertMatching: true })
    const inverted = kit.make("Subscriber", { invertMatching: true })
    const everything = kit.make("Subscriber", { invertMatching: true })
    await kit.link(publisher, inverted, everything)
    await inverted.subscribe("a", "bb")
    for (const message of ["a", "ab", "b", "bb", "bbc", ["c", "a"], ""]) await publisher.send(message)
    t.strictSame(await got(inverted), ["b", "c|a", ""])
    t.strictSame(await got(everything), ["a", "ab", "b", "bb", "bbc", "c|a", ""])
    t.strictSame([publisher.subscribers("a"), publisher.subscribers("b")], [1, 2])
  })

  t.test("conflate keeps the last message, for each publisher", async (t) => {
    const kit = new Kit(t, subject)
    const subscriber = kit.make("Subscriber", { conflate: true })
    const publishers = [kit.make("Publisher"), kit.make("Publisher")]
    for (const publisher of publishers) void subscriber.connect(await kit.bind(publisher))
    await subscriber.subscribe("")
    for (let n = 0; n < 100; n++) for (const [i, publisher] of publishers.entries()) await publisher.send(`${i}.${n}`)
    await until("all of them", () => subscriber.stats().received.count === 200)
    t.strictSame(rest(subscriber).sort(), ["0.99", "1.99"])
    t.equal(drops(subscriber, "conflated"), 198)
    await publishers[0]!.send("later")
    t.equal(await next(subscriber), "later")
  })

  t.test("a conflating publisher keeps the last for one that takes no more", async (t) => {
    const kit = new Kit(t, subject)
    const publisher = kit.make("Publisher", { conflate: true })
    const subscriber = kit.make("Subscriber", { receiveHighWaterMark: 1 })
    await kit.link(publisher, subscriber)
    await subscriber.subscribe("")
    let sent = 0
    await until("a message that was replaced", () => {
      t.ok(publisher.trySend([String(sent++), Buffer.alloc(50_000)]))
      return drops(publisher, "conflated") > 0
    })
    const all = []
    for (let n = 0; n < sent - drops(publisher, "conflated"); n++) all.push(Number((await subscriber.receive())[0]))
    t.equal(all.at(-1), sent - 1, "the newest came")
    t.strictSame(
      all,
      [...new Set(all)].sort((a, b) => a - b),
      "none twice, none out of order",
    )
    t.equal(drops(publisher, "full"), 0)
  })

  t.test("a publisher that is sent anything but subscriptions drops and counts it", async (t) => {
    const kit = new Kit(t, subject)
    const publisher = kit.make("Publisher")
    const xsub = kit.make("XSubscriber")
    await kit.link(publisher, xsub)
    await xsub.send("upstream")
    await xsub.send([Buffer.from([1, 65]), "of two frames"])
    await fence(xsub)
    t.equal(drops(publisher, "malformed"), 2)
    t.equal(publisher.subscribers("A"), 0)
    await xsub.send("\u0001A")
    await publisher.ready({ topic: "A" })
    await publisher.send("Ah")
    t.equal(text(await xsub.receive()), "Ah")
  })
}
