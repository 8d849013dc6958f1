/** Counters of one mesh, and its event `drop`: for each cause the first at once, then at most every 100 ms. */
import type { Clock } from "../clock.ts"
import type { Events } from "../events.ts"
import { Coalesced } from "./coalesced.ts"
import type { MemberInfo, MeshDropReason, MeshEvents } from "./events.ts"

type Drop = MeshEvents["drop"]

/** ms */
const QUIET = 100
/** Causes that are told apart at a time; of more than that the subject is left out. */
const MOST = 1024

/** Messages and their bytes. */
export interface MeshTally {
  /** Messages. */
  count: number
  /** Bytes of their payloads. */
  bytes: number
}

export class Counters {
  /** Kinds of a later version of the protocol, or nonsense: skipped. */
  unknown = 0
  /** Raised as `error`. */
  errors = 0
  readonly dropped: Partial<Record<MeshDropReason, MeshTally>> = {}
  readonly gaps: { sent: number; received: number } = { sent: 0, received: 0 }
  private readonly drops: Coalesced<Drop>
  private readonly full = new Set<string>()

  constructor(clock: Clock, events: Events<MeshEvents>) {
    this.drops = new Coalesced(
      clock,
      QUIET,
      (drop) => events.emit("drop", drop),
      (held, { count, bytes }) => ({ ...held, count: held.count + count, bytes: held.bytes + bytes }),
    )
  }

  drop(reason: MeshDropReason, count: number, bytes: number, member?: MemberInfo, subject?: string): void {
    const tally = (this.dropped[reason] ??= { count: 0, bytes: 0 })
    tally.count += count
    tally.bytes += bytes
    const cause = `${reason} ${member?.id ?? ""} ${subject ?? ""}`
    if (this.drops.fits(cause, MOST)) this.drops.add(cause, { reason, subject, member, count, bytes })
    else this.drops.add(`${reason} ${member?.id ?? ""} `, { reason, subject: undefined, member, count, bytes })
  }

  gap(direction: "sent" | "received", count: number): void {
    this.gaps[direction] += count
  }

  /** True when that is news. */
  tellLoad(group: string, full: boolean): boolean {
    if (this.full.has(group) === full) return false
    if (full) this.full.add(group)
    else this.full.delete(group)
    return true
  }

  fullGroups(): Iterable<string> {
    return this.full
  }

  /** What was held back is told now. */
  close(): void {
    this.drops.close()
  }
}
