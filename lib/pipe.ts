/**
 * One remote socket: the queue towards it, the queue of what came from it, and at most one live session between them.
 * It may exist before the first handshake and outlive a session (a connecting side without `immediate`).
 *
 *   send -> [queue, un-encoded, up to the high-water mark] -> session (while it takes) -> link
 *   link -> session -> pattern -> inbox [waiting for the user, up to the high-water mark; then reading pauses]
 */
import { EMPTY, asFrame, sizeOf } from "./bytes.ts"
import type { Frame, DropReason, Message, Metadata, Pattern, Peer, PeerInfo, SocketType } from "./contract.ts"
import { EarshotError } from "./errors.ts"
import type { DropTallies, Losses } from "./losses.ts"
import type { Settings } from "./options.ts"
import { Ring } from "./ring.ts"
import type { Session, SessionOwner } from "./wire/session.ts"

/** What a pipe needs of its socket. */
export interface PipeHost {
  readonly pattern: Pattern
  readonly settings: Settings
  readonly losses: Losses
  /** The pipe's handshake is done. */
  pipeOnline(pipe: Pipe): void
  /** Its session has ended: after its handshake (`session.established`) or before. */
  pipeOffline(pipe: Pipe, session: Session, error: EarshotError | undefined): void
  /** Unsent messages wait (or no longer) in this pipe: they keep the process alive. */
  pipeWaiting(waiting: boolean): void
}

/** The endpoint behind a pipe. */
export interface PipeOwner {
  online(pipe: Pipe): void
  offline(pipe: Pipe, session: Session, error: EarshotError | undefined): void
}

/** At most 256 KiB, or one message, is unconfirmed: what a session gathers before it writes, and this. Larger ones ask it first. */
const LARGE = 56 * 1024

export class Pipe implements Peer, PeerInfo, SessionOwner {
  readonly address: string
  readonly dialled: boolean
  /** It outlives its sessions. */
  readonly lasting: boolean
  readonly owner: PipeOwner
  session: Session | undefined
  /** The pattern knows it. */
  attached = false
  /** The user knows it: `peer:join` has been, `peer:leave` will be. */
  joined = false
  type: SocketType | undefined
  routingId: Frame = EMPTY as Frame
  userId: string | undefined
  /** On its way out: see lib/linger. */
  finishing = false
  /** While finishing: nothing waits any more; the session has ended. */
  onIdle: (() => void) | undefined
  onGone: (() => void) | undefined

  sent = 0
  sentBytes = 0
  received = 0
  receivedBytes = 0
  /** Written when a link died and not accepted by the system: may or may not have arrived. */
  unsure = 0
  unsureBytes = 0
  readonly drops: DropTallies = {}

  /** Messages from it that wait for the user. The inbox fills and empties it. */
  readonly inbox: Ring<Message> = new Ring()
  waitingBytes = 0
  /** Their frames beyond the first of each. */
  waitingParts = 0
  /** It is gone for good: what they take, in bytes. */
  left = 0
  /** The inbox is full: nothing is read from it. */
  stopped = false
  /** The pattern wants nothing read from it. */
  private held = false
  private announced: Session["announced"]

  private readonly host: PipeHost
  private readonly queue = new Ring<Message>()
  queuedBytes = 0
  private refused = false
  private readonly conflate: boolean
  private readonly mark: number
  private readonly markBytes: number
  private readonly lowMark: number

  constructor(host: PipeHost, owner: PipeOwner, address: string, kind: { dialled: boolean; lasting: boolean }) {
    this.host = host
    this.owner = owner
    this.address = address
    this.dialled = kind.dialled
    this.lasting = kind.lasting
    const { sendHighWaterMark, sendHighWaterMarkBytes, conflate } = host.settings
    this.conflate = conflate
    this.mark = sendHighWaterMark || Infinity
    this.markBytes = sendHighWaterMarkBytes || Infinity
    this.lowMark = Math.floor(this.mark / 2)
  }

  get online(): boolean {
    return this.session?.ready === true
  }
  get queued(): number {
    return this.queue.length
  }
  get waiting(): number {
    return this.inbox.length
  }
  get unconfirmed(): number {
    return this.session?.link.unconfirmed ?? 0
  }
  get lastHeard(): number | undefined {
    return this.session?.lastHeard
  }

  get metadata(): Metadata {
    return this.announced?.all ?? new Map()
  }

  send(message: Message): boolean {
    const session = this.session
    if (session !== undefined && session.writable && this.queue.length === 0) {
      const size = message.length === 1 ? message[0]!.length : sizeOf(message)
      if (size > session.peerMax) throw tooLarge(size, session.peerMax)
      if (size <= LARGE || session.clear(size)) {
        this.sent++
        this.sentBytes += size
        session.send(message)
        return true
      }
    }
    return this.enqueue(message)
  }

  greet(message: Message): void {
    this.queue.unshift(message)
    this.queuedBytes += sizeOf(message)
    if (this.queue.length === 1) this.host.pipeWaiting(true)
  }

  hasRoom(size: number): boolean {
    if (this.conflate) return true
    if (!this.refused) {
      const { length } = this.queue
      if (length < this.mark && (length === 0 || this.queuedBytes + size <= this.markBytes)) return true
      this.refused = true
    }
    return false
  }

  unsent(): readonly Message[] {
    return this.queue.toArray()
  }

  recall(message: Message): boolean {
    const { queue } = this
    if (queue.length === 0 || !queue.remove(message)) return false
    this.queuedBytes -= sizeOf(message)
    if (queue.length === 0) this.host.pipeWaiting(false)
    this.tellRoom()
    return true
  }

  command(name: string, body: Uint8Array): void {
    if (this.session?.ready === true) this.session.command(name, body)
  }

  hold(on: boolean): void {
    this.held = on
    if (on) this.session?.pauseReading()
    else if (!this.stopped) this.session?.resumeReading()
  }

  named(routingId: Uint8Array): void {
    this.routingId = asFrame(routingId) as Frame
  }

  close(error?: EarshotError): void {
    this.session?.end(error)
  }

  /** The inbox is full (or has room again): reading pauses. */
  stop(on: boolean): void {
    this.stopped = on
    if (on) this.session?.pauseReading()
    else if (!this.held) this.session?.resumeReading()
  }

  dropped(reason: DropReason, count: number, bytes: number): void {
    this.host.losses.note(this, this.drops, reason, count, bytes)
  }

  /** A new link for it: the handshake runs. */
  begin(session: Session): void {
    this.session = session
    this.held = false
  }

  /** Takes, whatever the marks say, what another left unsent. */
  inherit(message: Message): void {
    this.queue.push(message)
    this.queuedBytes += sizeOf(message)
    if (this.queue.length === 1) this.host.pipeWaiting(true)
  }

  /** All that waits unsent, in order; the queue is empty afterwards. */
  takeUnsent(): Message[] {
    const unsent = this.queue.drain()
    if (unsent.length > 0) this.host.pipeWaiting(false)
    this.queuedBytes = 0
    return unsent
  }

  onReady(session: Session): void {
    this.type = session.type
    this.announced = session.announced
    this.routingId = session.routingId as Frame
    this.userId = session.userId
    if (this.stopped) session.pauseReading()
    this.host.pipeOnline(this)
    if (this.session === session && !session.closed) this.onDrain()
  }

  onMessage(message: Message, size: number): void {
    this.received++
    this.receivedBytes += size
    if (this.finishing) return this.dropped("unread", 1, size)
    this.host.pattern.onMessage(this, message)
  }

  onCommand(name: string, body: Uint8Array): void {
    if (!this.finishing) this.host.pattern.onCommand?.(this, name, body)
  }

  onDrain(): void {
    const session = this.session!
    const { queue } = this
    if (queue.length > 0) {
      while (session.writable && queue.length > 0) {
        const size = sizeOf(queue.peek()!)
        if (size > LARGE && !session.clear(size)) break
        this.sendQueued(session, queue.shift()!, size)
      }
      if (queue.length === 0) this.host.pipeWaiting(false)
    }
    this.tellRoom()
    if (queue.length === 0) this.onIdle?.()
  }

  onClose(session: Session, error?: EarshotError): void {
    this.unsure += session.unconfirmed.messages
    this.unsureBytes += session.unconfirmed.bytes
    // Encoded and never given to the link: first in line for the next one.
    const back = session.takeBack()
    if (back.length > 0 && this.queue.length === 0) this.host.pipeWaiting(true)
    for (let i = back.length - 1; i >= 0; i--) {
      const size = sizeOf(back[i]!)
      this.queue.unshift(back[i]!)
      this.queuedBytes += size
      this.sent--
      this.sentBytes -= size
    }
    if (this.session === session) this.session = undefined
    this.host.pipeOffline(this, session, error)
  }

  /** Senders that were refused go on once half of what waited has gone (libzmq's low-water mark). */
  private tellRoom(): void {
    if (!this.refused || this.queue.length > this.lowMark || this.queuedBytes > this.markBytes / 2) return
    this.refused = false
    if (this.attached) this.host.pattern.onWritable?.(this)
  }

  private enqueue(message: Message): boolean {
    const { queue } = this
    const size = sizeOf(message)
    const max = this.session?.peerMax ?? Infinity
    if (size > max) throw tooLarge(size, max)
    if (!this.hasRoom(size)) return false
    const old = this.conflate ? queue.shift() : undefined
    queue.push(message)
    this.queuedBytes += size
    if (old !== undefined) {
      this.queuedBytes -= sizeOf(old)
      this.dropped("conflated", 1, sizeOf(old))
    } else if (queue.length === 1) this.host.pipeWaiting(true)
    return true
  }

  private sendQueued(session: Session, message: Message, size: number): void {
    this.queuedBytes -= size
    // Queued before the peer said how much it takes.
    if (size > session.peerMax) return this.dropped("too-large", 1, size)
    this.sent++
    this.sentBytes += size
    session.send(message)
  }
}

function tooLarge(size: number, max: number): EarshotError {
  return new EarshotError("EMSGSIZE", `a message of ${size} bytes; the peer takes ${max}`)
}
