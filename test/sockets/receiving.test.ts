// SOCKETS.md, "Waiting, refusing, errors": the ways to receive, events, and whose memory a frame is.
import * as fc from "fast-check"
import t from "tap"
import { Dealer, Publisher, Pull, Push, Reply, Request, Router, Subscriber, type PeerInfo } from "../../lib/index.ts"
import type { Core } from "../../lib/core.ts"
import { fake } from "../support/fake.ts"
import { command, wire } from "../support/bytes.ts"
import {
  events,
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

t.test("tryReceive gives what waits, or undefined", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  t.equal(pull.tryReceive(), undefined)
  await link(push, pull)
  await push.send(["a", "", "b"])
  await push.send("c")
  t.equal(pull.tryReceive(), undefined, "not there yet")
  await clock.settle()
  t.equal(text(pull.tryReceive()), "a||b")
  t.equal(text(pull.tryReceive()), "c")
  t.equal(pull.tryReceive(), undefined)
  const receiving = pull.receive()
  await push.send("d")
  await clock.settle()
  t.equal(pull.tryReceive(), undefined, "it went to whoever waits")
  t.equal(text(await receiving), "d")
})

t.test("receiveMany waits for one, then takes what is there", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  await link(push, pull)
  for (const max of [0, -1, 1.5, NaN, "3", undefined])
    t.equal(await outcome(pull.receiveMany(max as number)), "EINVAL", `max ${String(max)}`)
  const many = watch(pull.receiveMany(3))
  await clock.advance(60_000)
  t.equal(many.state, "pending")
  await push.send("0")
  await clock.settle()
  t.equal(many.state, "done", "one is enough")

  const waiting = pull.receiveMany(10)
  for (const n of range(1, 8)) await push.send(n)
  t.strictSame((await clock.until(waiting)).map(text), range(1, 8), "all that came with the first")
  for (const n of range(8, 20)) await push.send(n)
  await clock.settle()
  t.strictSame((await pull.receiveMany(10)).map(text), range(8, 18), "no more than max")
  t.strictSame((await pull.receiveMany(1)).map(text), ["18"])
  t.strictSame((await pull.receiveMany(1000)).map(text), ["19"])
})

t.test("receive({ withPeer: true }) tells who sent it", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  const [a, b] = [tidy(t, new Push({ clock })), tidy(t, new Push({ clock }))]
  await link(pull, a)
  const [peerA] = pull.peers
  await link(pull, b)
  const peerB = pull.peers.find((peer) => peer !== peerA)
  await a.send("from a")
  const first = await clock.until(pull.receive({ withPeer: true }))
  t.equal(first.peer, peerA)
  t.equal(text(first.message), "from a")
  await b.send("from b")
  await clock.settle()
  const second = await pull.receive({ withPeer: true })
  t.equal(second.peer, peerB, "and so for one that waits")
  t.equal(text(second.message), "from b")
  await a.send("plain")
  t.equal(text(await clock.until(pull.receive({ withPeer: false }))), "plain")
})

t.test("onmessage gets each message with its peer, what waits first", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  await link(push, pull)
  t.equal(pull.onmessage, undefined)
  for (const n of range(0, 5)) await push.send(n)
  await clock.settle()
  const got: string[] = []
  const handler = (message: Buffer[], peer: PeerInfo): void => {
    t.equal(peer, pull.peers[0])
    got.push(text(message)!)
  }
  pull.onmessage = handler
  t.equal(pull.onmessage, handler)
  t.strictSame(got, range(0, 5), "at once")
  for (const n of range(5, 10)) await push.send(n)
  await clock.settle()
  t.strictSame(got, range(0, 10))
  pull.onmessage = undefined
  await push.send("10")
  await clock.settle()
  t.strictSame(got, range(0, 10))
  t.equal(text(pull.tryReceive()), "10", "without it, messages wait again")
  t.equal(
    thrown(() => (pull.onmessage = "x" as never)),
    "EINVAL",
  )
})

t.test("onmessage excludes receive and iteration", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  await link(push, pull)
  const receiving = pull.receive()
  t.equal(
    thrown(() => (pull.onmessage = () => {})),
    "EBUSY",
    "beside a pending receive",
  )
  await push.send("x")
  await clock.until(receiving)
  const iterator = pull[Symbol.asyncIterator]()
  pull.onmessage = () => {}
  t.equal(await outcome(pull.receive()), "EBUSY")
  t.equal(await outcome(pull.receive({ withPeer: true })), "EBUSY")
  t.equal(await outcome(pull.receiveMany(3)), "EBUSY")
  t.equal(
    thrown(() => pull.tryReceive()),
    "EBUSY",
  )
  t.equal(await outcome(iterator.next()), "EBUSY")
  pull.onmessage = undefined
  await push.send("y")
  t.equal(text(await clock.until(pull.receive())), "y")
})

t.test("onmessage: its result is not awaited, its throw is told on a stack of its own, after the chunk", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  await pull.bind("fake://onmessage")
  const push = fake.connect("onmessage").shake("PUSH")
  const got: string[] = []
  pull.onmessage = async (message) => {
    got.push(text(message)!)
    await new Promise(() => {})
  }
  push.feed(Buffer.concat([wire("1"), wire("2")]))
  t.strictSame(got, ["1", "2"], "the second doesn't wait for the first")
  const bad = new Error("the user's own")
  pull.onmessage = (message) => {
    got.push(text(message)!)
    if (text(message) === "3" || text(message) === "4") throw bad
  }
  push.feed(Buffer.concat([wire("3"), wire("4"), wire("5")]))
  t.strictSame(got, ["1", "2", "3", "4", "5"], "the whole chunk is dealt with first")
  t.strictSame(clock.thrown, [])
  await clock.settle()
  t.strictSame(clock.thrown, [bad, bad])
  t.equal(push.ended, undefined, "the connection lives")
  push.say("6")
  t.equal(got.at(-1), "6")
})

t.test("what is thrown by onmessage is an uncaught exception", async (t) => {
  const pull = tidy(t, new Pull())
  const push = tidy(t, new Push())
  await link(pull, push)
  const bad = new Error("uncaught")
  const uncaught = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve))
  pull.onmessage = () => {
    throw bad
  }
  await push.send("x")
  t.equal(await within("the exception", uncaught), bad)
  process.setUncaughtExceptionCaptureCallback(null)
  pull.onmessage = undefined
})

t.test("pause() and resume() are onmessage's back pressure: nothing is lost or changes place", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [
    tidy(t, new Push({ clock, sendHighWaterMark: 50 })),
    tidy(t, new Pull({ clock, receiveHighWaterMark: 50 })),
  ]
  await link(push, pull)
  const got: string[] = []
  let pauseAt = 10
  pull.onmessage = (message) => {
    got.push(text(message)!)
    if (got.length === pauseAt) pull.pause()
  }
  const body = Buffer.alloc(20_000)
  let sent = 0
  let blocked = false
  const sending = (async () => {
    for (; sent < 1000; sent++) await push.send([String(sent), body.subarray(0, (sent % 20) * 1000)])
  })()
  await clock.settle()
  t.equal(got.length, 10, "not one more call")
  t.equal(pull.peers[0]!.waiting, 50, "some wait here, up to the mark")
  t.equal(push.peers[0]!.queued, 50, "some there")
  blocked = sent < 1000
  t.ok(blocked, "and the sender waits")
  pauseAt = 500
  pull.resume()
  t.ok(got.length >= 60, "what waits comes at once")
  await clock.settle()
  t.equal(got.length, 500)
  pull.pause()
  pull.pause()
  pauseAt = -1
  pull.resume()
  pull.resume()
  await clock.until(sending)
  await clock.settle()
  t.strictSame(
    got.map((line) => line.split("|")[0]),
    range(0, 1000),
  )

  await t.test("pausing and resuming inside the handler never enters it twice", async (t) => {
    let depth = 0
    const seen: string[] = []
    pull.onmessage = (message) => {
      t.equal(++depth, 1)
      seen.push(text(message)!)
      pull.pause()
      pull.resume()
      depth--
    }
    for (const n of range(0, 20)) await push.send(n)
    await clock.settle()
    t.strictSame(seen, range(0, 20))
  })

  await t.test("a pause holds before there is a handler, and does not concern receive", async (t) => {
    pull.onmessage = undefined
    pull.pause()
    await push.send("a")
    await clock.settle()
    const later: string[] = []
    pull.onmessage = (message) => later.push(text(message)!)
    t.strictSame(later, [])
    pull.resume()
    t.strictSame(later, ["a"])
    pull.onmessage = undefined
    pull.pause()
    await push.send("b")
    t.equal(text(await clock.until(pull.receive())), "b")
    pull.resume()
  })
})

t.test("onmessage on a Reply: one request at a time, answered from inside or later", async (t) => {
  const clock = strictClock(t)
  const reply = tidy(t, new Reply({ clock }))
  const requests = range(0, 5).map(() => tidy(t, new Request({ clock })))
  await link(reply, ...requests)
  let depth = 0
  const asked: string[] = []
  reply.onmessage = (message) => {
    t.equal(++depth, 1, "never entered twice")
    asked.push(text(message)!)
    t.ok(reply.trySend(["re", ...message]))
    depth--
  }
  const answers = requests.map((request, n) => request.request(String(n)))
  t.strictSame(
    (await clock.until(Promise.all(answers))).map(text),
    range(0, 5).map((n) => `re|${n}`),
  )
  t.strictSame([...asked].sort(), range(0, 5))

  // All of them wait before there is a handler.
  reply.onmessage = undefined
  const early = Promise.all(requests.map((request, n) => request.request(String(n))))
  await clock.settle()
  reply.onmessage = (message) => {
    t.equal(++depth, 1, "never entered twice")
    t.ok(reply.trySend(["early", ...message]))
    depth--
  }
  t.equal((await clock.until(early)).length, 5)

  const waiting: (() => void)[] = []
  reply.onmessage = (message) => {
    waiting.push(() => void reply.send(["later", ...message]))
  }
  const more = Promise.all(requests.map((request, n) => request.request(String(n))))
  for (let n = 1; n <= 5; n++) {
    await clock.settle()
    t.equal(waiting.length, n, "the next comes only after the reply")
    waiting[n - 1]!()
  }
  t.strictSame(
    (await clock.until(more)).map(text),
    range(0, 5).map((n) => `later|${n}`),
  )
})

t.test("break leaves the socket open", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  await link(push, pull)
  for (const n of range(0, 4)) await push.send(n)
  await clock.settle()
  const got: (string | undefined)[] = []
  for await (const message of pull) {
    got.push(text(message))
    if (got.length === 2) break
  }
  t.notOk(pull.closed)
  for await (const message of pull) {
    got.push(text(message))
    if (got.length === 4) break
  }
  t.strictSame(got, range(0, 4), "and loses nothing")
  await t.rejects(async () => {
    await push.send("last")
    for await (const _ of pull) throw new Error("out of the loop")
  }, /out of the loop/)
  t.notOk(pull.closed)
  t.equal(clock.holds, 0, "a loop that was left holds nothing")
  t.equal((pull as unknown as { core: Core }).core.watchers.size, 0, "and is not remembered")

  const iterator = pull[Symbol.asyncIterator]()
  t.strictSame(await iterator.return!(), { value: undefined, done: true })
  t.strictSame(await iterator.next(), { value: undefined, done: true }, "one that was ended stays so")
})

t.test("for await ends when the socket is closed, and by receiveTimeout with EAGAIN", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  const looping = (async () => {
    let count = 0
    for await (const _ of pull) count++
    return count
  })()
  await clock.settle()
  t.equal(clock.holds, 2, "iterating and waiting hold the process")
  await pull.close()
  t.equal(await looping, 0)

  const impatient = tidy(t, new Pull({ clock, receiveTimeout: 100 }))
  const failing = outcome(
    (async () => {
      for await (const _ of impatient) t.fail("nothing comes")
    })(),
  )
  await clock.advance(100)
  t.equal(await failing, "EAGAIN")
  t.notOk(impatient.closed)

  const abandoned = tidy(t, new Pull({ clock }))
  abandoned[Symbol.asyncIterator]()
  t.equal(clock.holds, 1)
  await abandoned.close()
  t.equal(clock.holds, 0, "an iterator that nobody calls any more ends with its socket")
})

t.test("socket.events is the only emitter; nothing throws for want of a listener", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock }))
  for (const name of ["on", "once", "off", "addListener", "addEventListener", "emit", "onerror", "observe"])
    t.notOk(name in push, name)
  // Each of these is told by an event, and nobody listens.
  await push.bind("fake://events")
  fake.connect("events").feed(Buffer.from("GET / HTTP/1.1"))
  fake.connect("events").shake("PUSH")
  const peer = fake.connect("events").shake("PULL")
  await clock.settle()
  peer.hangUp(new Error("gone"))
  t.equal(await outcome(push.bind("tcp://256.0.0.1.example.invalid:1")), "ENODEV")
  await clock.settle()
  await push.unbind("fake://events")
  t.strictSame(clock.thrown, [])
})

t.test("events.on, once and off", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock }))
  const log: string[] = []
  const bound = (): void => void log.push("bound")
  const off = push.events.on("bind", ({ address }) => log.push(address))
  push.events.once("bind", () => log.push("once"))
  push.events.on("bind", bound)
  push.events.on("bind", bound)
  await push.bind("fake://one")
  t.strictSame(log, ["fake://one", "once", "bound"])
  off()
  off()
  push.events.off("bind", bound)
  push.events.off("bind", () => {})
  await push.bind("fake://two")
  t.equal(log.length, 3)

  // Who comes or goes in the middle of an event concerns the next one.
  const three: string[] = []
  const offs = ["first", "second"].map((name) =>
    push.events.on("close", () => {
      three.push(name)
      for (const off of offs) off()
      push.events.on("close", () => three.push("third"))
    }),
  )
  await push.unbind("fake://one")
  t.strictSame(three, ["first", "second"])
  await push.unbind("fake://two")
  t.strictSame(three, ["first", "second", "third", "third"])

  // What one listener throws reaches neither the others nor the library.
  const bad = new Error("a listener's own")
  push.events.on("bind", () => {
    throw bad
  })
  push.events.on("bind", () => log.push("the next"))
  await push.bind("fake://three")
  t.equal(log.at(-1), "the next")
  await clock.settle()
  t.strictSame(clock.thrown, [bad])
})

t.test(
  "a listener to an event that there is not, or that can't be called, is a mistake, and said to be one",
  async (t) => {
    const { events } = tidy(t, new Push({ clock: strictClock(t) }))
    const none = (): void => {}
    for (const name of ["message", "Bind", "bind:errors", "", "toString", "__proto__", undefined])
      for (const act of ["on", "once", "off"] as const)
        t.throws(() => events[act](name as never, none), {
          code: "EINVAL",
          message: new RegExp(`^no event ${name}; there are bind, bind:error,`),
        })
    t.throws(() => events.on("bind", undefined as never), { code: "EINVAL" })
    t.throws(() => events.once("bind", {} as never), { code: "EINVAL" })
    // What a socket does not raise but has a name for, as in zeromq.js, is none.
    for (const name of ["close:error", "handshake:error:other", "peer:leave", "end", "drop"] as const)
      events.on(name, none)()
  },
)

t.test("events carry what they say", async (t) => {
  const clock = strictClock(t)
  const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
  const names = [
    "bind",
    "accept",
    "connect",
    "handshake",
    "peer:join",
    "disconnect",
    "peer:leave",
    "close",
    "end",
    "connect:delay",
    "connect:retry",
    "bind:error",
  ] as const
  const log: string[] = []
  for (const [who, socket] of Object.entries({ push, pull }))
    for (const name of names) socket.events.on(name, () => log.push(`${who} ${name}`))
  const joined = events(push, "peer:join")
  const left = events(push, "peer:leave")
  const gone = events(push, "disconnect")
  const endpoint = freshName()
  await push.bind(endpoint)
  await clock.until(pull.connect(endpoint))
  await clock.settle()
  await clock.until(pull.disconnect(endpoint))
  await clock.until(push.unbind(endpoint))
  await clock.until(Promise.all([push.close(), pull.close()]))
  t.strictSame(
    log.filter((line) => line.startsWith("push")),
    [
      "push bind",
      "push accept",
      "push handshake",
      "push peer:join",
      "push disconnect",
      "push peer:leave",
      "push close",
      "push end",
    ],
  )
  t.strictSame(
    log.filter((line) => line.startsWith("pull")),
    [
      "pull connect",
      "pull handshake",
      "pull peer:join",
      "pull disconnect",
      "pull peer:leave",
      "pull close",
      "pull end",
    ],
  )
  t.equal(joined[0]!.peer, left[0]!.peer)
  t.match(gone[0], { error: undefined, unconfirmed: 0, unconfirmedBytes: 0 })

  await t.test("whoever is turned away never joined", async (t) => {
    const push = tidy(t, new Push({ clock }))
    const all = names.map((name) => [name, events(push, name)] as const)
    const [protocol, other] = [events(push, "handshake:error:protocol"), events(push, "handshake:error:other")]
    await push.bind("fake://picky")
    fake.connect("picky").shake("SUB")
    fake.connect("picky").feed(Buffer.from("SSH-2.0-x"))
    fake.connect("picky").hangUp()
    await clock.settle()
    t.strictSame(
      protocol.map(({ error }) => error.code),
      ["INCOMPATIBLE", "EPROTO"],
    )
    t.strictSame(
      other.map(({ error }) => error.code),
      ["ECONNRESET"],
    )
    for (const [name, seen] of all) t.equal(seen.length, name === "bind" ? 1 : name === "accept" ? 3 : 0, name)
  })

  await t.test("auth: the peer refused", async (t) => {
    const push = tidy(t, new Push({ clock }))
    const refused = events(push, "handshake:error:auth")
    await push.bind("fake://refused")
    const peer = fake.connect("refused")
    peer.feed(Buffer.from("ff00000000000000017f03014e554c4c".padEnd(128, "0"), "hex"), command("ERROR", "\x03400"))
    await clock.settle()
    t.equal(refused[0]?.error.code, "REFUSED")
    t.match(refused[0]?.error.message, "400")
  })
})

t.test("frames: given away and shared, never copied without need; conflate copies", async (t) => {
  const clock = strictClock(t)

  await t.test("inproc hands over the sender's own large frame", async (t) => {
    const [push, pull] = [tidy(t, new Push({ clock })), tidy(t, new Pull({ clock }))]
    await link(push, pull)
    const frame = Buffer.alloc(100_000, 7)
    await push.send(frame)
    const [got] = await clock.until(pull.receive())
    t.equal(got!.buffer, frame.buffer, "the same memory: neither side may write to it")
    t.ok(Buffer.isBuffer(got), "a Buffer on Node")
  })

  await t.test("a delivered frame is a view of its chunk; a conflated one is not", async (t) => {
    for (const conflate of [false, true]) {
      const pull = tidy(t, new Pull({ clock, conflate }))
      await pull.bind("fake://views")
      const push = fake.connect("views").shake("PUSH")
      push.feed(Buffer.concat([wire(Buffer.alloc(5000, 1)), wire("old"), wire("new")]))
      const last = conflate ? pull.tryReceive()! : [pull.tryReceive()!, pull.tryReceive()!, pull.tryReceive()!][2]!
      t.equal(text(last), "new")
      t.ok(Buffer.isBuffer(last[0]))
      if (conflate) t.equal(last[0]!.buffer.byteLength, 3, "it pins nothing")
      else t.ok(last[0]!.buffer.byteLength > 5000, "it pins the chunk")
      if (conflate) t.strictSame(pull.stats().dropped.conflated, { count: 2, bytes: 5003 })
      await clock.until(pull.close())
    }
  })

  await t.test("conflate keeps the newest, of each peer and on both sides", async (t) => {
    const [pull, push] = [tidy(t, new Pull({ clock, conflate: true })), tidy(t, new Push({ clock, conflate: true }))]
    const endpoint = freshName()
    void push.connect(endpoint)
    for (const n of range(0, 5)) t.ok(push.trySend(n))
    t.equal(push.stats().dropped.conflated?.count, 4)
    await pull.bind(endpoint)
    await until("the message", () => pull.peers[0]?.waiting === 1)
    for (const n of range(5, 10)) await push.send(n)
    await clock.settle()
    t.equal(pull.peers[0]!.waiting, 1)
    t.equal(text(await pull.receive()), "9")
    t.equal(pull.tryReceive(), undefined)
    await push.send("10")
    t.equal(text(await clock.until(pull.receive())), "10")
  })

  await t.test("with noDrop, a conflating publisher is never full", async (t) => {
    const publisher = tidy(t, new Publisher({ clock, conflate: true, noDrop: true, sendHighWaterMark: 1 }))
    await publisher.bind("fake://conflating")
    const subscriber = fake.connect("conflating", { room: 300 }).shake("SUB")
    subscriber.say(Buffer.from("\x01"))
    await clock.settle()
    for (let n = 0; n < 50; n++) t.ok(publisher.trySend(`${n} ${"x".repeat(100)}`))
    await clock.settle()
    t.ok(publisher.trySend("last"))
    subscriber.open()
    await clock.settle()
    t.equal(text(subscriber.messages.at(-1)), "last")
    t.equal(publisher.stats().dropped.full, undefined)
  })
})

t.test("a Router's and a Dealer's messages come with all their frames, empty ones too", async (t) => {
  const clock = strictClock(t)
  const [router, dealer] = [tidy(t, new Router({ clock })), tidy(t, new Dealer({ clock, routingId: "d" }))]
  await link(router, dealer)
  await dealer.send(["", "a", ""])
  t.equal(text(await clock.until(router.receive())), "d||a|")
  await router.send(["d", null, 5, new Uint16Array([0x4142]), new TextEncoder().encode("x").buffer])
  t.equal(text(await clock.until(dealer.receive())), "|5|BA|x")
})

t.test("a listener of a drop may send: the send it interrupts reaches everybody", async (t) => {
  const clock = strictClock(t)
  const publisher = tidy(t, new Publisher({ clock, sendHighWaterMark: 1 }))
  await publisher.bind("fake://nested")
  const full = fake.connect("nested", { room: 300 }).shake("SUB")
  const others = range(0, 3).map(() => tidy(t, new Subscriber({ clock })))
  const endpoint = freshName()
  await publisher.bind(endpoint)
  full.say(Buffer.from("\x01a"))
  for (const other of others) {
    await clock.until(other.connect(endpoint))
    await clock.until(other.subscribe("a", "warning"))
  }
  publisher.events.on("drop", () => publisher.trySend("warning"))
  for (let n = 0; n < 10; n++) {
    publisher.trySend(`a${n}${"x".repeat(300)}`)
    await clock.settle()
  }
  for (const other of others) {
    const got = (await other.receiveMany(100)).map((message) => text(message)!.slice(0, 2))
    t.strictSame(
      got.filter((line) => line.startsWith("a")),
      range(0, 10).map((n) => `a${n}`),
    )
    t.ok(got.includes("wa"))
  }
})

t.test("however messages are received, each comes once and in order", async (t) => {
  const ways = [
    "send",
    "sendMany",
    "receive",
    "aborted",
    "tryReceive",
    "receiveMany",
    "onmessage",
    "noHandler",
    "pause",
    "resume",
    "iterate",
    "settle",
  ] as const
  const step = fc.record({ way: fc.constantFrom(...ways), size: fc.nat(12) })
  const marks = fc.record({ messages: fc.integer({ min: 1, max: 8 }), bytes: fc.constantFrom(0, 40, 4000) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), marks, marks, async (steps, mine, theirs) => {
      const clock = strictClock(t)
      const push = new Push({ clock, sendHighWaterMark: theirs.messages, sendHighWaterMarkBytes: theirs.bytes })
      const pull = new Pull({ clock, receiveHighWaterMark: mine.messages, receiveHighWaterMarkBytes: mine.bytes })
      await link(push, pull)
      // What each call got, in the order of the calls.
      const slots: number[][] = []
      const slot = (): ((message: Buffer[] | undefined) => void) => {
        const got: number[] = []
        slots.push(got)
        return (message) => {
          if (message !== undefined) got.push(Number(message[0]))
        }
      }
      const unlessAborted = (error: Error): void => {
        if (error.message !== "aborted") throw error
      }
      const pending: Promise<unknown>[] = []
      let sent = 0
      let waiting = 0
      for (const { way, size } of steps) {
        if (way === "send" || way === "sendMany")
          for (let n = way === "send" ? size : size * 5; n > 0; n--)
            pending.push(push.send([String(sent++), Buffer.alloc(size * 3)]))
        else if (way === "settle") await clock.settle()
        else if (way === "pause") pull.pause()
        else if (way === "resume") pull.resume()
        else if (way === "noHandler") pull.onmessage = undefined
        else if (way === "onmessage") {
          const take = slot()
          if (waiting === 0) pull.onmessage = (message) => (take(message), Number(message[0]) % 7 === 0 && pull.pause())
        } else if (pull.onmessage !== undefined) continue
        else if (way === "tryReceive") slot()(waiting > 0 ? undefined : pull.tryReceive())
        else {
          const take = slot()
          const controller = new AbortController()
          const { signal } = controller
          waiting++
          const done = (): void => void waiting--
          const receiving =
            way === "iterate"
              ? pull[Symbol.asyncIterator]()
                  .next()
                  .then(({ value }) => take(value))
              : way === "receiveMany"
                ? pull.receiveMany(size + 1, { signal }).then((messages) => messages.forEach(take))
                : pull.receive({ signal }).then(take)
          pending.push(receiving.catch(unlessAborted).finally(done))
          if (way === "aborted") controller.abort(new Error("aborted"))
        }
      }
      // The rest comes to a handler, once those who wait have theirs.
      for (let n = 0; n < 10_000 && waiting > 0; n++) {
        if (push.stats().sent.count === sent) pending.push(push.send([String(sent++)]))
        await clock.settle()
      }
      pull.onmessage = slot()
      pull.resume()
      await clock.until(Promise.all(pending))
      await clock.settle()
      const sorted = (numbers: number[]): boolean => numbers.every((n, i) => i === 0 || numbers[i - 1]! < n)
      const firsts = slots.filter((got) => got.length > 0).map(([first]) => first!)
      const all = slots.flat().toSorted((a, b) => a - b)
      if (!sorted(firsts) || !slots.every(sorted)) throw new Error(`out of order: ${JSON.stringify(slots)}`)
      if (all.length !== sent || all.some((n, i) => n !== i)) throw new Error(`not each once: ${JSON.stringify(all)}`)
      await Promise.all([push.close(), pull.close()])
      await clock.settle()
      if (clock.holds !== 0) throw new Error(`held ${clock.holds} times`)
    }),
    { numRuns: 150 },
  )
  t.pass("150 histories")
})
