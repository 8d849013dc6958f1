/**
 * What links over npm ws share, whatever their messages mean: how they begin, wait and end. As the links of ../net.ts,
 * with WebSocket's close frame (RFC 6455, 5.5.1) in front of each FIN:
 *
 *   open ──close()──▸ flushing ──close frame, our FIN──▸ waiting for the peer's ──▸ gone
 *   open ──peer's close frame or FIN, reported at once──▸ flushing ──▸ gone
 *   open ──it breaks the protocol──▸ our close frame says why ──▸ gone      any state ──destroy(), reset──▸ gone
 *
 * FIN at once behind the close frame: libzmq answers no close frame (WIRE 1.10), but every TCP answers a FIN.
 */
import type * as net from "node:net"
import type { Clock, Timer } from "../../lib/clock.ts"
import type { Link, LinkSink } from "../../lib/contract.ts"
import { EarshotError, wrap } from "../../lib/errors.ts"
import type { Wire } from "./library.node.ts"
import { MAX_TAKEN_EARLY } from "./stream.ts"

/** ms that an end may take once nothing but the other side's FIN is missing, or once that FIN is there. */
const GRACE = 1000
/** The same for a link that wrote more than SAFE bytes: a peer that has paused may have to read them first (../net.ts). */
const LONG_GRACE = 30_000
/** Bytes that a peer's kernel takes whether or not the peer reads. */
const SAFE = 65_536
/** Bytes taken before `start`. */
const EARLY = 65_536
/** Ends in good order: "normal", "going away" (a page that is left), and none given. */
const ORDERLY: ReadonlySet<number> = new Set([1000, 1001, 1005])
/** Of a close frame's reason. */
const MAX_REASON = 123
const BINARY = { binary: true, compress: false } as const

/** What a link is made of. */
export interface Joint {
  readonly wire: Wire
  /** Under the wire. */
  readonly socket: net.Socket
  readonly remote: string
  readonly host: string | undefined
  readonly secure: boolean
  readonly identity: Link["identity"]
  readonly clock: Clock
  /** Bytes of the largest message taken after the handshake above; 0 = no limit. */
  readonly limit: number
}

export abstract class WireLink implements Link {
  abstract readonly protocol: Link["protocol"]
  readonly shares = false
  readonly remote: string
  readonly host: string | undefined
  readonly secure: boolean
  readonly identity: Link["identity"]
  /** Written, and not yet ours to send: what `carry` keeps back. */
  protected backlog = 0
  private readonly wire: Wire
  private readonly socket: net.Socket
  private readonly clock: Clock
  private readonly limit: number
  private sink: LinkSink | undefined
  /** The sink, while messages go straight to it: after `start` and what came before it, until `close` or `destroy`. */
  private receiver: LinkSink | undefined
  private early: Uint8Array[] = []
  private earlyBytes = 0
  private admitted = false
  private paused = false
  /** A write returned false, and `left` bytes wait since. */
  private blocked = false
  private left = 0
  private drainedEarly = false
  /** `close` or `destroy` was called: no more `onData`. */
  private deaf = false
  /** We ended it, or the peer did: writes are swallowed. */
  private over = false
  /** The end waits for what is kept back. */
  private closing = false
  private peerEnded = false
  private destroyed = false
  private failed = false
  private gone = false
  private reported = false
  private reason: Error | undefined
  private timer: Timer | undefined

  constructor({ wire, socket, remote, host, secure, identity, clock, limit }: Joint) {
    this.wire = wire
    this.socket = socket
    this.remote = remote
    this.host = host
    this.secure = secure
    this.identity = identity
    this.clock = clock
    this.limit = limit
    socket.unref()
    wire.limit(MAX_TAKEN_EARLY)
    wire.onEnding = (code, reason) => this.onEnding(code, reason)
    wire.on("message", (data, binary) => this.onMessage(data as Uint8Array, binary))
    wire.on("ping", this.onSign)
    wire.on("pong", this.onSign)
    wire.on("error", (error) => this.onViolation(error))
    wire.on("close", () => this.onGone())
    socket.on("end", () => this.onPeerEnd())
    socket.on("error", (error) => this.onError(error))
  }

  /** Sends chunks by `send`, or keeps them back and says so in `backlog`. */
  protected abstract carry(chunks: readonly Uint8Array[]): void
  /** Is this message a chunk for the sink? False where it was the link's own business; throws for what it may not be. */
  protected abstract takes(data: Uint8Array, binary: boolean): boolean

  get unconfirmed(): number {
    if (!this.blocked) return 0
    if (this.failed || this.destroyed || this.gone) return this.left
    const { _handle: handle } = this.socket as { _handle?: { writeQueueSize?: number } | null }
    const { writableLength } = this.socket
    // What a large write has left shrinks bit by bit, which only the handle tells; under TLS that one counts other bytes.
    return this.backlog + (this.secure ? writableLength : Math.min(writableLength, handle?.writeQueueSize ?? Infinity))
  }

  start(sink: LinkSink): void {
    this.sink = sink
    if (this.early.length > 0 || this.peerEnded || this.gone || this.drainedEarly) this.clock.immediate(this.handOver)
    else if (!this.deaf) this.receiver = sink
  }

  admit(): void {
    this.admitted = true
    this.wire.limit(this.limit)
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.over || this.wire.readyState !== this.wire.OPEN) return false
    const { socket } = this
    // npm ws corks what it makes of one chunk.
    if (chunks.length > 1) socket.cork()
    this.carry(chunks)
    if (chunks.length > 1) socket.uncork()
    // Zero as soon as the system took everything: node:net tries at once.
    const left = socket.writableLength + this.backlog
    if (left === 0) return socket.errored === null
    this.left = left
    this.blocked = true
    return false
  }

  pause(): void {
    if (this.deaf) return
    this.paused = true
    if (this.over && !this.peerEnded) this.timer?.cancel()
    this.wire.pause()
    read(this.socket, false)
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.over && !this.peerEnded) this.expire(GRACE)
    if (this.early.length === 0) this.flow()
    else if (this.sink !== undefined) this.clock.immediate(this.handOver)
  }

  close(): void {
    if (this.deaf) return
    this.silence()
    // The peer's close frame is behind its unread bytes.
    this.flow()
    if (this.over) return
    this.over = true
    if (this.backlog === 0) return this.end(1000)
    this.closing = true
    this.expire(LONG_GRACE)
  }

  destroy(error?: Error): void {
    if (this.destroyed || this.gone) return
    this.left = this.unconfirmed
    this.destroyed = true
    this.reason = error
    this.silence()
    // A last word, where it needs no waiting: a page would learn no reason otherwise.
    if (error !== undefined && !this.over && this.socket.writableLength === 0) this.say(codeOf(error), error.message)
    this.over = true
    this.socket.destroy()
  }

  protected send(piece: Uint8Array): void {
    this.wire.send(piece, BINARY, this.onWritten)
  }

  /** What was kept back has gone to `send`: it may all have left. */
  protected sentBacklog(): void {
    if (this.backlog > 0) return
    if (this.closing) {
      this.closing = false
      this.end(1000)
    }
    this.onWritten()
  }

  protected ask(): void {
    if (this.wire.readyState === this.wire.OPEN && !this.over) this.wire.ping()
  }

  private flow(): void {
    read(this.socket, true)
    this.wire.resume()
  }

  private silence(): void {
    this.deaf = true
    this.receiver = undefined
    this.early = []
  }

  private end(code: number): void {
    this.say(code, "")
    this.socket.end(this.onFlushed)
  }

  private say(code: number, reason: string): void {
    if (this.wire.readyState !== this.wire.OPEN) return
    this.wire.finish(code, cut(reason))
  }

  private onMessage(data: Uint8Array, binary: boolean): void {
    let mine: boolean
    try {
      mine = this.takes(data, binary)
      if (!this.admitted && data.length > MAX_TAKEN_EARLY)
        throw new EarshotError("EMSGSIZE", `a message of ${data.length} bytes before the handshake was done`)
    } catch (error) {
      return this.onForbidden(error as EarshotError)
    }
    if (!mine) return
    if (this.receiver !== undefined) this.receiver.onData(data)
    else if (this.deaf) this.discard()
    else this.hold(data)
  }

  /** Well-formed for a WebSocket, and not what was agreed on. */
  private onForbidden(error: EarshotError): void {
    if (this.over) return
    this.reason ??= error
    this.over = true
    this.say(error.code === "EPROTO" ? 1003 : codeOf(error), error.message)
    this.socket.end()
    this.onPeerEnd()
  }

  /** Something came after `close`: so the peer is there, and has not got to our FIN. */
  private discard(): void {
    if (this.destroyed || this.reported) return
    this.sink?.onAlive?.()
    if (this.timer !== undefined && this.socket.bytesWritten > SAFE) this.expire(LONG_GRACE)
  }

  private hold(data: Uint8Array): void {
    this.early.push(data)
    this.earlyBytes += data.length
    if (this.earlyBytes >= EARLY) this.wire.pause()
  }

  private readonly onSign = (): void => {
    if (this.receiver !== undefined) this.receiver.onAlive?.()
    else if (this.deaf) this.discard()
  }

  /** What happened before `start`, or was held by a pause since, in order. */
  private readonly handOver = (): void => {
    const sink = this.sink!
    while (this.early.length > 0) {
      if (this.paused) return
      sink.onData(this.early.shift()!)
    }
    if (this.drainedEarly && !this.destroyed) {
      this.drainedEarly = false
      sink.onDrain()
    }
    if (this.peerEnded || this.gone) return this.report()
    if (this.deaf) return
    this.receiver = sink
    if (!this.paused) this.flow()
  }

  /** One function for all writes; only a write that had to wait ends in a turn of its own. */
  private readonly onWritten = (error?: Error | null): void => {
    // Node calls back without an error, too, for what a destroyed socket never wrote.
    if (!this.blocked || error || this.reported || this.socket.destroyed) return
    if (this.socket.writableLength + this.backlog > 0) return
    this.blocked = false
    if (this.receiver !== undefined || (this.deaf && this.sink !== undefined)) this.sink!.onDrain()
    else this.drainedEarly = true
  }

  private readonly onFlushed = (): void => {
    if (!this.peerEnded) this.expire(this.socket.bytesWritten > SAFE ? LONG_GRACE : GRACE)
  }

  private onEnding(code: number, reason: string): void {
    // A violation is told as an error next, in this very stack.
    this.clock.microtask(() => {
      if (!ORDERLY.has(code) && !this.deaf)
        this.reason ??= new EarshotError("ECONNRESET", `the other side ended it: ${code}${reason && `, ${reason}`}`)
      this.onPeerEnd()
    })
  }

  private onPeerEnd(): void {
    if (this.peerEnded) return
    this.peerEnded = this.over = true
    this.flow()
    this.expire(GRACE)
    // What is still unsent has nobody to hear it; whoever would write more is told now.
    if (this.sink !== undefined && this.early.length === 0) this.report()
  }

  /** npm ws found a breach of RFC 6455, or of a limit, and has sent the close frame for it. */
  private onViolation(error: Error): void {
    if (this.deaf || this.over) return
    const { code } = error as { code?: string }
    const tooLarge = code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"
    this.reason ??= new EarshotError(tooLarge ? "EMSGSIZE" : "EPROTO", error.message, error)
    this.onPeerEnd()
    this.socket.end()
  }

  private onError(error: Error): void {
    this.left = this.unconfirmed
    this.failed = true
    // Once both sides wanted the end, how the rest of the way was cut matters to nobody.
    if (this.destroyed || this.peerEnded || (this.deaf && !this.blocked)) return
    const { code } = error as { code?: string }
    this.reason ??= code === "EPIPE" ? new EarshotError("ECONNRESET", error.message, error) : wrap(error, "ECONNRESET")
  }

  private onGone(): void {
    if (!this.destroyed && !this.failed) this.left = this.unconfirmed
    this.gone = this.over = true
    this.timer?.cancel()
    if (this.sink !== undefined && this.early.length === 0 && !this.drainedEarly) this.report()
  }

  private report(): void {
    if (this.reported) return
    this.reported = true
    const sink = this.sink!
    this.silence()
    sink.onClose(this.reason)
  }

  private expire(ms: number): void {
    this.timer?.cancel()
    if (!this.gone) this.timer = this.clock.timeout(() => this.socket.destroy(), ms)
  }
}

/** A paused stream of Node reads on until its buffer is full; the sender shall not take that for progress. */
function read(socket: net.Socket, on: boolean): void {
  // oxlint-disable-next-line no-underscore-dangle -- Node has no public name for it
  const handle = (socket as unknown as { _handle?: ReadHandle | null })._handle
  if (typeof handle?.readStop !== "function" || handle.reading !== !on) return
  handle.reading = on
  if (on) handle.readStart()
  else handle.readStop()
}

interface ReadHandle {
  reading?: boolean
  readStart(): void
  readStop(): void
}

/** RFC 6455, 7.4.1. */
function codeOf(error: Error): number {
  const { code } = error as Partial<EarshotError>
  if (code === "EPROTO") return 1002
  if (code === "EMSGSIZE") return 1009
  return code === "LIMIT" || code === "ETIMEDOUT" ? 1013 : 1008
}

/** Its beginning, at most so long as a close frame may carry. */
function cut(text: string): string {
  let end = MAX_REASON
  while (Buffer.byteLength(text.slice(0, end)) > MAX_REASON) end--
  return text.slice(0, end)
}
