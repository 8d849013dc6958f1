/**
 * What was sent to a member and not yet acknowledged, for the case that the link is lost. Both ends count the messages of
 * a pair of boots (the link keeps their order, so no number travels); one who comes back says how many it has taken.
 */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { Ring } from "../ring.ts"
import { Loans, isWork } from "./loans.ts"

/** Per member: messages, and bytes, kept for it. */
export const KEPT = 4096
export const KEPT_BYTES: number = 1024 * 1024

export class Replay {
  /** Counted messages since the two boots met. */
  sent = 0
  private acknowledged = 0
  /** The messages up to this one that are missing have been told of. */
  private told = 0
  private readonly kept = new Ring<Message>()
  /** Of what is kept. */
  bytes = 0
  /** Too long lost: nothing is kept any more, and what would have been sent is counted only. */
  over = false
  /** What of it the other may give back. */
  readonly loans: Loans = new Loans()
  /** Off: it counts, and keeps nothing. */
  private readonly on: boolean

  constructor(on: boolean) {
    this.on = on
  }

  /** Messages that the other has not said to have taken, but for those that were told of as missing. */
  get untold(): number {
    return this.sent - Math.max(this.acknowledged, this.told)
  }

  /** How many could be sent again. */
  get length(): number {
    return this.kept.length
  }

  note(message: Message, size: number): void {
    this.sent++
    if (isWork(message)) this.loans.add(message, this.sent, size)
    if (!this.on || this.over) return
    this.kept.push(message)
    this.bytes += size
    while (this.kept.length > KEPT || (this.bytes > KEPT_BYTES && this.kept.length > 0)) this.shift()
  }

  /** The other side has taken so many in all. A count that can't be is ignored. */
  acknowledge(taken: number): void {
    if (taken > this.sent) return
    this.loans.acknowledge(taken, taken === this.sent)
    this.settle(taken)
  }

  /** Taken back before it left: it was never sent. */
  recall(message: Message): void {
    this.sent--
    this.loans.delete(message)
    this.told = Math.min(this.told, this.sent)
    if (this.kept.remove(message)) this.bytes -= sizeOf(message)
  }

  /**
   * After a loss: what comes next for one who has taken so many, and how many before that are missing for good; `fresh`: of
   * these, how many were not missing the last time, when it may have been lost again before it heard of them.
   */
  resume(taken: number): { readonly missing: number; readonly fresh: number; readonly messages: Message[] } {
    this.over = false
    // What it gives back of these comes on the new link.
    this.settle(taken)
    const first = this.sent - this.kept.length
    const missing = Math.max(0, first - taken)
    const fresh = Math.min(missing, Math.max(0, first - this.told))
    this.told = Math.max(this.told, first)
    return { missing, fresh, messages: this.kept.toArray() }
  }

  /** Gives up what is kept. Should the other come back, it is told how many messages are missing. */
  end(): void {
    this.over = true
    this.kept.clear()
    this.bytes = 0
  }

  private settle(taken: number): void {
    if (taken > this.sent) return
    this.acknowledged = Math.max(this.acknowledged, taken)
    for (let first = this.sent - this.kept.length; first < taken; first++) this.shift()
  }

  private shift(): void {
    this.bytes -= sizeOf(this.kept.shift()!)
  }
}

/** A count that travelled in 32 bits, of messages that we have sent; more than that can't be. */
export function unwrap(count: number, sent: number): number {
  const behind = (sent - count) >>> 0
  return behind > sent ? sent : sent - behind
}
