/** The payload codecs that come with Earshot, and the registry of those that a member has. `PROTOCOL.md` has the numbers. */
import { EMPTY, encodeText } from "../bytes.ts"
import { EarshotError } from "../errors.ts"
import type { PayloadCodec } from "./contract.ts"
import { msgpack } from "./msgpack.ts"
import { MAX_DEPTH, MAX_OBJECTS } from "./msgpack-scan.ts"
import { SubjectHeads, decodeStrictly } from "./subject-bytes.ts"

/**
 * Bytes as they are. `encode` takes Uint8Arrays, other views and ArrayBuffers by reference (never write to them again)
 * and `undefined` as no bytes, and throws ENCODE for all else. `decode` gives a view of the message's memory.
 */
export const raw: PayloadCodec = {
  name: "raw",
  encode(value: unknown): Uint8Array {
    if (value instanceof Uint8Array) return value.length === 0 ? EMPTY : value
    if (value === undefined) return EMPTY
    try {
      if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      if (value instanceof ArrayBuffer || ("SharedArrayBuffer" in globalThis && value instanceof SharedArrayBuffer))
        return new Uint8Array(value)
    } catch (error) {
      throw new EarshotError("ENCODE", "the memory of these bytes has been given away", error)
    }
    throw new EarshotError("ENCODE", `the codec raw takes bytes, not ${kindOf(value)}`)
  },
  decode: (bytes) => bytes,
}

/**
 * Strings as UTF-8. `encode` takes strings, and `undefined` as an empty one, and throws ENCODE for all else; `decode`
 * throws DECODE for what is not UTF-8.
 */
export const text: PayloadCodec = {
  name: "text",
  encode(value: unknown): Uint8Array {
    if (typeof value === "string") return encodeText(value)
    if (value === undefined) return EMPTY
    throw new EarshotError("ENCODE", `the codec text takes strings, not ${kindOf(value)}`)
  },
  decode(bytes: Uint8Array): string {
    try {
      return decodeStrictly(bytes)
    } catch (error) {
      throw new EarshotError("DECODE", "not UTF-8", error)
    }
  },
}

/**
 * JSON as `JSON.stringify` writes it and `JSON.parse` reads it; `undefined` as no bytes. A key `__proto__` arrives as a
 * property like any other. `encode` throws ENCODE for what JSON hasn't, more than 64 levels and more than 1,048,576
 * objects and arrays; `decode` throws DECODE for those, too.
 */
export const json: PayloadCodec = {
  name: "json",
  encode(value: unknown): Uint8Array {
    if (value === undefined) return EMPTY
    let written: string | undefined
    try {
      written = JSON.stringify(value) as string | undefined
    } catch (error) {
      throw new EarshotError("ENCODE", "the value can't be written as JSON", error)
    }
    if (written === undefined) throw new EarshotError("ENCODE", `JSON has no ${kindOf(value)}`)
    const bytes = encodeText(written)
    if (!isTame(bytes)) throw new EarshotError("ENCODE", `more than ${MAX_DEPTH} levels, or ${MAX_OBJECTS} objects`)
    return bytes
  },
  decode(bytes: Uint8Array): unknown {
    if (bytes.length === 0) return undefined
    if (!isTame(bytes)) throw new EarshotError("DECODE", "JSON with too many levels or objects")
    try {
      return JSON.parse(decodeStrictly(bytes))
    } catch {
      // The platform's error quotes what it read, which is nothing for logs.
      throw new EarshotError("DECODE", "not JSON")
    }
  },
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Not nested deeper than what else is taken, nor many times larger in memory than it is here. */
function isTame(bytes: Uint8Array): boolean {
  let depth = 0
  let objects = 0
  let quoted = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (byte === QUOTE) quoted = !quoted
    else if (quoted) {
      if (byte === BACKSLASH) i++
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > MAX_DEPTH || ++objects > MAX_OBJECTS) return false
    } else if (byte === 0x5d || byte === 0x7d) depth--
  }
  return true
}

function kindOf(value: unknown): string {
  return value === null ? "null" : typeof value
}

/** A codec as contents name it. */
export interface Coding {
  readonly codec: PayloadCodec
  readonly heads: SubjectHeads
}

/** Precedes a codec's name where it has no number. */
export const NAMED = 255
/** By number. They never change their meaning. */
const numbered: readonly PayloadCodec[] = [raw, msgpack, json, text]

/**
 * The codecs of one member: those with numbers always, its standard one and others by their names. A codec with the name
 * of one of ours takes its place, and so must understand its bytes.
 */
export class Codecs {
  /** What this member sends with. */
  readonly standard: Coding
  private readonly numbers: PayloadCodec[] = [...numbered]
  private readonly others = new WeakMap<PayloadCodec, Coding>()
  private readonly names = new Map<string, PayloadCodec>(numbered.map((codec) => [codec.name, codec]))

  /** Throws EINVAL for what is no codec, for a name over 255 bytes, and for two of one name. */
  constructor(standard: PayloadCodec = msgpack, others: readonly PayloadCodec[] = []) {
    const given = new Set<string>()
    for (const codec of new Set([standard, ...others])) {
      check(codec)
      if (given.has(codec.name)) throw new EarshotError("EINVAL", `two codecs have the name ${codec.name}`)
      given.add(codec.name)
      this.names.set(codec.name, codec)
      const number = numbered.findIndex(({ name }) => name === codec.name)
      if (number >= 0) this.numbers[number] = codec
    }
    this.standard = codingOf(standard)
  }

  /** How a message is made with this codec; without one, with the standard one. Throws EINVAL for what is none. */
  coding(codec: PayloadCodec | undefined): Coding {
    if (codec === undefined || codec === this.standard.codec) return this.standard
    let coding = this.others.get(codec)
    if (coding === undefined) {
      check(codec)
      this.others.set(codec, (coding = codingOf(codec)))
    }
    return coding
  }

  /** Undefined: this member has no such codec. */
  byNumber(number: number): PayloadCodec | undefined {
    return this.numbers[number]
  }

  /** Undefined: this member has no such codec. */
  byName(name: string): PayloadCodec | undefined {
    return this.names.get(name)
  }
}

/** How a codec stands in a content: its number, or 255 and the length and bytes of its name. */
function codingOf(codec: PayloadCodec): Coding {
  const number = numbered.findIndex(({ name }) => name === codec.name)
  const name = encodeText(codec.name)
  const mark = number >= 0 ? Uint8Array.of(number) : Uint8Array.of(NAMED, name.length, ...name)
  return { codec, heads: new SubjectHeads(mark) }
}

function check(codec: PayloadCodec): void {
  const given = codec as Partial<PayloadCodec> | null | undefined
  if (typeof given?.name !== "string" || typeof given.encode !== "function" || typeof given.decode !== "function")
    throw new EarshotError("EINVAL", "a codec has a name, encode and decode")
  const size = encodeText(given.name).length
  if (size === 0 || size > 255) throw new EarshotError("EINVAL", "a codec's name has 1 to 255 bytes")
}
