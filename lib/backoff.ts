/** How long to wait before the next attempt to dial. */
import type { Clock } from "./clock.ts"

/** After a peer broke the protocol or doesn't fit: nothing will change soon, but a new version may be deployed there. */
const SLOW = 5000
const SLOWEST = 60_000

export class Backoff {
  private failures = 0
  private refusals = 0
  private readonly clock: Clock
  private readonly interval: number
  private readonly maxInterval: number
  private readonly jitter: boolean

  /** As the options `reconnectInterval` and `reconnectMaxInterval`, in ms. `jitter`: a random time up to that. */
  constructor(clock: Clock, interval: number, maxInterval: number, jitter = false) {
    this.clock = clock
    this.interval = interval
    this.maxInterval = maxInterval
    this.jitter = jitter
  }

  reset(): void {
    this.failures = this.refusals = 0
  }

  /** ms until the next attempt. */
  next(slowly: boolean): number {
    const { clock, interval, maxInterval, jitter } = this
    if (slowly) {
      const slow = Math.min(SLOWEST, SLOW * 2 ** Math.min(this.refusals++, 10))
      return Math.max(interval, slow) * (1 + clock.random() / 4)
    }
    if (maxInterval === 0) return interval * (1 + clock.random())
    const most = Math.min(Math.max(interval, maxInterval), interval * 2 ** Math.min(this.failures++, 30))
    return jitter ? most * clock.random() : most
  }
}
