/** Another member: what it says of itself, the live link to it if there is one, and what is owed to it. */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Pipe } from "../pipe.ts"
import type { Codecs } from "./codecs.ts"
import type { Content, ContentContext } from "./content.ts"
import { STUFFED, insist } from "./ends.ts"
import type { MemberInfo } from "./events.ts"
import type { Introduction } from "./introduction.ts"
import { Replay, unwrap } from "./replay.ts"
import { checkSubject } from "./subject.ts"
import { SubjectCache } from "./subject-bytes.ts"
import { Kind, numbered } from "./wire.ts"

/** What became of a message for one member. */
export type Posted = "sent" | "waiting" | "missed" | "full" | "too-large" | "gone"

/** Acknowledged at the latest after so many messages, or bytes. */
const TAKEN_EVERY = 1024
const TAKEN_BYTES = 262_144

type Revision = Pick<Introduction, "name" | "endpoints" | "advertised" | "meta" | "leaves">

export interface MemberOwner {
  /** The queue of its link is full, or has room again. */
  onLinkSlow(member: Member, full: boolean): void
  /** A content that came from it can't be decoded. */
  onUndecodable(member: Member | undefined, content: Content): void
}

export class Member implements MemberInfo {
  readonly id: string
  readonly epoch: number
  readonly nonce: string
  name: string
  endpoints: readonly string[]
  advertised = 0
  meta: Readonly<Record<string, unknown>>
  readonly leaf: boolean
  leaves = 0
  rtt: number | undefined
  features: ReadonlySet<string> = new Set()
  /** It takes BRIEF. */
  brief = false
  /** ms by which its clock was ahead of ours when they last met; undefined: it didn't say. */
  ahead: number | undefined
  /** The live link. */
  pipe: Pipe | undefined
  /** We dialled the live link. */
  dialled = false
  linkNumber = 0
  /** It has been announced as `join`, and not as `leave`. */
  present = false
  /** Its interest table is complete on the live link. */
  known = false
  /** It takes no new work. */
  draining = false
  /** It said goodbye. */
  left = false
  readonly replay: Replay
  /** Counted messages taken from it since our two boots met. */
  taken = 0
  /** Groups that are full there. */
  readonly full: Set<string> = new Set()
  /** Requests it was asked and has not answered. */
  outstanding = 0
  /** ms that answers take, and when that was measured: see groups.ts. */
  latency = 0
  measured = 0
  /** For the contents that come from it. */
  readonly reading: ContentContext
  /** The link's queue has refused, and has had no room since. */
  private slow = false
  private readonly owner: MemberOwner
  private said = 0
  /** It was told that `sayTaken` is due. */
  private owes = false
  private replays = false
  private unsaid = 0

  constructor(introduction: Introduction, replay: boolean, codecs: Codecs, owner: MemberOwner) {
    this.owner = owner
    this.reading = {
      codecs,
      subjects: new SubjectCache(isSubject),
      onUndecodable: (content) => owner.onUndecodable(this, content),
    }
    this.id = introduction.id
    this.epoch = introduction.epoch
    this.nonce = introduction.nonce
    this.replay = new Replay(replay && introduction.features.includes("replay"))
    this.name = introduction.name
    this.endpoints = introduction.endpoints
    this.meta = introduction.meta
    this.leaf = introduction.leaf
    this.setFeatures(introduction.features)
  }

  isBoot({ epoch, nonce }: Introduction): boolean {
    return this.epoch === epoch && this.nonce === nonce
  }

  get userId(): string | undefined {
    return this.pipe?.userId
  }

  get linked(): boolean {
    return this.pipe !== undefined
  }

  /** More waits for it than should, even of what can't be dropped. */
  get stuffed(): boolean {
    return this.pipe !== undefined && this.pipe.queuedBytes > STUFFED
  }

  /** A message of that size isn't too large for it. */
  takes(size: number): boolean {
    return size <= (this.pipe?.session?.peerMax ?? Infinity)
  }

  /** Sends, or keeps for it, a message that is counted. */
  post(message: Message, size: number = sizeOf(message)): Posted {
    const { pipe, replay } = this
    if (pipe === undefined) {
      if (this.left || !this.replays) return "gone"
      replay.note(message, size)
      return replay.over ? "missed" : "waiting"
    }
    try {
      if (!this.offer(message)) return "full"
    } catch (error) {
      if (error instanceof EarshotError && error.code === "EMSGSIZE") return "too-large"
      throw error
    }
    replay.note(message, size)
    return "sent"
  }

  /** Sends a message that is not counted. False: there is no link, or no room on it. Throws EMSGSIZE. */
  offer(message: Message): boolean {
    if (this.pipe === undefined) return false
    const taken = this.pipe.send(message)
    if (!taken) this.slowed(true)
    return taken
  }

  /** The link's queue is full, or has room again. */
  slowed(full: boolean): void {
    if (this.slow === full) return
    this.slow = full
    this.owner.onLinkSlow(this, full)
  }

  /** Sends what belongs to the link itself, whatever waits. False: there is no link. */
  tell(message: Message): boolean {
    if (this.pipe === undefined) return false
    insist(this.pipe, message)
    return true
  }

  /** The same for a message that is counted. */
  tellCounted(message: Message): void {
    if (this.tell(message)) this.replay.note(message, sizeOf(message))
    else this.post(message)
  }

  /** A counted message came. True: `sayTaken` is due within 50 ms from now. */
  take(size: number): boolean {
    // Said of those before it: this one may yet be given back, and that has to be said first.
    if (this.replays && (this.taken - this.said >= TAKEN_EVERY || this.unsaid >= TAKEN_BYTES)) this.sayTaken()
    this.taken++
    if (!this.replays) return false
    this.unsaid += size
    return this.owes ? false : (this.owes = true)
  }

  sayTaken(): void {
    this.owes = false
    if (this.taken === this.said) return
    this.said = this.taken
    this.unsaid = 0
    this.tell([numbered(Kind.TAKEN, 0, this.taken % 0x1_0000_0000)])
  }

  /** A link is there: counting goes on where it was. */
  begin(pipe: Pipe, dialled: boolean, introduction: Introduction): void {
    this.pipe = pipe
    this.dialled = dialled
    this.linkNumber = introduction.link
    this.known = false
    this.draining = false
    this.said = this.taken
    this.unsaid = 0
    this.full.clear()
    this.setFeatures(introduction.features)
    this.ahead = introduction.ahead
    this.revise(introduction)
  }

  private setFeatures(features: readonly string[]): void {
    this.features = new Set(features)
    this.brief = this.features.has("brief")
    this.replays = this.features.has("replay")
  }

  /** A link is there again: sends what it has not taken. Returns how many messages are missing for good since the last time. */
  resume(taken: number): number {
    if (!this.replays) return 0
    const { missing, fresh, messages } = this.replay.resume(unwrap(taken, this.replay.sent))
    if (missing > 0) this.tell([numbered(Kind.GAP, 0, missing)])
    for (const message of messages) this.tell(message)
    return fresh
  }

  /** It told something new of itself. */
  revise({ name, endpoints, advertised, meta, leaves }: Revision): void {
    this.name = name
    this.endpoints = endpoints
    this.advertised = advertised
    this.meta = meta
    this.leaves = leaves
  }
}

/** Of a message that somebody sent us. */
function isSubject(subject: string): boolean {
  try {
    checkSubject(subject)
    return true
  } catch {
    return false
  }
}
