/**
 * Who wants what. Our own interest is counted by reference and told to every linked member: the full table first, then the
 * changes, in order, gathered per turn. Theirs goes into the table that routes are made from. A digest from time to time
 * proves that both sides mean the same.
 */
import type { Clock, Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import { checkPattern } from "./subject.ts"
import { Kind, MAX_GROUP, RESET, bare } from "./wire.ts"

/** One wish of one member. */
export interface Interest {
  readonly pattern: string
  /** The queue group; undefined: every message. */
  readonly queue: string | undefined
  /** It answers requests. */
  readonly responds: boolean
}

/** What a member wants; `member` is undefined for ourselves. */
export interface Wish extends Interest {
  readonly member: Member | undefined
}

/** Where wishes are looked up: the table of routes. */
export interface Wishes {
  add(pattern: string, wish: Wish): void
  remove(pattern: string, wish: Wish): void
}

/** Of one member. */
export const MAX_INTEREST = 65_536
const OPS_PER_MESSAGE = 1024
/** ms between two digests on a link, at least. */
export const DIGEST_EVERY = 10_000
const RESPONDS = 1

type Op = readonly [add: 0 | 1, pattern: string, queue: string | null, flags: number]

const keyOf = ({ pattern, queue, responds }: Interest): string =>
  `${responds ? "r" : "s"}${queue === undefined ? "" : `q${queue}`} ${pattern}`

const opOf = (add: 0 | 1, { pattern, queue, responds }: Interest): Op => [
  add,
  pattern,
  queue ?? null,
  responds ? RESPONDS : 0,
]

/** Of a set of wishes, whatever their order: a number below 2^32. */
class Digest {
  count = 0
  hash = 0
  change(key: string, by: 1 | -1): void {
    let hash = 0x811c9dc5
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
    this.count += by
    this.hash = (this.hash + by * (hash >>> 0)) >>> 0
  }
}

/** Our own. */
export class OwnInterest {
  /** There are changes that nobody has been told of. */
  dirty = false
  private readonly clock: Clock
  private readonly wishes: Wishes | undefined
  private readonly tellAll: (message: Message) => void
  /** Ours, and those of the leaves that we carry. */
  private readonly wanted = new Map<string, { readonly wish: Wish; own: number; carried: number }>()
  private readonly digest = new Digest()
  private changes: Op[] = []
  private proof: Timer | undefined

  /** `wishes`: where our own are put. `tellAll`: to whom this interest is announced. */
  constructor(clock: Clock, wishes: Wishes | undefined, tellAll: (message: Message) => void) {
    this.clock = clock
    this.wishes = wishes
    this.tellAll = tellAll
  }

  get size(): number {
    return this.wanted.size
  }

  list(): Interest[] {
    return [...this.wanted.values()].map(({ wish }) => wish)
  }

  acquire(interest: Interest): void {
    const known = this.want(interest)
    if (known.own++ === 0) this.wishes?.add(interest.pattern, known.wish)
  }

  release(interest: Interest): void {
    const known = this.wanted.get(keyOf(interest))
    if (known === undefined) return
    if (--known.own === 0) this.wishes?.remove(interest.pattern, known.wish)
    this.settle(known)
  }

  /** A leaf's wish: others are to send it to us. */
  carry(interest: Interest): void {
    this.want(interest).carried++
  }

  drop(interest: Interest): void {
    const known = this.wanted.get(keyOf(interest))
    if (known === undefined) return
    known.carried--
    this.settle(known)
  }

  /** Before anything else is sent: a reply must not overtake the wish that asked for it. */
  flush(): void {
    this.dirty = false
    const { changes } = this
    this.changes = []
    for (const message of encode(changes)) this.tellAll(message)
  }

  /** All of it, for a link that is new; then the barrier. */
  greet(member: Member): void {
    if (this.dirty) this.flush()
    this.resend(member)
    member.tell([bare(Kind.BARRIER)])
  }

  /** A digest didn't fit: once more from the start. */
  resend(member: Member): void {
    member.tell([bare(Kind.INTEREST, RESET), msgpack.encode([])])
    for (const message of encode([...this.wanted.values()].map(({ wish }) => opOf(1, wish)))) member.tell(message)
  }

  close(): void {
    this.proof?.cancel()
  }

  private digestMessage(): Message {
    if (this.dirty) this.flush()
    return [bare(Kind.DIGEST), msgpack.encode([this.digest.count, this.digest.hash])]
  }

  private want(interest: Interest): { readonly wish: Wish; own: number; carried: number } {
    const key = keyOf(interest)
    let known = this.wanted.get(key)
    if (known === undefined) {
      const { pattern, queue, responds } = interest
      known = { wish: { pattern, queue, responds, member: undefined }, own: 0, carried: 0 }
      this.wanted.set(key, known)
      this.change(key, known.wish, 1)
    }
    return known
  }

  private settle({
    wish,
    own,
    carried,
  }: {
    readonly wish: Wish
    readonly own: number
    readonly carried: number
  }): void {
    if (own + carried > 0) return
    const key = keyOf(wish)
    this.wanted.delete(key)
    this.change(key, wish, 0)
  }

  private change(key: string, wish: Wish, add: 0 | 1): void {
    this.digest.change(key, add === 1 ? 1 : -1)
    this.changes.push(opOf(add, wish))
    // Some time after the last change all are told what should have come of it.
    this.proof ??= this.clock.timeout(() => {
      this.proof = undefined
      this.tellAll(this.digestMessage())
    }, DIGEST_EVERY)
    if (this.dirty) return
    this.dirty = true
    this.clock.microtask(() => {
      if (this.dirty) this.flush()
    })
  }
}

function encode(ops: readonly Op[]): Message[] {
  const messages: Message[] = []
  for (let i = 0; i < ops.length; i += OPS_PER_MESSAGE)
    messages.push([bare(Kind.INTEREST), msgpack.encode(ops.slice(i, i + OPS_PER_MESSAGE))])
  return messages
}

/** Another member's. */
export class TheirInterest {
  private readonly member: Member
  private readonly wishes: Wishes
  private readonly wanted = new Map<string, Wish>()
  private readonly digest = new Digest()
  private denied = 0

  constructor(member: Member, wishes: Wishes) {
    this.member = member
    this.wishes = wishes
  }

  get size(): number {
    return this.wanted.size
  }

  list(): Interest[] {
    return [...this.wanted.values()]
  }

  /** Takes what an INTEREST says. Returns how many wishes were one too many. Throws EPROTO for nonsense. */
  apply(flags: number, body: Uint8Array): { readonly refused: string[] } {
    const ops = decode(body)
    if (!Array.isArray(ops)) throw new EarshotError("EPROTO", "an interest that is no list")
    if (flags & RESET) this.clear()
    const refused: string[] = []
    for (const op of ops as unknown[]) {
      const interest = readOp(op)
      if (interest === undefined) continue
      const key = keyOf(interest)
      const known = this.wanted.get(key)
      if ((op as Op)[0] === 0) {
        if (known !== undefined) this.drop(key, known)
      } else if (known === undefined) {
        if (this.wanted.size >= MAX_INTEREST) {
          this.denied++
          refused.push(interest.pattern)
        } else this.add(key, { ...interest, member: this.member })
      }
    }
    return { refused }
  }

  /** Does their digest fit what we hold? Not asked of one of whom we hold only a part. */
  fits(body: Uint8Array): boolean {
    const value = decode(body)
    if (!Array.isArray(value)) throw new EarshotError("EPROTO", "a digest that is none")
    return this.denied > 0 || (value[0] === this.digest.count && value[1] === this.digest.hash)
  }

  /** In queue groups and for requests only those count that are linked: the rest stays for a while (replay). */
  clear(): void {
    for (const [key, wish] of this.wanted) this.drop(key, wish)
    this.denied = 0
  }

  private add(key: string, wish: Wish): void {
    this.wanted.set(key, wish)
    this.digest.change(key, 1)
    this.wishes.add(wish.pattern, wish)
  }

  private drop(key: string, wish: Wish): void {
    this.wanted.delete(key)
    this.digest.change(key, -1)
    this.wishes.remove(wish.pattern, wish)
  }
}

/** Undefined for what this version doesn't know, or that no subject can match. */
function readOp(op: unknown): Interest | undefined {
  if (!Array.isArray(op)) return undefined
  const [add, pattern, queue, flags] = op as unknown[]
  if ((add !== 0 && add !== 1) || typeof pattern !== "string") return undefined
  if (queue !== null && queue !== undefined && (typeof queue !== "string" || queue.length > MAX_GROUP)) return undefined
  try {
    checkPattern(pattern)
  } catch {
    return undefined
  }
  return { pattern, queue: queue ?? undefined, responds: (Number(flags) & RESPONDS) !== 0 }
}

function decode(body: Uint8Array): unknown {
  try {
    return msgpack.decode(body)
  } catch (error) {
    throw new EarshotError("EPROTO", "an interest that is no MessagePack", error)
  }
}
