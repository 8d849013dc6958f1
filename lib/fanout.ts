/** What PUB and XPUB share (RFC 29): who has subscribed to what, and to whom a message goes. */
import { sizeOf } from "./bytes.ts"
import type { Message, Peer } from "./contract.ts"
import { EarshotError } from "./errors.ts"
import { Prefixes } from "./prefixes.ts"

/** Bytes that one peer's subscriptions may take, some 250,000 of them; over it the peer is closed. */
const MAX_TOPIC_BYTES = 64 * 1024 * 1024
/** What each takes beside its own bytes (measured: 150 to 280). */
const TOPIC_COST = 256

interface Subscriber {
  readonly peer: Peer
  /** The message it was last matched for: topics overlap, and it gets each message once. */
  stamp: number
  topics: number
  /** What they take. */
  bytes: number
}

/** A subscription as it came: a command, or (3.0 peers, ZWS) a message that begins with 01 or 00. */
export interface SubscriptionChange {
  readonly topic: Uint8Array
  readonly subscribe: boolean
}

/** Reads the old spelling; undefined for a message that is something else. */
export function readSubscription(message: Message): SubscriptionChange | undefined {
  const first = message[0]!
  if (message.length > 1 || first.length === 0 || first[0]! > 1) return undefined
  return { topic: first.subarray(1), subscribe: first[0] === 1 }
}

/** What the peer can't take, now or ever, is dropped and counted. */
export function sendOrDrop(peer: Peer, message: Message): void {
  try {
    if (!peer.send(message)) peer.dropped("full", 1, sizeOf(message))
  } catch (error) {
    if ((error as EarshotError).code !== "EMSGSIZE") throw error
    peer.dropped("too-large", 1, sizeOf(message))
  }
}

export class Fanout {
  private readonly prefixes = new Prefixes<Subscriber>()
  private readonly subscribers = new Map<Peer, Subscriber>()
  private targets: Subscriber[] = []
  private sending = false
  private stamp = 0

  attach(peer: Peer): void {
    this.subscribers.set(peer, { peer, stamp: 0, topics: 0, bytes: 0 })
  }

  /** Forgets a peer's subscriptions, telling of each, and whether nobody has that topic any more. */
  clear(peer: Peer, gone?: (topic: Uint8Array, deserted: boolean) => void): void {
    const subscriber = this.subscribers.get(peer)
    if (subscriber === undefined || subscriber.topics === 0) return
    this.prefixes.removeAll(subscriber, gone)
    subscriber.topics = subscriber.bytes = 0
  }

  /** The peer is gone; so are the messages that it took. */
  detach(peer: Peer, unsent: Message[]): void {
    this.clear(peer)
    this.subscribers.delete(peer)
    for (const message of unsent) peer.dropped("disconnected", 1, sizeOf(message))
  }

  /** True when this changes anything for the peer; `first`/`last` of all peers is told by `has`. */
  subscribe(peer: Peer, topic: Uint8Array): boolean {
    const subscriber = this.subscribers.get(peer)
    if (subscriber === undefined) return false
    const bytes = subscriber.bytes + topic.length + TOPIC_COST
    if (bytes > MAX_TOPIC_BYTES) {
      const more = `more than ${subscriber.topics} subscriptions, which may take ${MAX_TOPIC_BYTES} bytes`
      peer.close(new EarshotError("LIMIT", more))
      return false
    }
    if (!this.prefixes.add(topic, subscriber)) return false
    subscriber.topics++
    subscriber.bytes = bytes
    return true
  }

  cancel(peer: Peer, topic: Uint8Array): boolean {
    const subscriber = this.subscribers.get(peer)
    if (subscriber === undefined || !this.prefixes.remove(topic, subscriber)) return false
    subscriber.topics--
    subscriber.bytes -= topic.length + TOPIC_COST
    return true
  }

  /** Has anybody subscribed to exactly this topic? */
  has(topic: Uint8Array): boolean {
    return this.prefixes.has(topic)
  }

  /** To how many peers a message that begins with `topic` would go. */
  count(topic: Uint8Array, invert: boolean): number {
    return this.match(topic, invert).length
  }

  /**
   * Sends to all who want it. For a full peer it is dropped and counted; with `noDrop` false is returned, and nothing
   * sent, while any of them is full.
   */
  send(message: Message, invert: boolean, noDrop: boolean): boolean {
    const targets = this.match(message[0]!, invert)
    if (noDrop) {
      const size = sizeOf(message)
      for (let i = 0; i < targets.length; i++) if (!targets[i]!.peer.hasRoom(size)) return false
    }
    this.sending = true
    for (let i = 0; i < targets.length; i++) sendOrDrop(targets[i]!.peer, message)
    this.sending = false
    return true
  }

  private readonly hit = (subscriber: Subscriber): void => {
    if (subscriber.stamp === this.stamp) return
    subscriber.stamp = this.stamp
    this.targets.push(subscriber)
  }

  private match(subject: Uint8Array, invert: boolean): Subscriber[] {
    this.stamp++
    // One list serves all, but for what a listener of a drop sends or asks in the middle of a send.
    if (this.sending) this.targets = []
    else this.targets.length = 0
    this.prefixes.match(subject, this.hit)
    if (!invert) return this.targets
    this.targets.length = 0
    for (const subscriber of this.subscribers.values())
      if (subscriber.stamp !== this.stamp && subscriber.peer.online) this.targets.push(subscriber)
    return this.targets
  }
}
