/**
 * Frames to bytes (RFC 37, WIRE 1.2). Small frames are copied into a slab, large ones travel by reference:
 *
 *   chunks   [ slab 0..n ][ a large frame ][ slab n..m ] ...
 *   slab     |--- in chunks already ---|from--- not yet ---at|        free        |
 */
import { View, allocate, asFrame, prefixed } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { SLAB, borrowSlab, returnSlab } from "./slabs.ts"

export const MORE = 1
export const LONG = 2
export const COMMAND = 4

/** Frames up to this many bytes are copied; measured: above it a writev of references wins. */
const COPY_MAX = 4096
/** Below this a loop beats `set()`. */
const LOOP_MAX = 24
const HEAD_MAX = 9

/** With this much pending, all of it copied, a flush is due: what is left of a slab takes any frame that would be copied. */
const FULL: number = SLAB - COPY_MAX - HEAD_MAX
/**
 * With references among it, this much. Not less: three frames of 64 KiB in one write take half the time
 * that they take one by one (raw `net`, Linux, loopback: 50,000 a second instead of 26,000).
 */
const ENOUGH: number = 3 * 65_536

export class Encoder {
  /** Bytes encoded since the last flush. */
  pending = 0
  private slab: Uint8Array | undefined
  /** Bytes that the last flush copied: the next one will be like it. */
  private last = 0
  /** Bytes pending that travel by reference. */
  private referred = 0
  private from = 0
  private at = 0
  private chunks: Uint8Array[] = []
  /** Slabs that are full and part of `chunks`, and those that have been flushed and not released. */
  private full: Uint8Array[] = []

  message(message: Message): void {
    const last = message.length - 1
    for (let i = 0; i < last; i++) this.frame(MORE, message[i]!)
    this.frame(0, message[last]!)
  }

  frame(flags: number, frame: Uint8Array): void {
    const size = frame.length
    if (size > COPY_MAX) return this.reference(flags, frame)
    let slab = this.slab
    if (slab === undefined || this.at + size + HEAD_MAX > slab.length) slab = this.nextSlab(size)
    let at = this.at
    const start = at
    if (size < 256) {
      slab[at] = flags
      slab[at + 1] = size
      at += 2
    } else at = writeLongHead(slab, at, flags, size)
    if (size <= LOOP_MAX) for (let i = 0; i < size; i++) slab[at + i] = frame[i]!
    else slab.set(frame, at)
    this.at = at + size
    this.pending += this.at - start
  }

  /** Bytes that are no frame: a greeting. */
  raw(bytes: Uint8Array): void {
    this.cut()
    this.chunks.push(bytes)
    this.pending += bytes.length
  }

  get due(): boolean {
    return this.pending >= FULL && (this.pending >= ENOUGH || this.referred === 0)
  }

  flush(): readonly Uint8Array[] {
    this.cut()
    this.last = this.pending - this.referred
    const chunks = this.chunks
    this.chunks = []
    this.pending = 0
    this.referred = 0
    return chunks
  }

  /**
   * All that was flushed has left. `free`: nobody else holds its memory, so the slabs may serve somebody else; otherwise
   * they are left to whoever holds them.
   */
  release(free: boolean): void {
    if (this.pending > 0) return
    if (free) {
      if (this.slab !== undefined) returnSlab(this.slab)
      for (const slab of this.full) returnSlab(slab)
      this.slab = undefined
      this.from = this.at = 0
    }
    if (this.full.length > 0) this.full = []
  }

  /** Drops what is pending and leaves flushed memory to whoever holds it. */
  forget(): void {
    this.slab = undefined
    if (this.full.length > 0) this.full = []
    this.chunks = []
    this.from = this.at = this.pending = this.referred = 0
  }

  private reference(flags: number, frame: Uint8Array): void {
    let slab = this.slab
    if (slab === undefined || this.at + HEAD_MAX > slab.length) slab = this.nextSlab(0)
    this.at = writeLongHead(slab, this.at, flags, frame.length)
    this.cut()
    this.chunks.push(asFrame(frame))
    this.referred += frame.length
    this.pending += HEAD_MAX + frame.length
  }

  private nextSlab(size: number): Uint8Array {
    const more = this.slab !== undefined
    if (more) {
      this.cut()
      this.full.push(this.slab!)
    }
    this.from = this.at = 0
    return (this.slab = borrowSlab(more ? SLAB : Math.max(this.last, size + HEAD_MAX)))
  }

  /** What the slab has gathered becomes a chunk. */
  private cut(): void {
    if (this.at === this.from) return
    const { buffer, byteOffset } = this.slab!
    this.chunks.push(new View(buffer, byteOffset + this.from, this.at - this.from))
    this.from = this.at
  }
}

function writeLongHead(slab: Uint8Array, at: number, flags: number, size: number): number {
  slab[at] = flags | LONG
  const high = Math.floor(size / 0x1_0000_0000)
  slab[at + 1] = 0
  slab[at + 2] = 0
  slab[at + 3] = high >>> 8
  slab[at + 4] = high
  slab[at + 5] = size >>> 24
  slab[at + 6] = size >>> 16
  slab[at + 7] = size >>> 8
  slab[at + 8] = size
  return at + HEAD_MAX
}

/** A command's body: length-prefixed name, then data. */
export function commandBody(name: string, data: Uint8Array): Uint8Array {
  const body = allocate(1 + name.length + data.length)
  body[0] = name.length
  for (let i = 0; i < name.length; i++) body[i + 1] = name.charCodeAt(i)
  body.set(data, 1 + name.length)
  return body
}

/** SUBSCRIBE and CANCEL as 3.0 peers and ZWS know them (WIRE 1.5): messages that begin with 01 or 00. Undefined for other commands. */
export function subscriptionMessage(name: string, topic: Uint8Array): Uint8Array | undefined {
  return name === "SUBSCRIBE" || name === "CANCEL" ? prefixed(name === "CANCEL" ? 0 : 1, topic) : undefined
}
