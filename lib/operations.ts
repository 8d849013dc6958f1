/** Sending and receiving at the user's edge: where synchronous calls become promises and iterators. */
import type { Frame } from "./contract.ts"
import type { Core } from "./core.ts"
import { EarshotError } from "./errors.ts"
import type { Received } from "./inbox.ts"
import { toMessage, type MessageLike } from "./message.ts"
import type { ReceiveCallOptions } from "./socket.ts"
import { signalOf, type WaitOptions } from "./waiters.ts"

export function trySend(core: Core, message: MessageLike): boolean {
  if (core.closed) throw new EarshotError("EBADF")
  return core.outbox.trySend(toMessage(message))
}

export function send(core: Core, message: MessageLike, options: WaitOptions | undefined): Promise<void> {
  if (core.closed) return Promise.reject(new EarshotError("EBADF"))
  try {
    return core.outbox.send(toMessage(message), signalOf(options))
  } catch (error) {
    return Promise.reject(error)
  }
}

export function receive(core: Core, options: ReceiveCallOptions | undefined): Promise<Frame[] | Received> {
  try {
    checkReceive(core)
    return core.inbox.receive(core.settings.receiveTimeout, options)
  } catch (error) {
    return Promise.reject(error)
  }
}

export function tryReceive(core: Core): Frame[] | undefined {
  checkReceive(core)
  if (core.inbox.onmessage !== undefined) throw new EarshotError("EBUSY", "tryReceive beside onmessage")
  return core.inbox.take() as Frame[] | undefined
}

export async function receiveMany(core: Core, max: number, options: WaitOptions | undefined): Promise<Frame[][]> {
  if (!Number.isInteger(max) || max < 1) throw new EarshotError("EINVAL", "max must be a positive integer")
  signalOf(options)
  const messages = [(await receive(core, options)) as Frame[]]
  while (messages.length < max && core.pattern.mayTake?.() !== false) {
    const message = core.inbox.take()
    if (message === undefined) break
    messages.push(message as Frame[])
  }
  return messages
}

function checkReceive(core: Core): void {
  if (core.closed) throw new EarshotError("EBADF")
  core.pattern.checkReceive?.(core.outbox.waiting, core.inbox.waiting)
}

/** `for await`: ends when the socket is closed, and leaves it open when the loop is left. */
export class MessageIterator implements AsyncIterator<Frame[], undefined> {
  private readonly core: Core
  private done = false

  constructor(core: Core) {
    this.core = core
    if (core.closed) this.done = true
    else {
      core.clock.hold()
      core.watchers.add(this.look)
    }
  }

  next(): Promise<IteratorResult<Frame[], undefined>> {
    const { core } = this
    if (
      core.pattern.checkReceive === undefined &&
      !core.closed &&
      !core.inbox.waiting &&
      core.inbox.onmessage === undefined &&
      !this.done
    ) {
      const message = core.inbox.take()
      if (message !== undefined) return Promise.resolve({ value: message as Frame[], done: false })
    }
    return this.wait()
  }

  return(): Promise<IteratorResult<Frame[], undefined>> {
    this.finish()
    return Promise.resolve({ value: undefined, done: true })
  }

  private async wait(): Promise<IteratorResult<Frame[], undefined>> {
    if (this.done) return { value: undefined, done: true }
    try {
      if (!this.core.closed) return { value: (await receive(this.core, undefined)) as Frame[], done: false }
    } catch (error) {
      if (!this.core.closed) {
        this.finish()
        throw error
      }
    }
    this.finish()
    return { value: undefined, done: true }
  }

  /** One that nobody calls any more doesn't outlive its socket. */
  private readonly look = (): void => {
    if (this.core.closed) this.finish()
  }

  private finish(): void {
    if (this.done) return
    this.done = true
    this.core.watchers.delete(this.look)
    this.core.clock.release()
  }
}

/** As `promise`, but rejects with the signal's reason, after calling `cancel`, when that comes first. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal, cancel: () => void): Promise<T> {
  let abort!: () => void
  const aborted = new Promise<never>((_, reject) => {
    abort = () => {
      cancel()
      reject(signal.reason as Error)
    }
    signal.addEventListener("abort", abort)
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener("abort", abort)
  }
}

/** A promise nobody needs to look at. */
export function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
