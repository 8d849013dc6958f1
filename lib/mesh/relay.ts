/** What passes through a member on its way to others. Here, nothing: see carrier.ts. Pages carry nobody, and leave that out. */
import type { Message } from "../contract.ts"
import type { Answering } from "./answering.ts"
import type { Asking } from "./asking.ts"
import type { Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Wish, Wishes } from "./interest.ts"
import type { Loads } from "./loads.ts"
import type { Member } from "./member.ts"

export interface RelayOwner extends Context {
  readonly asking: Asking
  readonly answering: Answering
  readonly loads: Loads
}

/** What became of a message for one of a group: it is for us, or somebody has got it, or nobody has room. */
export type Passed = "own" | "passed" | "full"

export class Relay implements Wishes {
  protected readonly owner: RelayOwner

  constructor(owner: RelayOwner) {
    this.owner = owner
  }

  /** Leaves are taken in. */
  get carries(): boolean {
    return false
  }

  /** Leaves that we carry. */
  get size(): number {
    return 0
  }

  add(pattern: string, wish: Wish): void {
    const { routes, loads } = this.owner
    routes.add(pattern, wish)
    this.onWish(wish)
    if (wish.queue !== undefined) loads.add(wish.queue, wish.member)
  }

  remove(pattern: string, wish: Wish): void {
    const { routes, loads } = this.owner
    routes.remove(pattern, wish)
    this.onWishGone(wish)
    if (wish.queue !== undefined) loads.remove(wish.queue, wish.member)
  }

  onUnlinked(member: Member): void {
    this.owner.loads.changeOf(member)
  }

  onForgotten(member: Member): void {
    this.owner.loads.forget(member)
  }

  /** A leaf is linked: it is told what the mesh wants. */
  greet(_leaf: Member): void {}

  resend(_leaf: Member): void {}

  /** Before a message goes to leaves. */
  flush(): void {}

  close(): void {}

  /** What comes from that member may have to be passed on. */
  concerns(_from: Member): boolean {
    return false
  }

  /** To whom else a message goes that a member published. */
  pass(_from: Member, _content: Content, _message: Message, _copy: boolean): void {}

  passTo(_from: Member, _group: string, _content: Content, _message: Message): Passed {
    return "own"
  }

  /** A request goes on, where somebody else than we ourselves is to answer it. False: it is for us. Throws EPROTO for a number that is in use. */
  ask(_from: Member, _message: Message, _content: Content): boolean {
    return false
  }

  /** The asker has given up. True: we had passed it on. */
  cancel(_from: Member, _id: number): boolean {
    return false
  }

  /** It has to be said before who has room. */
  protected onWish(_wish: Wish): void {}

  protected onWishGone(_wish: Wish): void {}
}
