/**
 * Counts what was dropped, by peer and reason, and tells of it: the first drop raises an event at once, the next at most
 * one each 100 ms, exact in sum.
 */
import type { Clock, Timer } from "./clock.ts"
import type { DropReason, PeerInfo } from "./contract.ts"
import type { Events } from "./events.ts"

const QUIET = 100

/** Messages and their bytes. */
export interface Tally {
  /** Messages. */
  count: number
  /** Bytes of all their frames. */
  bytes: number
}

/** The drops of one peer, or of a whole socket. */
export type DropTallies = Partial<Record<DropReason, Tally>>

interface Open extends Tally {
  timer: Timer
}

export class Losses {
  /** All drops of the socket. */
  readonly totals: DropTallies = {}
  private readonly clock: Clock
  private readonly events: Events
  /** Where an event was raised less than 100 ms ago: what came since. */
  private readonly open = new Map<PeerInfo | undefined, Map<DropReason, Open>>()

  constructor(clock: Clock, events: Events) {
    this.clock = clock
    this.events = events
  }

  note(
    peer: PeerInfo | undefined,
    tallies: DropTallies | undefined,
    reason: DropReason,
    count: number,
    bytes: number,
  ): void {
    if (count === 0) return
    add(this.totals, reason, count, bytes)
    if (tallies !== undefined) add(tallies, reason, count, bytes)
    const open = this.open.get(peer)?.get(reason)
    if (open === undefined) return this.tell(peer, reason, count, bytes)
    open.count += count
    open.bytes += bytes
  }

  /** Tells what has not been told. */
  flush(): void {
    for (const [peer, reasons] of this.open)
      for (const [reason, open] of reasons) {
        open.timer.cancel()
        if (open.count > 0) this.events.emit("drop", { reason, peer, count: open.count, bytes: open.bytes })
      }
    this.open.clear()
  }

  private tell(peer: PeerInfo | undefined, reason: DropReason, count: number, bytes: number): void {
    let reasons = this.open.get(peer)
    if (reasons === undefined) this.open.set(peer, (reasons = new Map()))
    reasons.set(reason, { count: 0, bytes: 0, timer: this.clock.timeout(() => this.quiet(peer, reason), QUIET) })
    this.events.emit("drop", { reason, peer, count, bytes })
  }

  private quiet(peer: PeerInfo | undefined, reason: DropReason): void {
    const reasons = this.open.get(peer)
    const open = reasons?.get(reason)
    if (reasons === undefined || open === undefined) return
    reasons.delete(reason)
    if (reasons.size === 0) this.open.delete(peer)
    if (open.count > 0) this.tell(peer, reason, open.count, open.bytes)
  }
}

function add(tallies: DropTallies, reason: DropReason, count: number, bytes: number): void {
  const tally = (tallies[reason] ??= { count: 0, bytes: 0 })
  tally.count += count
  tally.bytes += bytes
}
