/**
 * `inproc://`: within one process, in memory. What is written is delivered in a later turn, by reference: nothing of what
 * goes through may be written to afterwards.
 */
import { asFrame } from "../lib/bytes.ts"
import type { Clock } from "../lib/clock.ts"
import type { Link, LinkSink, Listener, Transport } from "../lib/contract.ts"
import { EarshotError, wrap } from "../lib/errors.ts"

/** Bytes under way in one direction at which `write` says wait. */
const MAX_UNDER_WAY = 256 * 1024

interface Bound {
  accept(link: Link): void
}

/** Links within the process, by names of this transport object: register it, or import `earshot`, which does. */
export function inproc(): Transport {
  const names = new Map<string, Bound>()
  /** Dials that came before the bind, as libzmq allows. */
  const early = new Map<string, Set<() => void>>()
  let count = 0

  return {
    scheme: "inproc",
    check(address, side) {
      if (address === "*" && side === "connect") throw new EarshotError("EINVAL", "inproc://* can be bound only")
      if (address.length > 255) throw new EarshotError("EINVAL", "an inproc name of more than 255 characters")
      return address
    },

    dial(address, { clock }, signal): Promise<Link> {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(wrap(signal.reason, "ECANCELED"))
        const connect = (): void => {
          const bound = names.get(address)
          if (bound === undefined) return
          leave()
          const [near, far] = InprocLink.pair(clock, `inproc://${address}`)
          bound.accept(far)
          resolve(near)
        }
        const leave = (): void => {
          signal.removeEventListener("abort", abort)
          const waiting = early.get(address)
          waiting?.delete(connect)
          if (waiting?.size === 0) early.delete(address)
        }
        const abort = (): void => {
          leave()
          reject(wrap(signal.reason, "ECANCELED"))
        }
        signal.addEventListener("abort", abort)
        const waiting = early.get(address) ?? new Set()
        early.set(address, waiting.add(connect))
        connect()
      })
    },

    listen(address, _options, onLink): Promise<Listener> {
      const name = address === "*" ? `auto-${++count}` : address
      if (names.has(name)) return Promise.reject(new EarshotError("EADDRINUSE", `inproc://${name} is in use`))
      const bound: Bound = { accept: onLink }
      names.set(name, bound)
      for (const connect of [...(early.get(name) ?? [])]) connect()
      return Promise.resolve({
        address: name,
        close() {
          if (names.get(name) === bound) names.delete(name)
          return Promise.resolve()
        },
      })
    },
  }
}

class InprocLink implements Link {
  readonly protocol = "zmtp"
  readonly shares = true
  readonly remote: string
  readonly host = undefined
  private readonly clock: Clock
  private other!: InprocLink
  private sink: LinkSink | undefined
  /** From the other side, in order, not delivered yet. */
  private incoming: Uint8Array[] = []
  private incomingBytes = 0
  private scheduled = false
  private paused = false
  /** `write` has returned false and `onDrain` is due. */
  private waiting = false
  /** We have ended; the other side has. */
  private closed = false
  private otherClosed = false
  private over = false
  private error: Error | undefined

  constructor(clock: Clock, remote: string) {
    this.clock = clock
    this.remote = remote
  }

  static pair(clock: Clock, remote: string): [InprocLink, InprocLink] {
    const a = new InprocLink(clock, remote)
    const b = new InprocLink(clock, remote)
    a.other = b
    b.other = a
    return [a, b]
  }

  get unconfirmed(): number {
    return this.other.incomingBytes
  }

  start(sink: LinkSink): void {
    this.sink = sink
    this.schedule()
  }

  write(chunks: readonly Uint8Array[]): boolean {
    const { other } = this
    if (this.closed || this.over || other.over || other.closed) return true
    for (let i = 0; i < chunks.length; i++) {
      other.incoming.push(asFrame(chunks[i]!))
      other.incomingBytes += chunks[i]!.length
    }
    other.schedule()
    if (other.incomingBytes < MAX_UNDER_WAY) return true
    this.waiting = true
    return false
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.schedule()
  }

  close(): void {
    if (this.closed || this.over) return
    this.closed = true
    this.drop()
    this.resume()
    this.other.end()
  }

  destroy(error?: Error): void {
    if (this.over) return
    this.error ??= error
    this.closed = this.otherClosed = true
    this.drop()
    this.schedule()
    this.other.drop()
    this.other.end()
  }

  /** The other side has ended: what came before is delivered first. */
  private end(): void {
    this.otherClosed = true
    this.schedule()
  }

  private drop(): void {
    this.incoming = []
    this.incomingBytes = 0
  }

  private schedule(): void {
    if (this.scheduled || this.over) return
    this.scheduled = true
    this.clock.immediate(() => {
      this.scheduled = false
      this.deliver()
    })
  }

  private deliver(): void {
    if (this.over) return
    const { incoming } = this
    let next = 0
    while (next < incoming.length && !this.paused && !this.closed && this.sink !== undefined) {
      const chunk = incoming[next++]!
      this.incomingBytes -= chunk.length
      this.sink.onData(chunk)
      if (this.incoming !== incoming) break
    }
    if (this.incoming === incoming && next > 0) this.incoming = incoming.slice(next).concat(this.incoming.slice(incoming.length))
    if (this.incoming.length === 0) this.other.drained()
    this.finish()
  }

  private drained(): void {
    if (!this.waiting || this.over || this.closed) return
    this.waiting = false
    this.sink?.onDrain()
  }

  /** Over once both have ended (the other side's end makes ours) and nothing is left to deliver or to be delivered. */
  private finish(): void {
    if (this.sink === undefined || this.incoming.length > 0) return
    if (!this.otherClosed && !(this.closed && this.other.incoming.length === 0)) return
    this.over = true
    if (!this.closed) this.other.end()
    this.closed = true
    this.sink.onClose(this.error)
    this.other.schedule()
  }
}
