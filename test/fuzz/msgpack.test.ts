// Random and mutated bytes into MessagePack and contents of mesh messages: what is taken is what a second, slow reading of
// the same bytes takes, what came out goes in again, and nothing else is thrown, ends the process or fills it.
import t from "tap"
import { EarshotError } from "../../lib/errors.ts"
import { Codecs, json, raw, text } from "../../lib/mesh/codecs.ts"
import { decodeContent, encodeContent } from "../../lib/mesh/content.ts"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import { SubjectCache } from "../../lib/mesh/subject-bytes.ts"
import { cases, type Chance } from "./support/chance.ts"

/** Any value that MessagePack carries. */
function value(chance: Chance, levels = 4): unknown {
  const inner = (): unknown => value(chance, levels - 1)
  switch (chance.below(levels > 0 ? 12 : 9)) {
    case 0:
      return chance.pick([null, undefined, true, false])
    case 1:
      return chance.pick([
        0,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        -32,
        -33,
        -128,
        -129,
        -32_768,
        -32_769,
        2 ** 31,
        2 ** 32,
      ])
    case 2:
      return (chance.next() - 0.5) * 10 ** chance.between(-3, 20)
    case 3:
      return (chance.maybe(0.5) ? -1n : 1n) << BigInt(chance.below(300))
    case 4:
      return new Date(chance.between(-(10 ** 12), 10 ** 13))
    case 5:
      return chance.bytes(chance.size())
    case 6:
    case 7:
    case 8:
      return chance.pick(["a", "é", "key", "\u{1f600}"]).repeat(chance.below(40))
    case 9:
      return Array.from({ length: chance.maybe(0.1) ? chance.below(70) : chance.below(5) }, inner)
    default:
      return Object.fromEntries(
        Array.from({ length: chance.below(6) }, (_, i) => [chance.pick(["a", "__proto__", `${i}`]), inner()]),
      )
  }
}

/** Bytes that begin something: they do the most harm where they don't belong. */
const tokens = [0x80, 0x8f, 0x90, 0x9f, 0xa5, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xc9, 0xcf, 0xd3, 0xd4, 0xd5, 0xd6]
const more = [0xd7, 0xd8, 0xd9, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xff, 0x42, 0x72, 0x74, 0x78, 0x00]

function mutate(chance: Chance, given: Uint8Array): Buffer {
  let bytes = Buffer.from(given)
  for (let i = chance.below(4); i > 0 && bytes.length > 0; i--) {
    const at = chance.below(bytes.length)
    const byte = chance.maybe(0.6) ? chance.pick([...tokens, ...more]) : chance.below(256)
    const kind = chance.below(6)
    if (kind < 3) bytes[at] = byte
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)])
    else if (kind === 4) bytes = bytes.subarray(0, at)
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
  }
  // Memory of its own, so that a read behind the end would show.
  return Buffer.from(Uint8Array.prototype.slice.call(bytes))
}

function garbage(chance: Chance): Buffer {
  const bytes = chance.bytes(chance.size())
  for (let i = 0; i < bytes.length; i++) if (chance.maybe(0.4)) bytes[i] = chance.pick([...tokens, ...more])
  return bytes
}

class Refused extends Error {}

/** Where the value at `at` ends, read as plainly as the specification has it. */
function endOf(bytes: Buffer, at: number, levels: number, key: boolean): number {
  const uint = (from: number, size: number): number => {
    if (from + size > bytes.length) throw new Refused()
    return size === 0 ? 0 : bytes.readUIntBE(from, size)
  }
  const skip = (from: number, size: number): number => {
    if (from + size > bytes.length) throw new Refused()
    return from + size
  }
  const many = (from: number, count: number, map: boolean): number => {
    if (key || levels === 0) throw new Refused()
    for (let i = 0; i < count * (map ? 2 : 1); i++) from = endOf(bytes, from, levels - 1, map && i % 2 === 0)
    return from
  }
  const extension = (from: number, size: number, fixed: boolean): number => {
    const type = uint(from, 1)
    const taken =
      (type === 0 && fixed && size === 1) ||
      (type === 0x42 && size > 0 && size <= 1024) ||
      (type === 0xff && [1, 4, 8, 12].includes(size))
    if (key || !taken) throw new Refused()
    return skip(from + 1, size)
  }
  const token = uint(at++, 1)
  if (token < 0x80 || token >= 0xe0) return at
  if (token < 0x90) return many(at, token & 15, true)
  if (token < 0xa0) return many(at, token & 15, false)
  if (token < 0xc0) return skip(at, token & 31)
  if (token === 0xc1) throw new Refused()
  if (token <= 0xc3) return at
  if (token <= 0xc6) {
    if (key) throw new Refused()
    const size = 1 << (token - 0xc4)
    return skip(at + size, uint(at, size))
  }
  if (token <= 0xc9) {
    const size = 1 << (token - 0xc7)
    return extension(at + size, uint(at, size), false)
  }
  if (token <= 0xcb) return skip(at, token === 0xca ? 4 : 8)
  if (token <= 0xcf) return skip(at, 1 << (token - 0xcc))
  if (token <= 0xd3) return skip(at, 1 << (token - 0xd0))
  if (token <= 0xd8) return extension(at, 1 << (token - 0xd4), true)
  if (token <= 0xdb) {
    const size = 1 << (token - 0xd9)
    return skip(at + size, uint(at, size))
  }
  const size = token % 2 === 0 ? 2 : 4
  return many(at + size, uint(at, size), token >= 0xde)
}

function isTaken(bytes: Buffer): boolean {
  try {
    return endOf(bytes, 0, 64, false) === bytes.length
  } catch (error) {
    if (error instanceof Refused) return false
    throw error
  }
}

function codeOf(run: () => void): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    if (error instanceof EarshotError) return error.code
    throw error
  }
}

t.test("MessagePack", async (t) => {
  let taken = 0
  await cases(t, 30_000, (chance) => {
    const bytes = chance.maybe(0.3) ? garbage(chance) : mutate(chance, msgpack.encode(value(chance)))
    let found: unknown
    const code = codeOf(() => (found = msgpack.decode(bytes)))
    const wanted = isTaken(bytes) ? undefined : "DECODE"
    if (code !== wanted) throw new Error(`${code}, not ${wanted}, for ${bytes.toString("hex")}`)
    if (code !== undefined) return
    taken++
    // Once more, for a small bigint arrives as a number.
    const again = msgpack.encode(msgpack.decode(msgpack.encode(found)))
    if (Buffer.compare(again, msgpack.encode(msgpack.decode(again))) !== 0)
      throw new Error(`it comes back otherwise: ${bytes.toString("hex")}`)
  })
  t.ok(taken > 1000 || process.env["EARSHOT_CASE"] !== undefined, `${taken} were taken`)
})

t.test("contents", (t) => {
  const codecs = [raw, msgpack, json, text].map((codec) => new Codecs(codec))
  const subjects = new SubjectCache()
  return cases(t, 20_000, (chance) => {
    const at = chance.pick(codecs)
    const name = chance.pick(["", "a.b", "é".repeat(50), "s.".repeat(200)])
    const { codec } = at.standard
    const sent = codec === raw ? chance.bytes(chance.size()) : codec === text ? "text" : { a: [1, "b", name] }
    const headers = chance.maybe(0.5) ? { k: "v", list: ["a", name] } : undefined
    const frames = encodeContent(name, at.standard, sent, headers).map((frame) => mutate(chance, frame))
    if (chance.maybe(0.1)) frames.push(garbage(chance))
    const code = codeOf(() => {
      const content = decodeContent(frames, 0, { codecs: at, subjects })
      for (const value of Object.values(content.headers))
        if (typeof value !== "string" && !value.every((item) => typeof item === "string")) throw new Error("no header")
      if (content.problem !== undefined && content.data !== undefined) throw new Error("data and a problem")
      if (!(content.raw instanceof Uint8Array) || typeof content.subject !== "string") throw new Error("no content")
    })
    if (code !== undefined && code !== "EPROTO") throw new Error(code)
  })
})

t.test("what is nested, claimed or large is refused in no time and no memory", async (t) => {
  const bombs = Array.from({ length: 40 }, (_, i) => {
    const first = [
      [0x91],
      [0x81, 0x01],
      [0xdd, 0, 0, 255, 255],
      [0xdf, 0, 0, 255, 255],
      [0xc9, 0, 0x0f, 0xff, 0xf0, 0x42],
    ]
    return Buffer.alloc(1_000_000, Buffer.from(first[i % 5]!))
  })
  const heap = process.memoryUsage()
  const before = performance.now()
  for (const bomb of bombs)
    t.equal(
      codeOf(() => void msgpack.decode(bomb)),
      "DECODE",
    )
  t.ok(performance.now() - before < 2000)
  const after = process.memoryUsage()
  t.ok(after.heapUsed + after.external - heap.heapUsed - heap.external < 32_000_000)
})
