/** REQ and REP: turns, envelopes, lost peers (WIRE 1.12; SOCKETS, Requests). */
import type { Test } from "tap"
import {
  code,
  drops,
  echo,
  event,
  fence,
  Kit,
  next,
  peers,
  range,
  take,
  text,
  thrown,
  until,
  type Subject,
} from "./support.ts"

export function reqrep(t: Test, subject: Subject): void {
  t.test("a request and its reply, of several frames, empty ones too", async (t) => {
    const kit = new Kit(t, subject)
    const [request, reply] = [kit.make("Request"), kit.make("Reply")]
    await kit.link(reply, request)
    for (const message of ["a", "", "a|b", "|", "|a", "a||b|"]) {
      await request.send(message.split("|"))
      t.equal(await next(reply), message)
      await reply.send(["re", ...message.split("|")])
      t.equal(await next(request), `re|${message}`)
    }
  })

  t.test("who is out of turn is told at once", async (t) => {
    const kit = new Kit(t, subject)
    const [request, reply] = [kit.make("Request"), kit.make("Reply")]
    t.equal(await code(request.receive()), "EFSM")
    t.equal(
      thrown(() => request.tryReceive()),
      "EFSM",
    )
    t.equal(await code(reply.send("a")), "EFSM")
    t.equal(
      thrown(() => reply.trySend("a")),
      "EFSM",
    )
    const endpoint = await kit.bind(reply)
    const waits = request.send("1")
    t.equal(await code(request.send("2")), "EFSM", "while the first one waits for somebody to ask")
    const answer = request.receive()
    t.equal(await code(request.receive()), "EFSM")
    void request.connect(endpoint)
    await waits
    t.equal(await next(reply), "1")
    t.equal(await code(reply.receive()), "EFSM")
    t.equal(await code(request.send("3")), "EFSM")
    await reply.send("one")
    t.equal(await code(reply.send("one more")), "EFSM")
    t.equal(text(await answer), "one")
    const pending = reply.receive()
    t.equal(await code(reply.receive()), "EFSM")
    await request.send("4")
    t.equal(text(await pending), "4")
  })

  t.test("one Reply answers each of many in turn, and each gets its own", async (t) => {
    const kit = new Kit(t, subject)
    const reply = kit.make("Reply")
    const requests = Array.from({ length: 5 }, () => kit.make("Request"))
    await kit.link(reply, ...requests)
    echo(reply)
    await Promise.all(
      requests.map(async (request, i) => {
        for (let n = 0; n < 50; n++) {
          await request.send([String(i), String(n)])
          if ((await next(request)) !== `${i}|${n}`) t.fail(`another's answer than ${i}'s ${n}.`)
        }
      }),
    )
    t.equal(reply.stats().received.count, 250)
  })

  t.test("receiveMany of a Reply takes one request, and the others wait", async (t) => {
    const kit = new Kit(t, subject)
    const reply = kit.make("Reply")
    const requests = Array.from({ length: 3 }, () => kit.make("Request"))
    await kit.link(reply, ...requests)
    for (const [i, request] of requests.entries()) await request.send(String(i))
    await until("three requests", () => reply.peers.every((peer) => peer.waiting === 1))
    for (let n = 0; n < 3; n++) {
      const all = await reply.receiveMany(10)
      t.equal(all.length, 1)
      await reply.send(all[0]!)
    }
    t.strictSame(await Promise.all(requests.map((request) => next(request))), ["0", "1", "2"])
  })

  t.test("envelopes survive any number of proxies", async (t) => {
    const kit = new Kit(t, subject)
    const reply = kit.make("Reply")
    let endpoint = await kit.bind(reply)
    echo(reply)
    for (let hop = 0; hop < 3; hop++) {
      const [front, back] = [kit.make("Router"), kit.make("Dealer")]
      front.onmessage = (message) => void back.send(message)
      back.onmessage = (message) => void front.send(message)
      await back.connect(endpoint)
      endpoint = await kit.bind(front)
    }
    const requests = Array.from({ length: 4 }, (_, i) => kit.make("Request", { correlate: i % 2 === 0 }))
    await Promise.all(requests.map((request) => request.connect(endpoint)))
    for (let n = 0; n < 20; n++) {
      for (const [i, request] of requests.entries()) await request.send([String(i), "", String(n)])
      t.strictSame(
        await Promise.all(requests.map((request) => next(request))),
        range(0, 4).map((i) => `${i}||${n}`),
      )
    }
    const many = range(0, 100).map((n) => requests[1]!.request([n, ""]))
    t.strictSame(
      (await Promise.all(many)).map(text),
      range(0, 100).map((n) => `${n}|`),
    )
  })

  t.test("Reply gives a Dealer its whole envelope back", async (t) => {
    const kit = new Kit(t, subject)
    const [dealer, reply] = [kit.make("Dealer"), kit.make("Reply")]
    await kit.link(reply, dealer)
    await dealer.send(["way", "back", "", "question", ""])
    t.equal(await next(reply), "question|")
    await reply.send(["answer", ""])
    t.equal(await next(dealer), "way|back||answer|")
  })

  t.test("Reply drops and counts what has no delimiter or nothing behind it", async (t) => {
    const kit = new Kit(t, subject)
    const [dealer, reply] = [kit.make("Dealer"), kit.make("Reply")]
    await kit.link(reply, dealer)
    for (const message of ["no delimiter", ["none", "here"], "", ["envelope", ""]]) await dealer.send(message)
    await dealer.send(["", "good"])
    t.equal(await next(reply), "good")
    t.equal(drops(reply, "malformed"), 4)
    await reply.send("yes")
    t.equal(await next(dealer), "|yes")
  })

  t.test(
    "the reply to one that is gone, or does not read, is dropped and counted; the next one is answered",
    async (t) => {
      const kit = new Kit(t, subject)
      const reply = kit.make("Reply", { sendHighWaterMark: 3 })
      const [gone, stays] = [kit.make("Request"), kit.make("Request")]
      const deaf = kit.make("Dealer", { receiveHighWaterMark: 2 })
      await kit.link(reply, gone, stays, deaf)
      await gone.send("and away")
      t.equal(await next(reply), "and away")
      const left = event(reply, "peer:leave")
      await gone.close()
      await left
      await reply.send("to nobody")
      t.equal(drops(reply, "disconnected"), 1)
      const body = Buffer.alloc(50_000)
      for (let n = 0; drops(reply, "full") === 0; n++) {
        await deaf.send(["", String(n)])
        t.equal(await next(reply), String(n))
        await reply.send([String(n), body])
      }
      await stays.send("and me?")
      t.equal(await next(reply), "and me?")
      await reply.send("you too")
      t.equal(await next(stays), "you too")
    },
  )

  t.test("a peer that is lost with a request costs that request, and the next goes to another", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const [first, second] = [kit.make("Reply"), kit.make("Reply")]
    const endpoint = await kit.link(first, request)
    for (const receiving of [true, false]) {
      const reply = receiving ? first : second
      await request.send("a")
      const lost = receiving ? code(request.receive()) : undefined
      t.equal(await next(reply), "a")
      const left = event(request, "peer:leave")
      await reply.close()
      await left
      t.equal(
        await (lost ?? code(request.receive())),
        "PEER_LOST",
        receiving ? "told while it waits" : "told when it asks",
      )
      t.equal(await code(request.receive()), "EFSM")
      if (receiving) await second.bind(endpoint)
    }
    const third = kit.make("Reply")
    await third.bind(endpoint)
    await request.send("b")
    t.equal(await next(third), "b")
    await third.send("B")
    t.equal(await next(request), "B")
  })

  t.test(
    "a Reply that connects does not answer over its new connection what it was asked over the old one",
    async (t) => {
      const kit = new Kit(t, subject)
      const [request, reply] = [kit.make("Request"), kit.make("Reply")]
      const endpoint = await kit.link(request, reply)
      const exchange = async (question: string): Promise<void> => {
        await request.send(question)
        t.equal(await next(reply), question)
        await reply.send(`to ${question}`)
        t.equal(await next(request), `to ${question}`)
      }
      await exchange("older")
      await request.send("old")
      await until("the question", () => reply.peers[0]!.waiting === 1)
      const left = event(reply, "disconnect")
      await request.unbind(endpoint)
      await left
      t.equal(await code(request.receive()), "PEER_LOST")
      await request.bind(endpoint)
      await request.send("new")
      await until("the second question", () => reply.peers[0]?.waiting === 2)
      for (const question of ["old", "new"]) {
        t.equal(await next(reply), question)
        await reply.send(`to ${question}`)
      }
      t.equal(await next(request), "to new")
      t.equal(drops(reply, "disconnected"), 1)
      await exchange("newer")
    },
  )

  t.test("a request that was never sent waits for its endpoint to come back", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const place = await kit.place()
    void request.connect(place)
    await request.send("early")
    const answer = request.receive()
    const reply = kit.make("Reply")
    await reply.bind(place)
    t.equal(await next(reply), "early")
    await reply.send("late")
    t.equal(text(await answer), "late")
  })

  t.test("only the reply of who was asked counts, whatever id another's bears", async (t) => {
    for (const correlate of [false, true]) {
      const kit = new Kit(t, subject)
      const request = kit.make("Request", { correlate })
      const [asked, other] = [kit.make("Router"), kit.make("Router")]
      await kit.link(request, asked)
      await request.send("who?")
      const [id, ...frames] = await asked.receive()
      const envelope = frames.slice(0, -1)
      await kit.link(request, other)
      await peers(other, 1)
      await other.send([other.peers[0]!.routingId, ...envelope, "not asked"])
      await fence(other)
      await asked.send([id!, ...envelope, "asked"])
      await asked.send([id!, ...envelope, "once more"])
      t.equal(await next(request), "asked")
      await fence(asked)
      t.equal(drops(request, "late"), 2)
      t.equal(await code(request.receive()), "EFSM")
    }
  })

  t.test("a second reply to the same request is none, even before the first is read", async (t) => {
    for (const correlate of [false, true]) {
      const kit = new Kit(t, subject)
      const [request, router] = [kit.make("Request", { correlate }), kit.make("Router")]
      await kit.link(router, request)
      await request.send("a")
      const frames = await router.receive()
      await router.send(frames)
      await router.send(frames)
      await fence(router)
      t.equal(request.peers[0]!.waiting, 1)
      t.equal(await next(request), "a")
      t.equal(drops(request, "late"), 1)
    }
  })

  t.test("who is there is asked before an endpoint that is away", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    void request.connect(await kit.place())
    const reply = kit.make("Reply")
    await kit.link(reply, request)
    echo(reply)
    for (const n of range(0, 5)) {
      await request.send(n)
      t.equal(await next(request), n)
      t.equal(text(await request.request(n)), n)
    }
  })

  t.test("a reply without the delimiter breaks the protocol, and the connection", async (t) => {
    const kit = new Kit(t, subject)
    const [request, router] = [kit.make("Request"), kit.make("Router")]
    await kit.link(router, request)
    await request.send("a")
    const [id] = await router.receive()
    const left = event(request, "disconnect")
    await router.send([id!, "no delimiter"])
    t.equal((await left).error?.code, "EPROTO")
    t.equal(await code(request.receive()), "PEER_LOST")
    t.equal(drops(request, "malformed"), 1)
  })

  t.test("requests wait in line while nobody is there, and go on when somebody comes", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const endpoint = await kit.bind(request)
    const answers = range(0, 10).map((n) => request.request(n))
    const reply = kit.make("Reply")
    echo(reply)
    await reply.connect(endpoint)
    t.strictSame((await Promise.all(answers)).map(text), range(0, 10))
    await peers(request, 1)
    t.strictSame(await take({ receive: () => request.request("x"), tryReceive: () => undefined }, 2), ["x", "x"])
  })
}
