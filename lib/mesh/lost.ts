/** Members whose link is lost: when they count as gone, when nothing is kept for them any more, and when they are forgotten. */
import type { Clock, Timer } from "../clock.ts"
import type { Member } from "./member.ts"
import { BOUND } from "./pulse.ts"

/** ms for which a lost member's subscriptions stay; a leaf's longer. */
const KEEP = 30_000
const KEEP_LEAF = 120_000
/** ms for which it is counted what they missed, so that both sides can say it when they are back. */
const COUNT = 300_000
/** Members that are lost at a time. Of more than that the first one lost is forgotten: anybody can come under many names. */
export const MOST_LOST = 1024

export class Lost {
  private readonly clock: Clock
  private readonly onLeave: (member: Member) => void
  private readonly onForget: (member: Member) => void
  private readonly timers = new Map<Member, readonly Timer[]>()

  constructor(clock: Clock, onLeave: (member: Member) => void, onForget: (member: Member) => void) {
    this.clock = clock
    this.onLeave = onLeave
    this.onForget = onForget
  }

  /** `silent`: its link was ended because it had not been heard of for as long as that takes. `leaf`: one of the two is one. */
  add(member: Member, silent: boolean, leaf: boolean): void {
    const [first] = this.timers.size < MOST_LOST ? [] : this.timers.keys()
    if (first !== undefined) {
      this.onLeave(first)
      this.onForget(first)
    }
    this.timers.set(member, [
      this.clock.timeout(() => this.onLeave(member), silent ? 0 : BOUND),
      this.clock.timeout(() => member.replay.end(), leaf ? KEEP_LEAF : KEEP),
      this.clock.timeout(() => this.onForget(member), COUNT),
    ])
  }

  /** It is back, or gone for good. */
  remove(member: Member): void {
    for (const timer of this.timers.get(member) ?? []) timer.cancel()
    this.timers.delete(member)
  }

  clear(): void {
    for (const member of [...this.timers.keys()]) this.remove(member)
  }
}
