/** Published messages whose receipts wait until everybody who was chosen has taken them, or time is up. */
import type { Clock, Timer } from "../clock.ts"
import type { Member, Posted } from "./member.ts"
import type { Receipt, Tally } from "./receipt.ts"
import type { Party } from "./routes.ts"

/** ms that a confirmation may take. */
const PATIENCE = 10_000

/** Who has a message, or will have it, and has not said so: as often as it was given it, for several groups. */
export class Awaited {
  private readonly parties: Party[] = []

  get size(): number {
    return this.parties.length
  }

  add(party: Party): void {
    this.parties.push(party)
  }

  /** Once. False: it is not among them. */
  delete(party: Party): boolean {
    const at = this.parties.indexOf(party)
    if (at >= 0) this.parties.splice(at, 1)
    return at >= 0
  }

  clear(): void {
    this.parties.length = 0
  }
}

interface Confirmation {
  readonly awaited: Awaited
  readonly tally: Tally
  /** Of those chosen, who has no room yet. */
  held: number
  confirmed: number
  readonly timer: Timer
  readonly resolve: (receipt: Receipt) => void
}

export class Confirmations {
  private readonly clock: Clock
  private readonly open = new Map<number, Confirmation>()
  private last = 0

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** The number of the next message, which its takers are to answer with. */
  next(): number {
    return (this.last = (this.last % 0xffff_fffe) + 1)
  }

  /** `awaited`: members, and `undefined` where we have taken it ourselves. `waits`: what becomes of it where there is no room yet. */
  wait(id: number, tally: Tally, awaited: Awaited, waits: readonly Promise<Posted>[]): Promise<Receipt> {
    const { clock, open } = this
    clock.hold()
    return new Promise<Receipt>((resolve) => {
      const confirmation: Confirmation = {
        awaited,
        tally,
        held: waits.length,
        confirmed: awaited.delete(undefined) ? 1 : 0,
        timer: clock.timeout(() => this.expire(id, confirmation), PATIENCE),
        resolve,
      }
      open.set(id, confirmation)
      for (const wait of waits)
        void wait.then((posted) => {
          confirmation.held--
          tally.add(posted)
          this.look(id, confirmation)
        })
      this.look(id, confirmation)
    }).finally(() => clock.release())
  }

  /** `party`: undefined where we have taken it ourselves. */
  onConfirm(party: Party, id: number): void {
    const confirmation = this.open.get(id)
    if (confirmation?.awaited.delete(party) !== true) return
    confirmation.confirmed++
    this.look(id, confirmation)
  }

  onForgotten(member: Member): void {
    for (const [id, confirmation] of this.open) {
      while (confirmation.awaited.delete(member));
      this.look(id, confirmation)
    }
  }

  /** What is known by then is told. */
  close(): void {
    // Those that waited for room learn first that it is over.
    this.clock.microtask(() => {
      for (const [id, confirmation] of this.open) this.expire(id, confirmation)
    })
  }

  private expire(id: number, confirmation: Confirmation): void {
    confirmation.tally.waiting += confirmation.held
    confirmation.held = 0
    confirmation.awaited.clear()
    this.look(id, confirmation)
  }

  private look(id: number, confirmation: Confirmation): void {
    const { awaited, tally, held, confirmed, timer, resolve } = confirmation
    if (awaited.size + held > 0 || !this.open.delete(id)) return
    timer.cancel()
    resolve(tally.done({ confirmed, unconfirmed: tally.sent + tally.waiting - confirmed }))
  }
}
