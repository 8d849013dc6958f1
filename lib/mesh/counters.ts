/** Counters of one mesh, and its coalesced events: the first drop at once, then at most every 100 ms, exact in sum. */
import type { Clock, Timer } from "../clock.ts"
import type { Events } from "../events.ts"
import type { MemberInfo, MeshDropReason, MeshEvents } from "./events.ts"

const QUIET = 100
/** Causes that are told apart at a time; of more than that the subject is left out. */
const MOST = 1024

interface Open {
  readonly reason: MeshDropReason
  readonly member: MemberInfo | undefined
  readonly subject: string | undefined
  count: number
  bytes: number
  timer: Timer
}

/** Messages and their bytes. */
export interface MeshTally {
  count: number
  bytes: number
}

export class Counters {
  /** Kinds of a later version of the protocol, or nonsense: skipped. */
  unknown = 0
  /** Raised as `error`. */
  errors = 0
  readonly dropped: Partial<Record<MeshDropReason, MeshTally>> = {}
  readonly gaps: { sent: number; received: number } = { sent: 0, received: 0 }
  private readonly clock: Clock
  private readonly events: Events<MeshEvents>
  private readonly open = new Map<string, Open>()
  private readonly full = new Set<string>()

  constructor(clock: Clock, events: Events<MeshEvents>) {
    this.clock = clock
    this.events = events
  }

  drop(reason: MeshDropReason, count: number, bytes: number, member?: MemberInfo, subject?: string): void {
    const tally = (this.dropped[reason] ??= { count: 0, bytes: 0 })
    tally.count += count
    tally.bytes += bytes
    this.note(reason, count, bytes, member, subject)
  }

  private note(
    reason: MeshDropReason,
    count: number,
    bytes: number,
    member: MemberInfo | undefined,
    subject: string | undefined,
  ): void {
    const key = `${reason} ${member?.id ?? ""} ${subject ?? ""}`
    const open = this.open.get(key)
    if (open !== undefined) {
      open.count += count
      open.bytes += bytes
      return
    }
    if (this.open.size >= MOST && subject !== undefined) return this.note(reason, count, bytes, member, undefined)
    const fresh: Open = { reason, member, subject, count: 0, bytes: 0, timer: this.rest(key) }
    this.open.set(key, fresh)
    this.events.emit("drop", { reason, subject, member, count, bytes })
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
    for (const key of [...this.open.keys()]) this.tell(key)
    for (const { timer } of this.open.values()) timer.cancel()
    this.open.clear()
  }

  private rest(key: string): Timer {
    return this.clock.timeout(() => this.tell(key), QUIET)
  }

  private tell(key: string): void {
    const open = this.open.get(key)!
    const { reason, member, subject, count, bytes } = open
    open.timer.cancel()
    if (count === 0) return void this.open.delete(key)
    open.count = open.bytes = 0
    open.timer = this.rest(key)
    this.events.emit("drop", { reason, subject, member, count, bytes })
  }
}
