/** DEALER (RFC 28): sends to its peers in turn, receives from all fairly. */
import { Balancer } from "../lib/balancer.ts"
import { EMPTY } from "../lib/bytes.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import type { PatternOptions, ReceiveOptions, SendOptions, Settings, SocketOptions } from "../lib/options.ts"
import { Duplex, defineOptions } from "../lib/socket.ts"

class DealerPattern implements Pattern {
  readonly type = "DEALER"
  readonly accepts = ["REP", "DEALER", "ROUTER"] as const
  private readonly host: PatternHost
  private readonly settings: Settings
  private readonly balancer: Balancer

  constructor(host: PatternHost, settings: Settings) {
    this.host = host
    this.settings = settings
    this.balancer = new Balancer(host.clock)
  }

  attach(peer: Peer): void {
    this.balancer.attach(peer)
    this.onWritable(peer)
  }
  online(peer: Peer): void {
    if (this.settings.probeRouter) peer.greet([EMPTY])
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.balancer.detach(peer, unsent)
  }
  onWritable(peer: Peer): void {
    if (this.balancer.writable(peer)) this.host.writable()
  }
  send(message: Message): boolean {
    return this.balancer.send(message)
  }
  drain(): Message[] {
    return this.balancer.drain()
  }
  onMessage(peer: Peer, message: Message): void {
    this.host.deliver(peer, message)
  }
}

type Own = Pick<PatternOptions, "routingId" | "conflate" | "probeRouter">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface Dealer extends Own {}

/**
 * Sends each message to one of its peers (Reply, Dealer or Router), in turn, and receives from all of them.
 * Options: those of every socket, of sending and of receiving sockets, `routingId`, `conflate` and `probeRouter`.
 */
export class Dealer extends Duplex<DealerPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & ReceiveOptions & Own> = {}) {
    super((host, settings) => new DealerPattern(host, settings), options)
  }
}
defineOptions(Dealer, ["routingId", "conflate", "probeRouter"])
