/** High-water marks: how much waits for one peer and from one, and what a socket does when that is reached (WIRE 1.13). */
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
  type SocketName,
  type Subject,
} from "./support.ts"

const body = Buffer.alloc(40_000)
/** So large that each is a write of its own. */
const large = Buffer.alloc(300_000)

/** What waits in its turn, and for whom. */
const waiting: [SocketName, SocketName][] = [
  ["Push", "Pull"],
  ["Dealer", "Dealer"],
  ["Pair", "Pair"],
]

export function marks(t: Test, subject: Subject): void {
  for (const [sending, receiving] of waiting) {
    t.test(`${sending} waits for a peer that is not read, and goes on below half its mark`, async (t) => {
      const kit = new Kit(t, subject)
      const sender = kit.make(sending, { sendHighWaterMark: 11 }) as Socket & Sends
      const receiver = kit.make(receiving, { receiveHighWaterMark: 7 }) as Socket & Receives
      await kit.link(sender, receiver)
      const [to, from] = [sender.peers[0]!, receiver.peers[0]!]
      let sent = 0
      let most = [0, 0]
      await until("full queues on both sides", () => {
        sent = fill(sender, sent, (n) => [String(n), large])
        most = [Math.max(most[0]!, to.queued), Math.max(most[1]!, from.waiting)]
        return most[0] === 11 && isFull(to, 11) && from.waiting === 7
      })
      t.strictSame(most, [11, 7], "never more")
      let went = false
      const send = sender.send([String(sent++), large]).then(() => (went = true))
      t.notOk(sender.trySend("overtaking"))
      for (let n = 0; n < sent; n++) {
        await new Promise((resolve) => setImmediate(resolve))
        if (!went && to.queued <= 5) t.fail(`waits with ${to.queued}`)
        if (went && to.queued > 6) t.fail(`went on with ${to.queued}`)
        const [count, { length }] = (await receiver.receive()) as [Buffer, Buffer]
        if (Number(count) !== n || length !== large.length) t.fail(`${String(count)} where ${n} was due`)
      }
      await send
      t.strictSame([to.queued, from.waiting], [0, 0])
    })

    t.test(`${sending} queues exactly its mark for an endpoint that is not there`, async (t) => {
      const kit = new Kit(t, subject)
      const sender = kit.make(sending, { sendHighWaterMark: 25 }) as Socket & Sends
      const place = await kit.place()
      void sender.connect(place)
      t.equal(fill(sender, 0), 25)
      const pending = sender.send("25")
      const receiver = kit.make(receiving) as Socket & Receives
      await receiver.bind(place)
      t.strictSame(await take(receiver, 26), range(0, 26))
      await pending
    })
  }

  t.test("the default is 1,000, and 0 is no limit", async (t) => {
    const kit = new Kit(t, subject)
    const place = await kit.place()
    const push = kit.make("Push")
    void push.connect(place)
    t.equal(fill(push, 0), 1000)
    const boundless = kit.make("Push", { sendHighWaterMark: 0 })
    void boundless.connect(place)
    for (let n = 0; n < 5000; n++) if (!boundless.trySend(String(n))) t.fail(`full at ${n}`)
    await push.close()
    const pull = kit.make("Pull", { receiveHighWaterMark: 0 })
    await pull.bind(place)
    await until("all of it", () => pull.peers[0]?.waiting === 5000)
    t.strictSame(await take(pull, 5000), range(0, 5000))
  })

  t.test("marks in bytes count too; an empty queue takes one larger message", async (t) => {
    const kit = new Kit(t, subject)
    const place = await kit.place()
    const push = kit.make("Push", { sendHighWaterMarkBytes: 100_000 })
    void push.connect(place)
    for (const size of [30_000, 30_000, 30_000, 10_000]) t.ok(push.trySend(Buffer.alloc(size)))
    t.notOk(push.trySend("x"))
    const large = kit.make("Push", { sendHighWaterMarkBytes: 1000 })
    void large.connect(place)
    t.ok(large.trySend(Buffer.alloc(5000)))
    t.notOk(large.trySend("x"))
    await push.close()
    const pull = kit.make("Pull", { receiveHighWaterMarkBytes: 1000 })
    await pull.bind(place)
    t.equal((await pull.receive())[0]!.length, 5000)
    await large.send(Buffer.alloc(600))
    await large.send(Buffer.alloc(600))
    await large.send("beyond")
    await until("a full inbox", () => pull.peers[0]!.waiting === 2)
    t.equal(pull.peers[0]!.waitingBytes, 1200)
    t.equal((await pull.receive())[0]!.length, 600)
    t.equal((await pull.receive())[0]!.length, 600)
    t.equal(await next(pull), "beyond")
  })

  t.test("a full inbox stays full through a new connection", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push")
    const pull = kit.make("Pull", { receiveHighWaterMark: 5 })
    const endpoint = await kit.link(push, pull)
    for (const n of range(0, 5)) await push.send(n)
    await until("a full inbox", () => pull.peers[0]!.waiting === 5)
    const left = event(pull, "disconnect")
    await push.unbind(endpoint)
    await left
    await push.bind(endpoint)
    for (const n of range(5, 50)) await push.send(n)
    await peers(pull, 1)
    // Another peer's message goes through, on its own account.
    const other = kit.make("Push")
    await kit.link(other, pull)
    await other.send("other")
    await until("the other's message", () => pull.peers[1]!.waiting === 1)
    t.equal(pull.peers[0]!.waiting, 5)
    const got = await take(pull, 51)
    t.ok(got.splice(got.indexOf("other"), 1))
    t.strictSame(got, range(0, 50))
  })

  t.test("Publisher drops and counts for a full subscriber until half is gone, others get all", async (t) => {
    const kit = new Kit(t, subject)
    const publisher = kit.make("Publisher", { sendHighWaterMark: 10 })
    const slow = kit.make("Subscriber", { receiveHighWaterMark: 5 })
    const quick = kit.make("Subscriber", { receiveHighWaterMark: 0 })
    await kit.link(publisher, slow)
    await kit.link(publisher, quick)
    await Promise.all([slow.subscribe(""), quick.subscribe("")])
    const told: number[] = []
    publisher.events.on("drop", (drop) => told.push(drop.count))
    const [to] = publisher.peers
    let sent = 0
    await until("20 drops", () => {
      t.ok(publisher.trySend([String(sent++), body]))
      return drops(publisher, "full") >= 20 && publisher.peers.every((peer) => peer === to || peer.queued === 0)
    })
    t.ok(isFull(to!, 10) && to!.queued <= 10)
    const dropped = drops(publisher, "full")
    const seen = []
    for (let n = 0; n < sent - dropped; n++) seen.push(String((await slow.receive())[0]))
    t.strictSame(seen.slice(0, 20), range(0, 20), "nothing is missing before the first drop")
    t.strictSame(seen, sorted([...new Set(seen)]), "in order, once")
    await publisher.send("again")
    t.equal(await next(slow), "again", "and it gets messages again")
    for (let n = 0; n < sent; n++) if (String((await quick.receive())[0]) !== String(n)) t.fail(`${n} is missing`)
    t.equal(await next(quick), "again")
    await until("events for all", () => told.reduce((sum, count) => sum + count, 0) === dropped)
  })

  t.test("with noDrop a publisher waits for its slowest subscriber, while that is there", async (t) => {
    for (const [type, binds] of [
      ["Publisher", true],
      ["XPublisher", true],
      ["Publisher", false],
      ["XPublisher", false],
    ] as const) {
      const kit = new Kit(t, subject)
      const publisher = kit.make(type, { sendHighWaterMark: 5, noDrop: true })
      const slow = kit.make("Subscriber", { receiveHighWaterMark: 5 })
      const quick = kit.make("Subscriber", { receiveHighWaterMark: 0 })
      for (const subscriber of [slow, quick])
        await (binds ? kit.link(publisher, subscriber) : kit.link(subscriber, publisher))
      await Promise.all([slow.subscribe("a"), quick.subscribe("a", "b")])
      const to = publisher.peers[0]!
      let sent = 0
      await until("a full subscriber", () => {
        sent = fill(publisher, sent, () => ["a", body])
        return isFull(to, 5) && publisher.peers[1]!.queued === 0
      })
      t.ok(publisher.trySend("b"), "one that it does not get goes on")
      const waits = publisher.send(["a", "waits"])
      for (let n = 0; n < sent; n++) t.equal((await slow.receive())[1]!.length, body.length)
      await waits
      t.equal(await next(slow), "a|waits")
      // Full again: it leaves the topic, then the socket.
      const full = (): Promise<void> =>
        until("a full subscriber", () => {
          fill(publisher, 0, () => ["a", body])
          return isFull(to, 5) && publisher.peers[1]!.queued === 0
        })
      await full()
      const second = publisher.send(["a", "second"])
      void slow.unsubscribe("a")
      await second
      t.ok(publisher.trySend(["a", "for the other alone"]))
      void slow.subscribe("a")
      await publisher.ready({ topic: "a", subscribers: 2 })
      await full()
      const third = publisher.send(["a", "third"])
      await slow.close()
      await third
      t.equal(drops(publisher, "full"), 0)
    }
  })

  t.test("Router drops for a full peer, or waits with mandatory, while that is there", async (t) => {
    const kit = new Kit(t, subject)
    for (const mandatory of [false, true]) {
      const router = kit.make("Router", { mandatory, sendHighWaterMark: 6 })
      const dealer = kit.make("Dealer", { routingId: "deaf", receiveHighWaterMark: 3 })
      const other = kit.make("Dealer", { routingId: "other" })
      await kit.link(router, dealer)
      await kit.link(router, other)
      let sent = 0
      if (mandatory) {
        await until("a full peer", () => {
          sent = fill(router, sent, (n) => ["deaf", String(n), body])
          return isFull(router.peers[0]!, 6) && dealer.peers[0]!.waiting === 3
        })
        const waits = router.send(["deaf", "last"])
        t.strictSame(
          (await take(dealer, sent)).map((message) => message.split("|")[0]),
          range(0, sent),
        )
        await waits
        t.equal(await next(dealer), "last")
        await until("a full peer", () => {
          fill(router, sent, (n) => ["deaf", String(n), body])
          return isFull(router.peers[0]!, 6)
        })
        const lost = code(router.send(["deaf", "lost"]))
        const behind = router.send(["other", "behind"])
        await dealer.close()
        t.equal(await lost, "EHOSTUNREACH")
        await behind
        t.equal(await next(other), "behind")
        t.equal(drops(router, "full"), 0)
      } else {
        await until("20 drops", () => {
          t.ok(router.trySend(["deaf", String(sent++), body]))
          return drops(router, "full") >= 20
        })
        await router.send(["other", "undisturbed"])
        t.equal(await next(other), "undisturbed")
        const got = await take(dealer, sent - drops(router, "full"))
        t.strictSame(
          got.slice(0, 10).map((message) => message.split("|")[0]),
          range(0, 10),
        )
      }
    }
  })

  t.test("Reply drops what a dealer that does not read has no room for, and goes on answering others", async (t) => {
    const kit = new Kit(t, subject)
    const reply = kit.make("Reply", { sendHighWaterMark: 3 })
    const dealer = kit.make("Dealer", { receiveHighWaterMark: 2 })
    const other = kit.make("Request")
    await kit.link(reply, dealer)
    await kit.link(reply, other)
    reply.onmessage = (request) => void reply.send([...request, body])
    let sent = 0
    await until("ten drops", () => {
      dealer.trySend(["", String(sent++)])
      return drops(reply, "full") >= 10
    })
    t.equal((await other.request("still there?"))[0]!.toString(), "still there?")
    t.ok(dealer.peers[0]!.waiting >= 2)
  })

  t.test("a Subscriber that is not read holds its mark, and loses nothing of what it has", async (t) => {
    const kit = new Kit(t, subject)
    const publisher = kit.make("Publisher", { sendHighWaterMark: 0 })
    const subscriber = kit.make("Subscriber", { receiveHighWaterMark: 4 })
    await kit.link(publisher, subscriber)
    await subscriber.subscribe()
    for (let n = 0; n < 300; n++) await publisher.send([String(n), body])
    await until("a full inbox", () => subscriber.peers[0]!.waiting === 4)
    t.equal(drops(publisher, "full"), 0)
    t.strictSame(
      (await take(subscriber, 300)).map((message) => message.split("|")[0]),
      range(0, 300),
    )
    t.equal(subscriber.tryReceive(), undefined)
  })

  t.test("XSubscriber drops and counts what goes upstream to a full publisher", async (t) => {
    const kit = new Kit(t, subject)
    const xpub = kit.make("XPublisher", { receiveHighWaterMark: 3 })
    const xsub = kit.make("XSubscriber", { sendHighWaterMark: 4 })
    await kit.link(xpub, xsub)
    let sent = 0
    await until("ten drops", () => {
      t.ok(xsub.trySend([`n${sent++}`, body]))
      return drops(xsub, "full") >= 10
    })
    const got = await take(xpub, sent - drops(xsub, "full"))
    t.strictSame(
      got.slice(0, 7).map((message) => message.split("|")[0]),
      range(0, 7).map((n) => `n${n}`),
    )
  })

  t.test("one full peer does not hold up the others' reading", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router", { receiveHighWaterMark: 5 })
    const [loud, calm] = [kit.make("Dealer", { routingId: "loud" }), kit.make("Dealer", { routingId: "calm" })]
    await kit.link(router, loud)
    await kit.link(router, calm)
    for (let n = 0; n < 100; n++) await loud.send(String(n))
    await until("a full inbox", () => router.peers[0]!.waiting === 5)
    await calm.send("me too")
    await fence(calm)
    const first = [text(router.tryReceive()), text(router.tryReceive())]
    t.strictSame(sorted(first), ["calm|me too", "loud|0"])
    t.strictSame(
      await take(router, 99),
      range(1, 100).map((n) => `loud|${n}`),
    )
    t.strictSame(rest(router), [])
    await peers(router, 2)
  })
}
