/** Does the process get to run when it should? A timer that comes late tells of a loop that was blocked, or of sleep. */
import type { Clock, Timer } from "../clock.ts"

const EVERY = 500
/** ms for which what was seen is remembered. */
const MEMORY = 60_000
/** A timer may be so late on a busy machine. */
const USUAL = 100

export class LoopWatch {
  private readonly clock: Clock
  private timer: Timer | undefined
  private due: number
  private readonly seen: { readonly at: number; readonly late: number }[] = []

  constructor(clock: Clock) {
    this.clock = clock
    this.due = clock.now()
    this.arm()
  }

  /** The longest ms that a timer was late within the last `span` ms (at most 60,000); what happens now counts, too. */
  stoodStill(span: number = MEMORY): number {
    const now = this.clock.now()
    const open = this.timer === undefined ? 0 : now - this.due
    return this.seen.reduce((most, { at, late }) => (now - at <= span ? Math.max(most, late) : most), Math.max(0, open))
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = undefined
  }

  private arm(): void {
    this.due = this.clock.now() + EVERY
    this.timer = this.clock.timeout(() => this.look(), EVERY)
  }

  private look(): void {
    const { clock, seen, due } = this
    const now = clock.now()
    while (seen.length > 0 && now - seen[0]!.at > MEMORY) seen.shift()
    if (now - due > USUAL) seen.push({ at: now, late: now - due })
    this.arm()
  }
}
