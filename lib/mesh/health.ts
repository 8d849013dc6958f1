/** Is this member well? For the probes of whatever runs it. */
import type { Hub } from "./hub.ts"

/**
 * Why a member is not ready, or not at its best: `closed`, `draining` (it takes no new work) and `settling` (members found at
 * first are not linked yet) make it not ready; `blocked` (the event loop stood still for a second or more within the last ten),
 * `alone` (no other member is linked) and `crowded` (there are more members than `maxLinks` allows, and this one is a leaf of one
 * of them until there is room) do not.
 */
export type HealthReason = "closed" | "draining" | "settling" | "blocked" | "alone" | "crowded"

/** What `mesh.health()` gives. */
export interface MeshHealth {
  /** Of this shape: within a version fields are added, never changed. */
  readonly version: 1
  /** False when it is closed: nothing will come of it any more. */
  readonly live: boolean
  /** It may be given work. */
  readonly ready: boolean
  /** `drain()` has been called: it takes no new work. */
  readonly draining: boolean
  /** Empty when all is well. */
  readonly reasons: readonly HealthReason[]
}

/** ms: how long the loop stood still to be called blocked, and how long that is told. */
const STILL = 1000
const TOLD = 10_000

export function healthOf({ closed, draining, settled, links, loop, crowd }: Hub): MeshHealth {
  const reasons: HealthReason[] = []
  if (closed) reasons.push("closed")
  if (draining && !closed) reasons.push("draining")
  if (!settled) reasons.push("settling")
  if (loop.stoodStill(TOLD) >= STILL) reasons.push("blocked")
  if (links.linkedCount === 0 && !closed) reasons.push("alone")
  if (crowd.leaf) reasons.push("crowded")
  return { version: 1, live: !closed, ready: settled && !closed && !draining, draining, reasons }
}
