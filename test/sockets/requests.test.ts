// SOCKETS.md, "Requests": request() with many in flight, send and receive in turns, and what becomes of both when a peer goes.
import { getEventListeners } from "node:events"
import * as fc from "fast-check"
import t from "tap"
import { Dealer, Reply, Request, Router } from "../../lib/index.ts"
import { fake, FakeLink } from "../support/fake.ts"
import {
  event,
  events,
  freshName,
  link,
  outcome,
  range,
  strictClock,
  text,
  tidy,
  until,
  watch,
  within,
} from "../support/sockets.ts"

t.test("request() sends a 4-byte id and the empty delimiter before the message", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  await request.bind("fake://wire")
  const peer = fake.connect("wire").shake("REP")
  const answers = [request.request("a"), request.request(["b", "", "c"])]
  await clock.settle()
  const [one, two] = peer.messages
  t.strictSame([one!.length, two!.length], [3, 5])
  t.strictSame([one![0]!.length, two![0]!.length], [4, 4])
  t.notSame(one![0], two![0])
  t.equal(Buffer.from(two![0]!).readUInt32BE(), (Buffer.from(one![0]!).readUInt32BE() + 1) >>> 0, "they count")
  t.strictSame([text(one!.slice(1)), text(two!.slice(1))], ["|a", "|b||c"])
  // Answers come in any order, and find their questions by the id.
  peer.say(two![0]!, "", "B", "")
  peer.say(one![0]!, "", "A")
  t.strictSame((await clock.until(Promise.all(answers))).map(text), ["A", "B|"])

  const other = tidy(t, new Request({ clock: strictClock(t, { seed: 2 }) }))
  await other.bind("fake://other-wire")
  const next = fake.connect("other-wire").shake("REP")
  void other.request("a", { timeout: -1 }).catch(() => {})
  await until("the request", () => next.messages.length === 1)
  t.notSame(next.messages[0]![0], one![0], "from a start by chance")
})

t.test("many are in flight, and every one gets its own reply", async (t) => {
  const request = tidy(t, new Request())
  const router = tidy(t, new Router())
  const replies = [tidy(t, new Reply()), tidy(t, new Reply())]
  for (const reply of replies) reply.onmessage = (message) => void reply.send(["reply", ...message])
  // This one returns the whole envelope, and takes its time to answer in another order.
  const held: Buffer[][] = []
  router.onmessage = (message) => {
    held.push(message)
    if (held.length % 10 !== 0) return
    for (const [id, number, empty, body] of held.splice(0).toReversed())
      void router.send([id!, number!, empty!, "router", body!])
  }
  for (const socket of [...replies, router]) {
    await socket.bind("tcp://127.0.0.1:*")
    await within("the handshake", request.connect(socket.lastEndpoint!))
  }
  const count = 3000
  const answers = await within("the answers", Promise.all(range(0, count).map((n) => request.request(n))))
  for (const [n, answer] of answers.entries())
    if (!/^(reply|router)\|\d+$/.test(text(answer)!) || !text(answer)!.endsWith(`|${n}`))
      t.fail(`${n}: ${text(answer)}`)
  t.ok(new Set(answers.map((answer) => text(answer)!.split("|")[0])).size === 2, "of all of them in turn")
  t.equal(request.stats().sent.count, count)
})

t.test("ids and envelopes find their way back through a proxy of Router and Dealer", async (t) => {
  const clock = strictClock(t)
  const [front, back] = [tidy(t, new Router({ clock })), tidy(t, new Dealer({ clock }))]
  const [request, reply] = [tidy(t, new Request({ clock })), tidy(t, new Reply({ clock }))]
  front.onmessage = (message) => void back.send(message)
  back.onmessage = (message) => void front.send(message)
  reply.onmessage = (message) => void reply.send(["re", ...message])
  await link(front, request)
  await link(back, reply)
  const answers = range(0, 20).map((n) => request.request(n))
  t.strictSame(
    (await clock.until(Promise.all(answers))).map(text),
    range(0, 20).map((n) => `re|${n}`),
  )
})

t.test("timeout: 30 s unless told otherwise; late replies are counted", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  const drops = events(request, "drop")
  await request.bind("fake://late")
  const peer = fake.connect("late").shake("REP")
  const standard = watch(request.request("standard"))
  const short = watch(request.request("short", { timeout: 100 }))
  const never = watch(request.request("never", { timeout: -1 }))
  t.equal(await outcome(clock.until(request.request("now", { timeout: 0 }))), "TIMEOUT")
  await clock.advance(99)
  t.equal(short.state, "pending")
  await clock.advance(1)
  t.equal(short.state, "TIMEOUT")
  await clock.advance(29_899)
  t.equal(standard.state, "pending")
  await clock.advance(1)
  t.equal(standard.state, "TIMEOUT")
  const answer = (n: number): void => peer.say(peer.messages[n]![0]!, "", "12345")
  answer(0)
  t.match(drops, [{ reason: "late", count: 1, bytes: 9, peer: request.peers[0] }])
  answer(1)
  answer(2)
  answer(2)
  await clock.settle()
  t.equal(never.state, "done")
  t.equal(request.stats().dropped.late?.count, 3, "a second reply to one question is late, too")
  t.equal(peer.ended, undefined, "and nobody's connection suffers")
})

t.test("a reply counts only when it comes from the peer that was asked", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  await request.bind("fake://spoof")
  const [asked, other] = [fake.connect("spoof").shake("REP"), fake.connect("spoof").shake("REP")]
  const answer = watch(request.request("x"))
  await clock.settle()
  const [right, wrong] = asked.messages.length > 0 ? [asked, other] : [other, asked]
  wrong.say(right.messages[0]![0]!, "", "guessed")
  await clock.settle()
  t.equal(answer.state, "pending")
  t.equal(request.stats().dropped.late?.count, 1)
  right.say(right.messages[0]![0]!, "", "answered")
  await clock.settle()
  t.equal(answer.state, "done")
})

t.test("a malformed reply ends the connection, as libzmq does", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  await request.bind("fake://malformed")
  for (const frames of [["no delimiter"], ["ab", "x"], ["abcd", "x", "y"], [""]]) {
    const peer = fake.connect("malformed").shake("REP")
    const gone = event(request, "disconnect")
    peer.say(...frames)
    t.equal((await gone).error?.code, "EPROTO", JSON.stringify(frames))
  }
  t.equal(request.stats().dropped.malformed?.count, 4)
})

t.test("a signal ends a request", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  const reason = new Error("enough")
  t.equal(await request.request("x", { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error), reason)
  const controller = new AbortController()
  const pending = request.request("x", { signal: controller.signal }).catch((error: unknown) => error)
  controller.abort(reason)
  t.equal(await pending, reason)
  t.equal(clock.timers, 0)

  // A signal that lives long forgets each request that is done.
  const reply = tidy(t, new Reply({ clock }))
  reply.onmessage = () => void reply.send("yes")
  await link(request, reply)
  const { signal } = new AbortController()
  for (let n = 0; n < 5; n++) await clock.until(request.request("x", { signal }))
  t.equal(getEventListeners(signal, "abort").length, 0)
})

t.test("what nobody waits for any more is not asked later", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  const endpoint = freshName()
  void request.connect(endpoint)
  const controller = new AbortController()
  const given = [
    request.request("timed out", { timeout: 100 }),
    request.request("aborted", { signal: controller.signal }),
    request.request("kept"),
  ]
  const outcomes = given.map(watch)
  controller.abort(new Error("enough"))
  await clock.advance(100)
  const reply = tidy(t, new Reply({ clock }))
  const asked: string[] = []
  reply.onmessage = (message) => {
    asked.push(text(message)!)
    void reply.send("answer")
  }
  await reply.bind(endpoint)
  await clock.advance(1000)
  t.strictSame(
    outcomes.map(({ state }) => state),
    ["TIMEOUT", "Error: enough", "done"],
  )
  t.strictSame(asked, ["kept"])
})

t.test("requests wait for a peer with room, and are asked in order", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  const answers = range(0, 10).map((n) => watch(request.request(n)))
  await clock.advance(1000)
  t.ok(answers.every(({ state }) => state === "pending"))
  const router = tidy(t, new Router({ clock }))
  await link(request, router)
  for (const n of range(0, 10)) {
    const message = await clock.until(router.receive())
    t.equal(text(message.slice(-1)), n)
    await router.send(message)
  }
  await clock.settle()
  t.ok(answers.every(({ state }) => state === "done"))

  const small = tidy(t, new Request({ clock }))
  const large = watch(small.request(Buffer.alloc(1000)))
  const fits = watch(small.request("fits"))
  const picky = tidy(t, new Reply({ clock, maxMessageSize: 100 }))
  picky.onmessage = () => void picky.send("yes")
  await link(small, picky)
  await clock.settle()
  t.strictSame([large.state, fits.state], ["EMSGSIZE", "done"], "one that is too large for who comes is told so")
})

t.test("one without an id that waits for its turn holds up none that has one", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock, sendHighWaterMark: 1 }))
  await request.bind("fake://held-up")
  const peer = fake.connect("held-up", { room: 1000 }).shake("ROUTER")
  const big = Buffer.alloc(200_000)
  const all = [
    request.request("in flight", { correlate: false }),
    request.request(big),
    request.request(big),
    request.request("waits for its turn", { correlate: false }),
    request.request("has an id"),
  ]
  await clock.settle()
  t.equal(peer.messages.length, 1, "the rest has no room")
  peer.open()
  await clock.settle()
  t.strictSame(
    peer.messages.map((message) => text(message.slice(-1))!.slice(0, 9)),
    ["in flight", big.toString().slice(0, 9), big.toString().slice(0, 9), "has an id"],
  )
  for (const message of peer.messages.splice(0)) peer.say(...message.slice(0, -1), "yes")
  await clock.settle()
  peer.say("", "yes")
  t.equal((await clock.until(Promise.all(all))).length, 5)
})

t.test("disconnect(): what was not asked goes elsewhere, what was is lost, and what else waits is sent", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  let dialled!: FakeLink
  fake.onDial = () => (dialled = new FakeLink("fake://left", { room: 1000 }))
  void request.connect("fake://left")
  await clock.settle()
  const peer = dialled.shake("ROUTER")
  const big = Buffer.alloc(200_000)
  const asked = [request.request("plain", { correlate: false }), request.request(big)].map(watch)
  const waiting = [request.request("goes"), request.request("elsewhere")].map(watch)
  await clock.settle()
  const leaving = watch(request.disconnect("fake://left"))
  await clock.settle()
  t.strictSame(
    asked.map(({ state }) => state),
    ["PEER_LOST", "PEER_LOST"],
  )
  t.equal(leaving.state, "pending")
  const reply = tidy(t, new Reply({ clock }))
  reply.onmessage = (message) => void reply.send(message)
  await link(request, reply)
  await clock.settle()
  t.strictSame(
    waiting.map(({ state }) => state),
    ["done", "done"],
  )
  peer.open()
  await clock.settle()
  t.equal(leaving.state, "done")
  t.strictSame(
    peer.messages.map((message) => message.at(-1)!.length),
    [5, 200_000],
    "none of them twice",
  )
  t.equal(peer.ended, "closed", "in good order")
})

t.test("correlate: false sends no id, and one is in flight per peer", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  await request.bind("fake://plain")
  const peers = [fake.connect("plain").shake("ROUTER"), fake.connect("plain").shake("ROUTER")]
  const answers = range(0, 5).map((n) => request.request(n, { correlate: false }))
  const states = answers.map(watch)
  await clock.settle()
  t.strictSame(
    peers.map((peer) => peer.messages.map(text)),
    [["|0"], ["|1"]],
  )
  peers[1]!.say("", "one")
  await clock.settle()
  t.strictSame(
    peers.map((peer) => peer.messages.length),
    [1, 2],
    "who is free is asked the next",
  )
  t.equal(text(peers[1]!.messages[1]), "|2")
  t.strictSame(
    states.map(({ state }) => state),
    ["pending", "done", "pending", "pending", "pending"],
  )

  const withId = request.request("with id")
  await clock.settle()
  const busy = peers.find((peer) => peer.messages.at(-1)!.length === 3)!
  t.ok(busy, "one with an id may be beside it")
  busy.say(busy.messages.at(-1)![0]!, "", "by id")
  t.equal(text(await withId), "by id")
  peers[0]!.say("", "zero")
  peers[1]!.say("", "two")
  await clock.settle()
  for (const peer of peers) peer.say("", text(peer.messages.at(-1))!)
  t.strictSame((await clock.until(Promise.all(answers))).map(text), ["zero", "one", "two", "|3", "|4"])
  peers[0]!.say("", "nobody asked")
  t.equal(request.stats().dropped.late?.count, 1)

  const router = tidy(t, new Router({ clock }))
  const ours = tidy(t, new Request({ clock }))
  await link(router, ours)
  const answer = ours.request("three frames", { correlate: false })
  const message = await clock.until(router.receive())
  t.equal(message.length, 3)
  await router.send([message[0]!, "", "yes"])
  t.equal(text(await clock.until(answer)), "yes")
})

t.test("without an id, a reply that comes too late never passes for another's: the connection ends", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  await request.bind("fake://no-id")
  const left = events(request, "disconnect")
  const first = fake.connect("no-id").shake("ROUTER")
  const late = watch(request.request("first", { correlate: false, timeout: 100 }))
  const other = request.request("second", { correlate: false })
  await clock.advance(100)
  t.equal(late.state, "TIMEOUT")
  t.equal(left[0]?.error?.code, "ECANCELED")
  t.equal(first.ended, "destroyed")
  first.say("", "to the first")
  const next = fake.connect("no-id").shake("ROUTER")
  await clock.settle()
  t.equal(text(next.messages[0]), "|second")
  next.say("", "to the second")
  t.equal(text(await clock.until(other)), "to the second")
  const withId = watch(request.request("third", { timeout: 100 }))
  await clock.advance(100)
  t.equal(withId.state, "TIMEOUT")
  t.equal(next.ended, undefined, "one with an id costs no connection")
})

t.test("send and receive put no id, unless the option correlate is set", async (t) => {
  const clock = strictClock(t)
  for (const correlate of [false, true]) {
    const request = tidy(t, new Request({ clock, correlate }))
    await request.bind("fake://turns")
    const peer = fake.connect("turns").shake("REP")
    await request.send(["a", "b"])
    await clock.settle()
    const [message] = peer.messages
    t.equal(text(message!.slice(-3)), "|a|b")
    t.equal(message!.length, correlate ? 4 : 3)
    if (correlate) {
      peer.say("", "without the id")
      peer.say("wrong id".slice(0, 4), "", "another's")
      await clock.settle()
      t.equal(request.stats().dropped.late?.count, 2)
      peer.say(message![0]!, "", "c", "d")
    } else peer.say("", "c", "d")
    t.equal(text(await clock.until(request.receive())), "c|d")
    await clock.until(request.close())
  }
})

t.test("request() and an open pair of send and receive exclude each other", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  const waiting = request.send("waits for a peer")
  t.equal(await outcome(request.request("x")), "EFSM")
  const reply = tidy(t, new Reply({ clock }))
  await link(request, reply)
  await clock.until(waiting)
  t.equal(await outcome(request.request("x")), "EFSM", "no reply yet")
  const receiving = request.receive()
  t.equal(await outcome(request.request("x")), "EFSM")
  await clock.until(reply.receive())
  await reply.send("1")
  await clock.until(receiving)

  const asked = request.request("x")
  t.equal(await outcome(request.send("y")), "EFSM")
  t.equal(await outcome(request.receive()), "EFSM")
  request.relaxed = true
  t.equal(await outcome(request.send("y")), "EFSM", "relaxed is another matter")
  await clock.until(reply.receive())
  await reply.send("2")
  t.equal(text(await clock.until(asked)), "2")
  await request.send("y")
  t.equal(text(await clock.until(reply.receive())), "y")
  await reply.send("3")
  t.equal(text(await clock.until(request.receive())), "3")
})

t.test("when the asked peer is lost: elsewhere while retries last, else PEER_LOST", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  await request.bind("fake://lost")
  const peers = range(0, 3).map(() => fake.connect("lost").shake("REP"))
  const asked = (): FakeLink | undefined => peers.find((peer) => peer.messages.length > 0 && peer.ended === undefined)
  const lose = async (): Promise<void> => {
    const peer = asked()!
    peers.splice(peers.indexOf(peer), 1)
    peer.hangUp(new Error("lost"))
    await clock.settle()
  }
  const none = watch(request.request("no retries"))
  await clock.settle()
  await lose()
  t.equal(none.state, "PEER_LOST")

  const once = request.request("one retry", { retries: 1 })
  const state = watch(once)
  await clock.settle()
  await lose()
  t.equal(state.state, "pending")
  const second = asked()!
  t.equal(text(second.messages[0]!.slice(1)), "|one retry", "the other is asked the same")
  second.say(second.messages[0]![0]!, "", "yes")
  t.equal(text(await clock.until(once)), "yes")

  second.messages.length = 0
  const twice = watch(request.request("two retries", { retries: 2 }))
  await clock.settle()
  await lose()
  t.equal(twice.state, "pending", "nobody is left: it waits for somebody")
  peers.push(fake.connect("lost").shake("REP"))
  await clock.settle()
  await lose()
  t.equal(twice.state, "pending")
  peers.push(fake.connect("lost").shake("REP"))
  await clock.settle()
  await lose()
  t.equal(twice.state, "PEER_LOST")
  t.equal(clock.timers, 0, "and nothing is left of it")
})

t.test("over TCP: a server that dies, retries, and an endpoint that comes back", async (t) => {
  const request = tidy(t, new Request({ reconnectInterval: 10 }))
  const [dying, living] = [tidy(t, new Router()), tidy(t, new Reply())]
  living.onmessage = (message) => void living.send(["alive", ...message])
  for (const server of [dying, living]) {
    await server.bind("tcp://127.0.0.1:*")
    await within("the handshake", request.connect(server.lastEndpoint!))
  }
  const answers = range(0, 10).map((n) => request.request(n, { retries: 1 }))
  const lost = range(0, 10).map((n) => outcome(request.request(n)))
  await until("half of them", () => dying.peers[0]?.waiting === 10)
  await dying.close()
  t.strictSame(
    (await within("the answers", Promise.all(answers))).map(text),
    range(0, 10).map((n) => `alive|${n}`),
  )
  const outcomes = await within("the others", Promise.all(lost))
  t.strictSame(outcomes.sort(), [...Array<string>(5).fill("PEER_LOST"), ...Array<string>(5).fill("done")])

  // What was not asked yet when the connection went is asked when it is back.
  const endpoint = dying.lastEndpoint!
  await request.disconnect(living.lastEndpoint!)
  const waiting = request.request("patience")
  const back = tidy(t, new Reply())
  back.onmessage = (message) => void back.send(["back", ...message])
  await back.bind(endpoint)
  t.equal(text(await within("the answer", waiting)), "back|patience")
})

t.test("a pending receive() is told: PEER_LOST; so is the next one, when none was pending", async (t) => {
  const clock = strictClock(t)
  const request = tidy(t, new Request({ clock }))
  await request.bind("fake://receive-lost")
  for (const pending of [true, false]) {
    const peer = fake.connect("receive-lost").shake("REP")
    await request.send("x")
    await clock.settle()
    const receiving = pending ? watch(request.receive()) : undefined
    peer.hangUp()
    await clock.settle()
    t.equal(receiving?.state ?? (await outcome(request.receive())), "PEER_LOST")
    t.equal(await outcome(request.receive()), "EFSM", "then it is send()'s turn again")
  }
  const peer = fake.connect("receive-lost").shake("REP")
  await request.send("y")
  await clock.settle()
  peer.say("", "answered in time")
  peer.hangUp()
  await clock.settle()
  t.equal(text(await clock.until(request.receive())), "answered in time", "a reply that has come counts")

  const endpoint = freshName()
  void request.connect(endpoint)
  await request.send("not asked yet")
  const receiving = request.receive()
  const reply = tidy(t, new Reply({ clock }))
  await reply.bind(endpoint)
  t.equal(text(await clock.until(reply.receive())), "not asked yet")
  await reply.send("fine")
  t.equal(text(await clock.until(receiving)), "fine")
})

t.test("Reply: who asked and went gets no reply, which is counted; the next is served", async (t) => {
  const clock = strictClock(t)
  const reply = tidy(t, new Reply({ clock }))
  await reply.bind("fake://askers")
  const gone = fake.connect("askers").shake("REQ")
  gone.say("", "first")
  await clock.settle()
  t.equal(text(await reply.receive()), "first")
  gone.hangUp()
  await clock.settle()
  await reply.send("in vain")
  t.strictSame(reply.stats().dropped.disconnected, { count: 1, bytes: 7 })
  const next = fake.connect("askers").shake("DEALER")
  next.say("no delimiter")
  next.say("a", "b", "", "second", "")
  await clock.settle()
  t.equal(text(await reply.receive()), "second|")
  t.equal(reply.stats().dropped.malformed?.count, 1)
  await reply.send(["x", ""])
  await clock.settle()
  t.equal(text(next.messages[0]), "a|b||x|", "the whole envelope comes back")
})

t.test("with probeRouter, the Router knows of it before the first request", async (t) => {
  const clock = strictClock(t)
  const router = tidy(t, new Router({ clock }))
  const request = tidy(t, new Request({ clock, probeRouter: true, routingId: "r" }))
  await link(router, request)
  t.equal(text(await clock.until(router.receive())), "r|")
  const answer = request.request("x")
  const message = await clock.until(router.receive())
  await router.send(message)
  t.equal(text(await clock.until(answer)), "x")
})

t.test("whatever peers do, every request ends once: with its own reply, or with a reason", async (t) => {
  const ways = [
    "ask",
    "ask",
    "ask",
    "answer",
    "answer",
    "twice",
    "connect",
    "hangUp",
    "advance",
    "abort",
    "block",
  ] as const
  const step = fc.record({ way: fc.constantFrom(...ways), n: fc.nat(1000), correlate: fc.boolean() })
  let count = 0
  const seen: Record<string, number> = {}
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 80 }), async (steps) => {
      const clock = strictClock(t)
      const request = new Request({ clock, sendHighWaterMark: 3 })
      const name = `chaos-${++count}`
      await request.bind(`fake://${name}`)
      let peers = [fake.connect(name).shake("REP"), fake.connect(name).shake("REP")]
      const answered = new Map<FakeLink, number>()
      const outcomes: (string | undefined)[] = []
      const controllers: AbortController[] = []
      const reply = (peer: FakeLink, message: Uint8Array[]): void =>
        peer.say(...message.slice(0, -1), `re ${text(message.slice(-1))}`)
      for (const { way, n, correlate } of steps) {
        const peer = peers[n % Math.max(1, peers.length)]
        if (way === "ask") {
          const index = outcomes.push(undefined) - 1
          const controller = new AbortController()
          controllers.push(controller)
          const end = (what: string): void => {
            if (outcomes[index] !== undefined) throw new Error(`request ${index} ended twice`)
            outcomes[index] = what
          }
          const options = { correlate, retries: n % 3, timeout: n % 5 === 0 ? 500 : 30_000, signal: controller.signal }
          request.request(`question ${index}`, options).then(
            (message) => end(text(message) === `re question ${index}` ? "replied" : `wrong: ${text(message)}`),
            (error: { code?: string; message: string }) => end(error.code ?? error.message),
          )
        } else if (way === "connect")
          peers.push(fake.connect(name, { room: n % 4 === 0 ? 400 : Infinity }).shake("REP"))
        else if (way === "advance") await clock.advance(n)
        else if (way === "abort") controllers[n % Math.max(1, controllers.length)]?.abort(new Error("aborted"))
        else if (peer === undefined) continue
        else if (way === "block") peer.open(n)
        else if (way === "hangUp") {
          peer.hangUp(n % 2 === 0 ? new Error("lost") : undefined)
          peers = peers.filter((each) => each !== peer)
          await clock.settle()
        } else {
          await clock.settle()
          const next = answered.get(peer) ?? 0
          const message = peer.messages[next]
          if (message === undefined) continue
          answered.set(peer, next + 1)
          reply(peer, message)
          // Without an id, a second reply would pass for that to the next question: no REP sends one.
          if (way === "twice" && message[0]!.length === 4) reply(peer, message)
        }
      }
      await clock.advance(31_000)
      for (const outcome of outcomes) {
        if (outcome === undefined || !["replied", "aborted", "TIMEOUT", "PEER_LOST"].includes(outcome))
          throw new Error(`ended with ${outcome}`)
        seen[outcome] = (seen[outcome] ?? 0) + 1
      }
      request.linger = 0
      await request.close()
      await clock.settle()
      if (clock.holds !== 0) throw new Error(`held ${clock.holds} times`)
      if (clock.timers !== 0) throw new Error(`${clock.timers} timers are left`)
    }),
    { numRuns: 200 },
  )
  for (const outcome of ["replied", "aborted", "TIMEOUT", "PEER_LOST"])
    t.ok(seen[outcome]! > 20, `${outcome}: ${seen[outcome]}`)
})
