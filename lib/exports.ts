/** What the package exports on every platform; the composition roots add their transports. */
export { Dealer } from "../patterns/dealer.ts"
export { Pair } from "../patterns/pair.ts"
export { Publisher, type ReadyOptions } from "../patterns/publisher.ts"
export { Pull } from "../patterns/pull.ts"
export { Push } from "../patterns/push.ts"
export { Reply } from "../patterns/reply.ts"
export { Request } from "../patterns/request.ts"
export { Router } from "../patterns/router.ts"
export { Subscriber } from "../patterns/subscriber.ts"
export { XPublisher } from "../patterns/xpublisher.ts"
export { XSubscriber } from "../patterns/xsubscriber.ts"
export { systemClock, type Clock, type Timer } from "./clock.ts"
export type {
  DropReason,
  Frame,
  Metadata,
  PeerInfo,
  Place,
  SocketType,
  Transport,
  TransportOptions,
  Link,
  LinkSink,
  Listener,
} from "./contract.ts"
export type { SocketStats } from "./core.ts"
export { transports } from "./defaults.ts"
export { Transports } from "./endpoint.ts"
export { EarshotError, codes, type ErrorCode } from "./errors.ts"
export type { EndpointErrorEvent, EndpointEvent, Events, SocketEvents } from "./events.ts"
export type { MessageHandler, Received } from "./inbox.ts"
export type { DropTallies, Tally } from "./losses.ts"
export type { FrameLike, MessageLike } from "./message.ts"
export type { Auth, AuthAttempt, AuthRequest, AuthVerdict, Authenticate } from "./options.ts"
export type { PatternOptions, ReceiveOptions, SendOptions, SocketOptions } from "./options.ts"
export type { RequestOptions } from "./requesting.ts"
export type { ReceiveCallOptions, Receiving, Sending } from "./socket.ts"
export type { WaitOptions } from "./waiters.ts"
