/**
 * What a message of the mesh is about, encoded once and shared by all links (PROTOCOL.md):
 *
 *   u16 size | subject | u8 codec (255: u8 size | name) | u16 size | headers | body
 *
 * Sizes are big endian. Headers are a MessagePack map, of no bytes when there are none. A large body is a frame of its own
 * behind this one, which then ends with the headers.
 */
import { EMPTY, View, allocate } from "../bytes.ts"
import { EarshotError } from "../errors.ts"
import { NAMED, type Codecs, type Coding } from "./codecs.ts"
import type { Headers, PayloadCodec } from "./contract.ts"
import { msgpack } from "./msgpack.ts"
import { scanHeaders } from "./msgpack-scan.ts"
import { NO_SUBJECT, decodeStrictly, type KnownSubject, type SubjectCache } from "./subject-bytes.ts"

/** Bodies up to this many bytes are copied behind their head. Measured: from 256 on another frame is cheaper. */
const COPY_MAX = 512
/** The same for those that msgpack writes there itself: the encoder of frames copies no larger ones. */
const BEHIND_MAX = 4096
const MAX_HEADERS = 0xffff
/** `encodeBehind` leaves no more room. */
const MAX_ROOM = 255
/** Below this a loop beats `set()`. */
const LOOP_MAX = 24

/**
 * Small contents lie one behind the other in memory of this size, which is dropped, never used again. Not larger: one that
 * waits for a slow member holds on to all of it.
 */
const CHUNK = 16_384
let chunk = EMPTY
let at = 0

const NOT_DECODED = Symbol("not decoded")
const NO_HEADERS: Headers = Object.freeze({})

/**
 * The one or two frames of a content; the first has `front` bytes before it, for the caller to write. Nobody may write to
 * the rest; the second may be what `data` itself lies in. `subject` is taken as it is, and may be empty. Throws ENCODE for what the codec can't encode, EINVAL for headers that are not strings
 * or arrays of them, TOO_LARGE for more than 65,535 bytes of headers, INVALID_SUBJECT for as many of subject.
 */
export function encodeContent(
  subject: string,
  coding: Coding,
  data: unknown,
  headers?: Headers,
  front = 0,
): Uint8Array[] {
  const { codec, heads } = coding
  const head = heads.of(subject)
  const block = headers === undefined ? EMPTY : encodeHeaders(headers)
  const size = front + head.length + block.length
  if (codec === msgpack && size <= MAX_ROOM) {
    const bytes = msgpack.encodeBehind(data, size)
    writeHead(bytes, front, head, block)
    return bytes.length <= size + BEHIND_MAX ? [bytes] : [part(bytes, 0, size), part(bytes, size, bytes.length)]
  }
  const body = encodeBody(codec, data)
  const copied = body.length <= COPY_MAX
  const start = reserve(copied ? size + body.length : size)
  const here = writeHead(chunk, start + front, head, block)
  if (!copied) return [part(chunk, start, here), body]
  copy(chunk, here, body)
  return [part(chunk, start, here + body.length)]
}

/** Makes room in the chunk; gives where. */
function reserve(size: number): number {
  if (at + size > chunk.length) {
    chunk = allocate(Math.max(CHUNK, size))
    at = 0
  }
  const start = at
  at += size
  return start
}

function writeHead(target: Uint8Array, from: number, head: Uint8Array, block: Uint8Array): number {
  copy(target, from, head)
  const end = from + head.length
  if (block.length === 0) return end
  target[end - 2] = block.length >>> 8
  target[end - 1] = block.length
  target.set(block, end)
  return end + block.length
}

function copy(target: Uint8Array, from: number, source: Uint8Array): void {
  const size = source.length
  if (size <= LOOP_MAX) for (let i = 0; i < size; i++) target[from + i] = source[i]!
  else target.set(source, from)
}

function part(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new View(bytes.buffer, bytes.byteOffset + from, to - from)
}

function encodeBody(codec: PayloadCodec, data: unknown): Uint8Array {
  let body: unknown
  try {
    body = codec.encode(data)
  } catch (error) {
    if (error instanceof EarshotError) throw error
    throw new EarshotError("ENCODE", `the codec ${codec.name} can't encode this value`, error)
  }
  if (body instanceof Uint8Array) return body
  throw new EarshotError("ENCODE", `the codec ${codec.name} gave no Uint8Array`)
}

function encodeHeaders(headers: Headers): Uint8Array {
  if (!isPlain(headers)) throw new EarshotError("EINVAL", "headers are a plain object")
  const names = Object.keys(headers)
  if (names.length === 0) return EMPTY
  for (const name of names) {
    const value: unknown = headers[name]
    if (typeof value !== "string" && !(Array.isArray(value) && value.every((item) => typeof item === "string")))
      throw new EarshotError("EINVAL", `the header ${JSON.stringify(name)} is no string and no array of strings`)
  }
  const block = msgpack.encode(headers)
  if (block.length > MAX_HEADERS) throw new EarshotError("TOO_LARGE", `${block.length} bytes of headers`)
  return block
}

function isPlain(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** What a link needs to read contents. */
export interface ContentContext {
  readonly codecs: Codecs
  readonly subjects: SubjectCache
  /** Somebody wanted the data of this content, and it has none. Once for each. */
  readonly onUndecodable?: (content: Content) => void
}

/** The content of a message that arrived; headers and data are decoded when they are asked for. */
export class Content {
  readonly about: KnownSubject
  /** Its codec, or what the message calls one that nobody here has. */
  private readonly how: PayloadCodec | string
  private readonly head: Uint8Array
  private readonly headersAt: number
  private readonly headersEnd: number
  /** Of what belongs to it in `head`. */
  private readonly end: number
  private body: Uint8Array | undefined
  private readonly context: ContentContext
  private value: unknown
  /** Few messages have any of these, and there are many messages. */
  private rest: { headers?: Headers; trouble?: EarshotError } | undefined

  /** For `decodeContent`. `body`: the second frame. */
  constructor(
    about: KnownSubject,
    how: PayloadCodec | string,
    head: Uint8Array,
    headersAt: number,
    headersEnd: number,
    end: number,
    body: Uint8Array | undefined,
    context: ContentContext,
  ) {
    this.about = about
    this.how = how
    this.head = head
    this.headersAt = headersAt
    this.headersEnd = headersEnd
    this.end = end
    this.body = body
    this.context = context
    this.value = NOT_DECODED
    this.rest = undefined
  }

  get subject(): string {
    return this.about.text
  }

  /** Undefined: this member doesn't have it, so `data` is undefined and `problem` says so. */
  get codec(): PayloadCodec | undefined {
    return typeof this.how === "string" ? undefined : this.how
  }

  /** As the message says: a name, or a number that has none here. */
  get codecName(): string {
    return typeof this.how === "string" ? this.how : this.how.name
  }

  /** Names and values; frozen and empty when there are none. What is not UTF-8 in them is replaced. */
  get headers(): Headers {
    if (this.headersAt === this.headersEnd) return NO_HEADERS
    this.rest ??= {}
    return (this.rest.headers ??= msgpack.decode(part(this.head, this.headersAt, this.headersEnd)) as Headers)
  }

  /** The body as it travelled: a view of the memory that the message arrived in. */
  get raw(): Uint8Array {
    return (this.body ??= part(this.head, this.headersEnd, this.end))
  }

  /** The body, decoded; undefined where that can't be done: see `problem`. Never throws. */
  get data(): unknown {
    if (this.value === NOT_DECODED) this.decode()
    return this.value
  }

  /** Why there is no `data`: DECODE. Decodes it, to tell. */
  get problem(): EarshotError | undefined {
    if (this.value === NOT_DECODED) this.decode()
    return this.rest?.trouble
  }

  private decode(): void {
    this.value = undefined
    const { codec, codecName, context } = this
    try {
      if (codec === undefined)
        throw new EarshotError("DECODE", `nobody here has the codec ${JSON.stringify(codecName)}`)
      this.value = codec.decode(this.raw)
    } catch (error) {
      this.rest ??= {}
      this.rest.trouble =
        error instanceof EarshotError
          ? error
          : new EarshotError("DECODE", `the codec ${codecName} can't decode this message`, error)
      context.onUndecodable?.(this)
    }
  }
}

/**
 * The content in the last one or two of `frames`, from `from` on; in the first of them it stands behind `front` bytes of
 * something else. Throws EPROTO for what is none.
 */
export function decodeContent(
  frames: readonly Uint8Array[],
  from: number,
  context: ContentContext,
  front = 0,
): Content {
  const head = frames[from]
  if (head === undefined || frames.length - from > 2) throw malformed("it has one or two frames")
  return contentIn(head, front, head.length, frames[from + 1], context)
}

/** The content in these bytes of `head`, and in a second frame, if there is one. Throws EPROTO for what is none. */
export function contentIn(
  head: Uint8Array,
  from: number,
  end: number,
  body: Uint8Array | undefined,
  context: ContentContext,
): Content {
  let here = from + 2
  // A subject, a codec and the size of the headers are in every content.
  if (here + 3 > end) throw malformed("it ends in its subject")
  const size = (head[from]! << 8) | head[from + 1]!
  here += size
  if (here + 3 > end) throw malformed("it ends in its subject")
  const subject = size === 0 ? NO_SUBJECT : context.subjects.read(head, from + 2, size)
  const number = head[here++]!
  let how: PayloadCodec | string
  if (number === NAMED) {
    const nameEnd = here + 1 + head[here]!
    if (nameEnd + 2 > end) throw malformed("it ends in the name of its codec")
    const name = readName(head.subarray(here + 1, nameEnd))
    how = context.codecs.byName(name) ?? name
    here = nameEnd
  } else {
    how = context.codecs.byNumber(number) ?? String(number)
  }
  const headersAt = here + 2
  const headersEnd = headersAt + ((head[here]! << 8) | head[here + 1]!)
  if (headersEnd > end) throw malformed("it ends in its headers")
  if (headersEnd > headersAt) checkHeaders(part(head, headersAt, headersEnd))
  if (body !== undefined && headersEnd < end) throw malformed("it has two bodies")
  return new Content(subject, how, head, headersAt, headersEnd, end, body, context)
}

function readName(bytes: Uint8Array): string {
  if (bytes.length === 0) throw malformed("its codec has no name")
  try {
    return decodeStrictly(bytes)
  } catch (error) {
    throw malformed("the name of its codec is not UTF-8", error)
  }
}

function checkHeaders(block: Uint8Array): void {
  try {
    scanHeaders(block)
  } catch (error) {
    throw malformed("its headers are malformed", error)
  }
}

function malformed(why: string, cause?: unknown): EarshotError {
  return new EarshotError("EPROTO", `a content that is none: ${why}`, cause)
}
