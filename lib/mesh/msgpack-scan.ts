/**
 * Looks MessagePack over before anything is made of it (https://github.com/msgpack/msgpack/blob/master/spec.md): one
 * value and nothing behind it, every length within the bytes that are there, and only what is harmless to decode. Takes
 * no memory and time in proportion to the bytes, whatever they are.
 */
import { EarshotError } from "../errors.ts"

/** Maps and arrays within each other. */
export const MAX_DEPTH = 64
/** Maps, arrays, dates and the like in one value: each takes about 60 bytes of memory and may take one on the wire. */
export const MAX_OBJECTS = 1_048_576
/** Bytes of an integer beyond 64 bits. Decoding takes the square of it. */
export const MAX_BIGINT = 1024

/** Bytes of a value. */
const MAX_BYTES = 0x4000_0000

/** Extensions that pass: `undefined` as JavaScript's libraries spell it, a bigint beyond 64 bits (`B`), a timestamp. */
const UNDEFINED = 0x00
const BIGINT = 0x42
const TIMESTAMP = 0xff

/** What is still to come on the levels outside of the present one; a map has two values for each entry. */
const waiting = new Int32Array(MAX_DEPTH)
const maps = new Uint8Array(MAX_DEPTH)

/** Throws DECODE for bytes that are not exactly one value, or that may not be decoded. Its messages name no value. */
export function scanMsgpack(bytes: Uint8Array): void {
  const end = bytes.length
  if (end > MAX_BYTES) throw refused("more than 1 GiB")
  let at = 0
  let depth = 0
  let objects = 0
  let left = 1
  let inMap = false
  for (;;) {
    if (left === 0) {
      if (depth === 0) break
      depth--
      left = waiting[depth]!
      inMap = maps[depth] === 1
      continue
    }
    if (at >= end) throw refused("it ends too early")
    const isKey = inMap && (left & 1) === 0
    left--
    const token = bytes[at++]!
    if (token < 0x80 || token >= 0xe0) continue
    if (token >= 0xa0 && token < 0xc0) {
      at += token - 0xa0
      continue
    }

    let count = -1
    let isMap = false
    if (token < 0xa0) {
      isMap = token < 0x90
      count = token & 0x0f
    } else if (token >= 0xdc) {
      const wide = token === 0xdd || token === 0xdf
      isMap = token >= 0xde
      count = wide ? uint32(bytes, at) : uint16(bytes, at)
      at += wide ? 4 : 2
    }
    if (count >= 0) {
      if (isKey) throw refused("a map's key is no string or number")
      if (isMap) count *= 2
      // Each takes a byte at least. Also so when the count itself is cut off.
      if (count > end - at) throw refused("it claims more than there is")
      if (++objects > MAX_OBJECTS) throw refused("too many objects")
      if (depth === MAX_DEPTH) throw refused("nested too deeply")
      waiting[depth] = left
      maps[depth] = inMap ? 1 : 0
      depth++
      left = count
      inMap = isMap
      continue
    }

    const size = scalarSize(bytes, at, token)
    if (size >= 0) {
      if (isKey && token >= 0xc4 && token <= 0xc6) throw refused("a map's key is no string or number")
      at += size
      continue
    }
    const head = extensionHead(token)
    const body = head === 0 ? 1 << (token - 0xd4) : uint(bytes, at, head)
    const type = bytes[at + head]
    if (isKey) throw refused("a map's key is no string or number")
    if (!passes(type, body, token)) throw refused("an extension that is not taken")
    if (++objects > MAX_OBJECTS) throw refused("too many objects")
    at += head + 1 + body
  }
  if (at > end) throw refused("it ends too early")
  if (at < end) throw refused("there is more behind the value")
}

/** Throws DECODE for what is no map of strings to strings or arrays of strings: the headers of a message. */
export function scanHeaders(bytes: Uint8Array): void {
  let at = 0
  /** Over the head of a map or array (both `wide` tokens follow each other); gives how many values come. */
  const open = (small: number, wide: number): number => {
    const token = bytes[at++]!
    if (token >> 4 === small) return token & 0x0f
    const size = token === wide ? 2 : token === wide + 1 ? 4 : 0
    if (size === 0) throw refused("headers of another shape")
    at += size
    return uint(bytes, at - size, size)
  }
  const string = (): void => {
    const token = bytes[at++]!
    if (token >> 5 === 0b101) at += token & 0x1f
    else if (token >= 0xd9 && token <= 0xdb) at += scalarSize(bytes, at, token)
    else throw refused("headers of another shape")
  }
  for (let entries = open(0x8, 0xde); entries > 0 && at < bytes.length; entries--) {
    string()
    const token = bytes[at]!
    if (token >> 4 !== 0x9 && token !== 0xdc && token !== 0xdd) string()
    else for (let items = open(0x9, 0xdc); items > 0 && at < bytes.length; items--) string()
  }
  // Also what the loops left undone at the end of the bytes.
  scanMsgpack(bytes)
}

/** Bytes behind the token of what is no map and no array; -1: an extension. */
function scalarSize(bytes: Uint8Array, at: number, token: number): number {
  switch (token) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return 0
    case 0xc4: // bin
    case 0xd9: // str
      return 1 + uint(bytes, at, 1)
    case 0xc5:
    case 0xda:
      return 2 + uint(bytes, at, 2)
    case 0xc6:
    case 0xdb:
      return 4 + uint(bytes, at, 4)
    case 0xcc: // uint8, int8
    case 0xd0:
      return 1
    case 0xcd: // uint16, int16
    case 0xd1:
      return 2
    case 0xca: // float32, uint32, int32
    case 0xce:
    case 0xd2:
      return 4
    case 0xcb: // float64, uint64, int64
    case 0xcf:
    case 0xd3:
      return 8
    case 0xc1:
      throw refused("a byte that never occurs")
    default:
      return -1
  }
}

/** Bytes of an extension's length: 0 where the token says it. */
function extensionHead(token: number): number {
  return token > 0xc9 ? 0 : 1 << (token - 0xc7)
}

function passes(type: number | undefined, size: number, token: number): boolean {
  switch (type) {
    case UNDEFINED:
      return token === 0xd4
    case BIGINT:
      return size > 0 && size <= MAX_BIGINT
    case TIMESTAMP:
      // One byte is msgpackr's invalid date.
      return size === 4 || size === 8 || size === 12 || size === 1
    default:
      return false
  }
}

// Reads past the end give something: the scan then stands behind the end, and says so.

function uint(bytes: Uint8Array, at: number, size: number): number {
  return size === 1 ? bytes[at]! | 0 : size === 2 ? uint16(bytes, at) : uint32(bytes, at)
}

function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

function refused(why: string): EarshotError {
  return new EarshotError("DECODE", `not MessagePack as it is taken here: ${why}`)
}
