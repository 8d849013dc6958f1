/** Published messages whose receipts wait until everybody who was chosen has taken them, or time is up. */
import type { Clock, Timer } from "../clock.ts"
import type { Member, Posted } from "./member.ts"
import { Tally, type Receipt } from "./receipt.ts"
import type { Party } from "./routes.ts"

/** ms that a confirmation may take. */
const PATIENCE = 10_000

interface Confirmation {
  readonly tally: Tally
  /** Who has it, or will have it, and has not said so: as often as it was given it, for several groups. */
  readonly awaited: Party[]
  /** Of those chosen, who has no room yet. */
  held: number
  confirmed: number
  timer: Timer | undefined
  resolve: ((receipt: Receipt) => void) | undefined
}

export class Confirmations {
  private readonly clock: Clock
  private readonly open = new Map<number, Confirmation>()
  private last = 0

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** The number of a message, which its takers are to answer with: then come `given` and `holds`, at last `receipt`. */
  begin(tally: Tally): number {
    do this.last = (this.last % 0xffff_fffe) + 1
    while (this.open.has(this.last))
    const { last } = this
    this.open.set(last, { tally, awaited: [], held: 0, confirmed: 0, timer: undefined, resolve: undefined })
    return last
  }

  /** It has it, or will have it. `party`: undefined for ourselves. */
  given(id: number, party: Party): void {
    this.open.get(id)?.awaited.push(party)
  }

  /** It will not have it after all. */
  lost(id: number, party: Party): void {
    const confirmation = this.open.get(id)
    if (confirmation !== undefined && leave(confirmation, party)) this.look(id, confirmation)
  }

  /** What becomes of it where there is no room yet; who has it then is among those given. */
  holds(id: number, posted: Promise<Posted>): void {
    const confirmation = this.open.get(id)
    if (confirmation === undefined) return
    confirmation.held++
    void posted.then((late) => {
      if (this.open.get(id) !== confirmation) return
      confirmation.held--
      confirmation.tally.add(late)
      this.look(id, confirmation)
    })
  }

  /** Resolves when all have said so, or are lost, or time is up. */
  receipt(id: number): Promise<Receipt> {
    const { clock } = this
    const confirmation = this.open.get(id)!
    clock.hold()
    return new Promise<Receipt>((resolve) => {
      confirmation.resolve = resolve
      confirmation.timer = clock.timeout(() => this.expire(id, confirmation), PATIENCE)
      this.look(id, confirmation)
    }).finally(() => clock.release())
  }

  /** It has taken it. */
  onConfirm(party: Party, id: number): void {
    const confirmation = this.open.get(id)
    if (confirmation === undefined || !leave(confirmation, party)) return
    confirmation.confirmed++
    this.look(id, confirmation)
  }

  /** It gives it back, and `posted` is what becomes of it. `whole`: it keeps nothing of it. */
  onReturn(party: Party, id: number, whole: boolean, posted: Promise<Posted>): void {
    const confirmation = this.open.get(id)
    if (confirmation === undefined) return
    if (whole && leave(confirmation, party)) confirmation.tally.takeBack()
    this.holds(id, posted)
  }

  onForgotten(member: Member): void {
    for (const [id, confirmation] of this.open) {
      while (leave(confirmation, member));
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
    confirmation.awaited.length = 0
    this.look(id, confirmation)
  }

  private look(id: number, confirmation: Confirmation): void {
    const { awaited, tally, held, confirmed, timer, resolve } = confirmation
    if (awaited.length + held > 0 || resolve === undefined || !this.open.delete(id)) return
    timer?.cancel()
    resolve(tally.done({ confirmed, unconfirmed: tally.sent + tally.waiting - confirmed }))
  }
}

/** It is awaited once less. False: it was not. */
function leave({ awaited }: Confirmation, party: Party): boolean {
  const at = awaited.indexOf(party)
  if (at >= 0) awaited.splice(at, 1)
  return at >= 0
}
