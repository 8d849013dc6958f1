/// <reference lib="esnext.disposable" preserve="true" />
/** The user's object: join a network, publish, subscribe, ask, answer, and see who is there. */
import { EarshotError } from "../errors.ts"
import type { RequestCallOptions } from "./asking.ts"
import type { Transports } from "../endpoint.ts"
import type { Platform, StateStore } from "./contract.ts"
import { causes, type Cause } from "./diagnose.ts"
import { drain, type DrainOptions } from "./drain.ts"
import type { MemberInfo, MeshEvents } from "./events.ts"
import { explain, type Explanation } from "./explain.ts"
import { healthOf, type MeshHealth } from "./health.ts"
import { Hub } from "./hub.ts"
import { freshId } from "./identity.ts"
import { isGroup } from "./interest.ts"
import { Replies, type RequestManyOptions } from "./many-requests.ts"
import { checkMeta, readOptions, type MeshOptions } from "./options.ts"
import { dataOf, request } from "./one-request.ts"
import { timeoutOf } from "./option-checks.ts"
import type { PublishOptions } from "./outgoing.ts"
import { ready, type ReadyConditions } from "./ready.ts"
import type { Receipt } from "./receipt.ts"
import { checkAsked, checkPublished, checkWanted } from "./reserved.ts"
import type { Sample, SampleOptions } from "./sample.ts"
import { checkServeOptions, serve, type ServeHandler, type ServeOptions } from "./serving.ts"
import { signalOf } from "../waiters.ts"
import { statsOf, type MeshStats } from "./stats.ts"
import { Subscription, type SubscribeOptions, type SubscriptionHandler } from "./subscription.ts"

/**
 * One member of a mesh. Subjects are NATS's: tokens between dots, and in patterns `*` for one token and `>` for the rest. Those that
 * begin with `$`, and `_INBOX`, are reserved: INVALID_SUBJECT for whoever publishes, subscribes or serves there; what is answered
 * under `$EARSHOT.` and `$SRV.` can be requested. So `$EARSHOT.<id>.STATS`, `.LINKS`, `.INTEREST` and `.PING` tell of each member
 * what it knows of itself (`StatsReport` and the like; `observe: false` in `join` turns it off).
 */
export class Mesh {
  /** @internal */
  protected readonly hub: Hub
  private readonly state: StateStore | undefined
  private closing: Promise<void> | undefined
  private draining: Promise<void> | undefined

  /** @internal */
  protected constructor(hub: Hub, state: StateStore | undefined) {
    this.hub = hub
    this.state = state
  }

  /** @internal */
  protected static async start<M extends Mesh>(
    make: (hub: Hub, state: StateStore | undefined) => M,
    options: MeshOptions,
    platform: Platform,
    transports: Transports,
  ): Promise<M> {
    const settings = readOptions(options, platform)
    const { clock } = settings
    if (settings.state !== undefined && platform.openState === undefined)
      throw new EarshotError("ENOTSUP", "this platform keeps no state")
    const state = settings.state === undefined ? undefined : await platform.openState!(settings.state, clock)
    const identity = { id: state?.id ?? freshId(clock), epoch: state?.epoch ?? 1, nonce: freshId(clock) }
    let hub: Hub | undefined
    try {
      hub = new Hub(settings, platform, transports, identity)
      if (state !== undefined) follow(hub, state)
      await hub.open(state?.addresses ?? [])
      return make(hub, state)
    } catch (error) {
      await hub?.close(0)
      await state?.close()
      throw error
    }
  }

  /** 26 characters. With `state` the same in each run, but for one after a `clash`: then another takes its place. Else new for each object. */
  get id(): string {
    return this.hub.identity.id
  }

  get name(): string {
    return this.hub.settings.name
  }

  /** Where this member can be dialled, as it stands: any of them can be a seed. Empty where it listens nowhere. */
  get endpoints(): readonly string[] {
    return this.hub.endpoints
  }

  /** The others that are alive, by id. A new Map each time. */
  get members(): ReadonlyMap<string, MemberInfo> {
    return new Map(this.hub.links.present())
  }

  /** True as soon as `close()` has been called. */
  get closed(): boolean {
    return this.hub.closed
  }

  /** Calls `listener` for every such event. Returns a function that removes it. Throws EINVAL for a name that no event has. */
  on<Name extends keyof MeshEvents>(name: Name, listener: (event: MeshEvents[Name]) => void): () => void {
    if (name === "error") this.hub.finder.hush()
    return this.hub.events.on(name, listener)
  }

  /** Calls `listener` for the next such event only. Returns a function that removes it. Throws as `on` does. */
  once<Name extends keyof MeshEvents>(name: Name, listener: (event: MeshEvents[Name]) => void): () => void {
    return this.hub.events.once(name, listener)
  }

  /** What others see as `member.meta`, from now on: a copy; at most 8 KiB of MessagePack. Throws EINVAL. */
  setMeta(meta: Readonly<Record<string, unknown>>): void {
    this.hub.meta = checkMeta(meta)
    this.hub.links.tellUpdate()
  }

  /**
   * Sends a message to every plain subscriber of the subject, and to one member of each queue group. Resolves at once, but
   * for `onFull: "wait"` and `confirm`, and until the mesh has settled; never rejects. Throws INVALID_SUBJECT, ENCODE,
   * TOO_LARGE (headers), EINVAL, EBADF.
   */
  publish(subject: string, data?: unknown, options?: PublishOptions): Promise<Receipt> {
    const { calls, outgoing } = this.hub
    const call = calls.current
    return outgoing.publish(checkPublished(subject), data, call === undefined ? options : call.traced(options))
  }

  /** The same without a promise: the fast path. Throws as `publish` does, and EINVAL for options that would have to wait. */
  tryPublish(subject: string, data?: unknown, options?: PublishOptions): Receipt {
    const { calls, outgoing } = this.hub
    const call = calls.current
    return outgoing.now(checkPublished(subject), data, call === undefined ? options : call.traced(options))
  }

  /** Resolves when all that was published before has been read by every linked member. Rejects TIMEOUT (default 10 s), EBADF when it is closed, EINVAL. */
  async flush(options: { readonly timeout?: number } = {}): Promise<void> {
    const timeout = timeoutOf(options, "flush")
    await this.hub.whenSettled
    await this.hub.confirmed(timeout)
  }

  /**
   * Takes the messages of all subjects that fit. With a handler they are handed to it, else they are iterated:
   * `for await (const message of mesh.subscribe("sensors.*.temp"))`. Throws INVALID_SUBJECT, EINVAL, EBADF.
   */
  subscribe<Data = any>(pattern: string, handler: SubscriptionHandler<Data>): Subscription<Data>
  subscribe<Data = any>(
    pattern: string,
    options?: SubscribeOptions,
    handler?: SubscriptionHandler<Data>,
  ): Subscription<Data>
  subscribe<Data>(
    pattern: string,
    first: SubscribeOptions | SubscriptionHandler<Data> = {},
    second?: SubscriptionHandler<Data>,
  ): Subscription<Data> {
    const [options, handler] = typeof first === "function" ? [{}, first] : [first, second]
    const { hub } = this
    hub.checkTaking()
    checkWanted(pattern)
    if (typeof options !== "object" || (options as unknown) === null || !isHandler(handler))
      throw new EarshotError("EINVAL", "options are an object, and a handler is a function")
    checkQueue(options.queue)
    const subscription = new Subscription<Data>(
      hub.subscriptions,
      pattern,
      options,
      handler && hub.calls.outside(handler),
    )
    this.begin(subscription, options.signal)
    return subscription
  }

  /**
   * Answers requests to a subject, which may have wildcards, with what the handler returns or resolves to. Several members
   * that serve one subject share its requests. Throws INVALID_SUBJECT, EINVAL, EBADF.
   */
  serve<Data = any>(subject: string, handler: ServeHandler<Data>, options: ServeOptions = {}): Subscription<Data> {
    const { hub } = this
    hub.checkTaking()
    checkWanted(subject)
    if (typeof handler !== "function") throw new EarshotError("EINVAL", "a handler is a function")
    checkServeOptions(options)
    const { queue = subject, concurrency = 64, queueSize = 64, signal } = options
    checkQueue(queue)
    const subscription = new Subscription<Data>(
      hub.subscriptions,
      subject,
      { queue: queue ?? undefined, concurrency, prefetch: queueSize, queueSize, responds: true },
      (message) => serve(hub, handler, message),
    )
    this.begin(subscription, signal)
    return subscription
  }

  /**
   * Asks one of those who answer the subject. Rejects NO_RESPONDERS, TIMEOUT, BUSY, PEER_LOST, DECODE, REMOTE (what the handler
   * threw; its own code is `remoteCode`), or with the signal's reason. Throws INVALID_SUBJECT, ENCODE, EINVAL, EBADF.
   */
  request<Data = any>(subject: string, data?: unknown, options?: RequestCallOptions): Promise<Data> {
    const { hub } = this
    return request(hub, checkAsked(subject), data, options, hub.calls.current).then(dataOf)
  }

  /**
   * Asks one of each queue group that answers the subject, and every server that is in none: `for await (const { data, from }
   * of mesh.requestMany("who"))`. Ends when all have answered or are gone, at `max`, `timeout` or `stall`; leaving the loop
   * takes back what is open. Throws INVALID_SUBJECT, ENCODE, TOO_LARGE (headers), EINVAL, EBADF.
   */
  requestMany<Data = any>(subject: string, data?: unknown, options: RequestManyOptions = {}): Replies<Data> {
    const { hub } = this
    return new Replies<Data>(hub, checkAsked(subject), data, options, hub.calls.current)
  }

  /**
   * Resolves when the mesh has settled, or as many members are linked, or somebody takes the subject. Rejects TIMEOUT, with
   * the likeliest cause in its message.
   */
  ready(conditions: ReadyConditions = {}): Promise<void> {
    return ready(this.hub, conditions)
  }

  /** Every counter, at this moment. */
  stats(): MeshStats {
    return statsOf(this.hub)
  }

  /** Is it well, and may it be given work? For a health check. */
  health(): MeshHealth {
    return healthOf(this.hub)
  }

  /**
   * Why others are not there: what may be wrong, likeliest first, each with its evidence and cure. Empty when nothing is known
   * to be. Waits until the mesh has settled, so that there was time to notice something.
   */
  async diagnose(): Promise<Cause[]> {
    await this.hub.whenSettled
    return causes(this.hub)
  }

  /** Who would get a message about this subject now, who would answer a request, and who comes near. Throws INVALID_SUBJECT. */
  explain(subject: string): Explanation {
    return explain(this.hub, subject)
  }

  /**
   * Some of what is published and asked, a bounded number a second and marked as such: `for await (const { subject, data } of
   * mesh.sample("sensors.>", { perSecond: 20 }))`. Publishers keep to the rate and count what they leave out. It begins with the
   * loop and ends with it, and is no subscription: nobody's receipt knows of it. Leaves sample, and are
   * sampled, by way of the member that carries them: `from` is then that one.
   * Throws INVALID_SUBJECT, EINVAL, LIMIT (64 at a time), EBADF.
   */
  sample<Data = any>(pattern: string, options: SampleOptions = {}): AsyncIterable<Sample<Data>> {
    this.hub.checkOpen()
    return this.hub.sampling.take(checkWanted(pattern), options)
  }

  /**
   * Ends it and loses nothing: no member picks this one any more, what was accepted is finished, what was published has been
   * read; then as `close`. Rejects TIMEOUT, closed all the same, when that took more than `timeout` ms (default 10,000). From
   * now on `subscribe` and `serve` throw EBADF. Idempotent. Throws EINVAL.
   */
  drain(options: DrainOptions = {}): Promise<void> {
    if (this.closing !== undefined) return this.closing
    return (this.draining ??= drain(this.hub, options, () => this.close()))
  }

  /** Ends it: says goodbye, sends for up to 1 s what waits. Idempotent. Nothing of it stays. */
  close(): Promise<void> {
    return (this.closing ??= this.end())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private async end(): Promise<void> {
    const { hub, state } = this
    if (state !== undefined) remember(hub, state)
    await hub.close(1000)
    await state?.close()
  }

  private begin(subscription: Subscription, signal: AbortSignal | undefined): void {
    if (signalOf({ signal })?.aborted === true) return subscription.unsubscribe()
    this.hub.subscriptions.add(subscription)
    subscription.endWith(signal)
  }
}

/** It learns where others are, as they come: nobody knows when the power will fail. */
function follow(hub: Hub, state: StateStore): void {
  state.onProblem = (error) => hub.fail(error)
  hub.events.on("join", () => remember(hub, state))
}

/** Where nobody is linked what was known before is still the best there is. */
function remember({ links }: Hub, state: StateStore): void {
  const addresses = [...links.linked].flatMap(({ endpoints }) => endpoints)
  if (addresses.length > 0) state.remember(addresses)
}

const isHandler = (handler: unknown): boolean => handler === undefined || typeof handler === "function"

function checkQueue(queue: string | null | undefined): void {
  if (queue !== undefined && queue !== null && !isGroup(queue))
    throw new EarshotError("EINVAL", "a queue group is a string of 1 to 255 bytes")
}
