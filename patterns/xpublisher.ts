/** XPUB (RFC 29): a PUB that also receives: its peers' subscriptions, as messages, and what XSUBs send upstream. */
import { EMPTY, prefixed } from "../lib/bytes.ts"
import { subscribed, type ReadyOptions } from "../lib/confirm.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import { Fanout, readSubscription } from "../lib/fanout.ts"
import { toFrame, type FrameLike } from "../lib/message.ts"
import type { PatternOptions, ReceiveOptions, SendOptions, Settings, SocketOptions } from "../lib/options.ts"
import { Duplex, defineOptions } from "../lib/socket.ts"

const SUBSCRIBE = 1
const CANCEL = 0

class XPublisherPattern implements Pattern {
  readonly type = "XPUB"
  readonly accepts = ["SUB", "XSUB"] as const
  private readonly host: PatternHost
  private readonly settings: Settings
  private readonly fanout = new Fanout()
  /** With `manual`: what peers asked for, whatever became of it; told when they go. */
  private readonly asked = new Fanout()
  /** Whose message the user received last: `manual` subscriptions are for it. */
  private last: Peer | undefined

  constructor(host: PatternHost, settings: Settings) {
    this.host = host
    this.settings = settings
  }

  attach(peer: Peer): void {
    this.fanout.attach(peer)
    this.asked.attach(peer)
  }
  online(peer: Peer): void {
    const { welcomeMessage } = this.settings
    if (welcomeMessage.length > 0) peer.greet([welcomeMessage])
  }
  offline(peer: Peer): void {
    this.leave(peer)
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.leave(peer)
    this.asked.detach(peer, [])
    this.fanout.detach(peer, unsent)
  }
  onWritable(): void {
    this.host.writable()
  }
  onCommand(peer: Peer, name: string, body: Uint8Array): void {
    if (name === "SUBSCRIBE") this.change(peer, body, true)
    else if (name === "CANCEL") this.change(peer, body, false)
  }
  onMessage(peer: Peer, message: Message): void {
    const change = readSubscription(message)
    if (change === undefined) this.host.deliver(peer, message)
    else this.change(peer, change.topic, change.subscribe)
  }
  onTake(peer: Peer, message: Message): Message {
    this.last = peer.online ? peer : undefined
    return message
  }
  send(message: Message): boolean {
    return this.fanout.send(message, this.settings.invertMatching, this.settings.noDrop)
  }
  count(topic: Uint8Array): number {
    return this.fanout.count(topic, this.settings.invertMatching)
  }

  /** The user's own subscription for the last peer, with `manual`. */
  manual(topic: Uint8Array, subscribe: boolean): void {
    if (!this.settings.manual) throw new EarshotError("EINVAL", "only with the option manual")
    if (this.last === undefined) throw new EarshotError("EHOSTUNREACH", "no message was received, or its peer is gone")
    this.told(subscribe ? this.fanout.subscribe(this.last, topic) : this.fanout.cancel(this.last, topic), subscribe)
  }

  private change(peer: Peer, topic: Uint8Array, subscribe: boolean): void {
    const { manual, verbosity } = this.settings
    if (manual) {
      if (subscribe) this.asked.subscribe(peer, topic)
      else this.asked.cancel(peer, topic)
      return this.tell(peer, subscribe ? SUBSCRIBE : CANCEL, topic)
    }
    const before = this.fanout.has(topic)
    const changed = subscribe ? this.fanout.subscribe(peer, topic) : this.fanout.cancel(peer, topic)
    const after = this.fanout.has(topic)
    const all = verbosity === "all" || (verbosity === "subscriptions" && subscribe)
    if (before !== after || all) this.tell(peer, subscribe ? SUBSCRIBE : CANCEL, topic)
    this.told(changed, subscribe)
  }

  private told(changed: boolean, subscribe: boolean): void {
    if (!changed) return
    this.host.changed()
    if (!subscribe) this.host.writable()
  }

  /** Its subscriptions end, which the user is told as if it had cancelled them. */
  private leave(peer: Peer): void {
    const { manual, verbosity } = this.settings
    if (this.last === peer) this.last = undefined
    this.asked.clear(peer, (topic) => this.tell(peer, CANCEL, topic))
    this.fanout.clear(peer, (topic, deserted) => {
      if (!manual && (deserted || verbosity === "all")) this.tell(peer, CANCEL, topic)
    })
    // With noDrop, it may have been the one that was full.
    this.host.writable()
  }

  private tell(peer: Peer, kind: number, topic: Uint8Array): void {
    this.host.deliver(peer, [prefixed(kind, topic)])
  }
}

type Own = Pick<PatternOptions, "noDrop" | "manual" | "verbosity" | "welcomeMessage" | "invertMatching">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface XPublisher extends Own {}

/**
 * A Publisher that receives its peers' subscriptions as messages of one frame: 01 or 00, then the topic.
 * It has to be read: of a peer that has `receiveHighWaterMark` of them unread, no further ones are taken until they are.
 * Options: those of every socket, of sending and of receiving sockets, `noDrop`, `manual`, `verbosity`, `welcomeMessage`,
 * `invertMatching`.
 */
export class XPublisher extends Duplex<XPublisherPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & ReceiveOptions & Own> = {}) {
    super((host, settings) => new XPublisherPattern(host, settings), options)
  }

  /** With `manual`: subscribes the peer whose message was received last. Throws EINVAL without, EHOSTUNREACH when it is gone. */
  subscribe(...topics: FrameLike[]): void {
    for (const topic of topics.length === 0 ? [EMPTY] : topics) this.core.pattern.manual(toFrame(topic), true)
  }

  /** With `manual`: takes a subscription from the peer whose message was received last. Throws as `subscribe`. */
  unsubscribe(...topics: FrameLike[]): void {
    for (const topic of topics.length === 0 ? [EMPTY] : topics) this.core.pattern.manual(toFrame(topic), false)
  }

  /** To how many peers a message that begins with `topic` would go now. */
  subscribers(topic: FrameLike = ""): number {
    return this.core.pattern.count(toFrame(topic))
  }

  /** Resolves once `subscribers` peers (default 1) subscribe to messages that begin with `topic`; rejects TIMEOUT after `timeout` ms (10,000). */
  ready(options: ReadyOptions = {}): Promise<void> {
    return subscribed(this.core, options)
  }
}
defineOptions(XPublisher, ["noDrop", "manual", "verbosity", "welcomeMessage", "invertMatching"])
