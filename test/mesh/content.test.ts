// Contents of mesh messages: their bytes as PROTOCOL.md has them, round trips, memory, and what is no content.
import { deepStrictEqual } from "node:assert"
import * as fc from "fast-check"
import t from "tap"
import type { Test } from "tap"
import { EarshotError } from "../../lib/errors.ts"
import { Codecs, json, raw, text } from "../../lib/mesh/codecs.ts"
import { Content, decodeContent, encodeContent, type ContentContext } from "../../lib/mesh/content.ts"
import type { Headers, PayloadCodec } from "../../lib/mesh/contract.ts"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import { SubjectCache } from "../../lib/mesh/subject-bytes.ts"
import { bytes, hexOf } from "../support/bytes.ts"

const inverted: PayloadCodec = {
  name: "verkehrt-ß",
  encode: (value) => Buffer.from(String(value)).map((byte) => byte ^ 255),
  decode: (encoded) =>
    Buffer.from(encoded)
      .map((byte) => byte ^ 255)
      .toString(),
}
const codecs = {
  raw: new Codecs(raw),
  msgpack: new Codecs(msgpack, [inverted]),
  json: new Codecs(json),
  text: new Codecs(text),
  inverted: new Codecs(inverted),
}
const context = (): ContentContext => ({ codecs: codecs.msgpack, subjects: new SubjectCache() })

/** As it arrives: behind a frame of the link's. */
const decode = (frames: Uint8Array[], at: ContentContext = context()): Content =>
  decodeContent([Buffer.from("link"), ...frames], 1, at)

function code(t: Test, wanted: string, run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof EarshotError)) throw error
    t.equal(error.code, wanted, error.message)
    return
  }
  t.fail(`no ${wanted}`)
}

const subject = fc.oneof(
  fc.constantFrom("", "a", "sensors.kitchen.temp"),
  fc.string({ unit: "grapheme", maxLength: 300 }),
)
const headers: fc.Arbitrary<Headers> = fc.dictionary(
  fc.string({ unit: "grapheme" }).filter((name) => name !== "__proto__"),
  fc.oneof(fc.string({ unit: "grapheme" }), fc.array(fc.string({ unit: "grapheme" }))),
  { noNullPrototype: true },
)

t.test("contents go round, whatever subject, headers, codec and size", async (t) => {
  const at = context()
  const property = fc.property(
    subject,
    fc.option(headers, { nil: undefined }),
    fc.constantFrom("raw", "msgpack", "json", "text", "inverted" as const),
    fc.oneof(fc.nat({ max: 100 }), fc.constantFrom(511, 512, 513, 4090, 4094, 4096, 4097, 5000, 20_000)),
    (name, given, kind, size) => {
      const sent: unknown = kind === "raw" ? Buffer.alloc(size, "r") : "x".repeat(size)
      const frames = encodeContent(name, codecs[kind].standard, sent, given)
      const content = decode(frames, at)
      deepStrictEqual(content.subject, name)
      deepStrictEqual(content.headers, given ?? {})
      deepStrictEqual(content.data, sent)
      deepStrictEqual(content.problem, undefined)
      const { codec } = codecs[kind].standard
      deepStrictEqual(content.codecName, codec.name)
      deepStrictEqual(Buffer.from(content.raw), Buffer.from(codec.encode(sent)))
      const { length } = content.raw
      // msgpack writes up to 4 KiB behind its head, unless that is long.
      if (length <= 512) deepStrictEqual(frames.length, 1)
      else if (length > 4096 || kind !== "msgpack") deepStrictEqual(frames.length, 2)
    },
  )
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500, seed: 4 }))
})

t.test("their bytes", async (t) => {
  const hex = (...parts: Parameters<typeof encodeContent>): string =>
    encodeContent(...parts)
      .map(hexOf)
      .join(" | ")
  const of = (line: string): string => hexOf(bytes(line))
  t.equal(hex("a.b", codecs.raw.standard, Buffer.from([9])), of("00 03 'a.b' 00 00 00 09"))
  t.equal(hex("", codecs.text.standard, "ä"), of("00 00 03 00 00 c3 a4"))
  t.equal(hex("é", codecs.msgpack.standard, { a: 1 }), of("00 02 c3 a9 01 00 00 81 a1 'a' 01"))
  t.equal(
    hex("a", codecs.json.standard, 1, { k: "v", l: ["m", "n"] }),
    of("00 01 'a' 02 00 0c 82 a1 'k' a1 'v' a1 'l' 92 a1 'm' a1 'n'") + of("'1'"),
  )
  t.equal(hex("a", codecs.msgpack.standard, 1, {}), of("00 01 'a' 01 00 00 01"), "empty headers are none")
  t.equal(hex("a", codecs.inverted.standard, "xy"), of("00 01 'a' ff 0b 'verkehrt-' c3 9f 00 00 87 86"))
  t.equal(
    hex("a", codecs.raw.standard, Buffer.alloc(513, 7)),
    `${of("00 01 'a' 00 00 00")} | ${"07".repeat(513)}`,
    "a large body is a frame of its own",
  )
  const head = of(`01 2c '${"s".repeat(300)}' 01 00 00`)
  t.equal(hex("s".repeat(300), codecs.msgpack.standard, true), head + of("c3"), "a head too long for msgpack's room")
})

t.test("memory: what was given is never written to again, and large bodies are not copied", async (t) => {
  const sent = Array.from({ length: 5000 }, (_, i) => {
    const kind = (["raw", "msgpack", "text"] as const)[i % 3]!
    const data = kind === "raw" ? Buffer.from(`number ${i}`) : `number ${i}`
    const frames = encodeContent(`s.${i % 7}`, codecs[kind].standard, data, i % 5 === 0 ? { i: String(i) } : undefined)
    return { frames, before: frames.map(hexOf).join() }
  })
  for (const [i, { frames, before }] of sent.entries()) {
    if (frames.map(hexOf).join() !== before) t.fail(`content ${i} was written over`)
    if (!String(decode(frames).data).startsWith(`number ${i}`)) t.fail(`content ${i} is another`)
    if (frames[0]!.buffer.byteLength > 16_384) t.fail(`content ${i} holds on to too much`)
  }
  const large = Buffer.alloc(5000, 1)
  const frames = encodeContent("a", codecs.raw.standard, large)
  t.equal(frames[1], large)
  t.equal(decode(frames).raw, large)
  const small = Buffer.from("abc")
  const copied = encodeContent("a", codecs.raw.standard, small)
  small.fill(0)
  t.equal(String(decode(copied).data), "abc", "small ones are")
})

t.test("what can't be sent", async (t) => {
  const { standard } = codecs.msgpack
  for (const wrong of [
    { a: 1 },
    { a: [1] },
    { a: null },
    { a: { b: "c" } },
    { a: undefined },
    [],
    "a",
    null,
    new Map(),
    5,
  ])
    code(t, "EINVAL", () => encodeContent("a", standard, 1, wrong as unknown as Headers))
  code(t, "TOO_LARGE", () => encodeContent("a", standard, 1, { a: "x".repeat(65_536) }))
  t.equal(decode(encodeContent("a", standard, 1, { a: "x".repeat(65_000) })).headers["a"]!.length, 65_000)
  code(t, "INVALID_SUBJECT", () => encodeContent("x".repeat(65_536), standard, 1))
  t.equal(decode(encodeContent("x".repeat(65_535), standard, 1)).subject.length, 65_535)
  code(t, "ENCODE", () => encodeContent("a", standard, () => {}))
  const cause = new Error("no")
  const failing: PayloadCodec = { ...inverted, encode: () => { throw cause } } // prettier-ignore
  t.throws(() => encodeContent("a", new Codecs(failing).standard, 1), { code: "ENCODE", cause })
  const careless = { ...inverted, encode: () => "bytes" } as unknown as PayloadCodec
  code(t, "ENCODE", () => encodeContent("a", new Codecs(careless).standard, 1))
})

t.test("data that can't be decoded is undefined, and says why", async (t) => {
  const unknown = decode([bytes("00 01 'a' 11 00 00 'body'")])
  t.equal(unknown.codec, undefined)
  t.equal(unknown.codecName, "17")
  t.equal(unknown.data, undefined)
  t.equal(unknown.problem?.code, "DECODE")
  t.equal(String(unknown.raw), "body")
  t.equal(unknown.subject, "a")
  const named = decode([bytes("00 01 'a' ff 03 'xml' 00 00 '<a/>'")])
  t.equal(named.codec, undefined)
  t.equal(named.codecName, "xml")
  t.match(named.problem, { code: "DECODE", message: /"xml"/ })
  t.equal(decode([bytes("00 01 'a' ff 04 'json' 00 00 '[1]'")]).codec, json, "a name will do where there is a number")
  const broken = decode([bytes("00 01 'a' 01 00 00 91")])
  t.equal(broken.data, undefined)
  t.equal(broken.problem?.code, "DECODE")
  t.equal(broken.problem, broken.problem, "decoded once")
  const cause = new Error("no")
  const failing: PayloadCodec = { ...inverted, decode: () => { throw cause } } // prettier-ignore
  const subjects = new SubjectCache()
  const frames = encodeContent("a", codecs.inverted.standard, "b")
  t.match(decode(frames, { codecs: new Codecs(msgpack, [failing]), subjects }).problem, { code: "DECODE", cause })
  const absent = decode([bytes("00 01 'a' 01 00 00 d4 00 00")])
  t.equal(absent.data, undefined)
  t.equal(absent.problem, undefined, "undefined itself is no problem")
})

t.test("cut off or split anywhere, it is no content, or has a shorter body", async (t) => {
  const sent: [string, Uint8Array[]][] = [
    ["plain", encodeContent("some.subject", codecs.msgpack.standard, { a: 1 })],
    ["headers", encodeContent("é.b", codecs.text.standard, "body", { k: "v", l: ["m", "n"] })],
    ["named", encodeContent("", codecs.inverted.standard, "body", { k: "v" })],
  ]
  for (const [name, [whole]] of sent) {
    const frame = Buffer.from(whole!)
    const content = decode([frame])
    const body = frame.length - content.raw.length
    for (let cut = 0; cut < frame.length; cut++) {
      // Memory of its own, so that a read behind the end would show.
      const short = Uint8Array.prototype.slice.call(frame, 0, cut)
      if (cut < body) code(t, "EPROTO", () => decode([short]))
      else {
        const found = decode([short])
        t.equal(found.raw.length, cut - body)
        if (name === "plain") t.equal(found.problem?.code, "DECODE")
      }
      const parts = [short, Uint8Array.prototype.slice.call(frame, cut)]
      if (cut === body) t.strictSame(decode(parts).data, content.data, "a body of its own, however small")
      else code(t, "EPROTO", () => decode(parts))
    }
    code(t, "EPROTO", () => decode([frame, Buffer.from("second")]))
    code(t, "EPROTO", () => decode([frame, Buffer.from("second"), Buffer.from("third")]))
  }
  code(t, "EPROTO", () => decode([]))
  const large = encodeContent("a", codecs.raw.standard, Buffer.alloc(5000))
  t.equal(decode([large[0]!]).raw.length, 0, "the body alone is lost: a link's framing sees to it that this can't be")
})

t.test("malformed contents", async (t) => {
  const malformed = {
    "a subject that is not UTF-8": bytes("00 02 c3 28 01 00 00 c0"),
    "a subject that claims too much": bytes("ff ff 'abc' 01 00 00"),
    "a codec without a name": bytes("00 01 'a' ff 00 00 00 c0"),
    "a codec's name that is not UTF-8": bytes("00 01 'a' ff 01 ff 00 00 c0"),
    "a codec's name that claims too much": bytes("00 01 'a' ff 20 'abc' 00 00"),
    "headers that claim too much": bytes("00 01 'a' 01 00 09 81 a1 'k' a1 'v'"),
    "headers that are no map": bytes("00 01 'a' 01 00 03 92 c0 c0"),
    "headers with something behind them": bytes("00 01 'a' 01 00 06 81 a1 'k' a1 'v' c0"),
    "headers with a number": bytes("00 01 'a' 01 00 04 81 a1 'k' 05"),
    "headers with a number for a name": bytes("00 01 'a' 01 00 04 81 05 a1 'k'"),
    "headers with a map": bytes("00 01 'a' 01 00 04 81 a1 'k' 80"),
    "headers with an array of numbers": bytes("00 01 'a' 01 00 05 81 a1 'k' 91 05"),
    "headers with arrays in arrays": bytes("00 01 'a' 01 00 05 81 a1 'k' 91 90"),
    "headers of bytes": bytes("00 01 'a' 01 00 06 81 a1 'k' c4 01 05"),
    "headers that lack a value": bytes("00 01 'a' 01 00 05 82 a1 'k' a1 'v'"),
    "headers with a record": bytes("00 01 'a' 01 00 05 d4 72 40 90 c0"),
  }
  for (const [name, frame] of Object.entries(malformed)) t.throws(() => decode([frame]), { code: "EPROTO" }, name)
  const evil = decode([bytes("00 01 'a' 00 00 0d 81 a9 '__proto__' a1 'x'")])
  t.equal(Object.getPrototypeOf(evil.headers), Object.prototype)
  const wide = decode([bytes("00 01 'a' 00 00 0d de 00 01 d9 01 'k' dc 00 01 da 00 01 'v'")])
  t.strictSame(wide.headers, { k: ["v"] }, "other spellings of the same")
})

t.test("subjects on the way in", async (t) => {
  const asked: string[] = []
  const subjects = new SubjectCache((name) => asked.push(name) > 0 && !name.includes("*"))
  const read = (name: string): string => {
    const all = Buffer.from(`-${name}-`)
    return subjects.read(all, 1, all.length - 2).text
  }
  for (let round = 0; round < 3; round++)
    for (const name of ["sensors.a", "sensors.b", "sensors.ä"]) t.equal(read(name), name)
  t.strictSame(asked, ["sensors.a", "sensors.b", "sensors.ä"], "only new ones are looked at")
  code(t, "EPROTO", () => read("sensors.*"))
  code(t, "EPROTO", () => read("sensors.*"))
  t.equal(read("sensors.a"), "sensors.a")
  t.equal(read(""), "")
  t.equal(read("sensors.a"), "sensors.a")
  for (let i = 0; i < 20_000; i++) if (read(`many.${i}`) !== `many.${i}`) t.fail(`${i}`)
  const { slots } = subjects as unknown as { slots: unknown[] }
  t.ok(slots.length <= 512, "bounded")
  t.equal(read("l".repeat(10_000)).length, 10_000)
  t.ok(slots.length <= 512)
})

t.test("subjects on the way out", async (t) => {
  const { standard } = new Codecs(raw)
  const at = context()
  for (let i = 0; i < 5000; i++) {
    const name = i % 3 === 0 ? "same" : `many.${i}`
    const found = decode(encodeContent(name, standard, Buffer.from([1])), at).subject
    if (found !== name) t.fail(`${name} came as ${found}`)
  }
  const { known } = standard.heads as unknown as { known: Map<string, unknown> }
  t.ok(known.size <= 1024, "bounded")
})
