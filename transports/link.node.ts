/**
 * The life of a link over a socket of Node, whatever its bytes mean: how it begins, waits and ends.
 *
 *   open ──close()──▸ flushing ──our FIN──▸ waiting for the peer's FIN ──▸ gone
 *   open ──peer's FIN, reported at once──▸ flushing ──▸ gone
 *   open ──a write fails──▸ reading to the end ──▸ gone      any state ──destroy(), reset──▸ gone
 *
 * Sockets are unref'd from birth: `Clock.hold` keeps the process alive, not they.
 */
import type * as net from "node:net"
import type { Clock, Timer } from "../lib/clock.ts"
import type { Link, LinkSink } from "../lib/contract.ts"
import { EarshotError, wrap } from "../lib/errors.ts"

/** ms that an end may take once nothing but the other side's FIN is missing, or once that FIN is there. */
const GRACE = 1000
/**
 * The same for a link that wrote more than SAFE bytes. Its last ones may still be in our kernel, waiting for a peer that
 * has paused; a socket closed too early answers that peer's next byte with a reset, and those bytes are lost while the
 * peer sees an orderly end (measured: 0.2 of 2.6 MB arrived).
 */
const LONG_GRACE = 30_000
/** Bytes that a peer's kernel takes whether or not the peer reads. */
const SAFE = 65_536
/** Bytes read from the system before `start`. */
const EARLY = 65_536

export abstract class SocketLink implements Link {
  abstract readonly protocol: Link["protocol"]
  readonly shares = false
  readonly remote: string
  readonly host: string | undefined
  /** The sink, while chunks go straight to it: after `start` and what came before it, until `close` or `destroy`. */
  protected receiver: LinkSink | undefined
  /** Written, and kept back by `put`. */
  protected backlog = 0
  /** `close` or `destroy` was called: no more `onData`. */
  protected deaf = false
  /** We ended it, or the peer did: writes are swallowed. */
  protected over = false
  protected peerEnded = false
  protected reason: Error | undefined
  protected readonly clock: Clock
  protected readonly socket: net.Socket
  private sink: LinkSink | undefined
  private early: Uint8Array[] = []
  private earlyBytes = 0
  private paused = false
  /** A write returned false, and `left` bytes wait since. */
  private blocked = false
  private left = 0
  private drainedEarly = false
  /** The end waits for what is kept back. */
  private closing = false
  private destroyed = false
  /** The system no longer tells how much of `left` has left. */
  private settled = false
  private gone = false
  private reported = false
  private timer: Timer | undefined

  constructor(socket: net.Socket, remote: string, host: string | undefined, clock: Clock) {
    this.socket = socket
    this.remote = remote
    this.host = host
    this.clock = clock
    socket.unref()
    socket.on("error", (error) => this.onError(error))
    this.keepReading()
  }

  /** Gives the chunks to the system, or keeps them back and says so in `backlog`. */
  protected abstract put(chunks: readonly Uint8Array[]): void
  /** Reads, or reads no more. */
  protected abstract flow(on: boolean): void
  /** Ends writing, behind all that was written; `onFlushed` is called then. */
  protected abstract finish(): void

  get unconfirmed(): number {
    if (!this.blocked) return 0
    return this.settled ? this.left : Math.min(this.left, this.backlog + this.waiting())
  }

  start(sink: LinkSink): void {
    this.sink = sink
    if (this.early.length > 0 || this.peerEnded || this.gone || this.drainedEarly) this.clock.immediate(this.handOver)
    else if (!this.deaf) this.receiver = sink
  }

  write(chunks: readonly Uint8Array[]): boolean {
    const { socket } = this
    if (this.over || socket.destroyed) return false
    if (chunks.length === 0) return !this.blocked
    this.put(chunks)
    // Zero as soon as the system took everything: node:net tries at once. Its own `drain` knows only its own mark.
    const left = socket.writableLength + this.backlog
    // A write that failed at once leaves nothing waiting either: that is not the same as having left.
    if (left === 0) return socket.errored === null
    this.left = left
    this.blocked = true
    return false
  }

  pause(): void {
    if (this.deaf) return
    this.paused = true
    if (this.over && !this.peerEnded) this.timer?.cancel()
    this.flow(false)
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.over && !this.peerEnded) this.expire(GRACE)
    if (this.early.length === 0) this.flow(true)
    else if (this.sink !== undefined) this.clock.immediate(this.handOver)
  }

  close(): void {
    if (this.deaf) return
    this.silence()
    // The peer's FIN is behind its unread bytes, and is never seen in front of a paused socket.
    this.flow(true)
    this.end()
  }

  destroy(error?: Error): void {
    if (this.destroyed || this.gone) return
    this.destroyed = true
    this.reason = error
    this.silence()
    if (error !== undefined && !this.over && this.socket.writableLength === 0) this.lastWord?.(error)
    this.drop()
  }

  /** What a link that is destroyed says to the other side, where that needs no waiting. */
  protected lastWord?(error: Error): void

  /** Bytes that the system has not taken. What a large write has left shrinks bit by bit, which only the handle tells. */
  protected waiting(): number {
    const { _handle: handle } = this.socket as { _handle?: { writeQueueSize?: number } | null }
    return Math.min(this.socket.writableLength, handle?.writeQueueSize ?? Infinity)
  }

  /** What came, for the sink. */
  protected readonly take = (chunk: Uint8Array): void => {
    if (this.receiver !== undefined) this.receiver.onData(chunk)
    else if (this.deaf) this.discard()
    else this.hold(chunk)
  }

  /** One function for all writes; only a write that had to wait ends in a turn of its own. */
  protected readonly onWritten = (error?: Error | null): void => {
    // Node calls back without an error, too, for what a destroyed socket never wrote.
    if (!this.blocked || error || this.reported || this.socket.destroyed) return
    if (this.socket.writableLength + this.backlog > 0) return
    this.blocked = false
    if (this.receiver !== undefined || (this.deaf && this.sink !== undefined)) this.sink!.onDrain()
    else this.drainedEarly = true
  }

  /** Less is kept back: it may all have left. */
  protected onBacklog(): void {
    this.left = Math.min(this.left, this.socket.writableLength + this.backlog)
    if (this.backlog > 0) return
    if (this.closing) this.finish()
    this.closing = false
    this.onWritten()
  }

  protected readonly onFlushed = (): void => {
    if (!this.peerEnded) this.expire(this.socket.bytesWritten > SAFE ? LONG_GRACE : GRACE)
  }

  /** Something came after `close`: so the peer is there, and has not got to our FIN. */
  protected discard(): void {
    if (this.destroyed || this.reported) return
    this.sink?.onAlive?.()
    if (this.timer !== undefined && this.socket.bytesWritten > SAFE) this.expire(LONG_GRACE)
  }

  /** The other side writes no more. */
  protected onPeerEnd(): void {
    if (this.peerEnded) return
    this.peerEnded = true
    this.closing = false
    this.answer()
    this.over = true
    this.expire(GRACE)
    // What is still unsent has nobody to hear it; whoever would write more is told now.
    if (this.sink !== undefined && this.early.length === 0) this.report()
  }

  /** What we do when the other side ends it first. */
  protected answer(): void {
    if (!this.over) this.finish()
  }

  /** The socket is no more. */
  protected onGone(): void {
    this.gone = this.over = this.settled = true
    this.timer?.cancel()
    if (this.sink !== undefined && this.early.length === 0 && !this.drainedEarly) this.report()
  }

  /**
   * node:net destroys a socket when a write fails, and with it what came and is not read yet: the last messages of a peer
   * that closed, when a PING to it is answered by a reset. Here a failed write only ends writing.
   */
  private keepReading(): void {
    const { socket } = this
    // oxlint-disable no-underscore-dangle -- the names by which node:stream lets a stream's own maker write
    const write = socket._write.bind(socket)
    const writev = socket._writev!.bind(socket)
    let done: (error?: Error | null) => void
    const onDone = (error?: Error | null): void => {
      if (error && !socket.destroyed) this.onBroken(error)
      else done(error)
    }
    socket._write = (chunk, encoding, callback) => {
      // From inside of Bun's _writev it is ours.
      if (callback !== onDone) done = callback
      write(chunk, encoding, onDone)
    }
    socket._writev = (chunks, callback) => {
      done = callback
      writev(chunks, onDone)
    }
    // oxlint-enable no-underscore-dangle
  }

  /** A write failed: nothing more can be written, and reading will come to an end, or to an error of its own. */
  private onBroken(error: Error): void {
    this.over = true
    this.onError(error)
    if (this.deaf) this.drop()
    else if (!this.paused) this.expire(GRACE)
  }

  private silence(): void {
    this.deaf = true
    this.receiver = undefined
    this.early = []
  }

  private end(): void {
    if (this.over) return
    this.over = true
    if (this.backlog === 0) return this.finish()
    this.closing = true
    this.expire(LONG_GRACE)
  }

  private hold(chunk: Uint8Array): void {
    this.early.push(chunk)
    this.earlyBytes += chunk.length
    if (this.earlyBytes >= EARLY) this.flow(false)
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
    if (!this.paused) this.flow(true)
  }

  private onError(error: Error): void {
    this.settled = true
    // Once both sides wanted the end, how the rest of the way was cut matters to nobody.
    if (this.destroyed || this.peerEnded || (this.deaf && !this.blocked)) return
    const { code } = error as { code?: string }
    this.reason ??= code === "EPIPE" ? new EarshotError("ECONNRESET", error.message, error) : wrap(error, "ECONNRESET")
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
    if (!this.gone) this.timer = this.clock.timeout(() => this.drop(), ms)
  }

  private drop(): void {
    this.left = this.unconfirmed
    this.over = this.settled = true
    this.socket.destroy()
  }
}
