/**
 * What links over npm ws share, whatever their messages mean. They live as all links over sockets do (../link.node.ts),
 * with WebSocket's close frame (RFC 6455, 5.5.1) in front of each FIN; it says why, where the other side broke the protocol.
 *
 * FIN at once behind the close frame: libzmq answers no close frame (WIRE 1.10), but every TCP answers a FIN.
 */
import type * as net from "node:net"
import type { Clock } from "../../lib/clock.ts"
import type { Link } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { SocketLink } from "../link.node.ts"
import { FLOW, SHARE } from "../net.ts"
import type { Wire } from "./library.node.ts"
import { plain } from "./plain.ts"

/** Ends in good order: "normal", "going away" (a page that is left), and none given. */
const ORDERLY: ReadonlySet<number> = new Set([1000, 1001, 1005])
/** Of a close frame's reason. */
const MAX_REASON = 123
/** Bytes that wait to leave, above which pings are not answered. */
const MAX_PONGS = 16_384
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
  /** Bytes of the largest message taken before the handshake above is done, and after it; 0 = no limit. */
  readonly early: number
  readonly limit: number
}

export abstract class WireLink extends SocketLink {
  readonly secure: boolean
  readonly identity: Link["identity"]
  private readonly wire: Wire
  private readonly limit: number
  /** Of this turn, once it has brought much: as over bare TCP (../net.ts). */
  private shareEnds: number | undefined
  /** It has had its share, and reads on in the next turn. */
  private resting = false
  private flowing = true

  constructor({ wire, socket, remote, host, secure, identity, clock, limit, early }: Joint) {
    super(socket, remote, host, clock)
    this.wire = wire
    this.secure = secure
    this.identity = identity
    this.limit = limit
    wire.limit(early)
    wire.onEnding = (code, reason) => this.onEnding(code, reason)
    wire.on("message", (data, binary) => this.onMessage(data as Uint8Array, binary))
    wire.on("ping", (body) => this.onPing(body))
    wire.on("pong", () => this.onSign())
    wire.on("error", (error) => this.onViolation(error))
    // Behind npm ws's own: a message that takes long to come is life long before it is complete.
    socket.on("data", (chunk: Uint8Array) => {
      this.onSign()
      if (chunk.length >= FLOW) this.share()
    })
    // Later than the socket's own: when all that was read has been told.
    wire.on("close", () => this.onGone())
    socket.on("end", () => this.onPeerEnd())
  }

  /** Sends chunks by `send`, or keeps them back and says so in `backlog`. */
  protected abstract carry(chunks: readonly Uint8Array[]): void
  /** Is this message a chunk for the sink? False where it was the link's own business; throws for what it may not be. */
  protected abstract takes(data: Uint8Array, binary: boolean): boolean

  admit(): void {
    this.wire.limit(this.limit)
  }

  protected put(chunks: readonly Uint8Array[]): void {
    // npm ws corks what it makes of one chunk.
    if (chunks.length > 1) this.socket.cork()
    this.carry(chunks)
    if (chunks.length > 1) this.socket.uncork()
  }

  protected send(piece: Uint8Array): void {
    this.wire.send(piece, BINARY, this.onWritten)
  }

  protected ask(): void {
    if (!this.over) this.wire.ping()
  }

  protected override waiting(): number {
    // Under TLS the handle counts other bytes.
    return this.secure ? this.socket.writableLength : super.waiting()
  }

  protected flow(on: boolean): void {
    this.flowing = on
    if (on && this.resting) return
    read(this.socket, on)
    if (on) this.wire.resume()
    else this.wire.pause()
  }

  /** A chunk of a flow that goes on has been taken, with all the messages that it completed. */
  private share(): void {
    const { clock } = this
    if (this.shareEnds === undefined) {
      this.shareEnds = clock.now() + SHARE
      clock.immediate(this.nextTurn)
    } else if (clock.now() >= this.shareEnds && !this.resting) {
      this.resting = true
      this.wire.pause()
    }
  }

  private readonly nextTurn = (): void => {
    this.shareEnds = undefined
    if (!this.resting) return
    this.resting = false
    if (this.flowing) this.flow(true)
  }

  protected finish(): void {
    this.say(1000, "")
    this.socket.end(this.onFlushed)
  }

  /** A page would learn no reason otherwise. */
  protected override lastWord(error: Error): void {
    this.say(codeOf(error), error.message)
  }

  /** npm ws answers a close frame and a FIN by itself. */
  protected override answer(): void {
    this.flow(true)
  }

  private say(code: number, reason: string): void {
    if (this.wire.readyState === this.wire.OPEN) this.wire.finish(code, cut(reason))
  }

  private onMessage(data: Uint8Array, binary: boolean): void {
    let mine: boolean
    try {
      mine = this.takes(data, binary)
    } catch (error) {
      return this.onForbidden(error as EarshotError)
    }
    if (mine) this.take(data)
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

  /** Whoever asks and doesn't read gets no answers heaped up for it; those bytes that wait tell it as much. */
  private onPing(body: Uint8Array): void {
    if (!this.over && this.socket.writableLength < MAX_PONGS) this.wire.pong(body)
    this.onSign()
  }

  private onSign(): void {
    if (this.receiver !== undefined) this.receiver.onAlive?.()
    else if (this.deaf) this.discard()
  }

  private onEnding(code: number, reason: string): void {
    // Nothing can be written from here on, and a violation is told as an error next, in this very stack.
    this.over = true
    this.clock.microtask(() => {
      if (!ORDERLY.has(code) && !this.deaf)
        this.reason ??= new EarshotError(
          "ECONNRESET",
          `the other side ended it: ${code}${reason && `, ${plain(reason)}`}`,
        )
      this.onPeerEnd()
    })
  }

  /** npm ws found a breach of RFC 6455, or of a limit, and has sent the close frame for it. */
  private onViolation(error: Error): void {
    if (this.deaf || this.peerEnded) return
    const { code } = error as { code?: string }
    const tooLarge = code === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH"
    this.reason ??= new EarshotError(tooLarge ? "EMSGSIZE" : "EPROTO", error.message, error)
    this.onPeerEnd()
    this.socket.end()
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
