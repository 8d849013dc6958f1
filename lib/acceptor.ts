/** One endpoint that we are bound to: the links it takes, and the limits on those whose handshake is not done. */
import type { Clock } from "./clock.ts"
import type { Link, Listener, Transport, TransportOptions } from "./contract.ts"
import { EarshotError, wrap } from "./errors.ts"
import type { Session } from "./wire/session.ts"

export interface AcceptorOwner {
  /** Makes a session of the link, if there is still need of one. */
  onLink(link: Link): Session | undefined
  onError(error: EarshotError): void
  /** The transport's own rules turned a connection away. */
  onForbidden(cause: string, error: EarshotError): void
  /** A connection was turned away, or closed for a newer one, at a limit on handshakes. */
  onRefused(): void
}

/** Half-open connections of one remote address other than loopback. */
const PER_HOST = 64
/** ms after which a half-open connection may be closed for a newcomer. */
const OLD = 2000

interface HalfOpen {
  readonly host: string | undefined
  readonly since: number
}

export class Acceptor {
  private listener: Promise<Listener> | undefined
  private readonly clock: Clock
  private readonly owner: AcceptorOwner
  private readonly maxHandshakes: number
  /** Sessions whose handshake is not done, oldest first. */
  private readonly halfOpen = new Map<Session, HalfOpen>()
  private closed = false

  constructor(clock: Clock, maxHandshakes: number, owner: AcceptorOwner) {
    this.clock = clock
    this.maxHandshakes = maxHandshakes
    this.owner = owner
  }

  async listen(transport: Transport, address: string, options: TransportOptions): Promise<Listener> {
    if (transport.listen === undefined) throw new EarshotError("ENOTSUP", `${transport.scheme} can't be bound here`)
    this.listener = transport.listen(
      address,
      options,
      (link) => this.accept(link),
      (error) => this.owner.onError(wrap(error, "ECONNRESET")),
      (cause, error) => this.owner.onForbidden(cause, wrap(error, "FORBIDDEN")),
    )
    const listener = await this.listener
    if (!this.closed) return listener
    await listener.close()
    throw new EarshotError("ECANCELED", "the endpoint was unbound")
  }

  /** The session's handshake is done, or it has ended. */
  settled(session: Session): void {
    this.halfOpen.delete(session)
  }

  /** Waits for a bind that is under way. */
  async close(): Promise<void> {
    this.closed = true
    const listener = await this.listener?.catch(() => undefined)
    await listener?.close()
  }

  private accept(link: Link): void {
    if (this.closed) return link.destroy()
    if (!this.makeRoom(link.host)) {
      // Plainly, without ERROR: after that a libzmq peer would never come back (WIRE 0.9).
      link.destroy()
      this.owner.onRefused()
      this.owner.onError(new EarshotError("LIMIT", `${link.remote} turned away: too many handshakes at once`))
      return
    }
    const session = this.owner.onLink(link)
    if (session !== undefined && !session.closed && !session.ready)
      this.halfOpen.set(session, { host: link.host, since: this.clock.now() })
  }

  private makeRoom(host: string | undefined): boolean {
    if (host !== undefined) {
      let count = 0
      for (const other of this.halfOpen.values()) if (other.host === host) count++
      if (count >= PER_HOST && !this.closeOldest((other) => other.host === host)) return false
    }
    return this.halfOpen.size < this.maxHandshakes || this.closeOldest(() => true)
  }

  private closeOldest(fits: (half: HalfOpen) => boolean): boolean {
    for (const [session, half] of this.halfOpen) {
      if (!fits(half)) continue
      if (this.clock.now() - half.since < OLD) return false
      this.halfOpen.delete(session)
      this.owner.onRefused()
      session.end(new EarshotError("LIMIT", "its handshake took too long, and others wait"))
      return true
    }
    return false
  }
}
