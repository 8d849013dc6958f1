/**
 * More members than may be linked (`maxLinks`): who would be one too many gives way, joins as a leaf of one that stays, and comes
 * back when there is room. Of each pair the listener decides who that is, from what both say of themselves; the carrier is the
 * same whoever names it (rendezvous hashing), so that no one carries all.
 */
import type { Timer } from "../clock.ts"
import { fnv1a } from "./digest.ts"
import type { Candidate } from "./contract.ts"
import type { Crowding } from "./doors.ts"
import type { Hub } from "./hub.ts"
import type { Introduction } from "./introduction.ts"

/** ms for the carrier that was chosen, and for the next, before all are dialled who might carry us. */
const STEP = 500
/** ms after which, still alone, we are a full member again: somebody has to take others in. */
const ALONE = 3000
/** ms as a leaf before it is looked whether there is room: half of it to all of it; doubled each time that there was none after all. */
const FIRST_STAY = 30_000
const LONGEST_STAY = 600_000
/** ms: who has to give way so soon had better not have come back. */
const SHORT = 60_000

export class Crowd implements Crowding {
  /** We have given way. */
  leaf = false
  private readonly hub: Hub
  /** From one to the other: links end that are not missed. */
  private turning = false
  private timer: Timer | undefined
  private stay = FIRST_STAY
  private cameBack = -Infinity

  constructor(hub: Hub) {
    this.hub = hub
  }

  /** A link is about to come. */
  get seeking(): boolean {
    return this.turning || (this.leaf && this.hub.links.linkedCount === 0)
  }

  countBut(id: string): Pick<Introduction, "links" | "dials"> {
    const { members, reach, roll } = this.hub.links
    const member = members.get(id)
    const own = member?.linked === true && !member.leaf ? 1 : 0
    return { links: roll.full - own, dials: reach.leadingBut(id) }
  }

  judge({ id, features, links, dials, maxLinks, leaves }: Introduction): "we" | "they" | undefined {
    const { hub } = this
    const most = hub.settings.maxLinks
    const own = this.countBut(id)
    const knows = features.includes("crowd")
    if (own.links + own.dials < most && (!knows || links + dials < maxLinks)) return undefined
    if (!knows) return "they"
    // Who may have fewest, who carries nobody, who is new: the others have more to lose by it.
    if (most !== maxLinks) return most > maxLinks ? "they" : "we"
    if (hub.relay.size > 0 !== leaves > 0) return leaves > 0 ? "we" : "they"
    if (own.links !== links) return own.links > links ? "they" : "we"
    return hub.identity.id < id ? "they" : "we"
  }

  get laden(): boolean {
    const { links, relay, settings } = this.hub
    return !relay.carries || links.linkedCount - links.roll.full >= settings.maxLeaves
  }

  spareFor(leaf: string): Candidate | undefined {
    const { links, settings } = this.hub
    const spare = [...links.linked].filter((member) => !member.leaf && member.leaves < settings.maxLeaves)
    return rank(leaf, spare)[0]
  }

  carrierOf(leaf: string): Candidate | undefined {
    const { hub } = this
    if (this.leaf) {
      const [carrier] = hub.links.linked
      return carrier
    }
    const all: Candidate[] = [{ id: hub.identity.id, endpoints: hub.endpoints }]
    for (const member of hub.links.linked) if (!member.leaf && member.id !== leaf) all.push(member)
    return rank(leaf, all)[0]
  }

  ask({ id, endpoints }: Introduction): void {
    this.hub.links.reach.found(id, endpoints)
  }

  giveWay(to: Candidate | undefined, refuser: Candidate, reason: string): void {
    const { hub } = this
    if (this.leaf || hub.closed) return
    const { carriers } = hub.finder
    for (const { id, endpoints, leaf } of hub.links.linked) if (!leaf) carriers.remember(id, endpoints)
    carriers.remember(refuser.id, refuser.endpoints)
    const now = hub.clock.now()
    this.stay = now - this.cameBack < SHORT ? Math.min(2 * this.stay, LONGEST_STAY) : FIRST_STAY
    this.turn(true)
    hub.finder.log("info", `${reason}: it joins as a leaf`)
    const said = `${reason}; it joins as a leaf instead`
    hub.denials.add({ what: "link", member: refuser.id!, reason: said, count: 1 })
    this.seek(to)
  }

  redirect(to: Candidate): void {
    const { hub } = this
    if (hub.closed || to.endpoints.length === 0) return
    if (this.seeking) hub.links.reach.found(to.id, to.endpoints)
    else hub.finder.onRecord({ id: to.id!, endpoints: to.endpoints, epoch: 0, advertised: 0 })
  }

  onLinked(): void {
    if (!this.leaf) return
    this.timer?.cancel()
    this.timer = this.hub.clock.timeout(() => this.look(), this.stay * (0.5 + this.hub.clock.random() / 2))
  }

  /** Its carrier is lost. */
  onAlone(): void {
    if (!this.turning && !this.hub.closed) this.seek(undefined)
  }

  close(): void {
    this.timer?.cancel()
  }

  /** Is there room again? */
  private look(): void {
    const { hub } = this
    // The carrier, and those it is linked with.
    if (hub.links.gossip.heard.size + 1 <= hub.settings.maxLinks) this.comeBack()
    else this.onLinked()
  }

  private comeBack(): void {
    const { hub } = this
    // Not those who may have given way themselves, unless nobody else is known.
    const { heard } = hub.links.gossip
    const all = heard.size > 0 ? [...hub.links.linked, ...heard.values()] : [...this.known()]
    this.cameBack = hub.clock.now()
    hub.finder.log("info", "there is room again: it is no leaf any more")
    this.turn(false)
    for (const { id, endpoints } of all) hub.links.reach.found(id, endpoints)
    hub.finder.nudge()
  }

  private turn(leaf: boolean): void {
    const { hub } = this
    const { links, finder } = hub
    this.timer?.cancel()
    this.turning = true
    // What is published meanwhile is not for us, and nobody counts it.
    if (hub.settled) for (const member of links.linked) if (member.known) hub.onGap(member, "received", undefined)
    links.partFromAll()
    // Before our dials are given up: who waits at the door for their end comes to what we are now.
    this.leaf = leaf
    links.reach.clear()
    this.turning = false
    if (!leaf) links.gossip.heard.clear()
    finder.announce()
  }

  /** Whoever might carry us: the best first, then the next, then all. */
  private seek(first: Candidate | undefined): void {
    const { hub } = this
    const { reach } = hub.links
    const rest = rank(hub.identity.id, [...this.known()])
    const [best, second = best] = first === undefined ? rest : [first, ...rest.filter(({ id }) => id !== first.id)]
    const steps: (() => void)[] = [
      () => best !== undefined && reach.found(best.id, best.endpoints),
      () => second !== undefined && reach.found(second.id, second.endpoints),
      () => {
        for (const { id, endpoints } of this.known()) reach.found(id, endpoints)
      },
    ]
    const step = (): void => {
      const next = steps.shift()
      if (next === undefined) return this.comeBack()
      next()
      this.timer = hub.clock.timeout(step, steps.length > 0 ? STEP : ALONE)
    }
    this.timer?.cancel()
    step()
  }

  private *known(): Iterable<Candidate> {
    const { links, finder } = this.hub
    const ids = new Set<string | undefined>()
    for (const each of [...links.linked, ...links.gossip.heard.values(), ...finder.carriers.list()]) {
      if (each.id !== undefined && ids.has(each.id)) continue
      ids.add(each.id)
      yield { id: each.id, endpoints: each.endpoints }
    }
  }
}

/** By the hash of both, so that each leaf has an order of its own that all agree on. */
function rank(leaf: string, all: readonly Candidate[]): Candidate[] {
  const weights = new Map(all.map((one) => [one, mix(fnv1a(`${one.id ?? one.endpoints[0]} ${leaf}`))]))
  return all.toSorted((a, b) => weights.get(b)! - weights.get(a)!)
}

/** The end of MurmurHash3 (32 bits): every bit depends on every other. */
function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2_ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}
