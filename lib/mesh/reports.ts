/**
 * What every member answers about itself, so that any member can draw the whole mesh: `$EARSHOT.<id>.` and one of
 *
 *   PING      who it is
 *   STATS     its counters, as `mesh.stats()`
 *   LINKS     whom it is linked with
 *   INTEREST  what it wants, and the leaves that it carries; { offset } in the request turns the page
 *
 * The shapes are versioned: within a version fields are added, never changed. `observe: false` answers nothing.
 */
import { Failure } from "./answering.ts"
import { healthOf, type MeshHealth } from "./health.ts"
import type { Hub } from "./hub.ts"
import type { Interest } from "./interest.ts"
import { VERSION } from "./introduction.ts"
import type { MeshMessage } from "./message.ts"
import { memberStats, statsOf, MOST_LISTED, type MemberStats, type MeshStats } from "./stats.ts"
import { Subscription } from "./subscription.ts"

/** The answer to `$EARSHOT.<id>.PING`. */
export interface PingReport {
  /** Of this shape: within a version fields are added, never changed. */
  readonly version: 1
  /** 26 characters, as `mesh.id` there. */
  readonly id: string
  /** As `mesh.name` there; never an identity. */
  readonly name: string
  /** It listens nowhere and reaches the mesh through others. */
  readonly leaf: boolean
  /** Major and minor version of the protocol. */
  readonly protocol: readonly [number, number]
  /** As `member.meta`. */
  readonly meta: Readonly<Record<string, unknown>>
  /** ms since 1970, on this member's clock. */
  readonly time: number
  /** ms since it joined. */
  readonly uptime: number
  /** As `mesh.health()` there. */
  readonly health: MeshHealth
}

/** The answer to `$EARSHOT.<id>.LINKS`. */
export interface LinksReport {
  /** Of this shape: within a version fields are added, never changed. */
  readonly version: 1
  /** Of the member that answers. */
  readonly id: string
  /** Whom it is linked with. */
  readonly links: readonly MemberStats[]
}

/** The answer to `$EARSHOT.<id>.INTEREST`: at most 1,000 entries from `offset` on. */
export interface InterestReport {
  /** Of this shape: within a version fields are added, never changed. */
  readonly version: 1
  /** Of the member that answers. */
  readonly id: string
  /** How many entries there are in all. */
  readonly total: number
  /** The first entry here is that one of all, as asked. */
  readonly offset: number
  /** Patterns, each with its queue group (`null`: none), and whether it answers requests. */
  readonly interest: readonly { readonly pattern: string; readonly queue: string | null; readonly responds: boolean }[]
}

/** The answer to `$EARSHOT.<id>.STATS`. */
export type StatsReport = MeshStats

/** One question at a time is enough, and few may wait. */
const QUEUE = { concurrency: 1, queueSize: 64, responds: true }

/** Begins to answer; gives what ends it. Holds no process alive, and is no subscription of the user's. */
export function report(hub: Hub): () => void {
  const prefix = `$EARSHOT.${hub.identity.id}.`
  const subscription = new Subscription(
    hub.subscriptions.unseen,
    `${prefix}*`,
    { ...QUEUE, queue: prefix },
    (message) => answer(hub, message.subject.slice(prefix.length), message),
  )
  hub.local.add(subscription)
  hub.interest.acquire(subscription)
  return () => {
    hub.local.remove(subscription)
    hub.interest.release(subscription)
    subscription.unsubscribe()
  }
}

function answer(hub: Hub, what: string, { data, reply }: MeshMessage): void {
  if (what === "STATS") reply?.(statsOf(hub))
  else if (what === "LINKS") reply?.(linksOf(hub))
  else if (what === "PING") reply?.(pingOf(hub))
  else if (what === "INTEREST") reply?.(interestOf(hub, Number(Object(data).offset)))
  else reply?.(new Failure("NO_RESPONDERS", `members report STATS, LINKS, INTEREST and PING, not ${what}`))
}

function pingOf(hub: Hub): PingReport {
  const { identity, settings, leaf, meta, clock } = hub
  const { id } = identity
  const protocol = [VERSION[0], VERSION[1]] as const
  const [time, uptime] = [clock.wall(), clock.now() - hub.began]
  return { version: 1, id, name: settings.name, leaf, protocol, meta, time, uptime, health: healthOf(hub) }
}

function linksOf(hub: Hub): LinksReport {
  const links = [...hub.links.linked].map((member) => memberStats(hub, member))
  return { version: 1, id: hub.identity.id, links }
}

function interestOf(hub: Hub, asked: number): InterestReport {
  const all = hub.interest.list()
  const offset = Number.isSafeInteger(asked) && asked > 0 ? asked : 0
  const interest = all.slice(offset, offset + MOST_LISTED).map(plain)
  return { version: 1, id: hub.identity.id, total: all.length, offset, interest }
}

const plain = ({ pattern, queue, responds }: Interest): InterestReport["interest"][number] => ({
  pattern,
  queue: queue ?? null,
  responds,
})
