/**
 * Carrying leaves: members that listen nowhere and reach the mesh through us. What others want is announced to them as our
 * wish, and their wishes to others as ours. One hop: what comes from a leaf goes to members and other leaves, what comes
 * from a member goes to our own leaves only; so no loops.
 */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Answering } from "./answering.ts"
import type { Asking, Server } from "./asking.ts"
import type { Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Wish, Wishes } from "./interest.ts"
import type { Loads } from "./loads.ts"
import type { Member } from "./member.ts"
import { choose } from "./one-request.ts"
import type { Party } from "./routes.ts"
import { Union } from "./union.ts"
import { COPY_HEAD, FAILED, Kind, PLAIN_HEAD, numberAt, numbered, publishHead, requestOf } from "./wire.ts"

export interface RelayOwner extends Context {
  readonly asking: Asking
  readonly answering: Answering
  readonly loads: Loads
}

/** Requests of one asker that are passed on at a time. */
const MAX_PASSED = 4096

export class Relay implements Wishes {
  private readonly owner: RelayOwner
  private readonly leaves = new Set<Member>()
  /** What our leaves are told that the mesh wants; undefined while we have none. */
  private union: Union | undefined
  /** Every wish there is, to begin the union with. */
  private readonly wishes = new Set<Wish>()
  /** Of leaves whose link is lost: groups and requests leave them out until they are back. */
  private readonly withdrawn = new Set<Wish>()
  /** Requests that we passed on, by who asked and their number. */
  private readonly passed = new Map<Member, Map<number, () => void>>()

  constructor(owner: RelayOwner) {
    this.owner = owner
  }

  /** Leaves that we carry. */
  get size(): number {
    return this.leaves.size
  }

  add(pattern: string, wish: Wish): void {
    const { routes, loads } = this.owner
    routes.add(pattern, wish)
    this.wishes.add(wish)
    this.show(wish)
    if (wish.queue !== undefined) loads.add(wish.queue, wish.member)
  }

  remove(pattern: string, wish: Wish): void {
    const { routes, loads } = this.owner
    routes.remove(pattern, wish)
    this.wishes.delete(wish)
    if (!this.withdrawn.delete(wish)) this.hide(wish)
    if (wish.queue !== undefined) loads.remove(wish.queue, wish.member)
  }

  /** A leaf is linked: it is told what the mesh wants. */
  greet(leaf: Member): void {
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

  resend(leaf: Member): void {
    this.union?.greet(leaf)
  }

  /** Before a message goes to leaves. */
  flush(): void {
    this.union?.flush()
  }

  onUnlinked(member: Member): void {
    this.owner.loads.changeOf(member)
    if (!this.leaves.has(member)) return
    for (const wish of this.wishes)
      if (wish.member === member && (wish.queue !== undefined || wish.responds) && !this.withdrawn.has(wish)) {
        this.withdrawn.add(wish)
        this.hide(wish)
      }
  }

  /** Nobody waits for what we passed on for it. */
  onForgotten(member: Member): void {
    for (const takeBack of this.passed.get(member)?.values() ?? []) takeBack()
    this.passed.delete(member)
    this.owner.loads.forget(member)
    if (!this.leaves.delete(member)) return
    this.union?.forget(member)
    if (this.leaves.size > 0) return
    this.union?.close()
    this.union = undefined
  }

  close(): void {
    this.union?.close()
  }

  /** What comes from that member may have to be passed on. */
  concerns(from: Member): boolean {
    return from.leaf || this.leaves.size > 0
  }

  /** To whom else a message goes that a member published: see the rule above. */
  pass(from: Member, content: Content, message: Message, copy: boolean): void {
    if (!this.concerns(from)) return
    const route = this.owner.routes.of(content.subject)
    let passed: Message | undefined
    for (const member of copy ? route.watching : route.plain)
      if (member !== from && (from.leaf || member.leaf))
        this.post(member, (passed ??= [copy ? COPY_HEAD : PLAIN_HEAD, ...message.slice(1)]))
  }

  /** To one of a group: it is for us, or somebody has got it, or nobody has room. */
  passTo(from: Member, group: string, content: Content, message: Message): "own" | "passed" | "full" {
    if (!this.concerns(from)) return "own"
    const { groups, routes } = this.owner
    const parties = routes.of(content.subject).groups.find(({ name }) => name === group)?.parties ?? []
    const party = groups.pick(partiesFor(from, parties), group)
    if (party === undefined) return "own"
    if (party === null) return "full"
    return this.post(party, [publishHead(false, [group], 0), ...message.slice(1)]) ? "passed" : "full"
  }

  /**
   * Passes a request on, where somebody else than we ourselves is to answer it: to one after another, until one takes it.
   * False: it is for us. Throws EPROTO for a number that is in use.
   */
  ask(from: Member, message: Message, content: Content): boolean {
    const { owner } = this
    const head = message[0]!
    const { group, to } = requestOf(head)
    if (to === undefined ? !this.concerns(from) : to === owner.self.id) return false
    const id = numberAt(head, 2)
    const route = owner.routes.of(content.subject)
    const parties = route.servers.find(({ queue }) => queue === group)?.parties ?? []
    const servers =
      to === undefined
        ? [...new Set(partiesFor(from, parties))].map((party): Server => ({ party, queue: group }))
        : owner.asking.servers(route, to).filter(({ party }) => mayPass(from, party))
    const first = choose(owner, servers)
    if (first === undefined && to !== undefined) {
      const error = new EarshotError("NO_RESPONDERS", "it is not here, or does not answer that")
      from.tellCounted([numbered(Kind.REPLY, FAILED, id), ...owner.answering.failed(error)])
      return true
    }
    if (first?.party === undefined) return false
    const passed = this.passed.get(from) ?? new Map<number, () => void>()
    if (passed.has(id)) throw new EarshotError("EPROTO", "a request with a number that is in use")
    this.passed.set(from, passed)
    const answer = (flags: number, frames: readonly Uint8Array[]): void => {
      passed.delete(id)
      // That we close is no answer: by the end of its link the asker learns it, and may ask another.
      if (!owner.closed) from.tellCounted([numbered(Kind.REPLY, flags, id), ...frames])
    }
    if (passed.size >= MAX_PASSED) {
      answer(FAILED, owner.answering.failed(new EarshotError("BUSY", "too many requests are under way")))
      return true
    }
    const attempt = (server: Server, left: readonly Server[]): void => {
      const others = left.filter((each) => each !== server)
      const pending = owner.asking.ask(server, content.subject, message.slice(1), numberAt(head, 6), false, {
        resolve: (_content, _from, frames) => answer(0, frames),
        reject: (error, frames) => answer(FAILED, frames ?? owner.answering.failed(error)),
        refuse: (error) => {
          const next = choose(owner, others)
          if (next === undefined || !passed.has(id)) answer(FAILED, owner.answering.failed(error))
          else attempt(next, others)
        },
      })
      passed.set(id, () => pending !== undefined && owner.asking.takeBack(pending))
    }
    from.tell([numbered(Kind.ACCEPT, 0, id)])
    attempt(first, servers)
    return true
  }

  /** The asker has given up. True: we had passed it on. */
  cancel(from: Member, id: number): boolean {
    const takeBack = this.passed.get(from)?.get(id)
    if (takeBack === undefined) return false
    this.passed.get(from)!.delete(id)
    takeBack()
    return true
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

/** One hop: what comes from a member goes to us and our own leaves only. */
export function mayPass(from: Member, party: Party): boolean {
  return party !== from && (from.leaf || party === undefined || party.leaf)
}

function partiesFor(from: Member, parties: readonly Party[]): Party[] {
  return parties.filter((party) => mayPass(from, party))
}
