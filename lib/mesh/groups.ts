/** Who of a queue group gets a message: the better of two drawn at random, of those that have room. */
import type { Clock } from "../clock.ts"
import type { Member } from "./member.ts"
import type { Party } from "./routes.ts"

/** What is known of our own share in groups. */
export interface OwnLoad {
  /** All our subscriptions of that group are full, or there are none. */
  full(group: string): boolean
  outstanding: number
  latency: number
}

/** Weight of the newest measurement, where it is not a peak. */
const SMOOTHING = 0.2

export class Groups {
  private readonly clock: Clock
  private readonly own: OwnLoad

  constructor(clock: Clock, own: OwnLoad) {
    this.clock = clock
    this.own = own
  }

  /** May it be given work of this group now? `group` undefined: it stands for itself. */
  open(party: Party, group: string | undefined): boolean {
    if (party === undefined) return group === undefined || !this.own.full(group)
    return party.linked && !party.draining && (group === undefined || !party.full.has(group))
  }

  /** Undefined for ourselves, null where nobody has room. `not`: who has refused already. */
  pick(parties: readonly Party[], group: string, not?: ReadonlySet<Party>): Party | null {
    const { length } = parties
    let first: Party | null = null
    let seen = 0
    // One pass over a random rotation finds two that are open, whoever is not.
    const start = Math.floor(this.clock.random() * length)
    for (let i = 0; i < length && seen < 2; i++) {
      const party = parties[(start + i * STRIDE(length)) % length]
      if (not?.has(party) === true || !this.open(party, group)) continue
      first = seen++ === 0 || first === null ? party : this.better(first, party)
    }
    return first
  }

  /** The one with less to do: what it has been asked and not answered, times how long it takes. */
  better(a: Party, b: Party): Party {
    return this.score(b) < this.score(a) ? b : a
  }

  private score(party: Party): number {
    const { outstanding, latency } = party ?? this.own
    return (outstanding + 1) * Math.max(latency, 0.01)
  }
}

/** Steps that meet everybody and don't favour neighbours: 1 where the length is a multiple of 7. */
const STRIDE = (length: number): number => (length % 7 === 0 ? 1 : 7)

/** The peak-sensitive moving average of latencies, in ms: up at once, down slowly. */
export function observe(load: Member | OwnLoad, ms: number): void {
  load.latency = ms > load.latency ? ms : load.latency + (ms - load.latency) * SMOOTHING
}
