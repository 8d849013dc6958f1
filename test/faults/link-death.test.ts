// When a link dies (SOCKETS.md): what becomes of every message, by links whose other end is the test.
import t, { type Test } from "tap"
import { Dealer, EarshotError, Pair, Publisher, Pull, Push, Request, Router, type PeerInfo } from "../../lib/index.ts"
import { command, wire } from "../support/bytes.ts"
import { fake, FakeLink, type FakeOptions } from "../support/fake.ts"
import { events, fill, outcome, range, strictClock, text, tidy, watch } from "../support/sockets.ts"

/** Every link that sockets have dialled, by name, in order. */
const dialled = new Map<string, FakeLink[]>()
/** What to do with a new one; by default it shakes hands as the partner of the socket under test. */
const hosts = new Map<string, (link: FakeLink) => void>()
fake.onDial = (name) => {
  const link = new FakeLink(`fake://${name}`)
  const links = dialled.get(name)
  if (links === undefined) dialled.set(name, [link])
  else links.push(link)
  setImmediate(() => hosts.get(name)?.(link))
  return link
}

let names = 0
/** A name to dial where a peer of this type answers. */
function host(type: string, properties: Record<string, string> = {}): string {
  const name = `host-${++names}`
  hosts.set(name, (link) => link.shake(type, properties))
  return name
}

function lastLink(name: string): FakeLink {
  return dialled.get(name)!.at(-1)!
}

const said = (link: FakeLink): (string | undefined)[] => link.messages.map((message) => text(message))

const senders = [
  { name: "PUSH", make: Push, peer: "PULL" },
  { name: "DEALER", make: Dealer, peer: "ROUTER" },
  { name: "PAIR", make: Pair, peer: "PAIR" },
] as const

t.test("connecting side: what was not written stays with its endpoint, in order", async (t) => {
  for (const { name, make, peer } of senders)
    await t.test(name, async (t) => {
      const clock = strictClock(t)
      const socket = tidy(t, new make({ clock }))
      const disconnects = events(socket, "disconnect")
      const endpoint = host(peer)
      void socket.connect(`fake://${endpoint}`)
      await clock.settle()
      const first = lastLink(endpoint)
      for (const n of [0, 1, 2]) await socket.send(String(n))
      await clock.settle()
      t.strictSame(said(first), ["0", "1", "2"])

      // 3 and 4 are written in one go, 5 of their 6 bytes are taken; 5 and 6 wait un-encoded.
      first.limit(5)
      await socket.send("3")
      await socket.send("4")
      await clock.settle()
      await socket.send("5")
      await socket.send("6")
      await clock.settle()
      t.match(socket.peers, [{ queued: 2, queuedBytes: 2, unconfirmed: 1 }])
      first.cut(new EarshotError("ECONNRESET"))
      t.match(disconnects, [{ unconfirmed: 2, unconfirmedBytes: 6, error: { code: "ECONNRESET" } }])
      t.strictSame(socket.stats().unconfirmed, { count: 2, bytes: 6 })
      await clock.advance(300)
      const second = lastLink(endpoint)
      t.not(second, first)
      t.strictSame(said(second), ["5", "6"], "what was written is not sent again")
      t.strictSame(said(first), ["0", "1", "2", "3"])

      // 7 and 8 are encoded and not written; 9 is sent while nobody is there.
      t.ok(socket.trySend("7") && socket.trySend("8"))
      second.cut()
      t.ok(socket.trySend("9"))
      t.ok(clock.holds > 0, "unsent messages keep the process alive")
      t.match(disconnects, { 1: { unconfirmed: 0, unconfirmedBytes: 0, error: undefined } })
      await clock.advance(300)
      t.strictSame(said(lastLink(endpoint)), ["7", "8", "9"])
      const stats = socket.stats()
      t.equal(stats.sent.count, 10, "each counted once, though encoded twice")
      t.equal(stats.sent.bytes, 10)
      t.strictSame(stats.unconfirmed, { count: 2, bytes: 6 })
      t.strictSame(stats.dropped, {})
    })
})

t.test("bound side: what was not written goes to another peer", async (t) => {
  for (const { name, make, peer } of senders.slice(0, 2))
    await t.test(name, async (t) => {
      const clock = strictClock(t)
      const socket = tidy(t, new make({ clock }))
      const disconnects = events(socket, "disconnect")
      const address = `bound-${++names}`
      await socket.bind(`fake://${address}`)
      const join = (): FakeLink => fake.connect(address).shake(peer)
      const [a, b] = [join(), join()]
      a.limit(0)
      // Encoded, all within one turn: every other one for each.
      for (let n = 0; n < 10; n++) t.ok(socket.trySend(String(n)))
      a.cut()
      await clock.settle()
      t.strictSame(new Set(said(b)), new Set(range(0, 10)))
      t.equal(b.messages.length, 10)
      t.match(disconnects, [{ unconfirmed: 0 }])

      const c = join()
      await clock.settle()
      c.limit(0)
      for (let n = 0; n < 4; n++) t.ok(socket.trySend(`w${n}`))
      await clock.settle()
      for (let n = 0; n < 6; n++) t.ok(socket.trySend(`q${n}`))
      t.match(socket.peers, [{ queued: 0 }, { queued: 3 }])
      b.messages.length = 0
      c.cut()
      await clock.settle()
      t.match(disconnects, { 1: { unconfirmed: 2, unconfirmedBytes: 8 } }, "two of the first four were written")
      t.strictSame(new Set(said(b)), new Set(["q0", "q1", "q2", "q3", "q4", "q5"]))
      t.equal(b.messages.length, 6)
      t.strictSame(socket.stats().unconfirmed, { count: 2, bytes: 8 }, "also of peers that are gone")

      b.limit(0)
      t.ok(socket.trySend("written"))
      await clock.settle()
      for (const word of ["x", "y", "z"]) t.ok(socket.trySend(word))
      b.cut()
      t.equal(socket.peers.length, 0)
      t.notOk(socket.trySend("nobody there"), "nobody overtakes what waits")
      t.equal(clock.holds, 1, "and that keeps the process alive")
      const later = socket.send("later")
      const d = join()
      await later
      await clock.settle()
      t.strictSame(said(d), ["x", "y", "z", "later"])
      t.strictSame(socket.stats().dropped, {})
      t.equal(clock.holds, 0)
    })
})

t.test("with immediate: what was not written waits for whoever is connected next", async (t) => {
  for (const { name, make, peer } of senders)
    await t.test(name, async (t) => {
      const clock = strictClock(t)
      const socket = tidy(t, new make({ clock, immediate: true }))
      const [one, two] = [host(peer), host(peer)]
      void socket.connect(`fake://${one}`)
      await clock.settle()
      t.ok(socket.trySend("a") && socket.trySend("b"))
      lastLink(one).cut()
      t.notOk(socket.trySend("nobody is connected"))
      t.ok(clock.holds > 0)
      if (name !== "PAIR") {
        void socket.connect(`fake://${two}`)
        await clock.settle()
        t.strictSame(said(lastLink(two)), ["a", "b"])
      }
      await clock.advance(300)
      const back = lastLink(one)
      t.equal(dialled.get(one)!.length, 2)
      if (name === "PAIR") t.strictSame(said(back), ["a", "b"])
      else t.strictSame(said(back), [])
      t.strictSame([socket.stats().unconfirmed, socket.stats().dropped], [{ count: 0, bytes: 0 }, {}])
    })
})

t.test("PAIR, bound: its next peer gets what the last one was not given", async (t) => {
  const clock = strictClock(t)
  const pair = tidy(t, new Pair({ clock }))
  await pair.bind("fake://bound-pair")
  const a = fake.connect("bound-pair").shake("PAIR")
  t.ok(pair.trySend("1") && pair.trySend("2"))
  a.cut()
  const b = fake.connect("bound-pair").shake("PAIR")
  t.ok(pair.trySend("3"))
  await clock.settle()
  t.strictSame(said(b), ["1", "2", "3"])
})

t.test("REQ: a question that was not written is asked of somebody else, one that was is lost", async (t) => {
  const answer = (link: FakeLink, word: string): void => {
    const question = link.messages.shift()!
    link.say(...question.slice(0, question.findIndex((frame) => frame.length === 0) + 1), word)
  }
  for (const correlate of [false, true])
    await t.test(`send and receive, correlate ${correlate}`, async (t) => {
      const clock = strictClock(t)
      const request = tidy(t, new Request({ clock, correlate }))
      const address = `bound-${++names}`
      await request.bind(`fake://${address}`)
      const join = (): FakeLink => fake.connect(address).shake("REP")
      const a = join()
      await request.send("first")
      a.cut()
      const reply = request.receive()
      await clock.settle()
      t.equal(watch(reply).state, "pending", "nobody was asked yet")
      const b = join()
      await clock.settle()
      answer(b, "yes")
      t.equal(text(await reply), "yes")

      // The same with somebody else there.
      const c = join()
      await request.send("second")
      const asked = c.messages.length
      c.cut()
      await clock.settle()
      t.equal(asked, 0)
      t.equal(b.messages.length, 1)
      answer(b, "of course")
      t.equal(text(await request.receive()), "of course")

      b.limit(0)
      await request.send("third")
      await clock.settle()
      b.cut()
      t.equal(await outcome(request.receive()), "PEER_LOST")
      t.strictSame(request.stats().unconfirmed.count, 1)
      const d = join()
      await request.send("fourth")
      await clock.settle()
      answer(d, "good")
      t.equal(text(await request.receive()), "good")
    })

  await t.test("request()", async (t) => {
    const clock = strictClock(t)
    const request = tidy(t, new Request({ clock }))
    await request.bind("fake://bound-requests")
    const join = (): FakeLink => fake.connect("bound-requests").shake("REP")
    const a = join()
    const unwritten = request.request("unwritten")
    a.cut()
    const b = join()
    await clock.settle()
    answer(b, "asked of the next")
    t.equal(text(await unwritten), "asked of the next", "without a retry")

    const [lost, retried] = [request.request("lost"), request.request("retried", { retries: 1 })]
    await clock.settle()
    t.equal(b.messages.length, 2)
    const c = join()
    b.cut()
    t.equal(await outcome(lost), "PEER_LOST")
    await clock.settle()
    answer(c, "second try")
    t.equal(text(await retried), "second try")
  })

  await t.test("connecting: a question stays with its endpoint", async (t) => {
    const clock = strictClock(t)
    const request = tidy(t, new Request({ clock }))
    const endpoint = host("REP")
    void request.connect(`fake://${endpoint}`)
    await clock.settle()
    await request.send("q")
    const first = lastLink(endpoint)
    first.cut()
    const reply = request.receive()
    await clock.advance(300)
    const second = lastLink(endpoint)
    t.strictSame([said(first), said(second)], [[], ["|q"]])
    answer(second, "a")
    t.equal(text(await reply), "a")
  })
})

t.test("at most 256 KiB, or one message, is unconfirmed; behind that messages wait un-encoded", async (t) => {
  const clock = strictClock(t)
  const KIB = 1024
  for (const size of [100, 1000, 4096, 5000, 10_000, 60_000, 65_536, 200_000, 300_000, 1_000_000])
    for (const [small, before] of [
      [0, 0],
      [50, 1000],
    ] as const) {
      const push = new Push({ clock, sendHighWaterMark: 0, sendHighWaterMarkBytes: 0 })
      await push.bind(`fake://bound-${++names}`)
      const link = fake.connect(`bound-${names}`).shake("PULL")
      await clock.settle()
      link.limit(0)
      for (let n = 0; n < small; n++) push.trySend(Buffer.alloc(before))
      for (let n = 0; n < 20; n++) push.trySend(Buffer.alloc(size))
      await clock.settle()
      const [peer] = push.peers as [PeerInfo]
      const disconnects = events(push, "disconnect")
      const { unconfirmed } = peer
      link.cut()
      const [gone] = disconnects as [(typeof disconnects)[0]]
      t.ok(
        gone.unconfirmedBytes <= 256 * KIB || gone.unconfirmed === 1,
        `${gone.unconfirmed} messages of ${size} and ${before} bytes, ${gone.unconfirmedBytes} bytes`,
      )
      t.equal(gone.unconfirmedBytes, unconfirmed)
      t.ok(gone.unconfirmed > 0)
      push.linger = 0
      await push.close()
      t.equal(push.stats().dropped.linger?.count ?? 0, small + 20 - gone.unconfirmed)
    }
})

t.test(
  "drop events: the first at once, then at most every 100 ms for each peer and reason; exact in sum",
  async (t) => {
    const clock = strictClock(t)
    const publisher = tidy(t, new Publisher({ clock, sendHighWaterMark: 10 }))
    await publisher.bind("fake://drops")
    const drops: { at: number; count: number; bytes: number; remote: string | undefined; reason: string }[] = []
    publisher.events.on("drop", ({ reason, peer, count, bytes }) =>
      drops.push({ at: clock.now(), reason, count, bytes, remote: peer?.address }),
    )
    const join = (options?: FakeOptions): FakeLink => {
      const link = fake.connect("drops", options).shake("SUB")
      link.feed(command("SUBSCRIBE"))
      return link
    }
    const [a, b] = [join(), join()]
    a.limit(0)
    b.limit(0)
    const start = clock.now()
    // The first is written, the next ten wait, the eleventh is dropped; for each of the two.
    t.ok(publisher.trySend("x"))
    await clock.settle()
    for (let n = 0; n < 11; n++) t.ok(publisher.trySend("x"), "true for a counted drop")
    t.match(drops, [
      { at: start, count: 1, bytes: 1, reason: "full", remote: a.remote },
      { at: start, count: 1, bytes: 1, reason: "full", remote: b.remote },
    ])
    for (let n = 0; n < 1000; n++) {
      publisher.trySend("yy")
      await clock.advance(1)
    }
    await clock.advance(1000)
    for (const link of [a, b]) {
      const own = drops.filter(({ remote }) => remote === link.remote)
      const gaps = own.slice(1).map(({ at }, i) => at - own[i]!.at)
      t.ok(
        gaps.every((gap) => gap >= 100),
        `gaps of ${Math.min(...gaps)} ms and more`,
      )
      t.ok(own.length >= 10, `${own.length} events`)
      t.equal(
        own.reduce((sum, { count }) => sum + count, 0),
        1001,
      )
      t.equal(
        own.reduce((sum, { bytes }) => sum + bytes, 0),
        2001,
      )
    }
    t.strictSame(publisher.stats().dropped, { full: { count: 2002, bytes: 4002 } })
    t.match(publisher.stats().peers, [{ dropped: { full: { count: 1001, bytes: 2001 } } }, {}])

    // What was not told is told before close() resolves.
    publisher.trySend("z")
    publisher.trySend("z")
    publisher.linger = 0
    const told = drops.length
    await publisher.close()
    const sums: Record<string, number> = {}
    for (const { reason, count } of drops) sums[reason] = (sums[reason] ?? 0) + count
    t.strictSame(sums, { full: 2006, linger: 20 })
    t.ok(drops.length > told)
    t.strictSame(publisher.stats().dropped, { full: { count: 2006, bytes: 4006 }, linger: { count: 20, bytes: 20 } })
  },
)

t.test("what a lost peer left, at the end", async (t) => {
  await t.test("nobody is left: dropped, counted and told before close() resolves", async (t) => {
    const clock = strictClock(t)
    const push = new Push({ clock })
    await push.bind("fake://left")
    const a = fake.connect("left").shake("PULL")
    for (const word of ["one", "two", "three"]) t.ok(push.trySend(word))
    a.cut()
    const drops = events(push, "drop")
    await push.close()
    t.equal(
      drops.reduce((sum, { count }) => sum + count, 0),
      3,
    )
    t.strictSame(push.stats().dropped, { linger: { count: 3, bytes: 11 } })
  })

  await t.test("a peer is left that was full: it gets them while close() lingers", async (t) => {
    const clock = strictClock(t)
    const push = new Push({ clock, sendHighWaterMark: 3 })
    await push.bind("fake://left-to")
    const [a, b] = [fake.connect("left-to").shake("PULL"), fake.connect("left-to").shake("PULL")]
    a.limit(0)
    b.limit(0)
    const taken = fill(push)
    await clock.settle()
    const more = fill(push, taken)
    a.cut()
    const lost = push.stats().unconfirmed.count
    t.ok(lost > 0 && more > lost)
    const closed = push.close()
    b.open()
    await closed
    t.equal(b.messages.length, more - lost)
    t.strictSame(push.stats().dropped, {})
  })
})

t.test("reconnect goes on after a protocol error, slowly, with an event each time", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock, reconnectInterval: 10 }))
  const attempts: number[] = []
  const kinds: Record<string, (link: FakeLink) => void> = {
    "no ZMTP at all": (link) => link.feed(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")),
    "another socket type": (link) => link.shake("PUB"),
    "a bad frame in traffic": (link) => {
      link.shake("PULL")
      link.feed(Buffer.from([0x08, 0]))
    },
  }
  const bad = events(push, "handshake:error:protocol")
  const disconnects = events(push, "disconnect")
  const retries = events(push, "connect:retry")
  for (const [what, act] of Object.entries(kinds)) {
    const name = `rude-${++names}`
    attempts.length = bad.length = disconnects.length = retries.length = 0
    hosts.set(name, (link) => {
      attempts.push(clock.now())
      act(link)
    })
    void push.connect(`fake://${name}`)
    await clock.advance(200_000)
    const gaps = attempts.slice(1).map((at, i) => at - attempts[i]!)
    t.ok(Math.min(...gaps) >= 5000, `${what}: again after ${gaps.map(Math.round).join(", ")} ms`)
    t.ok(Math.max(...gaps) <= 80_000)
    t.ok(attempts.length >= 5, "it never gives up")
    t.equal(bad.length + disconnects.length, attempts.length, "an event each time")
    t.equal(retries.length, attempts.length)
    t.match(
      retries,
      gaps.map((gap) => ({ address: `fake://${name}`, interval: Math.round(gap) })),
    )
    await push.disconnect(`fake://${name}`)
  }
  t.test("other ends: at the usual pace, from 1 to 2 intervals", async (t) => {
    const name = `hasty-${++names}`
    attempts.length = 0
    hosts.set(name, (link) => {
      attempts.push(clock.now())
      link.shake("PULL")
      link.hangUp()
    })
    void push.connect(`fake://${name}`)
    await clock.advance(1000)
    const gaps = attempts.slice(1).map((at, i) => at - attempts[i]!)
    t.ok(gaps.length > 30 && gaps.every((gap) => gap >= 10 && gap <= 20))
  })
})

t.test("REP and ROUTER: what is for a peer that is gone is for nobody else", async (t: Test) => {
  const clock = strictClock(t)
  const router = tidy(t, new Router({ clock, mandatory: true }))
  await router.bind("fake://router")
  const a = fake.connect("router").shake("DEALER", { Identity: "a" })
  const b = fake.connect("router").shake("DEALER", { Identity: "b" })
  t.ok(router.trySend(["a", "unwritten"]))
  a.cut()
  await clock.settle()
  t.strictSame([said(a), said(b)], [[], []])
  t.strictSame(router.stats().dropped, { disconnected: { count: 1, bytes: 9 } })
  t.equal(await outcome(router.send(["a", "gone"])), "EHOSTUNREACH")
  const again = fake.connect("router").shake("DEALER", { Identity: "a" })
  t.ok(router.trySend(["a", "new"]))
  await clock.settle()
  t.strictSame(said(again), ["new"])
})

t.test("what came before the end is received, however full the inbox is", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock, receiveHighWaterMark: 2 }))
  await pull.bind("fake://full")
  const link = fake.connect("full").shake("PUSH")
  // One chunk stops in the middle, the next is held.
  link.feed(
    wire("0"),
    Buffer.concat(range(1, 50).map((n) => wire(n))),
    Buffer.concat(range(50, 60).map((n) => wire(n))),
  )
  t.ok(link.paused)
  t.match(pull.peers, [{ waiting: 2 }])
  link.cut(new EarshotError("ECONNRESET"))
  t.equal(pull.peers.length, 0)
  const got: string[] = []
  for (let message = pull.tryReceive(); message !== undefined; message = pull.tryReceive()) got.push(text(message)!)
  t.strictSame(got, range(0, 60))
  t.equal(pull.stats().received.count, 60)
})
