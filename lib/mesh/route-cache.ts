/**
 * What was found for the subjects used last: bounded in subjects and in characters, and never out of date.
 *
 * Two maps: what is new goes to the young one; when that is half of what is allowed, the old one goes, and the young
 * one takes its place. What is used in the meantime moves back to the young one.
 *
 * When a pattern changes, nothing is searched: the few last such patterns are kept, and who is asked for the next time
 * is compared with those that came since. So a thousand changes a second cost the subjects in use a comparison each, and
 * 100,000 at once cost nothing but a new search for each subject.
 */
import { hasWildcard, matches } from "./subject.ts"

/** Comparing a subject with this many patterns costs about as much as a search. */
const REMEMBERED = 16
/** Longer subjects aren't kept. */
const MAX_LENGTH = 256
/** How many characters a subject may have when all are of one length. */
const MEAN_LENGTH = 64

interface Entry<Route> {
  readonly route: Route
  /** The number of changes up to which the route is known to hold. */
  checked: number
}

export class RouteCache<Route> {
  private readonly most: number
  private young = new Map<string, Entry<Route>>()
  private old = new Map<string, Entry<Route>>()
  /** Put into the young map. */
  private characters = 0
  private changes = 0
  /** The last changed patterns with wildcards: the one of change n at n % REMEMBERED. */
  private readonly changed: string[] = []

  /** Keeps at most `limit` subjects, and none below 2. */
  constructor(limit: number) {
    this.most = Math.floor(limit / 2)
  }

  get size(): number {
    return this.young.size + this.old.size
  }

  /** What was put there, unless a change may have touched it. */
  get(subject: string): Entry<Route> | undefined {
    const entry = this.young.get(subject)
    return entry !== undefined && entry.checked === this.changes ? entry : this.recheck(subject, entry)
  }

  set(subject: string, route: Route): void {
    if (subject.length <= MAX_LENGTH) this.keep(subject, { route, checked: this.changes })
  }

  /** What stands under a pattern has changed. */
  change(pattern: string): void {
    if (hasWildcard(pattern)) this.changed[this.changes++ % REMEMBERED] = pattern
    else {
      this.young.delete(pattern)
      this.old.delete(pattern)
    }
  }

  clear(): void {
    this.young.clear()
    this.old.clear()
    this.characters = 0
  }

  private recheck(subject: string, young: Entry<Route> | undefined): Entry<Route> | undefined {
    const entry = young ?? this.old.get(subject)
    if (entry === undefined || !this.holds(entry, subject)) return undefined
    entry.checked = this.changes
    if (young === undefined) this.keep(subject, entry)
    return entry
  }

  private holds({ checked }: Entry<Route>, subject: string): boolean {
    if (this.changes - checked > REMEMBERED) return false
    for (let n = checked; n < this.changes; n++) if (matches(this.changed[n % REMEMBERED]!, subject)) return false
    return true
  }

  private keep(subject: string, entry: Entry<Route>): void {
    if (this.young.size >= this.most || this.characters > this.most * MEAN_LENGTH) {
      this.old = this.young
      this.young = new Map()
      this.characters = 0
    }
    if (this.most > 0) this.young.set(subject, entry)
    this.characters += subject.length
  }
}
