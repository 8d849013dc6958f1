/** Why is nobody there? Causes, likeliest first, from what was noticed and from what this member is. */
import type { Noted } from "./findings.ts"
import type { Hub } from "./hub.ts"

/** What may be wrong. */
export interface Cause {
  /** Stable, machine-readable: one of the table in `diagnose.ts`, or a discovery's own. */
  readonly key: string
  /** One sentence or two: what was seen. */
  readonly evidence: string
  /** One sentence: what to do. */
  readonly cure: string
}

interface Kind {
  /** It only matters as long as nobody is linked. */
  readonly alone?: boolean
  /** Unless whoever finds it says so itself, as discoveries do. */
  readonly cure?: string
}

/** Every key that Earshot itself finds, likeliest first. */
const kinds: Readonly<Record<string, Kind>> = {
  private: { cure: "pass `open: true` to Mesh.join to link with other hosts" },
  "other-network": { cure: "give all the same `network`, if they are to see each other" },
  "other-version": { cure: "update the older of the two" },
  clash: { cure: "don't copy state files between machines" },
  full: { cure: "raise `maxLinks` on all members, or leave it so: a leaf is one hop further away" },
  laden: { cure: "raise `maxLeaves` on the members that listen, or have more of them" },
  blocked: { cure: "look for synchronous work in this process, or whether the machine sleeps" },
  "seed-unresolved": {},
  "dns-unresolved": {},
  "seed-self": { alone: true, cure: "name a seed at another member, too" },
  "seed-silent": { cure: "look whether a member listens at that address and port, and at firewalls between" },
  unreachable: {
    cure: "look at firewalls, at what listens there, and (macOS 15 and later) at the Local Network permission",
  },
  refused: { cure: "look at what listens there: it is no member of this mesh, or is overloaded" },
  "mdns-interface": { alone: true },
  "mdns-virtual": { alone: true },
  "mdns-silent": { alone: true },
  "no-discovery": { alone: true, cure: "pass `discovery`: mdns(), seeds(…) or dns(…)" },
  "keeps-to-host": { alone: true, cure: "pass `open: true` to Mesh.join if the others are on other hosts" },
  "clocks-apart": { cure: "set the clocks of both machines (NTP)" },
}

const order: ReadonlyMap<string, number> = new Map(Object.keys(kinds).map((key, index) => [key, index]))
/** What no table knows comes before what is merely possible. */
const UNKNOWN = order.get("mdns-interface")!
/** ms for which what was noticed counts. */
const SPAN = 120_000
/** ms that the loop stood still to be a cause, within the last minute. */
const STILL = 1000
/** Others that are said to have the same trouble. */
const MOST_NAMED = 3

export function causes(hub: Hub): Cause[] {
  const alone = hub.links.linkedCount === 0
  const found = new Map<string, { readonly evidence: string[]; readonly cure: string | undefined; count: number }>()
  const add = (key: string, evidence: string, cure?: string): void => {
    if (kinds[key]?.alone === true && !alone) return
    const known = found.get(key)
    if (known === undefined) found.set(key, { evidence: [evidence], cure, count: 1 })
    else if (known.count++ < MOST_NAMED) known.evidence.push(evidence)
  }
  for (const { key, evidence, cure } of noted(hub)) add(key, evidence, cure)
  const { loop, settings, crowd } = hub
  const still = loop.stoodStill()
  if (still >= STILL)
    add("blocked", `this process stood still for ${(still / 1000).toFixed(1)} s within the last minute`)
  if (crowd.leaf) {
    const [carrier] = hub.links.linked
    const whose = carrier === undefined ? "looks for one to carry it" : `is a leaf of ${carrier.name} (${carrier.id})`
    add(
      "full",
      `there are more members than may be linked (maxLinks, ${settings.maxLinks} here), and this one ${whose}`,
    )
  }
  if (settings.discovery.length === 0) add("no-discovery", "nothing here looks for other members, and nobody has come")
  if (!settings.open)
    add("keeps-to-host", "this member listens and dials on its own host only, and nobody else is there")
  return [...found]
    .sort(([a], [b]) => rank(a) - rank(b))
    .map(([key, { evidence, cure, count }]) => {
      const more = count > MOST_NAMED ? [`and ${count - MOST_NAMED} more`] : []
      return { key, evidence: [...evidence, ...more].join("; "), cure: cure ?? kinds[key]?.cure ?? "see the evidence" }
    })
}

/** The first cause as the end of an error's message; undefined: none is known. */
export function hintOf(hub: Hub): string | undefined {
  const [first] = causes(hub)
  return first && `perhaps: ${first.evidence} (${first.cure})`
}

/** Dials fail on the way to a member that is linked by another address: no trouble of anybody's. */
function noted(hub: Hub): Noted[] {
  const linked = new Set([...hub.links.linked].flatMap(({ endpoints }) => endpoints))
  return hub.finder.findings.recent(SPAN).filter(({ about }) => !linked.has(about))
}

const rank = (key: string): number => order.get(key) ?? UNKNOWN - 0.5
