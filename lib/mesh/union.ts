/**
 * What the mesh wants, as our leaves are told it: each is told of everything that somebody else wants, we ourselves
 * among them, as our wish. Changes are gathered per turn; most leaves are told the same, in one message made once.
 */
import type { Clock, Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import { Digest } from "./digest.ts"
import {
  DIGEST_EVERY,
  encodeOps,
  encodeTable,
  keyOf,
  opOf,
  roughly,
  type Interest,
  type Op,
  type Wish,
} from "./interest.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import type { Party } from "./routes.ts"
import { Kind, bare } from "./wire.ts"

/** One subject, group and purpose, and who wants it with which weight. */
interface Entry {
  readonly key: string
  readonly interest: Interest
  readonly holders: Map<Party, number>
  total: number
}

/** An entry as all leaves were told it last. */
interface Before {
  readonly total: number
  readonly changed: Map<Party, number>
}

export class Union {
  private readonly clock: Clock
  private readonly entries = new Map<string, Entry>()
  private readonly dirty = new Map<Entry, Before>()
  private readonly digest = new Digest()
  /** Those who are told, with a digest of what each alone wants, and so is not told. */
  private readonly leaves = new Map<Member, Digest>()
  private proof: Timer | undefined

  constructor(clock: Clock) {
    this.clock = clock
  }

  add(wish: Wish): void {
    const key = keyOf(wish)
    let entry = this.entries.get(key)
    if (entry === undefined) {
      const { pattern, queue, responds } = wish
      this.entries.set(key, (entry = { key, interest: { pattern, queue, responds }, holders: new Map(), total: 0 }))
    }
    this.change(entry, wish.member, wish.weight)
  }

  remove(wish: Wish): void {
    const entry = this.entries.get(keyOf(wish))
    if (entry !== undefined) this.change(entry, wish.member, 0)
  }

  /** It is told everything, to the barrier, and from then on what changes. */
  greet(leaf: Member): void {
    this.flush()
    const alone = new Digest()
    const ops: Op[] = []
    for (const { key, interest, holders, total } of this.entries.values()) {
      const shown = show(interest, total - (holders.get(leaf) ?? 0))
      if (shown > 0) ops.push(opOf(1, interest, shown))
      else alone.change(key, 1)
    }
    this.leaves.set(leaf, alone)
    for (const message of encodeTable(ops)) leaf.tell(message)
  }

  forget(leaf: Member): void {
    this.leaves.delete(leaf)
  }

  /** Before anything else is sent to leaves. */
  flush(): void {
    if (this.dirty.size === 0) return
    const shared: Op[] = []
    const special = new Map<Member, { readonly without: Set<Op>; readonly ops: Op[] }>()
    for (const [entry, { total, changed }] of this.dirty) {
      const common = this.step(entry, total, entry.total)
      if (common !== undefined) shared.push(common)
      if (entry.total > 0 !== total > 0) this.digest.change(entry.key, total > 0 ? -1 : 1)
      for (const [leaf, alone] of this.leaves) {
        const now = entry.holders.get(leaf) ?? 0
        const was = changed.get(leaf) ?? now
        if (now === 0 && was === 0) continue
        if (wantsAlone(total, was)) alone.change(entry.key, -1)
        if (wantsAlone(entry.total, now)) alone.change(entry.key, 1)
        let own = special.get(leaf)
        if (own === undefined) special.set(leaf, (own = { without: new Set(), ops: [] }))
        if (common !== undefined) own.without.add(common)
        const op = this.step(entry, total - was, entry.total - now)
        if (op !== undefined) own.ops.push(op)
      }
      if (entry.total === 0) this.entries.delete(entry.key)
    }
    this.dirty.clear()
    const messages = encodeOps(shared)
    for (const leaf of this.leaves.keys()) {
      const own = special.get(leaf)
      const theirs =
        own === undefined ? messages : encodeOps([...shared.filter((op) => !own.without.has(op)), ...own.ops])
      for (const message of theirs) leaf.tell(message)
    }
  }

  /** Nobody is told anything any more. */
  close(): void {
    this.dirty.clear()
    this.proof?.cancel()
    this.proof = undefined
  }

  private change(entry: Entry, party: Party, weight: number): void {
    const { holders } = entry
    const was = holders.get(party) ?? 0
    if (was === weight) return
    let before = this.dirty.get(entry)
    if (before === undefined) {
      if (this.dirty.size === 0) this.clock.microtask(() => this.flush())
      this.dirty.set(entry, (before = { total: entry.total, changed: new Map() }))
    }
    if (!before.changed.has(party)) before.changed.set(party, was)
    entry.total += weight - was
    if (weight === 0) holders.delete(party)
    else holders.set(party, weight)
    this.proof ??= this.clock.timeout(() => this.prove(), DIGEST_EVERY)
  }

  private step({ interest }: Entry, was: number, now: number): Op | undefined {
    const shown = show(interest, now)
    if (shown === show(interest, was)) return undefined
    return shown > 0 ? opOf(1, interest, shown) : opOf(0, interest)
  }

  /** Some time after the last change each is told what should have come of it. */
  private prove(): void {
    this.proof = undefined
    this.flush()
    const { count, hash } = this.digest
    for (const [leaf, alone] of this.leaves) {
      const message: Message = [bare(Kind.DIGEST), msgpack.encode([count - alone.count, (hash - alone.hash) >>> 0])]
      leaf.tell(message)
    }
  }
}

const wantsAlone = (total: number, own: number): boolean => own > 0 && total === own

/** What is told of a weight: of a group roughly how much, else whether there is any. */
function show({ queue }: Interest, weight: number): number {
  return queue === undefined ? Math.min(1, weight) : roughly(weight)
}
