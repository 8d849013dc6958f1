/** What a link has to send, and how much a stream is given at once. */
import { allocate } from "../../lib/bytes.ts"
import type { Libp2pStream } from "./node.ts"

/**
 * Bytes in one send. Each costs about 30 us, whatever its size. With the 12 of Yamux's head they are just what fits into
 * one message of Noise (65,535 less 16): a byte more would be a message of its own, to encrypt, write and decrypt.
 */
const MAX_SENT = 65_507
/** Chunks below are copied together with others. */
const SMALL = 16_384

export class Outgoing {
  /** Bytes ever given to the stream. */
  sent = 0
  private readonly stream: Libp2pStream
  private queue: Uint8Array[] = []
  private queuedBytes = 0
  /** Where the first chunk of the queue goes on. */
  private offset = 0
  /** Bytes of the last send, after which the stream asked to wait. */
  private underWay = 0

  constructor(stream: Libp2pStream) {
    this.stream = stream
    // One piece waits in it at most.
    stream.maxWriteBufferLength = 16 * MAX_SENT
  }

  /** Bytes not known to have left. */
  get waiting(): number {
    return this.queuedBytes + this.underWay
  }

  add(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.queue.push(chunk)
    this.queuedBytes += chunk.length
  }

  /** Sends what the stream takes. True: nothing waits. False: `drain` follows, or the end. */
  send(): boolean {
    const { stream } = this
    if (stream.writableNeedsDrain) return this.waiting === 0
    this.underWay = 0
    while (this.queuedBytes > 0) {
      const piece = this.next()
      this.sent += piece.length
      let more: boolean
      try {
        more = stream.send(piece)
      } catch {
        more = false
      }
      if (more) continue
      this.underWay = piece.length
      return false
    }
    return true
  }

  /** The next bytes, taken from the queue: one large chunk's, or small ones copied together. */
  private next(): Uint8Array {
    const { queue } = this
    const first = queue[0]!
    const rest = first.length - this.offset
    if (rest > SMALL || rest === this.queuedBytes) return this.take(Math.min(rest, MAX_SENT))
    const piece = allocate(Math.min(this.queuedBytes, MAX_SENT))
    let at = 0
    let done = 0
    while (at < piece.length) {
      const chunk = queue[done]!
      const end = Math.min(chunk.length, this.offset + piece.length - at)
      piece.set(chunk.subarray(this.offset, end), at)
      at += end - this.offset
      this.offset = end === chunk.length ? 0 : end
      if (this.offset === 0) done++
    }
    queue.splice(0, done)
    this.queuedBytes -= piece.length
    return piece
  }

  private take(size: number): Uint8Array {
    const first = this.queue[0]!
    const piece = first.subarray(this.offset, this.offset + size)
    this.queuedBytes -= size
    this.offset += size
    if (this.offset < first.length) return piece
    this.queue.shift()
    this.offset = 0
    return piece
  }
}
