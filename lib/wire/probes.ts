/** PINGs with a context of their own, whose PONGs tell that the peer has dealt with everything sent before. */
import { keyOf } from "../bytes.ts"
import type { Clock, Timer } from "../clock.ts"

/** libzmq keeps the time-to-live in 16 bits of ms and drops the peer at once for more (WIRE 0.6). */
const MAX_TTL = 655

/** `ttl` in ms is sent in tenths of a second, rounded down. */
export function pingBody(timeToLive: number, context: Uint8Array): Uint8Array {
  const tenths = Math.min(MAX_TTL, Math.floor(timeToLive / 100))
  const body = new Uint8Array(2 + context.length)
  body[0] = tenths >> 8
  body[1] = tenths
  body.set(context, 2)
  return body
}

export class Probes {
  private readonly clock: Clock
  private readonly waiting = new Map<string, { done: (answered: boolean) => void; timer: Timer }>()
  private count = 0

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** The context to send. `done` is called once: with the PONG, after `timeout` ms, or when the session ends. */
  add(timeout: number, done: (answered: boolean) => void): Uint8Array {
    const context = new Uint8Array(4)
    new DataView(context.buffer).setUint32(0, ++this.count)
    const key = keyOf(context)
    const timer = this.clock.timeout(() => this.finish(key, false), timeout)
    this.waiting.set(key, { done, timer })
    return context
  }

  answer(context: Uint8Array): void {
    if (context.length === 4) this.finish(keyOf(context), true)
  }

  stop(): void {
    for (const key of [...this.waiting.keys()]) this.finish(key, false)
  }

  private finish(key: string, answered: boolean): void {
    const probe = this.waiting.get(key)
    if (probe === undefined) return
    this.waiting.delete(key)
    probe.timer.cancel()
    probe.done(answered)
  }
}
