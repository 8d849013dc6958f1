/** The event `denied`, coalesced: for each cause the first at once, then at most one a second, exact in sum. */
import type { Clock, Timer } from "../clock.ts"
import type { Events } from "../events.ts"
import type { MeshEvents } from "./events.ts"

type Denied = MeshEvents["denied"]

/** ms */
const QUIET = 1000
/** Members that are told apart at a time; more count together. */
const MOST = 1024

/** What comes within the pause. */
interface Open {
  last: Denied | undefined
  count: number
  timer: Timer
}

export class Denials {
  private readonly clock: Clock
  private readonly events: Events<MeshEvents>
  private readonly open = new Map<string, Open>()

  constructor(clock: Clock, events: Events<MeshEvents>) {
    this.clock = clock
    this.events = events
  }

  add(denied: Denied): void {
    const { what, member = "" } = denied
    const key = this.open.size < MOST || this.open.has(`${what} ${member}`) ? `${what} ${member}` : what
    const open = this.open.get(key)
    if (open === undefined) {
      this.open.set(key, { last: undefined, count: 0, timer: this.rest(key) })
      this.events.emit("denied", denied)
      return
    }
    open.last = denied
    open.count += denied.count
  }

  /** What was held back is told now. */
  close(): void {
    for (const key of [...this.open.keys()]) this.tell(key)
    for (const { timer } of this.open.values()) timer.cancel()
    this.open.clear()
  }

  private rest(key: string): Timer {
    return this.clock.timeout(() => this.tell(key), QUIET)
  }

  private tell(key: string): void {
    const open = this.open.get(key)!
    const { last, count } = open
    open.timer.cancel()
    if (last === undefined) return void this.open.delete(key)
    open.last = undefined
    open.count = 0
    open.timer = this.rest(key)
    this.events.emit("denied", { ...last, count })
  }
}
