/**
 * `earshot/mesh/gossipsub`: a mesh for very many members, or for anybody, over the pubsub service of a libp2p node. It needs no
 * package itself: the node is the user's.
 *
 * On Node 20 the import gives the process `Promise.withResolvers`, without which libp2p can't make a node that has services.
 */
import "../runtime.ts"
import { completePromise } from "../../transports/libp2p/library.ts"
import { show } from "../showing.ts"
import { MeshMessage } from "./message.ts"
import type { PubsubOptions } from "./pubsub/options.ts"
import { PubsubMesh } from "./pubsub/pubsub-mesh.ts"

// Not later: the node is there before `gossipsub` is called.
completePromise()
show(MeshMessage, ({ subject, data, headers, from, user }) => ({ subject, data, headers, from, user }))

/**
 * Takes part in a network over the node's pubsub service: publishes and subscribes as `Mesh` does, by gossip instead of links,
 * so for thousands of nodes, and for nodes that can't all reach each other. Requests, queue groups, confirmations and replay are
 * for links alone: absent from the type, and ENOTSUP.
 *
 * Throws EINVAL; ENOTSUP for a node without `services.pubsub`, and for one that doesn't sign (`StrictSign` is its default);
 * EADDRNOTAVAIL for a node that isn't started; EADDRINUSE for a network that the node takes part in already.
 */
export function gossipsub(options: PubsubOptions): PubsubMesh {
  return new PubsubMesh(options)
}

export type { Headers, PayloadCodec } from "./contract.ts"
export type { MeshTally } from "./counters.ts"
export type { MemberInfo, MeshDropReason, MeshEvents } from "./events.ts"
export type { MeshMessage } from "./message.ts"
export type { PubsubNode, PubsubPeer, PubsubService } from "./pubsub/node.ts"
export type {
  PubsubOptions,
  PubsubPublishOptions,
  PubsubReadyConditions,
  PubsubSubscribeOptions,
} from "./pubsub/options.ts"
export type { PubsubEvents, PubsubMesh, PubsubSubscription } from "./pubsub/pubsub-mesh.ts"
export type { PubsubStats } from "./pubsub/stats.ts"
export type { Receipt } from "./receipt.ts"
export type { SubscriptionHandler, SubscriptionStats } from "./subscription.ts"
export { EarshotError, codes, type ErrorCode } from "../errors.ts"
