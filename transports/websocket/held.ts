/** Chunks that have come and wait for their reader, in order. */
import { joined } from "./stream.ts"

/** So many chunks of a stream are joined: small ones cost more than their bytes. */
const MANY = 1024
/** What each chunk counts as beside its bytes. */
const OVERHEAD = 256

export class Held {
  /** With what each chunk costs beside its own. */
  bytes = 0
  private chunks: Uint8Array[] = []
  /** Of the first that waits; those before it have been taken. */
  private first = 0

  get empty(): boolean {
    return this.first === this.chunks.length
  }

  /** `joins`: where one ends and the next begins means nothing. */
  push(chunk: Uint8Array, joins: boolean): void {
    this.chunks.push(chunk)
    this.bytes += chunk.length + OVERHEAD
    if (!joins || this.chunks.length < MANY) return
    const all = joined(this.chunks.slice(this.first))
    this.chunks = [all]
    this.first = 0
    this.bytes = all.length + OVERHEAD
  }

  shift(): Uint8Array | undefined {
    const chunk = this.chunks[this.first]
    if (chunk === undefined) return undefined
    this.bytes -= chunk.length + OVERHEAD
    // Not each by itself: moving a long array up by one is slow.
    if (++this.first === MANY || this.empty) {
      this.chunks.splice(0, this.first)
      this.first = 0
    }
    return chunk
  }
}
