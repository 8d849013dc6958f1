/**
 * A transport whose other end is the test: `evil://name`. It dials to, and is dialled by, links that the test feeds byte
 * by byte and reads back, in memory and without waiting.
 */
import type { Link, LinkSink, Listener, Transport } from "../../../lib/contract.ts"
import { EarshotError } from "../../../lib/errors.ts"

export class EvilLink implements Link {
  readonly protocol = "zmtp"
  readonly shares = false
  readonly host = undefined
  readonly remote: string
  unconfirmed = 0
  /** The peer never reads: a write is refused once this many bytes lie there. */
  room = Infinity
  written = 0
  /** What was written, if anybody wants to know. */
  readonly kept: Uint8Array[] = []
  keep = false
  /** The socket ended it: with `close()`, or with `destroy()`. */
  ended = false
  private sink: LinkSink | undefined
  private paused = false
  private over = false
  private error: Error | undefined
  private readonly waiting: Uint8Array[] = []

  constructor(remote: string) {
    this.remote = remote
  }

  start(sink: LinkSink): void {
    this.sink = sink
    if (this.over) setImmediate(() => sink.onClose(this.error))
  }

  write(chunks: readonly Uint8Array[]): boolean {
    for (const chunk of chunks) {
      this.written += chunk.length
      if (this.keep) this.kept.push(Uint8Array.from(chunk))
    }
    if (this.written < this.room) return true
    this.unconfirmed = this.written - this.room + 1
    return false
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  close(): void {
    this.end()
  }

  destroy(): void {
    this.end()
  }

  private end(): void {
    this.ended = true
    this.waiting.length = 0
  }

  // The peer's side.

  /** Gives the socket a chunk, and what waited before it, unless it has paused. */
  feed(chunk?: Uint8Array): void {
    if (this.ended || this.over) return
    if (chunk !== undefined) this.waiting.push(chunk)
    while (this.sink !== undefined && !this.paused && !this.ended && this.waiting.length > 0)
      this.sink.onData(this.waiting.shift()!)
  }

  /** Chunks that the socket has not taken. */
  get left(): number {
    return this.waiting.length
  }

  /** The peer hangs up, or the end that the socket made is complete. */
  hangUp(error?: Error): void {
    if (this.over) return
    this.over = true
    this.error = error
    this.sink?.onClose(error)
  }

  /** It reads everything, after all. */
  read(): void {
    const blocked = this.written >= this.room
    this.room = Infinity
    this.unconfirmed = 0
    if (blocked && !this.over) this.sink?.onDrain()
  }
}

/** Names are this object's: make one for each test. */
export class EvilTransport implements Transport {
  readonly scheme = "evil"
  /** Called with each link that a socket dials. */
  onDial: (link: EvilLink, name: string) => void = () => {}
  private readonly names = new Map<string, (link: Link) => void>()
  private count = 0

  check(address: string): string {
    return address
  }

  dial(address: string): Promise<Link> {
    const link = new EvilLink(`evil://${address}`)
    this.onDial(link, address)
    return Promise.resolve(link)
  }

  listen(address: string, _options: unknown, onLink: (link: Link) => void): Promise<Listener> {
    if (this.names.has(address)) return Promise.reject(new EarshotError("EADDRINUSE"))
    this.names.set(address, onLink)
    return Promise.resolve({ address, close: () => Promise.resolve(void this.names.delete(address)) })
  }

  /** A peer connects to a socket that is bound to the name. */
  connect(name: string): EvilLink {
    const link = new EvilLink(`evil://peer-${++this.count}`)
    this.names.get(name)!(link)
    return link
  }
}
