/**
 * A link over the platform's own WebSocket, as browsers and workers have it: it can be neither paused nor destroyed, and
 * says of what it sends only how much is left (`bufferedAmount`). So what has come waits here while the session does not
 * read, as much as our credit allows (stream.ts), and `bufferedAmount` is polled: there is no event for it.
 */
import { asFrame } from "../../lib/bytes.ts"
import type { Clock, Timer } from "../../lib/clock.ts"
import type { Link, LinkSink } from "../../lib/contract.ts"
import { EarshotError, type ErrorCode } from "../../lib/errors.ts"
import type { PageSignals, Watched } from "./page-signals.ts"
import { Held } from "./held.ts"
import {
  EARLY,
  GRANT,
  grant,
  joined,
  MAX_SENT,
  MAX_TAKEN,
  MAX_TAKEN_EARLY,
  pieces,
  readGrant,
  WINDOW,
} from "./stream.ts"

/** What of the platform's WebSocket is used: no type of the DOM, so that the same file is checked with and without it. */
export interface PageSocket {
  binaryType: string
  readonly protocol: string
  readonly bufferedAmount: number
  onopen: (() => void) | null
  onmessage: ((event: { readonly data: unknown }) => void) | null
  onerror: ((event: unknown) => void) | null
  onclose: ((event: { readonly wasClean: boolean; readonly code: number; readonly reason: string }) => void) | null
  send(data: string | Uint8Array): void
  close(code?: number): void
}

export interface PageLinkOptions {
  readonly protocol: "zmtp" | "zws-bare"
  readonly remote: string
  readonly host: string | undefined
  readonly secure: boolean
  /** Of a frame, for ZWS, which carries it in one message; -1 = any. */
  readonly maxMessageSize: number
  readonly clock: Clock
  readonly signals: PageSignals
}

/** Bytes under way above which `write` asks to wait: with the slab of 64 KiB that may cross it, 256 KiB. */
const HIGH = 192 * 1024
/** Bytes that may come beyond our credit: what the other side sent before it knew that it has any. */
const SLACK = 65_536
/** Bytes, with what messages cost beside theirs, that ZWS, which knows no credit, may send while the session does not read. */
const MAX_HELD = 64 * 1024 * 1024
/** Looks at `bufferedAmount` in the turns that follow at once; later ones are POLL ms apart. */
const PROMPT = 16
const POLL = 4
/** ms that the closing handshake may take once all has left; the same while bytes are under way. */
const GRACE = 1000
const LONG_GRACE = 30_000
/** ms that a link in doubt has to show a sign of life. */
const DOUBT = 2000

export class PageLink implements Link, Watched {
  readonly protocol: "zmtp" | "zws-bare"
  readonly shares = false
  readonly remote: string
  readonly host: string | undefined
  readonly secure: boolean
  readonly clock: Clock
  heard: number
  /** Our own protocol, which knows credit and PINGs; else ZWS. */
  private readonly stream: boolean
  private readonly socket: PageSocket
  private readonly options: PageLinkOptions
  private sink: LinkSink | undefined
  /** What comes goes straight to the sink. */
  private flowing = false
  private paused = false
  private readonly held = new Held()
  /** Bytes that the other side may still send, and those taken since we last granted. */
  private allowance = WINDOW
  private taken = 0
  /** Bytes of the largest message taken. */
  private most = MAX_TAKEN_EARLY
  /** Bytes that we may still send; no end to them while the other side has never granted any. */
  private credit = Infinity
  private queue: Uint8Array[] = []
  private queuedBytes = 0
  private written = 0
  /** A write returned false, and `onDrain` is due. */
  private blocked = false
  private drainedEarly = false
  private polling = false
  private polls = 0
  /** `close` or `destroy` was called: no more `onData`, and writes are swallowed. */
  private over = false
  private gone = false
  private dropped = false
  private reported = false
  private reason: Error | undefined
  /** What had not left when it ended. */
  private lost: number | undefined
  private timer: Timer | undefined

  constructor(socket: PageSocket, options: PageLinkOptions) {
    this.socket = socket
    this.options = options
    this.protocol = options.protocol
    this.stream = options.protocol === "zmtp"
    this.remote = options.remote
    this.host = options.host
    this.secure = options.secure
    this.clock = options.clock
    this.heard = options.clock.now()
    socket.onmessage = ({ data }) => this.onMessage(data)
    socket.onerror = () => {}
    socket.onclose = ({ wasClean, code, reason }) => this.onEnded(wasClean, code, reason)
    options.signals.add(this)
    if (this.stream) socket.send(grant(WINDOW))
  }

  get unconfirmed(): number {
    return this.lost ?? this.queuedBytes + this.socket.bufferedAmount
  }

  start(sink: LinkSink): void {
    this.sink = sink
    if (!this.held.empty || this.gone || this.drainedEarly) this.clock.immediate(this.handOver)
    else this.flowing = !this.over
  }

  admit(): void {
    const { maxMessageSize } = this.options
    if (this.stream) this.most = MAX_TAKEN
    else this.most = maxMessageSize < 0 ? Infinity : 1 + Math.max(maxMessageSize, MAX_TAKEN_EARLY)
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.over || this.gone) return false
    // As few messages as may be: each costs a browser more than copying its bytes does.
    for (const piece of this.stream
      ? pieces(joined(chunks), this.written < EARLY ? MAX_TAKEN_EARLY : MAX_SENT)
      : chunks) {
      this.queue.push(piece)
      this.queuedBytes += piece.length
      this.written += piece.length
    }
    this.pump()
    if (this.queuedBytes > 0 || this.socket.bufferedAmount > HIGH) {
      this.blocked = true
      this.poll()
    }
    return !this.blocked
  }

  pause(): void {
    if (this.over) return
    this.paused = true
    this.flowing = false
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.sink !== undefined) this.clock.immediate(this.handOver)
  }

  close(): void {
    if (this.over) return
    this.silence()
    if (this.gone) this.clock.immediate(this.handOver)
    else this.finish()
  }

  destroy(error?: Error): void {
    if (this.dropped || this.reported) return
    this.reason = error
    this.drop()
    this.clock.immediate(this.handOver)
  }

  /** The page may be gone or frozen before another turn comes: so the end is told at once. */
  leave(): void {
    this.drop()
    if (this.sink !== undefined) this.report()
  }

  doubt(): void {
    if (this.stream && this.flowing) this.sink?.onDoubt?.(DOUBT)
  }

  private onMessage(data: unknown): void {
    if (this.gone) return
    this.heard = this.clock.now()
    if (typeof data === "string") return this.onText(data)
    const chunk = asFrame(new Uint8Array(data as ArrayBuffer))
    if (chunk.length > this.most || chunk.length === 0)
      return this.violation("EPROTO", `a WebSocket message of ${chunk.length} bytes`)
    this.allowance -= chunk.length
    if (this.stream && this.allowance < -SLACK) return this.violation("EPROTO", "more than its credit")
    if (this.over) {
      this.sink?.onAlive?.()
      return this.took(chunk.length)
    }
    if (!this.flowing) return this.hold(chunk)
    this.sink!.onData(chunk)
    this.took(chunk.length)
  }

  private onText(text: string): void {
    const bytes = this.stream ? readGrant(text) : undefined
    if (bytes === undefined) return this.violation("EPROTO", "a text message that is no credit")
    this.credit = bytes + (this.credit === Infinity ? 0 : this.credit)
    this.sink?.onAlive?.()
    if (this.queuedBytes === 0) return
    this.pump()
    if (this.over && !this.gone) this.finish()
    else if (this.blocked) this.poll()
  }

  private hold(chunk: Uint8Array): void {
    this.held.push(chunk, this.stream)
    // Of our own protocol no more comes than credit allows.
    if (!this.stream && this.held.bytes > MAX_HELD) this.violation("LIMIT", "too much waits to be read")
  }

  /** The session has it: the other side may send as much more. */
  private took(bytes: number): void {
    this.taken += bytes
    if (this.taken < GRANT || !this.stream || this.gone) return
    this.allowance += this.taken
    this.socket.send(grant(this.taken))
    this.taken = 0
  }

  private violation(code: ErrorCode, message: string): void {
    this.destroy(new EarshotError(code, message))
  }

  /** What came before `start`, or behind a pause, in order; then how it went on meanwhile. */
  private readonly handOver = (): void => {
    const { sink } = this
    if (sink === undefined || this.reported || this.flowing) return
    while (!this.held.empty) {
      if (this.paused) return
      const chunk = this.held.shift()!
      sink.onData(chunk)
      this.took(chunk.length)
    }
    if (this.drainedEarly && !this.dropped) {
      this.drainedEarly = false
      sink.onDrain()
    }
    if (this.gone) return this.report()
    this.flowing = !this.paused && !this.over
  }

  private pump(): void {
    const { queue } = this
    let next = 0
    while (next < queue.length && this.credit > 0) {
      const whole = queue[next]!
      const piece = whole.subarray(0, this.credit)
      if (piece.length < whole.length) queue[next] = whole.subarray(piece.length)
      else next++
      this.socket.send(piece)
      this.queuedBytes -= piece.length
      this.credit -= piece.length
    }
    queue.splice(0, next)
  }

  /** Looks whether all has left, now and then. While we wait for credit there is nothing to look for. */
  private poll(): void {
    if (this.polling || this.queuedBytes > 0) return
    this.polling = true
    if (this.polls++ < PROMPT) this.clock.immediate(this.look)
    else this.clock.timeout(this.look, POLL)
  }

  private readonly look = (): void => {
    this.polling = false
    if (this.gone || !this.blocked) return
    if (this.unconfirmed > 0) return this.poll()
    this.blocked = false
    this.polls = 0
    if (this.sink !== undefined && (this.flowing || this.paused || this.over)) this.sink.onDrain()
    else this.drainedEarly = true
  }

  private silence(): void {
    this.over = true
    this.flowing = this.paused = false
    for (let chunk = this.held.shift(); chunk !== undefined; chunk = this.held.shift()) this.took(chunk.length)
  }

  /** Says good-bye, behind what is still to be sent. */
  private finish(): void {
    if (this.queuedBytes === 0) this.socket.close(1000)
    this.timer?.cancel()
    this.timer = this.clock.timeout(
      () => {
        this.drop()
        this.handOver()
      },
      this.unconfirmed > 0 ? LONG_GRACE : GRACE,
    )
  }

  /** The platform's socket has no other end than its closing handshake; we don't wait for it. */
  private drop(): void {
    this.dropped = true
    if (!this.gone) this.forget()
    this.silence()
    this.queue = []
    this.socket.onmessage = this.socket.onclose = null
    this.socket.close()
  }

  private onEnded(wasClean: boolean, code: number, reason: string): void {
    const broken = !wasClean || (code !== 1000 && code !== 1001 && code !== 1005)
    // Once both sides wanted the end, how the rest of the way was cut matters to nobody.
    if (broken && (!this.over || this.unconfirmed > 0))
      this.reason ??= new EarshotError(
        "ECONNRESET",
        wasClean ? `the other side closed with ${code}${reason && `: ${reason}`}` : undefined,
      )
    this.forget()
    if (this.held.empty && this.sink !== undefined && !this.drainedEarly) this.report()
  }

  private forget(): void {
    this.lost = this.unconfirmed
    this.gone = true
    this.flowing = false
    this.timer?.cancel()
    this.options.signals.delete(this)
  }

  private report(): void {
    if (this.reported) return
    this.reported = true
    this.sink!.onClose(this.reason)
  }
}
