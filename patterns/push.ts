/** PUSH (RFC 30): each message goes to one of the connected PULLs, in turn; waits while none has room. */
import { Balancer } from "../lib/balancer.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import type { PatternOptions, SendOptions, SocketOptions } from "../lib/options.ts"
import { Sender, defineOptions } from "../lib/socket.ts"

class PushPattern implements Pattern {
  readonly type = "PUSH"
  readonly accepts = ["PULL"] as const
  private readonly host: PatternHost
  private readonly balancer: Balancer

  constructor(host: PatternHost) {
    this.host = host
    this.balancer = new Balancer(host.clock)
  }

  attach(peer: Peer): void {
    this.balancer.attach(peer)
    this.onWritable(peer)
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
    peer.dropped("malformed", 1, message.length)
  }
}

type Options = SocketOptions & SendOptions & Pick<PatternOptions, "conflate">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface Push extends Pick<PatternOptions, "conflate"> {}

/**
 * Sends each message to one of its Pulls, in turn. While none is connected or all are full, `send` waits.
 * Options: those of every socket, of sending sockets, and `conflate`.
 */
export class Push extends Sender<PushPattern> {
  constructor(options: Partial<Options> = {}) {
    super((host) => new PushPattern(host), options)
  }
}
defineOptions(Push, ["conflate"])
