/** SUB (RFC 29): receives what begins with one of its topics, from all its publishers. */
import { EMPTY, sizeOf } from "../lib/bytes.ts"
import { confirmed } from "../lib/confirm.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import { toFrame, type FrameLike } from "../lib/message.ts"
import { quiet } from "../lib/operations.ts"
import type { PatternOptions, ReceiveOptions, Settings, SocketOptions } from "../lib/options.ts"
import { Receiver, defineOptions } from "../lib/socket.ts"
import { Topics } from "../lib/topics.ts"

class SubscriberPattern implements Pattern {
  readonly type = "SUB"
  readonly accepts = ["PUB", "XPUB"] as const
  readonly topics: Topics = new Topics()
  private readonly host: PatternHost
  private readonly settings: Settings

  constructor(host: PatternHost, settings: Settings) {
    this.host = host
    this.settings = settings
  }

  attach(): void {}
  online(peer: Peer): void {
    this.topics.online(peer)
  }
  offline(peer: Peer): void {
    this.topics.offline(peer)
  }
  detach(peer: Peer): void {
    this.topics.offline(peer)
  }
  onMessage(peer: Peer, message: Message): void {
    // Publishers filter; what they sent before they heard of a change is no loss, and stays out.
    if (this.topics.matches(message[0]!) !== this.settings.invertMatching) this.host.deliver(peer, message)
    else this.unwanted += sizeOf(message)
  }
  /** Bytes of messages that came for topics already left. */
  unwanted = 0
}

type Own = Pick<PatternOptions, "conflate" | "invertMatching">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface Subscriber extends Own {}

/**
 * Receives, from all its Publishers, the messages whose first frame begins with one of its topics. When it isn't read, the
 * publishers' queues fill, and they drop and count. Options: those of every socket, of receiving sockets, `conflate`, `invertMatching`.
 */
export class Subscriber extends Receiver<SubscriberPattern> {
  constructor(options: Partial<SocketOptions & ReceiveOptions & Own> = {}) {
    super((host, settings) => new SubscriberPattern(host, settings), options)
  }

  /**
   * Subscribes to topics; without arguments to everything. Subscriptions add up. Resolves when every publisher that is
   * connected, and the first of each endpoint that is being connected, has the subscription: what it publishes from then
   * on comes. Exact between Earshot sockets; libzmq answers up to 1 ms early, so 5 ms are added. Behind a proxy it tells
   * of the next hop only. Need not be awaited; rejects TIMEOUT when a first handshake takes over 10 s, never unhandled.
   */
  subscribe(...topics: FrameLike[]): Promise<void> {
    this.core.checkOpen()
    const frames = topics.length === 0 ? [EMPTY] : topics.map(toFrame)
    for (const frame of frames) this.core.pattern.topics.subscribe(frame)
    return quiet(confirmed(this.core))
  }

  /** Takes back as many subscriptions; without arguments one to everything. Resolves as `subscribe` does. */
  unsubscribe(...topics: FrameLike[]): Promise<void> {
    this.core.checkOpen()
    const frames = topics.length === 0 ? [EMPTY] : topics.map(toFrame)
    for (const frame of frames) this.core.pattern.topics.unsubscribe(frame)
    return quiet(confirmed(this.core))
  }
}
defineOptions(Subscriber, ["conflate", "invertMatching"])
