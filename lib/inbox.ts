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
import { Waiters, type WaitOptions } from "./waiters.ts"

/** A message and who sent it. */
export interface Received {
  readonly message: Frame[]
  readonly peer: PeerInfo
}

export type MessageHandler = (message: Frame[], peer: PeerInfo) => unknown

export class Inbox {
  /** Users who wait; then nothing else does. */
  private readonly readers: Waiters<boolean, Frame[] | Received>
  private readonly active = new Ring<Pipe>()
  private readonly clock: Clock
  private readonly settings: Settings
  private readonly pattern: Pattern
  private handler: MessageHandler | undefined
  /** The user has said `pause()`. */
  private stopped = false
  private dispatching = false
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
    if (this.handler !== undefined && !this.stopped && !this.dispatching && (this.gate === undefined || this.gate()))
      return this.call(this.handler, pipe, message)
    const reader = this.readers.first
    if (reader !== undefined) {
      const taken = this.pattern.onTake === undefined ? message : this.pattern.onTake(pipe, message)
      return reader.settle(reader.item ? { message: taken as Frame[], peer: pipe } : (taken as Frame[]))
    }
    const { receiveHighWaterMark: mark, receiveHighWaterMarkBytes: markBytes, conflate } = this.settings
    if (conflate) return this.replace(pipe, message)
    const { inbox } = pipe
    inbox.push(message)
    pipe.waitingBytes += message.length === 1 ? message[0]!.length : sizeOf(message)
    if (inbox.length === 1) this.active.push(pipe)
    if ((inbox.length >= mark && mark > 0) || (pipe.waitingBytes >= markBytes && markBytes > 0)) this.stop(pipe)
  }

  /** The next message, from each peer in turn. */
  take(): Message | undefined {
    const pipe = this.active.peek()
    return pipe === undefined ? undefined : this.takeFrom(pipe)
  }

  receive(
    timeout: number,
    options: (WaitOptions & { withPeer?: boolean | undefined }) | undefined,
  ): Promise<Frame[] | Received> {
    if (this.handler !== undefined) return Promise.reject(new EarshotError("EBUSY", "receive beside onmessage"))
    const signal = options?.signal
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
      pipe.waitingBytes = 0
      pipe.dropped(reason, length, bytes)
      if (pipe.stopped) this.restart(pipe)
    }
  }

  private takeFrom(pipe: Pipe): Message {
    const { inbox } = pipe
    const message = inbox.shift()!
    pipe.waitingBytes -= message.length === 1 ? message[0]!.length : sizeOf(message)
    if (inbox.length === 0) this.active.shift()
    else if (this.active.length > 1) {
      this.active.shift()
      this.active.push(pipe)
    }
    if (pipe.stopped) this.restart(pipe)
    return this.pattern.onTake === undefined ? message : this.pattern.onTake(pipe, message)
  }

  private stop(pipe: Pipe): void {
    if (!pipe.stopped) pipe.stop(true)
  }

  /** Reading goes on once half has been taken. */
  private restart(pipe: Pipe): void {
    const { receiveHighWaterMark: mark, receiveHighWaterMarkBytes: markBytes } = this.settings
    if (mark > 0 && pipe.inbox.length > mark >> 1) return
    if (markBytes > 0 && pipe.inbox.length > 0 && pipe.waitingBytes > markBytes / 2) return
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
  }

  /** What waits goes to `onmessage`. */
  dispatch(): void {
    if (this.dispatching) return
    this.dispatching = true
    while (this.handler !== undefined && !this.stopped && (this.gate === undefined || this.gate())) {
      const pipe = this.active.peek()
      if (pipe === undefined) break
      const message = this.takeFrom(pipe)
      this.invoke(this.handler, pipe, message)
    }
    this.dispatching = false
  }

  private call(handler: MessageHandler, pipe: Pipe, message: Message): void {
    this.dispatching = true
    this.invoke(handler, pipe, this.pattern.onTake === undefined ? message : this.pattern.onTake(pipe, message))
    this.dispatching = false
    // The handler may have made room for what waits: a Reply that replied, a resume().
    if (this.active.length > 0) this.dispatch()
  }

  private invoke(handler: MessageHandler, pipe: Pipe, message: Message): void {
    try {
      handler(message as Frame[], pipe)
    } catch (error) {
      throwLater(this.clock, error)
    }
  }
}
