/**
 * Bytes to frames (RFC 37, WIRE 1.2), resumable at any byte. A frame that lies within one chunk is a view of it; one
 * that spans chunks is gathered in memory of its own, which grows with what has arrived and never with what is claimed.
 */
import { EMPTY, View, allocate } from "../bytes.ts"
import type { Message, Skim } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { COMMAND, LONG, MORE } from "./encoder.ts"
import { checkCommand, checkFrame, tellCommand, type DecoderLimits, type DecoderSink } from "./limits.ts"

export type { DecoderLimits, DecoderSink } from "./limits.ts"

/** A first allocation for a frame that spans chunks, and its growth: at most so many times what has arrived. */
const FIRST = 4096
const GROWTH = 4
/** A frame of which so much is there gets up to so much at once: it is then copied once, or not at all. */
const EARNEST = 32_768
const AT_ONCE = 1_048_576

export class Decoder {
  paused = false
  skim: Skim | undefined = undefined
  private readonly sink: DecoderSink
  private readonly limits: DecoderLimits
  /** A frame's head that spans chunks. */
  private readonly head = new Uint8Array(9)
  private headLength = 0
  /** A frame's body that spans chunks: `bodyAt` of `bodySize` bytes are there. */
  private body: Uint8Array | undefined
  private bodyFlags = 0
  private bodySize = 0
  private bodyAt = 0
  /** The frames so far of a multipart message. */
  private parts: Message | undefined
  private partsSize = 0
  /** Chunks that are not decoded yet: those from `heldFirst` on, that one from `heldAt` on. */
  private held: Uint8Array[] = []
  private heldFirst = 0
  private heldAt = 0
  private decoding = false

  constructor(sink: DecoderSink, limits: DecoderLimits) {
    this.sink = sink
    this.limits = limits
  }

  /** A frame or a multipart message has begun and is not complete. */
  get partial(): boolean {
    return this.body !== undefined || this.headLength > 0 || this.parts !== undefined
  }

  receive(chunk: Uint8Array): void {
    this.held.push(chunk)
    if (!this.paused) this.resume()
  }

  resume(): void {
    this.paused = false
    // Inside a sink's call the loop that made it goes on by itself.
    if (this.decoding) return
    this.decoding = true
    try {
      this.decodeHeld()
    } finally {
      this.decoding = false
    }
  }

  /** Nothing more will come: what is held goes to the sink, however often that pauses. */
  finish(): void {
    while (this.held.length > 0 && !this.decoding) this.resume()
  }

  /** What the frame in progress still takes of its memory, which may be less than it still takes. */
  room(): Uint8Array | undefined {
    const { body, bodyAt } = this
    if (body === undefined || this.paused || this.held.length > 0) return undefined
    return new View(body.buffer, body.byteOffset + bodyAt, body.length - bodyAt)
  }

  private decodeHeld(): void {
    while (!this.paused && this.held.length > 0) {
      const chunk = this.held[this.heldFirst]!
      this.heldAt = this.decode(chunk, this.heldAt)
      if (this.heldAt < chunk.length) continue
      this.heldAt = 0
      this.held[this.heldFirst++] = EMPTY
      // Moved together at times only: a shift for each would move them all each time.
      if (this.heldFirst * 2 < this.held.length) continue
      this.held = this.held.slice(this.heldFirst)
      this.heldFirst = 0
    }
  }

  /** Decodes from `at` until the end or until the sink pauses; returns where it stopped. */
  private decode(chunk: Uint8Array, at: number): number {
    const end = chunk.length
    if (this.body !== undefined || this.headLength > 0) {
      at = this.continue(chunk, at)
      if (at === end) return end
    }
    const { buffer, byteOffset } = chunk
    const sink = this.sink
    while (!this.paused) {
      if (end - at < 2) break
      const flags = chunk[at]!
      let size: number
      let start: number
      if ((flags & LONG) === 0) {
        size = chunk[at + 1]!
        start = at + 2
      } else {
        if (end - at < 9) break
        size = readSize(chunk, at + 1)
        start = at + 9
      }
      if (flags !== 0 || this.parts !== undefined || size > this.limits.maxMessageSize) this.check(flags, size)
      at = start + size
      if (at > end) {
        this.begin(flags, size, chunk, start)
        return end
      }
      // The common case first: a message of one frame.
      const whole = (flags & ~LONG) === 0 && this.parts === undefined
      if (whole && this.skim?.(chunk, start, size) === true) continue
      const frame = size === 0 ? EMPTY : new View(buffer, byteOffset + start, size)
      if (whole) sink.onMessage([frame], size)
      else this.complete(flags, frame)
    }
    if (!this.paused && at < end) {
      this.head.set(chunk.subarray(at, end))
      this.headLength = end - at
      return end
    }
    return at
  }

  /** Goes on with a head or a body that an earlier chunk began. Returns where it stopped. */
  private continue(chunk: Uint8Array, at: number): number {
    const end = chunk.length
    if (this.body === undefined) {
      const head = this.head
      const need = (head[0]! & LONG) === 0 ? 2 : 9
      while (this.headLength < need && at < end) head[this.headLength++] = chunk[at++]!
      if (this.headLength < need) return end
      const flags = head[0]!
      const size = need === 2 ? head[1]! : readSize(head, 1)
      this.headLength = 0
      this.check(flags, size)
      this.begin(flags, size, chunk, at)
      at = Math.min(end, at + size)
    } else if (this.bodyAt === 0 && end - at >= this.bodySize && chunk.buffer !== this.body.buffer) {
      // Only its head came before: a view, like every frame that lies within one chunk.
      this.body = new View(chunk.buffer, chunk.byteOffset + at, this.bodySize)
      at += this.bodyAt = this.bodySize
    } else {
      const take = Math.min(end - at, this.bodySize - this.bodyAt)
      this.gather(chunk, at, take)
      at += take
    }
    if (this.bodyAt === this.bodySize) {
      const frame = this.body!
      this.body = undefined
      this.complete(this.bodyFlags, frame)
    }
    return at
  }

  private begin(flags: number, size: number, chunk: Uint8Array, start: number): void {
    this.bodyFlags = flags
    this.bodySize = size
    this.bodyAt = 0
    const have = Math.min(size, chunk.length - start)
    this.body = size === 0 ? EMPTY : allocate(memoryFor(size, have))
    this.gather(chunk, start, have)
  }

  private gather(chunk: Uint8Array, start: number, length: number): void {
    const need = this.bodyAt + length
    let body = this.body!
    if (need > body.length) {
      body = allocate(memoryFor(this.bodySize, need))
      body.set(this.body!.subarray(0, this.bodyAt))
      this.body = body
    }
    const there = chunk.buffer === body.buffer && chunk.byteOffset + start === body.byteOffset + this.bodyAt
    // Read into `room` it is there already.
    if (!there && length > 0)
      body.set(start === 0 && length === chunk.length ? chunk : chunk.subarray(start, start + length), this.bodyAt)
    this.bodyAt = need
  }

  private check(flags: number, size: number): void {
    if (flags > 7 || flags === (COMMAND | MORE) || flags === (COMMAND | MORE | LONG))
      throw new EarshotError("EPROTO", `a frame with flags 0x${flags.toString(16).padStart(2, "0")}`)
    if ((flags & COMMAND) !== 0) checkCommand(this.limits, size)
    else checkFrame(this.limits, this.partsSize + size, this.parts)
  }

  private complete(flags: number, frame: Uint8Array): void {
    if ((flags & COMMAND) !== 0) return tellCommand(this.sink, frame)
    const parts = (this.parts ??= [])
    parts.push(frame)
    this.partsSize += frame.length
    if ((flags & MORE) !== 0) return
    const size = this.partsSize
    this.parts = undefined
    this.partsSize = 0
    this.sink.onMessage(parts, size)
  }
}

/** For a frame of `size` bytes of which `have` are there. */
function memoryFor(size: number, have: number): number {
  return Math.min(size, Math.max(FIRST, GROWTH * have, have < EARNEST ? 0 : AT_ONCE))
}

/** Unsigned 64 bits; everything over 2^53 comes out as Infinity, which no limit allows. */
function readSize(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== 0 || bytes[at + 1]! > 0x1f) return Infinity
  const high = bytes[at + 1]! * 0x1_0000 + bytes[at + 2]! * 0x100 + bytes[at + 3]!
  const low = bytes[at + 4]! * 0x100_0000 + bytes[at + 5]! * 0x1_0000 + bytes[at + 6]! * 0x100 + bytes[at + 7]!
  return high * 0x1_0000_0000 + low
}
