/** A link of our own protocol (stream.ts): a byte stream in binary messages, and credit in text ones. */
import { EarshotError } from "../../lib/errors.ts"
import { WireLink } from "./link.node.ts"
import { EARLY, MAX_SENT, MAX_TAKEN_EARLY, pieces, readGrant } from "./stream.ts"

/** Of a text message that may be a grant. */
const MAX_GRANT = 16
/**
 * ms from one grant to the next within which a receiver counts as swift. A page hears of a message only when it is
 * complete, and gives up a server that it has not heard for 20 s: to one at the end of a slow line large ones are silence.
 */
const SWIFT = 1000

export class StreamLink extends WireLink {
  readonly protocol = "zmtp"
  /** Bytes that the other side still takes; undefined while it has never granted any, and TCP alone pushes back. */
  private credit: number | undefined
  private queue: Uint8Array[] = []
  /** Bytes sent since there is credit. */
  private spent = 0
  /** When the last grant came, and whether it came soon after the one before. */
  private grantedAt = -Infinity
  private swift = false

  ping(): void {
    this.ask()
  }

  protected carry(chunks: readonly Uint8Array[]): void {
    for (let i = 0; i < chunks.length; i++) {
      const chunk = chunks[i]!
      if (this.credit !== undefined) {
        this.queue.push(chunk)
        this.backlog += chunk.length
      } else if (chunk.length > MAX_SENT) for (const piece of pieces(chunk)) this.send(piece)
      else if (chunk.length > 0) this.send(chunk)
    }
    if (this.backlog > 0) this.spend()
  }

  protected takes(data: Uint8Array, binary: boolean): boolean {
    if (!binary) {
      this.granted(data)
      return false
    }
    // It costs a call and brings nothing; we send none.
    if (data.length === 0) throw new EarshotError("EPROTO", "an empty message")
    return true
  }

  private granted(text: Uint8Array): void {
    const bytes = text.length > MAX_GRANT ? undefined : readGrant(Buffer.from(text).toString("latin1"))
    if (bytes === undefined) throw new EarshotError("EPROTO", "a text message that is no credit")
    this.credit = (this.credit ?? 0) + bytes
    const now = this.clock.now()
    this.swift = now - this.grantedAt < SWIFT
    this.grantedAt = now
    if (this.backlog === 0) return
    this.spend()
    this.onBacklog()
  }

  /**
   * As few messages as may be: each costs a browser, and only those grant, more than copying its bytes costs us. Small ones
   * to one that may not know us yet, or is slow.
   */
  private spend(): void {
    while (this.backlog > 0 && this.credit! > 0) {
      const most = this.swift && this.spent >= EARLY ? MAX_SENT : MAX_TAKEN_EARLY
      const size = Math.min(this.backlog, this.credit!, most)
      const parts = this.shift(size)
      this.spent += size
      this.credit! -= size
      this.backlog -= size
      this.send(parts.length === 1 ? parts[0]! : Buffer.concat(parts, size))
    }
  }

  /** Takes so many bytes from the queue. */
  private shift(size: number): Uint8Array[] {
    const { queue } = this
    const parts: Uint8Array[] = []
    let whole = 0
    for (let left = size; left > 0;) {
      const chunk = queue[whole]!
      if (chunk.length > left) queue[whole] = chunk.subarray(left)
      else whole++
      parts.push(chunk.length > left ? chunk.subarray(0, left) : chunk)
      left -= parts.at(-1)!.length
    }
    queue.splice(0, whole)
    return parts
  }
}
