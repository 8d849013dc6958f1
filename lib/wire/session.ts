/**
 * A link's life: greeting, handshake, traffic, end. Link + codec + handshake + heartbeat, and the one write per turn.
 * It knows no pattern: what arrives goes to its owner, what the owner sends goes into the codec and leaves when the turn
 * ends, or earlier when a slab is full. It takes messages only while the link does (`writable`).
 */
import { EMPTY } from "../bytes.ts"
import type { Timer } from "../clock.ts"
import type { Codec, Greeting, Link, LinkSink, Message, SocketType } from "../contract.ts"
import { EarshotError, wrap } from "../errors.ts"
import { Beat } from "./beat.ts"
import type { DecoderLimits } from "./decoder.ts"
import { Handshake, type HandshakeOptions, type Introduction } from "./handshake.ts"
import { Heartbeat } from "./heartbeat.ts"
import { PackedMetadata } from "./metadata.ts"
import { refusal, refusalBody, UNAUTHORIZED } from "./null.ts"
import { pingBody, Probes } from "./probes.ts"
import type { SessionOptions, SessionOwner } from "./session-owner.ts"
import { Unconfirmed } from "./unconfirmed.ts"
import { ZmtpCodec } from "./zmtp.ts"
import { ZwsCodec } from "./zws.ts"

export { announce, MAX_TOKEN } from "./announcement.ts"
export type { Introduction, Judge } from "./handshake.ts"
export type { HeartbeatOptions } from "./heartbeat.ts"
export type { SessionOptions, SessionOwner } from "./session-owner.ts"
export { UNAUTHORIZED } from "./null.ts"

/** Commands that pile up behind a link that takes nothing: more than this and PINGs are no longer answered. */
const COMMAND_BACKLOG = 65_536
const MAX_CONTEXT = 16
/** At most so many bytes, or one message, are written and not known to have left. */
const MAX_UNCONFIRMED = 262_144
/** A chunk from a stranger. */
const MAX_EARLY = 65_536
/** What a plain end means before traffic. */
const TOO_EARLY: Record<string, string | undefined> = {
  greeting: "the peer closed while greeting, as libzmq does when it uses another security mechanism",
  handshake: "the peer closed during the handshake",
}

export class Session implements LinkSink {
  readonly link: Link
  /** The handshake is done and the link lives and takes more. */
  writable = false
  type: SocketType | undefined
  routingId: Uint8Array = EMPTY
  /** What the peer announced, but for its token. */
  announced: PackedMetadata | undefined
  userId: string | undefined
  /** The peer is an Earshot socket. */
  earshot: boolean = false
  /** The largest message that the peer says it takes. */
  peerMax: number = Infinity
  readonly unconfirmed: Unconfirmed = new Unconfirmed()
  /** There was a complete handshake. */
  established = false
  ignoredCommands = 0
  private readonly owner: SessionOwner
  private readonly options: SessionOptions
  readonly codec: Codec
  /** The codec's: no message before the handshake is done. */
  private readonly limits: DecoderLimits
  /** Let go of once it is done, with all that was said in it. */
  private handshake: Handshake | undefined
  /** Of the protocol that the peer speaks: 0 knows no PING. */
  private minor = 1
  private state: "greeting" | "handshake" | "traffic" | "closed" = "greeting"
  private heartbeat: Heartbeat | undefined
  private probes: Probes | undefined
  private deadline: Timer | undefined
  private unflushed = 0
  private blocked = false
  private scheduled = false
  private linkPaused = false
  private readyFlushed = false
  /** Reading is paused for the judge, and for nobody else. */
  private withheld = false
  /** Why we end it: `onClose` of the link knows only that it ended. */
  private reason: EarshotError | undefined

  constructor(link: Link, owner: SessionOwner, options: SessionOptions, shaking: HandshakeOptions) {
    this.link = link
    this.owner = owner
    this.options = options
    this.handshake = new Handshake(this, shaking)
    this.limits = { maxMessageSize: -1, maxMessageParts: options.maxMessageParts }
    this.codec =
      link.protocol === "zmtp"
        ? new ZmtpCodec(this, this.limits)
        : new ZwsCodec(this, this.limits, link.protocol === "zws-bare")
    this.deadline = options.clock.timeout(() => {
      this.end(new EarshotError("ETIMEDOUT", "the handshake took too long"))
    }, options.handshakeInterval)
    const { name, asServer } = this.handshake.mechanism
    this.codec.greet(name, asServer)
    // Never wait for the peer's greeting: libzmq waits for ours. ZWS has none.
    if (this.codec.pending > 0) this.flush()
    link.start(this)
  }

  get ready(): boolean {
    return this.state === "traffic"
  }

  get closed(): boolean {
    return this.state === "closed"
  }

  get lastHeard(): number | undefined {
    return this.heartbeat?.lastHeard
  }

  /** Only while `writable`. */
  send(message: Message): void {
    this.codec.message(message)
    if (++this.unflushed >= this.options.batch || this.codec.due) this.flush()
    else if (!this.scheduled) this.schedule()
  }

  /** Before a large message: what is encoded goes first if the two would be too much unconfirmed. False: not now. */
  clear(size: number): boolean {
    const { pending } = this.codec
    if (pending > 0 && pending + size > MAX_UNCONFIRMED) this.flush()
    return this.writable
  }

  command(name: string, body: Uint8Array): void {
    if (this.state === "closed") return
    this.codec.command(name, body)
    if (!this.blocked && this.codec.due) this.flush()
    else this.schedule()
  }

  /**
   * Calls back when the peer has dealt with all that was sent before; at once where nothing answers. `exact` is false
   * where the answer is only soft: a peer that is no Earshot socket. `timeToLive`: what the PING asks of the peer, in ms.
   */
  probe(timeout: number, done: (exact: boolean, answered: boolean) => void, timeToLive = 0): void {
    if (this.state !== "traffic" || this.minor === 0) return done(false, false)
    this.probes ??= new Probes(this.options.clock)
    const context = this.probes.add(timeout, (answered) => done(answered && this.earshot, answered))
    this.command("PING", pingBody(timeToLive, context))
  }

  pauseReading(): void {
    this.withheld = false
    this.codec.pause()
    if (this.minor > 0) this.heartbeat?.rest()
  }

  resumeReading(): void {
    if (this.codec.paused) this.heartbeat?.pardon()
    try {
      this.codec.resume()
    } catch (error) {
      return this.fail(error)
    }
    if (this.linkPaused && !this.codec.paused) {
      this.linkPaused = false
      this.link.resume()
    }
  }

  get partial(): boolean {
    return this.codec.partial
  }

  get readingPaused(): boolean {
    return this.codec.paused
  }

  /** What was sent and never given to the link, in order. Once closed. */
  takeBack(): Message[] {
    return this.unflushed > 0 ? this.codec.takeBack() : []
  }

  /** Flushes and ends in good order. */
  close(): void {
    if (this.state === "closed") return
    if (!this.blocked && this.codec.pending > 0) this.flush()
    this.link.close()
  }

  /** Ends it at once; `error` says why. */
  end(error?: EarshotError): void {
    this.reason ??= error
    this.link.destroy(error)
    this.onClose(error)
  }

  onData(chunk: Uint8Array): void {
    if (this.state === "closed") return
    if (this.state !== "traffic" && chunk.length > MAX_EARLY)
      return this.fail(new EarshotError("EPROTO", "too much at once before the handshake was done"))
    this.heartbeat?.heard(chunk.length)
    this.options.active?.()
    // One chunk beyond a pause is held, so that a reader who catches up within the turn costs no system call.
    if (this.codec.paused && !this.linkPaused) {
      this.linkPaused = true
      this.link.pause()
    }
    try {
      this.codec.receive(chunk)
    } catch (error) {
      this.fail(error)
    }
  }

  room(): Uint8Array | undefined {
    return this.state === "traffic" ? this.codec.room?.() : undefined
  }

  onAlive(): void {
    this.heartbeat?.heard(0)
  }

  onDoubt(ms: number): void {
    // Who answers no PING can't show that it is there.
    if (this.minor > 0) this.heartbeat?.doubt(ms)
  }

  onDrain(): void {
    if (this.state === "closed") return
    this.block(false)
    this.unconfirmed.settle(0)
    this.heartbeat?.pardon()
    if (this.codec.pending > 0) this.flush()
    else this.codec.release(!this.link.shares)
    if (this.blocked || this.state !== "traffic") return
    this.writable = true
    this.owner.onDrain()
  }

  onClose(error?: Error): void {
    this.writable = false
    // What came before the end and waits behind a pause is no less received.
    try {
      if (this.state === "traffic") this.codec.finish()
    } catch (cause) {
      this.reason ??= wrap(cause, "EPROTO")
    }
    this.over(error)
  }

  private over(error: Error | undefined): void {
    if (this.state === "closed") return
    const early = TOO_EARLY[this.state]
    // Blocked, it may have swallowed the last flush and not said so.
    this.unconfirmed.settle(Math.max(this.link.unconfirmed, this.blocked ? 1 : 0))
    this.state = "closed"
    this.writable = false
    this.block(false)
    this.deadline?.cancel()
    this.heartbeat?.stop()
    this.probes?.stop()
    const reason = this.reason ?? (error === undefined ? undefined : wrap(error, "ECONNRESET"))
    this.owner.onClose(this, reason ?? (early === undefined ? undefined : new EarshotError("ECONNRESET", early)))
  }

  onGreeting(greeting: Greeting): void {
    this.state = "handshake"
    this.minor = greeting.minor
    this.handshake?.greeted(greeting)
  }

  onMessage(message: Message, size: number): void {
    if (this.state === "traffic") return this.owner.onMessage(message, size)
  }

  onCommand(name: string, body: Uint8Array): void {
    if (this.state === "handshake") return this.handshake?.received(name, body)
    if (this.state !== "traffic") return
    if (name === "PING") return this.pinged(body)
    if (name === "PONG") return this.probes?.answer(body)
    if (name === "ERROR") throw refusal(body)
    this.owner.onCommand(name, body)
  }

  judging(): void {
    this.codec.pause()
    this.withheld = true
  }

  failed(error: unknown): void {
    if (this.state !== "closed") this.fail(error)
  }

  passed(peer: Introduction): void {
    if (this.state !== "handshake") return
    const { options, link } = this
    this.announced = new PackedMetadata(peer.metadata)
    this.type = peer.type
    this.routingId = peer.routingId
    this.userId = peer.userId ?? link.identity?.userId
    this.earshot = peer.earshot
    this.peerMax = peer.max
    this.state = "traffic"
    this.established = true
    this.limits.maxMessageSize = options.maxMessageSize
    this.deadline?.cancel()
    this.handshake = this.deadline = undefined
    link.admit?.()
    const wanted = options.heartbeat(this.earshot)
    // A 3.0 peer knows no PING, so its silence proves nothing; nor does libzmq's over bare ZWS.
    const answers = this.minor > 0 || (link.protocol === "zws" && link.ping !== undefined)
    this.heartbeat = new Heartbeat(
      options.clock,
      new Beat(this),
      answers ? wanted : { ...wanted, interval: 0, timeout: 0 },
    )
    this.writable = !this.blocked
    this.owner.onReady(this)
    if (this.withheld) this.resumeReading()
  }

  private pinged(body: Uint8Array): void {
    if (body.length < 2) throw new EarshotError("EPROTO", "a PING without time-to-live")
    this.heartbeat?.ask((body[0]! * 256 + body[1]!) * 100)
    // A peer that asks and never reads would have us gather answers without end.
    if (this.blocked && this.codec.pending > COMMAND_BACKLOG) this.ignoredCommands++
    else this.command("PONG", body.subarray(2, 2 + MAX_CONTEXT))
  }

  private fail(error: unknown): void {
    const reason = wrap(error, "EPROTO")
    // RFC 37 wants a reason for the peer. libzmq never reconnects after an ERROR (WIRE 0.9), nor after the mismatch it
    // would find by itself; it is sent only while our READY is not out, for in traffic it means nothing.
    if (this.state === "handshake" && (reason.code === "INCOMPATIBLE" || this.handshake?.refused)) {
      if (!this.readyFlushed) {
        this.codec.takeBack()
        this.codec.command("ERROR", refusalBody(this.handshake?.refused ? UNAUTHORIZED : reason.message))
      }
      this.reason = reason
      // Not destroyed: the peer is to learn of it too, from our READY or from the ERROR.
      if (this.codec.pending > 0) this.flush()
      this.link.close()
    } else this.link.destroy(reason)
    this.over(reason)
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    const { clock } = this.options
    // At most two writes a turn: what the callback that runs now has sent leaves when it is done, which saves a request
    // and its reply some 2 us; what others send later in the turn leaves together, at its end.
    clock.soon?.(this.flushPending)
    clock.immediate(this.turn)
  }

  private readonly turn = (): void => {
    this.scheduled = false
    this.flushPending()
  }

  private readonly flushPending = (): void => {
    if (!this.blocked && this.state !== "closed" && this.codec.pending > 0) this.flush()
  }

  private flush(): void {
    if (this.state === "handshake" || this.state === "traffic") this.readyFlushed = true
    const { pending } = this.codec
    this.options.active?.()
    const messages = this.unflushed
    this.unflushed = 0
    const { link } = this
    const more = link.write(this.codec.flush())
    const left = link.unconfirmed
    if (!more || left > 0) this.unconfirmed.add(messages, pending, left)
    if (more) return this.codec.release(!link.shares)
    this.block(true)
    this.writable = false
  }

  /** The link takes nothing: what it holds keeps the process alive. */
  private block(on: boolean): void {
    if (this.blocked === on) return
    this.blocked = on
    if (on) this.options.clock.hold()
    else this.options.clock.release()
  }
}
