/**
 * What came in and waits for the user: a queue for each peer, taken in turn, message by message (fair queueing), and the
 * users who wait. Or, with `onmessage`, straight to the user.
 */
import { copyOf, sizeOf } from "./bytes.ts"
import type { Clock } from "./clock.ts"
import type { DropReason, Frame, Message, Pattern, Peer, PeerInfo } from "./contract.ts"
import { EarshotError } from "./errors.ts"
import { throwLater } from "./events.ts"
import type { Settings } from "./options.ts"
import type { Pipe } from "./pipe.ts"
import { Ring } from "./ring.ts"
import { signalOf, Waiters, type OptionNames, type WaitOptions } from "./waiters.ts"

/** A message and who sent it. */
export interface Received {
  /** Its frames. */
  readonly message: Frame[]
  /** Who sent it: live, also when it is gone. */
  readonly peer: PeerInfo
}

type ReceiveOptions = WaitOptions & { readonly withPeer?: boolean | undefined }
const NAMES: OptionNames<ReceiveOptions> = { signal: true, withPeer: true }

/** What a message that waits takes beside its bytes, and each frame of it after the first (measured, roughly). */
const MESSAGE_COST = 256
const PART_COST = 128

/** What `onmessage` is: called with every message and who sent it. What it returns is not waited for; what it throws is uncaught. */
export type MessageHandler = (message: Frame[], peer: PeerInfo) => unknown

export class Inbox {
  /** Users who wait; then nothing else does. */
  private readonly readers: Waiters<boolean, Frame[] | Received>
  private readonly active = new Ring<Pipe>()
  /** What messages of peers that are gone take, in bytes. */
  private left = 0
  /** Who came while that was too much: nothing is read from them until it is less. */
  private readonly kept = new Set<Pipe>()
  private readonly clock: Clock
  private readonly settings: Settings
  private readonly pattern: Pattern
  private handler: MessageHandler | undefined
  /** The user has said `pause()`. */
  private stopped = false
  private dispatching = false
  private closed = false
  private readonly gate: (() => boolean) | undefined

  constructor(clock: Clock, settings: Settings, pattern: Pattern) {
    this.clock = clock
    this.settings = settings
    this.pattern = pattern
    this.gate = pattern.mayTake?.bind(pattern)
    this.readers = new Waiters(clock)
  }

  get waiting(): boolean {
    return this.readers.length > 0
  }

  get onmessage(): MessageHandler | undefined {
    return this.handler
  }

  set onmessage(handler: MessageHandler | undefined) {
    if (handler !== undefined && this.readers.length > 0)
      throw new EarshotError("EBUSY", "onmessage beside a pending receive")
    if ((handler === undefined) !== (this.handler === undefined))
      handler === undefined ? this.clock.release() : this.clock.hold()
    this.handler = handler
    this.dispatch()
  }

  deliver(peer: Peer, message: Message): void {
    const pipe = peer as Pipe
    if (this.handler !== undefined && !this.stopped && !this.dispatching && this.gate?.() !== false)
      return this.invoke(this.handler, pipe, this.taken(pipe, message))
    const reader = this.readers.first
    if (reader !== undefined) {
      const taken = this.taken(pipe, message)
      return reader.settle(reader.item ? { message: taken as Frame[], peer: pipe } : (taken as Frame[]))
    }
    const { receiveHighWaterMark: mark, receiveHighWaterMarkBytes: markBytes, conflate } = this.settings
    if (conflate) return this.replace(pipe, message)
    const { inbox } = pipe
    inbox.push(message)
    if (message.length === 1) pipe.waitingBytes += message[0]!.length
    else this.count(pipe, message, 1)
    if (inbox.length === 1) this.active.push(pipe)
    if ((inbox.length >= mark && mark > 0) || (pipe.waitingBytes >= markBytes && markBytes > 0)) this.stop(pipe)
  }

  /** A peer has come. */
  arrived(pipe: Pipe): void {
    const { receiveHighWaterMarkBytes: markBytes } = this.settings
    if (this.left < markBytes || markBytes === 0) return
    this.kept.add(pipe)
    pipe.stop(true)
  }

  /**
   * A peer is gone for good, and what it sent stays for the user. Together such messages may take as much as those of one
   * peer, for whoever fills its queue and comes back under a new name could fill the memory.
   */
  departed(pipe: Pipe): void {
    this.kept.delete(pipe)
    if (pipe.inbox.length === 0) return
    pipe.left = pipe.waitingBytes + pipe.inbox.length * MESSAGE_COST + pipe.waitingParts * PART_COST
    this.left += pipe.left
  }

  /** The next message, from each peer in turn. */
  take(): Message | undefined {
    const pipe = this.active.peek()
    return pipe === undefined ? undefined : this.takeFrom(pipe)
  }

  receive(timeout: number, options: ReceiveOptions | undefined): Promise<Frame[] | Received> {
    if (this.handler !== undefined) return Promise.reject(new EarshotError("EBUSY", "receive beside onmessage"))
    const signal = signalOf(options, NAMES)
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    const withPeer = options?.withPeer === true
    const pipe = this.active.peek()
    if (pipe === undefined || this.readers.length > 0)
      return this.readers.wait(withPeer, timeout, this.settings.maxPending, signal)
    const message = this.takeFrom(pipe) as Frame[]
    return Promise.resolve(withPeer ? { message, peer: pipe } : message)
  }

  /** The user's own back pressure, for `onmessage`. */
  pause(): void {
    this.stopped = true
  }

  resume(): void {
    if (!this.stopped) return
    this.stopped = false
    this.dispatch()
  }

  /** The socket closes: whoever waits is told, what waits is dropped and counted. */
  close(error: EarshotError): void {
    if (this.handler !== undefined) this.clock.release()
    this.handler = undefined
    this.closed = true
    this.readers.failAll(error)
    this.discard("unread")
  }

  failReaders(error: Error): boolean {
    const waited = this.readers.length > 0
    this.readers.failAll(error)
    return waited
  }

  /** Drops what waits. */
  discard(reason: DropReason): void {
    for (const pipe of this.active.drain()) {
      const { length } = pipe.inbox
      const bytes = pipe.waitingBytes
      pipe.inbox.clear()
      pipe.waitingBytes = pipe.waitingParts = 0
      pipe.dropped(reason, length, bytes)
      // Once closed, what was not read stays so: nobody would take it.
      if (this.closed) continue
      if (pipe.left > 0) this.relieve(pipe)
      if (pipe.stopped) this.restart(pipe)
    }
  }

  private takeFrom(pipe: Pipe): Message {
    const { inbox } = pipe
    const message = inbox.shift()!
    if (message.length === 1) pipe.waitingBytes -= message[0]!.length
    else this.count(pipe, message, -1)
    if (inbox.length === 0) {
      this.active.shift()
      if (pipe.left > 0) this.relieve(pipe)
    } else if (this.active.length > 1) {
      this.active.shift()
      this.active.push(pipe)
    }
    if (pipe.stopped) this.restart(pipe)
    return this.taken(pipe, message)
  }

  /** Frames take memory even when they are empty: beyond the first of each message, as many may wait as one message may have. */
  private count(pipe: Pipe, message: Message, sign: 1 | -1): void {
    pipe.waitingBytes += sign * sizeOf(message)
    pipe.waitingParts += sign * (message.length - 1)
    if (pipe.waitingParts >= this.settings.maxMessageParts) this.stop(pipe)
  }

  /** The last message of a peer that is gone has been taken. */
  private relieve(pipe: Pipe): void {
    this.left -= pipe.left
    pipe.left = 0
    if (this.left > this.settings.receiveHighWaterMarkBytes / 2) return
    const kept = [...this.kept]
    this.kept.clear()
    for (const pipe of kept) pipe.stop(false)
  }

  private stop(pipe: Pipe): void {
    if (!pipe.stopped) pipe.stop(true)
  }

  /** Reading goes on once half has been taken. */
  private restart(pipe: Pipe): void {
    const { receiveHighWaterMark: mark, receiveHighWaterMarkBytes: markBytes } = this.settings
    if (mark > 0 && pipe.inbox.length > mark >> 1) return
    if (markBytes > 0 && pipe.inbox.length > 0 && pipe.waitingBytes > markBytes / 2) return
    if (pipe.waitingParts > this.settings.maxMessageParts / 2) return
    pipe.stop(false)
  }

  /** Only the newest waits: copied, since it may wait long and its chunk is larger. */
  private replace(pipe: Pipe, message: Message): void {
    const { inbox } = pipe
    const bytes = pipe.waitingBytes
    if (inbox.length === 0) this.active.push(pipe)
    else pipe.dropped("conflated", inbox.length, bytes)
    inbox.clear()
    inbox.push(message.map(copyOf))
    pipe.waitingBytes = sizeOf(message)
    pipe.waitingParts = message.length - 1
  }

  /** What waits goes to `onmessage`. */
  dispatch(): void {
    if (this.dispatching) return
    this.dispatching = true
    while (this.handler !== undefined && !this.stopped && this.gate?.() !== false) {
      const pipe = this.active.peek()
      if (pipe === undefined) break
      const message = this.takeFrom(pipe)
      this.invoke(this.handler, pipe, message)
    }
    this.dispatching = false
  }

  /** As the pattern gives it to the user. */
  private taken(pipe: Pipe, message: Message): Message {
    return this.pattern.onTake?.(pipe, message) ?? message
  }

  private invoke(handler: MessageHandler, pipe: Pipe, message: Message): void {
    try {
      handler(message as Frame[], pipe)
    } catch (error) {
      throwLater(this.clock, error)
    }
  }
}
