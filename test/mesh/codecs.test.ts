// Payload codecs: what goes round, what is refused and how, and that nothing of a payload is in an error's message.
import { deepStrictEqual } from "node:assert"
import { execFileSync } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import * as fc from "fast-check"
import t from "tap"
import type { Test } from "tap"
import { EarshotError } from "../../lib/errors.ts"
import { Codecs, json, raw, text } from "../../lib/mesh/codecs.ts"
import type { PayloadCodec } from "../../lib/mesh/contract.ts"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import { MAX_BIGINT, MAX_DEPTH, MAX_OBJECTS } from "../../lib/mesh/msgpack-scan.ts"
import { bytes } from "../support/bytes.ts"

/** Strings that have a UTF-8 form. TextDecoder, which msgpackr uses, takes a mark at their beginning for no text. */
const string = fc.string({ unit: "grapheme" }).filter((value) => !value.startsWith("\ufeff"))
const key = string.filter((name) => name !== "__proto__")
/** All that comes back from MessagePack as it went. */
const value = fc.letrec<{ any: unknown }>((tie) => ({
  any: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, undefined, true, false),
    fc.integer(),
    fc.double().filter((number) => !Object.is(number, -0)),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 200n }),
    fc.bigInt({ min: -(2n ** 200n), max: -(2n ** 53n) }),
    string,
    fc.date({ noInvalidDate: true, min: new Date(-1e14), max: new Date(1e14) }),
    fc.uint8Array().map((array) => Buffer.from(array)),
    fc.array(tie("any")),
    fc.dictionary(key, tie("any"), { noNullPrototype: true }),
  ),
})).any

/** `secret`: must not show in the error. */
function code(t: Test, wanted: string, run: () => unknown, secret?: string, name = ""): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof EarshotError)) throw error
    t.equal(error.code, wanted, `${name}: ${error.message}`)
    if (secret !== undefined) t.notMatch(`${error.message} ${String(error.cause)}`, secret)
    return
  }
  t.fail(`${name}: no ${wanted}`)
}

const nested = (levels: number): unknown => {
  let inner: unknown = []
  for (let i = 1; i < levels; i++) inner = [inner]
  return inner
}

t.test("msgpack gives back what it took", async (t) => {
  const property = fc.property(value, fc.integer({ min: 0, max: 255 }), (sent, room) => {
    deepStrictEqual(msgpack.decode(msgpack.encode(sent)), sent)
    const behind = msgpack.encodeBehind(sent, room)
    behind.fill(0xc1, 0, room)
    deepStrictEqual(msgpack.decode(behind.subarray(room)), sent)
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 300, seed: 4 }))
})

t.test("msgpack: kinds that arrive as others", async (t) => {
  const round = (sent: unknown): unknown => msgpack.decode(msgpack.encode(sent))
  t.strictSame(round(new Map<unknown, unknown>([[1, "a"]])), { 1: "a" })
  t.strictSame(round(new Set([1, 2])), [1, 2])
  t.strictSame(round(new RangeError("far", { cause: 7 })), ["RangeError", "far", 7])
  t.strictSame(round({ toJSON: undefined, at: new URL("http://a.example/") }), {
    toJSON: undefined,
    at: "http://a.example/",
  })
  t.ok(Number.isNaN((round(new Date(NaN)) as Date).getTime()))
  t.strictSame(round(new Uint8Array([1, 2]).buffer), Buffer.from([1, 2]))
  t.strictSame(round(Object.assign(Object.create(null) as object, { a: 1 })), { a: 1 })
  class Point {
    x = 1
  }
  t.strictSame(round(new Point()), { x: 1 })
  t.equal(msgpack.decode(bytes("cf 00*7 07")), 7, "64-bit integers of others")
  t.equal(msgpack.decode(bytes("cf 00 40 00*6")), 2n ** 54n, "those that no number holds")
  const many = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i]))
  t.strictSame(round(many), many, "more keys than 16 bits count")
})

t.test("msgpack writes what any MessagePack reads", async (t) => {
  const hex = (sent: unknown): string => Buffer.from(msgpack.encode(sent)).toString("hex")
  t.equal(hex({ a: [1, "b", null] }), "81a1619301a162c0")
  t.equal(hex(new Uint8Array([5])), "c40105", "bytes are bytes, not an extension")
  t.equal(hex(Buffer.from([5])), "c40105")
  t.equal(hex(-1.5), "cbbff8000000000000")
})

t.test("msgpack refuses what it would spell wrongly", async (t) => {
  const self: unknown[] = []
  self.push(self)
  for (const [name, sent] of Object.entries({
    "a function": { run: () => {} },
    "a symbol": [Symbol("s")],
    "a typed array": { list: new Float64Array([1.5]) },
    "a DataView": new DataView(new ArrayBuffer(4)),
    "a typed array behind toJSON": new (class {
      toJSON(): unknown {
        return new Int16Array(2)
      }
    })(),
    "an object within itself": self,
    "one level too many": nested(MAX_DEPTH + 1),
    "a Map with objects for keys": new Map([[{}, 1]]),
    "a bigint of 1,025 bytes": 1n << BigInt(MAX_BIGINT * 8),
    "a negative one": -(1n << BigInt(MAX_BIGINT * 8)),
    "too many objects": Array.from({ length: MAX_OBJECTS }, () => []),
  }))
    code(t, "ENCODE", () => msgpack.encode(sent), undefined, name)
  t.strictSame(msgpack.decode(msgpack.encode(nested(MAX_DEPTH))), nested(MAX_DEPTH), "the last level")
  for (const most of [(1n << BigInt(MAX_BIGINT * 8 - 1)) - 1n, -(1n << BigInt(MAX_BIGINT * 8 - 1))])
    t.equal(msgpack.decode(msgpack.encode(most)), most, "the largest bigint")
  const thrown = new Error("mine")
  const thrower = {
    get x(): never {
      throw thrown
    },
  }
  t.throws(() => msgpack.encode(thrower), { code: "ENCODE", cause: thrown })
  t.strictSame(msgpack.decode(msgpack.encode({ a: 1 })), { a: 1 }, "and goes on")
})

t.test("msgpack: a value that encodes another while it is encoded", async (t) => {
  const large = "x".repeat(100_000)
  let inner: unknown
  const nesting = {
    a: large,
    b: new (class {
      toJSON(): unknown {
        inner = msgpack.decode(msgpack.encode([large, 1]))
        try {
          msgpack.encode(() => {})
        } catch {}
        return "b"
      }
    })(),
    c: large,
  }
  t.strictSame(msgpack.decode(msgpack.encode(nesting)), { a: large, b: "b", c: large })
  t.strictSame(inner, [large, 1])
})

t.test("msgpack: memory of what was encoded", async (t) => {
  const kept = Array.from({ length: 2000 }, (_, i) => msgpack.encode({ i, text: `number ${i}` }))
  msgpack.encode("x".repeat(5_000_000))
  const after = msgpack.encode({ small: true })
  t.ok(after.buffer.byteLength <= 16_384, "a large value leaves no large memory for those that follow")
  const middle = msgpack.encode("y".repeat(8000))
  t.ok(middle.buffer.byteLength <= 17_000, "nor does one that might have become larger")
  kept.forEach((encoded, i) => {
    const { i: found } = msgpack.decode(encoded) as { i: number }
    if (found !== i) t.fail(`${i} was written over`)
  })
})

t.test("msgpack: bytes in a value", async (t) => {
  const small = msgpack.encode([Buffer.from("abc")])
  const [copy] = msgpack.decode(small) as [Buffer]
  msgpack.decode(msgpack.encode([Buffer.from("xyz")]))
  t.equal(copy.toString(), "abc", "of a small one have memory of their own")
  const large = msgpack.encode([Buffer.alloc(10_000, 1)])
  const [view] = msgpack.decode(large) as [Buffer]
  t.equal(view.buffer, large.buffer, "of a large one are views")
  t.strictSame(
    Object.keys(large).filter((name) => !/^\d+$/.test(name)),
    [],
    "nothing is left on the bytes that were decoded",
  )
})

t.test("msgpack: keys that mean something to objects", async (t) => {
  const evil = bytes("83 a9 '__proto__' 81 a5 'admin' c3 ab 'constructor' 01 d9 09 '__proto__' 02")
  const found = msgpack.decode(evil) as Record<string, unknown>
  t.equal(Object.getPrototypeOf(found), Object.prototype)
  t.equal((found as { admin?: unknown }).admin, undefined)
  t.equal(({} as { admin?: unknown }).admin, undefined)
  t.strictSame(Object.keys(found).sort(), ["__proto_", "constructor"])
  const own = JSON.parse(`{"__proto__":{"admin":true},"a":1}`) as object
  t.strictSame(msgpack.decode(msgpack.encode(own)), { a: 1, __proto_: { admin: true } })
})

t.test("msgpack refuses hostile bytes", async (t) => {
  const secret = "hunter2"
  const refused: Record<string, Buffer> = {
    nothing: bytes(""),
    "two values": bytes("a7 'hunter2' a7 'hunter2'"),
    "a value and a zero": bytes("93 01 02 03 00"),
    "a string cut off": bytes("ab 'hunter2'"),
    "a byte that never occurs": bytes("91 c1"),
    "65 arrays": Buffer.concat([Buffer.alloc(MAX_DEPTH, 0x91), bytes("90")]),
    "65 maps": Buffer.concat([Buffer.alloc(MAX_DEPTH * 2, bytes("81 01")), bytes("80")]),
    "a million arrays": Buffer.alloc(1_000_000, 0x91),
    "more small objects than memory is for": Buffer.concat([bytes("dd 00 20 00 00"), Buffer.alloc(0x200000, 0x80)]),
    "an array of four thousand million": bytes("dd ff*4"),
    "a map of as many": bytes("df ff*4"),
    "many claims, each within what follows": Buffer.concat(
      Array.from({ length: 60 }, () => bytes("dd 00 00 10 00")).concat(Buffer.alloc(4096 - 300)),
    ),
    "a string of as many": bytes("db ff*4 00"),
    "bytes of as many": bytes("c6 ff*4 00"),
    "an extension of as many": bytes("c9 ff*4 ff 00"),
    "a length cut off": bytes("dd 00 00"),
    "an extension cut off": bytes("d7 ff 00"),
    "a bigint of 1 MB": Buffer.concat([bytes("c9 00 10 00 00 42"), Buffer.alloc(0x100000, 0x7f)]),
    "a bigint of 1,025 bytes": Buffer.concat([bytes("c8 04 01 42"), Buffer.alloc(1025, 0x7f)]),
    "a bigint of no bytes": bytes("c7 00 42"),
    "a record": bytes("d4 72 40 91 a1 'a' 01"),
    "a record of two bytes": bytes("d5 72 40 00 91 a1 'a' 01"),
    "a RegExp": bytes("d4 78 00 92 a4 '(a+)' a0"),
    "an Error": bytes("d4 65 00 93 a5 'Error' a1 'x' c0"),
    "a Set": bytes("d4 73 00 90"),
    "a typed array": bytes("c7 09 74 08 00*8"),
    "a reference": bytes("d6 69 00 00 00 01 d6 70 00 00 00 01"),
    "bundled strings": bytes("d6 62 00 00 00 05 c1 01 a0 a0"),
    "an undefined of two bytes": bytes("d5 00 00 00"),
    "a timestamp of 16 bytes": bytes("d8 ff 00*16"),
    "an extension of somebody's": bytes("d4 05 00"),
    "a map for a key": bytes("81 80 01"),
    "bytes for a key": bytes("81 c4 01 00 01"),
    "a date for a key": bytes("81 d6 ff 00*4 01"),
    "a map whose last value is missing": bytes("82 01 02 03"),
  }
  for (const [name, hostile] of Object.entries(refused)) {
    const before = performance.now()
    code(t, "DECODE", () => msgpack.decode(hostile), secret, name)
    t.ok(performance.now() - before < 1000, `${name}: at once`)
  }
})

t.test("msgpack decodes where eval is forbidden", async (t) => {
  const folder = t.testdir()
  const lib = fileURLToPath(new URL("../../lib/mesh/msgpack.ts", import.meta.url))
  const { outputFiles } = await build({
    stdin: {
      contents: `import { msgpack } from ${JSON.stringify(lib)}
        let refused = 0
        for (let i = 0; i < 10; i++) {
          const { list } = msgpack.decode(msgpack.encode({ list: [{ a: i }, { a: i }, { a: i }, { a: i }] }))
          if (list[3].a !== i) throw new Error("it came back otherwise")
          try { msgpack.decode(Uint8Array.of(0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 1)) } catch (error) { refused++ }
        }
        console.log(refused)`,
      resolveDir: folder,
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
  })
  const code = outputFiles[0]!.text
  t.notMatch(code, /\bnode:|\brequire\(|msgpackr-extract/, "a bundle for pages has nothing of Node's in it")
  const file = join(folder, "page.mjs")
  writeFileSync(file, code)
  const env = { ...process.env, NODE_OPTIONS: "" }
  const said = execFileSync(process.execPath, ["--disallow-code-generation-from-strings", file], {
    env,
    timeout: 20_000,
  })
  t.equal(said.toString().trim(), "10")
})

t.test("json", async (t) => {
  const property = fc.property(fc.jsonValue(), (sent) =>
    deepStrictEqual(json.decode(json.encode(sent)), JSON.parse(JSON.stringify(sent))),
  )
  t.doesNotThrow(() => fc.assert(property, { numRuns: 200, seed: 4 }))
  t.equal(json.decode(json.encode(undefined)), undefined)
  t.strictSame(json.decode(json.encode({ quoted: `"[[{\\`, more: `\\"[` })), { quoted: `"[[{\\`, more: `\\"[` })
  const found = json.decode(Buffer.from(`{"__proto__":{"admin":true}}`)) as { admin?: unknown }
  t.equal(found.admin, undefined)
  t.ok(Object.hasOwn(found, "__proto__"))
  t.strictSame(json.decode(json.encode(nested(MAX_DEPTH))), nested(MAX_DEPTH))
  const self: { self?: unknown } = {}
  self.self = self
  for (const sent of [self, 1n, () => {}, Symbol("s"), nested(MAX_DEPTH + 1)])
    code(t, "ENCODE", () => json.encode(sent))
  const strings = `["${"[".repeat(1000)}"]`
  t.strictSame(json.decode(Buffer.from(strings)), ["[".repeat(1000)], "brackets in strings are none")
  for (const hostile of [
    "hunter2",
    `{"hunter2":`,
    "[".repeat(MAX_DEPTH + 1) + "]".repeat(MAX_DEPTH + 1),
    "[".repeat(5_000_000),
    `[${"{},".repeat(MAX_OBJECTS)}1]`,
    "\ufeff1",
  ])
    code(t, "DECODE", () => json.decode(Buffer.from(hostile)), "hunter2")
  code(t, "DECODE", () => json.decode(Buffer.from([0x22, 0xff, 0x22])))
})

t.test("text", async (t) => {
  const property = fc.property(fc.string({ unit: "grapheme" }), (sent) => text.decode(text.encode(sent)) === sent)
  t.doesNotThrow(() => fc.assert(property, { numRuns: 200, seed: 4 }))
  t.equal(text.decode(text.encode("\ufeffa")), "\ufeffa", "a byte order mark is text")
  t.equal(text.decode(text.encode(undefined)), "")
  for (const sent of [1, null, {}, Buffer.from("a")]) code(t, "ENCODE", () => text.encode(sent))
  for (const hostile of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82]])
    code(t, "DECODE", () => text.decode(Uint8Array.from(hostile)))
})

t.test("raw", async (t) => {
  const sent = Buffer.from([1, 2, 3])
  t.equal(raw.encode(sent), sent, "nothing is copied")
  t.equal(raw.decode(sent), sent)
  t.strictSame([...raw.encode(new Uint16Array([258]))], [2, 1])
  t.strictSame([...raw.encode(new DataView(sent.buffer, sent.byteOffset + 1, 1))], [2])
  t.strictSame([...raw.encode(Uint8Array.of(7).buffer)], [7])
  t.strictSame([...raw.encode(new SharedArrayBuffer(1))], [0])
  t.equal(raw.encode(undefined).length, 0)
  for (const wrong of ["hunter2", 1, null, [1], { length: 1 }]) code(t, "ENCODE", () => raw.encode(wrong), "hunter2")
  const { buffer } = Uint8Array.of(1)
  structuredClone(buffer, { transfer: [buffer] })
  code(t, "ENCODE", () => raw.encode(buffer))
})

t.test("the registry", async (t) => {
  const own: PayloadCodec = { name: "wörter", encode: () => new Uint8Array(1), decode: () => 1 }
  const codecs = new Codecs(json, [own])
  t.strictSame(
    [0, 1, 2, 3].map((number) => codecs.byNumber(number)?.name),
    ["raw", "msgpack", "json", "text"],
  )
  t.equal(codecs.byNumber(4), undefined)
  t.equal(codecs.byNumber(254), undefined)
  t.equal(codecs.byName("wörter"), own)
  t.equal(codecs.byName("msgpack"), msgpack)
  t.equal(codecs.byName("toString"), undefined)
  t.equal(codecs.standard.codec, json)
  t.equal(new Codecs().standard.codec, msgpack)
  const reviving: PayloadCodec = { name: "json", encode: (sent) => json.encode(sent), decode: () => "revived" }
  t.equal(new Codecs(msgpack, [reviving]).byNumber(2), reviving, "one with the name of ours takes its place")
  t.doesNotThrow(() => new Codecs(own, [own]))
  const wrong: unknown[] = [
    null,
    "json",
    {},
    { name: "x" },
    { ...own, name: "" },
    { ...own, name: "ö".repeat(128) },
    { ...own, encode: 1 },
  ]
  for (const codec of wrong) code(t, "EINVAL", () => new Codecs(codec as PayloadCodec))
  code(t, "EINVAL", () => new Codecs(own, [{ ...own }]))
})
