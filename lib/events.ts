/** The one emitter of a socket. No event throws for want of a listener, and a listener's throw reaches nobody else. */
import type { Clock } from "./clock.ts"
import type { DropReason, PeerInfo } from "./contract.ts"
import { EarshotError } from "./errors.ts"

/** An event that concerns an endpoint. */
export interface EndpointEvent {
  /** The endpoint, as `scheme://address`. */
  readonly address: string
}
/** An event that concerns an endpoint and what went wrong there. */
export interface EndpointErrorEvent extends EndpointEvent {
  readonly error: EarshotError
}

/** Every event of a socket, by name. Where zeromq.js has one, the name is its. */
export interface SocketEvents {
  /** `bind()` is done; the address is the one bound, ports and wildcards resolved. */
  bind: EndpointEvent
  /** `bind()` failed; it rejects with the same error. */
  "bind:error": EndpointErrorEvent
  /** A listener took a connection. */
  accept: EndpointEvent & { readonly remote: string }
  /** A listener could not take a connection, or turned it away at a limit. */
  "accept:error": EndpointErrorEvent
  /** A connection is made; the handshake begins. */
  connect: EndpointEvent
  /** An attempt did not succeed at once. */
  "connect:delay": EndpointErrorEvent
  /** The next attempt follows in `interval` ms. */
  "connect:retry": EndpointEvent & { readonly interval: number; readonly error: EarshotError | undefined }
  /** The handshake is done: messages can flow. */
  handshake: EndpointEvent & { readonly remote: string }
  /** The peer broke the protocol, speaks another version or has a socket type that does not fit. */
  "handshake:error:protocol": EndpointErrorEvent
  /** The peer refused us, or we it. */
  "handshake:error:auth": EndpointErrorEvent
  /** The connection ended before the handshake was done. */
  "handshake:error:other": EndpointErrorEvent
  /** The other side refused our token (`auth`) twice: no more attempts until `reconnect()`. */
  unauthorized: EndpointErrorEvent
  /**
   * A connection ended after its handshake. `unconfirmed` messages of about `unconfirmedBytes` bytes had been written and
   * not accepted by the system: they may or may not have arrived, and are not sent again.
   */
  disconnect: EndpointEvent & {
    readonly error: EarshotError | undefined
    readonly unconfirmed: number
    readonly unconfirmedBytes: number
  }
  /** An endpoint is closed: unbound or disconnected. */
  close: EndpointEvent
  /** A name of zeromq.js's; closing does not fail here, so it is never raised. */
  "close:error": EndpointErrorEvent
  /** The socket is closed; the last event. */
  end: Record<never, never>
  /** A peer is there, after its handshake; again when it comes back. */
  "peer:join": { readonly peer: PeerInfo }
  /** Its connection has ended. `error` says why, unless the end was an orderly one. */
  "peer:leave": { readonly peer: PeerInfo; readonly error: EarshotError | undefined }
  /** Messages were dropped: the first at once, then at most every 100 ms for each peer and reason, exact in sum. */
  drop: {
    readonly reason: DropReason
    /** Undefined where no single peer is concerned. */
    readonly peer: PeerInfo | undefined
    readonly count: number
    readonly bytes: number
  }
}

/** All names of a table of events, for those that have no types: the compiler sees to it that none is missing. */
export type EventNames<Table> = { readonly [Name in keyof Table]: true }

/** Of `SocketEvents`. */
export const socketEvents: EventNames<SocketEvents> = {
  bind: true,
  "bind:error": true,
  accept: true,
  "accept:error": true,
  connect: true,
  "connect:delay": true,
  "connect:retry": true,
  handshake: true,
  "handshake:error:protocol": true,
  "handshake:error:auth": true,
  "handshake:error:other": true,
  unauthorized: true,
  disconnect: true,
  close: true,
  "close:error": true,
  end: true,
  "peer:join": true,
  "peer:leave": true,
  drop: true,
}

/** The events of a socket, or of what else has a table of them. */
export class Events<Table extends object = SocketEvents> {
  private listeners: Map<string, Set<(event: never) => void>> | undefined
  private readonly clock: Clock
  private readonly names: object

  /** `names`: of all events that may come. */
  constructor(clock: Clock, names: Partial<EventNames<NoInfer<Table>>>) {
    this.clock = clock
    this.names = names
  }

  /** Calls `listener` for every such event. Returns a function that removes it. Throws EINVAL for a name that no event has. */
  on<Name extends keyof Table & string>(name: Name, listener: (event: Table[Name]) => void): () => void {
    this.check(name, listener)
    const listeners = (this.listeners ??= new Map())
    let set = listeners.get(name)
    if (set === undefined) listeners.set(name, (set = new Set()))
    set.add(listener)
    return () => this.off(name, listener)
  }

  /** Calls `listener` for the next such event only. Returns a function that removes it. Throws as `on` does. */
  once<Name extends keyof Table & string>(name: Name, listener: (event: Table[Name]) => void): () => void {
    this.check(name, listener)
    const off = this.on(name, (event) => (off(), listener(event)))
    return off
  }

  /** Removes a listener; harmless when it isn't there. Throws as `on` does. */
  off<Name extends keyof Table & string>(name: Name, listener: (event: Table[Name]) => void): void {
    this.check(name, listener)
    const set = this.listeners?.get(name)
    if (set?.delete(listener) && set.size === 0) this.listeners!.delete(name)
  }

  /** @internal */
  emit<Name extends keyof Table & string>(name: Name, event: Table[Name]): void {
    const set = this.listeners?.get(name)
    if (set === undefined) return
    for (const listener of [...set]) {
      try {
        ;(listener as (event: Table[Name]) => void)(event)
      } catch (error) {
        throwLater(this.clock, error)
      }
    }
  }

  /** A listener to what never comes, or that can't be called, would be a mistake of which nobody hears, or only later. */
  private check(name: string, listener: unknown): void {
    const { names } = this
    if (typeof name !== "string" || !Object.hasOwn(names, name))
      throw new EarshotError(
        "EINVAL",
        `no event ${typeof name === "string" ? name : typeof name}; there are ${Object.keys(names).join(", ")}`,
      )
    if (typeof listener !== "function")
      throw new EarshotError("EINVAL", `a listener is a function, not ${typeof listener}`)
  }
}

/** Reports what the user's own function threw on a stack of its own, where it can upset nothing of ours. */
export function throwLater(clock: Clock, error: unknown): void {
  clock.immediate(() => {
    throw error
  })
}
