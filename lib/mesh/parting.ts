/**
 * The end of our own links. Whoever reads our goodbye says at once what it has taken; what nobody has vouched for when that
 * is over was lost with us, and is counted.
 */
import type { Clock, Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import type { Pipe } from "../pipe.ts"
import type { Member } from "./member.ts"
import { unwrap } from "./replay.ts"
import { Kind, counted, numberAt } from "./wire.ts"

export class Parting {
  private readonly clock: Clock
  private readonly members: ReadonlyMap<string, Member>
  private timer: Timer | undefined
  private done: (() => void) | undefined

  constructor(clock: Clock, members: ReadonlyMap<string, Member>) {
    this.clock = clock
    this.members = members
  }

  /** Resolves when all have taken all, or take no more, at the latest after `ms`. */
  wait(ms: number): Promise<void> {
    if (!this.awaited || ms <= 0) return Promise.resolve()
    this.clock.hold()
    return new Promise<void>((resolve) => {
      this.done = resolve
      this.timer = this.clock.timeout(resolve, ms)
    }).finally(() => {
      this.timer?.cancel()
      this.done = undefined
      this.clock.release()
    })
  }

  /** What still comes from a member: it matters only what it has taken. Ours is nobody's to take any more. */
  hear(member: Member, message: Message): void {
    const head = message[0]!
    if (head[0] === Kind.GOODBYE) member.left = true
    else if (head[0] === Kind.TAKEN && head.length >= 6)
      member.replay.acknowledge(unwrap(numberAt(head, 2), member.replay.sent))
    this.look()
  }

  /** Somebody has taken something, or gone. */
  look(): void {
    if (this.done !== undefined && !this.awaited) this.done()
  }

  /** To be called before links without acknowledgements end; what it returns, when they have: messages that they did not get. */
  watch(member: Member): () => { readonly count: number; readonly bytes: number } {
    const { pipe, replay } = member
    if (member.features.has("replay")) return () => ({ count: replay.untold, bytes: replay.bytes })
    const unsent = pipe?.unsent() ?? []
    return () => lostOf(unsent, pipe)
  }

  private get awaited(): boolean {
    for (const { linked, left, features, replay } of this.members.values())
      if (linked && !left && features.has("replay") && replay.untold > 0) return true
    return false
  }
}

/** Of what waited on a link, what was dropped with it: the newest. */
function lostOf(
  unsent: readonly Message[],
  pipe: Pipe | undefined,
): { readonly count: number; readonly bytes: number } {
  const { linger, disconnected } = pipe?.drops ?? {}
  const dropped = (linger?.count ?? 0) + (disconnected?.count ?? 0)
  const lost = unsent.slice(Math.max(0, unsent.length - dropped)).filter(([head]) => counted(head![0]!))
  return { count: lost.length, bytes: lost.flat().reduce((sum, { length }) => sum + length, 0) }
}
