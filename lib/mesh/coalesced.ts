/** Events of one kind, told sparingly: for each cause the first at once, then at most one in a while, exact in sum. */
import type { Clock, Timer } from "../clock.ts"

/** What comes within the pause. */
interface Open<Event> {
  held: Event | undefined
  timer: Timer
}

export class Coalesced<Event> {
  private readonly clock: Clock
  private readonly quiet: number
  private readonly emit: (event: Event) => void
  private readonly merge: (held: Event, next: Event) => Event
  private readonly open = new Map<string, Open<Event>>()

  /** `quiet`: ms between two of one cause. `merge`: both as one. */
  constructor(clock: Clock, quiet: number, emit: (event: Event) => void, merge: (held: Event, next: Event) => Event) {
    this.clock = clock
    this.quiet = quiet
    this.emit = emit
    this.merge = merge
  }

  /** Another cause can be told from the `most` that are remembered, or is one of them. */
  fits(cause: string, most: number): boolean {
    return this.open.size < most || this.open.has(cause)
  }

  add(cause: string, event: Event): void {
    const open = this.open.get(cause)
    if (open !== undefined) {
      open.held = open.held === undefined ? event : this.merge(open.held, event)
      return
    }
    this.open.set(cause, { held: undefined, timer: this.rest(cause) })
    this.emit(event)
  }

  /** What was held back is told now. */
  close(): void {
    for (const cause of [...this.open.keys()]) this.tell(cause)
    for (const { timer } of this.open.values()) timer.cancel()
    this.open.clear()
  }

  private rest(cause: string): Timer {
    return this.clock.timeout(() => this.tell(cause), this.quiet)
  }

  private tell(cause: string): void {
    const open = this.open.get(cause)!
    const { held } = open
    open.timer.cancel()
    if (held === undefined) return void this.open.delete(cause)
    open.held = undefined
    open.timer = this.rest(cause)
    this.emit(held)
  }
}
