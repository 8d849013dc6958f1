// ZWS 2.0 (RFC 45, WIRE 1.10) as a codec, and a session over it: golden vectors, limits, pausing, and what a peer without
// a mechanism stands for.
import t from "tap"
import type { Message } from "../../lib/contract.ts"
import type { EarshotError } from "../../lib/errors.ts"
import type { HandshakeOptions } from "../../lib/wire/handshake.ts"
import { Session, type SessionOptions } from "../../lib/wire/session.ts"
import { ZwsCodec } from "../../lib/wire/zws.ts"
import { bytes, hexOf, metadata, pattern } from "../support/bytes.ts"
import { ScriptLink } from "../support/script-link.ts"
import { virtualClock } from "../support/virtual-clock.ts"

const utf8 = (text: string): Buffer => Buffer.from(text)
const NO_LIMITS = { maxMessageSize: Infinity, maxMessageParts: Infinity }
const flushed = (codec: ZwsCodec): string[] => codec.flush().map(hexOf)

/** A codec that writes down all it reads. */
function reader(bare = false, limits = NO_LIMITS) {
  const told: string[] = []
  const frames: Uint8Array[] = []
  const hooks = { onMessage: (): void => {} }
  const codec = new ZwsCodec(
    {
      onGreeting: ({ major, minor, mechanism, asServer }) =>
        void told.push(`greeting ${major}.${minor} ${mechanism} ${asServer}`),
      onMessage(message, size) {
        frames.push(...message)
        told.push(`${message.map(hexOf).join("|")} ${size}`)
        hooks.onMessage()
      },
      onCommand: (name, body) => void told.push(`${name} ${hexOf(body)}`),
    },
    limits,
    bare,
  )
  return { codec, told, frames, hooks }
}

const codeOf = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    return (error as EarshotError).code
  }
  return "nothing thrown"
}

t.test("golden: what is sent, one frame in each chunk", async (t) => {
  const { codec } = reader()
  codec.message([utf8("hi")])
  codec.message([utf8("a"), utf8(""), utf8("b")])
  t.strictSame(flushed(codec), ["006869", "0161", "01", "0062"])
  codec.command("SUBSCRIBE", utf8("A"))
  codec.command("CANCEL", utf8("A"))
  codec.command("SUBSCRIBE", utf8(""))
  t.strictSame(flushed(codec), ["000141", "000041", "0001"], "subscriptions are messages")
  codec.command("READY", metadata({ "Socket-Type": "PULL" }))
  codec.command("PING", bytes("00 0a"))
  t.strictSame(flushed(codec), [
    hexOf(bytes("02 05 'READY' 0b 'Socket-Type' 00 00 00 04 'PULL'")),
    hexOf(bytes("02 04 'PING' 00 0a")),
  ])
  t.strictSame(flushed(codec), [], "once")
})

t.test("golden: bare, the routing id stands for READY, and there are no other commands", async (t) => {
  for (const [properties, chunk] of [
    [{ "Socket-Type": "DEALER", Identity: "bob" }, "00626f62"],
    [{ "Socket-Type": "DEALER", Identity: "" }, "00"],
    [{ "Socket-Type": "PUB", "X-Earshot-Auth": "secret" }, "00"],
  ] as const) {
    const { codec } = reader(true)
    codec.command("READY", metadata(properties))
    t.strictSame(flushed(codec), [chunk])
    codec.command("PING", bytes("00 00"))
    codec.command("ERROR", bytes("03 '400'"))
    t.equal(codec.pending, 0)
    codec.command("SUBSCRIBE", utf8("A"))
    codec.message([utf8("hi")])
    t.strictSame(flushed(codec), ["000141", "006869"])
  }
})

t.test("golden: what is received", async (t) => {
  const { codec, told, frames } = reader()
  codec.greet("NULL", false)
  for (const chunk of ["02 05 'READY' 01 02", "00 'hi'", "01 'a'", "01", "00 'b'", "00", "00 01 41", "02 04 'PING'"])
    codec.receive(new Uint8Array(bytes(chunk)))
  t.strictSame(told, ["greeting 3.0 NULL true", "READY 0102", "6869 2", "61||62 2", " 0", "0141 2", "PING "])
  t.ok(
    frames.every((frame) => Buffer.isBuffer(frame)),
    "frames are Buffers, whatever the chunks were",
  )
})

t.test("a frame is a view of its chunk", async (t) => {
  const { codec, frames } = reader()
  const chunk = Buffer.concat([bytes("00"), pattern(100_000)])
  codec.receive(chunk)
  t.equal(frames[0]!.buffer, chunk.buffer)
  t.ok(pattern(100_000).equals(frames[0]!))
})

t.test("bare: a peer's first chunk is its routing id", async (t) => {
  for (const [chunk, identity] of [
    ["00 'bob'", "'bob'"],
    ["00", ""],
    ["00 ff*255", "ff*255"],
  ] as const) {
    const { codec, told } = reader(true, { maxMessageSize: -1, maxMessageParts: 1 })
    codec.receive(bytes(chunk))
    t.strictSame(told, [`READY ${hexOf(metadata({ Identity: bytes(identity) }))}`])
    t.equal(
      codeOf(() => codec.receive(bytes("00 'early'"))),
      "EPROTO",
      "and a message that comes too early is one",
    )
  }
  for (const chunk of ["01 'bob'", "02 05 'READY'", "00 ff*256"])
    t.equal(
      codeOf(() => reader(true).codec.receive(bytes(chunk))),
      "EPROTO",
      chunk,
    )
})

t.test("what is no frame is refused", async (t) => {
  for (const chunk of ["", "03", "04 05 'READY'", "80", "ff 'x'", "02", "02 00", "02 05 'REA'"])
    t.equal(
      codeOf(() => reader().codec.receive(bytes(chunk))),
      "EPROTO",
      chunk,
    )
})

t.test("limits: of a message, its frames, and commands", async (t) => {
  const limits = { maxMessageSize: 10, maxMessageParts: 3 }
  const after = (...chunks: string[]): string => {
    const { codec } = reader(false, limits)
    return codeOf(() => {
      for (const chunk of chunks) codec.receive(bytes(chunk))
    })
  }
  t.equal(after("00 61*10", "00 61*10"), "nothing thrown")
  t.equal(after("00 61*11"), "EMSGSIZE")
  t.equal(after("01 61*6", "00 61*4", "01 61*6", "01 61*4"), "nothing thrown", "each message begins anew")
  t.equal(after("01 61*6", "01 61*5"), "EMSGSIZE", "all frames together")
  t.equal(after("01", "01", "00", "01", "01", "00"), "nothing thrown")
  t.equal(after("01", "01", "01", "00"), "EMSGSIZE", "empty frames count")
  t.equal(after("02 01 'x' 00*65534"), "nothing thrown", "a command may come however small messages must be")
  t.equal(after("02 01 'x' 00*65535"), "EMSGSIZE")
  limits.maxMessageSize = -1
  t.equal(after("00"), "EPROTO")
  t.equal(after("02 01 'x'"), "nothing thrown")
})

t.test("a message that has begun is partial until it ends; commands may lie between its frames", async (t) => {
  const { codec, told } = reader()
  t.equal(codec.partial, false)
  codec.receive(bytes("01 'a'"))
  t.equal(codec.partial, true)
  codec.receive(bytes("02 04 'PING'"))
  codec.receive(bytes("00 'b'"))
  t.equal(codec.partial, false)
  t.strictSame(told, ["PING ", "61|62 2"])
})

t.test("a pause holds what follows, in order, and ends where it is told to", async (t) => {
  const { codec, told, hooks } = reader()
  const say = (...texts: string[]): void => texts.forEach((text) => codec.receive(utf8(`\0${text}`)))
  codec.pause()
  say("a", "b", "c")
  t.strictSame([told, codec.paused], [[], true])
  hooks.onMessage = () => codec.pause()
  codec.resume()
  t.strictSame(told, ["61 1"], "paused again by the first")
  codec.resume()
  t.equal(told.length, 2)
  hooks.onMessage = () => (codec.pause(), codec.resume())
  say("d")
  t.strictSame(told, ["61 1", "62 1"], "who is paused stays so, whatever comes")
  codec.resume()
  t.strictSame(told.slice(2), ["63 1", "64 1"], "a resume from inside goes on, without a second loop")
  hooks.onMessage = () => codec.pause()
  say("e", "f", "g")
  t.equal(told.length, 5)
  codec.finish()
  t.strictSame(told.slice(5), ["66 1", "67 1"], "at the end all of it comes, paused or not")
})

t.test("what arrives inside of a sink's call comes after it", async (t) => {
  const { codec, told, hooks } = reader()
  hooks.onMessage = () => {
    hooks.onMessage = () => {}
    codec.receive(utf8("\0b"))
    t.strictSame(told, ["61 1"])
  }
  codec.receive(utf8("\0a"))
  t.strictSame(told, ["61 1", "62 1"])
})

t.test("what was encoded and not flushed can be taken back: messages, and nothing else", async (t) => {
  const { codec } = reader()
  codec.message([utf8("gone")])
  codec.flush()
  const [one, two] = [[utf8("one")], [utf8("two"), utf8("parts")]]
  codec.message(one)
  codec.command("SUBSCRIBE", utf8("topic"))
  codec.message(two)
  t.strictSame(codec.takeBack(), [one, two])
  t.strictSame([codec.pending, codec.flush(), codec.takeBack()], [0, [], []])
})

t.test("64 KiB are due, flags included", async (t) => {
  const { codec } = reader()
  codec.message([pattern(65_534)])
  t.strictSame([codec.pending, codec.due], [65_535, false])
  codec.takeBack()
  codec.message([pattern(65_534), utf8("")])
  t.strictSame([codec.pending, codec.due], [65_536, true])
})

t.test("a frame may be written to once it was encoded", async (t) => {
  const { codec } = reader()
  const frame = utf8("before")
  codec.message([frame])
  frame.fill(0)
  t.strictSame(flushed(codec), [hexOf(utf8("\0before"))])
})

// --- Sessions ---

class ZwsLink extends ScriptLink {
  override readonly protocol: "zws" | "zws-bare"
  readonly chunks: string[] = []
  pings = 0
  ping?: () => void
  constructor(bare: boolean, pings = false) {
    super()
    this.protocol = bare ? "zws-bare" : "zws"
    if (pings) this.ping = () => void this.pings++
  }
  override write(chunks: readonly Uint8Array[]): boolean {
    this.chunks.push(...chunks.map(hexOf))
    return super.write(chunks)
  }
}

function session(bare: boolean, options: Partial<SessionOptions & HandshakeOptions> = {}, pings = false) {
  const clock = virtualClock()
  const link = new ZwsLink(bare, pings)
  const log: string[] = []
  const owner = {
    onReady: () => void log.push("ready"),
    onMessage: (message: Message) => void log.push(message.map(hexOf).join("|")),
    onCommand: (name: string) => void log.push(name),
    onDrain: () => {},
    onClose: (_: Session, error?: EarshotError) => void log.push(`close ${error?.code}`),
  }
  const all = {
    clock,
    properties: new Map([
      ["Socket-Type", utf8("PULL")],
      ["Identity", utf8("me")],
    ]),
    accepts: ["PUSH"] as const,
    maxMessageSize: 1000,
    maxMessageParts: 10,
    handshakeInterval: 10_000,
    batch: 1000,
    heartbeat: () => ({ interval: 1000, timeout: 1000, timeToLive: 0 }),
    ...options,
  }
  const made = new Session(link, owner, all, all)
  return { clock, link, log, session: made }
}

const READY = "02 05 'READY' 0b 'Socket-Type' 00 00 00 04 'PUSH'"
const OURS = hexOf(bytes("02 05 'READY' 0b 'Socket-Type' 00 00 00 04 'PULL' 08 'Identity' 00 00 00 02 'me'"))

t.test("a session over ZWS says READY at once, and waits for theirs", async (t) => {
  const { clock, link, log, session: made } = session(false)
  await clock.settle()
  t.strictSame(link.chunks, [OURS])
  link.feed(bytes(READY), bytes("00 'hi'"))
  t.strictSame(log, ["ready", "6869"])
  t.equal(made.type, "PUSH")

  const other = session(false)
  other.link.feed(bytes("02 05 'READY' 0b 'Socket-Type' 00 00 00 03 'SUB'"))
  t.strictSame(other.log, ["close INCOMPATIBLE"])
})

t.test("a session over bare ZWS says its routing id, and takes anybody", async (t) => {
  const { clock, link, log, session: made } = session(true)
  await clock.settle()
  t.strictSame(link.chunks, [hexOf(utf8("\0me"))])
  link.feed(bytes("00 'bob'"), bytes("00 'hi'"))
  t.strictSame(log, ["ready", "6869"])
  t.strictSame([made.type, String(made.routingId), made.earshot, made.peerMax], [undefined, "bob", false, Infinity])
  made.send([utf8("a"), utf8("b")])
  await clock.settle()
  t.strictSame(link.chunks.slice(1), ["0161", "0062"])
  link.feed(bytes("00 61*1001"))
  t.strictSame(log.slice(2), ["close EMSGSIZE"])
})

t.test("towards bare ZWS silence is no verdict; over ZWS it is where the link itself can ask", async (t) => {
  for (const [bare, pings, ends] of [
    [true, false, false],
    [true, true, false],
    [false, false, false],
    [false, true, true],
  ] as const) {
    const { clock, link, log, session: made } = session(bare, {}, pings)
    link.feed(bytes(bare ? "00" : READY))
    made.onDoubt(10)
    await clock.advance(60_000)
    t.strictSame(log, ends ? ["ready", "close ETIMEDOUT"] : ["ready"], `${bare ? "bare" : "NULL"}, ${pings}`)
    t.equal(link.pings > 0, ends)
  }
  const { clock, link, log, session: made } = session(false, {}, true)
  link.feed(bytes(READY))
  link.ping = () => made.onAlive()
  await clock.advance(60_000)
  t.strictSame(log, ["ready"], "a pong is life")
})

t.test("a judge hears a peer over ZWS before that hears anything", async (t) => {
  for (const bare of [false, true])
    for (const verdict of [{ userId: "bob" }, false] as const) {
      const { clock, link, log, session: made } = session(bare, { judge: async () => verdict })
      await clock.settle()
      t.strictSame([link.chunks, link.writes], [[], 0])
      link.feed(bytes(bare ? "00" : READY))
      await clock.settle()
      if (verdict === false) {
        t.strictSame(link.chunks, bare ? [] : [hexOf(bytes("02 05 'ERROR' 03 '400'"))])
        t.strictSame([log, link.closed, link.destroyed], [["close REFUSED"], true, false])
      } else {
        t.strictSame(link.chunks, [bare ? hexOf(utf8("\0me")) : OURS])
        t.strictSame([log, made.userId], [["ready"], "bob"])
      }
    }
})

t.test("what was not written when a link died is there to be sent again", async (t) => {
  const { clock, link, session: made } = session(false)
  link.feed(bytes(READY))
  await clock.settle()
  made.send([utf8("a"), utf8("b")])
  made.end()
  t.strictSame(made.takeBack(), [[utf8("a"), utf8("b")]])
})
