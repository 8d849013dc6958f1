/**
 * Who is linked, by the pipe of the link; counted as they come and go, since a mesh that grows asks for the sums with each
 * new link.
 */
import type { Pipe } from "../pipe.ts"
import { Digest, fnv1a } from "./digest.ts"
import type { Member } from "./member.ts"

export class Roll {
  /** Of those that can be dialled, each as `markOf` has it. */
  readonly digest: Digest = new Digest()
  /** Members that are no leaves. */
  full = 0
  private readonly byPipe = new Map<Pipe, Member>()
  /** Those in the digest. */
  private readonly marks = new Map<Member, number>()

  get size(): number {
    return this.byPipe.size
  }

  get members(): Iterable<Member> {
    return this.byPipe.values()
  }

  get(pipe: Pipe): Member | undefined {
    return this.byPipe.get(pipe)
  }

  /** Its link is this one from now on. */
  enter(pipe: Pipe, member: Member, old: Pipe | undefined): void {
    if (old !== undefined) this.byPipe.delete(old)
    else if (!member.leaf) this.full++
    this.byPipe.set(pipe, member)
    this.review(member)
  }

  /** The link is no more. */
  strike(pipe: Pipe): void {
    const member = this.byPipe.get(pipe)
    if (member === undefined) return
    this.byPipe.delete(pipe)
    if (!member.leaf) this.full--
    this.unmark(member)
  }

  /** It has told anew where it can be dialled. */
  review(member: Member): void {
    this.unmark(member)
    if (!isListed(member)) return
    const mark = markOf(member)
    this.marks.set(member, mark)
    this.digest.add(mark, 1)
  }

  private unmark(member: Member): void {
    const mark = this.marks.get(member)
    if (mark === undefined) return
    this.marks.delete(member)
    this.digest.add(mark, -1)
  }
}

/** It can be dialled, and others are told of it. */
export function isListed({
  leaf,
  endpoints,
}: {
  readonly leaf: boolean
  readonly endpoints: readonly string[]
}): boolean {
  return !leaf && endpoints.length > 0
}

/** One boot of a member, in a digest. */
export function markOf({ id, epoch }: { readonly id: string; readonly epoch: number }): number {
  return fnv1a(`${id} ${epoch}`)
}
