/** How long to wait before the next attempt to dial. */
import type { Clock } from "./clock.ts"

/** After a peer broke the protocol or doesn't fit: nothing will change soon, but a new version may be deployed there. */
const SLOW = 5000
const SLOWEST = 60_000

export class Backoff {
  private failures = 0
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
    this.failures = 0
  }

  /** ms until the next attempt. */
  next(slowly: boolean): number {
    const failure = this.failures++
    if (slowly)
      return (
        Math.max(this.interval, Math.min(SLOWEST, SLOW * 2 ** Math.min(failure, 10))) * (1 + this.clock.random() / 4)
      )
    if (this.maxInterval === 0) return this.interval * (1 + this.clock.random())
    return Math.min(Math.max(this.interval, this.maxInterval), this.interval * 2 ** Math.min(failure, 30))
  }
}
