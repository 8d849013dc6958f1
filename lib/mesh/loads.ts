/**
 * Which queue groups have no room here, as the others are told. Members ask of ourselves and our leaves; a leaf of everybody
 * but itself, for we are the whole mesh to it.
 */
import type { Counters } from "./counters.ts"
import type { Groups, OwnLoad } from "./groups.ts"
import type { OwnInterest } from "./interest.ts"
import type { Links } from "./links.ts"
import type { Member } from "./member.ts"
import type { Relay } from "./relay.ts"
import type { Party } from "./routes.ts"
import { FULL, Kind, groupHead } from "./wire.ts"

export interface LoadsOwner extends OwnLoad {
  readonly links: Links
  readonly groups: Groups
  readonly counters: Counters
  readonly interest: OwnInterest
  readonly relay: Relay
}

/** Who has room: nobody, one, or several. */
type Open = "nobody" | "several" | { readonly only: Party }

export class Loads {
  private readonly owner: LoadsOwner
  /** How often each party is in a group. */
  private readonly holders = new Map<string, Map<Party, number>>()
  private readonly leaves = new Set<Member>()
  /** What leaves were told by. */
  private readonly told = new Map<string, Open>()

  constructor(owner: LoadsOwner) {
    this.owner = owner
  }

  add(group: string, party: Party): void {
    let parties = this.holders.get(group)
    if (parties === undefined) this.holders.set(group, (parties = new Map()))
    parties.set(party, (parties.get(party) ?? 0) + 1)
    this.change(group)
  }

  remove(group: string, party: Party): void {
    const parties = this.holders.get(group)
    const times = parties?.get(party)
    if (parties === undefined || times === undefined) return
    if (times > 1) parties.set(party, times - 1)
    else parties.delete(party)
    this.change(group)
    if (parties.size > 0) return
    this.holders.delete(group)
    this.told.delete(group)
  }

  /** Somebody may have room who had none, or the other way round. */
  change(group: string): void {
    const { counters, links, interest, relay } = this.owner
    const full = this.full(group)
    // Who is free must not be heard of before what it is free for.
    if (counters.tellLoad(group, full)) {
      if (interest.dirty) interest.flush()
      for (const member of links.linked) if (!member.leaf) member.tell(loadOf(group, full))
    }
    if (this.leaves.size === 0) return
    const open = this.open(group)
    const before = this.told.get(group)
    if (isSame(open, before ?? "several")) return
    this.told.set(group, open)
    relay.flush()
    for (const leaf of this.leaves) {
      const now = isFull(open, leaf)
      if (now !== isFull(before ?? "several", leaf)) leaf.tell(loadOf(group, now))
    }
  }

  /** It has come, or gone, or takes no new work. */
  changeOf(party: Party): void {
    if (this.leaves.size > 0 || party?.leaf === true)
      for (const [group, parties] of this.holders) if (parties.has(party)) this.change(group)
  }

  greet(member: Member): void {
    if (!member.leaf) for (const group of this.owner.counters.fullGroups()) member.tell(loadOf(group, true))
    else {
      if (this.leaves.size === 0) for (const group of this.holders.keys()) this.told.set(group, this.open(group))
      this.leaves.add(member)
      for (const [group, open] of this.told) if (isFull(open, member)) member.tell(loadOf(group, true))
    }
    this.changeOf(member)
  }

  forget(member: Member): void {
    if (this.leaves.delete(member) && this.leaves.size === 0) this.told.clear()
  }

  /** For members: neither we have room nor a leaf of ours; where none of us is in the group nobody asks. */
  private full(group: string): boolean {
    const { groups } = this.owner
    let full = false
    for (const party of this.holders.get(group)?.keys() ?? [])
      if (party === undefined || party.leaf) {
        if (groups.open(party, group)) return false
        full = true
      }
    return full
  }

  /** Where nobody is in the group nobody asks, and nothing is to be told, or remembered. */
  private open(group: string): Open {
    const parties = this.holders.get(group)
    if (parties === undefined || parties.size === 0) return "several"
    let open: Open = "nobody"
    for (const party of parties.keys())
      if (this.owner.groups.open(party, group)) {
        if (open !== "nobody") return "several"
        open = { only: party }
      }
    return open
  }
}

const isFull = (open: Open, leaf: Member): boolean => open === "nobody" || (open !== "several" && open.only === leaf)

const isSame = (a: Open, b: Open): boolean =>
  typeof a === "object" && typeof b === "object" ? a.only === b.only : a === b

const loadOf = (group: string, full: boolean): [Uint8Array] => [groupHead(Kind.LOAD, full ? FULL : 0, group)]
