/**
 * Who wants what. Our own interest is counted by reference and told to every linked member: the full table first, then the
 * changes, in order, gathered per turn. Theirs goes into the table that routes are made from. A digest from time to time
 * proves that both sides mean the same.
 */
import type { Clock, Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import { encodeText } from "../bytes.ts"
import { EarshotError } from "../errors.ts"
import { batches } from "./batches.ts"
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
  /** Of a group: how many members are behind it, roughly, the leaves that it carries among them. */
  readonly weight: number
}

/** Where wishes are looked up: the table of routes. */
export interface Wishes {
  add(pattern: string, wish: Wish): void
  remove(pattern: string, wish: Wish): void
}

/** Wishes of one member: as many groups as one PUBLISH can name. */
export const MAX_INTEREST = 65_535
/** What they may cost together: each as many as it has characters, and 32 for each token. */
export const MAX_COST: number = 16 * 1024 * 1024
const TOKEN_COST = 32
/** Bytes of one message of theirs. */
const MAX_BODY: number = 4 * 1024 * 1024
/** ms between two digests on a link, at least. */
export const DIGEST_EVERY = 10_000
const RESPONDS = 1

/** Heavier than this counts as this. */
const HEAVIEST = 65_536

export type Op = readonly [
  add: 0 | 1,
  pattern: string,
  queue: string | null,
  flags: number,
  options?: { readonly weight: number },
]

export const keyOf = ({ pattern, queue, responds }: Interest): string =>
  `${responds ? "r" : "s"}${queue === undefined ? "" : `q${queue}`} ${pattern}`

/** `weight`: said where there is more than one behind it. */
export function opOf(add: 0 | 1, { pattern, queue, responds }: Interest, weight = 1): Op {
  const flags = responds ? RESPONDS : 0
  return weight > 1 ? [add, pattern, queue ?? null, flags, { weight }] : [add, pattern, queue ?? null, flags]
}

/** Three bits of it are enough to pick by, and spare the others most changes. */
export function roughly(weight: number): number {
  if (weight < 8) return weight
  const step = 2 ** (Math.floor(Math.log2(weight)) - 2)
  return Math.min(HEAVIEST, Math.floor(weight / step) * step)
}

/** One that we announce: for ourselves, and for leaves that we carry. */
interface Wanted {
  readonly wish: Wish
  own: number
  carried: number
  /** The weight that the others know; 0: nothing. */
  told: number
}

/** Our own. */
export class OwnInterest {
  /** There are changes that nobody has been told of. */
  dirty = false
  private readonly clock: Clock
  private readonly wishes: Wishes
  private readonly tellAll: (message: Message) => void
  /** Ours, and those of the leaves that we carry. */
  private readonly wanted = new Map<string, Wanted>()
  private readonly digest = new Digest()
  private changes: Op[] = []
  /** All of it, as a new link is told; made when it is asked for. */
  private table: readonly Message[] | undefined
  private proof: Timer | undefined

  /** `wishes`: where our own are put. `tellAll`: to whom this interest is announced. */
  constructor(clock: Clock, wishes: Wishes, tellAll: (message: Message) => void) {
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
    const first = known.own++ === 0
    this.settle(known)
    if (first) this.wishes.add(interest.pattern, known.wish)
  }

  release(interest: Interest): void {
    const known = this.wanted.get(keyOf(interest))
    if (known === undefined) return
    if (--known.own === 0) this.wishes.remove(interest.pattern, known.wish)
    this.settle(known)
  }

  /** A leaf's wish: others are to send it to us. */
  carry(interest: Interest): void {
    const known = this.want(interest)
    known.carried++
    this.settle(known)
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
    for (const message of encodeOps(changes)) this.tellAll(message)
  }

  /** All of it, for a link that is new; then the barrier. */
  greet(member: Member): void {
    if (this.dirty) this.flush()
    this.resend(member)
  }

  /** All of it, from the start, to its barrier. */
  resend(member: Member): void {
    this.table ??= encodeTable([...this.wanted.values()].map(({ wish, told }) => opOf(1, wish, told)))
    for (const message of this.table) member.tell(message)
  }

  /** Nobody is told anything any more. */
  close(): void {
    this.dirty = false
    this.proof?.cancel()
  }

  private digestMessage(): Message {
    if (this.dirty) this.flush()
    return [bare(Kind.DIGEST), msgpack.encode(this.digest.pair)]
  }

  private want(interest: Interest): Wanted {
    const key = keyOf(interest)
    let known = this.wanted.get(key)
    if (known === undefined) {
      const { pattern, queue, responds } = interest
      known = { wish: { pattern, queue, responds, member: undefined, weight: 1 }, own: 0, carried: 0, told: 0 }
      this.wanted.set(key, known)
    }
    return known
  }

  /** The others are to know what has changed. */
  private settle(known: Wanted): void {
    const { wish, own, carried, told } = known
    const behind = (own > 0 ? 1 : 0) + carried
    const weight = wish.queue === undefined ? Math.min(1, behind) : roughly(behind)
    if (weight === told) return
    known.told = weight
    this.table = undefined
    const key = keyOf(wish)
    if (weight === 0) this.wanted.delete(key)
    if (told === 0 || weight === 0) this.digest.change(key, weight === 0 ? -1 : 1)
    this.changes.push(weight === 0 ? opOf(0, wish) : opOf(1, wish, weight))
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

export function encodeOps(ops: readonly Op[]): Message[] {
  return batches(ops, weigh).map((each) => [bare(Kind.INTEREST), msgpack.encode(each)])
}

/** Bytes, at most: 3 for each UTF-16 unit. */
const weigh = ([, pattern, queue]: Op): number => 3 * (pattern.length + (queue?.length ?? 0)) + 32

/** A whole table, to its barrier: it takes the place of any before. */
export function encodeTable(ops: readonly Op[]): Message[] {
  const [first, ...rest] = encodeOps(ops)
  return [[bare(Kind.INTEREST, RESET), first?.[1] ?? msgpack.encode([])], ...rest, [bare(Kind.BARRIER)]]
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
  private cost = 0
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
      else if (!this.want(key, interest, weightIn(op as unknown[]))) refused.push(interest.pattern)
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
    this.cost = this.denied = 0
  }

  private want(key: string, interest: Interest, weight: number): boolean {
    const wanted = this.wanted.get(key)
    if (wanted === undefined) {
      const cost = costOf(interest)
      if (this.wanted.size >= MAX_INTEREST || this.cost + cost > MAX_COST) return false
      this.cost += cost
      this.digest.change(key, 1)
    }
    const old = wanted ?? this.stale.get(key)
    this.stale.delete(key)
    if (old?.weight === weight) this.wanted.set(key, old)
    else {
      const wish = { ...interest, member: this.member, weight }
      this.wanted.set(key, wish)
      if (old !== undefined) this.wishes.remove(old.pattern, old)
      this.wishes.add(wish.pattern, wish)
    }
    return true
  }

  private forget(key: string): void {
    const wish = this.wanted.get(key)
    if (wish !== undefined) {
      this.wanted.delete(key)
      this.cost -= costOf(wish)
      this.digest.change(key, -1)
    }
    const known = wish ?? this.stale.get(key)
    this.stale.delete(key)
    if (known !== undefined) this.wishes.remove(known.pattern, known)
  }
}

function costOf({ pattern, queue }: Interest): number {
  let cost = pattern.length + (queue?.length ?? 0) + TOKEN_COST
  for (let dot = pattern.indexOf("."); dot >= 0; dot = pattern.indexOf(".", dot + 1)) cost += TOKEN_COST
  return cost
}

/** How many are behind a wish, by what its member says. */
function weightIn({ 2: queue, 4: options }: readonly unknown[]): number {
  const { weight } = Object(options) as { weight?: unknown }
  return typeof queue === "string" && Number.isInteger(weight) ? Math.min(HEAVIEST, Math.max(1, weight as number)) : 1
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
const isStrange = ({ length, 3: flags, 4: options }: readonly unknown[]): boolean =>
  length > 5 ||
  (Number(flags) & ~RESPONDS) !== 0 ||
  Object.keys(Object(options) as object).some((each) => each !== "weight")

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
