/// <reference lib="esnext.disposable" preserve="true" />
/** The user's object over pubsub: publish and subscribe as in a mesh of links, and nothing that pubsub can't hold. */
import { allocate, copyOf, sizeOf } from "../../bytes.ts"
import { EarshotError } from "../../errors.ts"
import { Events, type EventNames } from "../../events.ts"
import { signalOf } from "../../waiters.ts"
import { decodeContent, encodeContent, type Content, type ContentContext } from "../content.ts"
import { Counters } from "../counters.ts"
import type { MemberInfo, MeshDropReason, MeshEvents } from "../events.ts"
import { allSent, ONE_WAITS, Tally, type Receipt } from "../receipt.ts"
import { checkPublished, checkWanted } from "../reserved.ts"
import { MOST_LISTED } from "../stats.ts"
import { SubjectCache } from "../subject-bytes.ts"
import { checkSubject, isSubject } from "../subject.ts"
import { Subscription, type SubscriptionHandler } from "../subscription.ts"
import { Audience } from "./audience.ts"
import { Hopes } from "./hopes.ts"
import type { PubsubPeer } from "./node.ts"
import {
  readOptions,
  type PubsubOptions,
  type PubsubPublishOptions,
  type PubsubReadyConditions,
  type PubsubSettings,
  type PubsubSubscribeOptions,
} from "./options.ts"
import { refuseMethods, refuseOptions } from "./refusals.ts"
import type { PubsubStats } from "./stats.ts"
import { Topic, type Published, type TopicOwner, type Verdict } from "./topic.ts"

/** Messages, and their bytes, that wait for the engine to sign and send them. */
const MAX_WAITING = 1000
const MAX_WAITING_BYTES = 8 * 1024 * 1024
/** ms that `close` waits for them. */
const LINGER = 1000
/** Bytes that a message may keep in memory besides its own: it came among others, or in a large piece of the stream. */
const SLACK = 4096

/** The events of a mesh over pubsub, by name: those of `MeshEvents` that can happen there. */
export type PubsubEvents = Pick<MeshEvents, "slow" | "drop" | "error">
const pubsubEvents: EventNames<PubsubEvents> = { slow: true, drop: true, error: true }

/** A subscription over pubsub: as any, but that nobody confirms it. */
export type PubsubSubscription<Data = any> = Omit<
  Subscription<Data>,
  "ready" | "queue" | "responds" | "full" | "packed"
>

/**
 * A network over the pubsub service of a libp2p node, made by `gossipsub()`. Subjects, patterns, codecs, headers and
 * subscriptions are those of `Mesh`. A message reaches every node of the network by way of others, at most once within the
 * engine's memory (its `seenTTL`, 2 minutes), in no promised order; what is lost on the way is neither sent again nor counted.
 */
export class PubsubMesh {
  private readonly settings: PubsubSettings
  private readonly events: Events<MeshEvents>
  private readonly counters: Counters
  private readonly audience: Audience
  private readonly reading: ContentContext
  private readonly topic: Topic
  private readonly self: MemberInfo
  private readonly began: number
  private readonly own: Content[] = []
  private readonly hopes: Hopes
  private published = 0
  private received = 0
  private wanted = 0
  private waiting = 0
  private waitingBytes = 0
  private ended = false
  private closing: Promise<void> | undefined

  /** @internal */
  constructor(options: PubsubOptions) {
    const settings = readOptions(options)
    const { node, network, codecs, clock } = settings
    this.settings = settings
    this.events = new Events(clock, pubsubEvents)
    this.counters = new Counters(clock, this.events)
    this.audience = new Audience(clock, this.counters, this.events)
    this.hopes = new Hopes(clock)
    this.reading = { codecs, subjects: new SubjectCache(isSubject) }
    this.began = clock.now()
    const owner: TopicOwner = {
      judge: (data, from, by) => this.judge(data, from, by),
      onPeers: () => this.hopes.look(),
      onStop: () => this.onStop(),
    }
    this.topic = new Topic(node, network, owner)
    this.self = memberOf(node.peerId)
  }

  /** The node's peer id: what others see as `message.user`. */
  get id(): string {
    return this.self.id
  }

  get network(): string {
    return this.settings.network
  }

  /** Peer ids of the nodes connected to ours that take part and can be given messages. There may be many more behind them. */
  get peers(): readonly string[] {
    return this.closed ? [] : this.topic.peers
  }

  /** True as soon as `close()` has been called, or the node was stopped. */
  get closed(): boolean {
    return this.ended
  }

  /** Calls `listener` for every such event. Returns a function that removes it. Throws EINVAL for a name that no event has. */
  on<Name extends keyof PubsubEvents>(name: Name, listener: (event: PubsubEvents[Name]) => void): () => void {
    return this.events.on(name, listener)
  }

  /** Calls `listener` for the next such event only. Returns a function that removes it. Throws as `on` does. */
  once<Name extends keyof PubsubEvents>(name: Name, listener: (event: PubsubEvents[Name]) => void): () => void {
    return this.events.once(name, listener)
  }

  /**
   * Sends a message to everybody. Resolves when the engine has signed it and given it to the peers it chose; never rejects.
   * The receipt's `sent` says to how many of them: they pass it on, ourselves not among them. Without any, and where the engine
   * refuses it, `dropped` is 1. Throws INVALID_SUBJECT, ENCODE, TOO_LARGE (headers), EINVAL, EBADF, and ENOTSUP for `confirm`
   * and `onFull`.
   */
  publish(subject: string, data?: unknown, options: PubsubPublishOptions = {}): Promise<Receipt> {
    const under = this.send(subject, data, options)
    return under instanceof Promise ? under : Promise.resolve(under)
  }

  /**
   * The same without a promise. A receipt with `waiting` 1 says that the engine has it; what becomes of it there is known later,
   * and only the event `drop` and `stats()` tell of it. Throws as `publish` does.
   */
  tryPublish(subject: string, data?: unknown, options: PubsubPublishOptions = {}): Receipt {
    const under = this.send(subject, data, options)
    return under instanceof Promise ? ONE_WAITS : under
  }

  /**
   * Takes the messages of all subjects that fit. With a handler they are handed to it, else they are iterated:
   * `for await (const message of mesh.subscribe("sensors.*.temp"))`. `message.user` is the peer id of who published it, proven by
   * its signature. Throws INVALID_SUBJECT, EINVAL, EBADF, and ENOTSUP for `queue`, `prefetch` and `responds`.
   */
  subscribe<Data = any>(pattern: string, handler: SubscriptionHandler<Data>): PubsubSubscription<Data>
  subscribe<Data = any>(
    pattern: string,
    options?: PubsubSubscribeOptions,
    handler?: SubscriptionHandler<Data>,
  ): PubsubSubscription<Data>
  subscribe<Data>(
    pattern: string,
    first: PubsubSubscribeOptions | SubscriptionHandler<Data> = {},
    second?: SubscriptionHandler<Data>,
  ): PubsubSubscription<Data> {
    const [options, handler] = typeof first === "function" ? [{}, first] : [first, second]
    this.checkOpen()
    checkWanted(pattern)
    refuseOptions("subscribe", options)
    if (handler !== undefined && typeof handler !== "function")
      throw new EarshotError("EINVAL", "a handler is a function")
    const signal = signalOf({ signal: options.signal })
    const subscription = new Subscription<Data>(this.audience, pattern, options, handler)
    if (signal?.aborted === true) subscription.unsubscribe()
    else {
      this.audience.add(subscription)
      subscription.endWith(signal)
    }
    return subscription
  }

  /**
   * Resolves when as many nodes are connected to ours, take part and can be given messages. Rejects TIMEOUT; EBADF when it is closed meanwhile. Throws
   * EINVAL, EBADF, and ENOTSUP for `members` and `subject`.
   */
  ready(conditions: PubsubReadyConditions = {}): Promise<void> {
    this.checkOpen()
    refuseOptions("ready", conditions)
    const { peers = 1, timeout = 10_000 } = conditions
    if (!(timeout >= 0)) throw new EarshotError("EINVAL", "timeout is a number of milliseconds")
    if (!Number.isInteger(peers) || peers < 0) throw new EarshotError("EINVAL", "peers must be a whole number from 0")
    const explain = (): string =>
      `${this.peers.length} connected nodes take part in the network ${this.network}, ${peers} were to be`
    return this.hopes.wait(() => this.peers.length >= peers, timeout, explain)
  }

  /** Every counter, at this moment. */
  stats(): PubsubStats {
    const { id, network, published, received, wanted, waiting, peers, counters, audience } = this
    const { clock } = this.settings
    return {
      version: 1,
      id,
      network,
      time: clock.wall(),
      uptime: clock.now() - this.began,
      published,
      received,
      wanted,
      waiting,
      dropped: Object.fromEntries(Object.entries(counters.dropped).map(([reason, tally]) => [reason, { ...tally }])),
      errors: counters.errors,
      peers: peers.length,
      subscriptions: [...audience.all].slice(0, MOST_LISTED).map((subscription) => subscription.stats()),
    }
  }

  /** Ends it: waits up to 1 s for what is being sent, and leaves the topic. The node goes on. Idempotent. */
  close(): Promise<void> {
    return (this.closing ??= this.end())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private async end(): Promise<void> {
    this.ended = true
    this.audience.end()
    this.hopes.fail(new EarshotError("EBADF", "the mesh was closed"))
    await this.hopes.wait(() => this.waiting === 0, LINGER).catch(() => {})
    this.topic.leave()
    this.counters.close()
  }

  private checkOpen(): void {
    if (this.closed) throw new EarshotError("EBADF", "the mesh is closed")
  }

  // --- Out ---

  private send(subject: string, data: unknown, options: PubsubPublishOptions): Receipt | Promise<Receipt> {
    this.checkOpen()
    checkSubject(checkPublished(subject))
    refuseOptions("publish", options)
    const { codecs, maxMessageSize } = this.settings
    const frames = encodeContent(subject, codecs.coding(options.codec), data, options.headers)
    const size = sizeOf(frames)
    if (size > maxMessageSize) return this.lost("too-large", size)
    if (this.waiting >= MAX_WAITING || (this.waiting > 0 && this.waitingBytes + size > MAX_WAITING_BYTES))
      return this.lost("full", size)
    const bytes = joined(frames, size)
    this.published++
    if (options.echo !== false && this.audience.wants(subject)) this.deliverOwn(bytes)
    this.waiting++
    this.waitingBytes += size
    return this.topic.publish(bytes).then((published) => {
      this.waiting--
      this.waitingBytes -= size
      this.hopes.look()
      return this.receiptOf(published, size, subject)
    })
  }

  private receiptOf(published: Published, size: number, subject: string): Receipt {
    if (!("refusal" in published)) return allSent(published.sent)
    if (published.refusal === "refused") this.audience.fail(published.error, subject)
    return this.lost(published.refusal, size)
  }

  private lost(reason: MeshDropReason, size: number): Receipt {
    this.counters.drop(reason, 1, size)
    const tally = new Tally()
    tally.drop(reason)
    return tally.done()
  }

  /** Our own subscribers get it when this turn's callback is done: never from inside `publish`. */
  private deliverOwn(bytes: Uint8Array): void {
    const { own } = this
    if (own.push(decodeContent([bytes], 0, this.reading)) > 1) return
    this.settings.clock.microtask(() => {
      for (const content of own.splice(0)) this.audience.deliver(content, this.self)
    })
  }

  // --- In ---

  /** What another node published. Only its head is read, unless somebody here wants it. */
  private judge(data: Uint8Array, from: PubsubPeer, by: PubsubPeer): Verdict {
    if (data.length > this.settings.maxMessageSize) {
      // Whose limit is higher passes it on in good faith.
      this.counters.drop("too-large", 1, data.length, memberOf(by))
      return "ignore"
    }
    const content = this.read(data)
    if (content === undefined) {
      this.counters.drop("malformed", 1, data.length, memberOf(by))
      return "reject"
    }
    this.received++
    if (this.audience.wants(content.subject)) {
      this.wanted++
      this.audience.deliver(this.light(content, data), memberOf(from))
    }
    return "accept"
  }

  /** Undefined: it is no message. */
  private read(data: Uint8Array): Content | undefined {
    try {
      const content = decodeContent([data], 0, this.reading)
      return content.subject === "" ? undefined : content
    } catch {
      return undefined
    }
  }

  /** The same content, in memory that it doesn't share with much else: it may wait for long. */
  private light(content: Content, data: Uint8Array): Content {
    const shared = data.buffer.byteLength - data.length
    return shared <= SLACK ? content : decodeContent([copyOf(data)], 0, this.reading)
  }

  private onStop(): void {
    if (this.closed) return
    this.audience.fail(new EarshotError("EADDRNOTAVAIL", "the libp2p node was stopped, and the mesh over it is closed"))
    void this.close()
  }
}

refuseMethods(PubsubMesh.prototype)

/** A node, as `message.from` and events tell of it: pubsub knows its peer id, and nothing else. */
function memberOf(peer: PubsubPeer): MemberInfo {
  const id = peer.toString()
  return { id, name: id, endpoints: [], meta: {}, userId: id, rtt: undefined, leaf: false, leaves: 0 }
}

function joined(frames: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = allocate(size)
  let at = 0
  for (const frame of frames) {
    bytes.set(frame, at)
    at += frame.length
  }
  return bytes
}
