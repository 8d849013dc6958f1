/** From a subject to those who get a message about it: made once per subject, until the interest in it changes. */
import type { Wish, Wishes } from "./interest.ts"
import type { Member } from "./member.ts"
import { checkSubject } from "./subject.ts"
import { SubjectTable } from "./subject-table.ts"

/** How often one party is among those of whom one is drawn. */
const MOST = 32

/** A member, or ourselves. */
export type Party = Member | undefined

/** Those of whom one gets each message. */
export interface Group {
  readonly name: string
  /** Each as often as it is to be drawn: a relay for the leaves behind it, too. */
  readonly parties: readonly Party[]
}

export interface Route {
  /** Other members that get every message. */
  readonly plain: readonly Member[]
  /** We do, too. */
  readonly ownPlain: boolean
  readonly groups: readonly Group[]
  /** Members that get a copy of each request: those in `plain` for other reasons than to answer. */
  readonly watching: readonly Member[]
  readonly ownWatching: boolean
  /** Who answers requests: one group for each name, `undefined` for those that are in none. */
  readonly servers: readonly { readonly queue: string | undefined; readonly parties: readonly Party[] }[]
  /** Nobody at all. */
  readonly empty: boolean
}

export class Routes implements Wishes {
  readonly table: SubjectTable<Wish, Route> = new SubjectTable(derive)

  add(pattern: string, wish: Wish): void {
    this.table.add(pattern, wish)
  }

  remove(pattern: string, wish: Wish): void {
    this.table.remove(pattern, wish)
  }

  /** Throws INVALID_SUBJECT. */
  of(subject: string): Route {
    return this.table.lookup(subject)
  }
}

function derive(wishes: readonly Wish[], subject: string): Route {
  checkSubject(subject)
  const plain = new Set<Party>()
  const watching = new Set<Party>()
  const groups = new Map<string, Map<Party, number>>()
  const servers = new Map<string | undefined, Map<Party, number>>()
  for (const { member, queue, responds, weight } of wishes) {
    if (responds) put(servers, queue, member, weight)
    if (queue !== undefined) put(groups, queue, member, weight)
    else {
      plain.add(member)
      if (!responds) watching.add(member)
    }
  }
  return {
    plain: others(plain),
    ownPlain: plain.has(undefined),
    groups: [...groups].map(([name, parties]) => ({ name, parties: draw(parties) })),
    watching: others(watching),
    ownWatching: watching.has(undefined),
    servers: [...servers].map(([queue, parties]) => ({ queue, parties: draw(parties) })),
    empty: plain.size === 0 && groups.size === 0,
  }
}

function put<Key>(maps: Map<Key, Map<Party, number>>, key: Key, party: Party, weight: number): void {
  const map = maps.get(key)
  if (map === undefined) maps.set(key, new Map([[party, weight]]))
  else map.set(party, Math.max(weight, map.get(party) ?? 0))
}

/** The heaviest at most MOST times. */
function draw(weights: ReadonlyMap<Party, number>): Party[] {
  let heaviest = 1
  for (const weight of weights.values()) heaviest = Math.max(heaviest, weight)
  if (heaviest === 1) return [...weights.keys()]
  const scale = Math.min(1, MOST / heaviest)
  return [...weights].flatMap(([party, weight]) =>
    new Array<Party>(Math.max(1, Math.round(weight * scale))).fill(party),
  )
}

function others(parties: Set<Party>): Member[] {
  return [...parties].filter((party) => party !== undefined)
}
