/** PAIR (RFC 31): one peer, both ways. Whoever comes second is turned away. */
import { sizeOf } from "../lib/bytes.ts"
import { Balancer } from "../lib/balancer.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import type { ReceiveOptions, SendOptions, SocketOptions } from "../lib/options.ts"
import { Duplex } from "../lib/socket.ts"

class PairPattern implements Pattern {
  readonly type = "PAIR"
  readonly accepts = ["PAIR"] as const
  private readonly host: PatternHost
  /** Of at most one peer: it keeps what a lost one left unsent. */
  private readonly balancer: Balancer
  private peer: Peer | undefined

  constructor(host: PatternHost) {
    this.host = host
    this.balancer = new Balancer(host.clock)
  }

  attach(peer: Peer): void {
    if (this.peer !== undefined) return
    this.peer = peer
    this.balancer.attach(peer)
    this.onWritable(peer)
  }
  online(peer: Peer): boolean {
    // One that we dialled and had no place for, and whose turn has come.
    this.attach(peer)
    return peer === this.peer
  }
  detach(peer: Peer, unsent: Message[]): void {
    if (peer !== this.peer) return
    this.peer = undefined
    this.balancer.detach(peer, unsent)
  }
  onWritable(peer: Peer): void {
    if (peer === this.peer && this.balancer.writable(peer)) this.host.writable()
  }
  send(message: Message): boolean {
    return this.balancer.send(message)
  }
  drain(): Message[] {
    return this.balancer.drain()
  }
  onMessage(peer: Peer, message: Message): void {
    if (peer === this.peer) this.host.deliver(peer, message)
    else peer.dropped("excess", 1, sizeOf(message))
  }
}

/**
 * Exchanges messages with exactly one other Pair; a second one is turned away. `send` waits while there is none.
 * Options: those of every socket, of sending and of receiving sockets.
 */
export class Pair extends Duplex<PairPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & ReceiveOptions> = {}) {
    super((host) => new PairPattern(host), options)
  }
}
