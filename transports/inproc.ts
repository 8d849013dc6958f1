/**
 * Within one process, by names that live in the transport object. Two links joined in memory: what one writes the other
 * is given in a later turn, by reference, all that was written since in one go. Runs in browsers, too.
 */
import { asFrame } from "../lib/bytes.ts"
import type { Clock } from "../lib/clock.ts"
import type { Link, LinkSink, Listener, Transport, TransportOptions } from "../lib/contract.ts"
import { abortError, EarshotError } from "../lib/errors.ts"

/** Bytes under way in one direction above which `write` asks to wait: with the slab of 64 KiB that may cross it, 256 KiB. */
const HIGH = 192 * 1024

/** The transport `inproc`. Two of these objects know nothing of each other's names. */
export function inproc(): Transport {
  const bound = new Map<string, Bound>()
  /** Who dialled a name before it was bound, in order (libzmq lets them wait, too). */
  const waiting = new Map<string, Set<() => void>>()
  let unnamed = 0

  const check = (address: string, side: "bind" | "connect"): string => {
    if (address === "") throw new EarshotError("EINVAL", "inproc:// and no name")
    if (address === "*" && side === "connect")
      throw new EarshotError("EINVAL", "inproc://* is for binding; say where to connect to")
    return address
  }

  const dial = (name: string, { clock }: TransportOptions, signal: AbortSignal): Promise<Link> =>
    new Promise((resolve, reject) => {
      check(name, "connect")
      if (signal.aborted) return reject(abortError(signal))
      let done = false
      const onAbort = (): void => {
        leave()
        reject(abortError(signal))
      }
      const leave = (): void => {
        signal.removeEventListener("abort", onAbort)
        const others = waiting.get(name)
        if (others?.delete(wake) && others.size === 0) waiting.delete(name)
      }
      // In a turn of its own: whoever binds or dials is not called back by it.
      const wake = (): void => clock.immediate(connect)
      const connect = (): void => {
        const there = bound.get(name)
        if (there === undefined || done || signal.aborted) return
        done = true
        leave()
        const [near, far] = InprocLink.pair(`inproc://${name}`, clock, there.clock)
        resolve(near)
        there.onLink(far)
      }
      signal.addEventListener("abort", onAbort)
      const others = waiting.get(name)
      if (others === undefined) waiting.set(name, new Set([wake]))
      else others.add(wake)
      if (bound.has(name)) wake()
    })

  const listen = async (
    address: string,
    { clock }: TransportOptions,
    onLink: (link: Link) => void,
  ): Promise<Listener> => {
    let name = check(address, "bind")
    if (name === "*") {
      do name = `unnamed-${++unnamed}`
      while (bound.has(name))
    }
    if (bound.has(name)) throw new EarshotError("EADDRINUSE", `inproc://${name} is in use`)
    const mine: Bound = { clock, onLink }
    bound.set(name, mine)
    for (const wake of waiting.get(name) ?? []) wake()
    return {
      address: name,
      close: async () => {
        if (bound.get(name) === mine) bound.delete(name)
      },
    }
  }

  return { scheme: "inproc", check, dial, listen }
}

interface Bound {
  readonly clock: Clock
  readonly onLink: (link: Link) => void
}

/**
 * Each end keeps what is under way to it; the other end reads its size as `unconfirmed`. An end that closes marks the
 * other one `ending`: that delivers what it has, and then both are over.
 */
class InprocLink implements Link {
  readonly protocol = "zmtp"
  readonly shares = true
  readonly remote: string
  readonly host: undefined
  private readonly clock: Clock
  private other!: InprocLink
  private sink: LinkSink | undefined
  private inbox: Uint8Array[] = []
  private bytes = 0
  private scheduled = false
  private paused = false
  /** A write returned false, and `onDrain` is due. */
  private blocked = false
  /** `close` or `destroy` was called, or the other side ended it: nothing is written or delivered any more. */
  private over = false
  /** The other side closed. */
  private ending = false
  private reported = false
  /** Both ends are over for good. */
  private dead = false
  private reason: Error | undefined
  /** What was under way to the other side when that closed, or it all ended. */
  private lost = 0

  private constructor(remote: string, clock: Clock) {
    this.remote = remote
    this.clock = clock
  }

  static pair(remote: string, near: Clock, far: Clock): [InprocLink, InprocLink] {
    const [a, b] = [new InprocLink(remote, near), new InprocLink(remote, far)]
    a.other = b
    b.other = a
    return [a, b]
  }

  get unconfirmed(): number {
    return this.dead ? this.lost : this.lost + this.other.bytes
  }

  start(sink: LinkSink): void {
    this.sink = sink
    this.schedule()
  }

  write(chunks: readonly Uint8Array[]): boolean {
    const { other } = this
    // One that closed throws away what still comes in.
    if (this.over || other.over) return false
    for (let i = 0; i < chunks.length; i++) {
      const chunk = asFrame(chunks[i]!)
      other.inbox.push(chunk)
      other.bytes += chunk.length
    }
    other.schedule()
    if (other.bytes > HIGH) this.blocked = true
    return !this.blocked
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.schedule()
  }

  close(): void {
    if (this.over) return
    this.over = true
    this.other.lost += this.bytes
    this.inbox = []
    this.bytes = 0
    this.other.ending = true
    this.other.schedule()
  }

  destroy(error?: Error): void {
    if (this.dead) return
    this.reason = error
    this.finish(new EarshotError("ECONNRESET", "the other side dropped the link"))
  }

  /** For both ends: what is under way is lost. */
  private finish(reasonOfOther?: Error): void {
    const { other } = this
    for (const end of [this, other]) {
      end.lost += end.other.bytes
      end.dead = end.over = true
    }
    other.reason = reasonOfOther
    for (const end of [this, other]) {
      end.inbox = []
      end.bytes = 0
      end.schedule()
    }
  }

  private schedule(): void {
    if (this.scheduled || this.sink === undefined) return
    this.scheduled = true
    this.clock.immediate(this.turn)
  }

  private readonly turn = (): void => {
    this.scheduled = false
    const sink = this.sink!
    this.deliver(sink)
    this.drained()
    this.other.drained()
    if (this.ending && this.inbox.length === 0 && !this.dead) this.finish()
    if (!this.dead || this.reported) return
    this.reported = true
    sink.onClose(this.reason)
  }

  /** What is there as the turn begins; what is written during it has the next one. */
  private deliver(sink: LinkSink): void {
    const { inbox } = this
    const count = inbox.length
    let next = 0
    while (next < count && !this.paused && this.inbox === inbox) {
      const chunk = inbox[next++]!
      this.bytes -= chunk.length
      sink.onData(chunk)
    }
    if (this.inbox !== inbox) return
    this.inbox = next === inbox.length ? [] : inbox.slice(next)
    if (this.inbox.length > 0 && !this.paused) this.schedule()
  }

  private drained(): void {
    if (!this.blocked || this.dead || this.sink === undefined || this.unconfirmed > 0) return
    this.blocked = false
    this.sink.onDrain()
  }
}
