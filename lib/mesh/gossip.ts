/**
 * Members tell each other whom they are linked with: first a hash of it, where that differs the list of ids, then only the
 * records that the other lacks. Nobody passes on what it has only heard, so that the dead don't circulate.
 */
import type { Clock, Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import { Kind, bare } from "./wire.ts"

/** What a member tells of a third. */
export interface PeerRecord {
  readonly id: string
  readonly epoch: number
  readonly endpoints: readonly string[]
}

export interface GossipOwner {
  readonly self: PeerRecord
  /** Linked members, leaves not among them. */
  readonly linked: Iterable<Member>
  /** Somebody is said to be alive there. */
  onRecord(record: PeerRecord): void
}

/** MEMBERS: the body is a hash alone; the other is asked for its list in return. */
const HASH = 1
const ANSWER = 2
/** ms between two rounds, each with one member drawn at random. */
const ROUND = 5000
/** New links at a time on which the lists are compared. */
const GREETED = 4
const RECORDS_PER_MESSAGE = 256
const MAX_LIST = 65_536

export class Gossip {
  private readonly clock: Clock
  private readonly owner: GossipOwner
  private timer: Timer | undefined

  constructor(clock: Clock, owner: GossipOwner) {
    this.clock = clock
    this.owner = owner
  }

  start(): void {
    this.timer ??= this.clock.timeout(() => this.round(), ROUND * (0.5 + this.clock.random()))
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = undefined
  }

  /** A link is new. In a mesh that grows fast a few of them are enough to hear of everybody. */
  onLinked(member: Member, linked: number): void {
    if (linked <= GREETED || this.clock.random() * linked < GREETED) this.greet(member)
  }

  private greet(member: Member): void {
    member.tell([bare(Kind.MEMBERS, HASH), msgpack.encode(this.hash())])
  }

  onMembers(member: Member, flags: number, body: Uint8Array): void {
    const value = decode(body)
    if (flags & HASH) {
      if (value !== this.hash()) this.list(member, true)
      return
    }
    if (!Array.isArray(value) || value.length > MAX_LIST)
      throw new EarshotError("EPROTO", "a list of members that is none")
    const theirs = new Map<unknown, unknown>(value.filter(Array.isArray) as [unknown, unknown][])
    const lacking: PeerRecord[] = []
    for (const record of this.records())
      if (record.id !== member.id && !(Number(theirs.get(record.id)) >= record.epoch)) lacking.push(record)
    for (let i = 0; i < lacking.length; i += RECORDS_PER_MESSAGE)
      member.tell([bare(Kind.RECORDS), msgpack.encode(lacking.slice(i, i + RECORDS_PER_MESSAGE))])
    if (flags & ANSWER) this.list(member, false)
  }

  onRecords(body: Uint8Array): void {
    const value = decode(body)
    if (!Array.isArray(value) || value.length > MAX_LIST) throw new EarshotError("EPROTO", "records that are none")
    for (const each of value) {
      const { id, epoch, endpoints } = Object(each) as Partial<Record<keyof PeerRecord, unknown>>
      if (typeof id !== "string" || id.length > 64 || !Array.isArray(endpoints)) continue
      const usable = endpoints.filter(
        (endpoint): endpoint is string => typeof endpoint === "string" && endpoint.length <= 1024,
      )
      this.owner.onRecord({ id, epoch: Number(epoch) || 0, endpoints: usable.slice(0, 32) })
    }
  }

  private list(member: Member, answer: boolean): void {
    const list = [...this.records()].map(({ id, epoch }) => [id, epoch])
    member.tell([bare(Kind.MEMBERS, answer ? ANSWER : 0), msgpack.encode(list)])
  }

  private round(): void {
    this.timer = undefined
    this.start()
    const linked = [...this.owner.linked]
    const member = linked[Math.floor(this.clock.random() * linked.length)]
    if (member !== undefined) this.greet(member)
  }

  private *records(): Iterable<PeerRecord> {
    const { self, linked } = this.owner
    if (self.endpoints.length > 0) yield self
    for (const { id, epoch, endpoints, leaf } of linked)
      if (!leaf && endpoints.length > 0) yield { id, epoch, endpoints }
  }

  /** Of whom we know, whatever the order: a number below 2^32. */
  private hash(): number {
    let sum = 0
    for (const { id, epoch } of this.records()) {
      let hash = 0x811c9dc5 ^ epoch
      for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
      sum = (sum + (hash >>> 0)) >>> 0
    }
    return sum
  }
}

function decode(body: Uint8Array): unknown {
  try {
    return msgpack.decode(body)
  } catch (error) {
    throw new EarshotError("EPROTO", "gossip that is no MessagePack", error)
  }
}
