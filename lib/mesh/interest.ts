/**
 * Who wants what. Our own interest is counted by reference and told to every linked member: the full table first, then the
 * changes, in order, gathered per turn. Theirs goes into the table that routes are made from. A digest from time to time
 * proves that both sides mean the same.
 */
import type { Clock, Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import { encodeText } from "../bytes.ts"
import { EarshotError } from "../errors.ts"
import { Digest } from "./digest.ts"
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

/** Wishes of one member: as many groups as one PUBLISH can name. */
export const MAX_INTEREST = 65_535
/** What they may weigh together: each as many as it has characters, and 32 for each token. */
export const MAX_WEIGHT: number = 16 * 1024 * 1024
const TOKEN_WEIGHT = 32
/** Bytes of one message of theirs. */
const MAX_BODY: number = 4 * 1024 * 1024
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
  }

  /** All of it, from the start, to its barrier. */
  resend(member: Member): void {
    member.tell([bare(Kind.INTEREST, RESET), msgpack.encode([])])
    for (const message of encode([...this.wanted.values()].map(({ wish }) => opOf(1, wish)))) member.tell(message)
    member.tell([bare(Kind.BARRIER)])
  }

  close(): void {
    this.proof?.cancel()
  }

  private digestMessage(): Message {
    if (this.dirty) this.flush()
    return [bare(Kind.DIGEST), msgpack.encode(this.digest.pair)]
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

/** What came of an INTEREST. */
export interface Applied {
  /** Patterns that were too many. */
  readonly refused: readonly string[]
  /** What is of a later version, or no use: skipped. */
  readonly unknown: number
}

/** Another member's. */
export class TheirInterest {
  private readonly member: Member
  private readonly wishes: Wishes
  private readonly wanted = new Map<string, Wish>()
  /** Said before the last RESET, and not again so far: they hold until the barrier, so that nothing is missed meanwhile. */
  private readonly stale = new Map<string, Wish>()
  private readonly digest = new Digest()
  private weight = 0
  private denied = 0

  constructor(member: Member, wishes: Wishes) {
    this.member = member
    this.wishes = wishes
  }

  get size(): number {
    return this.wanted.size
  }

  list(): Interest[] {
    return [...this.wanted.values(), ...this.stale.values()]
  }

  /** Takes what an INTEREST says. Throws EPROTO for nonsense. */
  apply(flags: number, body: Uint8Array): Applied {
    if (body.length > MAX_BODY) throw new EarshotError("EPROTO", "an interest that is too large")
    const ops = decode(body)
    if (flags & RESET) this.reset()
    const refused: string[] = []
    let unknown = 0
    for (const op of ops) {
      const interest = readOp(op)
      if (interest === undefined || isStrange(op as unknown[])) unknown++
      if (interest === undefined) continue
      const key = keyOf(interest)
      if ((op as Op)[0] === 0) this.forget(key)
      else if (!this.want(key, interest)) refused.push(interest.pattern)
    }
    this.denied += refused.length
    return { refused, unknown }
  }

  /** The table is complete: what was not said again goes. */
  onBarrier(): void {
    for (const wish of this.stale.values()) this.wishes.remove(wish.pattern, wish)
    this.stale.clear()
  }

  /** Does their digest fit what we hold? Not asked of one of whom we hold only a part. */
  fits(body: Uint8Array): boolean {
    return this.digest.fits(decode(body)) || this.denied > 0 || this.stale.size > 0
  }

  clear(): void {
    this.reset()
    this.onBarrier()
  }

  private reset(): void {
    this.onBarrier()
    for (const [key, wish] of this.wanted) this.stale.set(key, wish)
    this.wanted.clear()
    this.digest.clear()
    this.weight = this.denied = 0
  }

  private want(key: string, interest: Interest): boolean {
    if (this.wanted.has(key)) return true
    const weight = weightOf(interest)
    if (this.wanted.size >= MAX_INTEREST || this.weight + weight > MAX_WEIGHT) return false
    const stale = this.stale.get(key)
    const wish = stale ?? { ...interest, member: this.member }
    this.wanted.set(key, wish)
    this.weight += weight
    this.digest.change(key, 1)
    if (stale === undefined) this.wishes.add(wish.pattern, wish)
    else this.stale.delete(key)
    return true
  }

  private forget(key: string): void {
    const wish = this.wanted.get(key)
    if (wish !== undefined) {
      this.wanted.delete(key)
      this.weight -= weightOf(wish)
      this.digest.change(key, -1)
    }
    const known = wish ?? this.stale.get(key)
    this.stale.delete(key)
    if (known !== undefined) this.wishes.remove(known.pattern, known)
  }
}

function weightOf({ pattern, queue }: Interest): number {
  let weight = pattern.length + (queue?.length ?? 0) + TOKEN_WEIGHT
  for (let dot = pattern.indexOf("."); dot >= 0; dot = pattern.indexOf(".", dot + 1)) weight += TOKEN_WEIGHT
  return weight
}

/** Undefined for what this version doesn't know, or that no subject can match. */
function readOp(op: unknown): Interest | undefined {
  if (!Array.isArray(op)) return undefined
  const [add, pattern, queue, flags] = op as unknown[]
  if ((add !== 0 && add !== 1) || typeof pattern !== "string") return undefined
  if (queue !== null && queue !== undefined && !isGroup(queue)) return undefined
  try {
    checkPattern(pattern)
  } catch {
    return undefined
  }
  return { pattern, queue: queue ?? undefined, responds: (Number(flags) & RESPONDS) !== 0 }
}

/** It says more than this version knows. */
const isStrange = ({ length, 3: flags }: readonly unknown[]): boolean => length > 4 || (Number(flags) & ~RESPONDS) !== 0

/** May a queue group be called so: 1 to 255 bytes? */
export function isGroup(name: unknown): name is string {
  return typeof name === "string" && name !== "" && name.length <= MAX_GROUP && encodeText(name).length <= MAX_GROUP
}

function decode(body: Uint8Array): unknown[] {
  let value: unknown
  try {
    value = msgpack.decode(body)
  } catch (error) {
    throw new EarshotError("EPROTO", "an interest that is no MessagePack", error)
  }
  if (!Array.isArray(value)) throw new EarshotError("EPROTO", "an interest that is no list")
  return value
}
