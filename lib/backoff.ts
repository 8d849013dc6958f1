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

  /** As the options `reconnectInterval` and `reconnectMaxInterval`, in ms. */
  constructor(clock: Clock, interval: number, maxInterval: number) {
    this.clock = clock
    this.interval = interval
    this.maxInterval = maxInterval
  }

  reset(): void {
    this.failures = this.refusals = 0
  }

  /** ms until the next attempt. */
  next(slowly: boolean): number {
    const { interval, maxInterval, clock } = this
    if (slowly) {
      const slow = Math.min(SLOWEST, SLOW * 2 ** Math.min(this.refusals++, 10))
      return Math.max(interval, slow) * (1 + clock.random() / 4)
    }
    if (maxInterval === 0) return interval * (1 + clock.random())
    return Math.min(Math.max(interval, maxInterval), interval * 2 ** Math.min(this.failures++, 30))
  }
}
