/**
 * Who wants which subjects: values stand under patterns, and a subject leads to those whose pattern matches.
 *
 * Patterns without wildcards are in one map, the others in a trie; what was made of the values for a subject is kept.
 */
import { excluding, holds, type Holders, including, valuesOf } from "./holders.ts"
import { RouteCache } from "./route-cache.ts"
import type { KnownSubject } from "./subject-bytes.ts"
import { SubjectTrie } from "./subject-trie.ts"
import { hasWildcard, MAX_SUBJECT } from "./subject.ts"

const CACHE = 4096

/**
 * Patterns must be such as `checkPattern` takes. Subjects may be anything, but only what `checkSubject` takes is matched as
 * MESH.md says; longer than MAX_SUBJECT matches nothing.
 */
export class SubjectTable<Value extends {}, Route> {
  /** Pairs of a pattern and a value. */
  size = 0
  private readonly derive: (matched: readonly Value[], subject: string) => Route
  private readonly literals = new Map<string, Holders<Value>>()
  private readonly wild = new SubjectTrie<Value>()
  private readonly cache: RouteCache<Route>
  /** Another object whenever a pattern comes or goes. */
  private state: object = {}

  /**
   * `derive` makes of the values that match a subject, in no particular order and none twice, what `lookup` returns: it is
   * kept and given out again until a pattern that matches the subject changes. It may keep the array, and must not change the table.
   * `cache`: how many subjects are kept at most (default 4,096; 0: none), with 64 characters each in the mean; longer
   * ones than 256 never.
   */
  constructor(
    derive: (matched: readonly Value[], subject: string) => Route,
    options: { readonly cache?: number } = {},
  ) {
    this.derive = derive
    this.cache = new RouteCache(options.cache ?? CACHE)
  }

  /** How many subjects have their result kept. */
  get cached(): number {
    return this.cache.size
  }

  /** Puts a value under a pattern. False when it stands there already, and nothing changes: there is no counting. */
  add(pattern: string, value: Value): boolean {
    if (!this.insert(pattern, value)) return false
    this.size++
    this.change(pattern)
    return true
  }

  /** Takes a value from under a pattern. False when it doesn't stand there. */
  remove(pattern: string, value: Value): boolean {
    if (!(hasWildcard(pattern) ? this.wild.remove(pattern, value) : this.removeLiteral(pattern, value))) return false
    this.size--
    this.change(pattern)
    return true
  }

  /** What `derive` makes of the values whose patterns match: maybe what it made earlier. */
  lookup(subject: string): Route {
    const entry = this.cache.get(subject)
    if (entry !== undefined) return entry.route
    const route = this.derive(this.match(subject), subject)
    this.cache.set(subject, route)
    return route
  }

  /** The same for a subject that comes again and again: what was found stays with it. */
  recall(known: KnownSubject): Route {
    if (known.patterns !== this.state) {
      known.found = this.lookup(known.text)
      known.patterns = this.state
    }
    return known.found as Route
  }

  /** The values whose patterns match, none twice, in an array of the caller's own. */
  match(subject: string): Value[] {
    if (typeof subject !== "string" || subject.length > MAX_SUBJECT) return []
    const hits: Holders<Value>[] = []
    const literal = this.literals.get(subject)
    if (literal !== undefined) hits.push(literal)
    this.wild.match(subject, hits)
    return valuesOf(hits)
  }

  /** Forgets what `derive` made: when it would make something else now, or to let go of what it refers to. */
  forget(): void {
    this.state = {}
    this.cache.clear()
  }

  /** Every pattern, with the values under it. Not to be changed meanwhile. */
  *patterns(): Generator<[pattern: string, values: Value[]]> {
    for (const [pattern, holders] of this.literals) yield [pattern, valuesOf([holders])]
    yield* this.wild.patterns()
  }

  private change(pattern: string): void {
    this.state = {}
    this.cache.change(pattern)
  }

  private insert(pattern: string, value: Value): boolean {
    if (hasWildcard(pattern)) return this.wild.add(pattern, value)
    const holders = this.literals.get(pattern)
    if (holders !== undefined && holds(holders, value)) return false
    this.literals.set(pattern, including(holders, value))
    return true
  }

  private removeLiteral(pattern: string, value: Value): boolean {
    const holders = this.literals.get(pattern)
    if (holders === undefined || !holds(holders, value)) return false
    const left = excluding(holders, value)
    if (left === undefined) this.literals.delete(pattern)
    else this.literals.set(pattern, left)
    return true
  }
}
