/**
 * Carrying leaves: members that listen nowhere and reach the mesh through us. What others want is announced to them as our
 * wish, and their wishes to others as ours. One hop: what comes from a leaf goes to members and other leaves, what comes
 * from a member goes to our own leaves only; so no loops.
 */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import type { Content } from "./content.ts"
import { mayPass, partiesFor } from "./hop.ts"
import type { Wish } from "./interest.ts"
import type { Member } from "./member.ts"
import { Relay, type Passed, type RelayOwner } from "./relay.ts"
import { RequestPassing } from "./request-passing.ts"
import { Union } from "./union.ts"
import { COPY_HEAD, PLAIN_HEAD, publishHead } from "./wire.ts"

export class Carrier extends Relay {
  private readonly requests: RequestPassing
  private readonly leaves = new Set<Member>()
  /** What our leaves are told that the mesh wants; undefined while we have none. */
  private union: Union | undefined
  /** Every wish there is, to begin the union with. */
  private readonly wishes = new Set<Wish>()
  /** Of leaves whose link is lost: groups and requests leave them out until they are back. */
  private readonly withdrawn = new Set<Wish>()

  constructor(owner: RelayOwner) {
    super(owner)
    this.requests = new RequestPassing(owner)
  }

  override get carries(): boolean {
    return true
  }

  override get size(): number {
    return this.leaves.size
  }

  protected override onWish(wish: Wish): void {
    this.wishes.add(wish)
    this.show(wish)
  }

  protected override onWishGone(wish: Wish): void {
    this.wishes.delete(wish)
    if (!this.withdrawn.delete(wish)) this.hide(wish)
  }

  override greet(leaf: Member): void {
    this.leaves.add(leaf)
    for (const wish of [...this.withdrawn])
      if (wish.member === leaf) {
        this.withdrawn.delete(wish)
        this.show(wish)
      }
    if (this.union === undefined) {
      this.union = new Union(this.owner.clock)
      for (const wish of this.wishes) if (!this.withdrawn.has(wish)) this.union.add(wish)
    }
    this.union.greet(leaf)
  }

  override resend(leaf: Member): void {
    this.union?.greet(leaf)
  }

  override flush(): void {
    this.union?.flush()
  }

  override onUnlinked(member: Member): void {
    super.onUnlinked(member)
    if (!this.leaves.has(member)) return
    for (const wish of this.wishes)
      if (wish.member === member && (wish.queue !== undefined || wish.responds) && !this.withdrawn.has(wish)) {
        this.withdrawn.add(wish)
        this.hide(wish)
      }
  }

  override onForgotten(member: Member): void {
    super.onForgotten(member)
    this.requests.onForgotten(member)
    if (!this.leaves.delete(member)) return
    this.union?.forget(member)
    if (this.leaves.size > 0) return
    this.union?.close()
    this.union = undefined
  }

  override close(): void {
    this.requests.close()
    this.union?.close()
  }

  override concerns(from: Member): boolean {
    return from.leaf || this.leaves.size > 0
  }

  override pass(from: Member, content: Content, message: Message, copy: boolean): void {
    if (!this.concerns(from)) return
    const route = this.owner.routes.of(content.subject)
    let passed: Message | undefined
    for (const member of copy ? route.watching : route.plain)
      if (mayPass(from, member)) this.post(member, (passed ??= [copy ? COPY_HEAD : PLAIN_HEAD, ...message.slice(1)]))
  }

  override passTo(from: Member, group: string, content: Content, message: Message): Passed {
    if (!this.concerns(from)) return "own"
    const { groups, routes } = this.owner
    const parties = routes.of(content.subject).groups.find(({ name }) => name === group)?.parties ?? []
    const party = groups.pick(partiesFor(from, parties), group)
    if (party === undefined) return "own"
    if (party === null) return "full"
    return this.post(party, [publishHead(false, [group], 0), ...message.slice(1)]) ? "passed" : "full"
  }

  override ask(from: Member, message: Message, content: Content): boolean {
    return this.requests.ask(from, message, content)
  }

  override cancel(from: Member, id: number): boolean {
    return this.requests.cancel(from, id)
  }

  /** It is announced: a leaf's to members, everybody's to leaves. */
  private show(wish: Wish): void {
    if (wish.member?.leaf === true) this.owner.interest.carry(wish)
    this.union?.add(wish)
  }

  private hide(wish: Wish): void {
    if (wish.member?.leaf === true) this.owner.interest.drop(wish)
    this.union?.remove(wish)
  }

  private post(member: Member, message: Message): boolean {
    this.flush()
    const posted = member.post(message)
    if (posted === "full" || posted === "too-large") this.owner.drop(posted, 1, sizeOf(message), { member })
    return posted === "sent" || posted === "waiting"
  }
}
