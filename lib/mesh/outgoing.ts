/** Publishing: to everybody who wants the subject, and to one of each queue group. */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { Ring } from "../ring.ts"
import { Awaited, Confirmations } from "./confirmations.ts"
import { decodeContent, encodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Headers, PayloadCodec } from "./contract.ts"
import type { Member, Posted } from "./member.ts"
import { checkNames, namesOf } from "./option-names.ts"
import { ONE_WAITS, Tally, allSent, resolved, type Receipt } from "./receipt.ts"
import type { Party, Route } from "./routes.ts"
import { checkSubject } from "./subject.ts"
import { Waiting, checkOnFull, type OnFull } from "./waiting.ts"
import { Work, type Given, type Signed } from "./work.ts"
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
    return this.toAll(route, subject, frames, options ?? DEFAULTS).done()
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
    void this.work.enqueue(nameAt(message[0]!, 2), frames, subject, { returned: { by: member } })
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
    const tally = this.toAll(route, subject, frames, options, 0, waits)
    if (waits.length === 0) return resolved(tally.done())
    return Promise.all(waits).then((all) => {
      for (const posted of all) tally.add(posted)
      return tally.done()
    })
  }

  private confirmed(route: Route, subject: string, frames: Uint8Array[], options: PublishOptions): Promise<Receipt> {
    const id = this.confirmations.next()
    const awaited = new Awaited()
    const waits: Promise<Posted>[] = []
    const tally = this.toAll(route, subject, frames, options, id, waits, awaited)
    return this.confirmations.wait(id, tally, awaited, waits)
  }

  /** Picks for each group, then one message for each member. */
  private toAll(
    { plain, ownPlain, groups }: Route,
    subject: string,
    frames: readonly Uint8Array[],
    { onFull = "drop", echo = true }: PublishOptions,
    confirm = 0,
    waits?: Promise<Posted>[],
    awaited?: Awaited,
  ): Tally {
    const { context } = this
    if (context.interest.dirty) context.interest.flush()
    const tally = new Tally()
    const picked = new Map<Party, string[]>()
    for (const { name, parties } of groups) {
      const party = context.groups.pick(echo ? parties : parties.filter((each) => each !== undefined), name)
      if (party !== null) {
        const names = picked.get(party)
        if (names === undefined) picked.set(party, [name])
        else names.push(name)
      } else if (onFull === "wait" && waits !== undefined)
        waits.push(this.work.enqueue(name, frames, subject, { signed: this.sign(confirm, awaited) }))
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
      this.post(member, message, subject, onFull, tally, waits, awaited)
    }
    const ownGroups = picked.get(undefined) ?? []
    picked.delete(undefined)
    for (const [member, names] of picked) {
      this.post(member!, [publishHead(false, names, confirm), ...frames], subject, onFull, tally, waits, awaited)
    }
    const ownToo = ownPlain && echo
    if (ownToo || ownGroups.length > 0) {
      const taken = this.deliverOwn((content) => {
        if (ownToo) context.local.deliver(content, context.self, false)
        for (const name of ownGroups) this.takeOwn(name, content, frames)
      }, frames)
      tally.add(taken ? "sent" : "full")
      if (taken) awaited?.add(undefined)
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
    awaited: Awaited | undefined,
  ): void {
    const posted = this.waiting.post(member, message, subject, onFull)
    if (typeof posted !== "string") {
      waits?.push(posted)
      awaited?.add(member)
      if (awaited !== undefined) void posted.then((late) => isUnderWay(late) || awaited.delete(member))
      return
    }
    tally.add(posted)
    if (isUnderWay(posted)) awaited?.add(member)
    else this.account(member, posted, message)
  }

  /** Whoever gets it later is to confirm it, too. */
  private sign(confirm: number, awaited: Awaited | undefined): Signed | undefined {
    if (awaited === undefined) return undefined
    return {
      confirm,
      onGiven: (party) => {
        awaited.add(party)
        if (party === undefined) this.context.clock.microtask(() => this.confirmations.onConfirm(party, confirm))
      },
    }
  }

  /** To one of a group that has room, but `not` to that one. */
  private give(group: string, frames: readonly Uint8Array[], subject: string, not?: Party, confirm = 0): Given {
    const { context } = this
    const parties = context.routes.of(subject).groups.find(({ name }) => name === group)?.parties
    if (parties === undefined) return "nobody"
    const party = context.groups.pick(parties, group, not && new Set([not]))
    if (party === null) return "busy"
    if (party !== undefined) return { party, posted: party.post([publishHead(false, [group], confirm), ...frames]) }
    if (this.own.length >= MAX_OWN) return "busy"
    this.deliverOwn((content) => this.takeOwn(group, content, frames), frames)
    return { party, posted: "sent" }
  }

  /** For one of our own in a group; none may have room any more. */
  private takeOwn(group: string, content: Content, frames: readonly Uint8Array[]): void {
    const { local, self } = this.context
    if (!local.deliverTo(group, content, self, false))
      void this.work.enqueue(group, frames, content.subject, { returned: { by: undefined } })
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
