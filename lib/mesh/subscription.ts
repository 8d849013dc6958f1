/**
 * One subscription: a handler, or an iterator, and the bounded queue before it. It hands over one message at a time, in
 * order, or as many as `concurrency` says, and never pauses a link: what finds it full is dropped by its rule, and counted.
 */
import type { Clock } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import { Ring } from "../ring.ts"
import type { MeshDropReason } from "./events.ts"
import type { Interest } from "./interest.ts"
import type { MeshMessage } from "./message.ts"
import { checkNames, namesOf, timeoutOf, whole } from "./option-checks.ts"

/** How a subscription takes what comes. */
export interface SubscribeOptions {
  /** Share the messages with all others that name the same group: each goes to one of them. Default: none. */
  readonly queue?: string | undefined
  /** Messages handed to the handler before its first promise is done. Default 1. */
  readonly concurrency?: number | undefined
  /** In a queue group: messages that wait here before others are preferred. Default: as many as `concurrency`. */
  readonly prefetch?: number | undefined
  /** Messages that wait. Default 1,000. */
  readonly queueSize?: number | undefined
  /** Their bytes. Default 8 MiB. */
  readonly queueBytes?: number | undefined
  /** When that is full: drop what comes, drop the oldest, keep the newest of each subject, or end. Default `drop`. */
  readonly onFull?: "drop" | "drop-oldest" | "conflate" | "end" | undefined
  /** It answers requests, by `message.reply`. Default false. */
  readonly responds?: boolean | undefined
  /** Ends the subscription. */
  readonly signal?: AbortSignal | undefined
}

const NAMES = namesOf<SubscribeOptions>({
  queue: true,
  concurrency: true,
  prefetch: true,
  queueSize: true,
  queueBytes: true,
  onFull: true,
  responds: true,
  signal: true,
})
const RULES: ReadonlySet<unknown> = new Set<SubscribeOptions["onFull"]>(["drop", "drop-oldest", "conflate", "end"])

/** What a subscription calls with each message; a promise is waited for. */
export type SubscriptionHandler<Data = any> = (message: MeshMessage<Data>) => unknown

/** Counters of one subscription. */
export interface SubscriptionStats {
  /** What it asked for, wildcards and all. */
  readonly pattern: string
  /** Its queue group; undefined: none. */
  readonly queue: string | undefined
  /** Taken from the mesh, whatever became of them. */
  readonly received: number
  /** Handed over: to a handler that is done and did not throw, or to a loop. */
  readonly handled: number
  /** Handlers that threw. */
  readonly failed: number
  /** Messages that found it full, or waited when it ended. */
  readonly dropped: number
  /** Messages, and their bytes, that wait now. */
  readonly waiting: number
  readonly waitingBytes: number
  /** Handlers that run now. */
  readonly running: number
}

export interface SubscriptionOwner {
  readonly clock: Clock
  onThrow(subscription: Subscription, error: unknown, message: MeshMessage): void
  onDrop(subscription: Subscription, reason: MeshDropReason, message: MeshMessage): void
  /** It has become full, or free again, for its queue group. */
  onLoad(subscription: Subscription): void
  /** Its queue is full, or has room again. */
  onSlow(subscription: Subscription, full: boolean): void
  /** It gets nothing more. */
  onStop(subscription: Subscription): void
  /** Nothing of it waits or runs any more, or it was ended at once. */
  onClose(subscription: Subscription): void
  /** Resolves when every linked member has confirmed our interest. */
  confirmed(timeout: number): Promise<void>
}

/** What `mesh.subscribe` and `mesh.serve` give. With a handler it runs by itself; else it is iterated, once, and ends with the loop. */
export class Subscription<Data = any> implements AsyncIterable<MeshMessage<Data>>, Interest {
  /** What it asked for, wildcards and all. */
  readonly pattern: string
  readonly queue: string | undefined
  readonly responds: boolean
  private readonly owner: SubscriptionOwner
  private readonly options: SubscribeOptions
  private readonly handler: SubscriptionHandler<Data> | undefined
  private readonly concurrency: number
  private readonly prefetch: number
  private readonly queueSize: number
  private readonly queueBytes: number
  private readonly waiting = new Ring<MeshMessage<Data>>()
  private waitingBytes = 0
  private readonly readers = new Ring<(result: IteratorResult<MeshMessage<Data>, undefined>) => void>()
  private running = 0
  private received = 0
  private handled = 0
  private failed = 0
  private dropped = 0
  private ended = false
  private drained: Promise<void> | undefined
  private resolve: (() => void) | undefined
  private signal: AbortSignal | undefined
  private pumping = false
  private slow = false
  private busy = false

  /** @internal */
  constructor(
    owner: SubscriptionOwner,
    pattern: string,
    options: SubscribeOptions,
    handler: SubscriptionHandler<Data> | undefined,
  ) {
    checkNames(options, NAMES, "subscribe")
    this.owner = owner
    this.pattern = pattern
    this.options = options
    this.handler = handler
    this.queue = options.queue
    this.responds = options.responds === true
    this.concurrency = whole("concurrency", options.concurrency ?? 1, 1)
    this.prefetch = whole("prefetch", options.prefetch ?? this.concurrency, 0)
    this.queueSize = whole("queueSize", options.queueSize ?? 1000, 1)
    this.queueBytes = whole("queueBytes", options.queueBytes ?? 8 * 1024 * 1024, 1)
    if (!RULES.has(options.onFull ?? "drop"))
      throw new EarshotError("EINVAL", `onFull is one of ${[...RULES].join(", ")}`)
  }

  /** It gets nothing more: unsubscribed, drained, ended by its signal, or the mesh is closed. */
  get closed(): boolean {
    return this.ended
  }

  /** For a queue group: as many wait as it wants to have waiting. */
  get full(): boolean {
    return this.ended || this.drained !== undefined || (this.occupied && this.waiting.length >= this.prefetch)
  }

  /** Another message would wait. Whoever iterates is at work until the next one is asked for. */
  private get occupied(): boolean {
    return this.handler === undefined ? this.readers.length === 0 : this.running >= this.concurrency
  }

  /** There is no room at all: a request is refused rather than dropped. */
  get packed(): boolean {
    return this.ended || this.waiting.length >= this.queueSize || this.waitingBytes >= this.queueBytes
  }

  stats(): SubscriptionStats {
    const { pattern, queue, received, handled, failed, dropped, waitingBytes, running } = this
    return { pattern, queue, received, handled, failed, dropped, waiting: this.waiting.length, waitingBytes, running }
  }

  /** Resolves when every linked member has confirmed this interest. Rejects TIMEOUT after `timeout` ms (default 10 s), EBADF when the mesh is closed. Throws EINVAL. */
  ready(options: { readonly timeout?: number } = {}): Promise<void> {
    return this.owner.confirmed(timeoutOf(options, "ready"))
  }

  /** Ends it now; what waits is dropped and counted. Idempotent. */
  unsubscribe(): void {
    if (this.ended) return
    this.ended = true
    if (this.drained === undefined) this.owner.onStop(this)
    for (const message of this.waiting.drain()) this.drop("closed", message)
    this.waitingBytes = 0
    this.finish()
  }

  /** Takes nothing more and resolves when what waits has been handled, or was dropped by `unsubscribe` or the mesh's end. */
  drain(): Promise<void> {
    if (this.drained !== undefined) return this.drained
    if (this.ended) return Promise.resolve()
    this.drained = new Promise((resolve) => (this.resolve = resolve))
    this.owner.onStop(this)
    this.settle()
    return this.drained
  }

  /** @internal */
  endWith(signal: AbortSignal | undefined): void {
    this.signal = signal
    signal?.addEventListener("abort", this.abort)
  }

  /** @internal Takes a message. */
  deliver(message: MeshMessage<Data>): void {
    if (this.ended) return
    this.received++
    if (this.handler !== undefined && this.running < this.concurrency && this.waiting.length === 0) {
      this.run(message)
      if (this.queue !== undefined) this.load()
      return
    }
    const reader = this.readers.shift()
    if (reader !== undefined) {
      this.handled++
      if (this.queue !== undefined) this.load()
      return reader({ value: message, done: false })
    }
    this.enqueue(message)
    if (this.queue !== undefined) this.load()
  }

  [Symbol.asyncIterator](): AsyncIterator<MeshMessage<Data>, undefined> {
    if (this.handler !== undefined) throw new EarshotError("EBUSY", "this subscription has a handler")
    return {
      next: () => this.next(),
      return: () => {
        this.unsubscribe()
        return Promise.resolve({ value: undefined, done: true })
      },
    }
  }

  private readonly abort = (): void => this.unsubscribe()

  private next(): Promise<IteratorResult<MeshMessage<Data>, undefined>> {
    const message = this.take()
    if (message !== undefined) {
      this.handled++
      if (this.queue !== undefined) this.load()
      return Promise.resolve({ value: message, done: false })
    }
    if (this.ended) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve) => {
      this.readers.push(resolve)
      if (this.queue !== undefined) this.load()
    })
  }

  private run(message: MeshMessage<Data>): void {
    this.running++
    try {
      const result: unknown = this.handler!(message)
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === "function")
        return void Promise.resolve(result).then(this.done, (error: unknown) => {
          this.threw(error, message)
          this.done(undefined, 0)
        })
      this.handled++
    } catch (error) {
      this.threw(error, message)
    }
    this.running--
    this.settle()
  }

  private readonly done = (_result?: unknown, handled = 1): void => {
    this.running--
    this.handled += handled
    this.pump()
    if (this.queue !== undefined) this.load()
  }

  /** Hands over what waits, while it may. A handler that ends at once must not make this recurse. */
  private pump(): void {
    if (this.pumping) return
    this.pumping = true
    while (this.running < this.concurrency) {
      const message = this.take()
      if (message === undefined) break
      this.run(message)
    }
    this.pumping = false
    this.settle()
  }

  private take(): MeshMessage<Data> | undefined {
    const message = this.waiting.shift()
    if (message === undefined) return undefined
    this.waitingBytes -= message.raw.length
    if (this.slow && this.waiting.length <= this.queueSize / 2 && this.waitingBytes <= this.queueBytes / 2) {
      this.slow = false
      this.owner.onSlow(this, false)
    }
    if (this.handler === undefined) this.settle()
    return message
  }

  private enqueue(message: MeshMessage<Data>): void {
    const size = message.raw.length
    const { onFull = "drop" } = this.options
    if (onFull === "conflate") this.replaceOlder(message.subject)
    while (
      this.waiting.length >= this.queueSize ||
      (this.waiting.length > 0 && this.waitingBytes + size > this.queueBytes)
    ) {
      if (!this.slow) {
        this.slow = true
        this.owner.onSlow(this, true)
      }
      if (onFull === "drop") return this.drop("full", message)
      if (onFull === "end") {
        this.drop("full", message)
        return this.unsubscribe()
      }
      const oldest = this.waiting.shift()!
      this.waitingBytes -= oldest.raw.length
      this.drop("full", oldest)
    }
    this.waiting.push(message)
    this.waitingBytes += size
  }

  private replaceOlder(subject: string): void {
    const older = this.waiting.toArray().find((each) => each.subject === subject)
    if (older === undefined) return
    this.waiting.remove(older)
    this.waitingBytes -= older.raw.length
    this.drop("conflated", older)
  }

  private drop(reason: MeshDropReason, message: MeshMessage): void {
    this.dropped++
    this.owner.onDrop(this, reason, message)
  }

  private threw(error: unknown, message: MeshMessage): void {
    this.failed++
    this.owner.onThrow(this, error, message)
  }

  /** Tells the group when it has become full, or free. */
  private load(): void {
    const { full } = this
    if (full === this.busy) return
    this.busy = full
    this.owner.onLoad(this)
  }

  private settle(): void {
    if (this.drained === undefined || this.ended || this.waiting.length > 0 || this.running > 0) return
    this.ended = true
    this.finish()
  }

  private finish(): void {
    this.owner.onClose(this)
    this.signal?.removeEventListener("abort", this.abort)
    for (const reader of this.readers.drain()) reader({ value: undefined, done: true })
    this.resolve?.()
  }
}
