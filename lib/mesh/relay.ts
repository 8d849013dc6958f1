/**
 * Carrying leaves: members that listen nowhere and reach the mesh through us. What others want is announced to them as our
 * wish, and their wishes to others as ours. One hop: what comes from a leaf goes to members and other leaves, what comes
 * from a member goes to our own leaves only; so no loops.
 */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import type { Answering } from "./answering.ts"
import type { Asking, Server } from "./asking.ts"
import type { Content } from "./content.ts"
import type { Context } from "./context.ts"
import { OwnInterest, type Wish, type Wishes } from "./interest.ts"
import type { Member } from "./member.ts"
import type { Party, Route } from "./routes.ts"
import { COPY_HEAD, FAILED, GROUP, Kind, PLAIN_HEAD, nameAt, numberAt, numbered, publishHead } from "./wire.ts"

export interface RelayOwner extends Context {
  readonly asking: Asking
  readonly answering: Answering
}

export class Relay implements Wishes {
  private readonly owner: RelayOwner
  private readonly leaves = new Set<Member>()
  /** What our leaves are told that the mesh wants; undefined while we have none. */
  private union: OwnInterest | undefined
  /** Every wish there is, to begin the union with. */
  private readonly wishes = new Set<Wish>()
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
    const { routes, interest } = this.owner
    routes.add(pattern, wish)
    this.wishes.add(wish)
    if (wish.member?.leaf === true) interest.carry(wish)
    this.union?.carry(wish)
  }

  remove(pattern: string, wish: Wish): void {
    const { routes, interest } = this.owner
    routes.remove(pattern, wish)
    this.wishes.delete(wish)
    if (wish.member?.leaf === true) interest.drop(wish)
    this.union?.drop(wish)
  }

  /** A leaf is linked: it is told what the mesh wants. */
  greet(leaf: Member): void {
    this.leaves.add(leaf)
    if (this.union === undefined) {
      this.union = new OwnInterest(this.owner.clock, undefined, (message) => {
        for (const each of this.leaves) each.tell(message)
      })
      for (const wish of this.wishes) this.union.carry(wish)
    }
    this.union.greet(leaf)
  }

  resend(leaf: Member): void {
    this.union?.resend(leaf)
  }

  /** Before a message goes to leaves. */
  flush(): void {
    if (this.union?.dirty === true) this.union.flush()
  }

  onForgotten(member: Member): void {
    this.onUnlinked(member)
    if (!this.leaves.delete(member) || this.leaves.size > 0) return
    this.union?.close()
    this.union = undefined
  }

  /** Nobody waits for what we passed on for it. */
  onUnlinked(member: Member): void {
    for (const takeBack of this.passed.get(member)?.values() ?? []) takeBack()
    this.passed.delete(member)
  }

  /** To whom else a message goes that a member published: see the rule above. */
  pass(from: Member, content: Content, message: Message, copy: boolean): void {
    if (this.leaves.size === 0 && !from.leaf) return
    const route = this.owner.routes.of(content.subject)
    const passed = [copy ? COPY_HEAD : PLAIN_HEAD, ...message.slice(1)]
    for (const member of copy ? route.watching : route.plain)
      if (member !== from && (from.leaf || member.leaf)) this.post(member, passed)
  }

  /** To one of a group: it is for us, or somebody has got it, or nobody has room. */
  passTo(from: Member, group: string, content: Content, message: Message): "own" | "passed" | "full" {
    if (this.leaves.size === 0 && !from.leaf) return "own"
    const { groups } = this.owner
    const parties = this.partiesFor(from, groupOf(this.owner.routes.of(content.subject), group))
    const party = groups.pick(parties, group)
    if (party === undefined) return "own"
    if (party === null) return "full"
    return this.post(party, [publishHead(false, [group], 0), ...message.slice(1)]) ? "passed" : "full"
  }

  /** Is there a leaf of ours with room for this group? */
  open(group: string): boolean {
    for (const leaf of this.leaves)
      if (leaf.linked && !leaf.draining && !leaf.full.has(group)) return this.wants(leaf, group)
    return false
  }

  /** Passes a request on, where somebody else than we ourselves is to answer it. False: it is for us. */
  ask(from: Member, message: Message, content: Content): boolean {
    if (this.leaves.size === 0 && !from.leaf) return false
    const { owner } = this
    const head = message[0]!
    const id = numberAt(head, 2)
    const group = head[1]! & GROUP ? nameAt(head, 10) : undefined
    const { servers } = owner.routes.of(content.subject)
    const parties = this.partiesFor(from, servers.find(({ queue }) => queue === group)?.parties ?? [])
    const server = this.choose(parties, group)
    if (server === undefined || server.party === undefined) return false
    const done = (): void => void this.passed.get(from)?.delete(id)
    const pending = owner.asking.ask(server, content.subject, message.slice(1), numberAt(head, 6), false, {
      resolve: (_content, _from, frames) => {
        done()
        from.tellCounted([numbered(Kind.REPLY, 0, id), ...frames])
      },
      reject: (error, frames) => {
        done()
        from.tellCounted([numbered(Kind.REPLY, FAILED, id), ...(frames ?? owner.answering.failed(error))])
      },
      refuse: (error) => {
        done()
        from.tellCounted([numbered(Kind.REPLY, FAILED, id), ...owner.answering.failed(error)])
      },
    })
    if (pending === undefined) return true
    from.tell([numbered(Kind.ACCEPT, 0, id)])
    let passed = this.passed.get(from)
    if (passed === undefined) this.passed.set(from, (passed = new Map()))
    passed.set(id, () => owner.asking.takeBack(pending))
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

  private partiesFor(from: Member, parties: readonly Party[]): Party[] {
    return parties.filter((party) => party !== from && (from.leaf || party === undefined || party.leaf))
  }

  private choose(parties: readonly Party[], group: string | undefined): Server | undefined {
    const { groups, clock } = this.owner
    const able = parties.filter((party) => party === undefined || (party.linked && !party.draining))
    const open = able.filter((party) => groups.open(party, group))
    const from = open.length > 0 ? open : able
    if (from.length === 0) return undefined
    return { party: from[Math.floor(clock.random() * from.length)], queue: group }
  }

  private wants(leaf: Member, group: string): boolean {
    for (const { member, queue } of this.wishes) if (member === leaf && queue === group) return true
    return false
  }

  private post(member: Member, message: Message): boolean {
    this.flush()
    const posted = member.post(message)
    if (posted === "full" || posted === "too-large") this.owner.drop(posted, 1, sizeOf(message), { member })
    return posted === "sent" || posted === "waiting"
  }
}

function groupOf(route: Route, group: string): readonly Party[] {
  return route.groups.find(({ name }) => name === group)?.parties ?? []
}
