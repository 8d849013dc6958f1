// SOCKETS.md, "Waiting, refusing, errors": endpoints, connect(), signals, who waits in line, and whose turn it is.
import { getEventListeners } from "node:events"
import { constants } from "node:os"
import t from "tap"
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
  EarshotError,
  codes,
} from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { fake, FakeLink } from "../support/fake.ts"
import {
  event,
  events,
  fill,
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

const all = [Dealer, Pair, Publisher, Pull, Push, Reply, Request, Router, Subscriber, XPublisher, XSubscriber] as const

t.test("a bad endpoint is thrown at once, with a code, and leaves nothing", async (t) => {
  const long = "x".repeat(2000)
  const never: [unknown, string][] = [
    [undefined, "EINVAL"],
    [null, "EINVAL"],
    [5555, "EINVAL"],
    [{}, "EINVAL"],
    ["", "EINVAL"],
    ["tcp", "EINVAL"],
    ["tcp:", "EINVAL"],
    ["tcp://", "EINVAL"],
    ["tcp:/127.0.0.1:1", "EINVAL"],
    ["://127.0.0.1:1", "EINVAL"],
    ["127.0.0.1:1", "EINVAL"],
    [" tcp://127.0.0.1:1", "EINVAL"],
    ["tcp://127.0.0.1:1\n", "EINVAL"],
    ["tcp://127.0.0.1", "EINVAL"],
    ["tcp://127.0.0.1:", "EINVAL"],
    ["tcp://:1", "EINVAL"],
    ["tcp://127.0.0.1:65536", "EINVAL"],
    ["tcp://127.0.0.1:-1", "EINVAL"],
    ["tcp://127.0.0.1:http", "EINVAL"],
    ["tcp://127.0.0.1:1:1", "EINVAL"],
    ["tcp://::1:1", "EINVAL"],
    ["tcp://[::1:1", "EINVAL"],
    ["tcp://[::1]", "EINVAL"],
    ["tcp://a b:1", "EINVAL"],
    ["inproc://", "EINVAL"],
    [`inproc://${long}`, "EINVAL"],
    ["ipc://", "EINVAL"],
    [`ipc:///tmp/${long.slice(0, 200)}`, "EINVAL"],
    ["nowhere://a", "EPROTONOSUPPORT"],
    ["udp://127.0.0.1:1", "EPROTONOSUPPORT"],
    ["pgm://eth0;239.0.0.1:1", "EPROTONOSUPPORT"],
  ]
  const notThere: [string, string][] = [
    ["tcp://*:1", "EINVAL"],
    ["tcp://*:*", "EINVAL"],
    ["tcp://127.0.0.1:*", "EINVAL"],
    ["tcp://127.0.0.1:0", "EINVAL"],
    ["ipc://*", "EINVAL"],
    ["inproc://*", "EINVAL"],
  ]
  const push = tidy(t, new Push())
  push.events.on("bind:error", () => t.fail("no event"))
  for (const [endpoint, code] of never)
    for (const method of ["bind", "connect", "unbind", "disconnect"] as const)
      t.equal(
        thrown(() => push[method](endpoint as string)),
        code,
        `${method} ${String(endpoint).slice(0, 40)}`,
      )
  for (const [endpoint, code] of notThere) {
    t.equal(
      thrown(() => push.connect(endpoint)),
      code,
      `connect ${endpoint}`,
    )
    t.equal(
      thrown(() => push.disconnect(endpoint)),
      code,
      `disconnect ${endpoint}`,
    )
  }
  t.equal(push.lastEndpoint, null)
  t.strictSame(push.peers, [])

  t.equal(
    thrown(() => push.unbind("tcp://127.0.0.1:1")),
    "ENOENT",
    "not bound",
  )
  t.equal(
    thrown(() => push.disconnect("tcp://127.0.0.1:1")),
    "ENOENT",
    "not connected",
  )
  await push.bind("tcp://127.0.0.1:*")
  t.equal(
    thrown(() => push.unbind("tcp://127.0.0.1:*")),
    "ENOENT",
    "a wildcard names no endpoint",
  )
  t.equal(
    await outcome(tidy(t, new Pull()).bind(push.lastEndpoint!)),
    "EADDRINUSE",
    "what only the system can know rejects",
  )
  await push.unbind(push.lastEndpoint!)
  await push.bind(freshName())
  await push.unbind(push.lastEndpoint!)
})

t.test("on a closed socket every method says so", async (t) => {
  const [push, pull, subscriber, request, publisher] = [
    new Push(),
    new Pull(),
    new Subscriber(),
    new Request(),
    new Publisher(),
  ] as const
  for (const socket of [push, pull, subscriber, request, publisher]) {
    t.notOk(socket.closed)
    const closing = socket.close()
    t.ok(socket.closed, "at once")
    await closing
    await socket.close()
  }
  for (const method of ["bind", "connect", "unbind", "disconnect"] as const)
    t.equal(
      thrown(() => push[method]("inproc://closed")),
      "EBADF",
      method,
    )
  t.equal(await outcome(push.send("x")), "EBADF")
  t.equal(
    thrown(() => push.trySend("x")),
    "EBADF",
  )
  t.equal(await outcome(pull.receive()), "EBADF")
  t.equal(await outcome(pull.receiveMany(2)), "EBADF")
  t.equal(
    thrown(() => pull.tryReceive()),
    "EBADF",
  )
  t.equal(
    thrown(() => (pull.onmessage = () => {})),
    "EBADF",
  )
  pull.onmessage = undefined
  t.strictSame(await pull[Symbol.asyncIterator]().next(), { value: undefined, done: true }, "iteration is over")
  t.equal(
    thrown(() => subscriber.subscribe("x")),
    "EBADF",
  )
  t.equal(
    thrown(() => subscriber.unsubscribe("x")),
    "EBADF",
  )
  t.equal(await outcome(request.request("x")), "EBADF")
  t.equal(await outcome(publisher.ready()), "EBADF")
})

t.test("close() ends everything that is pending", async (t) => {
  const clock = strictClock(t)
  const sender = new Push({ clock })
  const pull = new Pull({ clock })
  const reply = new Reply({ clock })
  const subscriber = new Subscriber({ clock })
  const publisher = new Publisher({ clock })
  const request = new Request({ clock })
  const bound = freshName()
  await sender.bind(bound)
  void subscriber.connect(freshName())
  const pending = {
    send: sender.send("x"),
    receive: pull.receive(),
    second: pull.receive(),
    many: pull.receiveMany(3),
    reply: reply.receive(),
    subscribe: subscriber.subscribe("x"),
    unsubscribe: subscriber.unsubscribe("x"),
    ready: publisher.ready(),
    request: request.request("x"),
  }
  const iterator = reply[Symbol.asyncIterator]()
  const states = Object.entries(pending).map(([name, promise]) => [name, watch(promise)] as const)
  await clock.settle()
  for (const [name, seen] of states) t.equal(seen.state, "pending", name)
  const sockets: Socket[] = [sender, pull, reply, subscriber, publisher, request]
  await clock.until(Promise.all(sockets.map((socket) => socket.close())))
  for (const [name, seen] of states) t.equal(seen.state, "EBADF", name)
  t.strictSame(await iterator.next(), { value: undefined, done: true })
})

t.test("every socket is an async disposable", async (t) => {
  for (const Class of all) {
    let socket: Socket
    {
      await using made = new Class()
      socket = made
      await made.bind("tcp://127.0.0.1:*")
    }
    t.ok(socket.closed, Class.name)
    const next = tidy(t, new Class())
    await next.bind(socket.lastEndpoint!)
    t.pass("and what it was bound to is free")
  }
})

t.test("connect() tells of the first handshake, and need not be listened to", async (t) => {
  const clock = strictClock(t)
  const endpoint = freshName()
  const push = tidy(t, new Push({ clock }))
  const first = push.connect(endpoint)
  const seen = watch(first)
  await clock.advance(5000)
  t.equal(seen.state, "pending")
  t.equal(push.lastEndpoint, endpoint)
  const pull = tidy(t, new Pull({ clock }))
  await pull.bind(endpoint)
  await clock.until(first)
  t.equal(push.peers.length, 1)

  // Never awaited: each of these rejects with nobody to hear of it. Node would end the process.
  const unhandled: unknown[] = []
  const listener = (error: unknown): void => void unhandled.push(error)
  process.on("unhandledRejection", listener)
  t.teardown(() => process.off("unhandledRejection", listener))
  void push.connect(freshName())
  await clock.settle()
  const gone = freshName()
  void push.connect(gone)
  await push.disconnect(gone)
  void push.connect(freshName(), { signal: AbortSignal.abort(new Error("before")) })
  const controller = new AbortController()
  void push.connect(freshName(), { signal: controller.signal })
  controller.abort(new Error("during"))
  const once = tidy(t, new Push({ clock, reconnectInterval: -1 }))
  void once.connect("tcp://127.0.0.1:1")
  await event(once, "close")
  await clock.until(push.close())
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  t.strictSame(unhandled, [])
})

t.test("connect() rejects when it will never be", async (t) => {
  const push = tidy(t, new Push({ reconnectInterval: -1 }))
  t.equal(
    await outcome(within("a refusal", push.connect("tcp://127.0.0.1:1"))),
    "ECONNREFUSED",
    "reconnectInterval -1: one attempt",
  )
  const other = tidy(t, new Push())
  const endpoint = freshName()
  const pending = other.connect(endpoint)
  await other.disconnect(endpoint)
  t.equal(await outcome(pending), "ECANCELED")
  t.equal(
    thrown(() => other.disconnect(endpoint)),
    "ENOENT",
  )
  const closed = new Push()
  const last = closed.connect(freshName())
  await closed.close()
  t.equal(await outcome(last), "ECANCELED")
})

t.test("a second connect to one endpoint is the same one, for the types where libzmq takes it so", async (t) => {
  const clock = strictClock(t)
  for (const Class of [Dealer, Subscriber, XSubscriber, Publisher, XPublisher, Request]) {
    const socket = tidy(t, new Class({ clock }))
    const endpoint = freshName()
    t.equal(socket.connect(endpoint), socket.connect(endpoint), Class.name)
    const controller = new AbortController()
    const aborted = socket.connect(endpoint, { signal: controller.signal })
    controller.abort(new Error("enough"))
    await t.rejects(aborted, /enough/, "its signal ends the waiting")
    await socket.disconnect(endpoint)
    t.equal(
      thrown(() => socket.disconnect(endpoint)),
      "ENOENT",
      "it was one",
    )
  }
  const dialled: string[] = []
  fake.onDial = (name) => (dialled.push(name), new FakeLink(`fake://${name}`))
  for (const Class of all) {
    const socket = tidy(t, new Class({ clock }))
    void socket.connect(`fake://${Class.name}`)
    void socket.connect(`fake://${Class.name}`)
  }
  await clock.settle()
  const twice = dialled.filter((name, i) => dialled.indexOf(name) !== i)
  t.strictSame(twice.sort(), ["Pair", "Pull", "Push", "Reply", "Router"], "for these they are two")
})

t.test("bind, connect, send and receive take an AbortSignal", async (t) => {
  const clock = strictClock(t)
  const reason = new Error("no longer wanted")
  const aborted = AbortSignal.abort(reason)
  const socket = tidy(t, new Dealer({ clock }))
  const ways: Record<string, (signal: AbortSignal) => Promise<unknown>> = {
    bind: (signal) => socket.bind("tcp://127.0.0.1:*", { signal }),
    connect: (signal) => socket.connect(freshName(), { signal }),
    send: (signal) => socket.send("x", { signal }),
    receive: (signal) => socket.receive({ signal }),
    receiveMany: (signal) => socket.receiveMany(2, { signal }),
    withPeer: (signal) => socket.receive({ withPeer: true, signal }),
  }
  for (const [name, way] of Object.entries(ways)) {
    t.equal(await way(aborted).catch((error: unknown) => error), reason, `${name}: aborted before`)
    t.equal(socket.lastEndpoint, null, "nothing was done")
  }
  for (const [name, way] of Object.entries(ways)) {
    const controller = new AbortController()
    const promise = way(controller.signal)
    controller.abort(reason)
    t.equal(
      await within(
        name,
        promise.catch((error: unknown) => error),
      ),
      reason,
      `${name}: aborted while it waits`,
    )
  }

  await t.test("an aborted bind leaves the name free", async (t) => {
    const endpoint = freshName()
    const controller = new AbortController()
    const binding = socket.bind(endpoint, { signal: controller.signal })
    controller.abort(reason)
    await t.rejects(binding, reason)
    await tidy(t, new Pull({ clock })).bind(endpoint)
    t.equal(
      thrown(() => socket.unbind(endpoint)),
      "ENOENT",
    )
  })

  await t.test("an aborted connect is disconnected", async (t) => {
    const endpoint = freshName()
    const controller = new AbortController()
    const connecting = socket.connect(endpoint, { signal: controller.signal })
    controller.abort(reason)
    await t.rejects(connecting, reason)
    t.equal(
      thrown(() => socket.disconnect(endpoint)),
      "ENOENT",
    )
    const peer = tidy(t, new Dealer({ clock }))
    await peer.bind(endpoint)
    await clock.advance(10_000)
    t.strictSame(peer.peers, [])
  })

  await t.test("what is done when the signal comes stays done", async (t) => {
    const [a, b] = [tidy(t, new Dealer({ clock })), tidy(t, new Dealer({ clock }))]
    const controller = new AbortController()
    const { signal } = controller
    const endpoint = freshName()
    await a.bind(endpoint, { signal })
    await clock.until(b.connect(endpoint, { signal }))
    await b.send("kept", { signal })
    const got = clock.until(a.receive({ signal }))
    t.equal(text(await got), "kept")
    t.equal(getEventListeners(signal, "abort").length, 0, "the signal is forgotten")
    controller.abort(reason)
    await clock.settle()
    t.equal(a.peers.length + b.peers.length, 2)
  })

  await t.test("an aborted send is not sent, an aborted receive takes nothing", async (t) => {
    const [a, b] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
    const endpoint = freshName()
    await a.bind(endpoint)
    const controller = new AbortController()
    const sends = [a.send("1"), a.send("2", { signal: controller.signal }), a.send("3")].map(outcome)
    const receives = [b.receive(), b.receive({ signal: controller.signal }), b.receive()]
    receives[1]!.catch(() => {})
    controller.abort(reason)
    await clock.until(b.connect(endpoint))
    t.strictSame(await clock.until(Promise.all(sends)), ["done", "Error: no longer wanted", "done"])
    t.equal(text(await receives[0]), "1")
    t.equal(text(await receives[2]), "3")
  })
})

t.test("sends and receives wait in order", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  const done: string[] = []
  const numbers = range(0, 50)
  const receives = numbers.map((n) => pull.receive().then((message) => done.push(`${n}:${text(message)}`)))
  const sends = numbers.map((n) => push.send(n).then(() => done.push(`sent ${n}`)))
  await link(push, pull)
  await clock.until(Promise.all([...receives, ...sends]))
  t.strictSame(
    done.filter((line) => line.startsWith("sent")),
    numbers.map((n) => `sent ${n}`),
  )
  t.strictSame(
    done.filter((line) => line.includes(":")),
    numbers.map((n) => `${n}:${n}`),
  )
})

t.test("at most maxPending wait, 65,536 unless set; the next rejects EAGAIN", async (t) => {
  const clock = strictClock(t)
  t.equal(new Push().maxPending, 65_536)
  const [push, pull] = [tidy(t, new Push({ clock, maxPending: 3 })), tidy(t, new Pull({ clock, maxPending: 3 }))]
  const sends = range(0, 4).map((n) => watch(push.send(n)))
  const receives = range(0, 4).map(() => watch(pull.receive()))
  await clock.settle()
  for (const some of [sends, receives])
    t.strictSame(
      some.map((each) => each.state),
      ["pending", "pending", "pending", "EAGAIN"],
    )
  await clock.until(link(push, pull))
  await clock.settle()
  for (const some of [sends, receives])
    t.strictSame(
      some.map((each) => each.state),
      ["done", "done", "done", "EAGAIN"],
      "the others are served",
    )
  const request = tidy(t, new Request({ clock, maxPending: 2 }))
  const requests = range(0, 3).map((n) => watch(request.request(n, { timeout: -1 })))
  await clock.settle()
  t.strictSame(
    requests.map((each) => each.state),
    ["pending", "pending", "EAGAIN"],
  )
})

t.test("sendTimeout and receiveTimeout bound the waiting: EAGAIN", async (t) => {
  const clock = strictClock(t)
  const dealer = tidy(t, new Dealer({ clock, sendTimeout: 200, receiveTimeout: 300 }))
  const [sending, receiving] = [watch(dealer.send("x")), watch(dealer.receive())]
  await clock.advance(199)
  t.equal(sending.state, "pending")
  await clock.advance(1)
  t.equal(sending.state, "EAGAIN")
  await clock.advance(99)
  t.equal(receiving.state, "pending")
  await clock.advance(1)
  t.equal(receiving.state, "EAGAIN")
  dealer.sendTimeout = dealer.receiveTimeout = 0
  t.equal(await outcome(dealer.send("x")), "EAGAIN", "0: not at all")
  t.equal(await outcome(dealer.receive()), "EAGAIN")
  dealer.sendTimeout = dealer.receiveTimeout = -1
  const [forEver, ever] = [watch(dealer.send("last")), watch(dealer.receive())]
  await clock.advance(100_000_000)
  t.strictSame([forEver.state, ever.state], ["pending", "pending"], "-1: for ever")
  const other = tidy(t, new Dealer({ clock }))
  await clock.until(link(other, dealer))
  t.equal(text(await clock.until(other.receive())), "last", "what gave up was not sent")
})

t.test("trySend: false is not taken, nothing kept; nobody overtakes", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock }))
  t.equal(push.trySend("lost"), false, "no peer")
  const waiting = push.send("first")
  t.equal(push.trySend("second"), false, "others wait")
  const pull = tidy(t, new Pull({ clock }))
  const endpoint = freshName()
  await push.bind(endpoint)
  await clock.until(pull.connect(endpoint))
  await clock.until(waiting)
  t.equal(push.trySend("third"), true)
  t.equal(text(await clock.until(pull.receive())), "first")
  t.equal(text(await clock.until(pull.receive())), "third")
  t.equal(pull.tryReceive(), undefined)
  t.equal(push.stats().sent.count, 2)
})

t.test("when the first in line gives up, those behind it go on", async (t) => {
  const clock = strictClock(t)
  for (const way of ["abort", "timeout"]) {
    const router = tidy(t, new Router({ clock, mandatory: true, sendHighWaterMark: 2 }))
    await router.bind("fake://router")
    const full = fake.connect("router", { room: 200 }).shake("DEALER", { Identity: "full" })
    const free = fake.connect("router").shake("DEALER", { Identity: "free" })
    await clock.settle()
    fill(router, 0, () => ["full", Buffer.alloc(100)])
    const controller = new AbortController()
    if (way === "timeout") router.sendTimeout = 50
    const first = watch(router.send(["full", "x"], { signal: controller.signal }))
    router.sendTimeout = -1
    const second = watch(router.send(["free", "y"]))
    await clock.settle()
    t.strictSame([first.state, second.state], ["pending", "pending"], "in line")
    if (way === "abort") controller.abort(new Error("enough"))
    else await clock.advance(50)
    await clock.settle()
    t.not(first.state, "pending", way)
    t.equal(second.state, "done")
    t.equal(text(free.messages[0]), "y")
    full.hangUp()
    await clock.until(router.close())
  }
})

t.test("Publisher and Router answer true for a counted drop", async (t) => {
  const clock = strictClock(t)

  await t.test("Publisher, unless noDrop", async (t) => {
    const publisher = tidy(t, new Publisher({ clock, sendHighWaterMark: 2 }))
    const drops = events(publisher, "drop")
    await publisher.bind("fake://publisher")
    const subscriber = fake.connect("publisher", { room: 300 }).shake("SUB")
    subscriber.feed(Buffer.from([4, 11, 9]), Buffer.from("SUBSCRIBE"), Buffer.from("a"))
    await clock.settle()
    t.equal(publisher.trySend("nobody wants it"), true)
    t.equal(publisher.stats().dropped.full, undefined, "which is no drop")
    let sent = 0
    while (publisher.stats().dropped.full === undefined && sent++ < 100) {
      t.ok(publisher.trySend(`a${"x".repeat(100)}`))
      await clock.settle()
    }
    t.equal(drops[0]?.reason, "full")
    t.equal(drops[0]?.peer, publisher.peers[0])
    t.strictSame(publisher.stats().dropped.full, { count: 1, bytes: 101 })
    await publisher.send("a and a promise resolves, too")
    t.equal(publisher.stats().dropped.full!.count, 2)

    publisher.noDrop = true
    t.equal(publisher.trySend("a"), false, "with noDrop")
    t.equal(publisher.trySend("b"), true, "nobody who is full wants that")
    const waiting = watch(publisher.send("a waits"))
    await clock.settle()
    t.equal(waiting.state, "pending")
    t.equal(publisher.trySend("b"), false, "and now somebody waits")
    subscriber.open()
    await clock.settle()
    t.equal(waiting.state, "done")
    t.equal(text(subscriber.messages.at(-1)), "a waits")
    t.equal(publisher.stats().dropped.full!.count, 2, "nothing more was dropped")
  })

  await t.test(
    "with noDrop, who waits for a full subscriber goes on when that one leaves or wants it no more",
    async (t) => {
      for (const Class of [Publisher, XPublisher])
        for (const way of ["leaves", "cancels"]) {
          const publisher = tidy(t, new Class({ clock, sendHighWaterMark: 1, noDrop: true }))
          await publisher.bind("fake://no-drop")
          const subscriber = fake.connect("no-drop", { room: 300 }).shake("SUB")
          subscriber.say(Buffer.from("\x01a"))
          await clock.settle()
          fill(publisher, 0, () => `a${"x".repeat(300)}`)
          const waiting = watch(publisher.send("a"))
          await clock.settle()
          t.equal(waiting.state, "pending")
          if (way === "leaves") subscriber.hangUp()
          else subscriber.say(Buffer.from("\x00a"))
          await clock.settle()
          t.equal(waiting.state, "done", `${Class.name}: ${way}`)
          await clock.until(publisher.close())
        }
    },
  )

  await t.test("Router, unless mandatory", async (t) => {
    const router = tidy(t, new Router({ clock, sendHighWaterMark: 2 }))
    await router.bind("fake://a-router")
    const dealer = fake.connect("a-router", { room: 300 }).shake("DEALER", { Identity: "d" })
    await clock.settle()
    t.equal(router.trySend(["stranger", "x"]), true)
    t.strictSame(router.stats().dropped.unroutable, { count: 1, bytes: 9 })
    for (let n = 0; n < 100 && router.stats().dropped.full === undefined; n++) {
      t.ok(router.trySend(["d", Buffer.alloc(100)]))
      await clock.settle()
    }
    t.strictSame(router.stats().dropped.full, { count: 1, bytes: 100 })

    router.mandatory = true
    t.equal(
      thrown(() => router.trySend(["stranger", "x"])),
      "EHOSTUNREACH",
    )
    t.equal(await outcome(router.send(["stranger", "x"])), "EHOSTUNREACH")
    t.equal(router.trySend(["d", "x"]), false)
    const waiting = watch(router.send(["d", "waits"]))
    await clock.settle()
    t.equal(waiting.state, "pending")
    dealer.open()
    await clock.settle()
    t.equal(waiting.state, "done")
    t.equal(text(dealer.messages.at(-1)), "waits")

    const lost = fake.connect("a-router", { room: 300 }).shake("DEALER", { Identity: "lost" })
    await clock.settle()
    fill(router, 0, () => ["lost", Buffer.alloc(200)])
    const inVain = watch(router.send(["lost", "waits"]))
    lost.hangUp()
    await clock.settle()
    t.equal(inVain.state, "EHOSTUNREACH", "who waits for a peer that goes is told")
  })
})

t.test("Reply: receive, then send; anything else rejects EFSM at once", async (t) => {
  const clock = strictClock(t)
  const reply = tidy(t, new Reply({ clock }))
  const request = tidy(t, new Request({ clock }))
  await clock.until(link(reply, request))
  t.equal(await outcome(reply.send("no request")), "EFSM")
  t.equal(
    thrown(() => reply.trySend("no request")),
    "EFSM",
  )
  const receiving = reply.receive()
  t.equal(await outcome(reply.receive()), "EFSM", "one receive at a time")
  t.equal(await outcome(reply.receiveMany(2)), "EFSM")
  t.equal(
    thrown(() => reply.tryReceive()),
    "EFSM",
  )
  t.equal(await outcome(reply.send("still none")), "EFSM")
  await request.send("1")
  t.equal(text(await clock.until(receiving)), "1")
  t.equal(await outcome(reply.receive()), "EFSM", "a reply is owed")
  t.equal(
    thrown(() => reply.tryReceive()),
    "EFSM",
  )
  await t.rejects(reply[Symbol.asyncIterator]().next(), { code: "EFSM" })
  await reply.send("one")
  t.equal(await outcome(reply.send("twice")), "EFSM")
  t.equal(text(await clock.until(request.receive())), "one")

  await t.test("receiveMany takes no second request before the first has its reply", async (t) => {
    const other = tidy(t, new Request({ clock }))
    await clock.until(link(reply, other))
    await Promise.all([request.send("2"), other.send("3")])
    await clock.settle()
    const got = await clock.until(reply.receiveMany(10))
    t.equal(got.length, 1)
    await reply.send(["re", ...got[0]!])
    const more = await clock.until(reply.receiveMany(10))
    await reply.send(["re", ...more[0]!])
    t.equal(text(await clock.until(request.receive())), "re|2")
    t.equal(text(await clock.until(other.receive())), "re|3")
  })
})

t.test("Request: send, then receive; anything else rejects EFSM at once", async (t) => {
  const clock = strictClock(t)
  const reply = tidy(t, new Reply({ clock }))
  const request = tidy(t, new Request({ clock }))
  t.equal(await outcome(request.receive()), "EFSM")
  t.equal(
    thrown(() => request.tryReceive()),
    "EFSM",
  )
  const waiting = request.send("1")
  t.equal(await outcome(request.send("2")), "EFSM", "one waits already")
  t.equal(
    thrown(() => request.trySend("2")),
    "EFSM",
  )
  await clock.until(link(reply, request))
  await clock.until(waiting)
  t.equal(await outcome(request.send("2")), "EFSM", "no reply yet")
  const receiving = request.receive()
  t.equal(await outcome(request.receive()), "EFSM", "one receive at a time")
  await clock.until(reply.receive())
  await reply.send("one")
  t.equal(text(await clock.until(receiving)), "one")
  t.equal(await outcome(request.receive()), "EFSM")
  await request.send("2")
  t.equal(text(await clock.until(reply.receive())), "2")
  await reply.send("two")
  await clock.settle()
  t.equal(text(request.tryReceive()), "two")
  t.equal(
    thrown(() => request.tryReceive()),
    "EFSM",
  )
})

t.test("relaxed: a new request takes the place of the old one", async (t) => {
  const clock = strictClock(t)
  for (const correlate of [true, false]) {
    await t.test(`correlate ${correlate}`, async (t) => {
      const request = tidy(t, new Request({ clock, relaxed: true, correlate }))
      const router = tidy(t, new Router({ clock }))
      const endpoint = freshName()
      await router.bind(endpoint)
      await clock.until(request.connect(endpoint))
      await request.send("old")
      const old = await clock.until(router.receive())
      const receiving = request.receive()
      t.equal(await outcome(request.receive()), "EFSM", "receives are not relaxed")
      await request.send("new")
      await router.send([...old.slice(0, -1), "late"])
      const fresh = await clock.until(router.receive())
      t.equal(text(fresh.slice(-1)), "new")
      await router.send([...fresh.slice(0, -1), "timely"])
      t.equal(text(await clock.until(receiving)), "timely", "the late reply is never taken for the new one's")

      // Both in one turn: the first was encoded and not written.
      await request.send("a")
      await request.send("b")
      const got = await clock.until(router.receive())
      if (!correlate) t.equal(text(got.slice(-1)), "b", "the first is taken back")
      const last = text(got.slice(-1)) === "b" ? got : await clock.until(router.receive())
      t.equal(text(last.slice(-1)), "b")
      await router.send([...last.slice(0, -1), "B"])
      t.equal(text(await clock.until(request.receive())), "B")

      // The first was not even written: its endpoint is away.
      const away = tidy(t, new Request({ clock, relaxed: true, correlate }))
      const place = freshName()
      void away.connect(place)
      await away.send("never asked")
      await away.send("asked")
      await router.bind(place)
      const only = await clock.until(router.receive())
      t.equal(text(only.slice(-1)), "asked")
      await router.send(only)
      t.equal(text(await clock.until(away.receive())), "asked")
      await clock.until(away.close())

      // A reply that waits when the next request is sent is stale.
      await request.send("c")
      const third = await clock.until(router.receive())
      await router.send([...third.slice(0, -1), "C"])
      await until("the reply", () => request.peers[0]?.waiting === 1)
      await request.send("d")
      const fourth = await clock.until(router.receive())
      await router.send([...fourth.slice(0, -1), "D"])
      t.equal(text(await clock.until(request.receive())), "D")
    })
  }
})

t.test("an option of a call that nobody knows is a mistake, and said to be one", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock }))
  const pull = tidy(t, new Pull({ clock }))
  const request = tidy(t, new Request({ clock }))
  const publisher = tidy(t, new Publisher({ clock }))
  const odd = { sginal: undefined } as object
  for (const [what, call] of [
    ["bind", () => push.bind("fake://odd", odd)],
    ["connect", () => push.connect("fake://odd", odd)],
    ["send", () => push.send("x", odd)],
    ["receive", () => pull.receive(odd)],
    ["receiveMany", () => pull.receiveMany(1, odd)],
    ["receiveMany, which has no peer to give", () => pull.receiveMany(1, { withPeer: true } as object)],
    ["request", () => request.request("x", odd)],
    ["ready", () => publisher.ready(odd)],
  ] as const)
    await t.rejects(async () => call(), { code: "EINVAL", message: /has no option (sginal|withPeer)/ }, what)
  t.strictSame([push.lastEndpoint, clock.holds], [null, 0], "nothing has begun")
  const { signal } = new AbortController()
  void outcome(pull.receive({ signal, withPeer: true }))
  void outcome(request.request("x", { signal, timeout: 1, retries: 1, correlate: true }))
  void outcome(publisher.ready({ subscribers: 1, topic: "a", timeout: 1 }))
  t.equal(clock.holds, 3, "these wait")
})

t.test("every code is in the table, and errors keep their cause", async (t) => {
  for (const name of "EAGAIN EFSM EHOSTUNREACH EADDRINUSE EINVAL EBADF ENOENT EPROTONOSUPPORT EMSGSIZE".split(" "))
    t.ok(name in codes, name)
  const sockets =
    "PEER_LOST TIMEOUT VERSION MECHANISM INCOMPATIBLE REFUSED AUTH_FAILED UNAUTHORIZED INSECURE_AUTH INSECURE_FROM_HTTPS FORBIDDEN"
  const mesh = "INVALID_SUBJECT ENCODE DECODE TOO_LARGE NO_RESPONDERS BUSY REMOTE STATE_IN_USE"
  const ours = [...sockets.split(" "), ...mesh.split(" "), "LIMIT"]
  // EFSM is libzmq's own, ENOTFOUND the resolver's.
  const theirs = new Set([...Object.keys(constants.errno), "EFSM", "ENOTFOUND"])
  t.strictSame(
    Object.keys(codes).filter((code) => !theirs.has(code)),
    ours,
    "libzmq's errno names where it has one, ours otherwise",
  )
  const error = new EarshotError("EINVAL", "why", "because")
  t.match(error, { name: "EarshotError", code: "EINVAL", message: "why", cause: "because" })
  t.ok(error instanceof Error)
  t.equal(new EarshotError("EFSM").message, codes.EFSM)
})

t.test("what is no message is refused", async (t) => {
  const push = tidy(t, new Push())
  for (const bad of [undefined, {}, [], true, Symbol("x"), () => {}, [undefined], ["a", {}], [["a"]]]) {
    t.equal(await outcome(push.send(bad as never)), "EINVAL", String(bad as never))
    t.equal(
      thrown(() => push.trySend(bad as never)),
      "EINVAL",
    )
  }
})

t.test("a dial that is given up leaves no link", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock }))
  let given!: (link: FakeLink) => void
  fake.onDial = () => new Promise((resolve) => (given = resolve))
  const connecting = push.connect("fake://slow")
  await clock.settle()
  await clock.until(push.disconnect("fake://slow"))
  t.equal(await outcome(connecting), "ECANCELED")
  const late = new FakeLink("fake://slow")
  given(late)
  await clock.settle()
  t.equal(late.ended, "destroyed")
})
