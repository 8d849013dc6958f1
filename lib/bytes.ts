/**
 * Bytes without knowing the platform: Buffers where they exist, Uint8Arrays elsewhere.
 */

interface BufferLike {
  allocUnsafeSlow(size: number): Uint8Array
  from(text: string, encoding?: string): Uint8Array
  from(buffer: ArrayBufferLike, offset: number, length: number): Uint8Array & { toString(encoding: string): string }
  isBuffer(value: unknown): boolean
}
const NodeBuffer = (globalThis as { Buffer?: BufferLike }).Buffer

/** Memory of its own (never a slice of a shared pool, so that a kept frame pins nothing else). Contents undefined. */
export const allocate: (size: number) => Uint8Array = NodeBuffer
  ? (size) => NodeBuffer.allocUnsafeSlow(size)
  : (size) => new Uint8Array(size)

/** The same memory as the platform's usual kind of bytes. */
export const asFrame: (bytes: Uint8Array) => Uint8Array = NodeBuffer
  ? (bytes) => (NodeBuffer.isBuffer(bytes) ? bytes : NodeBuffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  : (bytes) => bytes

type ViewClass = new (buffer: ArrayBufferLike, offset: number, length: number) => Uint8Array
const species = (NodeBuffer as unknown as { [Symbol.species]?: ViewClass } | undefined)?.[Symbol.species]

/**
 * The class that makes views of a chunk in the platform's usual kind of bytes: `new View(buffer, offset, length)`.
 * On Node it is Buffer's own species, the constructor behind `Buffer.from`: 14 ns a view where `subarray` takes 40.
 */
export const View: ViewClass =
  species !== undefined &&
  species !== (NodeBuffer as unknown) &&
  species.prototype === (NodeBuffer as unknown as ViewClass).prototype
    ? species
    : NodeBuffer === undefined
      ? Uint8Array
      : (function (buffer: ArrayBufferLike, offset: number, length: number) {
          return NodeBuffer.from(buffer, offset, length)
        } as unknown as ViewClass)

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** UTF-8. */
export const encodeText: (text: string) => Uint8Array = NodeBuffer
  ? (text) => NodeBuffer.from(text, "utf8")
  : (text) => encoder.encode(text)

export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** One byte, then the others. */
export function prefixed(first: number, rest: Uint8Array): Uint8Array {
  const bytes = allocate(1 + rest.length)
  bytes[0] = first
  bytes.set(rest, 1)
  return bytes
}

/** Frees a small frame from the chunk it is a view of. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = allocate(bytes.length)
  copy.set(bytes)
  return copy
}

/** One character for each byte: bytes as a key of a Map. */
export function keyOf(bytes: Uint8Array): string {
  if (bytes.length <= 64) {
    let key = ""
    for (let i = 0; i < bytes.length; i++) key += String.fromCharCode(bytes[i]!)
    return key
  }
  return latin1(bytes, 0, bytes.length)
}

/** The same of a stretch of them, in memory of its own. */
export function latin1(bytes: Uint8Array, from: number, to: number): string {
  // Measured for 1 KiB: 0.2 us on Node, 6 us by `apply`, 63 us by spreading.
  if (NodeBuffer !== undefined && to - from > 32)
    return NodeBuffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString("latin1")
  let text = ""
  for (let at = from; at < to; at += 4096)
    text += String.fromCharCode.apply(null, bytes.subarray(at, Math.min(to, at + 4096)) as unknown as number[])
  return text
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export const EMPTY: Uint8Array = allocate(0)

/** Bytes in all frames. */
export function sizeOf(message: readonly Uint8Array[]): number {
  let size = 0
  for (let i = 0; i < message.length; i++) size += message[i]!.length
  return size
}
