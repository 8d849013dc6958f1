/**
 * A link over a stream of libp2p. What is written waits here and not in the stream, which would break off at a limit of
 * its own, and goes to it in pieces for as long as it takes them: `send` says false, `drain` follows.
 *
 *   open ──close()──▸ flushing ──our FIN──▸ waiting for the peer's FIN ──▸ gone
 *   open ──peer's FIN, reported once all is read──▸ flushing ──▸ gone
 *   any state ──destroy(), reset, the connection's end──▸ gone, reported behind all that had come
 */
import { asFrame } from "../../lib/bytes.ts"
import type { Clock, Timer } from "../../lib/clock.ts"
import type { Link, LinkSink } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { Incoming } from "./incoming.ts"
import { Outgoing } from "./outgoing.ts"
import type { Libp2pStream } from "./node.ts"
import type { Window } from "./window.ts"

/** ms that an end may take once nothing but the other side's FIN is missing, or once that FIN is there. */
const GRACE = 1000
/** The same for a link that wrote more than SAFE bytes: the last ones may wait on the way, for a peer that has paused. */
const LONG_GRACE = 30_000
const SAFE = 65_536
/** Bytes at which a stream that has paused is reset: more than the largest window, which only a breach exceeds. */
const MAX_UNREAD = 16 * 1024 * 1024 + 65_536

/** What is known of the other end. */
export interface FarEnd {
  readonly remote: string
  readonly host: string | undefined
  readonly peerId: string
  readonly encryption: string | undefined
  readonly window: Window | undefined
}

export class StreamLink implements Link {
  readonly protocol = "zmtp"
  readonly remote: string
  readonly host: string | undefined
  readonly secure: boolean
  readonly identity: { readonly userId: string } | undefined
  readonly shares: boolean
  private readonly stream: Libp2pStream
  private readonly outgoing: Outgoing
  private readonly clock: Clock
  /** Calls when it is over for good, reported or not. */
  private readonly onGone: () => void
  private sink: LinkSink | undefined
  /** What came while the session did not read. */
  private readonly held = new Incoming()
  private paused = false
  private flowing = false
  /** `stream.resume` is running: it hands over what it has, and a pause from inside that would not last. */
  private resuming = false
  /** Where it has one it is what lets the sender wait, while what comes is kept here; else the stream pauses, and keeps it. */
  private readonly window: Window | undefined
  /** What has come in this turn will be reported. */
  private reporting = false
  /** A write returned false, and `onDrain` is due. */
  private blocked = false
  /** `close` or `destroy` was called: no more `onData`. */
  private deaf = false
  /** We ended it, or the peer did: writes are swallowed. */
  private over = false
  /** Our end waits for what is not written. */
  private closing = false
  private peerEnded = false
  private gone = false
  private destroyed = false
  private reported = false
  private reason: Error | undefined
  /** What had not left when it ended. */
  private lost: number | undefined
  private timer: Timer | undefined

  constructor(
    stream: Libp2pStream,
    { remote, host, peerId, encryption, window }: FarEnd,
    clock: Clock,
    onGone: () => void,
  ) {
    this.stream = stream
    this.remote = remote
    this.host = host
    this.secure = encryption !== "/plaintext/2.0.0"
    // Over plaintext, which is for tests, it is no more than what somebody says.
    this.identity = this.secure ? { userId: peerId } : undefined
    // Noise copies what it encrypts before `send` returns. Others may refer to it for longer.
    this.shares = encryption !== "/noise"
    this.clock = clock
    this.onGone = onGone
    this.outgoing = new Outgoing(stream)
    this.window = window
    stream.maxReadBufferLength = Math.max(stream.maxReadBufferLength, MAX_UNREAD)
    // With no listener a stream's buffer fills to its limit; paused, the sender waits.
    this.hold()
    stream.addEventListener("message", ({ data }: { data: Uint8Array | Iterable<Uint8Array> }) => this.onMessage(data))
    // Behind the stream's own, which sends in a microtask what waits in it.
    stream.addEventListener("drain", () => clock.microtask(this.onDrain))
    stream.addEventListener("remoteCloseWrite", () => this.onPeerEnd())
    stream.addEventListener("close", ({ error }: { error?: Error }) => this.onEnd(error))
    // It may be over already, and one that we have not ended is whole or broken.
    if (stream.status !== "open") this.onEnd(undefined)
    else if (stream.remoteWriteStatus === "closed") this.onPeerEnd()
  }

  /** Bytes below the mark at which the connection asks to wait count as left. */
  get unconfirmed(): number {
    return this.lost ?? this.outgoing.waiting
  }

  start(sink: LinkSink): void {
    this.sink = sink
    this.clock.immediate(this.flow)
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.over) return false
    const { outgoing } = this
    for (let i = 0; i < chunks.length; i++) outgoing.add(chunks[i]!)
    this.blocked = !outgoing.send() || this.blocked
    return !this.blocked
  }

  pause(): void {
    if (this.deaf || this.gone) return
    this.paused = true
    this.hold()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.clock.immediate(this.flow)
  }

  close(): void {
    if (this.deaf) return
    this.silence()
    // The peer's FIN is behind its unread bytes.
    this.clock.immediate(this.flow)
    this.end()
  }

  destroy(error?: Error): void {
    if (this.destroyed || this.reported) return
    this.destroyed = this.over = true
    this.reason = error
    this.lost ??= this.unconfirmed
    this.silence()
    this.drop()
    this.clock.immediate(this.settle)
  }

  private readonly onDrain = (): void => {
    if (this.gone || !this.outgoing.send()) return
    if (this.closing) this.finish()
    if (!this.blocked || this.reported || this.sink === undefined) return
    this.blocked = false
    if (!this.destroyed) this.sink.onDrain()
  }

  private onMessage(data: Uint8Array | Iterable<Uint8Array>): void {
    if (this.deaf) return this.discard()
    if (data instanceof Uint8Array) this.take(data)
    else for (const chunk of data) this.take(chunk)
    this.settle()
    // Once for all that comes in this turn, and behind what is answered: a report costs as much as a message.
    if (this.window === undefined || this.paused || this.reporting) return
    this.reporting = true
    this.hold()
    this.clock.immediate(this.flow)
  }

  private take(chunk: Uint8Array): void {
    if (this.deaf) return
    if (this.flowing && !this.paused && this.held.empty) this.sink!.onData(asFrame(chunk))
    else this.held.add(chunk)
  }

  /** What came, in order, for as long as the sink wants it. */
  private deliver(): void {
    const { held } = this
    while (this.flowing && !this.paused && !this.deaf && !held.empty) this.sink!.onData(held.take()!)
  }

  /** Reads again, in a turn of its own: a stream that resumes hands over what it has at once. */
  private readonly flow = (): void => {
    this.reporting = false
    if (this.paused && !this.gone) return
    this.flowing = this.sink !== undefined
    if (this.gone) this.paused = false
    // It may have drained before `start`.
    if (this.outgoing.waiting === 0) this.onDrain()
    this.deliver()
    if (!this.paused && (this.flowing || this.deaf)) this.release()
    this.settle()
  }

  private hold(): void {
    const { window } = this
    if (window !== undefined) attempt(() => window.shut())
    else if (!this.resuming) attempt(() => this.stream.pause())
  }

  private release(): void {
    const { window } = this
    if (window !== undefined) return attempt(() => window.open())
    this.resuming = true
    attempt(() => this.stream.resume())
    this.resuming = false
    if (this.paused) this.hold()
  }

  /** Something came after `close`: so the peer is there, and has not got to our FIN. */
  private discard(): void {
    if (this.reported) return
    this.sink?.onAlive?.()
    if (this.timer !== undefined && this.outgoing.sent > SAFE) this.expire(LONG_GRACE)
  }

  private onPeerEnd(): void {
    if (this.peerEnded) return
    this.peerEnded = true
    this.clock.immediate(this.settle)
  }

  /** The stream is no more: reset, broken off with its connection, or ended by both sides. */
  private onEnd(cause: Error | undefined): void {
    if (this.gone) return
    this.lost ??= this.unconfirmed
    this.gone = this.over = true
    this.timer?.cancel()
    // Once both sides wanted the end, how the rest of the way was cut matters to nobody.
    if (!this.destroyed && !this.peerEnded && (!this.deaf || this.blocked)) {
      const why = cause === undefined ? "the libp2p stream ended early" : `the libp2p stream broke: ${cause.message}`
      this.reason = new EarshotError("ECONNRESET", why, cause)
    }
    this.onGone()
    // Whoever has paused learns of it now, too, behind what had come: it may want to dial again.
    this.clock.immediate(this.flow)
  }

  /** Reports the end once there is one, and nothing in front of it. */
  private readonly settle = (): void => {
    if (this.reported || this.sink === undefined || !(this.peerEnded || this.gone || this.destroyed)) return
    if (!this.deaf && (!this.flowing || !this.held.empty || this.unread)) return
    this.reported = true
    this.lost ??= this.unconfirmed
    this.silence()
    if (!this.gone) {
      // What is still unsent has nobody to hear it; whoever would write more is told now.
      this.end()
      this.expire(GRACE)
    }
    this.sink.onClose(this.reason)
  }

  private get unread(): boolean {
    return this.stream.readBufferLength > 0 && !this.gone
  }

  private silence(): void {
    this.deaf = true
    this.paused = false
    this.held.clear()
  }

  private end(): void {
    if (this.over) return
    this.over = true
    if (this.outgoing.waiting === 0) this.finish()
    else this.closing = true
  }

  /** Our FIN, behind all that was written. */
  private finish(): void {
    this.closing = false
    const onFlushed = (): void => {
      if (!this.peerEnded) this.expire(this.outgoing.sent > SAFE ? LONG_GRACE : GRACE)
    }
    this.stream.close().then(onFlushed, onFlushed)
  }

  private expire(ms: number): void {
    this.timer?.cancel()
    if (!this.gone) this.timer = this.clock.timeout(() => this.drop(), ms)
  }

  private drop(): void {
    if (!this.gone)
      attempt(() => this.stream.abort(this.reason ?? new EarshotError("ECANCELED", "the link was dropped")))
  }
}

/** A stream throws for what comes too late; that it has ended is told by its events. */
function attempt(call: () => void): void {
  try {
    call()
  } catch {}
}
