// Bytes to frames and back: golden vectors, every split, limits. No link and no time is involved.
import { createHash } from "node:crypto"
import * as fc from "fast-check"
import t from "tap"
import type { Message } from "../../lib/contract.ts"
import type { EarshotError } from "../../lib/errors.ts"
import { GreetingReader, encodeGreeting } from "../../lib/wire/greeting.ts"
import { decodeMetadata, encodeMetadata, property } from "../../lib/wire/metadata.ts"
import { NullMechanism, refusal } from "../../lib/wire/null.ts"
import { pingBody } from "../../lib/wire/probes.ts"
import { Encoder } from "../../lib/wire/encoder.ts"
import { ZmtpCodec } from "../../lib/wire/zmtp.ts"
import { bytes, command, frame, greeting, hexOf, metadata, pattern, ready, wire } from "../support/bytes.ts"

/** What a codec told its sink, in order and comparable. */
type Told = { message: string[] } | { command: string; body: string }

const NO_LIMITS = { maxMessageSize: Infinity, maxMessageParts: Infinity }
/** Hex where a person may look at it. */
const brief = (bytes: Uint8Array): string =>
  bytes.length < 1000 ? hexOf(bytes) : `${bytes.length} ${createHash("sha1").update(bytes).digest("base64")}`
const utf8 = (text: string): Buffer => Buffer.from(text)
const flushed = (codec: ZmtpCodec): Buffer => Buffer.concat(codec.flush())

/** A codec that writes down all it reads; with `minor`, after a greeting. */
function reader(minor: number | null = 1, limits = NO_LIMITS) {
  const told: Told[] = []
  const sizes: number[] = []
  const codec = new ZmtpCodec(
    {
      onGreeting: () => {},
      onMessage(message, size) {
        told.push({ message: message.map(brief) })
        sizes.push(size)
      },
      onCommand: (name, body) => void told.push({ command: name, body: brief(body) }),
    },
    limits,
  )
  if (minor !== null) codec.receive(greeting(minor))
  return { codec, told, sizes }
}

const codeOf = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    return (error as EarshotError).code
  }
  return "nothing thrown"
}

t.test("golden: greetings", async (t) => {
  t.equal(hexOf(encodeGreeting("NULL", false)), hexOf(bytes("ff 00*7 01 7f 03 01 4e554c4c 00*16 00 00*31")))
  t.equal(hexOf(encodeGreeting("PLAIN", true)), hexOf(bytes("ff 00*7 01 7f 03 01 'PLAIN' 00*15 01 00*31")))
  const read = (chunk: Uint8Array) => {
    const reader = new GreetingReader()
    t.equal(reader.receive(chunk), Math.min(64, chunk.length))
    return reader.greeting
  }
  const v30 = bytes("ff 00*8 7f 03 00 4e554c4c 00*16 00 00*31")
  const v31 = bytes("ff 00*7 01 7f 03 01 4e554c4c 00*16 00 00*31")
  t.strictSame(read(v30), { major: 3, minor: 0, mechanism: "NULL", asServer: false })
  t.strictSame(read(v31), { major: 3, minor: 1, mechanism: "NULL", asServer: false })
  t.strictSame(read(Buffer.concat([v31, utf8("more")])), { major: 3, minor: 1, mechanism: "NULL", asServer: false })
  t.equal(read(v31.subarray(0, 63)), undefined, "63 bytes are not enough")
})

t.test("golden: NULL's READY, with and without an identity", async (t) => {
  const dealer = bytes(
    `04 29 05 52 45 41 44 59 0b 53 6f 63 6b 65 74 2d 54 79 70 65 00 00 00 06 44 45 41 4c 45 52
     08 49 64 65 6e 74 69 74 79 00 00 00 00`,
  )
  const rep = bytes("04 19 05 'READY' 0b 'Socket-Type' 00 00 00 03 'REP'")
  for (const [golden, properties] of [
    [dealer, { "Socket-Type": "DEALER", Identity: "" }],
    [rep, { "Socket-Type": "REP" }],
  ] as const) {
    const mechanism = new NullMechanism(new Map(Object.entries(properties).map(([name, text]) => [name, utf8(text)])))
    const { codec } = reader()
    const first = mechanism.start()
    codec.command(first.name, first.body)
    t.equal(hexOf(flushed(codec)), hexOf(golden))

    const { codec: other, told } = reader()
    other.receive(golden)
    t.equal(told.length, 1)
    const { command: name, body } = told[0] as { command: string; body: string }
    const theirs = new NullMechanism(new Map())
    theirs.receive(name, Buffer.from(body, "hex"))
    t.equal(String(property(theirs.peer!, "Socket-Type")), properties["Socket-Type"])
    t.equal(theirs.peer!.size, Object.keys(properties).length)
  }
})

t.test("golden: SUBSCRIBE and CANCEL, as 3.1 and as 3.0 want them; both are read from both", async (t) => {
  const vectors = {
    SUBSCRIBE: { 1: "04 0b 09 53 55 42 53 43 52 49 42 45 41", 0: "00 02 01 41" },
    CANCEL: { 1: "04 08 06 43 41 4e 43 45 4c 41", 0: "00 02 00 41" },
  }
  for (const name of ["SUBSCRIBE", "CANCEL"] as const)
    for (const minor of [1, 0] as const) {
      const { codec } = reader(minor)
      codec.command(name, utf8("A"))
      t.equal(hexOf(flushed(codec)), hexOf(bytes(vectors[name][minor])), `${name} to a 3.${minor} peer`)
      for (const theirs of [1, 0]) {
        const { codec, told } = reader(theirs)
        codec.receive(bytes(vectors[name][minor]))
        const old = { message: [name === "SUBSCRIBE" ? "0141" : "0041"] }
        t.strictSame(
          told,
          [minor === 1 ? { command: name, body: "41" } : old],
          `${name} of 3.${minor}, from 3.${theirs}`,
        )
      }
    }
})

t.test("golden: topics around the short frame's end, in both spellings", async (t) => {
  for (const size of [0, 1, 244, 245, 246, 253, 254, 255, 256, 70_000]) {
    const topic = pattern(size)
    const modern = reader(1).codec
    modern.command("SUBSCRIBE", topic)
    const old = reader(0).codec
    old.command("SUBSCRIBE", topic)
    // WIRE 0.8: libzmq gets a topic of 255 bytes wrong towards 3.0.
    t.ok(flushed(modern).equals(command("SUBSCRIBE", topic)), `3.1, ${size} bytes`)
    t.ok(flushed(old).equals(wire(Buffer.concat([Buffer.from([1]), topic]))), `3.0, ${size} bytes`)
  }
})

t.test("golden: data, multiparts, a request, 256 bytes", async (t) => {
  const body = pattern(256)
  const vectors: [string, Message, Buffer][] = [
    ["ALOL", [utf8("ALOL")], bytes("00 04 41 4c 4f 4c")],
    ["a request", [Buffer.alloc(0), utf8("hi")], bytes("01 00 00 02 68 69")],
    ["a, b", [utf8("a"), utf8("b")], bytes("01 01 61 00 01 62")],
    ["empty", [Buffer.alloc(0)], bytes("00 00")],
    ["three empty frames", [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)], bytes("01 00 01 00 00 00")],
    ["255 bytes", [body.subarray(0, 255)], Buffer.concat([bytes("00 ff"), body.subarray(0, 255)])],
    ["256 bytes", [body], Buffer.concat([bytes("02 00 00 00 00 00 00 01 00"), body])],
    ["256 and 1", [body, utf8("z")], Buffer.concat([bytes("03 00 00 00 00 00 00 01 00"), body, bytes("00 01 7a")])],
  ]
  for (const [name, message, golden] of vectors) {
    const { codec, told, sizes } = reader()
    codec.message(message)
    t.equal(codec.pending, golden.length, `${name}: pending`)
    t.equal(hexOf(flushed(codec)), hexOf(golden), name)
    t.equal(codec.pending, 0)
    codec.receive(golden)
    t.strictSame(told, [{ message: message.map(brief) }], `${name}, read`)
    t.strictSame(sizes, [message.reduce((sum, part) => sum + part.length, 0)])
  }
})

t.test("golden: PING and PONG", async (t) => {
  const { codec, told } = reader()
  codec.command("PING", pingBody(0, utf8("LOL")))
  t.equal(hexOf(flushed(codec)), hexOf(bytes("04 0a 04 50 49 4e 47 00 00 4c 4f 4c")))
  codec.command("PING", pingBody(1050, Buffer.alloc(0)))
  t.equal(hexOf(flushed(codec)), hexOf(bytes("04 07 04 50 49 4e 47 00 0a")), "1050 ms are ten tenths, as libzmq has it")
  codec.command("PONG", utf8("LOL"))
  t.equal(hexOf(flushed(codec)), hexOf(bytes("04 08 04 50 4f 4e 47 4c 4f 4c")))
  codec.receive(bytes("04 0a 04 50 49 4e 47 00 00 4c 4f 4c 04 08 04 50 4f 4e 47 4c 4f 4c"))
  t.strictSame(told, [
    { command: "PING", body: "00004c4f4c" },
    { command: "PONG", body: "4c4f4c" },
  ])
})

t.test("line 6: a time-to-live is at most 655 tenths of a second, in two bytes, always there", async (t) => {
  for (const [ms, hex] of [
    [0, "0000"],
    [99, "0000"],
    [100, "0001"],
    [1050, "000a"],
    [25_600, "0100"],
    [65_500, "028f"],
    [65_600, "028f"],
    [6_553_599, "028f"],
    [Infinity, "028f"],
  ] as const)
    t.equal(hexOf(pingBody(ms, Buffer.alloc(0))), hex, `${ms} ms`)
})

t.test("golden: ERROR", async (t) => {
  const { codec, told } = reader()
  codec.receive(bytes("04 0a 05 45 52 52 4f 52 03 34 30 30"))
  t.strictSame(told, [{ command: "ERROR", body: "03343030" }])
  const error = refusal(bytes("03 34 30 30"))
  t.equal(error.code, "REFUSED")
  t.match(error.message, /400/)
  t.match(refusal(bytes("05 'a' 00 07 1b 'b'")).message, /a\?\?\?b$/, "what a peer writes is made fit for a log")
  t.equal(refusal(Buffer.concat([bytes("ff"), Buffer.alloc(255, "x")])).message.length < 300, true)
  for (const malformed of ["", "01", "05 'abc'"])
    t.equal(refusal(bytes(malformed)).code, "EPROTO", `malformed: ${malformed}`)
})

// ---------------------------------------------------------------------------------------------------------------

const EDGES = [0, 1, 2, 23, 24, 25, 254, 255, 256, 4095, 4096, 4097, 65_535, 65_536, 1 << 20]

type Item = { frames: number[] } | { name: string; size: number }

/** Few are large, so that a run has many items. */
const size = fc.oneof(
  { arbitrary: fc.constantFrom(...EDGES.slice(0, 9)), weight: 30 },
  { arbitrary: fc.constantFrom(...EDGES.slice(9, 14)), weight: 6 },
  { arbitrary: fc.constant(1 << 20), weight: 1 },
  { arbitrary: fc.nat(6000), weight: 4 },
)
const item: fc.Arbitrary<Item> = fc.oneof(
  { arbitrary: fc.record({ frames: fc.array(size, { minLength: 1, maxLength: 1 }) }), weight: 5 },
  { arbitrary: fc.record({ frames: fc.array(size, { minLength: 1, maxLength: 6 }) }), weight: 3 },
  { arbitrary: fc.record({ name: fc.constantFrom("PING", "SUBSCRIBE", "X", "Z".repeat(255)), size }), weight: 2 },
)

/** Items with contents, how they are told, and what they are on the wire. */
function make(items: readonly Item[]) {
  let seed = 0
  const made = items.map((item) =>
    "frames" in item
      ? { message: item.frames.map((size) => pattern(size, ++seed)), name: "", body: Buffer.alloc(0) }
      : { message: undefined, name: item.name, body: pattern(item.size, ++seed) },
  )
  const told: Told[] = made.map(({ message, name, body }) =>
    message === undefined ? { command: name, body: brief(body) } : { message: message.map(brief) },
  )
  const stream = Buffer.concat(
    made.map(({ message, name, body }) => (message === undefined ? command(name, body) : wire(...message))),
  )
  return { made, told, stream }
}

t.test("what is encoded is what RFC 37 says, wherever it is flushed, and flushed memory is left alone", async (t) => {
  const run = fc.property(
    fc.array(fc.tuple(item, fc.constantFrom("on", "on", "flush", "flush", "release", "release late")), {
      maxLength: 40,
    }),
    (steps) => {
      const { made, stream } = make(steps.map(([item]) => item))
      // Another codec of the same process borrows the same slabs.
      const codecs = [reader().codec, reader().codec] as const
      const out: { chunk: Uint8Array; was: Buffer }[] = []
      const keep = (chunks: readonly Uint8Array[]): void => {
        for (const chunk of chunks) out.push({ chunk, was: Buffer.from(chunk) })
      }
      const written: Buffer[][] = [[], []]
      made.forEach(({ message, name, body }, i) => {
        for (const codec of codecs)
          if (message === undefined) codec.command(name, body)
          else codec.message(message)
        if (steps[i]![1] === "on") return
        // With something pending it must not take what the pending lies in.
        if (steps[i]![1] === "release late") return codecs.forEach((codec) => codec.release(true))
        for (const [n, codec] of codecs.entries()) {
          const chunks = codec.flush()
          written[n]!.push(...chunks.map((chunk) => Buffer.from(chunk)))
          keep(chunks)
        }
        for (const { chunk, was } of out) if (!was.equals(chunk)) throw new Error("flushed memory was written to")
        if (steps[i]![1] !== "release") return
        out.length = 0
        for (const codec of codecs) codec.release(true)
      })
      for (const [n, codec] of codecs.entries()) {
        written[n]!.push(...codec.flush().map((chunk) => Buffer.from(chunk)))
        if (codec.pending !== 0) throw new Error("something is pending")
      }
      return written.every((chunks) => Buffer.concat(chunks).equals(stream))
    },
  )
  t.doesNotThrow(() => fc.assert(run, { numRuns: 120 }))
})

t.test("frames of every size at the end of a slab", async (t) => {
  const filler = pattern(3000, 7)
  let wrong = 0
  for (let left = 0; left <= 40; left++)
    for (let size = 0; size <= 32; size++) {
      const { codec } = reader()
      // Up to so many bytes before the end of 64 KiB.
      const body = Array.from({ length: 21 }, () => filler)
      const rest = 65_536 - 21 * 3009 - left - 9
      const frames = [...body, pattern(rest, 8), pattern(size, 9), pattern(300, 10)]
      for (const each of frames) codec.frame(0, each)
      if (!flushed(codec).equals(Buffer.concat(frames.map((each) => frame(0, each))))) wrong++
    }
  t.equal(wrong, 0)
})

t.test("what is encoded and split anywhere decodes to the same", async (t) => {
  const run = fc.property(
    fc.array(item, { minLength: 1, maxLength: 30 }),
    fc.array(fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(600)), { maxLength: 40 }),
    fc.boolean(),
    (items, cuts, greeted) => {
      const { made, told: expected } = make(items)
      const { codec: encoder } = reader()
      if (greeted) encoder.greet("NULL", false)
      for (const { message, name, body } of made)
        if (message === undefined) encoder.command(name, body)
        else encoder.message(message)
      const stream = flushed(encoder)
      // Fractions fall anywhere, whole numbers into the first frames.
      const at = cuts.map((cut) =>
        Math.min(stream.length, Number.isInteger(cut) ? cut : Math.floor(cut * stream.length)),
      )
      at.sort((a, b) => a - b)
      const { codec, told } = reader(greeted ? null : 1)
      let from = 0
      for (const to of [...at, stream.length]) {
        // A chunk of its own, as from the system: what is kept of the one before must not need it.
        const chunk = Buffer.from(stream.subarray(from, to))
        codec.receive(chunk)
        if (from === to) continue
        from = to
      }
      if (codec.partial) return false
      return JSON.stringify(told) === JSON.stringify(expected)
    },
  )
  t.doesNotThrow(() => fc.assert(run, { numRuns: 120 }))
})

/** A little of everything. */
const MIX: Item[] = [
  { frames: [0] },
  { frames: [3] },
  { name: "PING", size: 5 },
  { frames: [0, 2, 0] },
  { frames: [256] },
  { name: "SUBSCRIBE", size: 250 },
  { frames: [1, 260, 1] },
  { frames: [1] },
]

t.test("every split point, in two and byte by byte", async (t) => {
  const { told: expected, stream } = make(MIX)
  const whole = Buffer.concat([greeting(), stream])
  for (let cut = 0; cut <= whole.length; cut++) {
    const { codec, told } = reader(null)
    codec.receive(Buffer.from(whole.subarray(0, cut)))
    codec.receive(Buffer.from(whole.subarray(cut)))
    if (!t.strictSame(told, expected, `cut at ${cut}`)) return
  }
  const { codec, told } = reader(null)
  for (const byte of whole) codec.receive(Buffer.from([byte]))
  t.strictSame(told, expected, "byte by byte")
})

t.test("every pair of split points of a short stream", async (t) => {
  const { told: expected, stream } = make([
    { frames: [2] },
    { frames: [1, 0, 3] },
    { name: "X", size: 2 },
    { frames: [256] },
    { frames: [0] },
  ])
  let wrong = 0
  for (let first = 0; first <= stream.length; first++)
    for (let second = first; second <= stream.length; second += second < 40 || second > stream.length - 12 ? 1 : 37) {
      const { codec, told } = reader()
      codec.receive(Buffer.from(stream.subarray(0, first)))
      codec.receive(Buffer.from(stream.subarray(first, second)))
      codec.receive(Buffer.from(stream.subarray(second)))
      if (JSON.stringify(told) !== JSON.stringify(expected)) wrong++
    }
  t.equal(wrong, 0)
})

t.test("commands between the frames of a message are told before it", async (t) => {
  const { codec, told } = reader()
  codec.receive(Buffer.concat([frame(1, utf8("a")), command("PING", pingBody(0, utf8("x"))), frame(0, utf8("b"))]))
  t.strictSame(told, [{ command: "PING", body: "000078" }, { message: ["61", "62"] }])
})

t.test("a LONG frame for what would fit a short one is taken", async (t) => {
  const { codec, told } = reader()
  codec.receive(bytes("02 00*7 02 'hi' 03 00*7 00 00 01 'x' 06 00*7 03 01 'Xy'"))
  t.strictSame(told, [{ message: ["6869"] }, { message: ["", "78"] }, { command: "X", body: "79" }])
})

t.test("a frame within one chunk is a view of it, one across chunks is not", async (t) => {
  const frames: Uint8Array[] = []
  const sink = { onGreeting() {}, onMessage: (message: Message) => void frames.push(...message), onCommand() {} }
  const codec = new ZmtpCodec(sink, NO_LIMITS)
  codec.receive(greeting())
  const chunk = Buffer.concat([wire("first"), wire("second").subarray(0, 4)])
  codec.receive(chunk)
  codec.receive(wire("second").subarray(4))
  t.strictSame(frames.map(String), ["first", "second"])
  t.equal(frames[0]!.buffer, chunk.buffer)
  t.not(frames[1]!.buffer, chunk.buffer)
  t.ok(
    frames.every((part) => Buffer.isBuffer(part)),
    "all are Buffers",
  )
  const plain = new Uint8Array(wire("third"))
  codec.receive(plain)
  t.ok(Buffer.isBuffer(frames[2]), "also from chunks that are none")
})

t.test("pause holds back from the next message on, whatever the chunks; resume goes on", async (t) => {
  const { told: expected, stream } = make(MIX)
  const chunkings = [[stream.length], [1], [2], [3], [7], [64], [5, 300], [299, 1]]
  for (const chunking of chunkings)
    for (let every = 1; every <= expected.length; every++) {
      const told: Told[] = []
      let paused = false
      const note = (one: Told): void => {
        if (paused) throw new Error("told while paused")
        told.push(one)
        if (told.length % every > 0) return
        paused = true
        codec.pause()
      }
      const codec: ZmtpCodec = new ZmtpCodec(
        {
          onGreeting() {},
          onMessage: (message) => note({ message: message.map(brief) }),
          onCommand: (name, body) => note({ command: name, body: brief(body) }),
        },
        NO_LIMITS,
      )
      codec.receive(greeting())
      const resume = (): void => {
        t.equal(codec.paused, true)
        paused = false
        codec.resume()
      }
      // Once resumed as soon as paused, once only when all chunks are there.
      for (const late of [false, true]) {
        told.length = 0
        for (let at = 0, turn = 0; at < stream.length; turn++) {
          const to = Math.min(stream.length, at + chunking[turn % chunking.length]!)
          codec.receive(Buffer.from(stream.subarray(at, to)))
          at = to
          while (paused && !late) resume()
        }
        if (late && every <= expected.length) t.equal(told.length, every, "nothing was told while paused")
        while (paused) resume()
        if (!t.strictSame(told, expected, `chunks of ${chunking.join()}, paused after ${every}`)) return
      }
    }
})

t.test("pausing and resuming within a sink's call changes nothing", async (t) => {
  const { told: expected, stream } = make(MIX)
  const told: Told[] = []
  const codec: ZmtpCodec = new ZmtpCodec(
    {
      onGreeting() {},
      onMessage(message) {
        told.push({ message: message.map(brief) })
        codec.pause()
        codec.resume()
      },
      onCommand(name, body) {
        told.push({ command: name, body: brief(body) })
        // What comes in meanwhile waits its turn.
        if (name === "PING") codec.receive(wire("behind"))
        if (name === "PING") codec.pause()
      },
    },
    NO_LIMITS,
  )
  codec.receive(greeting())
  codec.receive(stream)
  t.equal(told.length, 3, "paused by the PING")
  codec.resume()
  t.strictSame(told, [...expected, { message: [utf8("behind").toString("hex")] }])
})

t.test(
  "skim is asked about messages of one frame that lie in one chunk, where they lie, and about nothing else",
  async (t) => {
    const { codec, told } = reader()
    const asked: string[] = []
    codec.skim = (bytes, from, size) => {
      const text = Buffer.from(bytes.subarray(from, from + size)).toString()
      asked.push(text)
      if (text === "halt") codec.pause()
      return text !== "left"
    }
    const parts = Buffer.concat([frame(1, utf8("a")), frame(0, utf8("b"))])
    codec.receive(Buffer.concat([frame(0, utf8("one")), parts, command("PING", "00 00"), frame(0, utf8("left"))]))
    const split = frame(0, utf8("split"))
    codec.receive(Buffer.concat([frame(0, utf8("halt")), frame(0, utf8("late")), split.subarray(0, 4)]))
    t.strictSame(asked, ["one", "left", "halt"])
    codec.resume()
    codec.receive(split.subarray(4))
    codec.receive(frame(0, utf8("long".repeat(100))))
    t.strictSame(asked, ["one", "left", "halt", "late", "long".repeat(100)])
    const hex = (text: string): string => hexOf(utf8(text))
    t.strictSame(
      told.map((each) => ("message" in each ? each.message : each.command)),
      [[hex("a"), hex("b")], "PING", [hex("left")], [hex("split")]],
    )
  },
)

t.test("takeBack gives what was encoded and not flushed, and forgets it", async (t) => {
  for (const minor of [1, 0]) {
    const { codec } = reader(minor)
    codec.message([utf8("gone")])
    const gone = flushed(codec)
    const messages = [[utf8("a")], [pattern(5000), Buffer.alloc(0), pattern(70_000)], [pattern(256)], [Buffer.alloc(0)]]
    for (const [i, message] of messages.entries()) {
      codec.message(message)
      if (i === 1) codec.command("PING", pingBody(0, utf8("x")))
    }
    const back = codec.takeBack()
    t.ok(gone.equals(wire("gone")))
    t.strictSame(
      back.map((message) => message.map(brief)),
      messages.map((message) => message.map(brief)),
    )
    t.equal(codec.pending, 0)
    t.strictSame(codec.takeBack(), [])
    // Their memory is nobody else's afterwards.
    const { codec: other } = reader(minor)
    for (let i = 0; i < 100; i++) {
      codec.message([pattern(2000, i)])
      other.message([pattern(2000, i + 1)])
    }
    t.strictSame(
      back.map((message) => message.map(brief)),
      messages.map((message) => message.map(brief)),
    )
    t.ok(
      flushed(codec)
        .subarray(0, 2009)
        .equals(wire(pattern(2000, 0))),
      "and the codec goes on",
    )
  }
})

// ---------------------------------------------------------------------------------------------------------------

t.test("sizes that nobody can mean are refused, with and without a limit", async (t) => {
  for (const maxMessageSize of [Infinity, 128 << 20])
    for (const [head, code] of [
      ["02 80 00*7", "EMSGSIZE"], // 2^63
      ["02 ff*8", "EMSGSIZE"],
      ["02 7f ff*7", "EMSGSIZE"],
      ["02 00 20 00*6", "EMSGSIZE"], // 2^53
      ["03 01 00*7", "EMSGSIZE"],
      ["06 00 20 00*6", "EMSGSIZE"],
      ["06 80 00*7", "EMSGSIZE"],
    ] as const)
      for (const split of [0, 1, 5]) {
        const { codec } = reader(1, { ...NO_LIMITS, maxMessageSize })
        const chunk = bytes(head)
        const receive = (): void => {
          codec.receive(chunk.subarray(0, split))
          codec.receive(chunk.subarray(split))
        }
        t.equal(codeOf(receive), code, `${head}, at most ${maxMessageSize}, in chunks of ${split} and more`)
      }
})

t.test("maxMessageSize counts all frames of a message, commands apart", async (t) => {
  const limits = { maxMessageSize: 1000, maxMessageParts: 100 }
  const refused = (...chunks: Buffer[]): string => {
    const { codec } = reader(1, limits)
    return codeOf(() => chunks.forEach((chunk) => codec.receive(chunk)))
  }
  t.equal(refused(wire(pattern(1000))), "nothing thrown")
  t.equal(refused(wire(pattern(1001))), "EMSGSIZE")
  t.equal(refused(wire(pattern(500), pattern(500)), wire(pattern(1000))), "nothing thrown")
  t.equal(refused(wire(pattern(500), pattern(501))), "EMSGSIZE")
  t.equal(refused(wire(pattern(200), pattern(200), pattern(200), pattern(200), pattern(201))), "EMSGSIZE")
  t.equal(refused(wire(pattern(1001)).subarray(0, 9)), "EMSGSIZE", "by the head alone")
  t.equal(refused(frame(1, pattern(900)), command("PING", pattern(200)), frame(0, pattern(100))), "nothing thrown")
  t.equal(refused(command("SUBSCRIBE", pattern(65_526))), "nothing thrown", "commands may be 64 KiB")
  t.equal(refused(command("SUBSCRIBE", pattern(65_527))), "EMSGSIZE")
})

t.test("maxMessageParts counts empty frames too", async (t) => {
  const limits = { maxMessageSize: 1000, maxMessageParts: 3 }
  const parts = (count: number): Buffer => wire(...Array.from({ length: count }, () => ""))
  for (const [count, code] of [
    [1, "nothing thrown"],
    [3, "nothing thrown"],
    [4, "EMSGSIZE"],
  ] as const) {
    t.equal(
      codeOf(() => reader(1, limits).codec.receive(parts(count))),
      code,
      `${count} empty frames`,
    )
    const { codec } = reader(1, limits)
    const receive = (): void => {
      for (const byte of parts(count)) codec.receive(Buffer.from([byte]))
    }
    t.equal(codeOf(receive), code, `${count} empty frames, byte by byte`)
  }
  const { codec, told } = reader(1, limits)
  codec.receive(Buffer.concat([parts(3), parts(3), wire("a"), parts(2)]))
  t.equal(told.length, 4, "message for message")
})

t.test("memory for a claimed size is never taken up front", async (t) => {
  const before = process.memoryUsage().arrayBuffers
  const codecs = Array.from({ length: 50 }, () => reader(1, { ...NO_LIMITS, maxMessageSize: 128 << 20 }).codec)
  for (const codec of codecs) {
    codec.receive(bytes("02 00 00 00 00 06 40 00 00 'abc'"))
    codec.receive(pattern(100))
  }
  t.ok(codecs.every((codec) => codec.partial))
  const taken = process.memoryUsage().arrayBuffers - before
  t.ok(taken < 2 << 20, `${taken} bytes for 50 frames of 100 MiB that have brought 103 bytes each`)
})

t.test("a large frame that trickles in is gathered whole", async (t) => {
  const body = pattern(3 << 20)
  const stream = wire(body)
  for (const step of [1000, 65_536, 1 << 20]) {
    const { codec, told } = reader()
    for (let at = 0; at < stream.length; at += step) codec.receive(Buffer.from(stream.subarray(at, at + step)))
    t.ok((told as { message: string[] }[])[0]!.message[0] === brief(body), `in chunks of ${step}`)
  }
})

t.test("flags that mean nothing are refused", async (t) => {
  for (let flags = 0; flags < 256; flags++) {
    const good = [0, 1, 2, 3, 4, 6].includes(flags)
    const body = flags & 2 ? bytes("00*7 02 01 'X'") : bytes("02 01 'X'")
    for (const chunk of [Buffer.concat([Buffer.from([flags]), body])]) {
      t.equal(
        codeOf(() => reader().codec.receive(chunk)),
        good ? "nothing thrown" : "EPROTO",
        `0x${flags.toString(16)}`,
      )
      const { codec } = reader()
      const bitwise = (): void => {
        for (const byte of chunk) codec.receive(Buffer.from([byte]))
      }
      t.equal(codeOf(bitwise), good ? "nothing thrown" : "EPROTO", `0x${flags.toString(16)}, byte by byte`)
    }
  }
})

t.test("commands without a name are refused", async (t) => {
  for (const chunk of ["04 00", "04 01 00", "04 03 00 'ab'", "04 03 03 'ab'", "06 00*8"])
    t.equal(
      codeOf(() => reader().codec.receive(bytes(chunk))),
      "EPROTO",
      chunk,
    )
  const { codec, told } = reader()
  codec.receive(bytes("04 02 01 'X'"))
  t.strictSame(told, [{ command: "X", body: "" }], "one without a body is fine")
})

// ---------------------------------------------------------------------------------------------------------------

t.test("metadata: there and back", async (t) => {
  const map = new Map<string, Buffer>([
    ["Socket-Type", utf8("DEALER")],
    ["Identity", Buffer.alloc(0)],
    ["X-a.b+c_d-9", pattern(300)],
    ["x".repeat(255), pattern(3)],
  ])
  const encoded = encodeMetadata(map)
  t.strictSame(new Map([...decodeMetadata(encoded)].map(([name, value]) => [name, Buffer.from(value)])), map)
  t.equal(decodeMetadata(Buffer.alloc(0)).size, 0)
  t.equal(hexOf(encodeMetadata(new Map([["A", utf8("b")]]))), hexOf(bytes("01 'A' 00 00 00 01 'b'")))
})

t.test("metadata: malformed", async (t) => {
  const good = metadata({ "Socket-Type": "PUSH" })
  for (const [what, body] of [
    ["one stray byte", Buffer.concat([good, bytes("00")])],
    ["a name of no length", bytes("00 00 00 00 01 'x'")],
    ["a name and nothing else", bytes("03 'abc'")],
    ["a name cut short", bytes("05 'abc'")],
    ["a length cut short", bytes("03 'abc' 00 00 00")],
    ["a value cut short", bytes("03 'abc' 00 00 00 03 'xy'")],
    ["a value of 4 GiB", bytes("03 'abc' ff ff ff ff 'xy'")],
    ["a value of 2 GiB", bytes("03 'abc' 80 00 00 00 'xy'")],
    ["a blank in a name", bytes("03 'a c' 00 00 00 00")],
    ["a byte over 127 in a name", bytes("03 61 e9 63 00 00 00 00")],
    ["a zero in a name", bytes("03 61 00 63 00 00 00 00")],
    ["cut anywhere", good.subarray(0, -1)],
  ] as const)
    t.equal(
      codeOf(() => decodeMetadata(body)),
      "EPROTO",
      what,
    )
  for (let cut = 1; cut < good.length; cut++)
    t.equal(
      codeOf(() => decodeMetadata(good.subarray(0, cut))),
      "EPROTO",
      `cut at ${cut}`,
    )
  const many = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`X-${i}`, ""]))
  t.equal(
    codeOf(() => decodeMetadata(metadata(many))),
    "EPROTO",
    "257 properties",
  )
  const prototype = decodeMetadata(metadata({ ["__proto__"]: "x", constructor: "y", hasOwnProperty: "z" }))
  t.equal(String(property(prototype, "constructor")), "y", "names of Object's own are names like others")
  t.equal(property(prototype, "toString"), undefined)
})

t.test("line 5: property names are written in libzmq's case and read in any", async (t) => {
  const { codec } = reader()
  const mechanism = new NullMechanism(new Map([["Socket-Type", utf8("PUSH")]]))
  codec.command("READY", mechanism.start().body)
  t.ok(flushed(codec).equals(ready("PUSH")))
  for (const name of ["Socket-Type", "socket-type", "SOCKET-TYPE", "sOCKET-tYPE"])
    t.equal(String(property(decodeMetadata(metadata({ [name]: "PULL" })), "Socket-Type")), "PULL", name)
  const both = decodeMetadata(metadata({ "socket-type": "PUSH", "Socket-Type": "PULL" }))
  t.equal(String(property(both, "Socket-Type")), "PULL", "the exact one counts")
})

t.test("metadata outlives its chunk", async (t) => {
  const chunk = metadata({ Identity: "me" })
  const decoded = decodeMetadata(chunk)
  chunk.fill(0)
  t.equal(String(property(decoded, "Identity")), "me")
})

t.test("greetings: versions", async (t) => {
  const minorOf = (major: number, minor: number): number => {
    const reader = new GreetingReader()
    reader.receive(greeting(minor, "NULL", major))
    return reader.greeting!.minor
  }
  t.equal(minorOf(3, 0), 0)
  t.equal(minorOf(3, 1), 1)
  t.equal(minorOf(3, 2), 1, "the smaller of ours and theirs")
  t.equal(minorOf(3, 255), 1)
  t.equal(minorOf(4, 0), 1, "majors after 3 are treated as 3.1")
  t.equal(minorOf(255, 0), 1)
})

t.test("greetings: what is none is refused as soon as that can be seen", async (t) => {
  const refusedAt = (chunk: Buffer): [number, string, string] => {
    const reader = new GreetingReader()
    for (const [i, byte] of chunk.entries())
      try {
        reader.receive(Buffer.from([byte]))
      } catch (error) {
        return [i + 1, (error as EarshotError).code, (error as EarshotError).message]
      }
    return [0, "nothing thrown", ""]
  }
  const whole = (chunk: Buffer): string =>
    codeOf(() => {
      const reader = new GreetingReader()
      reader.receive(chunk)
      return reader.greeting
    })
  for (const [what, chunk, at, code, says] of [
    ["ZMTP 1.0, anonymous", bytes("01 00"), 2, "VERSION", /1\.0/],
    ["ZMTP 1.0 with an identity of 3 bytes", bytes("04 00 'bob'"), 2, "VERSION", /1\.0/],
    ["ZMTP 1.0 with an identity of 200 bytes", bytes("c9 00 61*200"), 2, "VERSION", /1\.0/],
    ["ZMTP 1.0 with a long identity", bytes("ff 00*7 09 00 'identity'"), 10, "VERSION", /1\.0/],
    ["ZMTP 1.0 with a signature", bytes("ff 00*7 01 7f 00 00*53"), 11, "VERSION", /1\.0/],
    ["ZMTP 2.0", bytes("ff 00*7 01 7f 01 07 00 00"), 11, "VERSION", /2\.0/],
    ["ZMTP 2.1, as some wrote it", bytes("ff 00*7 01 7f 02 01"), 11, "VERSION", /2\.0/],
    ["HTTP", utf8("GET / HTTP/1.1\r\n"), 2, "EPROTO", /0x47/],
    ["TLS", bytes("16 03 01 00*61"), 2, "EPROTO", /0x16/],
    ["SSH", utf8("SSH-2.0-OpenSSH_9\r\n"), 2, "EPROTO", /0x53/],
    ["zeros", Buffer.alloc(64), 1, "EPROTO", /0x00/],
  ] as const) {
    const [seen, sort, message] = refusedAt(chunk)
    t.equal(seen, at, `${what}: at byte ${at}`)
    t.equal(sort, code, what)
    t.match(message, says)
    t.equal(whole(chunk), code, `${what}, in one chunk`)
  }
})

t.test("greetings: mechanism names", async (t) => {
  const of = (field: Buffer) => {
    const bytes = greeting(1, "")
    field.copy(bytes, 12)
    const reader = new GreetingReader()
    reader.receive(bytes)
    return reader.greeting!.mechanism
  }
  t.equal(of(utf8("NULL")), "NULL")
  t.equal(of(utf8("X".repeat(20))), "X".repeat(20), "all 20 bytes")
  t.equal(of(Buffer.alloc(0)), "")
  t.equal(
    codeOf(() => of(bytes("'NULL' 00 'x'"))),
    "EPROTO",
    "something behind the padding",
  )
})

t.test("line 2: padding and as-server are not read", async (t) => {
  for (const padding of ["00*8", "ff*8", "00*7 04", "01 02 03 04 05 06 07 08"]) {
    const chunk = greeting()
    bytes(padding).copy(chunk, 1)
    // libzmq writes 7f; only the low bit is what tells it from a ZMTP 1.0 frame.
    for (const [at, value] of [
      [9, 0x7f],
      [9, 0x01],
      [32, 0],
      [32, 1],
      [32, 255],
      [63, 9],
    ] as const) {
      chunk[at] = value
      const reader = new GreetingReader()
      reader.receive(chunk)
      t.equal(reader.greeting?.mechanism, "NULL", `${padding}, byte ${at} = ${value}`)
    }
  }
})

t.test("the heads of frames that travel by reference take little memory, however large those are", async (t) => {
  const encoder = new Encoder()
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 3; n++) encoder.message([Buffer.alloc(65_536)])
    t.equal(encoder.due, true)
    const heads = encoder.flush().filter(({ length }) => length < 65_536)
    t.equal(heads.length, 3)
    for (const head of heads) t.ok(head.buffer.byteLength <= 256, `${head.buffer.byteLength} bytes`)
    encoder.release(true)
  }
})
