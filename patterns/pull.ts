/** PULL (RFC 30): takes messages from all connected PUSHes, fairly. */
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import type { PatternOptions, ReceiveOptions, SocketOptions } from "../lib/options.ts"
import { Receiver, defineOptions } from "../lib/socket.ts"

class PullPattern implements Pattern {
  readonly type = "PULL"
  readonly accepts = ["PUSH"] as const
  private readonly host: PatternHost

  constructor(host: PatternHost) {
    this.host = host
  }

  attach(): void {}
  detach(): void {}
  onMessage(peer: Peer, message: Message): void {
    this.host.deliver(peer, message)
  }
}

type Options = SocketOptions & ReceiveOptions & Pick<PatternOptions, "conflate">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface Pull extends Pick<PatternOptions, "conflate"> {}

/**
 * Receives from all its Pushes, one message of each in turn. When it isn't read, its Pushes wait.
 * Options: those of every socket, of receiving sockets, and `conflate`.
 */
export class Pull extends Receiver<PullPattern> {
  constructor(options: Partial<Options> = {}) {
    super((host) => new PullPattern(host), options)
  }
}
defineOptions(Pull, ["conflate"])
