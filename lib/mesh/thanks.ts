/** Says what was taken: with the next thing at hand, at the latest after 50 ms, or after so many messages (member.ts). */
import type { Clock, Timer } from "../clock.ts"
import type { Member } from "./member.ts"

const LATEST = 50

export class Thanks {
  private readonly clock: Clock
  private readonly owed = new Set<Member>()
  private timer: Timer | undefined

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** A counted message of `size` bytes came from it. */
  took(member: Member, size: number): void {
    if (!member.take(size)) return
    this.owed.add(member)
    this.timer ??= this.clock.timeout(this.settle, LATEST)
  }

  private readonly settle = (): void => {
    this.timer = undefined
    for (const each of this.owed) each.sayTaken()
    this.owed.clear()
  }

  stop(): void {
    this.timer?.cancel()
    this.owed.clear()
  }
}
