/** READY's properties (RFC 37, WIRE 1.3): `name-length name value-length(4) value`, again and again. */
import { allocate, copyOf } from "../bytes.ts"
import type { Metadata } from "../contract.ts"
import { EarshotError } from "../errors.ts"

const MAX_PROPERTIES = 256

/** Properties as they travel: a Map of them takes ten times the memory, and few ask for it. */
export class PackedMetadata {
  private readonly bytes: Uint8Array

  constructor(metadata: Metadata) {
    this.bytes = encodeMetadata(metadata)
  }

  get all(): Metadata {
    return decodeMetadata(this.bytes)
  }
}

export function encodeMetadata(metadata: Metadata): Uint8Array {
  let size = 0
  for (const [name, value] of metadata) size += 5 + name.length + value.length
  const bytes = allocate(size)
  let at = 0
  for (const [name, value] of metadata) {
    bytes[at++] = name.length
    for (let i = 0; i < name.length; i++) bytes[at++] = name.charCodeAt(i)
    new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value.length)
    bytes.set(value, at + 4)
    at += 4 + value.length
  }
  return bytes
}

export function decodeMetadata(body: Uint8Array): Metadata {
  const metadata = new Map<string, Uint8Array>()
  // One copy for all values: metadata outlives the chunk it came in.
  const bytes = copyOf(body)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  while (at < bytes.length) {
    const nameLength = bytes[at]!
    const valueAt = at + 5 + nameLength
    if (nameLength === 0 || valueAt > bytes.length) throw new EarshotError("EPROTO", "malformed metadata")
    let name = ""
    for (let i = at + 1; i <= at + nameLength; i++) name += String.fromCharCode(bytes[i]!)
    if (!/^[A-Za-z0-9\-_.+]+$/.test(name)) throw new EarshotError("EPROTO", "malformed metadata")
    const valueLength = view.getUint32(valueAt - 4)
    if (valueAt + valueLength > bytes.length) throw new EarshotError("EPROTO", "malformed metadata")
    metadata.set(name, bytes.subarray(valueAt, valueAt + valueLength))
    if (metadata.size > MAX_PROPERTIES) throw new EarshotError("EPROTO", "too many metadata properties")
    at = valueAt + valueLength
  }
  return metadata
}

/** Names are written in one case (libzmq compares exactly) and read in any (RFC 37). */
export function property(metadata: Metadata, name: string): Uint8Array | undefined {
  const exact = metadata.get(name)
  if (exact !== undefined) return exact
  const lower = name.toLowerCase()
  for (const [key, value] of metadata) if (key.toLowerCase() === lower) return value
  return undefined
}
