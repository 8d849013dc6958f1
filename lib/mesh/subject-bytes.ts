/** Subjects as bytes and back, without doing the same twice: programs use few of them again and again. */
import { EMPTY, View, allocate, encodeText } from "../bytes.ts"
import { EarshotError } from "../errors.ts"

/** Subjects remembered on the way out; forgotten all at once. */
const MAX_HEADS = 1024
/** Places for subjects on the way in; one that comes to a taken place takes it. */
const SLOTS = 512
/** Bytes, or characters, of a subject that is worth remembering. */
const MAX_REMEMBERED = 256
const CHUNK = 8192
const MAX_SUBJECT = 0xffff

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** UTF-8, and nothing that only resembles it. Throws what TextDecoder throws. */
export function decodeStrictly(bytes: Uint8Array): string {
  return strict.decode(bytes)
}

/** What stands in front of the body in contents that one codec encodes and that have no headers, by their subjects. */
export class SubjectHeads {
  private readonly mark: Uint8Array
  private readonly known = new Map<string, Uint8Array>()
  private subject = ""
  private head: Uint8Array
  private chunk = EMPTY
  private at = 0

  /** `mark`: how the codec stands in contents. */
  constructor(mark: Uint8Array) {
    this.mark = mark
    this.head = this.make("")
  }

  /** Nobody may write to it. Throws INVALID_SUBJECT for one of more than 65,535 bytes. */
  of(subject: string): Uint8Array {
    if (subject === this.subject) return this.head
    let head = this.known.get(subject)
    if (head === undefined) {
      head = this.make(subject)
      if (subject.length > MAX_REMEMBERED) return head
      if (this.known.size >= MAX_HEADS) this.known.clear()
      this.known.set(subject, head)
    }
    this.subject = subject
    return (this.head = head)
  }

  private make(subject: string): Uint8Array {
    const { mark } = this
    const bytes = subject === "" ? EMPTY : encodeText(subject)
    const size = bytes.length
    if (size > MAX_SUBJECT) throw new EarshotError("INVALID_SUBJECT", "a subject has at most 65,535 bytes")
    const head = this.reserve(2 + size + mark.length + 2)
    head[0] = size >>> 8
    head[1] = size
    for (let i = 0; i < size; i++) head[2 + i] = bytes[i]!
    for (let i = 0; i < mark.length; i++) head[2 + size + i] = mark[i]!
    head[head.length - 2] = head[head.length - 1] = 0
    return head
  }

  /** Heads lie together, since memory of its own for each takes longer to get than all the rest. */
  private reserve(size: number): Uint8Array {
    if (this.at + size > this.chunk.length) {
      this.chunk = allocate(Math.max(CHUNK, size))
      this.at = 0
    }
    const { buffer, byteOffset } = this.chunk
    this.at += size
    return new View(buffer, byteOffset + this.at - size, size)
  }
}

/** A subject of what arrived: mostly the very object that stood for it before. */
export class KnownSubject {
  readonly text: string
  /** As it travels, where it is worth remembering. */
  readonly bytes: Uint8Array
  /** What `SubjectTable.recall` found for it last, and its patterns at that time. */
  found: unknown
  patterns: object | undefined

  constructor(text: string, bytes: Uint8Array) {
    this.text = text
    this.bytes = bytes
    this.found = undefined
    this.patterns = undefined
  }
}

/** Of what has none: replies. */
export const NO_SUBJECT: KnownSubject = new KnownSubject("", EMPTY)

/** Gives the subjects of what arrives. */
export class SubjectCache {
  private readonly accepts: ((subject: string) => boolean) | undefined
  private readonly slots: (KnownSubject | undefined)[] = []
  private last: KnownSubject = NO_SUBJECT

  /** `accepts`: whether it may be the subject of a message; asked about those that are not remembered. */
  constructor(accepts?: (subject: string) => boolean) {
    this.accepts = accepts
  }

  /** The subject in `size` bytes from `from` on. Throws EPROTO for what is not UTF-8 or not accepted. */
  read(bytes: Uint8Array, from: number, size: number): KnownSubject {
    if (isAt(this.last.bytes, bytes, from, size)) return this.last
    if (size > MAX_REMEMBERED) return new KnownSubject(this.decode(bytes, from, from + size), EMPTY)
    const slot = slotOf(bytes, from, from + size)
    let known = this.slots[slot]
    if (known === undefined || !isAt(known.bytes, bytes, from, size)) {
      known = new KnownSubject(this.decode(bytes, from, from + size), new Uint8Array(bytes.subarray(from, from + size)))
      this.slots[slot] = known
    }
    return (this.last = known)
  }

  private decode(bytes: Uint8Array, from: number, to: number): string {
    let subject: string
    try {
      subject = decodeStrictly(bytes.subarray(from, to))
    } catch (error) {
      throw new EarshotError("EPROTO", "a subject that is not UTF-8", error)
    }
    if (subject !== "" && this.accepts?.(subject) === false)
      throw new EarshotError("EPROTO", "a message with what is no subject")
    return subject
  }
}

/** From the end on: subjects begin alike. */
function isAt(wanted: Uint8Array, bytes: Uint8Array, from: number, size: number): boolean {
  if (wanted.length !== size) return false
  for (let i = size - 1; i >= 0; i--) if (wanted[i] !== bytes[from + i]) return false
  return true
}

/** A multiplicative hash of four bytes at a time. */
function slotOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = to - from
  let i = from
  for (; i + 3 < to; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    hash = Math.imul(hash ^ word, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  for (; i < to; i++) hash = Math.imul(hash ^ bytes[i]!, 0x9e3779b1)
  return (hash ^ (hash >>> 15)) & (SLOTS - 1)
}
