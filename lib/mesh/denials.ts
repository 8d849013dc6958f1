/** The event `denied`: for each cause the first at once, then at most one a second. */
import type { Clock } from "../clock.ts"
import type { Events } from "../events.ts"
import { Coalesced } from "./coalesced.ts"
import type { MeshEvents } from "./events.ts"

type Denied = MeshEvents["denied"]

/** ms */
const QUIET = 1000
/** Members that are told apart at a time; more count together. */
const MOST = 1024

export class Denials {
  private readonly told: Coalesced<Denied>

  constructor(clock: Clock, events: Events<MeshEvents>) {
    this.told = new Coalesced(
      clock,
      QUIET,
      (denied) => events.emit("denied", denied),
      ({ count }, last) => ({ ...last, count: count + last.count }),
    )
  }

  add(denied: Denied): void {
    const { what, member = "" } = denied
    const cause = `${what} ${member}`
    this.told.add(this.told.fits(cause, MOST) ? cause : what, denied)
  }

  close(): void {
    this.told.close()
  }
}
