// SOCKETS.md, "Alive or not", as users see it: which peers are asked, which are given up and when, and what that costs.
import t, { type Test } from "tap"
import { Dealer, Pull, Push, type SocketOptions } from "../../lib/index.ts"
import type { TransportOptions } from "../../lib/contract.ts"
import { transports } from "../../lib/defaults.ts"
import { bytes, command, greeting, hexOf, ready, wire } from "../support/bytes.ts"
import { fake, FakeLink } from "../support/fake.ts"
import { events, link as join, outcome, strictClock, text, tidy } from "../support/sockets.ts"
import type { VirtualClock } from "../support/virtual-clock.ts"

const OURS = { "X-Earshot": "1" }
let names = 0

/** A bound PULL and one PUSH peer, which the test plays. */
async function pulling(t: Test, peer: object, options: Partial<SocketOptions> = {}, minor = 1) {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ ...options, clock }))
  const disconnects = events(pull, "disconnect")
  const name = `alive-${++names}`
  await pull.bind(`fake://${name}`)
  const link = fake.connect(name).shake("PUSH", peer as Record<string, string>, minor)
  await clock.settle()
  return { clock, pull, link, disconnects }
}

/** Moves time on until the link is given up; returns after how long, or undefined when it was not within `limit`. */
async function givenUp(clock: VirtualClock, link: FakeLink, limit: number, step = 100): Promise<number | undefined> {
  const start = clock.now()
  while (clock.now() - start < limit) {
    if (link.ended !== undefined) return clock.now() - start
    await clock.advance(step)
  }
  return undefined
}

t.test("between Earshot sockets: a PING every 10 s, 30 s of silence end the link", async (t) => {
  await t.test("silent", async (t) => {
    const { clock, link, disconnects } = await pulling(t, OURS)
    link.polite = false
    t.equal(await givenUp(clock, link, 60_000), 30_000)
    t.strictSame(link.named("PING").map(hexOf), ["0000", "0000", "0000"].slice(0, link.named("PING").length))
    t.ok(link.named("PING").length >= 2)
    t.match(disconnects, [{ error: { code: "ETIMEDOUT" } }])
  })

  await t.test("answering", async (t) => {
    const { clock, link } = await pulling(t, OURS)
    await clock.advance(3_600_000)
    t.equal(link.ended, undefined)
    t.equal(link.named("PING").length, 360)
  })

  await t.test("the connecting side dials again", async (t) => {
    const clock = strictClock(t)
    const push = tidy(t, new Push({ clock }))
    const links: FakeLink[] = []
    fake.onDial = () => {
      const link = new FakeLink("fake://silent")
      link.polite = false
      links.push(link)
      setImmediate(() => link.shake("PULL", OURS))
      return link
    }
    await clock.until(push.connect("fake://silent"))
    await clock.advance(31_000)
    t.equal(links.length, 2)
    t.equal(links[0]!.ended, "destroyed")
    t.equal(push.peers.length, 1)
  })
})

t.test("towards any other peer: no PING and no verdict, unless the user set something", async (t) => {
  for (const [what, peer, options, minor] of [
    ["libzmq", {}, {}, 1],
    ["ZMTP 3.0", {}, {}, 0],
    ["the user wants none", OURS, { heartbeatInterval: 0 }, 1],
  ] as const) {
    const { clock, link, pull } = await pulling(t, peer, options, minor)
    link.polite = false
    t.equal(await givenUp(clock, link, 36_000_000, 60_000), undefined, what)
    t.strictSame(link.named("PING"), [])
    t.equal(pull.peers.length, 1)
  }
  for (const [options, pings, end] of [
    [{ heartbeatInterval: 2000 }, 2000, 4000],
    [{ heartbeatInterval: 2000, heartbeatTimeout: 6000 }, 2000, 6000],
    [{ heartbeatInterval: 5000, heartbeatTimeout: 1000 }, 5000, 6000],
    [{ heartbeatTimeout: 4000 }, 10_000, 14_000],
    [{ heartbeatTimeout: 25_000 }, 10_000, 25_000],
    [{ heartbeatInterval: 2000, heartbeatTimeout: 0 }, 2000, undefined],
  ] as const)
    for (const peer of [{}, OURS]) {
      const { clock, link } = await pulling(t, peer, options)
      link.polite = false
      const start = clock.now()
      let first: number | undefined
      let ended: number | undefined
      while (clock.now() - start < 60_000 && ended === undefined) {
        await clock.advance(100)
        if (link.named("PING").length > 0) first ??= clock.now() - start
        if (link.ended !== undefined) ended = clock.now() - start
      }
      t.strictSame([first, ended], [pings, end], JSON.stringify(options))
    }
})

t.test("heartbeatTimeToLive: 0 unless set, sent in tenths of a second, never over 655", async (t) => {
  for (const [heartbeatTimeToLive, sent] of [
    [undefined, "0000"],
    [0, "0000"],
    [99, "0000"],
    [2550, "0019"],
    [65_500, "028f"],
    [65_600, "028f"],
    [6_553_500, "028f"],
    [10_000_000, "028f"],
  ] as const) {
    const options = heartbeatTimeToLive === undefined ? {} : { heartbeatTimeToLive }
    const { clock, link } = await pulling(t, OURS, options)
    await clock.advance(10_000)
    t.strictSame(link.named("PING").map(hexOf), [sent], String(heartbeatTimeToLive))
  }
})

t.test("a peer's time-to-live is honoured, whoever it is", async (t) => {
  for (const peer of [{}, OURS]) {
    const { clock, link, disconnects } = await pulling(t, peer)
    link.polite = false
    link.feed(command("PING", bytes("00 14")))
    for (let i = 0; i < 5; i++) {
      await clock.advance(1900)
      link.say("alive")
    }
    t.equal(link.ended, undefined)
    t.equal(await givenUp(clock, link, 60_000), 2000)
    t.match(disconnects, [{ error: { code: "ETIMEDOUT" } }])
  }
})

t.test("any byte is life, but a frame in progress must bring 1 KiB per timeout", async (t) => {
  // One frame of 60 KB, in pieces of so many bytes every second.
  const frame = wire(Buffer.alloc(60_000))
  for (const [piece, survives] of [
    [1, false],
    [30, false],
    [40, true],
    [2000, true],
  ] as const) {
    const { clock, link, pull } = await pulling(t, OURS)
    link.polite = false
    const start = clock.now()
    for (let at = 0; at < frame.length && link.ended === undefined && clock.now() - start < 300_000; at += piece) {
      link.feed(frame.subarray(at, at + piece))
      await clock.advance(1000)
    }
    const seconds = (clock.now() - start) / 1000
    t.equal(link.ended === undefined, survives, `${piece} bytes a second: ${seconds} s`)
    if (!survives) t.ok(seconds <= 60, "a peer that sends a byte a second is found within the bound")
    if (piece === 2000) t.equal((await pull.receive())[0]!.length, 60_000)
  }
  // Small frames that come whole: no byte too few.
  const { clock, link } = await pulling(t, OURS)
  link.polite = false
  for (let second = 0; second < 300; second++) {
    if (second % 10 === 0) link.say("")
    await clock.advance(1000)
  }
  t.equal(link.ended, undefined)
})

t.test("in the handshake a byte a second is not life: 10 s, or handshakeInterval", async (t) => {
  for (const [options, bound] of [
    [{}, 10_000],
    [{ handshakeInterval: 500 }, 500],
  ] as const) {
    const clock = strictClock(t)
    const pull = tidy(t, new Pull({ clock, ...options }))
    await pull.bind(`fake://slow-${++names}`)
    const link = fake.connect(`slow-${names}`)
    const all = Buffer.concat([greeting(), ready("PUSH")])
    const start = clock.now()
    for (let at = 0; at < all.length && link.ended === undefined; at++) {
      link.feed(all.subarray(at, at + 1))
      await clock.advance(250)
    }
    t.equal(clock.now() - start, bound)
    t.equal(link.ended, "destroyed")
  }
})

t.test("a receiver that has paused reading judges nobody, and goes on sending PINGs", async (t) => {
  for (const options of [{}, { heartbeatInterval: 10_000, heartbeatTimeout: 10_000 }])
    for (const user of ["never receives", "has paused onmessage"]) {
      const { clock, pull, link } = await pulling(t, OURS, options)
      link.polite = false
      const got: string[] = []
      const handle = ([frame]: Uint8Array[]): void => void got.push(text([frame!])!)
      if (user !== "never receives") {
        pull.pause()
        pull.onmessage = handle
      }
      for (let n = 0; n < 1500; n++) link.say(`${n}`)
      t.ok(link.paused)
      await clock.advance(100_000)
      t.equal(link.ended, undefined, user)
      t.equal(link.named("PING").length, 100, "more of them, for it can't answer the peer's")
      t.equal(pull.peers.length, 1)
      if (user === "never receives") pull.onmessage = handle
      else pull.resume()
      t.equal(got.length, 1500)
      await clock.advance(5000)
      t.equal(link.ended, undefined, "what the peer sent meanwhile can be read only now")
      t.ok((await givenUp(clock, link, 60_000))! <= 35_000, "then it is judged again")
    }
})

t.test("a PULL with 5,000 messages of 1 KB waiting stays connected for three timeouts and loses nothing", async (t) => {
  for (const options of [{}, { heartbeatInterval: 2000, heartbeatTimeout: 6000 }])
    await t.test(JSON.stringify(options), async (t) => {
      const clock = strictClock(t)
      const pull = tidy(t, new Pull({ ...options, clock }))
      const push = tidy(t, new Push({ ...options, clock, sendHighWaterMark: 5000 }))
      const gone = [...events(pull, "disconnect"), ...events(push, "disconnect")]
      await join(pull, push)
      const numbered = (n: number): Buffer => {
        const message = Buffer.alloc(1024)
        message.writeUInt32BE(n)
        return message
      }
      let sent = 0
      const sending = (async () => {
        for (; sent < 5000; sent++) await push.send(numbered(sent))
      })()
      const timeout = options.heartbeatTimeout ?? 30_000
      await clock.advance(3 * timeout + 1000)
      t.equal(sent, 5000)
      t.equal(pull.peers[0]!.waiting, 1000, "wait for the user, the others on the way")
      t.strictSame([pull.peers.length, push.peers.length, gone.length], [1, 1, 0])
      for (let n = 0; n < 5000; n++) {
        const [frame] = await pull.receive()
        if (Buffer.from(frame!).readUInt32BE() !== n) t.fail(`${n} is missing`)
        if (n % 1000 === 999) await clock.advance(timeout)
      }
      await sending
      t.strictSame([pull.peers.length, push.peers.length, gone.length], [1, 1, 0])
    })
})

t.test("a peer that takes what we write is alive, however long a message takes to leave", async (t) => {
  const clock = strictClock(t)
  const dealer = tidy(t, new Dealer({ clock, heartbeatInterval: 2000, heartbeatTimeout: 6000 }))
  await dealer.bind("fake://taking")
  // As libzmq, which answers a PING only when it has read what came before.
  const link = fake.connect("taking").shake("ROUTER")
  await clock.settle()
  link.limit(0)
  t.ok(dealer.trySend(Buffer.alloc(1_000_000)))
  for (let second = 0; second < 60; second++) {
    await clock.advance(1000)
    if (second % 4 === 0) link.open(50_000)
  }
  t.equal(link.ended, undefined)
  // Half open: nothing is taken and nothing comes.
  link.limit(0)
  t.ok((await givenUp(clock, link, 60_000))! <= 6000 + 2 * 2000)
})

t.test("TCP keepalive: idle 15 s, or as the user set it", async (t) => {
  const seen: number[] = []
  const note = ({ keepalive }: TransportOptions): void => void seen.push(keepalive)
  transports.register({
    scheme: "keepalive",
    check: (address) => address,
    dial(_address, options) {
      note(options)
      return Promise.reject(new Error("nobody"))
    },
    listen(address, options) {
      note(options)
      return Promise.resolve({ address, close: () => Promise.resolve() })
    },
  })
  for (const [options, keepalive] of [
    [{}, 15_000],
    [{ tcpKeepalive: 0 }, 0],
    [{ tcpKeepalive: -1 }, -1],
    [{ tcpKeepalive: 60_000 }, 60_000],
  ] as const) {
    const clock = strictClock(t)
    const pull = tidy(t, new Pull({ ...options, clock, reconnectInterval: -1 }))
    await pull.bind("keepalive://here")
    t.equal(await outcome(pull.connect("keepalive://there")), "ECONNREFUSED")
    t.strictSame(seen.splice(0), [keepalive, keepalive])
  }
})

t.test("a peer that never reads: memory stays bounded, others are not disturbed", async (t) => {
  const clock = strictClock(t)
  const push = tidy(t, new Push({ clock }))
  await push.bind("fake://never-reads")
  const stuck = fake.connect("never-reads").shake("PULL", OURS)
  const reads = fake.connect("never-reads").shake("PULL", OURS)
  await clock.settle()
  stuck.limit(0)
  const taken = 20_000
  for (let n = 0; n < taken; n++) {
    if (!push.trySend(Buffer.alloc(1000))) t.fail("nobody has room")
    if (n % 100 === 99) await clock.settle()
  }
  const [held] = push.peers
  t.equal(held!.queued, 1000, "the high-water mark")
  t.ok(held!.unconfirmed <= 256 * 1024)
  t.ok(reads.messages.length > 18_000, `the other one got ${reads.messages.length}`)
  t.equal(reads.messages.length, taken - held!.queued - Math.round(held!.unconfirmed / 1009))
  // It answers no PING either: given up, and what was not written goes to the other.
  stuck.polite = false
  t.ok((await givenUp(clock, stuck, 100_000))! <= 40_000)
  await clock.settle()
  t.equal(reads.messages.length, taken - push.stats().unconfirmed.count)
})
