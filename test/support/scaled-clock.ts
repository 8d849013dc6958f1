/** The system's clock, but so many times as fast: what takes minutes by default can be seen with real peers in seconds. */
import { systemClock, type Clock } from "../../lib/clock.ts"

export function scaledClock(factor: number): Clock {
  return {
    ...systemClock,
    now: () => systemClock.now() * factor,
    timeout: (callback, ms) => systemClock.timeout(callback, ms / factor),
  }
}
