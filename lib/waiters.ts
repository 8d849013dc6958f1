/**
 * A bounded first-in first-out line of promises that wait, each with a time limit and an AbortSignal of its own.
 * Whoever waits keeps the process alive.
 */
import type { Clock, Timer } from "./clock.ts"
import { EarshotError } from "./errors.ts"

/** How long, and until when. */
export interface WaitOptions {
  /** Gives up with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** All names that these options have: the compiler sees to it that none is missing. */
export type OptionNames<Options> = { readonly [Name in keyof Required<Options>]: true }
const JUST_SIGNAL: OptionNames<WaitOptions> = { signal: true }

/** Throws EINVAL for what is no object, or has an option that `call` does not have: it would be ignored in silence. */
export function checkNames(options: object, names: object, call: string): void {
  if (typeof options !== "object" || (options as unknown) === null)
    throw new EarshotError("EINVAL", `the options of ${call} are an object`)
  for (const name in options)
    if (!Object.hasOwn(names, name)) throw new EarshotError("EINVAL", `${call} has no option ${name}`)
}

/** The signal among a call's options, if there is one. Throws EINVAL for what is none, and for a name that is not among `names`. */
export function signalOf(
  options: WaitOptions | undefined,
  names: OptionNames<WaitOptions> = JUST_SIGNAL,
): AbortSignal | undefined {
  if (!options) return undefined
  checkNames(options, names, "this call")
  const signal = options.signal ?? undefined
  if (signal !== undefined && typeof signal.aborted !== "boolean")
    throw new EarshotError("EINVAL", `a signal is an AbortSignal, not ${typeof signal}`)
  return signal
}

/** A time of a call, in ms; a `timeout` below 0: none. Throws EINVAL for what is no number. */
export function checkTimeout(time: number, name = "timeout"): void {
  if (typeof time !== "number" || Number.isNaN(time))
    throw new EarshotError("EINVAL", `${name} is a number of milliseconds, not ${typeof time}`)
}

export interface Waiter<T, R> {
  readonly item: T
  settle(result: R): void
  fail(error: unknown): void
  next: Waiter<T, R> | undefined
  previous: Waiter<T, R> | undefined
}

export class Waiters<T, R> {
  length = 0
  first: Waiter<T, R> | undefined
  private last: Waiter<T, R> | undefined
  private readonly clock: Clock
  private readonly onGivenUp: (() => void) | undefined

  /** `onGivenUp`: the first in line gave up, and what it waited for may be there for the next. */
  constructor(clock: Clock, onGivenUp?: () => void) {
    this.clock = clock
    this.onGivenUp = onGivenUp
  }

  /** `timeout` in ms, -1 = for ever; rejects `EAGAIN` when it is over, or at once for 0 or when `max` wait already. */
  wait(item: T, timeout: number, max: number, signal: AbortSignal | undefined): Promise<R> {
    if (timeout === 0) return Promise.reject(new EarshotError("EAGAIN", "it would have to wait"))
    if (this.length >= max)
      return Promise.reject(new EarshotError("EAGAIN", `${max} operations are waiting already (maxPending)`))
    return new Promise<R>((resolve, reject) => {
      let timer: Timer | undefined
      const leave = (): void => {
        this.unlink(waiter)
        timer?.cancel()
        signal?.removeEventListener("abort", abort)
      }
      const giveUp = (error: unknown): void => {
        const first = this.first === waiter
        waiter.fail(error)
        if (first) this.onGivenUp?.()
      }
      const abort = (): void => giveUp(signal!.reason)
      const waiter: Waiter<T, R> = {
        item,
        settle: (result) => (leave(), resolve(result)),
        fail: (error) => (leave(), reject(error)),
        next: undefined,
        previous: this.last,
      }
      if (this.last === undefined) this.first = waiter
      else this.last.next = waiter
      this.last = waiter
      if (this.length++ === 0) this.clock.hold()
      if (timeout > 0)
        timer = this.clock.timeout(() => giveUp(new EarshotError("EAGAIN", `not within ${timeout} ms`)), timeout)
      signal?.addEventListener("abort", abort)
    })
  }

  failAll(error: Error): void {
    while (this.first !== undefined) this.first.fail(error)
  }

  private unlink(waiter: Waiter<T, R>): void {
    if (waiter.previous === undefined) this.first = waiter.next
    else waiter.previous.next = waiter.next
    if (waiter.next === undefined) this.last = waiter.previous
    else waiter.next.previous = waiter.previous
    if (--this.length === 0) this.clock.release()
  }
}
