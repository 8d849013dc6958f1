/** Every counter of a mesh over pubsub, at one moment. */
import type { MeshTally } from "../counters.ts"
import type { MeshDropReason } from "../events.ts"
import type { SubscriptionStats } from "../subscription.ts"

/** What `stats()` of a mesh over pubsub gives. Counts are since it began; within a version fields are added, never changed. */
export interface PubsubStats {
  readonly version: 1
  /** The node's peer id. */
  readonly id: string
  readonly network: string
  /** ms since 1970, on this node's clock. */
  readonly time: number
  /** ms since it began. */
  readonly uptime: number
  /** Messages published here and given to the engine. */
  readonly published: number
  /** Messages that others published and that came here. What was lost on the way nobody can count. */
  readonly received: number
  /** Of these, those that a subscription here wanted. */
  readonly wanted: number
  /** Published here, and not signed and sent yet. */
  readonly waiting: number
  /** Messages that were dropped, and their bytes, by reason. */
  readonly dropped: Readonly<Partial<Record<MeshDropReason, Readonly<MeshTally>>>>
  /** Raised as `error`. */
  readonly errors: number
  /** Nodes connected to ours that take part. */
  readonly peers: number
  /** At most the first 1,000. */
  readonly subscriptions: readonly SubscriptionStats[]
}
