/**
 * Samples by way of a carrier: what a leaf samples is asked of everybody, and what a member samples of our leaves, too, by the
 * relay's rule of one hop. Whoever asked gets no more than it asked for, from all together.
 */
import type { Message } from "../contract.ts"
import { mayPass } from "./hop.ts"
import type { Links } from "./links.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import { END, Kind, numbered } from "./wire.ts"

/** What is asked of others: by us, or for somebody. */
export interface Asked {
  readonly pattern: string
  readonly perSecond: number
}

interface Passed extends Asked {
  readonly asker: Member
  /** It gets what came, and is told that so many were left out before it. */
  readonly pass: (frames: readonly Uint8Array[], skipped: number) => void
}

export class SamplePassing {
  private readonly links: Links
  /** By the number under which we ask. */
  private readonly passed = new Map<number, Passed>()

  constructor(links: Links) {
    this.links = links
  }

  begin(number: number, passed: Passed): void {
    this.passed.set(number, passed)
    for (const member of this.links.linked) askFor(member, number, passed)
  }

  end(number: number): void {
    const passed = this.passed.get(number)
    if (passed === undefined) return
    this.passed.delete(number)
    for (const member of this.links.linked) if (mayPass(passed.asker, member)) endSample(member, number)
  }

  /** A link is new. */
  greet(member: Member): void {
    for (const [number, passed] of this.passed) askFor(member, number, passed)
  }

  onSampled(number: number, frames: readonly Uint8Array[], skipped: number): void {
    this.passed.get(number)?.pass(frames, skipped)
  }
}

export function askSample(member: Member, number: number, { pattern, perSecond }: Asked): void {
  if (!member.features.has("sample")) return
  const message: Message = [numbered(Kind.SAMPLE, 0, number), msgpack.encode({ pattern, perSecond })]
  member.tell(message)
}

export function endSample(member: Member, number: number): void {
  if (member.features.has("sample")) member.tell([numbered(Kind.SAMPLE, END, number)])
}

function askFor(member: Member, number: number, passed: Passed): void {
  if (mayPass(passed.asker, member)) askSample(member, number, passed)
}
