/** Every counter of a mesh, at one moment. The shapes are versioned: within a version fields are added, never changed. */
import type { RequestTallies } from "./asking.ts"
import type { MeshTally } from "./counters.ts"
import type { MeshDropReason } from "./events.ts"
import type { Hub } from "./hub.ts"
import type { Member } from "./member.ts"
import type { SubscriptionStats } from "./subscription.ts"

/** What `mesh.stats()` gives. Counts are since `join`; nothing is reset. */
export interface MeshStats {
  /** Of this shape: within a version fields are added, never changed. */
  readonly version: 1
  /** 26 characters, as `mesh.id`. */
  readonly id: string
  /** As `mesh.name`. */
  readonly name: string
  /** It has one link, to the member that carries it: it listens nowhere, or there are more members than `maxLinks` allows. */
  readonly leaf: boolean
  /** ms since 1970, on this member's clock. */
  readonly time: number
  /** ms since `join`. */
  readonly uptime: number
  /** Messages published here. */
  readonly published: number
  /** Messages that others published and that came here. */
  readonly received: number
  /** Published here, and waiting for the mesh to settle or for room. */
  readonly waiting: number
  /** Messages that were dropped, and their bytes, by reason. */
  readonly dropped: Readonly<Partial<Record<MeshDropReason, Readonly<MeshTally>>>>
  /** Messages missing for good after a loss of a link, to others and from others. */
  readonly gaps: { readonly sent: number; readonly received: number }
  /** Messages of kinds that this version doesn't know: skipped. */
  readonly unknown: number
  /** Raised as `error`. */
  readonly errors: number
  /** Requests made here. `open`: asked, and not answered yet. */
  readonly requests: Readonly<RequestTallies> & { readonly open: number }
  /** Requests that came here. `open`: accepted, and not answered yet; `refused`: BUSY, or nobody here. */
  readonly calls: { readonly answered: number; readonly refused: number; readonly open: number }
  /** What samples of others cost: sent to them, and left out of them. */
  readonly samples: { readonly sent: number; readonly skipped: number }
  /** At most the first 1,000. */
  readonly subscriptions: readonly SubscriptionStats[]
  /** Those that are linked, or lost and perhaps coming back. */
  readonly members: readonly MemberStats[]
}

/** One member, as another one sees it. */
export interface MemberStats {
  /** 26 characters, as `member.id`. */
  readonly id: string
  /** What it calls itself; never an identity. */
  readonly name: string
  /** There is a link; else it is lost, and what it would get is kept for it. */
  readonly linked: boolean
  /** The scheme of the link, such as `tcp`, `ws` or `inproc`; undefined without a link. */
  readonly link: string | undefined
  /** The link was made from this side. */
  readonly dialled: boolean
  /** Its interest is known in full. */
  readonly known: boolean
  /** It takes no new work. */
  readonly draining: boolean
  /** It listens nowhere and reaches the mesh through others. */
  readonly leaf: boolean
  /** ms of the last round trip; undefined before the first. */
  readonly rtt: number | undefined
  /** Messages, and their bytes, that wait on the link. */
  readonly queued: number
  readonly queuedBytes: number
  /** Messages, and their bytes, that it has not acknowledged, kept to be sent again. */
  readonly kept: number
  readonly keptBytes: number
  /** Requests that it was asked and has not answered. */
  readonly outstanding: number
  /** ms that its answers take: up at once, down slowly. */
  readonly latency: number
  /** Counted messages (published, replies) to it and from it since the two met. */
  readonly sent: number
  readonly taken: number
  /** Its subscriptions: patterns, each with its group. */
  readonly interest: number
}

/** Entries of one list. */
export const MOST_LISTED = 1000

export function statsOf(hub: Hub): MeshStats {
  const { identity, settings, clock, counters, outgoing, incoming, asking, answering, links, sampling } = hub
  return {
    version: 1,
    id: identity.id,
    name: settings.name,
    leaf: hub.leaf,
    time: clock.wall(),
    uptime: clock.now() - hub.began,
    published: outgoing.published,
    received: incoming.received,
    waiting: outgoing.held,
    dropped: Object.fromEntries(Object.entries(counters.dropped).map(([reason, tally]) => [reason, { ...tally }])),
    gaps: { ...counters.gaps },
    unknown: counters.unknown,
    errors: counters.errors,
    requests: { ...asking.tallies, open: asking.waiting },
    calls: { answered: answering.answered, refused: answering.refused, open: answering.size },
    samples: { ...sampling.tallies },
    subscriptions: [...hub.subscriptions.all].slice(0, MOST_LISTED).map((subscription) => subscription.stats()),
    members: [...links.members.values()].map((member) => memberStats(hub, member)),
  }
}

export function memberStats(hub: Hub, member: Member): MemberStats {
  const { id, name, linked, pipe, dialled, known, draining, leaf, rtt, replay, outstanding, latency, taken } = member
  return {
    id,
    name,
    linked,
    link: pipe?.address.slice(0, pipe.address.indexOf(":")),
    dialled,
    known,
    draining,
    leaf,
    rtt,
    queued: pipe?.queued ?? 0,
    queuedBytes: pipe?.queuedBytes ?? 0,
    kept: replay.length,
    keptBytes: replay.bytes,
    outstanding,
    latency,
    sent: replay.sent,
    taken,
    interest: hub.incoming.interestOf(member)?.size ?? 0,
  }
}
