/** One endpoint that we connect to: dial, hand the link to a session, dial again, until told to stop. */
import { Backoff } from "./backoff.ts"
import type { Clock, Timer } from "./clock.ts"
import type { Link, Transport, TransportOptions } from "./contract.ts"
import { EarshotError, wrap, type ErrorCode } from "./errors.ts"
import { untilAborted } from "./operations.ts"

export interface DialerOptions {
  readonly transport: Transport
  readonly address: string
  readonly transportOptions: TransportOptions
  readonly clock: Clock
  readonly backoff: Backoff
  /** Dial again after a failure. */
  readonly persistent: boolean
  readonly connectTimeout: number
}

export interface DialerOwner {
  /** Before each attempt, which waits for it, until `signal` aborts; what it rejects with makes the attempt fail. */
  onAttempt?(signal: AbortSignal): Promise<void> | undefined
  /** A link is there, for a session. `ended` must be called when that session is over. */
  onLink(link: Link): void
  /** An attempt failed, or a link ended. */
  onRetry(interval: number, error: EarshotError | undefined): void
  /** No more attempts will be made: `reconnectInterval` is -1. */
  onGiveUp(error: EarshotError): void
}

/** Trying again soon would meet the same. */
const LASTING: ReadonlySet<ErrorCode> = new Set([
  "EPROTO",
  "VERSION",
  "MECHANISM",
  "INCOMPATIBLE",
  "REFUSED",
  "EMSGSIZE",
  "INSECURE_AUTH",
  "INSECURE_FROM_HTTPS",
  "FORBIDDEN",
])

export class Dialer {
  private readonly options: DialerOptions
  private readonly owner: DialerOwner
  private attempt: AbortController | undefined
  private timer: Timer | undefined
  private stopped = false

  constructor(options: DialerOptions, owner: DialerOwner) {
    this.options = options
    this.owner = owner
  }

  dial(): void {
    const { transport, address, transportOptions, clock, connectTimeout } = this.options
    this.timer = undefined
    const attempt = (this.attempt = new AbortController())
    const limit =
      connectTimeout > 0
        ? clock.timeout(
            () => attempt.abort(new EarshotError("ETIMEDOUT", `no connection within ${connectTimeout} ms`)),
            connectTimeout,
          )
        : undefined
    const { signal } = attempt
    const dial = (): Promise<Link> => transport.dial(address, transportOptions, signal)
    const asked = this.owner.onAttempt?.(signal)
    const dialled = asked === undefined ? dial() : untilAborted(asked, signal, () => {}).then(dial)
    dialled.then(
      (link) => {
        limit?.cancel()
        this.attempt = undefined
        if (this.stopped) link.destroy()
        else this.owner.onLink(link)
      },
      (error: unknown) => {
        limit?.cancel()
        this.attempt = undefined
        this.retry(wrap(error, "ECONNREFUSED"))
      },
    )
  }

  /** The handshake is done: the next failure is a first one. */
  succeeded(): void {
    this.options.backoff.reset()
  }

  /** The session on the last link is over. */
  ended(error: EarshotError | undefined): void {
    this.retry(error)
  }

  /** Dials now, if it waits to. Should an attempt that began before fail, the wait behind it is the shortest. */
  nudge(): void {
    if (this.timer === undefined) return this.options.backoff.reset()
    if (this.stopped) return
    this.timer.cancel()
    this.dial()
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
    this.attempt?.abort(new EarshotError("ECANCELED", "the endpoint was disconnected"))
  }

  private retry(error: EarshotError | undefined): void {
    if (this.stopped) return
    if (!this.options.persistent) {
      this.stopped = true
      return this.owner.onGiveUp(error ?? new EarshotError("ECONNRESET", "the peer closed the connection"))
    }
    const interval = this.options.backoff.next(error !== undefined && LASTING.has(error.code))
    this.owner.onRetry(interval, error)
    // oxlint-disable-next-line typescript/no-unnecessary-condition -- a listener of the owner's event may have stopped us
    if (!this.stopped) this.timer = this.options.clock.timeout(() => this.dial(), interval)
  }
}
