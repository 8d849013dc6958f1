/** Who would get a message about a subject now, and who would not: why nobody hears it, or nobody answers. */
import type { Hub } from "./hub.ts"
import type { Wish } from "./interest.ts"
import type { Party } from "./routes.ts"
import { checkSubject, hasWildcard, isReserved } from "./subject.ts"

/** A member, ourselves among them. */
export interface Recipient {
  /** 26 characters. */
  readonly id: string
  /** What it calls itself; never an identity. */
  readonly name: string
  /** It is the member that was asked. */
  readonly own: boolean
}

/** A queue group, or the servers of one name: who could be picked, and who could not be for now. */
export interface GroupExplanation {
  /** `null`: servers in no group, each of which answers `requestMany`. */
  readonly queue: string | null
  /** One of these is picked. */
  readonly free: readonly Recipient[]
  /** As much waits there as may: with nobody free, `onFull` decides. */
  readonly full: readonly Recipient[]
  /** They leave, and take no new work. */
  readonly draining: readonly Recipient[]
  /** Its link is lost, and may come back. */
  readonly lost: readonly Recipient[]
}

/** A pattern that somebody has and that does not match, though it comes near. */
export interface NearMiss {
  /** As somebody subscribed to it. */
  readonly pattern: string
  /** Who has it, at most 10. */
  readonly members: readonly Recipient[]
  /** One sentence. */
  readonly why: string
}

/** What `mesh.explain(subject)` gives: as this member sees it now. */
export interface Explanation {
  /** Of this shape: within a version fields are added, never changed. */
  readonly version: 1
  /** What was asked about. */
  readonly subject: string
  /** Everyone of these gets a message that is published. */
  readonly plain: readonly Recipient[]
  /** Plain subscribers whose link is lost: it is kept for them. */
  readonly kept: readonly Recipient[]
  /** One of each gets it. */
  readonly groups: readonly GroupExplanation[]
  /** Who answers a request: one of all; `requestMany` asks one of each, and all that are in none. */
  readonly servers: readonly GroupExplanation[]
  /** Linked members that want nothing of it. */
  readonly uninterested: number
  /** Linked members that have not said yet what they want. */
  readonly unknown: readonly Recipient[]
  /** The nearest patterns that don't match, at most 5. */
  readonly nearest: readonly NearMiss[]
}

/** Patterns that are looked at for the nearest ones, and how many are told. */
const MOST_PATTERNS = 100_000
const MOST_NEAR = 5
const MOST_MEMBERS = 10

/** Throws INVALID_SUBJECT. */
export function explain(hub: Hub, subject: string): Explanation {
  checkSubject(subject)
  const { routes, links } = hub
  const route = routes.of(subject)
  const show = (party: Party): Recipient => recipient(hub, party)
  const plain: Party[] = [...(route.ownPlain ? [undefined] : []), ...route.plain]
  const concerned = new Set<Party>([...plain, ...[...route.groups, ...route.servers].flatMap(({ parties }) => parties)])
  const linked = [...links.linked]
  return {
    version: 1,
    subject,
    plain: plain.filter((party) => party?.linked !== false).map(show),
    kept: plain.filter((party) => party?.linked === false).map(show),
    groups: route.groups.map(({ name, parties }) => group(hub, name, parties)),
    servers: route.servers.map(({ queue, parties }) => group(hub, queue, parties)),
    uninterested: linked.filter((member) => member.known && !concerned.has(member)).length,
    unknown: linked.filter(({ known }) => !known).map(show),
    nearest: nearest(hub, subject),
  }
}

function recipient(hub: Hub, party: Party): Recipient {
  const { id, name } = party ?? hub.self
  return { id, name, own: party === undefined }
}

function group(hub: Hub, queue: string | undefined, parties: readonly Party[]): GroupExplanation {
  const of = (state: ReturnType<typeof stateOf>): Recipient[] =>
    [...new Set(parties)].filter((party) => stateOf(hub, queue, party) === state).map((party) => recipient(hub, party))
  return { queue: queue ?? null, free: of("free"), full: of("full"), draining: of("draining"), lost: of("lost") }
}

function stateOf(hub: Hub, queue: string | undefined, party: Party): "free" | "full" | "draining" | "lost" {
  if (party?.linked === false) return "lost"
  if ((party ?? hub).draining) return "draining"
  return hub.groups.open(party, queue) ? "free" : "full"
}

/** Patterns by how much of them fits, the best first. */
function nearest(hub: Hub, subject: string): NearMiss[] {
  const tokens = subject.split(".")
  const found: { readonly pattern: string; readonly wishes: Wish[]; readonly miss: Miss }[] = []
  let looked = 0
  for (const [pattern, wishes] of hub.routes.table.patterns()) {
    if (++looked > MOST_PATTERNS) break
    const miss = compare(pattern, tokens)
    if (miss === undefined) continue
    found.push({ pattern, wishes, miss })
    if (found.length > 64 * MOST_NEAR) trim(found)
  }
  return trim(found).map(({ pattern, wishes, miss }) => {
    const members = [...new Set(wishes.map(({ member }) => member))].slice(0, MOST_MEMBERS)
    return { pattern, members: members.map((party) => recipient(hub, party)), why: miss.why }
  })
}

function trim<Found extends { readonly miss: Miss }>(found: Found[]): Found[] {
  found.sort((a, b) => b.miss.score - a.miss.score)
  found.length = Math.min(found.length, MOST_NEAR)
  return found
}

interface Miss {
  /** 0 to 1: how near it comes. */
  readonly score: number
  readonly why: string
}

/** Undefined where it matches, or where less than half of it fits. */
function compare(pattern: string, tokens: readonly string[]): Miss | undefined {
  const wanted = pattern.split(".")
  const open = wanted.at(-1) === ">"
  const subject = tokens.join(".")
  if (isReserved(subject) && hasWildcard(wanted[0]!))
    return { score: 0.5, why: "a wildcard in the first token matches no reserved subject" }
  let fits = 0
  let why: string | undefined
  const most = Math.max(wanted.length, tokens.length)
  for (let i = 0; i < most; i++) {
    const [want, token] = [wanted[i], tokens[i]]
    if (want === ">" && token !== undefined) {
      fits += tokens.length - i
      break
    }
    if (want === undefined || token === undefined) {
      why ??=
        open && token === undefined
          ? "> stands for one token or more, and there is none left"
          : `it has ${wanted.length} tokens, the subject ${tokens.length}`
      break
    }
    if (want === "*" || want === token) fits++
    else if (want.toLowerCase() === token.toLowerCase()) {
      fits += 0.9
      why ??= `case counts: ${want} is not ${token}`
    } else {
      fits += likeness(want, token) * 0.7
      why ??= `token ${i + 1} is ${want}, not ${token}`
    }
  }
  const score = fits / most
  return why === undefined || score < 0.5 ? undefined : { score, why }
}

/** The share of two words' beginnings and ends that is the same. */
function likeness(a: string, b: string): number {
  const least = Math.min(a.length, b.length)
  let start = 0
  while (start < least && a[start] === b[start]) start++
  let end = 0
  while (end < least - start && a.at(-1 - end) === b.at(-1 - end)) end++
  return (start + end) / Math.max(a.length, b.length)
}
