/**
 * Members tell each other whom they are linked with: first a digest of it, where that differs the list of ids, then only the
 * records that the other lacks. Nobody passes on what it has only heard, so that the dead don't circulate.
 */
import type { Clock, Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import { batches } from "./batches.ts"
import { Digest } from "./digest.ts"
import { endpointsOf, isMemberId } from "./introduction.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import { isListed, markOf, type Roll } from "./roll.ts"
import { ANSWER, Kind, bare } from "./wire.ts"

/** What a member tells of a third. */
export interface PeerRecord {
  readonly id: string
  readonly epoch: number
  readonly endpoints: readonly string[]
  /** So many of them, from the first on, were named by `advertise`: fit for whoever is elsewhere. */
  readonly advertised: number
}

export interface GossipOwner {
  readonly self: PeerRecord & { readonly leaf: boolean }
  readonly roll: Roll
  /** There are members to dial. */
  readonly seeking: boolean
  /** Somebody is said to be alive there. */
  onRecord(record: PeerRecord): void
  /** Things that were skipped. */
  onUnknown(count: number): void
}

/** ms between two rounds, each with one member drawn at random. */
const ROUND = 5000
/** The first links, and later ones at a time, on which the lists are compared. */
const GREETED = 4
/** ms without a dial after which nobody else seems to come. */
const LULL = 250
/** Of others: members in a list, records in a message. */
const MAX_LIST = 65_536
const MAX_RECORDS = 1024
/** Members that a leaf remembers. */
const MAX_HEARD = 16_384
/** Records taken from one member in so many ms. */
const MAX_TOLD = 4096
const TOLD_EVERY = 60_000

export class Gossip {
  private readonly clock: Clock
  private readonly owner: GossipOwner
  private timer: Timer | undefined
  private lull: Timer | undefined
  /** A leaf's: whom its carrier is linked with, by id. */
  readonly heard: Map<string, PeerRecord> = new Map()
  /** There are links on which nothing was compared. */
  private skipped = false
  private readonly told = new WeakMap<Member, { since: number; count: number }>()

  constructor(clock: Clock, owner: GossipOwner) {
    this.clock = clock
    this.owner = owner
  }

  start(): void {
    this.timer ??= this.clock.timeout(() => this.round(), ROUND * (0.5 + this.clock.random()))
  }

  stop(): void {
    this.timer?.cancel()
    this.lull?.cancel()
    this.timer = this.lull = undefined
  }

  /**
   * A link is new. In a mesh that grows fast the first few are enough to hear of everybody; who has many to dial will meet
   * them by and by, and compares again when that is done.
   */
  onLinked(member: Member, linked: number): void {
    if (linked <= GREETED) this.greet(member)
    else if (this.owner.seeking) this.skipped = true
    else if (this.clock.random() * linked < GREETED) this.greet(member)
  }

  /** Nobody is being dialled just now. */
  onIdle(): void {
    if (!this.skipped || this.lull !== undefined) return
    this.lull = this.clock.timeout(() => {
      this.lull = undefined
      if (this.owner.seeking) return
      this.skipped = false
      for (let n = 0; n < GREETED; n++) this.greetOne()
    }, LULL)
  }

  private greet(member: Member): void {
    if (member.features.has("gossip")) member.tell([bare(Kind.CENSUS), msgpack.encode(this.digest().pair)])
  }

  onCensus(member: Member, body: Uint8Array | undefined): void {
    if (!this.digest().fits(read(body, 16))) this.list(member, true)
  }

  onMembers(member: Member, flags: number, body: Uint8Array | undefined): void {
    const theirs = new Map<unknown, unknown>(read(body, MAX_LIST).filter(Array.isArray) as [unknown, unknown][])
    // Only one carries a leaf, and it lists all.
    if (this.owner.self.leaf)
      for (const id of this.heard.keys()) if (id === member.id || !theirs.has(id)) this.heard.delete(id)
    const lacking: PeerRecord[] = []
    for (const { id, epoch, endpoints, advertised } of this.known())
      if (id !== member.id && !this.heard.has(id) && !(Number(theirs.get(id)) >= epoch))
        lacking.push({ id, epoch, endpoints, advertised })
    for (const each of batches(lacking, weigh)) member.tell([bare(Kind.RECORDS), msgpack.encode(each)])
    if (flags & ANSWER) this.list(member, false)
  }

  onRecords(member: Member, body: Uint8Array | undefined): void {
    let skipped = 0
    for (const each of read(body, MAX_RECORDS)) {
      const { id, epoch, endpoints, advertised } = Object(each) as Partial<Record<keyof PeerRecord, unknown>>
      const usable = endpointsOf(endpoints)
      if (!isMemberId(id) || usable.length === 0 || !this.mayTell(member)) skipped++
      else {
        const record = { id, epoch: Number(epoch) || 0, endpoints: usable, advertised: Number(advertised) || 0 }
        if (this.owner.self.leaf && id !== member.id && this.heard.size < MAX_HEARD) this.heard.set(id, record)
        this.owner.onRecord(record)
      }
    }
    if (skipped > 0) this.owner.onUnknown(skipped)
  }

  private mayTell(member: Member): boolean {
    const now = this.clock.now()
    let told = this.told.get(member)
    if (told === undefined || now - told.since > TOLD_EVERY) this.told.set(member, (told = { since: now, count: 0 }))
    return ++told.count <= MAX_TOLD
  }

  private list(member: Member, answer: boolean): void {
    const list = Array.from(this.known(), ({ id, epoch }) => [id, epoch])
    member.tell([bare(Kind.MEMBERS, answer ? ANSWER : 0), msgpack.encode(list)])
  }

  private round(): void {
    this.timer = undefined
    this.start()
    this.greetOne()
  }

  private greetOne(): void {
    const linked = [...this.owner.roll.members]
    const member = linked[Math.floor(this.clock.random() * linked.length)]
    if (member !== undefined) this.greet(member)
  }

  private *known(): Iterable<PeerRecord> {
    const { self, roll } = this.owner
    if (isListed(self)) yield self
    for (const member of roll.members) if (isListed(member)) yield member
    if (self.leaf) yield* this.heard.values()
  }

  /** Of whom we know. */
  private digest(): Digest {
    const { self, roll } = this.owner
    const digest = new Digest()
    digest.count = roll.digest.count
    digest.hash = roll.digest.hash
    if (isListed(self)) digest.add(markOf(self), 1)
    if (self.leaf) for (const record of this.heard.values()) digest.add(markOf(record), 1)
    return digest
  }
}

/** Bytes of a record, at most: names of fields, an id, numbers, and endpoints, which are ASCII. */
const weigh = ({ endpoints }: PeerRecord): number => endpoints.reduce((sum, { length }) => sum + length + 5, 160)

/** A list of MessagePack. Throws EPROTO. */
function read(body: Uint8Array | undefined, most: number): unknown[] {
  let value: unknown
  try {
    if (body !== undefined) value = msgpack.decode(body)
  } catch (error) {
    throw new EarshotError("EPROTO", "gossip that is no MessagePack", error)
  }
  if (!Array.isArray(value) || value.length > most)
    throw new EarshotError("EPROTO", "gossip that is no list as it fits")
  return value
}
