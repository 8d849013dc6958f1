// Peers in processes of their own that are killed, stopped and continued, or end with their messages still under way.
import { once } from "node:events"
import { existsSync } from "node:fs"
import t, { type Test } from "tap"
import { Dealer, Pair, Publisher, Pull, Push, Reply, Request, Router, Subscriber } from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { child, type Child } from "../support/child.ts"
import { event, events, outcome, range, text, tidy, until, watch, within } from "../support/sockets.ts"

const LOOPBACK = "tcp://127.0.0.1:*"
const peer = (t: Test, type: string, options: object = {}): Promise<Child> => child(t, type, options, "earshot")

t.ok(existsSync(new URL("../../dist/lib/index.js", import.meta.url)), "the library is built: npm run build")
t.jobs = 4

/** Kills it, and waits until the socket says that it is gone. */
async function killed(socket: Socket, victim: Child): Promise<void> {
  const [left, lost] = [event(socket, "peer:leave"), event(socket, "disconnect")]
  await victim.kill()
  await left
  await lost
}

async function bound(t: Test, socket: Socket, ...children: Promise<Child>[]): Promise<Child[]> {
  tidy(t, socket)
  await socket.bind(LOOPBACK)
  const all = await Promise.all(children)
  for (const each of all) await each.ask("connect", socket.lastEndpoint)
  await until("the peers", () => socket.peers.length === all.length)
  return all
}

t.test("SIGKILL, pipeline: it goes on with the others", { buffered: true }, async (t) => {
  const push = new Push()
  const [a, b] = (await bound(t, push, peer(t, "Pull"), peer(t, "Pull"))) as [Child, Child]
  for (const one of [a, b]) await one.ask("collect")
  for (const n of range(0, 10)) await push.send(n)
  await until("the first ten", () => push.stats().sent.count === 10)
  await killed(push, a)
  const before = await b.ask<{ count: number }>("collected")
  for (const n of range(0, 1000)) await push.send(n)
  let after = before
  await until("a thousand more", () => {
    void b.ask<{ count: number }>("collected").then((now) => (after = now))
    return after.count >= before.count + 1000
  })
  t.equal(push.peers.length, 1)

  const pull = new Pull()
  const [c, d] = (await bound(t, pull, peer(t, "Push"), peer(t, "Push"))) as [Child, Child]
  void c.ask("sendNumbers", 0, 1_000_000, 100)
  await pull.receive()
  await killed(pull, c)
  await d.ask("send", "from the other")
  for (let message = ""; message !== "from the other";) message = text(await within("a message", pull.receive()))!
})

t.test(
  "SIGKILL, publish and subscribe: the topic is gone; a new publisher is subscribed to",
  { buffered: true },
  async (t) => {
    const publisher = new Publisher()
    const [a, b] = (await bound(t, publisher, peer(t, "Subscriber"), peer(t, "Subscriber"))) as [Child, Child]
    await a.ask("subscribe", "a")
    await b.ask("subscribe", "b")
    t.strictSame([publisher.subscribers("a"), publisher.subscribers("b")], [1, 1])
    await killed(publisher, a)
    t.strictSame([publisher.subscribers("a"), publisher.subscribers("b")], [0, 1])
    const heard = b.ask("receive")
    await publisher.send(["b", "still there"])
    t.strictSame(await heard, ["b", "still there"])

    const subscriber = tidy(t, new Subscriber({ reconnectInterval: 20 }))
    const first = await peer(t, "Publisher")
    const endpoint = await first.ask<string>("bind", LOOPBACK)
    const subscribed = subscriber.subscribe("news")
    await subscriber.connect(endpoint)
    await subscribed
    await killed(subscriber, first)
    const second = await peer(t, "Publisher")
    await second.ask("bind", endpoint)
    await event(subscriber, "peer:join")
    const news = subscriber.receive()
    while (watch(news).state === "pending" && subscriber.stats().received.count === 0)
      await second.ask("send", "news", "again")
    t.equal(text(await within("news", news)), "news|again")
  },
)

t.test("SIGKILL, requests: PEER_LOST, or somebody else is asked", { buffered: true }, async (t) => {
  const request = new Request()
  const [mute] = (await bound(t, request, peer(t, "Reply"))) as [Child]
  const asked = mute.ask("receive")
  const lost = outcome(request.request("a question"))
  await asked
  const echo = await peer(t, "Reply")
  await echo.ask("echo")
  await echo.ask("connect", request.lastEndpoint)
  await until("the second", () => request.peers.length === 2)
  const left = event(request, "peer:leave")
  await mute.kill()
  t.equal(await within("its end", lost), "PEER_LOST")
  await left
  t.equal(text(await within("a reply", request.request("another"))), "another")

  const other = await peer(t, "Reply")
  await other.ask("connect", request.lastEndpoint)
  await until("the third", () => request.peers.length === 2)
  const retried = [request.request("one", { retries: 1 }), request.request("two", { retries: 1 })]
  await other.ask("receive")
  await other.kill()
  t.strictSame(
    (await within("replies", Promise.all(retried))).map((reply) => text(reply)),
    ["one", "two"],
  )

  const turns = new Request()
  const [partner] = (await bound(t, turns, peer(t, "Reply"))) as [Child]
  const reached = partner.ask("receive")
  await turns.send("a question")
  const pending = outcome(turns.receive())
  await reached
  await partner.kill()
  t.equal(await within("its end", pending), "PEER_LOST")
  const next = await peer(t, "Reply")
  await next.ask("echo")
  await next.ask("connect", turns.lastEndpoint)
  await turns.send("the next")
  t.equal(text(await within("a reply", turns.receive())), "the next")
})

t.test("SIGKILL, replies: who asked is gone, the next is served", { buffered: true }, async (t) => {
  const reply = new Reply()
  const [a, b] = (await bound(t, reply, peer(t, "Request"), peer(t, "Request"))) as [Child, Child]
  await a.ask("send", "from a")
  t.equal(text(await reply.receive()), "from a")
  await killed(reply, a)
  await reply.send("to nobody")
  t.strictSame(reply.stats().dropped, { disconnected: { count: 1, bytes: 9 } })
  await b.ask("send", "from b")
  t.equal(text(await within("a request", reply.receive())), "from b")
  await reply.send("to b")
  t.strictSame(await b.ask("receive"), ["to b"])
})

t.test("SIGKILL: Router, Dealer and Pair", { buffered: true }, async (t) => {
  const router = new Router({ mandatory: true })
  const [a, b] = (await bound(
    t,
    router,
    peer(t, "Dealer", { routingId: "a" }),
    peer(t, "Dealer", { routingId: "b" }),
  )) as [Child, Child]
  await router.send(["a", "hello"])
  t.strictSame(await a.ask("receive"), ["hello"])
  await killed(router, a)
  t.equal(await outcome(router.send(["a", "hello"])), "EHOSTUNREACH")
  await router.send(["b", "hello"])
  t.strictSame(await b.ask("receive"), ["hello"])

  const dealer = new Dealer()
  const [c, d] = (await bound(t, dealer, peer(t, "Dealer"), peer(t, "Dealer"))) as [Child, Child]
  await d.ask("collect")
  await killed(dealer, c)
  for (const n of range(0, 100)) await dealer.send(n)
  let collected = 0
  await until("all hundred", () => {
    void d.ask<{ count: number }>("collected").then(({ count }) => (collected = count))
    return collected === 100
  })

  const pair = new Pair()
  const [e] = (await bound(t, pair, peer(t, "Pair"))) as [Child]
  await pair.send("one")
  t.strictSame(await e.ask("receive"), ["one"])
  await killed(pair, e)
  const waiting = pair.send("two")
  const f = await peer(t, "Pair")
  await f.ask("connect", pair.lastEndpoint)
  await within("the new peer", waiting)
  t.strictSame(await f.ask("receive"), ["two"])
})

t.test(
  "stopped for 8 s while its peer kept sending, then continued: nobody is dropped",
  { buffered: true },
  async (t) => {
    const beats = { heartbeatInterval: 2000, heartbeatTimeout: 6000 }
    // Who is stopped can't be heard for so long; the others go by the default, 30 s.
    const push = new Push({ heartbeatInterval: 500, heartbeatTimeout: 30_000 })
    const [pulls] = (await bound(t, push, peer(t, "Pull", beats))) as [Child]
    const pull = new Pull({ heartbeatInterval: 500, heartbeatTimeout: 30_000 })
    const [pushes] = (await bound(t, pull, peer(t, "Push", beats))) as [Child]
    const pair = new Pair()
    const [pairs] = (await bound(t, pair, peer(t, "Pair", beats))) as [Child]
    const gone = [push, pull, pair].flatMap((socket) => events(socket, "disconnect"))
    await pulls.ask("collect")
    await pairs.ask("echo")

    // All the while: numbers go out, and what the echo gives back is counted.
    let on = true
    let sent = 0
    const sending = (async () => {
      for (; on; sent++) {
        await push.send([String(sent), Buffer.alloc(200)])
        if (sent % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })()
    let asked = 0
    let echoed = 0
    const asking = (async () => {
      for (; on; asked++) {
        await pair.send(String(asked))
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    const hearing = (async () => {
      for await (const message of pair) if (text(message) === String(echoed)) echoed++
    })()
    await until("traffic", () => sent > 100 && echoed > 10)
    const stopped = [pulls, pushes, pairs]
    for (const each of stopped) each.process.kill("SIGSTOP")
    await new Promise((resolve) => setTimeout(resolve, 8000))
    for (const each of stopped) each.process.kill("SIGCONT")
    // Twice the timeout of those who were stopped, in which they would have judged.
    const before = echoed
    await until("echoes", () => echoed > before + 50)
    await new Promise((resolve) => setTimeout(resolve, 3000))
    on = false
    await Promise.all([sending, asking])
    await until("the last echo", () => echoed === asked)
    let collected = { count: 0, wrong: null as string | null }
    await until("the last number", () => {
      void pulls.ask<typeof collected>("collected").then((now) => (collected = now))
      return collected.count === sent
    })
    t.equal(collected.wrong, null)
    await pushes.ask("sendNumbers", 0, 100, 10)
    for (const n of range(0, 100)) if (text([(await pull.receive())[0]!]) !== n) t.fail(`${n} is missing`)
    for (const each of stopped) t.strictSame(await each.ask("happened"), ["peer:join"])
    t.strictSame(gone, [])
    t.comment(`${sent} numbers, ${asked} echoes`)
    await pair.close()
    await hearing
  },
)

t.test(
  "a PUSH that has sent all it had, closed and ended, before a slow reader has it all",
  { buffered: true },
  async (t) => {
    const body = Buffer.alloc(1024)
    for (const options of [{}, { heartbeatInterval: 100, heartbeatTimeout: 10_000 }]) {
      const pull = new Pull(options)
      const [push] = (await bound(t, pull, peer(t, "Push", { sendHighWaterMark: 10_000 }))) as [Child]
      const exited = once(push.process, "exit")
      await push.ask("sendNumbers", 0, 6000, body.length)
      void push.ask("closeAndEnd")
      await until("a full inbox", () => pull.peers[0]?.waiting === 1000)
      // Many PINGs to a peer that closes.
      const start = performance.now()
      let ended = false
      void exited.then(() => (ended = true))
      for (let n = 0; n < 6000; n++) {
        const message = await within(`message ${n}`, pull.receive())
        if (text([message[0]!]) !== String(n)) t.fail(`${text([message[0]!])} where ${n} was due`)
        if (n % 300 === 0) await new Promise((resolve) => setTimeout(resolve, 60))
      }
      t.ok(performance.now() - start > 1000)
      await until("its end", () => ended)
      t.equal(pull.stats().received.count, 6000)
    }
  },
)

t.test(
  "a libzmq PUSH that has sent all it had and ended, before a slow reader has it all",
  { buffered: true },
  async (t) => {
    const pull = tidy(t, new Pull())
    await pull.bind(LOOPBACK)
    const push = await child(t, "Push", { linger: 10_000, sendHighWaterMark: 0 })
    await push.ask("connect", pull.lastEndpoint)
    const exited = once(push.process, "exit")
    await push.ask("burst", 2000, 1024)
    await until("a full inbox", () => pull.peers[0]?.waiting === 1000)
    void push.ask("closeAndEnd")
    let ended = false
    void exited.then(() => (ended = true))
    // Until its system holds the rest and it is gone, or it waits for us to read.
    const start = performance.now()
    while (!ended && performance.now() - start < 3000) await new Promise((resolve) => setTimeout(resolve, 20))
    await new Promise((resolve) => setTimeout(resolve, 1500))
    for (let n = 0; n < 2000; n++) {
      const message = await within(`message ${n}`, pull.receive())
      if (text([message[0]!]) !== String(n)) t.fail(`${text([message[0]!])} where ${n} was due`)
    }
    await until("its end", () => ended)
  },
)
