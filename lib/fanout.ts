/** What PUB and XPUB share (RFC 29): who has subscribed to what, and to whom a message goes. */
import { sizeOf } from "./bytes.ts"
import type { Message, Peer } from "./contract.ts"
import { EarshotError } from "./errors.ts"
import { Prefixes } from "./prefixes.ts"

/** What one peer's subscriptions may take; over it the peer is closed. */
const MAX_TOPICS = 1_000_000
const MAX_TOPIC_BYTES = 64 * 1024 * 1024

interface Subscriber {
  readonly peer: Peer
  /** The message it was last matched for: topics overlap, and it gets each message once. */
  stamp: number
  topics: number
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

  /** Forgets a peer's subscriptions, telling of each topic that nobody has any more. */
  clear(peer: Peer, deserted?: (topic: Uint8Array) => void): void {
    const subscriber = this.subscribers.get(peer)
    if (subscriber === undefined) return
    this.prefixes.removeAll(subscriber, (topic, last) => {
      if (last) deserted?.(topic)
    })
    subscriber.topics = subscriber.bytes = 0
  }

  detach(peer: Peer, unsent: Message[], deserted?: (topic: Uint8Array) => void): void {
    this.clear(peer, deserted)
    this.subscribers.delete(peer)
    for (const message of unsent) peer.dropped("disconnected", 1, sizeOf(message))
  }

  /** True when this changes anything for the peer; `first`/`last` of all peers is told by `has`. */
  subscribe(peer: Peer, topic: Uint8Array): boolean {
    const subscriber = this.subscribers.get(peer)
    if (subscriber === undefined || !this.prefixes.add(topic, subscriber)) return false
    subscriber.bytes += topic.length
    if (++subscriber.topics > MAX_TOPICS || subscriber.bytes > MAX_TOPIC_BYTES)
      peer.close(
        new EarshotError("LIMIT", `a peer with ${subscriber.topics} subscriptions of ${subscriber.bytes} bytes`),
      )
    return true
  }

  cancel(peer: Peer, topic: Uint8Array): boolean {
    const subscriber = this.subscribers.get(peer)
    if (subscriber === undefined || !this.prefixes.remove(topic, subscriber)) return false
    subscriber.topics--
    subscriber.bytes -= topic.length
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
