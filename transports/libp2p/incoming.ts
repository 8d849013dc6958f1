/**
 * What came over a stream and nobody has read yet. A frame of Yamux may have one byte: kept as it came it would cost a hundred, and
 * keep alive all that was encrypted with it. So small ones are copied together.
 */
import { allocate, asFrame } from "../../lib/bytes.ts"

/** Bytes from which a chunk is kept as it came. */
const LARGE = 8192
const MOST = 65_536

export class Incoming {
  private chunks: Uint8Array[] = []
  private next = 0
  /** Where small ones go, up to `filled`: the last of the chunks, when there is one. */
  private slab: Uint8Array | undefined
  private filled = 0

  get empty(): boolean {
    return this.slab === undefined && this.next === this.chunks.length
  }

  add(chunk: Uint8Array): void {
    if (chunk.length >= LARGE) {
      this.seal()
      this.chunks.push(asFrame(chunk))
      return
    }
    if (this.slab === undefined || this.slab.length - this.filled < chunk.length) {
      // As large again as the one before.
      const size = this.slab === undefined ? 1024 : Math.min(MOST, this.slab.length * 2)
      this.seal()
      this.slab = allocate(Math.max(size, chunk.length))
    }
    this.slab.set(chunk, this.filled)
    this.filled += chunk.length
  }

  /** The first of them, not to be written to any more. */
  take(): Uint8Array | undefined {
    if (this.next === this.chunks.length) this.seal()
    const chunk = this.chunks[this.next]
    if (chunk === undefined) return undefined
    this.next++
    // What was handed over is let go of.
    if (this.next === this.chunks.length) {
      this.chunks = []
      this.next = 0
    }
    return chunk
  }

  clear(): void {
    this.chunks = []
    this.next = 0
    this.slab = undefined
    this.filled = 0
  }

  private seal(): void {
    if (this.slab !== undefined) this.chunks.push(this.slab.subarray(0, this.filled))
    this.slab = undefined
    this.filled = 0
  }
}
