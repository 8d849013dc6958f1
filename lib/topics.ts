/** What SUB and XSUB share (RFC 29): the socket's own subscriptions, counted, told to every publisher, told again to each that comes back. */
import { copyOf, keyOf } from "./bytes.ts"
import type { Peer } from "./contract.ts"
import { Prefixes } from "./prefixes.ts"

export class Topics {
  private readonly counts = new Map<string, { topic: Uint8Array; count: number }>()
  private readonly prefixes = new Prefixes<true>()
  /** Publishers that are there now. */
  private readonly peers = new Set<Peer>()

  /** A publisher is there (again): it hears of every topic once. */
  online(peer: Peer): void {
    this.peers.add(peer)
    for (const { topic } of this.counts.values()) peer.command("SUBSCRIBE", topic)
  }

  offline(peer: Peer): void {
    this.peers.delete(peer)
  }

  /** Subscriptions add up; every one is told (WIRE 1.5). */
  subscribe(topic: Uint8Array): void {
    const key = keyOf(topic)
    const entry = this.counts.get(key)
    if (entry !== undefined) entry.count++
    else {
      const own = copyOf(topic)
      this.counts.set(key, { topic: own, count: 1 })
      this.prefixes.add(own, true)
    }
    for (const peer of this.peers) peer.command("SUBSCRIBE", topic)
  }

  /** Only the last one is told. */
  unsubscribe(topic: Uint8Array): void {
    const key = keyOf(topic)
    const entry = this.counts.get(key)
    if (entry === undefined || --entry.count > 0) return
    this.counts.delete(key)
    this.prefixes.remove(topic, true)
    for (const peer of this.peers) peer.command("CANCEL", topic)
  }

  /** Has this socket asked for such a message? Late ones, for a topic it left, come too. */
  matches(subject: Uint8Array): boolean {
    return this.prefixes.matches(subject)
  }
}
