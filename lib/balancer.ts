/**
 * Sends each message to the next peer that has room, in turn (RFC 28, RFC 30; libzmq's `lb`). What a peer took and never
 * sent before it went goes first to another.
 */
import { sizeOf } from "./bytes.ts"
import type { Clock } from "./clock.ts"
import type { Message, Peer } from "./contract.ts"
import { Ring } from "./ring.ts"

export class Balancer {
  /** Those with room first: peers[0..room). */
  private readonly peers: Peer[] = []
  private room = 0
  private next = 0
  /** From peers that are gone, in order, older than everything that is sent now. It keeps the process alive. */
  private readonly backlog = new Ring<Message>()
  private holding = false
  private readonly clock: Clock

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** The peer that took the last message. */
  last: Peer | undefined

  attach(peer: Peer): void {
    this.peers.push(peer)
    this.swap(this.peers.length - 1, this.room++)
  }

  /** `unsent` is kept for the peers that remain or come. */
  detach(peer: Peer, unsent: Message[]): void {
    const index = this.peers.indexOf(peer)
    if (index === -1) return
    let at = index
    if (at < this.room) this.swap(at, (at = --this.room))
    this.swap(at, this.peers.length - 1)
    this.peers.pop()
    if (this.last === peer) this.last = undefined
    if (unsent.length === 0) return
    for (let i = unsent.length - 1; i >= 0; i--) this.backlog.unshift(unsent[i]!)
    this.flush()
  }

  /** There is room again: true when something may be sent now. */
  writable(peer: Peer): boolean {
    const index = this.peers.indexOf(peer)
    if (index >= this.room) this.swap(index, this.room++)
    return this.flush() && this.room > 0
  }

  /** To the next with room, but those that `skip` names. False: nobody. Throws EMSGSIZE when it is too large for every peer. */
  send(message: Message, skip?: (peer: Peer) => boolean): boolean {
    if (this.backlog.length > 0 && !this.flush()) return false
    return this.offer(message, skip)
  }

  /** What nobody has taken. */
  drain(): Message[] {
    const left = this.backlog.drain()
    this.hold()
    return left
  }

  /** True when no older message waits. */
  private flush(): boolean {
    const { backlog } = this
    while (backlog.length > 0) {
      const message = backlog.shift()!
      if (this.offerOld(message)) continue
      backlog.unshift(message)
      break
    }
    this.hold()
    return backlog.length === 0
  }

  private hold(): void {
    const wanted = this.backlog.length > 0
    if (wanted === this.holding) return
    this.holding = wanted
    if (wanted) this.clock.hold()
    else this.clock.release()
  }

  /** Nobody waits for this one's outcome: what is too large for every peer is dropped. */
  private offerOld(message: Message): boolean {
    try {
      return this.offer(message)
    } catch {
      this.peers[0]!.dropped("too-large", 1, sizeOf(message))
      return true
    }
  }

  private offer(message: Message, skip?: (peer: Peer) => boolean): boolean {
    if (this.next >= this.room) this.next = 0
    const start = this.next
    let wrapped = false
    let tooSmall = 0
    for (let left = this.room; left > 0; left--) {
      if (this.next >= this.room) {
        this.next = 0
        wrapped = true
      }
      const peer = this.peers[this.next]!
      try {
        if (skip?.(peer) === true) this.next++
        else if (peer.send(message)) {
          this.next++
          this.last = peer
          return true
        } else {
          this.swap(this.next, --this.room)
          // Whoever stands in its place now has had its turn, if we began before the end.
          if (wrapped && this.room >= start) this.next++
        }
      } catch (error) {
        // One that says it takes nothing so large is passed over: it must not stop what others take.
        this.next++
        if (++tooSmall === this.peers.length) throw error
      }
    }
    return false
  }

  private swap(a: number, b: number): void {
    const peer = this.peers[a]!
    this.peers[a] = this.peers[b]!
    this.peers[b] = peer
  }
}
