/** A link whose other end is the test: what is written is kept, what arrives is fed, and it takes no more when told so. */
import type { Link, LinkSink } from "../../lib/contract.ts"

export class ScriptLink implements Link {
  readonly protocol: Link["protocol"] = "zmtp"
  readonly remote = "script://peer"
  readonly host: undefined
  readonly shares: boolean
  /** What `write` answers. */
  takes = true
  /** How often it was called. */
  writes = 0
  paused = false
  closed = false
  destroyed = false
  private sink: LinkSink | undefined
  private out: Buffer[] = []
  /** Chunks of writes that were answered with false, and what was in them: their memory must not be used before the drain. */
  private waiting: { chunk: Uint8Array; was: Buffer }[] = []

  constructor(options: { shares?: boolean } = {}) {
    this.shares = options.shares ?? false
  }

  get unconfirmed(): number {
    return this.waiting.reduce((sum, { was }) => sum + was.length, 0)
  }

  get started(): boolean {
    return this.sink !== undefined
  }

  /** All that was written since the last call. */
  take(): Buffer {
    const all = Buffer.concat(this.out)
    this.out = []
    return all
  }

  /** Something arrives: a chunk of its own, as from the system. */
  feed(...chunks: Uint8Array[]): void {
    for (const chunk of chunks) this.sink!.onData(Buffer.from(chunk))
  }

  /** What was taken has left; `takes` is what the next write answers. */
  drain(takes = true): void {
    for (const { chunk, was } of this.waiting) if (!was.equals(chunk)) throw new Error("memory in use was written to")
    this.waiting = []
    this.takes = takes
    this.sink!.onDrain()
  }

  /** The link ends, by the other side or because of an error. */
  end(error?: Error): void {
    this.sink!.onClose(error)
  }

  start(sink: LinkSink): void {
    if (this.sink !== undefined) throw new Error("started twice")
    this.sink = sink
  }

  write(chunks: readonly Uint8Array[]): boolean {
    this.writes++
    if (this.closed || this.destroyed) return true
    if (!this.takes && this.waiting.length > 0) throw new Error("written to before the drain")
    for (const chunk of chunks) this.out.push(Buffer.from(chunk))
    if (!this.takes) for (const chunk of chunks) this.waiting.push({ chunk, was: Buffer.from(chunk) })
    return this.takes
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  close(): void {
    this.closed = true
  }

  destroy(): void {
    this.destroyed = true
  }
}
