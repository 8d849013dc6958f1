/**
 * When a mesh may begin to talk: when those found at first are linked and have said what they want, or time is up. Until
 * then it keeps the process alive, for whoever waits for it.
 */
import type { Clock, Timer } from "../clock.ts"

export interface SettlingOwner {
  /** Nobody is being dialled, nobody is at the door, and every linked member has passed its barrier. */
  readonly calm: boolean
  onSettled(): void
}

export class Settling {
  settled = false
  /** Resolves when it is. */
  readonly done: Promise<void>
  private readonly clock: Clock
  private readonly owner: SettlingOwner
  private readonly timer: Timer
  private looked = false
  private resolve!: () => void

  /** `rounds`: the first rounds of discovery. `limit` in ms. */
  constructor(clock: Clock, owner: SettlingOwner, rounds: readonly Promise<void>[], limit: number) {
    this.clock = clock
    this.owner = owner
    clock.hold()
    this.done = new Promise((resolve) => (this.resolve = resolve))
    this.timer = clock.timeout(() => this.settle(), limit)
    void Promise.allSettled(rounds).then(() => {
      this.looked = true
      this.look()
    })
  }

  /** Something has changed. */
  look(): void {
    if (!this.settled && this.looked && this.owner.calm) this.settle()
  }

  /** Whatever is missing. */
  settle(): void {
    if (this.settled) return
    this.settled = true
    this.clock.release()
    this.timer.cancel()
    this.resolve()
    this.owner.onSettled()
  }
}
