/**
 * Work of queue groups that a member was given. It may give it back (RETURN) until it has acknowledged it; what it never got is
 * not taken from it, so that nobody can publish under another's name.
 */
import { sameBytes, sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { GROUPS, Kind, PLAIN, confirmOf, groupsOf } from "./wire.ts"

/** Messages, and bytes, that are remembered: more than may be on their way. Of one that acknowledges nothing it is the last ones. */
const MOST = 16_384
const MOST_BYTES = 32 * 1024 * 1024

interface Loan {
  /** It was the so many-th that was sent to that member; a later one, if some before it were taken back. */
  readonly number: number
  /** Groups for which it was given, and not given back yet; undefined until it is looked up. */
  groups: string[] | undefined
}

/** What came back. */
export interface Returned {
  /** The content, as it was given. */
  readonly frames: readonly Uint8Array[]
  /** As a taker is to confirm it; 0: it needn't. */
  readonly confirm: number
  /** Nothing of the message is left with that member. */
  readonly whole: boolean
}

/** May it come back? */
export const isWork = (message: Message): boolean => (message[0]![1]! & GROUPS) !== 0 && message[0]![0] === Kind.PUBLISH

export class Loans {
  private readonly loans = new Map<Message, Loan>()
  private bytes = 0

  add(message: Message, number: number, size: number): void {
    this.loans.set(message, { number, groups: undefined })
    this.bytes += size
    if (this.loans.size <= MOST && this.bytes <= MOST_BYTES) return
    for (const oldest of this.loans.keys()) {
      if (this.loans.size <= MOST && this.bytes <= MOST_BYTES) return
      this.delete(oldest)
    }
  }

  /** Undefined: it was not given that for this group, or has given it back, or acknowledged it. */
  giveBack(group: string, frames: readonly Uint8Array[]): Returned | undefined {
    for (const [message, loan] of this.loans) {
      if (!hasContent(message, frames)) continue
      const head = message[0]!
      const groups = (loan.groups ??= groupsOf(head))
      const at = groups.indexOf(group)
      if (at < 0) continue
      groups.splice(at, 1)
      return {
        frames: message.slice(1),
        confirm: confirmOf(head),
        whole: groups.length === 0 && (head[1]! & PLAIN) === 0,
      }
    }
    return undefined
  }

  /** It was taken back before it left. */
  delete(message: Message): void {
    if (this.loans.delete(message)) this.bytes -= sizeOf(message)
  }

  /** The member has acknowledged so many; `all`: everything that it was sent. */
  acknowledge(taken: number, all: boolean): void {
    for (const [message, { number }] of this.loans) {
      if (!all && number > taken) return
      this.delete(message)
    }
  }
}

function hasContent(message: Message, frames: readonly Uint8Array[]): boolean {
  return message.length === frames.length + 1 && frames.every((frame, i) => sameBytes(frame, message[i + 1]!))
}
