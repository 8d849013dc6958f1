/** What `earshot/mesh` exports on every platform; the composition roots add `Mesh` and what only they have. */
export type { Call } from "./call.ts"
export type { Reply, RequestCallOptions } from "./asking.ts"
export { json, raw, text } from "./codecs.ts"
export type { Announcement, Candidate, Discovery, DiscoveryHost, Finding, Headers, PayloadCodec } from "./contract.ts"
export type { MeshTally } from "./counters.ts"
export {
  libp2pPeers,
  type KnownPeer,
  type PeerConnection,
  type PeersNode,
  type PeersOptions,
} from "./discovery/libp2p.ts"
export { seeds } from "./discovery/seeds.ts"
export type { Cause } from "./diagnose.ts"
export type { DrainOptions } from "./drain.ts"
export type { Explanation, GroupExplanation, NearMiss, Recipient } from "./explain.ts"
export type { HealthReason, MeshHealth } from "./health.ts"
export type { InterestReport, LinksReport, PingReport, StatsReport } from "./reports.ts"
export type { RequestTallies } from "./asking.ts"
export type { Sample, SampleOptions } from "./sample.ts"
export type { MemberStats, MeshStats } from "./stats.ts"
export type { MemberInfo, MeshDropReason, MeshEvents } from "./events.ts"
export type { Replies, ReplyFailure, RequestManyOptions } from "./many-requests.ts"
export type { MeshMessage, ReplyFunction, ReplyOptions } from "./message.ts"
export { msgpack } from "./msgpack.ts"
export type { MeshOptions } from "./options.ts"
export type { PublishOptions } from "./outgoing.ts"
export type { ReadyConditions } from "./ready.ts"
export type { Receipt } from "./receipt.ts"
export type { Subscription, SubscribeOptions, SubscriptionHandler, SubscriptionStats } from "./subscription.ts"
export type { ServeHandler, ServeOptions } from "./serving.ts"
export type { OnFull } from "./waiting.ts"
export { EarshotError, codes, type ErrorCode } from "../errors.ts"
