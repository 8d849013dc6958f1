/**
 * Every interface between two layers, and nothing else: types only. Read this file first.
 *
 * The hot path consists of synchronous calls with boolean back pressure; promises and iterators exist only at the
 * user's edge. A layer knows the interfaces below and never the classes behind them: a transport doesn't know ZMTP,
 * a codec knows neither links nor time, a session no pattern rules, a pattern no links and no endpoints, a socket no schemes.
 */
import type { Clock } from "./clock.ts"

/**
 * One part of a message as users see it: a `Buffer` where the user's project knows Buffer, else a `Uint8Array`.
 * At run time it is a Buffer on Node, Bun and Deno. A frame given to `send` belongs to Earshot for good, a delivered
 * one may be shared and is a view that pins the chunk it came in: never write to either, and copy what you keep long.
 */
export type Frame = typeof globalThis extends { Buffer: { isBuffer(o: any): o is infer B } } ? B : Uint8Array

/** A message inside the library: one or more frames, sent and delivered whole. Never written to. */
export type Message = Uint8Array[]

/** The ZMTP socket types Earshot speaks (RFC 23, 28, 29, 30, 31). */
export type SocketType =
  | "PAIR"
  | "PUB"
  | "SUB"
  | "XPUB"
  | "XSUB"
  | "PUSH"
  | "PULL"
  | "REQ"
  | "REP"
  | "DEALER"
  | "ROUTER"

/** Properties of READY: names as the peer spelt them, values as bytes. Look up with `property()` of lib/wire/metadata. */
export type Metadata = ReadonlyMap<string, Uint8Array>

// ---------------------------------------------------------------------------------------------------------------
// Transport: opens links. One file per scheme.

/** What a socket tells its transports. A transport ignores what does not concern it. */
export interface TransportOptions {
  readonly clock: Clock
  /** TCP keepalive: idle time in ms before the first probe; 0 = off; -1 = leave the system's setting. */
  readonly keepalive: number
  /** Connections the system may hold before we accept them. */
  readonly backlog: number
  /** Bytes of the largest message the socket takes; -1 = no limit. For protocols that carry one frame a chunk. */
  readonly maxMessageSize?: number
}

/** A way to make links: `tcp`, `ws`, one of your own. Given to sockets by `transports.register`, or in a `Place`. */
export interface Transport {
  /** The part of an endpoint before `://`. */
  readonly scheme: string
  /**
   * Checks and normalises an address without touching the network. Throws EarshotError `EINVAL` for one that can never
   * work; the result is what names this endpoint in `disconnect`, `unbind` and duplicate checks.
   */
  check(address: string, side: "bind" | "connect"): string
  /** One attempt. Rejects with EarshotError; when `signal` aborts it rejects and leaves nothing behind. */
  dial(address: string, options: TransportOptions, signal: AbortSignal): Promise<Link>
  /** When to dial again where the user has not said: a random time up to `interval`, which doubles with each failure up to `maxInterval` (ms). */
  readonly redial?: { readonly interval: number; readonly maxInterval: number }
  /** Calls `listener` whenever an attempt has become likelier to succeed (the network is back): who waits to dial again does so at once. Returns what takes the listener away. */
  onNudge?(listener: () => void): () => void
  /**
   * Absent where nothing can listen. `onLink` may be called before the promise resolves; `onError` reports what an open
   * listener met, `onRefused` whom its own rules turned away: the cause in one word, for counters, and what was compared.
   */
  listen?(
    address: string,
    options: TransportOptions,
    onLink: (link: Link) => void,
    onError: (error: Error) => void,
    onRefused?: (cause: string, error: Error) => void,
  ): Promise<Listener>
}

/** An endpoint that no string can tell: with a transport of its own. Made by that transport's function, as `ws({ server })`. */
export interface Place {
  /** Which listens or connects there. */
  readonly transport: Transport
  /** What that understands, without a scheme. */
  readonly address: string
}

/** What a transport has bound. */
export interface Listener {
  /** The address as bound, without the scheme: ports and wildcards resolved. */
  readonly address: string
  /** Every address that leads to it now, the best first, where there may be several, or others later. Absent: `address` alone. */
  addresses?(): readonly string[]
  /** Stops accepting and frees the name. Accepted links live on. Idempotent; every call resolves once it is done. */
  close(): Promise<void>
}

/**
 * One live path to somebody. Links and listeners never keep the process alive themselves (they are unref'd from birth):
 * the socket holds the process through `Clock.hold` while it has a reason to.
 */
export interface Link {
  /** `zmtp`: a byte stream, chunk boundaries mean nothing. `zws`, `zws-bare`: one ZMTP frame a chunk (RFC 45). */
  readonly protocol: "zmtp" | "zws" | "zws-bare"
  /** The other end, as an endpoint, e.g. `tcp://10.0.0.5:4101`; for logs, events and limits, never an identity. */
  readonly remote: string
  /** What counts as one remote address for limits (an IP address), or `undefined` where limits per address make no sense (loopback, inproc, ipc). */
  readonly host?: string | undefined
  /** Nobody between the ends can read it (TLS). Where `host` is undefined nobody can, either. */
  readonly secure?: boolean | undefined
  /** What the transport has proven about the other end (TLS certificate, libp2p peer id, HTTP request). */
  readonly identity?: { readonly userId?: string; readonly claims?: object } | undefined
  /** Bytes written and not known to have left: accepted neither by the operating system nor by the other end. */
  readonly unconfirmed: number
  /** True where written chunks live on at the receiver (inproc), so that their memory may never be used again. */
  readonly shares: boolean
  /**
   * Called once. A link holds, in order, all it received until then (the first bytes can arrive before `dial` resolves),
   * and its end too. Calls into the sink only from a later turn or an I/O callback, never from inside `write` or `start`.
   */
  start(sink: LinkSink): void
  /** The other end has passed its handshake: limits that hold for strangers only, end. */
  admit?(): void
  /** Asks the other end's transport for a sign of life, which comes as `onAlive`. Absent where the transport has none. */
  ping?(): void
  /**
   * Takes the chunks, all of them, in order. True: more may follow at once. False: taken, but write nothing more until
   * `onDrain`. Once the link has ended it swallows what is written and says false: nobody can vouch for it. The array is the caller's again when the call returns.
   */
  write(chunks: readonly Uint8Array[]): boolean
  /** No `onData` until `resume`; what is already on its way up may still come. Both idempotent. */
  pause(): void
  resume(): void
  /** Flush, then end: resumes reading and discards what still comes in, so that a FIN behind unread bytes is seen. Idempotent. */
  close(): void
  /** Drop everything now. Idempotent. `error` becomes the argument of `onClose`. */
  destroy(error?: Error): void
}

/** Whom a link tells what happens: bytes, room to write again, its end. */
export interface LinkSink {
  onData(chunk: Uint8Array): void
  /**
   * Where the next bytes would best go: memory of a frame in progress. A link that can reads up to so much into it, and
   * hands what it filled to the next `onData`, as a view from the same byte on. Asked anew before each read.
   */
  room?(): Uint8Array | undefined
  /** After a `write` that returned false: all of it has left. */
  onDrain(): void
  /** Life without data: the transport's own pong. */
  onAlive?(): void
  /** The link may have died unseen (the machine slept): nothing heard within `ms` from now on is proof that it has. */
  onDoubt?(ms: number): void
  /** Once, last. Without an error: an orderly end by either side. */
  onClose(error?: Error): void
}

// ---------------------------------------------------------------------------------------------------------------
// Wire: bytes to frames and back. Pure: no I/O, no timers.

export interface Greeting {
  readonly major: number
  /** 0 or 1: the smaller of ours and theirs. */
  readonly minor: number
  readonly mechanism: string
  readonly asServer: boolean
}

/** One per link. Encodes into memory until `flush`; decodes from any split of the stream. */
export interface Codec {
  /** Our greeting, where the protocol has one. First of all calls. */
  greet(mechanism: string, asServer: boolean): void
  message(message: Message): void
  /** SUBSCRIBE and CANCEL are spelt as the peer's version wants them; other commands are dropped where it has none. */
  command(name: string, body: Uint8Array): void
  /** Bytes encoded since the last flush. */
  readonly pending: number
  /** So much is pending that waiting for more gains nothing. */
  readonly due: boolean
  /** Hands over what was encoded since the last flush. Its memory stays untouched until `release`. */
  flush(): readonly Uint8Array[]
  /** What `flush` gave has left for good. `free`: nobody else holds its memory, so it may be used again. */
  release(free: boolean): void
  /** The messages encoded and never flushed, decoded again; forgets them and everything else that is pending. */
  takeBack(): Message[]
  /** Calls the sink, synchronously, for all that is complete in the stream so far. Throws EarshotError on a violation. */
  receive(chunk: Uint8Array): void
  /** Where the next bytes would best go; see LinkSink. */
  room?(): Uint8Array | undefined
  /** Asked first about messages of one frame; not about those that span chunks. */
  skim?: Skim | undefined
  /** No more calls to the sink, from the next message on, until `resume`; chunks received meanwhile are held. */
  pause(): void
  resume(): void
  /** The stream has ended: what is held goes to the sink now, paused or not. */
  finish(): void
  readonly paused: boolean
  /** A frame or multipart message has begun and is not complete. */
  readonly partial: boolean
}

/**
 * A message of one frame as it lies in the memory that it came in, `size` bytes from `from` on, before anything is made of it.
 * True: it has been taken, and the sink doesn't get it.
 */
export type Skim = (bytes: Uint8Array, from: number, size: number) => boolean

export interface CodecSink {
  onGreeting(greeting: Greeting): void
  onMessage(message: Message, size: number): void
  onCommand(name: string, body: Uint8Array): void
}

/**
 * Security handshake (NULL, later PLAIN and CURVE), one object per link. Commands go both ways until `peer` is set on
 * both sides. Violations throw EarshotError.
 */
export interface Mechanism {
  readonly name: string
  readonly asServer: boolean
  /** Called once, after the greetings: the first command to send, if this side begins. */
  start(): Command | undefined
  /** A command of the peer; the answer to send, if any. */
  receive(name: string, body: Uint8Array): Command | undefined
  /** The peer's properties, once the handshake is complete on this side. */
  readonly peer: Metadata | undefined
}

export interface Command {
  readonly name: string
  readonly body: Uint8Array
}

// ---------------------------------------------------------------------------------------------------------------
// Patterns: the rule of one socket type.

/**
 * A remote socket as a pattern sees it: a queue with a high-water mark, and at most one live session behind it. It may
 * exist before its first handshake and outlive a session (a connecting side without `immediate`).
 */
export interface Peer {
  /** As announced; undefined before the first handshake. */
  readonly type: SocketType | undefined
  /** As announced, possibly empty. */
  readonly routingId: Uint8Array
  /** A handshake is done and its session lives. */
  readonly online: boolean
  /** True: taken. False: refused, at the high-water mark; `onWritable` will follow. Throws EMSGSIZE for more than the peer takes. */
  send(message: Message): boolean
  /** From `online`: goes before all that waits, whatever the marks say. */
  greet(message: Message): void
  /** Would `send` take a message of so many bytes now? False: `onWritable` will follow. */
  hasRoom(size: number): boolean
  /** What it took and has not given to a link, in order. */
  unsent(): readonly Message[]
  /** Gives back a message that it took and has not given to a link. False: too late. */
  recall(message: Message): boolean
  /** Goes out in order with the messages sent while online; ignored while not online. */
  command(name: string, body: Uint8Array): void
  /** On: nothing is read from it until off. What it has sent waits with it. */
  hold(on: boolean): void
  /** The routing id it is known by on this socket. */
  named(routingId: Uint8Array): void
  /** Ends the session, or refuses the peer for good. `reason` is for events. */
  close(error?: Error): void
  /** Counts a loss that concerns this peer; raises the `drop` event. */
  dropped(reason: DropReason, count: number, bytes: number): void
}

/** What a pattern may ask of its socket. */
export interface PatternHost {
  /** Queues a message for the user, or hands it to whoever waits. */
  deliver(peer: Peer, message: Message): void
  /** Sending is possible again: waiting senders go on. */
  writable(): void
  /** Messages may leave the queue for the user again. */
  takable(): void
  /** Rejects what waits to receive; false when nothing does. */
  failReaders(error: Error): boolean
  /** Drops what waits for the user. */
  discard(reason: DropReason): void
  /** Subscriptions changed: whoever waits for a condition looks again. */
  changed(): void
  /** A loss that no peer stands for. */
  dropped(reason: DropReason, count: number, bytes: number): void
  readonly clock: Clock
}

/** Never awaits, owns no timer. */
export interface Pattern {
  readonly type: SocketType
  readonly accepts: readonly SocketType[]
  /** From now on there is such a peer: at `connect()`, or (bound side, `immediate`) after its handshake. */
  attach(peer: Peer): void
  /** A handshake is done (for a peer that reconnects: again). Always after `attach`. False: not wanted; the peer is closed. */
  online?(peer: Peer): boolean | void
  /** The session has ended; the peer stays and may come back. Not called where `detach` is. */
  offline?(peer: Peer): void
  /** The peer is gone. `unsent`: what it took and never gave to a link, in order: for another peer, or to be counted as dropped. */
  detach(peer: Peer, unsent: Message[]): void
  onMessage(peer: Peer, message: Message): void
  onCommand?(peer: Peer, name: string, body: Uint8Array): void
  /** After `send` was refused: there is room again. */
  onWritable?(peer: Peer): void
  /** A message leaves the queue for the user: the last chance to change it. */
  onTake?(peer: Peer, message: Message): Message
  /** True: taken (or counted as dropped). False: later, `writable()` will follow. Throws EarshotError for what waiting can't mend. Absent: cannot send. */
  send?(message: Message): boolean
  /** The socket closes: gives up what peers that are gone left unsent and no other had room for. */
  drain?(): Message[]
  /** Throws EFSM when it isn't the user's turn to send or receive. The arguments: does a send, a receive wait already? */
  checkSend?(sendWaits: boolean): void
  checkReceive?(sendWaits: boolean, receiveWaits: boolean): void
  /** May a message leave the queue for `onmessage` now? False: `host.takable()` will follow. Absent: always. */
  mayTake?(): boolean
}

/** Why a message was dropped or can't be vouched for. Part of the API; see README, Guarantees. */
export type DropReason =
  | "full" //         the peer was at its high-water mark (publisher, router, reply)
  | "unroutable" //   no such peer (router without mandatory), or nobody left who could take it
  | "too-large" //    over the size that the peer said it takes (publisher; or found out after queueing)
  | "disconnected" // the peer it was meant for is gone (reply, router)
  | "malformed" //    not shaped as the pattern demands (no delimiter, too few frames)
  | "late" //         a reply that nobody waits for any more
  | "excess" //       from a peer the socket has no place for (second peer of a pair)
  | "conflated" //    replaced by a newer one, as `conflate` asks
  | "linger" //       unsent when `close()` gave up
  | "unread" //       received and not taken by the user when the socket or the peer's queue was closed

/** A remote socket, as users see it. Live: reading a property again may give something else. */
export interface PeerInfo {
  /** As announced; empty when it announced none, and before the first handshake. On a Router: the id it is known by here. */
  readonly routingId: Frame
  /** The endpoint: where it was dialled, or where it came from. */
  readonly address: string
  /** Undefined before the first handshake, and for peers that don't say. */
  readonly type: SocketType | undefined
  /** The properties it announced in its handshake, by name. */
  readonly metadata: Metadata
  /** Who it has proven to be, where transport or mechanism prove anything. */
  readonly userId: string | undefined
  /** A handshake is done and the connection lives. */
  readonly online: boolean
  /** Messages, and their bytes, that wait here to be sent to it. */
  readonly queued: number
  readonly queuedBytes: number
  /** Messages, and their bytes, that came from it and wait for the user. */
  readonly waiting: number
  readonly waitingBytes: number
  /** Bytes written to it that the system has not accepted. */
  readonly unconfirmed: number
  /** When the last byte came from it: ms on the clock of `performance.now()`; undefined before the handshake. */
  readonly lastHeard: number | undefined
}
