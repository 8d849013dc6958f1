/** Who of a queue group gets a message: the better of two drawn at random, of those that have room. */
import type { Clock } from "../clock.ts"
import type { Party } from "./routes.ts"

/** What one member, or we ourselves, have been asked, and how long answers take. */
export interface Load {
  /** Asked, and not answered. */
  outstanding: number
  /** ms that answers take: the peak-sensitive moving average. 0: not known. */
  latency: number
  /** When that was measured, on the clock. */
  measured: number
}

/** What is known of our own share in groups. */
export interface OwnLoad extends Load {
  /** All our subscriptions of that group are full, or there are none. */
  full(group: string): boolean
}

/** Weight of the newest measurement, where it is not a peak. */
const SMOOTHING = 0.2
/** ms in which what was measured loses most of its weight, so that one who was slow once is tried again. */
const DECAY = 10_000
/** Nobody is that much faster, in ms. */
const LEAST = 0.01
/** Draws before all are looked at. */
const DRAWS = 4

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
    const fits = (party: Party): boolean => not?.has(party) !== true && this.open(party, group)
    const first = this.draw(parties, fits)
    if (first === null || parties.length === 1) return first
    const second = this.draw(parties, (party) => party !== first && fits(party))
    return second === null ? first : this.better(first, second)
  }

  /** The one with less to do: what it has been asked and not answered, times how long it takes. The first of equals. */
  better(a: Party, b: Party): Party {
    const [first, second] = [a ?? this.own, b ?? this.own]
    // Who is new is taken to be as fast as the other.
    const known = first.latency > 0 && second.latency > 0
    const score = (load: Load): number => (load.outstanding + 1) * (known ? this.latencyOf(load) : 1)
    return score(second) < score(first) ? b : a
  }

  /** A request is on its way to it. */
  asked(party: Party): void {
    ;(party ?? this.own).outstanding++
  }

  /** Nothing more is waited for. */
  over(party: Party): void {
    ;(party ?? this.own).outstanding--
  }

  /** It has answered after so many ms: its average goes up at once, down slowly. */
  answered(party: Party, ms: number): void {
    const load = party ?? this.own
    const latency = this.latencyOf(load)
    load.latency = Math.max(LEAST, ms > latency ? ms : latency + (ms - latency) * SMOOTHING)
    load.measured = this.clock.now()
  }

  private latencyOf({ latency, measured }: Load): number {
    return Math.max(LEAST, latency * Math.exp((measured - this.clock.now()) / DECAY))
  }

  /** One of those that fit, each as likely as any other. */
  private draw(parties: readonly Party[], fits: (party: Party) => boolean): Party | null {
    const { clock } = this
    for (let i = 0; i < DRAWS && parties.length > 0; i++) {
      const party = parties[Math.floor(clock.random() * parties.length)]
      if (fits(party)) return party
    }
    const left = parties.filter(fits)
    return left.length === 0 ? null : left[Math.floor(clock.random() * left.length)]
  }
}
