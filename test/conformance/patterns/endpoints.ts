/** bind, unbind, connect, disconnect: what they leave connected, and who is named how (WIRE 1.13). */
import type { Test } from "tap"
import type { Socket } from "../../../lib/socket.ts"
import {
  code,
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
  thrown,
  until,
  type SocketName,
  type Subject,
} from "./support.ts"

/** Whether two connects of one type to the same endpoint make two connections. */
const doubles: [SocketName, SocketName, boolean][] = [
  ["Push", "Pull", true],
  ["Pull", "Push", true],
  ["Router", "Dealer", true],
  ["Reply", "Request", true],
  ["Dealer", "Router", false],
  ["Request", "Reply", false],
  ["Subscriber", "Publisher", false],
  ["Publisher", "Subscriber", false],
  ["XSubscriber", "XPublisher", false],
  ["XPublisher", "XSubscriber", false],
]

export function endpoints(t: Test, subject: Subject): void {
  const { wildcard = "" } = subject

  t.test("lastEndpoint tells where a socket was bound, or connected", async (t) => {
    const kit = new Kit(t, subject)
    const [push, pull] = [kit.make("Push"), kit.make("Pull")]
    t.equal(pull.lastEndpoint, null)
    const told = event(pull, "bind")
    const endpoint = await kit.bind(pull)
    t.match(endpoint, new RegExp(`^${subject.name}://.*[^*]$`))
    t.equal((await told).address, endpoint)
    await push.connect(endpoint)
    t.equal(push.lastEndpoint, endpoint)
    const second = await kit.bind(pull)
    t.not(second, endpoint)
    t.equal(pull.lastEndpoint, second)
  })

  t.test("connect comes before bind, for every type", async (t) => {
    const kit = new Kit(t, subject)
    for (const [connecting, binding] of doubles) {
      const place = await kit.place()
      const connector = kit.make(connecting) as Socket
      const connected = connector.connect(place)
      const binder = kit.make(binding) as Socket
      await binder.bind(place)
      await connected
      await peers(binder, 1)
      t.equal(connector.peers.length, 1, `${connecting} and ${binding}`)
    }
  })

  t.test("a second connect to the same endpoint is ignored, or a second connection, by type", async (t) => {
    const kit = new Kit(t, subject)
    for (const [connecting, binding, twice] of doubles) {
      const [connector, binder] = [kit.make(connecting) as Socket, kit.make(binding) as Socket]
      const endpoint = await kit.bind(binder)
      await Promise.all([connector.connect(endpoint), connector.connect(endpoint)])
      await connector.connect(endpoint)
      // A third socket's connection comes last: whatever the first had under way is there.
      const other = kit.make(connecting) as Socket
      await other.connect(endpoint)
      await peers(binder, twice ? 4 : 2)
      t.equal(connector.peers.length, twice ? 3 : 1, connecting)
      await connector.disconnect(endpoint)
      await peers(binder, 1)
      t.equal(await code((async () => connector.disconnect(endpoint))()), "ENOENT", "all of them end at once")
    }
  })

  t.test("several endpoints bound and several connected", async (t) => {
    const kit = new Kit(t, subject)
    const hub = kit.make("Pull")
    const ends = [await kit.bind(hub), await kit.bind(hub), await kit.bind(hub)]
    const pushes = ends.map(() => kit.make("Push"))
    for (const [i, push] of pushes.entries()) for (const end of ends.slice(i)) void push.connect(end)
    await peers(hub, 6)
    const others = [kit.make("Push"), kit.make("Push")]
    for (const push of others) await hub.connect(await kit.bind(push))
    await peers(hub, 8)
    for (const [i, push] of [...pushes, ...others].entries())
      for (const n of range(0, 6)) await push.send([String(i), n])
    t.strictSame(
      sorted(await take(hub, 30)),
      range(0, 5).flatMap((i) => range(0, 6).map((n) => `${i}|${n}`)),
    )
  })

  t.test("unbind ends what it took and frees the name; other endpoints live on", async (t) => {
    const kit = new Kit(t, subject)
    const pull = kit.make("Pull")
    const [one, two] = [kit.make("Push"), kit.make("Push")]
    const first = await kit.link(pull, one)
    await kit.link(pull, two)
    await one.send("last words")
    await fence(one)
    const [closed, left] = [event(pull, "close"), event(one, "disconnect")]
    await pull.unbind(first)
    t.equal((await closed).address, first)
    await left
    await peers(pull, 1)
    t.equal(await next(pull), "last words", "what came before is still there")
    await two.send("still here")
    t.equal(await next(pull), "still here")
    const heir = kit.make("Pull")
    await heir.bind(first)
    await one.send("to the heir")
    t.equal(await next(heir), "to the heir")
    t.strictSame(rest(pull), [])
    t.equal(
      thrown(() => pull.unbind(first)),
      "ENOENT",
    )
  })

  t.test("unbind sends what waits, for as long as linger says", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push", { linger: 10_000, sendHighWaterMark: 10 })
    const pull = kit.make("Pull", { receiveHighWaterMark: 2 })
    const endpoint = await kit.link(push, pull)
    let sent = 0
    await until("messages that wait", () => {
      sent = fill(push, sent, (n) => [String(n), Buffer.alloc(50_000)])
      return isFull(push.peers[0]!, 10)
    })
    const unbound = push.unbind(endpoint)
    t.strictSame(
      (await take(pull, sent)).map((message) => message.split("|")[0]),
      range(0, sent),
    )
    await unbound
  })

  t.test("a name that is taken is EADDRINUSE, and free again after close", async (t) => {
    const kit = new Kit(t, subject)
    const [first, second] = [kit.make("Pull"), kit.make("Pull")]
    const endpoint = await kit.bind(first)
    const told = event(second, "bind:error")
    t.equal(await code(second.bind(endpoint)), "EADDRINUSE")
    t.equal((await told).error.code, "EADDRINUSE")
    t.equal(await code(first.bind(endpoint)), "EADDRINUSE")
    await first.close()
    await second.bind(endpoint)
    const push = kit.make("Push")
    await push.connect(endpoint)
    await push.send("to the second")
    t.equal(await next(second), "to the second")
  })

  t.test("bind, unbind and bind again, many times", async (t) => {
    const kit = new Kit(t, subject)
    const [push, pull] = [kit.make("Push"), kit.make("Pull")]
    const endpoint = await kit.link(pull, push)
    for (const n of range(0, 20)) {
      await push.send(n)
      t.equal(await next(pull), n)
      const left = event(push, "disconnect")
      await pull.unbind(endpoint)
      await left
      await pull.bind(endpoint)
    }
    await push.send("end")
    t.equal(await next(pull), "end")
  })

  t.test("disconnect ends the connection and takes nothing more for it", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push")
    const [left, stays] = [kit.make("Pull"), kit.make("Pull")]
    const endpoint = await kit.link(left, push)
    await push.send("a")
    t.equal(await next(left), "a")
    await push.disconnect(endpoint)
    await peers(left, 0)
    t.notOk(push.trySend("nobody"))
    t.equal(
      thrown(() => push.disconnect(endpoint)),
      "ENOENT",
    )
    await kit.link(stays, push)
    for (const n of range(0, 5)) await push.send(n)
    t.strictSame(await take(stays, 5), range(0, 5))
    await push.connect(endpoint)
    await push.disconnect(push.lastEndpoint!)
    await peers(left, 0)
  })

  t.test("disconnect sends what waits, for as long as linger says", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push", { linger: 10_000 })
    const place = await kit.place()
    void push.connect(place)
    for (const n of range(0, 10)) await push.send(n)
    const gone = push.disconnect(place)
    const pull = kit.make("Pull")
    await pull.bind(place)
    t.strictSame(await take(pull, 10), range(0, 10))
    await gone
    await peers(pull, 0)
    const abandoned = kit.make("Push", { linger: 20 })
    const nowhere = await kit.place()
    void abandoned.connect(nowhere)
    await abandoned.send("lost")
    await abandoned.disconnect(nowhere)
    t.strictSame(abandoned.stats().dropped, { linger: { count: 1, bytes: 4 } })
  })

  t.test("disconnect goes on sending over a new connection when the old one ends meanwhile", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push", { linger: 10_000, sendHighWaterMark: 10 })
    const first = kit.make("Pull", { receiveHighWaterMark: 1 })
    const endpoint = await kit.link(first, push)
    let sent = 0
    await until("messages that wait", () => {
      sent = fill(push, sent, (n) => [String(n), Buffer.alloc(50_000)])
      return isFull(push.peers[0]!, 10)
    })
    const gone = push.disconnect(endpoint)
    const left = event(push, "disconnect").then(() => push.stats().sent.count)
    await first.close()
    const given = await left
    t.ok(given < sent)
    const second = kit.make("Pull")
    await second.bind(endpoint)
    t.strictSame(
      (await take(second, sent - given)).map((message) => message.split("|")[0]),
      range(given, sent),
    )
    await gone
    t.strictSame(push.stats().dropped, {})
  })

  t.test("close sends what lost peers have left, too", async (t) => {
    const kit = new Kit(t, subject)
    const push = kit.make("Push", { linger: 10_000, sendHighWaterMark: 6 })
    const [lost, stays] = [kit.make("Pull", { receiveHighWaterMark: 1 }), kit.make("Pull", { receiveHighWaterMark: 1 })]
    await kit.link(push, lost)
    await kit.link(push, stays)
    let sent = 0
    await until("two full peers", () => {
      sent = fill(push, sent, (n) => [String(n), Buffer.alloc(50_000)])
      return push.peers.every((peer) => isFull(peer, 6))
    })
    const { address } = push.peers[0]!
    let due = 0
    push.events.once("disconnect", () => {
      due = sent - push.stats().peers.find((peer) => peer.address === address)!.sent.count
    })
    await lost.close()
    await until("the end of a connection", () => due > 0)
    const closed = push.close()
    const got = (await take(stays, due)).map((message) => message.split("|")[0])
    t.equal(new Set(got).size, due)
    await closed
    t.strictSame(push.stats().dropped, {})
    t.strictSame(rest(stays), [])
  })

  t.test("endpoints that can't be", async (t) => {
    const kit = new Kit(t, subject)
    const pull = kit.make("Pull")
    for (const call of ["bind", "connect", "unbind", "disconnect"] as const) {
      t.equal(
        thrown(() => pull[call]("nonsense")),
        "EINVAL",
        call,
      )
      t.equal(
        thrown(() => pull[call](undefined as never)),
        "EINVAL",
        call,
      )
    }
    for (const call of ["bind", "connect"] as const)
      t.equal(
        thrown(() => pull[call]("no-such://thing")),
        "EPROTONOSUPPORT",
        call,
      )
    const endpoint = await kit.bind(pull)
    t.equal(
      thrown(() => pull.disconnect(endpoint)),
      "ENOENT",
      "bound, not connected",
    )
    t.equal(
      thrown(() => kit.make("Pull").unbind(endpoint)),
      "ENOENT",
      "another's",
    )
    t.strictSame(pull.peers, [])
  })

  t.test(
    "a wildcard becomes a new endpoint each time, by whose name alone it can be unbound",
    { skip: wildcard === "" && "there is none" },
    async (t) => {
      const kit = new Kit(t, subject)
      const pull = kit.make("Pull")
      const ends: string[] = []
      for (let n = 0; n < 3; n++) {
        await pull.bind(wildcard)
        ends.push(pull.lastEndpoint!)
      }
      t.equal(new Set(ends).size, 3)
      t.notOk(ends.join(" ").includes("*"))
      t.equal(
        thrown(() => pull.unbind(wildcard)),
        "ENOENT",
      )
      t.equal(
        thrown(() => pull.connect(wildcard)),
        "EINVAL",
      )
      for (const [i, end] of ends.entries()) {
        const push = kit.make("Push")
        await push.connect(end)
        await push.send(String(i))
        t.equal(await next(pull), String(i))
        await pull.unbind(end)
        await peers(push, 0)
      }
    },
  )

  t.test("a closed socket does nothing more", async (t) => {
    const kit = new Kit(t, subject)
    const pair = kit.make("Pair")
    const endpoint = await kit.bind(pair)
    await pair.close()
    await pair.close()
    t.ok(pair.closed)
    for (const call of ["bind", "connect", "unbind", "disconnect"] as const)
      t.equal(
        thrown(() => pair[call](endpoint)),
        "EBADF",
        call,
      )
    t.equal(await code(pair.send("a")), "EBADF")
    t.equal(await code(pair.receive()), "EBADF")
    t.equal(
      thrown(() => pair.trySend("a")),
      "EBADF",
    )
  })

  t.test("100 sockets in one process, all talking", async (t) => {
    const kit = new Kit(t, subject)
    const hub = kit.make("Router")
    const endpoint = await kit.bind(hub)
    const dealers = Array.from({ length: 99 }, (_, i) => kit.make("Dealer", { routingId: `d${i}` }))
    hub.onmessage = (message) => void hub.send(message)
    await Promise.all(dealers.map((dealer) => dealer.connect(endpoint)))
    await Promise.all(
      dealers.map(async (dealer, i) => {
        for (const n of range(0, 10)) await dealer.send(`${i}.${n}`)
        t.strictSame(
          await take(dealer, 10),
          range(0, 10).map((n) => `${i}.${n}`),
        )
      }),
    )
    t.equal(hub.peers.length, 99)
    await Promise.all(dealers.map((dealer) => dealer.close()))
    await peers(hub, 0)
  })
}
