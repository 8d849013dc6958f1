/** PUB (RFC 29): each message goes to every subscriber whose topic its first frame begins with. */
import { sizeOf } from "../lib/bytes.ts"
import { subscribed, type ReadyOptions } from "../lib/confirm.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import { Fanout, readSubscription } from "../lib/fanout.ts"
import { toFrame, type FrameLike } from "../lib/message.ts"
import type { PatternOptions, SendOptions, Settings, SocketOptions } from "../lib/options.ts"
import { Sender, defineOptions } from "../lib/socket.ts"

class PublisherPattern implements Pattern {
  readonly type = "PUB"
  readonly accepts = ["SUB", "XSUB"] as const
  private readonly host: PatternHost
  private readonly settings: Settings
  private readonly fanout = new Fanout()

  constructor(host: PatternHost, settings: Settings) {
    this.host = host
    this.settings = settings
  }

  attach(peer: Peer): void {
    this.fanout.attach(peer)
  }
  offline(peer: Peer): void {
    this.fanout.clear(peer)
    this.host.writable()
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.fanout.detach(peer, unsent)
    // With noDrop, it may have been the one that was full.
    this.host.writable()
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
    if (change === undefined) peer.dropped("malformed", 1, sizeOf(message))
    else this.change(peer, change.topic, change.subscribe)
  }
  send(message: Message): boolean {
    return this.fanout.send(message, this.settings.invertMatching, this.settings.noDrop)
  }
  count(topic: Uint8Array): number {
    return this.fanout.count(topic, this.settings.invertMatching)
  }

  private change(peer: Peer, topic: Uint8Array, subscribe: boolean): void {
    if (!(subscribe ? this.fanout.subscribe(peer, topic) : this.fanout.cancel(peer, topic))) return
    this.host.changed()
    if (!subscribe) this.host.writable()
  }
}

export type { ReadyOptions } from "../lib/confirm.ts"

type Own = Pick<PatternOptions, "noDrop" | "invertMatching" | "conflate">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface Publisher extends Own {}

/**
 * Sends each message to all Subscribers whose topic it begins with. For one that is full it is dropped and counted, unless
 * `noDrop`. Options: those of every socket, of sending sockets, `noDrop`, `invertMatching`, `conflate`.
 */
export class Publisher extends Sender<PublisherPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & Own> = {}) {
    super((host, settings) => new PublisherPattern(host, settings), options)
  }

  /** To how many peers a message that begins with `topic` would go now. */
  subscribers(topic: FrameLike = ""): number {
    return this.core.pattern.count(toFrame(topic))
  }

  /** Resolves once so many peers subscribe; rejects TIMEOUT. */
  ready(options: ReadyOptions = {}): Promise<void> {
    return subscribed(this.core, options)
  }
}
defineOptions(Publisher, ["noDrop", "invertMatching", "conflate"])
