/** PUSH, PULL, DEALER, REQ: who gets the next message, and whose is read next (WIRE 1.12, 1.13). */
import type { Test } from "tap"
import type { Socket } from "../../../lib/socket.ts"
import {
  code,
  drops,
  event,
  fence,
  fill,
  isFull,
  Kit,
  next,
  peers,
  range,
  rest,
  sorted,
  take,
  text,
  until,
  type Receives,
  type Sends,
  type Subject,
} from "./support.ts"

/** Who shares out, and to whom. */
const pairs = [
  ["Push", "Pull"],
  ["Dealer", "Dealer"],
] as const

export function balancing(t: Test, subject: Subject): void {
  for (const [type, worker] of pairs) {
    t.test(`${type} gives each peer a message in turn`, async (t) => {
      const kit = new Kit(t, subject)
      const sender = kit.make(type) as Socket & Sends
      const all = Array.from({ length: 3 }, () => kit.make(worker))
      await kit.link(sender, ...all)
      for (let n = 0; n < 12; n++) await sender.send(String(n))
      const got = await Promise.all(all.map((each) => take(each, 4)))
      for (const each of got)
        t.strictSame(
          each,
          range(0, 4).map((n) => String(Number(each[0]) + 3 * Number(n))),
        )
      t.strictSame(sorted(got.map((each) => each[0])), ["0", "1", "2"])
    })

    t.test(`${type} keeps parts together and passes over a peer without room`, async (t) => {
      const kit = new Kit(t, subject)
      const sender = kit.make(type, { sendHighWaterMark: 4 }) as Socket & Sends
      const [deaf, busy] = [kit.make(worker, { receiveHighWaterMark: 4 }), kit.make(worker)]
      const endpoint = await kit.link(sender, deaf)
      const make = (n: number): [string, Buffer] => [String(n), Buffer.alloc(100_000)]
      let sent = 0
      await until("a peer that is full", () => {
        sent = fill(sender, sent, make)
        return isFull(sender.peers[0]!, 4) && deaf.peers[0]!.waiting === 4
      })
      const got: { deaf: string[]; busy: string[] } = { deaf: [], busy: [] }
      busy.onmessage = ([count, body]) => got.busy.push(body?.length === 100_000 ? String(count) : "not whole")
      await busy.connect(endpoint)
      for (let n = 0; n < 100; n++) await sender.send(make(sent++))
      // The system may have taken some more of the full one's.
      await until("the other's part", () => got.busy.length > 70)
      deaf.onmessage = ([count, body]) => got.deaf.push(body?.length === 100_000 ? String(count) : "not whole")
      await until("the full one's part", () => got.busy.length + got.deaf.length === sent)
      t.strictSame(sorted([...got.busy, ...got.deaf]), range(0, sent))
      t.strictSame([got.busy, got.deaf], [sorted(got.busy), sorted(got.deaf)], "each in order")
    })

    t.test(`${type} waits while there is no peer, in order`, async (t) => {
      const kit = new Kit(t, subject)
      const sender = kit.make(type) as Socket & Sends
      const endpoint = await kit.bind(sender)
      t.notOk(sender.trySend("now"))
      const sends = range(0, 10).map((n) => sender.send(n))
      t.notOk(sender.trySend("overtaking"))
      const receiver = kit.make(worker)
      void receiver.connect(endpoint)
      t.strictSame(await take(receiver, 10), range(0, 10))
      await Promise.all(sends)
      t.ok(sender.trySend("10"))
      t.equal(await next(receiver), "10")
    })
  }

  t.test("a send that waits too long rejects, and nothing of it is sent", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push", { sendTimeout: 20 })
    const endpoint = await kit.bind(push)
    t.equal(await code(push.send("late")), "EAGAIN")
    const pull = kit.make("Pull")
    await pull.connect(endpoint)
    await push.send("in time")
    t.equal(await next(pull), "in time")
  })

  t.test("Request asks its peers in turn", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const replies = Array.from({ length: 3 }, () => kit.make("Reply"))
    for (const [i, reply] of replies.entries()) reply.onmessage = () => reply.send(String(i))
    await kit.link(request, ...replies)
    const answers = []
    for (let n = 0; n < 9; n++) {
      await request.send("who?")
      answers.push(await next(request))
    }
    t.strictSame(answers, [...answers.slice(0, 3), ...answers.slice(0, 3), ...answers.slice(0, 3)])
    t.strictSame(sorted(answers.slice(0, 3)), ["0", "1", "2"])
  })

  t.test("messages of several peers are read in turn, whole", async (t) => {
    const kit = new Kit(t, subject)
    const pull = kit.make("Pull")
    const pushes = Array.from({ length: 3 }, () => kit.make("Push"))
    await kit.link(pull, ...pushes)
    for (const [i, push] of pushes.entries()) for (let n = 0; n < 10; n++) await push.send([String(i), String(n), ""])
    await until("30 messages that wait", () => pull.peers.every((peer) => peer.waiting === 10))
    const got = (await take(pull, 30)).map((message) => message.split("|"))
    for (let round = 0; round < 10; round++) {
      const three = got.slice(round * 3, round * 3 + 3)
      t.strictSame(sorted(three.map(([who]) => who)), ["0", "1", "2"], "one of each")
      t.strictSame(
        three.map(([, n, end]) => [n, end]),
        three.map(() => [String(round), ""]),
        "in order, with all parts",
      )
    }
  })

  t.test("one that sends much does not starve one that sends little", async (t) => {
    const kit = new Kit(t, subject)
    const pull = kit.make("Pull")
    const [much, little] = [kit.make("Push"), kit.make("Push")]
    await kit.link(pull, much, little)
    for (let n = 0; n < 500; n++) await much.send("much")
    await until("500 messages that wait", () => pull.peers.some((peer) => peer.waiting === 500))
    await little.send("little")
    await until("one more", () => pull.peers.some((peer) => peer.waiting === 1))
    t.ok((await take(pull, 2)).includes("little"))
  })

  t.test("each peer's messages come in the order in which they were sent", async (t) => {
    const kit = new Kit(t, subject)
    const pull = kit.make("Pull", { receiveHighWaterMark: 10 })
    const pushes = Array.from({ length: 4 }, () => kit.make("Push", { sendHighWaterMark: 10 }))
    await kit.link(pull, ...pushes)
    const sending = pushes.map(async (push, i) => {
      for (let n = 0; n < 500; n++) await push.send([String(i), String(n), Buffer.alloc((n % 7) * 3000)])
    })
    const due = [0, 0, 0, 0]
    for (let n = 0; n < 2000; n++) {
      const [who, count, body] = (await pull.receive()) as [Buffer, Buffer, Buffer]
      const expected = due[Number(who)]!++
      if (Number(count) !== expected || body.length !== (expected % 7) * 3000)
        t.fail(`${String(who)}: ${String(count)} of ${body.length} where ${expected} was due`)
    }
    await Promise.all(sending)
    t.strictSame(due, [500, 500, 500, 500])
  })

  t.test("what a lost peer never got goes to another, in order", async (t) => {
    for (const immediate of [false, true]) {
      const kit = new Kit(t, subject)
      const push = kit.make("Push", { sendHighWaterMark: 20, immediate, reconnectInterval: 60_000 })
      const lost = kit.make("Pull", { receiveHighWaterMark: 1 })
      // The bound side loses a peer for good, and so does the connecting side with `immediate`.
      if (immediate) await kit.link(lost, push)
      else await kit.link(push, lost)
      let sent = 0
      await until("a peer that is full", () => {
        sent = fill(push, sent, (n) => [String(n), Buffer.alloc(50_000)])
        return isFull(push.peers[0]!, 20)
      })
      const gone = event(push, "disconnect")
      await lost.close()
      const { unconfirmed } = await gone
      t.ok(unconfirmed > 0, "what the link had is told of")
      const behind = push.send(["behind", ""])
      const heir = kit.make("Pull")
      await kit.link(heir, push)
      const got: string[] = []
      while (got.at(-1) !== "behind") got.push(String((await heir.receive())[0]))
      t.ok(got.length > 1 && got.length <= 21, `${got.length} messages`)
      t.strictSame(got, [...range(sent - got.length + 1, sent), "behind"])
      await behind
      await fence(push)
      t.strictSame(rest(heir), [])
    }
  })

  t.test("without immediate, an endpoint that is not there yet gets its share, and keeps it", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push")
    const here = kit.make("Pull")
    await kit.link(here, push)
    const place = await kit.place()
    void push.connect(place)
    for (let n = 0; n < 10; n++) await push.send(String(n))
    const near = await take(here, 5)
    const late = kit.make("Pull")
    await late.bind(place)
    t.strictSame(sorted([...near, ...(await take(late, 5))]), range(0, 10))
    t.strictSame(rest(here), [])
  })

  t.test("with immediate, only those who are there get messages", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push", { immediate: true })
    const place = await kit.place()
    void push.connect(place)
    t.notOk(push.trySend("nobody"))
    const here = kit.make("Pull")
    await kit.link(here, push)
    for (let n = 0; n < 10; n++) await push.send(String(n))
    t.strictSame(await take(here, 10), range(0, 10))
  })

  t.test("what was queued for an endpoint survives its absence", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push")
    const first = kit.make("Pull")
    const endpoint = await kit.link(first, push)
    await push.send("before")
    t.equal(await next(first), "before")
    const left = event(push, "disconnect")
    await first.unbind(endpoint)
    await left
    for (const message of ["a", "b", "c"]) await push.send(message)
    const second = kit.make("Pull")
    await second.bind(endpoint)
    t.strictSame(await take(second, 3), ["a", "b", "c"])
  })

  t.test("what a listener sends as soon as a peer is there goes behind what waits for it", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push")
    const place = await kit.place()
    void push.connect(place)
    for (const n of range(0, 5)) await push.send(n)
    push.events.on("handshake", () => void push.send("5"))
    push.events.on("peer:join", () => void push.send("6"))
    const pull = kit.make("Pull")
    await pull.bind(place)
    t.strictSame(await take(pull, 7), range(0, 7))
  })

  t.test("Pull's sender that is gone leaves what it has sent", async (t) => {
    const kit = new Kit(t, subject)
    const pull = kit.make("Pull", { receiveHighWaterMark: 10 })
    const push = kit.make("Push", { linger: 10_000 })
    await kit.link(pull, push)
    // More than the inbox takes, in one chunk: the end comes behind it.
    for (let n = 0; n < 500; n++) await push.send(String(n))
    await until("a full inbox", () => pull.peers[0]?.waiting === 10)
    const closed = push.close()
    t.strictSame(await take(pull, 500), range(0, 500))
    await closed
    await peers(pull, 0)
  })

  for (const [type, worker] of pairs)
    t.test(`${type}: conflate keeps only the last message`, async (t) => {
      const kit = new Kit(t, subject)
      const push = kit.make(type, { conflate: true }) as Socket & Sends
      const place = await kit.place()
      void push.connect(place)
      for (let n = 0; n < 10; n++) t.ok(push.trySend(String(n)))
      t.equal(drops(push, "conflated"), 9)
      const pull = kit.make(worker, { conflate: true }) as Socket & Receives
      await pull.bind(place)
      t.equal(await next(pull), "9", "of what was sent to an endpoint that was away")
      for (let n = 10; n < 20; n++) await push.send(String(n))
      await until("ten more", () => pull.stats().received.count + drops(push, "conflated") === 20)
      t.equal(text(pull.tryReceive()), "19", "of what was not read")
      t.equal(pull.tryReceive(), undefined)
      t.equal(drops(pull, "conflated") + drops(push, "conflated"), 18)
    })
}
