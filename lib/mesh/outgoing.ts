/** Publishing: to everybody who wants the subject, and to one of each queue group. */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { Ring } from "../ring.ts"
import { Confirmations } from "./confirmations.ts"
import { decodeContent, encodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Headers, PayloadCodec } from "./contract.ts"
import type { Member, Posted } from "./member.ts"
import { checkNames, namesOf } from "./option-checks.ts"
import { ONE_WAITS, Tally, allSent, resolved, type Receipt } from "./receipt.ts"
import type { Party, Route } from "./routes.ts"
import { checkSubject } from "./subject.ts"
import { Waiting, checkOnFull, type OnFull } from "./waiting.ts"
import { Work, type Given, type GivenBack, type Task } from "./work.ts"
import {
  BRIEF_HEAD,
  COPY_HEAD,
  Kind,
  PLAIN_HEAD,
  brief,
  groupHead,
  nameAt,
  numberAt,
  publishHead,
  spelledOut,
} from "./wire.ts"

/** How one message is published. */
export interface PublishOptions {
  /** Names and values that travel with it. */
  readonly headers?: Headers | undefined
  /** When the link to a member, or every member of a group, is full. Per link: one slow member delays no other. Default `drop`. */
  readonly onFull?: OnFull | undefined
  /** Wait until every chosen member has taken the message (at most 10 s). Default false. */
  readonly confirm?: boolean | undefined
  /** Our own subscriptions get it, too. Default true. */
  readonly echo?: boolean | undefined
  /** For this payload, instead of the mesh's own. */
  readonly codec?: PayloadCodec | undefined
}

/** Messages, and bytes, that wait for the mesh to settle. */
const MAX_EARLY = 1000
const MAX_EARLY_BYTES = 8 * 1024 * 1024
/** Messages to ourselves that wait for the end of the turn. */
const MAX_OWN = 8192
const DEFAULTS: PublishOptions = {}
const NAMES = namesOf<PublishOptions>({ headers: true, onFull: true, confirm: true, echo: true, codec: true })

interface Early {
  readonly subject: string
  readonly frames: Uint8Array[]
  readonly options: PublishOptions
  readonly done: ((receipt: Receipt | Promise<Receipt>) => void) | undefined
}

export class Outgoing {
  published = 0
  private readonly context: Context
  private readonly waiting: Waiting
  private readonly work: Work
  private readonly early = new Ring<Early>()
  private earlyBytes = 0
  private readonly own: { readonly frames: readonly Uint8Array[]; readonly deliver: (content: Content) => void }[] = []
  private readonly confirmations: Confirmations

  constructor(context: Context) {
    this.context = context
    this.confirmations = new Confirmations(context.clock)
    this.waiting = new Waiting(context)
    this.work = new Work(context, this.give.bind(this))
  }

  /** Messages that wait for the mesh to settle, or for room. */
  get held(): number {
    return this.early.length + this.waiting.size + this.work.size
  }

  /** The fast path: nothing is waited for, no promise is made. */
  now(subject: string, data: unknown, options: PublishOptions | undefined): Receipt {
    const { context } = this
    const { onFull } = options ?? DEFAULTS
    if (onFull === "wait" || options?.confirm === true)
      throw new EarshotError("EINVAL", "tryPublish can't wait: use publish")
    if (context.closed) throw new EarshotError("EBADF", "the mesh is closed")
    if (options !== undefined) check(options)
    if (!context.settled) return this.keep(subject, data, options ?? DEFAULTS, undefined)
    const route = context.routes.of(subject)
    this.published++
    const { sampling } = context
    const probes = sampling.watched ? sampling.choose(subject) : undefined
    if (route.empty && !probes?.length) return allSent(0)
    const coding = context.codecs.coding(options?.codec)
    if (options === undefined && !probes?.length && route.groups.length === 0 && !route.ownPlain)
      return this.toPlain(route, brief(encodeContent(subject, coding, data, undefined, BRIEF_HEAD)))
    const frames = encodeContent(subject, coding, data, options?.headers)
    if (probes?.length) sampling.send(probes, [...frames])
    return this.toAll(route, subject, frames, options ?? DEFAULTS, new Tally()).done()
  }

  /** Resolves at once, but for `wait` and `confirm`. Throws for what can't be published. */
  publish(subject: string, data: unknown, options: PublishOptions = DEFAULTS): Promise<Receipt> {
    const { context } = this
    if (context.closed) throw new EarshotError("EBADF", "the mesh is closed")
    check(options)
    if (!context.settled) {
      let done!: (receipt: Receipt | Promise<Receipt>) => void
      const settled = new Promise<Receipt>((resolve) => (done = resolve))
      const receipt = this.keep(subject, data, options, done)
      return receipt === ONE_WAITS ? settled : resolved(receipt)
    }
    if (options.onFull !== "wait" && options.confirm !== true) return resolved(this.now(subject, data, options))
    const route = context.routes.of(subject)
    this.published++
    const frames = encodeContent(subject, context.codecs.coding(options.codec), data, options.headers)
    return this.route(route, subject, frames, options)
  }

  /** Copies of a request, for whoever watches. */
  copy(route: Route, frames: readonly Uint8Array[]): void {
    const message = [COPY_HEAD, ...frames]
    for (const member of route.watching) this.account(member, member.post(message), message)
    if (route.ownWatching)
      this.deliverOwn((content) => this.context.local.deliver(content, this.context.self, true), frames)
  }

  /** The mesh has settled: what waited is routed. */
  settle(): void {
    for (const { subject, frames, options, done } of this.early.drain()) {
      const route = this.context.routes.of(subject)
      this.published++
      const receipt = this.route(route, subject, frames, options)
      done?.(receipt)
    }
    this.earlyBytes = 0
  }

  onConfirm(member: Member, head: Uint8Array): void {
    this.confirmations.onConfirm(member, numberAt(head, 2))
  }

  /** A member had no room for a message that it got for a group. */
  onReturn(member: Member, message: Message): void {
    const frames = message.slice(1)
    const { subject } = decodeContent(frames, 0, member.reading)
    if (subject === "") throw new EarshotError("EPROTO", "a message without a subject")
    const group = nameAt(message[0]!, 2)
    const returned = member.replay.loans.giveBack(group, frames)
    // Nothing that we ever gave it.
    if (returned === undefined) return this.context.onUnknown(1)
    this.takeBack(group, { ...returned, subject }, member, returned.whole)
  }

  /** It gives back what it got for a group. `whole`: it keeps nothing of the message. */
  private takeBack(group: string, task: Task, by: Party, whole: boolean): void {
    this.confirmations.onReturn(by, task.confirm, whole, this.work.enqueue(group, task, { by }))
  }

  onRoom(member: Member): void {
    this.waiting.onRoom(member)
  }

  /** A group has room again somewhere. */
  onFree(group: string): void {
    this.work.onFree(group)
  }

  /** Its link is lost. */
  onUnlinked(member: Member): void {
    this.waiting.onUnlinked(member)
  }

  onForgotten(member: Member): void {
    this.confirmations.onForgotten(member)
  }

  close(): void {
    const { context } = this
    for (const { frames, done, subject } of this.early.drain()) {
      context.drop("closed", 1, sizeOf(frames), { subject })
      const tally = new Tally()
      tally.drop("closed")
      done?.(tally.done())
    }
    for (const { frames } of this.own.splice(0)) context.drop("closed", 1, sizeOf(frames))
    this.waiting.close()
    this.work.close()
    this.confirmations.close()
  }

  private toPlain({ plain }: Route, short: Message): Receipt {
    const { interest } = this.context
    if (interest.dirty) interest.flush()
    const size = sizeOf(short)
    let long: Message | undefined
    let tally: Tally | undefined
    for (let i = 0; i < plain.length; i++) {
      const member = plain[i]!
      const message = member.brief ? short : (long ??= spelledOut(short))
      // Both are of one size.
      const posted = member.post(message, size)
      if (posted === "sent" && tally === undefined) continue
      if (tally === undefined) {
        tally = new Tally()
        tally.sent = i
      }
      tally.add(posted)
      this.account(member, posted, message)
    }
    return tally === undefined ? allSent(plain.length) : tally.done()
  }

  private route(route: Route, subject: string, frames: Uint8Array[], options: PublishOptions): Promise<Receipt> {
    const { sampling } = this.context
    if (sampling.watched) sampling.send(sampling.choose(subject), [...frames])
    if (options.confirm === true) return this.confirmed(route, subject, frames, options)
    const waits: Promise<Posted>[] = []
    const tally = this.toAll(route, subject, frames, options, new Tally(), waits)
    if (waits.length === 0) return resolved(tally.done())
    return Promise.all(waits).then((all) => {
      for (const posted of all) tally.add(posted)
      return tally.done()
    })
  }

  private confirmed(route: Route, subject: string, frames: Uint8Array[], options: PublishOptions): Promise<Receipt> {
    const tally = new Tally()
    const confirm = this.confirmations.begin(tally)
    const waits: Promise<Posted>[] = []
    this.toAll(route, subject, frames, options, tally, waits, confirm)
    for (const posted of waits) this.confirmations.holds(confirm, posted)
    return this.confirmations.receipt(confirm)
  }

  /** Picks for each group, then one message for each member. */
  private toAll(
    { plain, ownPlain, groups }: Route,
    subject: string,
    frames: readonly Uint8Array[],
    { onFull = "drop", echo = true }: PublishOptions,
    tally: Tally,
    waits?: Promise<Posted>[],
    confirm = 0,
  ): Tally {
    const { context } = this
    if (context.interest.dirty) context.interest.flush()
    const picked = new Map<Party, string[]>()
    for (const { name, parties } of groups) {
      const party = context.groups.pick(echo ? parties : parties.filter((each) => each !== undefined), name)
      if (party !== null) {
        const names = picked.get(party)
        if (names === undefined) picked.set(party, [name])
        else names.push(name)
      } else if (onFull === "wait" && waits !== undefined)
        waits.push(this.work.enqueue(name, { frames, subject, confirm }))
      else {
        tally.drop("busy")
        context.drop("busy", 1, sizeOf(frames), { subject })
      }
    }
    const plainHead = confirm === 0 ? PLAIN_HEAD : publishHead(true, [], confirm)
    const common = plain.length > 0 ? [plainHead, ...frames] : undefined
    for (const member of plain) {
      const names = picked.get(member)
      picked.delete(member)
      const message = names === undefined ? common! : [publishHead(true, names, confirm), ...frames]
      this.post(member, message, subject, onFull, tally, waits, confirm)
    }
    const ownGroups = picked.get(undefined) ?? []
    picked.delete(undefined)
    for (const [member, names] of picked) {
      this.post(member!, [publishHead(false, names, confirm), ...frames], subject, onFull, tally, waits, confirm)
    }
    const ownToo = ownPlain && echo
    if (ownToo || ownGroups.length > 0) {
      const taken = this.deliverOwn((content) => {
        if (ownToo) context.local.deliver(content, context.self, false)
        this.takeOwn(ownGroups, content, { frames, subject, confirm }, ownToo)
      }, frames)
      tally.add(taken ? "sent" : "full")
      if (taken) this.confirmations.given(confirm, undefined)
    }
    return tally
  }

  private post(
    member: Member,
    message: Message,
    subject: string,
    onFull: OnFull,
    tally: Tally,
    waits: Promise<Posted>[] | undefined,
    confirm: number,
  ): void {
    const posted = this.waiting.post(member, message, subject, onFull)
    if (typeof posted !== "string") {
      waits?.push(posted)
      this.confirmations.given(confirm, member)
      if (confirm > 0) void posted.then((late) => isUnderWay(late) || this.confirmations.lost(confirm, member))
      return
    }
    tally.add(posted)
    if (isUnderWay(posted)) this.confirmations.given(confirm, member)
    else this.account(member, posted, message)
  }

  /** To one of a group that has room, but not to who gave it back. */
  private give(group: string, task: Task, not: GivenBack | undefined): Given {
    const { context } = this
    const { frames, subject, confirm } = task
    const parties = context.routes.of(subject).groups.find(({ name }) => name === group)?.parties
    if (parties === undefined) return "nobody"
    const party = context.groups.pick(parties, group, not && new Set([not.by]))
    if (party === null || (party === undefined && this.own.length >= MAX_OWN)) return "busy"
    let posted: Posted = "sent"
    if (party === undefined) this.deliverOwn((content) => this.takeOwn([group], content, task, false), frames)
    else posted = party.post([publishHead(false, [group], confirm), ...frames])
    if (isUnderWay(posted)) this.confirmations.given(confirm, party)
    return { party, posted }
  }

  /** For one of our own in each group; none may have room any more. `plain`: others of ours have it already. */
  private takeOwn(groups: readonly string[], content: Content, task: Task, plain: boolean): void {
    const { local, self } = this.context
    const full = groups.filter((group) => !local.deliverTo(group, content, self, false))
    const whole = !plain && full.length === groups.length
    for (const [i, group] of full.entries()) this.takeBack(group, task, undefined, whole && i === full.length - 1)
    if (!whole) this.confirmations.onConfirm(undefined, task.confirm)
  }

  /** Our own subscribers get it when this turn's callback is done: never from inside `publish`. */
  private deliverOwn(deliver: (content: Content) => void, frames: readonly Uint8Array[]): boolean {
    const { own, context } = this
    if (own.length >= MAX_OWN) {
      context.drop("full", 1, sizeOf(frames))
      return false
    }
    own.push({ frames, deliver })
    if (own.length === 1)
      context.clock.microtask(() => {
        for (const each of own.splice(0)) each.deliver(decodeContent(each.frames, 0, context.reading))
      })
    return true
  }

  private account(member: Member, posted: Posted, message: Message): void {
    if (posted === "full" || posted === "too-large") this.context.drop(posted, 1, sizeOf(message), { member })
  }

  private keep(subject: string, data: unknown, options: PublishOptions, done: Early["done"]): Receipt {
    const { context } = this
    checkSubject(subject)
    const frames = encodeContent(subject, context.codecs.coding(options.codec), data, options.headers)
    const size = sizeOf(frames)
    if (this.early.length >= MAX_EARLY || this.earlyBytes + size > MAX_EARLY_BYTES) {
      context.drop("early", 1, size, { subject })
      const tally = new Tally()
      tally.drop("early")
      return tally.done()
    }
    this.early.push({ subject, frames, options, done })
    this.earlyBytes += size
    return ONE_WAITS
  }
}

/** The usual ones cost nothing. */
function check(options: PublishOptions): void {
  if (options === DEFAULTS) return
  checkNames(options, NAMES, "publish")
  checkOnFull(options.onFull)
}

const isUnderWay = (posted: Posted): boolean => posted === "sent" || posted === "waiting"

/** What a member does with a message for a group that it has no room for. */
export function returned(group: string, frames: readonly Uint8Array[]): Message {
  return [groupHead(Kind.RETURN, 0, group), ...frames]
}
