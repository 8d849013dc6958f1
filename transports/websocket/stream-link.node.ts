/** A link of our own protocol (stream.ts): a byte stream in binary messages, and credit in text ones. */
import { EarshotError } from "../../lib/errors.ts"
import { WireLink } from "./link.node.ts"
import { MAX_SENT, pieces, readGrant } from "./stream.ts"

/** Of a text message that may be a grant. */
const MAX_GRANT = 16

export class StreamLink extends WireLink {
  readonly protocol = "zmtp"
  /** Bytes that the other side still takes; undefined while it has never granted any, and TCP alone pushes back. */
  private credit: number | undefined
  private queue: Uint8Array[] = []

  ping(): void {
    this.ask()
  }

  protected carry(chunk: Uint8Array): void {
    if (this.credit !== undefined) {
      this.queue.push(chunk)
      this.backlog += chunk.length
      this.spend()
    } else if (chunk.length > MAX_SENT) for (const piece of pieces(chunk)) this.send(piece)
    else if (chunk.length > 0) this.send(chunk)
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
    if (this.queue.length === 0) return
    this.spend()
    this.sentBacklog()
  }

  private spend(): void {
    const { queue } = this
    let done = 0
    while (done < queue.length && this.credit! > 0) {
      const chunk = queue[done]!
      const most = Math.min(this.credit!, MAX_SENT)
      const piece = chunk.length > most ? chunk.subarray(0, most) : chunk
      if (piece === chunk) done++
      else queue[done] = chunk.subarray(most)
      if (piece.length === 0) continue
      this.credit! -= piece.length
      this.backlog -= piece.length
      this.send(piece)
    }
    if (done > 0) queue.splice(0, done)
  }
}
