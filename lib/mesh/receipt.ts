/** What became of one published message. */
import type { Posted } from "./member.ts"

/** What `publish` tells. Members count once each, ourselves too; a leaf's relay counts as one. */
export interface Receipt {
  /** Members that it was handed to: on its way to them, never "handled". */
  readonly sent: number
  /** Members whose link is lost, for whom it is kept, or nobody yet: the mesh has not settled. */
  readonly waiting: number
  /** Members, or queue groups, that do not get it. */
  readonly dropped: number
  /** Why, with how many of each. */
  readonly reasons: Readonly<Record<string, number>>
  /** With `confirm`: members that have taken it. */
  readonly confirmed?: number
  /** With `confirm`: members that have not said so, for their link was lost or their answer late. */
  readonly unconfirmed?: number
}

const NO_REASONS: Readonly<Record<string, number>> = Object.freeze({})

/** Receipts of the usual kind are made once. */
const usual: readonly Receipt[] = Array.from({ length: 129 }, (_, sent) =>
  Object.freeze({ sent, waiting: 0, dropped: 0, reasons: NO_REASONS }),
)
const promised: readonly Promise<Receipt>[] = usual.map((receipt) => Promise.resolve(receipt))

/** For a message that `sent` members got, and nobody missed. */
export function allSent(sent: number): Receipt {
  return usual[sent] ?? { sent, waiting: 0, dropped: 0, reasons: NO_REASONS }
}

/** A receipt, resolved: without a new promise where it is a usual one. */
export function resolved(receipt: Receipt): Promise<Receipt> {
  return usual[receipt.sent] === receipt ? promised[receipt.sent]! : Promise.resolve(receipt)
}

export const ONE_WAITS: Receipt = Object.freeze({ sent: 0, waiting: 1, dropped: 0, reasons: NO_REASONS })

/** A receipt in the making. */
export class Tally {
  sent = 0
  waiting = 0
  dropped = 0
  private reasons: Record<string, number> | undefined

  add(posted: Posted): void {
    if (posted === "sent") this.sent++
    else if (posted === "waiting") this.waiting++
    // One that is lost for long gets nothing and counts for nothing, until it is back and both sides say what is missing.
    else if (posted !== "missed") this.drop(posted)
  }

  /** One who had it, or for whom it was kept, has given it back; that it was sent may be heard only later. */
  takeBack(): void {
    this.sent--
  }

  drop(reason: string): void {
    this.dropped++
    this.reasons ??= {}
    this.reasons[reason] = (this.reasons[reason] ?? 0) + 1
  }

  done(more?: { readonly confirmed: number; readonly unconfirmed: number }): Receipt {
    const { dropped, reasons } = this
    const sent = Math.max(0, this.sent)
    const waiting = this.waiting + this.sent - sent
    if (more === undefined && waiting === 0 && dropped === 0) return allSent(sent)
    return { sent, waiting, dropped, reasons: reasons ?? NO_REASONS, ...more }
  }
}
