/**
 * What stands behind a socket: its pattern, its pipes, its endpoints, its counters. The user's object (lib/socket) is a
 * thin front of it.
 */
import { EMPTY, decodeText, sizeOf } from "./bytes.ts"
import type { Clock } from "./clock.ts"
import type { Connection } from "./connection.ts"
import type { Binding } from "./binding.ts"
import type { DropReason, Link, Message, Pattern, PatternHost, Peer, TransportOptions } from "./contract.ts"
import { EarshotError, type ErrorCode } from "./errors.ts"
import type { Transports } from "./endpoint.ts"
import { Events, socketEvents, type SocketEvents } from "./events.ts"
import { Inbox } from "./inbox.ts"
import { Losses, type DropTallies, type Tally } from "./losses.ts"
import type { Authenticate, Settings } from "./options.ts"
import { Outbox } from "./outbox.ts"
import { Pipe, type PipeHost } from "./pipe.ts"
import { Polling } from "./polling.ts"
import { announce, Session, type HeartbeatOptions, type Introduction, type Judge } from "./wire/session.ts"

/** Makes the pattern of a socket type. */
export type PatternFactory<P extends Pattern> = (host: PatternHost, settings: Settings) => P

/** Counters of a socket since it was made. */
export interface SocketStats {
  /** Messages, and their bytes, handed to connections. */
  sent: Tally
  /** Messages, and their bytes, that came in, whether or not the user has taken them. */
  received: Tally
  /** What was dropped, by reason. */
  dropped: DropTallies
  /** Written when a connection died and not accepted by the system: they may or may not have arrived. Bytes as on the wire. */
  unconfirmed: Tally
  /** Connections turned away, or closed for a newer one, at the limits on handshakes. */
  refusedHandshakes: number
  /** Connections that a listener's own rules turned away, by cause; over `ws`: origin, host, path, protocol, upgrade, connections, address, flood. */
  refusedConnections: { [cause: string]: number }
  /** The same counters of each peer that is known now. */
  peers: {
    address: string
    routingId: Uint8Array
    sent: Tally
    received: Tally
    dropped: DropTallies
    unconfirmed: Tally
  }[]
}

const PROTOCOL_ERRORS: ReadonlySet<ErrorCode> = new Set(["EPROTO", "VERSION", "MECHANISM", "INCOMPATIBLE", "EMSGSIZE"])
const AUTH_ERRORS: ReadonlySet<ErrorCode> = new Set(["REFUSED", "AUTH_FAILED"])
/** Earshot's own heartbeat, in ms. */
const INTERVAL = 10_000
const TIMEOUT = 30_000

export class Core<P extends Pattern = Pattern> implements PipeHost, PatternHost {
  readonly clock: Clock
  readonly settings: Settings
  readonly transports: Transports
  readonly events: Events
  readonly losses: Losses
  readonly pattern: P
  readonly inbox: Inbox
  readonly outbox: Outbox
  /** All pipes, with or without a session, attached or on their way out. */
  readonly pipes: Set<Pipe> = new Set()
  readonly connections: Set<Connection> = new Set()
  readonly bindings: Set<Binding> = new Set()
  closed = false
  lastEndpoint: string | null = null
  /** Why the last attempt to connect failed; undefined once one has not. The cause of a TIMEOUT. */
  trouble: EarshotError | undefined
  refusedHandshakes = 0
  readonly refusedConnections: { [cause: string]: number } = {}
  /** The counters of pipes that are gone. */
  private readonly past: Counts = {
    sent: { count: 0, bytes: 0 },
    received: { count: 0, bytes: 0 },
    unconfirmed: { count: 0, bytes: 0 },
  }
  private closing: Promise<void> | undefined
  private polling: Polling | undefined
  /** Endpoints on their way out. */
  private readonly endings = new Set<Promise<unknown>>()
  /** Called when a peer comes or goes, or its state may have changed: whoever waits for a condition looks again. */
  readonly watchers: Set<() => void> = new Set()

  constructor(clock: Clock, transports: Transports, settings: Settings, makePattern: PatternFactory<P>) {
    this.clock = clock
    this.settings = settings
    this.transports = transports
    this.events = new Events(clock, socketEvents)
    this.losses = new Losses(clock, this.events)
    this.pattern = makePattern(this, settings)
    this.inbox = new Inbox(clock, settings, this.pattern)
    this.outbox = new Outbox(clock, settings, this.pattern)
  }

  deliver(peer: Peer, message: Message): void {
    this.inbox.deliver(peer, message)
  }

  writable(): void {
    this.outbox.pump()
  }

  takable(): void {
    this.inbox.dispatch()
  }

  failReaders(error: Error): boolean {
    return this.inbox.failReaders(error)
  }

  discard(reason: DropReason): void {
    this.inbox.discard(reason)
  }

  dropped(reason: DropReason, count: number, bytes: number): void {
    this.losses.note(undefined, undefined, reason, count, bytes)
  }

  changed(): void {
    for (const watcher of [...this.watchers]) watcher()
  }

  emit<Name extends keyof SocketEvents>(name: Name, event: SocketEvents[Name]): void {
    this.events.emit(name, event)
  }

  checkOpen(): void {
    if (this.closed) throw new EarshotError("EBADF")
  }

  /** For an endpoint made now. */
  get transportOptions(): TransportOptions {
    const { clock, settings } = this
    return {
      clock,
      keepalive: settings.tcpKeepalive,
      backlog: settings.backlog,
      maxMessageSize: settings.maxMessageSize,
    }
  }

  /** The session of a new link of this pipe. `token`: what we show; `judged`: the user decides whether the peer comes in. */
  open(
    pipe: Pipe,
    link: Link,
    { token, judged = false }: { token?: Uint8Array | undefined; judged?: boolean },
  ): Session {
    const { settings, clock } = this
    if (settings.busyPoll > 0) this.polling ??= new Polling(clock, settings.busyPoll / 1000)
    const options = {
      clock,
      maxMessageSize: settings.maxMessageSize < 0 ? Infinity : settings.maxMessageSize,
      maxMessageParts: settings.maxMessageParts,
      handshakeInterval: settings.handshakeInterval,
      active: this.polling?.active,
      batch: settings.sendHighWaterMark || Infinity,
      heartbeat: this.heartbeat,
    }
    const session = new Session(link, pipe, options, {
      properties: announce(this.pattern.type, settings.routingId, settings.maxMessageSize, token),
      accepts: this.pattern.accepts,
      judge: judged && settings.authenticate !== undefined ? judgeOf(settings.authenticate, link) : undefined,
    })
    pipe.begin(session)
    return session
  }

  private readonly heartbeat = (earshot: boolean): HeartbeatOptions => heartbeatOptions(this.settings, earshot)

  /** From now on the pattern may send to it. */
  attach(pipe: Pipe): void {
    pipe.attached = true
    this.pattern.attach(pipe)
    this.changed()
  }

  /** The pattern is to forget it. `unsent` goes elsewhere, or stays in the pipe to linger. */
  detach(pipe: Pipe, unsent: Message[]): void {
    if (!pipe.attached) return
    pipe.attached = false
    this.pattern.detach(pipe, unsent)
    this.changed()
  }

  /** The pipe is gone for good. */
  forget(pipe: Pipe): void {
    if (!this.pipes.delete(pipe)) return
    this.inbox.departed(pipe)
    grow(this.past, countsOf(pipe))
  }

  pipeOnline(pipe: Pipe): void {
    const session = pipe.session!
    if (!pipe.finishing) {
      if (!pipe.attached) this.attach(pipe)
      if (this.pattern.online?.(pipe) === false)
        return session.end(new EarshotError("LIMIT", "the socket takes no further peer"))
    }
    if (!pipe.lasting) this.inbox.arrived(pipe)
    pipe.joined = true
    pipe.owner.online(pipe)
    this.emit("handshake", { address: pipe.address, remote: session.link.remote })
    this.emit("peer:join", { peer: pipe })
    this.changed()
  }

  pipeOffline(pipe: Pipe, session: Session, error: EarshotError | undefined): void {
    const { address } = pipe
    if (pipe.joined) {
      pipe.joined = false
      const { messages: unconfirmed, bytes: unconfirmedBytes } = session.unconfirmed
      this.emit("disconnect", { address, error, unconfirmed, unconfirmedBytes })
      this.emit("peer:leave", { peer: pipe, error })
      if (pipe.attached && pipe.lasting) this.pattern.offline?.(pipe)
    } else if (error !== undefined) {
      const kind = PROTOCOL_ERRORS.has(error.code) ? "protocol" : AUTH_ERRORS.has(error.code) ? "auth" : "other"
      this.emit(`handshake:error:${kind}`, { address, error })
    }
    if (!pipe.lasting && !pipe.finishing) {
      if (pipe.attached) this.detach(pipe, pipe.takeUnsent())
      this.forget(pipe)
    }
    pipe.owner.offline(pipe, session, error)
    this.changed()
  }

  pipeWaiting(waiting: boolean): void {
    if (waiting) this.clock.hold()
    else this.clock.release()
  }

  /** What keeps the process alive and `close()` waiting until it is done. */
  async ending(work: Promise<void>[]): Promise<void> {
    const all = Promise.all(work)
    this.endings.add(all)
    this.clock.hold()
    try {
      await all
    } finally {
      this.endings.delete(all)
      this.clock.release()
    }
  }

  close(linger: number): Promise<void> {
    return (this.closing ??= this.shut(linger))
  }

  stats(): SocketStats {
    const stats: SocketStats = {
      ...structuredClone(this.past),
      dropped: structuredClone(this.losses.totals),
      refusedHandshakes: this.refusedHandshakes,
      refusedConnections: { ...this.refusedConnections },
      peers: [],
    }
    for (const pipe of this.pipes) {
      const counts = countsOf(pipe)
      grow(stats, counts)
      stats.peers.push({
        address: pipe.address,
        routingId: pipe.routingId.length === 0 ? EMPTY : pipe.routingId,
        ...counts,
        dropped: structuredClone(pipe.drops),
      })
    }
    return stats
  }

  /** What belongs to no peer any more lingers with those that are left, in turn. */
  private bequeath(messages: Message[]): void {
    const heirs = [...this.pipes].filter((pipe) => pipe.attached)
    messages.forEach((message, i) => {
      const heir = heirs[i % heirs.length]
      if (heir === undefined) this.dropped("linger", 1, sizeOf(message))
      else heir.inherit(message)
    })
  }

  private async shut(linger: number): Promise<void> {
    this.closed = true
    this.clock.hold()
    const error = new EarshotError("EBADF")
    this.outbox.close(error)
    this.inbox.close(error)
    this.bequeath(this.pattern.drain?.() ?? [])
    this.changed()
    const ends = [
      ...this.endings,
      ...[...this.bindings].map((binding) => binding.close(linger)),
      ...[...this.connections].map((connection) => connection.close(linger)),
    ]
    await Promise.allSettled(ends)
    this.losses.flush()
    this.emit("end", {})
    this.clock.release()
  }
}

/** The user's `authenticate`, about the peer on this link. */
function judgeOf(authenticate: Authenticate, link: Link): Judge {
  return async ({ token, type, routingId, metadata }: Introduction) => {
    const verdict: unknown = await authenticate({
      token: token === undefined ? undefined : decodeText(token),
      remote: link.remote,
      type,
      routingId,
      metadata,
      userId: link.identity?.userId,
      request: link.identity?.claims,
    })
    if (verdict === false) return false
    const { userId } = Object(verdict) as { userId?: unknown }
    if (verdict !== true && (typeof verdict !== "object" || verdict === null))
      throw new EarshotError("EINVAL", "authenticate must give true, false or { userId }")
    if (userId !== undefined && typeof userId !== "string") throw new EarshotError("EINVAL", "userId must be a string")
    return { userId }
  }
}

function heartbeatOptions(settings: Settings, earshot: boolean): HeartbeatOptions {
  const { heartbeatInterval: interval, heartbeatTimeout: timeout, heartbeatTimeToLive: timeToLive } = settings
  // A libzmq peer whose user doesn't read answers no PING: judging it would lose what it holds.
  const [standard, patience] = earshot ? [INTERVAL, TIMEOUT] : [timeout >= 0 ? INTERVAL : 0, 0]
  return {
    interval: interval >= 0 ? interval : standard,
    timeout: timeout >= 0 ? timeout : interval >= 0 ? interval : patience,
    timeToLive,
  }
}

type Counts = { readonly sent: Tally; readonly received: Tally; readonly unconfirmed: Tally }

const countsOf = (pipe: Pipe): Counts => ({
  sent: { count: pipe.sent, bytes: pipe.sentBytes },
  received: { count: pipe.received, bytes: pipe.receivedBytes },
  unconfirmed: { count: pipe.unsure, bytes: pipe.unsureBytes },
})

function grow(sums: Counts, counts: Counts): void {
  for (const name of ["sent", "received", "unconfirmed"] as const) {
    sums[name].count += counts[name].count
    sums[name].bytes += counts[name].bytes
  }
}
