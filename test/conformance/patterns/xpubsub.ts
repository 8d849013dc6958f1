/** XPUB and XSUB: subscriptions as messages, and what proxies do with them (WIRE 1.5, 1.12). */
import type { Test } from "tap"
import { drops, event, fence, Kit, next, peers, range, rest, take, text, thrown, type Subject } from "./support.ts"

const on = (topic: string): string => `\u0001${topic}`
const off = (topic: string): string => `\u0000${topic}`

export function xpubsub(t: Test, subject: Subject): void {
  const told: Record<string, string[]> = {
    new: [on("a"), off("a"), on("b"), off("b")],
    subscriptions: [on("a"), on("a"), on("a"), off("a"), on("b"), off("b")],
    all: [on("a"), on("a"), on("a"), off("a"), off("a"), on("b"), off("b")],
  }
  for (const verbosity of ["new", "subscriptions", "all"] as const)
    t.test(`XPublisher with verbosity ${verbosity} tells of subscriptions`, async (t) => {
      const kit = new Kit(t, subject)
      const xpub = kit.make("XPublisher", { verbosity })
      const [first, second] = [kit.make("XSubscriber"), kit.make("Subscriber")]
      await kit.link(xpub, first, second)
      // Two of one socket, of which it tells both, and one of another.
      await first.send(on("a"))
      await first.send(on("a"))
      await fence(first)
      await second.subscribe("a")
      await first.send(off("a"))
      await fence(first)
      await xpub.send("a1")
      t.strictSame([await next(first), await next(second)], ["a1", "a1"], "of two subscriptions one is left")
      await first.send(off("a"))
      await fence(first)
      await second.unsubscribe("a")
      await second.subscribe("b")
      await second.unsubscribe("b")
      t.strictSame(rest(xpub), told[verbosity])
    })

  t.test("XPublisher tells of the topics that a lost peer leaves", async (t) => {
    for (const [verbosity, expected] of [
      ["new", [off("mine")]],
      ["all", [off("mine"), off("ours")]],
    ] as const) {
      const kit = new Kit(t, subject)
      const xpub = kit.make("XPublisher", { verbosity })
      const [stays, goes] = [kit.make("Subscriber"), kit.make("Subscriber")]
      await kit.link(xpub, stays, goes)
      await stays.subscribe("ours")
      await goes.subscribe("ours", "mine")
      rest(xpub)
      const left = event(xpub, "peer:leave")
      await goes.close()
      await left
      t.strictSame(rest(xpub).sort(), expected)
      await xpub.send("ours")
      t.equal(await next(stays), "ours")
    }
  })

  t.test("with manual the user decides what a subscription becomes", async (t) => {
    const kit = new Kit(t, subject)
    const xpub = kit.make("XPublisher", { manual: true })
    const [first, second] = [kit.make("XSubscriber"), kit.make("XSubscriber")]
    t.equal(
      thrown(() => xpub.subscribe("nobody's")),
      "EHOSTUNREACH",
    )
    await kit.link(xpub, first)
    await kit.link(xpub, second)
    await first.send(on("a"))
    t.equal(await next(xpub), on("a"))
    xpub.subscribe("xa", "xb")
    await second.send(on("a"))
    t.equal(await next(xpub), on("a"), "each is told of, whoever has it already")
    xpub.subscribe("ya")
    for (const message of ["a", "xa1", "xb1", "ya1"]) await xpub.send(message)
    await Promise.all([fence(xpub), fence(first)])
    t.strictSame([rest(first), rest(second)], [["xa1", "xb1"], ["ya1"]])
    await first.send(off("a"))
    t.equal(await next(xpub), off("a"))
    xpub.unsubscribe("xa")
    for (const message of ["xa2", "xb2", "ya2"]) await xpub.send(message)
    await fence(xpub)
    t.strictSame([rest(first), rest(second)], [["xb2"], ["ya2"]])
    t.strictSame([xpub.subscribers("xb"), xpub.subscribers("xa")], [1, 0])
  })

  t.test("with manual, a peer that goes takes back what it asked for, and what it was given", async (t) => {
    const kit = new Kit(t, subject)
    const xpub = kit.make("XPublisher", { manual: true })
    const [stays, goes] = [kit.make("XSubscriber"), kit.make("XSubscriber")]
    await kit.link(xpub, stays)
    await kit.link(xpub, goes)
    await stays.send(on("a"))
    t.equal(await next(xpub), on("a"))
    xpub.subscribe("given")
    for (const topic of ["a", "b", "c"]) await goes.send(on(topic))
    await goes.send(off("c"))
    t.strictSame(await take(xpub, 4), [on("a"), on("b"), on("c"), off("c")])
    xpub.subscribe("given", "only here")
    await goes.send(on("d"))
    await fence(goes)
    const left = event(xpub, "peer:leave")
    await goes.close()
    await left
    t.equal(
      thrown(() => xpub.subscribe("z")),
      "EHOSTUNREACH",
      "whose message came last is gone",
    )
    t.equal(await next(xpub), on("d"))
    t.equal(
      thrown(() => xpub.subscribe("z")),
      "EHOSTUNREACH",
      "as is the one whose message came only now",
    )
    t.strictSame((await take(xpub, 3)).sort(), [off("a"), off("b"), off("d")])
    t.strictSame([xpub.subscribers("given"), xpub.subscribers("only here")], [1, 0])
    await xpub.send("given")
    t.equal(await next(stays), "given")
  })

  t.test("without manual a user does not subscribe for others", async (t) => {
    const xpub = new Kit(t, subject).make("XPublisher")
    t.equal(
      thrown(() => xpub.subscribe("a")),
      "EINVAL",
    )
    t.equal(
      thrown(() => xpub.unsubscribe("a")),
      "EINVAL",
    )
  })

  t.test("welcomeMessage goes to each new subscriber, before anything else", async (t) => {
    const kit = new Kit(t, subject)
    const xpub = kit.make("XPublisher", { welcomeMessage: "W: hello" })
    for (let n = 0; n < 3; n++) {
      const subscriber = kit.make("Subscriber")
      void subscriber.subscribe("W", "x")
      if (n === 0) await kit.link(xpub, subscriber)
      else await subscriber.connect(xpub.lastEndpoint!)
      await xpub.ready({ topic: "x", subscribers: n + 1 })
      await xpub.send(`x${n}`)
      t.strictSame(await take(subscriber, 2), ["W: hello", `x${n}`])
    }
  })

  t.test("what XSubscriber sends and is no subscription goes upstream, to all", async (t) => {
    const kit = new Kit(t, subject)
    const xsub = kit.make("XSubscriber")
    const xpubs = [kit.make("XPublisher"), kit.make("XPublisher")]
    for (const xpub of xpubs) void xsub.connect(await kit.bind(xpub))
    // The first goes before the handshakes, and waits.
    await xsub.send("up")
    await xsub.send(["several", "frames", ""])
    await xsub.send([Buffer.from([1, 65]), "two"])
    await xsub.send("")
    await xsub.send(Buffer.from([2, 65]))
    await xsub.send(on("A"))
    for (const xpub of xpubs) {
      const messages = await take(xpub, 6)
      t.strictSame(
        messages.filter((message) => message !== on("A")),
        ["up", "several|frames|", "\u0001A|two", "", "\u0002A"],
      )
      t.equal(messages.filter((message) => message === on("A")).length, 1)
      t.equal(xpub.subscribers("A"), 1)
    }
    t.equal(drops(xsub, "unroutable"), 0)
  })

  t.test("XSubscriber gives what its publishers send, and tells a new one of its topics", async (t) => {
    const kit = new Kit(t, subject)
    const xsub = kit.make("XSubscriber")
    for (const topic of ["a", "a", "b", "c"]) await xsub.send(on(topic))
    await xsub.send(off("c"))
    const publishers = [kit.make("Publisher"), kit.make("XPublisher", { verbosity: "all" })] as const
    for (const publisher of publishers) {
      void xsub.connect(await kit.bind(publisher))
      await publisher.ready({ topic: "a" })
      await publisher.ready({ topic: "b" })
      for (const message of ["a1", "b1", "c1"]) await publisher.send(message)
      t.strictSame(await take(xsub, 2), ["a1", "b1"])
    }
    await fence(xsub)
    t.strictSame(rest(publishers[1]).sort(), [on("a"), on("b")], "once for each topic")
  })

  t.test("a subscriber that connects again asks once for each topic", async (t) => {
    const kit = new Kit(t, subject)
    const first = kit.make("XPublisher", { verbosity: "all" })
    const subscriber = kit.make("Subscriber")
    const endpoint = await kit.link(first, subscriber)
    await subscriber.subscribe("a", "a", "b")
    t.strictSame(rest(first).sort(), [on("a"), on("a"), on("b")])
    await first.close()
    const second = kit.make("XPublisher", { verbosity: "all" })
    await second.bind(endpoint)
    await second.ready({ topic: "b" })
    await fence(second)
    t.strictSame(rest(second).sort(), [on("a"), on("b")])
  })

  t.test("a proxy of XSubscriber and XPublisher passes on subscriptions, messages, and their end", async (t) => {
    const kit = new Kit(t, subject)
    const [front, back] = [kit.make("XSubscriber"), kit.make("XPublisher")]
    front.onmessage = (message) => void back.send(message)
    back.onmessage = (message) => void front.send(message)
    const [frontend, backend] = [await kit.bind(front), await kit.bind(back)]
    const publishers = [kit.make("Publisher"), kit.make("XPublisher")] as const
    const subscribers = [kit.make("Subscriber"), kit.make("Subscriber"), kit.make("XSubscriber")] as const
    await Promise.all([
      ...publishers.map((publisher) => publisher.connect(frontend)),
      ...subscribers.map((subscriber) => subscriber.connect(backend)),
    ])
    await peers(front, 2)
    void subscribers[0].subscribe("a")
    void subscribers[1].subscribe("a", "b")
    await subscribers[2].send(on("b"))
    await subscribers[2].send("upstream")
    for (const publisher of publishers) for (const topic of ["a", "b"]) await publisher.ready({ topic })
    await back.ready({ topic: "b", subscribers: 2 })
    for (const [i, publisher] of publishers.entries())
      for (let n = 0; n < 50; n++)
        for (const topic of ["a", "b", "c"]) await publisher.send([`${topic}${i}`, String(n)])
    const all = await Promise.all([take(subscribers[0], 100), take(subscribers[1], 200), take(subscribers[2], 100)])
    for (const [i, topics] of [["a"], ["a", "b"], ["b"]].entries())
      for (const topic of topics)
        for (const p of [0, 1])
          t.strictSame(
            all[i]!.filter((message) => message.startsWith(`${topic}${p}`)),
            range(0, 50).map((n) => `${topic}${p}|${n}`),
          )
    const upstream = []
    for (let n = 0; n < 3; n++) upstream.push(await next(publishers[1]))
    t.strictSame(upstream.sort(), [on("a"), on("b"), "upstream"], "each topic once")
    await subscribers[0].unsubscribe("a")
    await subscribers[1].close()
    t.equal(await next(publishers[1]), off("a"), "the last one left")
    await publishers[0].send("a: nobody")
    await subscribers[2].send(off("b"))
    t.equal(await next(publishers[1]), off("b"))
    t.equal(text(subscribers[0].tryReceive()), undefined)
  })

  t.test("XPublisher that is not read stops taking subscriptions at its mark, and goes on when read", async (t) => {
    const kit = new Kit(t, subject)
    const xpub = kit.make("XPublisher", { receiveHighWaterMark: 10 })
    const subscriber = kit.make("Subscriber")
    await kit.link(xpub, subscriber)
    const subscribed = subscriber.subscribe(...range(0, 100).map((n) => `t${n}.`))
    t.strictSame(
      await take(xpub, 100),
      range(0, 100).map((n) => on(`t${n}.`)),
    )
    await subscribed
    t.equal(xpub.subscribers("t99."), 1)
  })
}
