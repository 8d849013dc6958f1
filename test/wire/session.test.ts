// One link's life, over a scripted link and a virtual clock: greeting, handshake, traffic, heartbeats, end.
import t from "tap"
import type { Message, Metadata, SocketType } from "../../lib/contract.ts"
import type { EarshotError } from "../../lib/errors.ts"
import { Session, type HeartbeatOptions, type SessionOptions } from "../../lib/wire/session.ts"
import { bytes, command, frame, greeting, hexOf, metadata, pattern, ready, wire } from "../support/bytes.ts"
import { ScriptLink } from "../support/script-link.ts"
import { virtualClock } from "../support/virtual-clock.ts"

const text = (value: string): Buffer => Buffer.from(value)
const NO_HEARTBEAT: HeartbeatOptions = { interval: 0, timeout: 0, timeToLive: 0 }
/** What two Earshot sockets do when nobody sets anything. */
const STANDARD: HeartbeatOptions = { interval: 10_000, timeout: 30_000, timeToLive: 0 }

interface Setup {
  type?: SocketType
  accepts?: readonly SocketType[]
  heartbeat?: HeartbeatOptions
  options?: Partial<SessionOptions>
  shares?: boolean
  onReady?: (session: Session) => void
  onMessage?: (session: Session) => void
}

/** A PUSH-like session, unless told otherwise, and all it told its owner. */
function setup({ type = "PULL", accepts = ["PUSH"], heartbeat = NO_HEARTBEAT, ...rest }: Setup = {}) {
  const clock = virtualClock()
  const link = new ScriptLink({ shares: rest.shares ?? false })
  const log: string[] = []
  const messages: string[][] = []
  const owner = {
    error: undefined as EarshotError | undefined,
    onReady(session: Session) {
      log.push("ready")
      rest.onReady?.(session)
    },
    onMessage(message: Message) {
      messages.push(message.map(hexOf))
      rest.onMessage?.(session)
    },
    onCommand: (name: string, body: Uint8Array) => void log.push(`${name} ${hexOf(body)}`),
    onDrain: () => void log.push("drain"),
    onClose(_session: Session, error?: EarshotError) {
      log.push(`close ${error?.code}`)
      this.error = error
    },
  }
  const properties: Metadata = new Map([["Socket-Type", text(type)]])
  const options: SessionOptions = {
    clock,
    maxMessageSize: 1 << 20,
    maxMessageParts: 1000,
    handshakeInterval: 10_000,
    batch: 1000,
    heartbeat: (earshot) => (earshot ? heartbeat : NO_HEARTBEAT),
    ...rest.options,
  }
  const session: Session = new Session(link, owner, options, { properties, accepts })
  return { clock, link, log, messages, owner, session, properties }
}

/** The same after the handshake with a peer: an Earshot socket, unless told otherwise. */
async function open(setupOptions: Setup = {}, peer: { minor?: number; properties?: Record<string, string> } = {}) {
  const { accepts = ["PUSH"] } = setupOptions
  const made = setup(setupOptions)
  const { clock, link, log } = made
  link.feed(greeting(peer.minor ?? 1))
  link.feed(ready(accepts[0]!, peer.properties ?? { "X-Earshot": "1" }))
  await clock.settle()
  if (log.shift() !== "ready") throw new Error("no handshake")
  link.take()
  link.writes = 0
  return made
}

t.test(
  "line 1: our greeting goes out at once; theirs may come in any steps; READY follows it, not theirs",
  async (t) => {
    const { link, log, clock } = setup()
    t.ok(link.started)
    t.equal(
      hexOf(link.take()),
      hexOf(bytes("ff 00*7 01 7f 03 01 'NULL' 00*16 00 00*31")),
      "all 64, before anything came",
    )
    const theirs = greeting()
    link.feed(theirs.subarray(0, 10))
    link.feed(theirs.subarray(10, 11))
    await clock.settle()
    t.equal(link.take().length, 0)
    link.feed(theirs.subarray(11))
    await clock.settle()
    t.ok(link.take().equals(ready("PULL")), "READY without waiting for theirs")
    t.strictSame(log, [])
    link.feed(ready("PUSH"))
    t.strictSame(log, ["ready"])
  },
)

t.test("the whole handshake and the first messages may come in one chunk, or byte by byte", async (t) => {
  const all = Buffer.concat([
    greeting(),
    ready("PUSH", { Identity: "bob", "X-Custom": "y" }),
    wire("a"),
    wire("b", "c"),
  ])
  for (const size of [all.length, 1]) {
    const { link, log, messages, session, clock } = setup()
    for (let at = 0; at < all.length; at += size) link.feed(all.subarray(at, at + size))
    t.strictSame(log, ["ready"])
    t.strictSame(messages, [["61"], ["62", "63"]])
    t.equal(session.type, "PUSH")
    t.equal(String(session.routingId), "bob")
    t.equal(String(session.announced?.all.get("X-Custom")), "y")
    t.equal(session.earshot, false)
    t.equal(session.peerMax, Infinity)
    link.take()
    await clock.settle()
    t.ok(session.ready && session.established && session.writable)
  }
})

t.test("READY in any case; a peer that names no type is taken, as libzmq does", async (t) => {
  for (const [body, type] of [
    [metadata({ "socket-TYPE": "PUSH", IDENTITY: "x" }), "PUSH"],
    [metadata({ identity: "x" }), undefined],
  ] as const) {
    const { link, log, session } = setup()
    link.feed(greeting(), command("READY", body))
    t.strictSame(log, ["ready"])
    t.equal(session.type, type)
    t.equal(String(session.routingId), "x")
  }
})

t.test("X-Earshot and X-Earshot-Max", async (t) => {
  for (const [value, max] of [
    ["1000", 1000],
    ["0", 0],
    ["134217728", 134_217_728],
    ["", Infinity],
    [" ", Infinity],
    ["-1", Infinity],
    ["1e3", Infinity],
    ["0x10", Infinity],
    ["many", Infinity],
    ["9".repeat(400), Infinity],
  ] as const) {
    const { link, session } = setup()
    link.feed(greeting(), ready("PUSH", { "x-earshot": "1", "X-EARSHOT-MAX": value }))
    t.equal(session.earshot, true)
    t.equal(session.peerMax, max, JSON.stringify(value))
  }
})

t.test("versions: 3.0, 3.1 and newer", async (t) => {
  for (const [what, theirs, modern] of [
    ["3.0", greeting(0), false],
    ["3.1", greeting(1), true],
    ["3.7", greeting(7), true],
    ["line of majors after 3: 4.0", greeting(0, "NULL", 4), true],
    ["9.9", greeting(9, "NULL", 9), true],
  ] as const) {
    const { link, log, session, clock } = setup({ type: "SUB", accepts: ["PUB"] })
    link.feed(theirs, ready("PUB"))
    t.strictSame(log, ["ready"], what)
    await clock.settle()
    link.take()
    session.command("SUBSCRIBE", text("A"))
    session.command("CANCEL", text("A"))
    await clock.settle()
    const spelt = modern ? [command("SUBSCRIBE", "A"), command("CANCEL", "A")] : [wire("\x01A"), wire("\x00A")]
    t.equal(hexOf(link.take()), hexOf(Buffer.concat(spelt)), `line 3: subscriptions as ${what} wants them`)
    link.feed(command("SUBSCRIBE", "B"))
    t.equal(log.pop(), "SUBSCRIBE 42", "both spellings are taken, whatever the version")
  }
})

// What breaks a handshake: the code, and what it says.
const FAILURES: [what: string, code: string, says: RegExp, ...chunks: Buffer[]][] = [
  ["ZMTP 1.0", "VERSION", /ZMTP 1\.0/, bytes("01 00")],
  ["ZMTP 1.0 with a signature", "VERSION", /ZMTP 1\.0/, bytes("ff 00*7 01 7f 00")],
  ["ZMTP 2.0", "VERSION", /ZMTP 2\.0/, bytes("ff 00*7 01 7f 01 07 00 00")],
  ["HTTP", "EPROTO", /not ZMTP/, text("GET / HTTP/1.0\r\n\r\n")],
  ["PLAIN", "MECHANISM", /mechanism PLAIN, this socket NULL/, greeting(1, "PLAIN")],
  ["CURVE", "MECHANISM", /CURVE/, greeting(1, "CURVE")],
  ["no mechanism", "MECHANISM", /\(none\)/, greeting(1, "")],
  ["null", "MECHANISM", /null/, greeting(1, "null")],
  ["a mechanism to write home about", "MECHANISM", /N\?LL/, greeting(1, "N\x1bLL")],
  ["another type", "INCOMPATIBLE", /^a PULL does not fit: only PUSH$/, greeting(), ready("PULL")],
  ["a type that isn't one", "INCOMPATIBLE", /^a \?\[31mX/, greeting(), ready("\x1b[31mX")],
  ["a type in small letters", "INCOMPATIBLE", /push/, greeting(), ready("push")],
  ["an empty type", "INCOMPATIBLE", /./, greeting(), ready("")],
  ["a routing id of 256 bytes", "EPROTO", /255/, greeting(), ready("PUSH", { Identity: pattern(256) })],
  ["a routing id that begins with 00", "EPROTO", /zero/, greeting(), ready("PUSH", { Identity: "\0abcd" })],
  ["a stray byte in READY", "EPROTO", /metadata/, greeting(), command("READY", bytes("00"))],
  ["another command", "EPROTO", /PING where READY was due/, greeting(), command("PING", bytes("00 00"))],
  ["a command with a strange name", "EPROTO", /\?\[2J/, greeting(), command("\x1b[2J")],
  ["HELLO of PLAIN", "EPROTO", /HELLO/, greeting(), bytes("04 0a 05 48 45 4c 4c 4f 01 61 01 62")],
  ["a message", "EPROTO", /before the handshake/, greeting(), wire("x")],
  ["an empty message", "EPROTO", /before the handshake/, greeting(), wire("")],
  ["the head of a large message", "EPROTO", /before the handshake/, greeting(), bytes("02 00*5 10 00 00")],
  ["a command of over 64 KiB", "EMSGSIZE", /limit/, greeting(), bytes("06 00*5 01 00 01")],
  ["a frame of 2^63 bytes", "EMSGSIZE", /limit/, greeting(), bytes("06 80 00*7")],
  ["reserved flags", "EPROTO", /0x10/, greeting(), bytes("10 00")],
  ["ERROR", "REFUSED", /refused: Invalid client$/, greeting(), command("ERROR", "\x0eInvalid client")],
  ["ERROR 400", "REFUSED", /400/, greeting(), bytes("04 0a 05 45 52 52 4f 52 03 34 30 30")],
  ["a malformed ERROR", "EPROTO", /malformed ERROR/, greeting(), command("ERROR", "\xffx")],
]

t.test("a broken handshake ends the link, with a code that says why, and at most our greeting went out", async (t) => {
  for (const [what, code, says, ...chunks] of FAILURES) {
    const { link, log, owner, session, clock } = setup()
    link.feed(...chunks)
    t.strictSame(log, [`close ${code}`], what)
    t.match(owner.error!.message, says, what)
    t.ok(session.closed && !session.ready && !session.established)
    // Only a type that does not fit is answered, and gently.
    t.equal(link.destroyed, code !== "INCOMPATIBLE", what)
    t.equal(link.closed, code === "INCOMPATIBLE")
    link.feed(ready("PUSH"), wire("x"))
    link.end()
    await clock.advance(60_000)
    t.strictSame(log, [`close ${code}`], "and that is all")
    t.equal(clock.timers, 0, "no timer stays")
    if (code !== "INCOMPATIBLE") t.equal(link.take().length, 64)
  }
})

t.test("line 10: a type that does not fit is told in an ERROR while our READY is not out", async (t) => {
  const { link, log } = setup()
  link.feed(Buffer.concat([greeting(), ready("PAIR")]))
  t.equal(hexOf(link.take().subarray(64)), hexOf(command("ERROR", "\x1ea PAIR does not fit: only PUSH")))
  t.strictSame(log, ["close INCOMPATIBLE"])
  t.ok(link.closed && !link.destroyed, "flushed first")
})

t.test("line 10: once our READY is out the link is only closed", async (t) => {
  const { link, log, clock } = setup()
  link.feed(greeting())
  await clock.settle()
  t.ok(link.take().subarray(64).equals(ready("PULL")))
  link.feed(ready("PAIR"))
  await clock.settle()
  t.strictSame(log, ["close INCOMPATIBLE"])
  t.equal(link.take().length, 0)
  t.ok(link.closed)
})

t.test("the reason in an ERROR fits its length byte", async (t) => {
  const accepts = Array.from({ length: 40 }, () => "XPUB") as SocketType[]
  const { link } = setup({ accepts })
  link.feed(Buffer.concat([greeting(), ready("X".repeat(230))]))
  const body = link.take().subarray(64)
  t.equal(body[0], 6, "a long command")
  t.equal(body.readUInt32BE(5), 1 + 5 + 1 + 255)
  t.equal(body[9 + 1 + 5], 255)
})

t.test("too many commands in a handshake", async (t) => {
  // NULL knows but one, and ends at any other.
  const { link, log } = setup()
  link.feed(greeting(), command("X"))
  t.strictSame(log, ["close EPROTO"])
})

t.test("a handshake has its time, however its bytes trickle", async (t) => {
  const all = Buffer.concat([greeting(), ready("PUSH")])
  const { link, log, owner, clock } = setup()
  for (let at = 0; at < 9; at++) {
    link.feed(all.subarray(at * 10, at * 10 + 10))
    await clock.advance(1100)
  }
  t.strictSame(log, [])
  await clock.advance(100)
  t.strictSame(log, ["close ETIMEDOUT"])
  t.match(owner.error!.message, /handshake/)
  t.ok(link.destroyed)

  const done = await open()
  await done.clock.advance(60_000)
  t.strictSame(done.log, [], "no such limit afterwards")
})

t.test("an end during the handshake, by either side", async (t) => {
  for (const chunks of [[], [greeting().subarray(0, 20)], [greeting()]]) {
    const { link, log } = setup()
    link.feed(...chunks)
    link.end()
    t.strictSame(log, ["close ECONNRESET"])
    const other = setup()
    other.link.end(Object.assign(new Error("broken"), { code: "ECONNRESET" }))
    t.strictSame(other.log, ["close ECONNRESET"])
  }
  const { link, log, session } = await open()
  link.end()
  t.strictSame(log, ["close undefined"], "after it an orderly end is no error")
  t.equal(session.established, true)
})

// ---------------------------------------------------------------------------------------------------------------

t.test("what is sent in one turn is written at once, in order, commands between", async (t) => {
  const { link, session, clock } = await open()
  session.send([text("a")])
  session.command("SUBSCRIBE", text("t"))
  session.send([text("b"), text("c")])
  session.send([pattern(10_000)])
  t.equal(link.writes, 0)
  await clock.settle()
  t.equal(link.writes, 1)
  t.ok(link.take().equals(Buffer.concat([wire("a"), command("SUBSCRIBE", "t"), wire("b", "c"), wire(pattern(10_000))])))
  await clock.settle()
  t.equal(link.writes, 1, "nothing more to write")
})

t.test("a full slab, or a batch, is written within the turn", async (t) => {
  const { link, session } = await open()
  for (let i = 0; i < 62; i++) session.send([pattern(1000, i)])
  t.equal(link.writes, 1)
  const counted = await open({ options: { batch: 10 } })
  for (let i = 0; i < 25; i++) counted.session.send([text("x")])
  t.equal(counted.link.writes, 2)
  await counted.clock.settle()
  t.equal(counted.link.writes, 3)
  t.ok(counted.link.take().equals(Buffer.concat(Array.from({ length: 25 }, () => wire("x")))))
})

t.test("a link that takes nothing more: not writable, what comes meanwhile waits, the drain lets it on", async (t) => {
  const { link, session, log, clock } = await open()
  link.takes = false
  session.send([text("first")])
  session.send([text("second"), text("part")])
  t.equal(session.writable, true)
  await clock.settle()
  t.equal(session.writable, false)
  t.equal(session.unconfirmed.messages, 2)
  t.equal(session.unconfirmed.bytes, wire("first").length + wire("second", "part").length)
  session.command("SUBSCRIBE", text("A"))
  link.feed(command("PING", bytes("00 00 'x'")))
  await clock.settle()
  t.equal(link.writes, 1, "nothing is written before the drain")
  link.take()
  link.takes = true
  link.drain()
  t.strictSame(log, ["drain"])
  t.equal(session.writable, true)
  t.equal(session.unconfirmed.messages, 0)
  t.equal(session.unconfirmed.bytes, 0)
  t.equal(hexOf(link.take()), hexOf(Buffer.concat([command("SUBSCRIBE", "A"), command("PONG", "x")])))
})

t.test("a link that takes nothing from the start: the handshake waits for the drain", async (t) => {
  const { link, session, log, clock } = setup()
  const early = setup()
  early.link.takes = false
  t.equal(session.closed, false)
  link.takes = false
  link.feed(greeting())
  await clock.settle()
  link.feed(ready("PUSH"))
  t.strictSame(log, ["ready"])
  t.equal(session.writable, false)
  link.drain()
  t.equal(session.writable, true)
})

t.test("written memory is used again only after the drain; never where a link shares it", async (t) => {
  for (const shares of [false, true]) {
    const { link, session, clock } = await open({ shares })
    const kept: { chunk: Uint8Array; was: Buffer }[] = []
    const write = link.write.bind(link)
    link.write = (chunks) => {
      for (const chunk of chunks) kept.push({ chunk, was: Buffer.from(chunk) })
      return write(chunks)
    }
    for (let round = 0; round < 50; round++) {
      link.takes = round % 3 > 0
      for (let i = 0; i < 20; i++) session.send([pattern(100 + i, round)])
      await clock.settle()
      if (!link.takes) link.drain()
    }
    // ScriptLink.drain() itself looks at what had to wait.
    if (shares) t.ok(kept.every(({ chunk, was }) => was.equals(chunk)))
    else
      t.notOk(
        kept.every(({ chunk, was }) => was.equals(chunk)),
        "one slab serves all rounds",
      )
  }
})

t.test("memory of a flush after the drain is in use until the next drain", async (t) => {
  const [{ link, session, clock }, other] = [await open(), await open()]
  link.takes = false
  session.send([text("first")])
  await clock.settle()
  session.command("SUBSCRIBE", pattern(100))
  link.drain(false)
  // Whoever borrows that memory now would write into what is on its way.
  for (let i = 0; i < 50; i++) {
    other.session.send([pattern(1000, i)])
    await other.clock.settle()
  }
  t.doesNotThrow(() => link.drain())
  t.ok(link.take().equals(Buffer.concat([wire("first"), command("SUBSCRIBE", pattern(100))])))
})

t.test("what was never given to a link comes back when it ends", async (t) => {
  for (const end of ["end", "destroy"] as const) {
    const { link, session, log, clock } = await open()
    session.send([text("gone")])
    await clock.settle()
    session.send([text("a")])
    session.command("SUBSCRIBE", text("x"))
    session.send([text("b"), text("c")])
    if (end === "end") link.end()
    else session.end()
    t.match(log.at(-1), /^close/)
    t.strictSame(
      session.takeBack().map((message) => message.map(String)),
      [["a"], ["b", "c"]],
    )
    t.equal(session.unconfirmed.messages, 0)
    await clock.settle()
    t.equal(link.writes, 1, "and is not written either")
  }
  const { link, session, clock } = await open()
  link.takes = false
  session.send([text("doubtful")])
  await clock.settle()
  link.end()
  t.strictSame(session.takeBack(), [], "what was given and not confirmed does not")
  t.equal(session.unconfirmed.messages, 1)
  t.equal(session.unconfirmed.bytes, wire("doubtful").length)
})

t.test("close() flushes first", async (t) => {
  const { link, session } = await open()
  session.send([text("last")])
  session.close()
  t.ok(link.take().equals(wire("last")))
  t.ok(link.closed && !link.destroyed)
})

t.test("reading pauses from the next message on; the link is paused one chunk later, and only then", async (t) => {
  const { link, session, messages, log } = await open()
  session.pauseReading()
  t.equal(link.paused, false)
  link.feed(Buffer.concat([wire("a"), wire("b")]))
  t.strictSame(messages, [])
  t.equal(link.paused, true)
  link.feed(wire("c"))
  session.resumeReading()
  t.strictSame(messages, [["61"], ["62"], ["63"]])
  t.equal(link.paused, false)
  session.pauseReading()
  session.resumeReading()
  t.equal(link.paused, false)
  link.feed(wire("d"))
  t.strictSame(messages.at(-1), ["64"])

  session.pauseReading()
  link.feed(bytes("10 00"))
  t.strictSame(log, [], "what is wrong behind a pause is found when it is read")
  session.resumeReading()
  t.strictSame(log, ["close EPROTO"])
})

t.test("pausing within a message: the rest of its chunk waits", async (t) => {
  const made = await open({ onMessage: (session) => session.pauseReading() })
  const { link, session, messages } = made
  link.feed(Buffer.concat([wire("a"), wire("b"), wire("c")]))
  t.strictSame(messages, [["61"]])
  session.resumeReading()
  t.strictSame(messages, [["61"], ["62"]])
  t.equal(link.paused, false, "no second chunk, no system call")
  session.resumeReading()
  t.strictSame(messages, [["61"], ["62"], ["63"]])
})

t.test("ending within a message or within ready: nothing more is told", async (t) => {
  const { link, messages, log } = await open({ onMessage: (session) => session.end() })
  link.feed(Buffer.concat([wire("a"), wire("b"), command("SUBSCRIBE", "x"), bytes("ff")]))
  t.strictSame(messages, [["61"]])
  t.strictSame(log, ["close undefined"])
  const early = setup({ onReady: (session) => session.end() })
  early.link.feed(Buffer.concat([greeting(), ready("PUSH"), wire("a")]))
  t.strictSame(early.messages, [])
  t.strictSame(early.log, ["ready", "close undefined"])
  await early.clock.advance(100_000)
  t.equal(early.clock.timers, 0)
})

t.test("unknown commands, READY again, commands between frames: nothing is disturbed", async (t) => {
  const { link, messages, log, clock } = await open()
  link.feed(
    Buffer.concat([
      frame(1, text("a")),
      command("PING", bytes("00 00")),
      command("WHATEVER", "x"),
      frame(0, text("b")),
    ]),
  )
  link.feed(ready("PUSH"), command("JOIN", "group"))
  await clock.settle()
  t.strictSame(messages, [["61", "62"]])
  t.equal(hexOf(link.take()), hexOf(command("PONG")))
  t.equal(log.filter((line) => line.startsWith("close")).length, 0)
})

t.test("ERROR in traffic ends the link and says why", async (t) => {
  const { link, log, owner } = await open()
  link.feed(command("ERROR", "\x07no more"))
  t.strictSame(log, ["close REFUSED"])
  t.match(owner.error!.message, /no more$/)
})

t.test("messages over the limits end the link", async (t) => {
  for (const chunk of [
    wire(pattern((1 << 20) + 1)).subarray(0, 9),
    bytes("02 80 00*7"),
    wire(...Array.from({ length: 1001 }, () => "")),
  ]) {
    const { link, log } = await open()
    link.feed(chunk)
    t.strictSame(log, ["close EMSGSIZE"])
  }
  const { link, log, messages } = await open({ options: { maxMessageSize: 10 } })
  link.feed(wire("0123456789"), command("SUBSCRIBE", pattern(60_000)))
  t.equal(messages.length, 1)
  t.equal(log.length, 1, "commands have a limit of their own")
})

// ---------------------------------------------------------------------------------------------------------------

t.test("line 7: PING is answered with its context, of which 16 bytes count", async (t) => {
  const { link, clock, log } = await open()
  const answer = async (ping: Buffer): Promise<string> => {
    link.feed(ping)
    await clock.settle()
    return hexOf(link.take())
  }
  t.equal(await answer(bytes("04 0a 04 50 49 4e 47 00 00 4c 4f 4c")), hexOf(bytes("04 08 04 50 4f 4e 47 4c 4f 4c")))
  t.equal(await answer(bytes("04 07 04 'PING' 00 0a")), hexOf(bytes("04 05 04 'PONG'")), "libzmq's, without a context")
  const long = pattern(58)
  t.equal(
    await answer(command("PING", Buffer.concat([bytes("00 00"), long]))),
    hexOf(command("PONG", long.subarray(0, 16))),
  )
  const sixteen = pattern(16)
  t.equal(await answer(command("PING", Buffer.concat([bytes("00 00"), sixteen]))), hexOf(command("PONG", sixteen)))
  link.feed(command("PING", bytes("00")))
  t.strictSame(log, ["close EPROTO"], "without its two bytes of time-to-live it is none")
})

t.test("a peer that asks and never reads has us gather only so many answers", async (t) => {
  const { link, session, clock } = await open()
  link.takes = false
  session.send([text("stuck")])
  await clock.settle()
  const ping = command("PING", bytes("00 00 '0123456789abcdef'"))
  for (let i = 0; i < 20; i++) link.feed(Buffer.concat(Array.from({ length: 1000 }, () => ping)))
  await clock.settle()
  t.ok(session.ignoredCommands > 10_000)
  link.take()
  link.drain()
  await clock.settle()
  const size = link.take().length
  t.ok(size > 60_000 && size < 70_000, `${size} bytes of PONGs`)
})

t.test("between Earshot sockets: a PING every 10 s, and 30 s of silence end the link", async (t) => {
  const { link, clock, log, owner } = await open({ heartbeat: STANDARD })
  await clock.advance(9999)
  t.equal(link.take().length, 0)
  await clock.advance(1)
  t.equal(hexOf(link.take()), hexOf(bytes("04 07 04 'PING' 00 00")), "line 7: the two bytes always")
  await clock.advance(10_000)
  t.equal(hexOf(link.take()), hexOf(command("PING", bytes("00 00"))))
  await clock.advance(9999)
  t.strictSame(log, [])
  await clock.advance(1)
  t.strictSame(log, ["close ETIMEDOUT"])
  t.match(owner.error!.message, /nothing heard for 30000 ms/)
  t.ok(link.destroyed)
  t.equal(clock.timers, 0)
})

t.test("any byte is life", async (t) => {
  for (const life of [command("PONG"), wire("x"), command("SUBSCRIBE", "x"), command("PING", bytes("00 00"))]) {
    const { link, clock, log } = await open({ heartbeat: STANDARD })
    for (let i = 0; i < 10; i++) {
      await clock.advance(29_000)
      link.feed(life)
    }
    t.notOk(log.some((line) => line.startsWith("close")))
    await clock.advance(31_000)
    t.ok(log.some((line) => line === "close ETIMEDOUT"))
  }
})

t.test("a drain is life: who takes what we write is there", async (t) => {
  const { link, session, clock, log } = await open({ heartbeat: STANDARD })
  for (let i = 0; i < 5; i++) {
    link.takes = false
    session.send([pattern(100)])
    await clock.advance(25_000)
    link.drain()
  }
  t.notOk(log.some((line) => line.startsWith("close")))
})

t.test("towards peers that are no Earshot sockets, and 3.0: no PING, no verdict", async (t) => {
  for (const [peer, heartbeat] of [
    [{ properties: {} }, STANDARD],
    [{ minor: 0, properties: { "X-Earshot": "1" } }, STANDARD],
  ] as const) {
    const { link, clock, log } = await open({ heartbeat }, peer)
    await clock.advance(3_600_000)
    t.equal(link.take().length, 0)
    t.strictSame(log, [])
    link.feed(command("PING", bytes("00 00 'x'")))
    await clock.settle()
    t.equal(hexOf(link.take()), hexOf(command("PONG", "x")), "answered all the same")
  }
})

t.test("with what the user set: any peer is asked and judged", async (t) => {
  const heartbeat = { interval: 1000, timeout: 1000, timeToLive: 2500 }
  const { link, clock, log } = await open({ options: { heartbeat: () => heartbeat } }, { properties: {} })
  await clock.advance(1000)
  t.equal(hexOf(link.take()), hexOf(bytes("04 07 04 'PING' 00 19")), "with the time-to-live")
  link.feed(command("PONG"))
  await clock.advance(1999)
  t.strictSame(log, [])
  await clock.advance(1)
  t.strictSame(log, ["close ETIMEDOUT"], "the whole timeout after an unanswered PING")
})

t.test("a timeout hardly longer than the interval leaves time to answer", async (t) => {
  const heartbeat = { interval: 1000, timeout: 1001, timeToLive: 0 }
  const { link, clock, log } = await open({ heartbeat })
  await clock.advance(1000)
  for (let i = 0; i < 20; i++) {
    t.equal(hexOf(link.take()), hexOf(command("PING", bytes("00 00"))))
    await clock.advance(500)
    link.feed(command("PONG"))
    await clock.advance(500)
  }
  t.strictSame(log, [])
})

t.test("the peer's time-to-live: it is given up after that much silence, until it takes that back", async (t) => {
  const { link, clock, log } = await open({}, { properties: {} })
  link.feed(command("PING", bytes("00 0a")))
  for (let i = 0; i < 5; i++) {
    await clock.advance(999)
    link.feed(wire("x"))
  }
  t.strictSame(log, [])
  link.feed(command("PING", bytes("00 00")))
  await clock.advance(60_000)
  t.strictSame(log, [], "0 takes it back")
  link.feed(command("PING", bytes("ff ff")))
  await clock.advance(6_553_499)
  t.strictSame(log, [], "line 6: no 16 bits of ms here")
  await clock.advance(1)
  t.strictSame(log, ["close ETIMEDOUT"])
})

t.test("who has stopped reading judges nobody, and goes on sending PINGs", async (t) => {
  const { link, session, clock, log, messages } = await open({ heartbeat: STANDARD })
  link.feed(command("PING", bytes("00 64")))
  await clock.settle()
  link.take()
  session.pauseReading()
  link.feed(wire("waits"))
  await clock.advance(95_000)
  t.equal(hexOf(link.take()), hexOf(Buffer.concat(Array.from({ length: 95 }, () => command("PING", bytes("00 00"))))))
  t.strictSame(log, [])
  session.resumeReading()
  t.equal(messages.length, 1)
  // What the peer sent meanwhile is read only now: it has not been silent.
  await clock.advance(5000)
  t.strictSame(log, [])
  await clock.advance(40_000)
  t.strictSame(log, ["close ETIMEDOUT"])
})

t.test("while we don't read, a peer that asks hears of us: every second, or twice as often as it asks", async (t) => {
  const pings = (chunk: Buffer): number => chunk.length / command("PING", bytes("00 00")).length
  {
    const { link, session, clock, log } = await open({}, { properties: {} })
    session.pauseReading()
    await clock.advance(100_000)
    t.equal(link.take().length, 0, "not one that never asked: it may be gone, with what it sent still on its way")
    session.resumeReading()
    link.feed(command("PING", bytes("00 00")))
    await clock.settle()
    link.take()
    for (let i = 0; i < 3; i++) {
      session.pauseReading()
      await clock.advance(10_000)
      t.equal(pings(link.take()), 10)
      session.resumeReading()
      await clock.advance(10_000)
      t.equal(link.take().length, 0, "and nothing else")
    }
    t.equal(clock.timers, 0)
    for (let i = 0; i < 3; i++) {
      link.feed(command("PING", bytes("00 00")))
      await clock.advance(400)
    }
    link.take()
    session.pauseReading()
    await clock.advance(10_000)
    t.equal(pings(link.take()), 50)
    t.strictSame(log, [])
  }
  const { link, session, clock } = await open({}, { minor: 0, properties: {} })
  session.pauseReading()
  await clock.advance(10_000)
  t.equal(link.take().length, 0, "3.0 knows no PING")
  const quick = await open({ heartbeat: { interval: 300, timeout: 900, timeToLive: 0 } })
  quick.session.pauseReading()
  await quick.clock.advance(3000)
  t.equal(pings(quick.link.take()), 10, "one's own interval counts where it is shorter")
})

t.test("a frame in progress must bring 1 KiB per timeout", async (t) => {
  const heartbeat = { interval: 1000, timeout: 3000, timeToLive: 0 }
  const trickle = async (bytesPerSecond: number): Promise<string[]> => {
    const { link, clock, log } = await open({ heartbeat })
    const stream = wire(pattern(60_000))
    for (let second = 0; second < 30; second++) {
      link.feed(stream.subarray(second * bytesPerSecond, (second + 1) * bytesPerSecond))
      await clock.advance(1000)
    }
    return log
  }
  t.strictSame(await trickle(400), [])
  t.strictSame(await trickle(100), ["close ETIMEDOUT"])
  t.strictSame(await trickle(1), ["close ETIMEDOUT"])
})

t.test("a frame that has only just begun is not called slow", async (t) => {
  const heartbeat = { interval: 1000, timeout: 1000, timeToLive: 0 }
  const { link, clock, log, messages } = await open({ heartbeat })
  const half = wire("message")
  for (let i = 0; i < 20; i++) {
    // The timer goes off at 1000: each time in the middle of a small message.
    await clock.advance(i === 0 ? 999 : 990)
    link.feed(half.subarray(0, 4))
    await clock.advance(5)
    link.feed(half.subarray(4))
    await clock.advance(5)
  }
  t.strictSame(log, [])
  t.equal(messages.length, 20)
})

t.test("before the verdict the link is read once more", async (t) => {
  const { link, clock, log } = await open({ heartbeat: STANDARD })
  // What has come in by the time the timer goes off is read in the turn after it: here, with the PING that the timer sends.
  const write = link.write.bind(link)
  link.write = (chunks) => {
    if (clock.now() === 31_000) link.feed(command("PONG"))
    return write(chunks)
  }
  await clock.advance(59_000)
  t.strictSame(log, [])
  await clock.advance(2000)
  t.strictSame(log, ["close ETIMEDOUT"])
})

t.test("a timer that comes much too late lets the link be read first", async (t) => {
  const clock = virtualClock()
  let late = 0
  const { link, log } = await open({
    heartbeat: STANDARD,
    options: {
      clock: { ...clock, now: () => clock.now() + late, timeout: (callback, ms) => clock.timeout(callback, ms) },
    },
  })
  await clock.advance(15_000)
  // The process was stopped for a minute: timers are due, and what the peer sent meanwhile is not read yet.
  late = 60_000
  await clock.advance(5100)
  t.strictSame(log, [], "no verdict in the first turn")
  link.feed(command("PONG"))
  await clock.advance(25_000)
  t.strictSame(log, [])
  await clock.advance(10_000)
  t.strictSame(log, ["close ETIMEDOUT"])
})

t.test("probes: answered by the PONG to a PING behind what was sent before", async (t) => {
  for (const [properties, exact] of [
    [{ "X-Earshot": "1" }, true],
    [{}, false],
  ] as const) {
    const { link, session, clock } = await open({}, { properties })
    const answers: boolean[] = []
    session.command("SUBSCRIBE", text("A"))
    session.probe(1000, (exact) => answers.push(exact))
    session.probe(1000, (exact) => answers.push(exact))
    await clock.settle()
    const written = link.take()
    const head = command("SUBSCRIBE", "A")
    t.ok(written.subarray(0, head.length).equals(head))
    const [first, second] = [written.subarray(head.length, head.length + 13), written.subarray(head.length + 13)]
    t.equal(hexOf(first.subarray(0, 9)), hexOf(bytes("04 0b 04 'PING' 00 00")))
    t.equal(second.length, 13)
    t.notOk(first.equals(second), "each has a context of its own")
    link.feed(command("PONG"), command("PONG", "none"))
    t.strictSame(answers, [])
    link.feed(command("PONG", second.subarray(9)))
    t.strictSame(answers, [exact])
    link.feed(command("PONG", second.subarray(9)))
    t.strictSame(answers, [exact], "once")
    link.feed(command("PONG", first.subarray(9)))
    t.strictSame(answers, [exact, exact])
    t.equal(clock.timers, 0)
  }
})

t.test("probes nobody answers: after their time, at the end, and at once towards 3.0", async (t) => {
  const { link, session, clock } = await open()
  const answers: string[] = []
  session.probe(1000, (exact) => answers.push(`first ${exact}`))
  await clock.advance(1000)
  t.strictSame(answers, ["first false"])
  session.probe(1000, (exact) => answers.push(`second ${exact}`))
  link.end()
  t.strictSame(answers, ["first false", "second false"])
  session.probe(1000, (exact) => answers.push(`third ${exact}`))
  t.equal(answers.at(-1), "third false")
  const old = await open({}, { minor: 0 })
  old.session.probe(1000, (exact) => answers.push(`old ${exact}`))
  t.equal(answers.at(-1), "old false")
  await old.clock.settle()
  t.equal(old.link.take().length, 0)
})

t.test("lastHeard follows what comes", async (t) => {
  const { link, session, clock } = await open({ heartbeat: STANDARD })
  const start = session.lastHeard!
  await clock.advance(500)
  link.feed(wire("x"))
  t.equal(session.lastHeard, start + 500)
  session.pauseReading()
  await clock.advance(60_000)
  session.resumeReading()
  link.drain()
  t.equal(session.lastHeard, start + 500, "and nothing else")
})
