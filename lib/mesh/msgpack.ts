/**
 * MessagePack by npm `msgpackr`, hardened: nothing reaches its decoder that `msgpack-scan.ts` has not looked over, and
 * nothing its encoder that it would spell wrongly. Without records, so that it is what any other MessagePack reads.
 *
 * `msgpackr/pack` is the entry without its native part, the same on all platforms. The one `new Function` in it is for
 * records, which the scan refuses: pages that forbid eval can use it.
 */
import { Packr, REUSE_BUFFER_MODE, RESERVE_START_SPACE } from "msgpackr/pack"
import { View, allocate, copyOf } from "../bytes.ts"
import { EarshotError } from "../errors.ts"
import type { PayloadCodec } from "./contract.ts"
import { MAX_BIGINT, MAX_DEPTH, MAX_OBJECTS, scanMsgpack } from "./msgpack-scan.ts"

/** What is used of a Packr: its own types don't resolve from this entry. */
interface Packer {
  pack(value: unknown, options: number): Packed
  unpack(bytes: Uint8Array, size?: number): unknown
  /** Encodes into this from now on. */
  useBuffer(buffer: Uint8Array): void
}

/** What `pack` gives in REUSE_BUFFER_MODE: its whole chunk, and where in it the value lies. */
interface Packed extends Uint8Array {
  readonly start: number
  readonly end: number
}

// Never `addExtension`: it would hold for everybody in the process who uses msgpackr.
const options = { useRecords: false, variableMapSize: true, useBigIntExtension: true, int64AsType: "auto" } as const
const packr = new Packr(options) as unknown as Packer
const copying = new Packr({ ...options, copyBuffers: true }) as unknown as Packer
const MODE = (RESERVE_START_SPACE as number) | (REUSE_BUFFER_MODE as number)

/** msgpackr encodes into memory of this size, one value behind the other, and never writes to any of it twice. */
const CHUNK = 16_384
packr.useBuffer(allocate(CHUNK))

/** Up to this many bytes are copied before they are decoded: msgpackr is quickest at the front of memory that it knows. */
const SCRATCH = 4096
const scratch = allocate(SCRATCH)

/** A codec that can leave room for what goes in front. */
export interface RoomyCodec extends PayloadCodec {
  /** As `encode`, behind `room` bytes, at most 255, that are the caller's to write. */
  encodeBehind(value: unknown, room: number): Uint8Array
}

/** In `encode`: of a value whose `toJSON` or getter encodes another. */
let packing = false

/**
 * MessagePack, the default. What JSON can say comes back as it went; so do `undefined`, dates, bigints (up to 1,024
 * bytes; those below 2^53 arrive as numbers, for a 64-bit integer is what other languages make of any large one) and bytes. Maps arrive as objects, sets as arrays,
 * errors as arrays of name, message and cause; `toJSON` is heeded. Bytes in a value of more than 4 KiB are views of the
 * message's memory. A key `__proto__` arrives as `__proto_`; a string of more than 64 bytes loses a byte order mark
 * at its beginning.
 * `encode` throws ENCODE for functions, symbols, typed arrays other than of bytes, more than 64 levels (so also for what
 * contains itself) and more than 1,048,576 objects; `decode` throws DECODE, also for records and other extensions.
 */
export const msgpack: RoomyCodec = {
  name: "msgpack",

  encode(value: unknown): Uint8Array {
    return encodeBehind(value, 0)
  },

  encodeBehind,

  decode(bytes: Uint8Array): unknown {
    scanMsgpack(bytes)
    const size = bytes.length
    try {
      if (size > SCRATCH) return packr.unpack(new View(bytes.buffer, bytes.byteOffset, size))
      scratch.set(bytes)
      return copying.unpack(scratch, size)
    } catch (error) {
      throw new EarshotError("DECODE", "not MessagePack as it is taken here", error)
    }
  },
}

function encodeBehind(value: unknown, room: number): Uint8Array {
  const nested = packing
  packing = true
  try {
    check(value)
    const target = packr.pack(value, MODE | room)
    const { start, end } = target
    if (target.length <= CHUNK) return new View(target.buffer, target.byteOffset + start, end - start)
    const view = new View(target.buffer, target.byteOffset + start, end - start)
    if (!nested) packr.useBuffer(allocate(CHUNK))
    // It had been made for the longest that the value could become, and would be held on to as a whole.
    return view.length * 2 < target.length ? copyOf(view) : view
  } catch (error) {
    if (!nested) packr.useBuffer(allocate(CHUNK))
    if (error instanceof EarshotError) throw error
    throw new EarshotError("ENCODE", "the value can't be written as MessagePack", error)
  } finally {
    packing = nested
  }
}

// --- What may be encoded ---

const MOST: bigint = 1n << BigInt(MAX_BIGINT * 8 - 1)
let objects = 0

/** Throws ENCODE for what nobody would decode, and for what msgpackr spells wrongly without a word. */
function check(value: unknown): void {
  objects = 0
  visit(value, 0)
}

function visit(value: unknown, depth: number): void {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
    case "undefined":
      return
    case "bigint":
      if (value >= MOST || value < -MOST) throw refused("a bigint of more than 1,024 bytes")
      return
    case "object":
      if (value !== null) visitObject(value, depth)
      return
    default:
      throw refused(`a ${typeof value}`)
  }
}

function visitObject(value: object, depth: number): void {
  if (++objects > MAX_OBJECTS) throw refused("more than 1,048,576 objects")
  const { constructor } = value
  if (constructor === Object) {
    if (depth === MAX_DEPTH) throw tooDeep()
    for (const key in value) visit((value as Record<string, unknown>)[key], depth + 1)
  } else if (constructor === Array) {
    if (depth === MAX_DEPTH) throw tooDeep()
    const list = value as unknown[]
    for (let i = 0; i < list.length; i++) visit(list[i], depth + 1)
  } else visitOther(value, depth)
}

function visitOther(value: object, depth: number): void {
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return
  // msgpackr would write one byte of each element, and fill up with what lay in its memory before.
  if (ArrayBuffer.isView(value)) throw refused("a typed array other than Uint8Array, or a DataView")
  if (depth === MAX_DEPTH) throw tooDeep()
  if (value instanceof Map) {
    for (const [key, item] of value) {
      if (typeof key === "object" && key !== null) throw refused("a Map with an object for a key")
      visit(key, depth + 1)
      visit(item, depth + 1)
    }
  } else if (value instanceof Set) for (const item of value) visit(item, depth + 1)
  else if (value instanceof Error) visit(value.cause, depth + 1)
  // Dates have one, too.
  else if (typeof (value as { toJSON?: unknown }).toJSON === "function")
    visit((value as { toJSON(): unknown }).toJSON(), depth + 1)
  else for (const key of Object.keys(value)) visit((value as Record<string, unknown>)[key], depth + 1)
}

function tooDeep(): EarshotError {
  return refused(`more than ${MAX_DEPTH} levels, or an object within itself`)
}

function refused(what: string): EarshotError {
  return new EarshotError("ENCODE", `MessagePack can't carry ${what}`)
}
