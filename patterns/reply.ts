/** REP (RFC 28): takes a request, sends one reply to whoever asked, takes the next. */
import { sizeOf } from "../lib/bytes.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import type { ReceiveOptions, SendOptions, SocketOptions } from "../lib/options.ts"
import { Duplex } from "../lib/socket.ts"

class ReplyPattern implements Pattern {
  readonly type = "REP"
  readonly accepts = ["REQ", "DEALER"] as const
  private readonly host: PatternHost
  /** The way back for the reply that is owed: everything up to the empty delimiter. */
  private envelope: Message | undefined
  /** Who asked; undefined when it is gone. */
  private asker: Peer | undefined
  /** How many of a peer's requests wait for the user, and how many of these came over a connection that is gone. */
  private readonly waiting = new Map<Peer, { count: number; stale: number }>()

  constructor(host: PatternHost) {
    this.host = host
  }

  attach(peer: Peer): void {
    this.waiting.set(peer, { count: 0, stale: 0 })
  }
  offline(peer: Peer): void {
    this.forget(peer)
    const waiting = this.waiting.get(peer)!
    waiting.stale = waiting.count
    // Whoever comes back may have asked something else since.
    for (const message of peer.unsent()) if (peer.recall(message)) peer.dropped("disconnected", 1, sizeOf(message))
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.forget(peer)
    this.waiting.delete(peer)
    for (const message of unsent) peer.dropped("disconnected", 1, sizeOf(message))
  }

  onMessage(peer: Peer, message: Message): void {
    const delimiter = message.findIndex((frame) => frame.length === 0)
    // Without a delimiter nobody could be answered.
    if (delimiter === -1 || delimiter === message.length - 1) return peer.dropped("malformed", 1, sizeOf(message))
    this.waiting.get(peer)!.count++
    this.host.deliver(peer, message)
  }
  onTake(peer: Peer, message: Message): Message {
    const body = message.findIndex((frame) => frame.length === 0) + 1
    this.envelope = message.slice(0, body)
    const waiting = this.waiting.get(peer)
    // Whoever asked over a connection that is gone has given up, and would take this reply for one to its next request.
    const stale = waiting === undefined || waiting.stale > 0
    this.asker = stale ? undefined : peer
    if (waiting === undefined) return message.slice(body)
    waiting.count--
    if (stale) waiting.stale--
    return message.slice(body)
  }
  mayTake(): boolean {
    return this.envelope === undefined
  }
  checkSend(sendWaits: boolean): void {
    if (sendWaits || this.envelope === undefined) throw new EarshotError("EFSM", "no request is waiting for a reply")
  }
  checkReceive(_sendWaits: boolean, receiveWaits: boolean): void {
    if (receiveWaits) throw new EarshotError("EFSM", "a receive is pending already")
    if (this.envelope !== undefined) throw new EarshotError("EFSM", "the last request has not been answered")
  }

  /**
   * The turn ends whatever becomes of the reply: one asker that never reads, or says it takes nothing so large, must not
   * keep all others waiting. A reply to a full asker is dropped and counted (libzmq does the same, measured: WIRE 1.12).
   */
  send(message: Message): boolean {
    const { asker } = this
    const reply = [...this.envelope!, ...message]
    this.envelope = this.asker = undefined
    try {
      if (asker === undefined) this.host.dropped("disconnected", 1, sizeOf(message))
      else if (!asker.send(reply)) asker.dropped("full", 1, sizeOf(message))
    } finally {
      this.host.takable()
    }
    return true
  }

  private forget(peer: Peer): void {
    if (this.asker === peer) this.asker = undefined
  }
}

/**
 * Answers requests, one after another: `receive`, then `send`; anything else rejects EFSM. `send` never waits: the reply to
 * an asker that is gone, or whose queue is full, is dropped and counted. One larger than the asker takes rejects EMSGSIZE,
 * and is that request's answer all the same. Options: those of every socket, of sending and of receiving sockets.
 */
export class Reply extends Duplex<ReplyPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & ReceiveOptions> = {}) {
    super((host) => new ReplyPattern(host), options)
  }
}
