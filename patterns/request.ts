/**
 * REQ (RFC 28): asks one of its peers, in turn, and takes the reply of that one. Two ways of use, one at a time: `send` and
 * `receive` in strict turns, or `request()`, with many in flight, each told apart by an id before the delimiter.
 */
import { Balancer } from "../lib/balancer.ts"
import { EMPTY, keyOf, sizeOf } from "../lib/bytes.ts"
import type { Frame, Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import { toMessage, type MessageLike } from "../lib/message.ts"
import type { PatternOptions, ReceiveOptions, SendOptions, Settings, SocketOptions } from "../lib/options.ts"
import { inFlight, type Asker, type Question, type RequestOptions } from "../lib/requesting.ts"
import { Duplex, defineOptions } from "../lib/socket.ts"

class RequestPattern implements Pattern, Asker {
  readonly type = "REQ"
  readonly accepts = ["REP", "ROUTER"] as const
  private readonly host: PatternHost
  private readonly settings: Settings
  private readonly balancer: Balancer
  /** Of `request()`: all that are open. */
  readonly questions: Set<Question> = new Set()
  /** Those that wait for a peer with room, in order. */
  private readonly unasked = new Set<Question>()
  /** Those with an id by their id, those without by the peer that was asked: one each. */
  private readonly byKey = new Map<string, Question>()
  private readonly byPeer = new Map<Peer, Question>()
  /** Of `send`: the one whose reply is due. */
  private current: Question | undefined
  /** The reply to it has come and waits for the user. */
  private replied = false
  private lastId: number

  constructor(host: PatternHost, settings: Settings) {
    this.host = host
    this.settings = settings
    this.balancer = new Balancer(host.clock)
    this.lastId = Math.floor(host.clock.random() * 0x1_0000_0000)
  }

  attach(peer: Peer): void {
    this.balancer.attach(peer)
    this.onWritable(peer)
  }
  online(peer: Peer): void {
    if (this.settings.probeRouter) peer.greet([EMPTY])
  }
  offline(peer: Peer): void {
    this.leave(peer, peer.unsent())
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.balancer.detach(peer, [])
    this.leave(peer, unsent, true)
  }
  onWritable(peer: Peer): void {
    if (!this.balancer.writable(peer)) return
    this.askWaiting()
    this.host.writable()
  }

  checkSend(sendWaits: boolean): void {
    if (this.questions.size > 0) throw new EarshotError("EFSM", "request() is in use")
    if (this.settings.relaxed) return
    if (sendWaits || this.current !== undefined)
      throw new EarshotError("EFSM", "the last request has not been answered")
  }
  checkReceive(sendWaits: boolean, receiveWaits: boolean): void {
    if (this.questions.size > 0) throw new EarshotError("EFSM", "request() is in use")
    if (receiveWaits) throw new EarshotError("EFSM", "a receive is pending already")
    const { failure } = this
    this.failure = undefined
    if (failure !== undefined) throw failure
    if (this.current === undefined && !sendWaits) throw new EarshotError("EFSM", "no request has been sent")
  }
  /** Why there will be no reply to what `send` asked, found out while nobody was receiving: the next `receive` is told. */
  private failure: Error | undefined

  send(message: Message): boolean {
    const old = this.replied ? undefined : this.current
    // `relaxed`: without ids, a late reply to the one before would pass for the reply to this one.
    if (old !== undefined && old.key === undefined) this.giveUp(old)
    const id = this.settings.correlate ? this.makeId() : undefined
    const question: Question = {
      message: id === undefined ? [EMPTY, ...message] : [id, EMPTY, ...message],
      key: id === undefined ? undefined : keyOf(id),
      peer: undefined,
      reply: () => {},
      lost: () => question.fail(new EarshotError("PEER_LOST")),
      fail: (error) => {
        this.current = undefined
        if (!this.host.failReaders(error as Error)) this.failure = error as Error
      },
    }
    if (!this.ask(question)) return false
    if (old?.key !== undefined) this.giveUp(old)
    // Replies to the request before, with `relaxed`, are stale.
    if (this.replied) this.host.discard("late")
    this.replied = false
    this.failure = undefined
    this.current = question
    return true
  }

  drain(): Message[] {
    const { current } = this
    return current !== undefined && current.peer === undefined && !this.replied ? [current.message] : []
  }

  /** Asks now, or as soon as somebody has room. */
  open(question: Question): void {
    this.questions.add(question)
    if (question.key !== undefined) this.byKey.set(question.key, question)
    if (!this.ask(question)) this.unasked.add(question)
  }
  /** Asks somebody else. */
  reopen(question: Question): void {
    this.release(question)
    if (!this.tryAsk(question)) this.unasked.add(question)
  }
  close(question: Question, answered: boolean): void {
    this.questions.delete(question)
    this.unasked.delete(question)
    if (question.key !== undefined) this.byKey.delete(question.key)
    if (answered) this.release(question)
    else this.giveUp(question)
    // The peer may be free for the next that has no id.
    if (question.key === undefined) this.askWaiting()
  }
  checkRequest(sendWaits: boolean): void {
    if (this.current !== undefined || sendWaits)
      throw new EarshotError("EFSM", "a request made by send() has not been answered")
  }

  onMessage(peer: Peer, message: Message): void {
    const first = message[0]!
    const withId = first.length === 4 && message.length > 2 && message[1]!.length === 0
    if (!withId && (first.length > 0 || message.length < 2)) {
      peer.dropped("malformed", 1, sizeOf(message))
      return peer.close(new EarshotError("EPROTO", "a reply without the empty delimiter"))
    }
    const key = withId ? keyOf(first) : undefined
    const body = message.slice(withId ? 2 : 1)
    const { current } = this
    if (current?.peer === peer && current.key === key && !this.replied) {
      this.replied = true
      return this.host.deliver(peer, body)
    }
    const question = key === undefined ? this.byPeer.get(peer) : this.byKey.get(key)
    if (question?.peer === peer) question.reply(body)
    else peer.dropped("late", 1, sizeOf(message))
  }
  onTake(_peer: Peer, message: Message): Message {
    this.current = undefined
    this.replied = false
    return message
  }

  /** 4 bytes that count from a random start, as libzmq's `correlate`. */
  makeId(): Uint8Array {
    const id = new Uint8Array(4)
    this.lastId = (this.lastId + 1) >>> 0
    new DataView(id.buffer).setUint32(0, this.lastId)
    return id
  }

  /** Those who are there first: a question to an endpoint that is away waits for it to come back. */
  private ask(question: Question): boolean {
    const busy = (peer: Peer): boolean => question.key === undefined && this.byPeer.has(peer)
    const asked =
      this.balancer.send(question.message, (peer) => !peer.online || busy(peer)) ||
      this.balancer.send(question.message, busy)
    if (!asked) return false
    question.peer = this.balancer.last
    if (question.key === undefined && this.questions.has(question)) this.byPeer.set(question.peer!, question)
    return true
  }

  /** Nobody is asked any more. */
  private release(question: Question): void {
    const { peer } = question
    if (peer !== undefined && this.byPeer.get(peer) === question) this.byPeer.delete(peer)
    question.peer = undefined
  }

  /** Nobody waits for its reply any more: it isn't sent later, and without an id its late reply must not pass for another's. */
  private giveUp(question: Question): void {
    const { peer, message, key } = question
    this.release(question)
    if (question === this.current) this.current = undefined
    if (peer === undefined || peer.recall(message) || key !== undefined) return
    peer.close(new EarshotError("ECANCELED", "nobody waits for its reply any more"))
    // Encoded and not sent: it has come back.
    for (const back of peer.unsent()) if (back[0]!.length === 0) peer.recall(back)
  }

  private tryAsk(question: Question): boolean {
    try {
      return this.ask(question)
    } catch (error) {
      question.fail(error)
      return true
    }
  }

  /** Those whose peer went before they were asked, too. */
  private askWaiting(): void {
    const { current } = this
    if (current !== undefined && current.peer === undefined && !this.replied) this.tryAsk(current)
    let plainToo = true
    for (const question of this.unasked) {
      const plain = question.key === undefined
      if (plain && !plainToo) continue
      if (this.tryAsk(question)) this.unasked.delete(question)
      else if (plain) plainToo = false
      else return
    }
  }

  /** `unsent` questions were never asked: they stay with an endpoint that may come back, or go to somebody else. */
  private leave(peer: Peer, unsent: readonly Message[], forGood = false): void {
    const open = [...this.questions]
    if (this.current !== undefined && !this.replied) open.push(this.current)
    // Known by their beginning, since they may have been encoded and decoded: ids differ, and without there is one a peer.
    const held = new Set(unsent.map((message) => keyOf(message[0]!)))
    for (const question of open) {
      if (question.peer !== peer) continue
      const unasked = held.has(keyOf(question.message[0]!)) || (forGood && peer.recall(question.message))
      if (unasked && !forGood) continue
      this.release(question)
      if (!unasked) question.lost()
      else if (!this.tryAsk(question) && question !== this.current) this.unasked.add(question)
    }
  }
}

type Own = Pick<PatternOptions, "routingId" | "probeRouter" | "correlate" | "relaxed">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface Request extends Own {}

/**
 * Asks Replies or Routers. `send` and `receive` alternate, and anything else rejects EFSM (`relaxed` apart);
 * `request()` has no such turns. When the peer that was asked is lost, a pending `receive` rejects PEER_LOST.
 * Options: those of every socket, of sending and of receiving sockets, `routingId`, `probeRouter`, `correlate`, `relaxed`.
 */
export class Request extends Duplex<RequestPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & ReceiveOptions & Own> = {}) {
    super((host, settings) => new RequestPattern(host, settings), options)
  }

  /**
   * Asks and resolves to the reply. Any number may be in flight: an id goes before the message, which REP and every
   * ROUTER that returns the whole envelope give back. `correlate: false` sends none, for ROUTER programs that expect
   * three frames: then one is in flight per peer, and giving it up ends the connection, lest its late reply pass for
   * another's. Rejects TIMEOUT after `timeout` ms (30,000); PEER_LOST when the peer that was asked is gone and
   * `retries` (0), each to another peer, are used up; EFSM between a `send` and its reply; EBADF; EAGAIN when
   * `maxPending` wait; or with the signal's reason. Late replies are counted as drops.
   */
  request(message: MessageLike, options: RequestOptions = {}): Promise<Frame[]> {
    const { core } = this
    try {
      core.checkOpen()
      core.pattern.checkRequest(core.outbox.waiting)
      if (core.pattern.questions.size >= core.settings.maxPending)
        throw new EarshotError("EAGAIN", `${core.settings.maxPending} requests are waiting already (maxPending)`)
      const id = options.correlate === false ? undefined : core.pattern.makeId()
      const frames = toMessage(message)
      return inFlight(core, core.pattern, id === undefined ? [EMPTY, ...frames] : [id, EMPTY, ...frames], id, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }
}
defineOptions(Request, ["routingId", "probeRouter", "correlate", "relaxed"])
