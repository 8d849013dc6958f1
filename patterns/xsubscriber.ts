/** XSUB (RFC 29): a SUB whose subscriptions are messages it sends: 01 or 00, then the topic. Other messages go upstream as they are. */
import { sizeOf } from "../lib/bytes.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import { readSubscription, sendOrDrop } from "../lib/fanout.ts"
import type { ReceiveOptions, SendOptions, SocketOptions } from "../lib/options.ts"
import { Duplex } from "../lib/socket.ts"
import { Topics } from "../lib/topics.ts"

class XSubscriberPattern implements Pattern {
  readonly type = "XSUB"
  readonly accepts = ["PUB", "XPUB"] as const
  private readonly host: PatternHost
  private readonly topics = new Topics()
  /** Also those that are away: what goes upstream waits for them. */
  private readonly publishers = new Set<Peer>()

  constructor(host: PatternHost) {
    this.host = host
  }

  attach(peer: Peer): void {
    this.publishers.add(peer)
  }
  online(peer: Peer): void {
    this.topics.online(peer)
  }
  offline(peer: Peer): void {
    this.topics.offline(peer)
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.publishers.delete(peer)
    this.topics.offline(peer)
    for (const message of unsent) peer.dropped("disconnected", 1, sizeOf(message))
  }
  /** Unfiltered, as in libzmq: an XPUB with `manual` may send what was never asked for by that name. */
  onMessage(peer: Peer, message: Message): void {
    this.host.deliver(peer, message)
  }
  send(message: Message): boolean {
    const change = readSubscription(message)
    if (change !== undefined) {
      if (change.subscribe) this.topics.subscribe(change.topic)
      else this.topics.unsubscribe(change.topic)
      return true
    }
    for (const peer of this.publishers) sendOrDrop(peer, message)
    return true
  }
}

/**
 * A Subscriber that subscribes by sending: a frame of 01 and the topic, or 00 and the topic. Anything else it sends goes
 * to all its publishers, of which XPublishers deliver it. For proxies. Options: those of every socket, of sending and of
 * receiving sockets.
 */
export class XSubscriber extends Duplex<XSubscriberPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & ReceiveOptions> = {}) {
    super((host) => new XSubscriberPattern(host), options)
  }
}
