/** Requests by way of a carrier: each goes on to one who answers, or to all of them, and what they say goes back. */
import { sizeOf } from "../bytes.ts"
import type { Clock, Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Server } from "./asking.ts"
import type { Content } from "./content.ts"
import { mayPass, partiesFor } from "./hop.ts"
import { Inquiry, choicesOf, type Choice, type Inquirer, type Said } from "./inquiry.ts"
import type { Member } from "./member.ts"
import type { RelayOwner } from "./relay.ts"
import { FAILED, Kind, LAST, PART, numberAt, numbered, requestOf, type RequestFields } from "./wire.ts"

/** Answers of others that one asker awaits at a time, and bytes of what it asked: a single request may have more. */
const MAX_AWAITED = 4096
const MAX_BYTES = 64 * 1024 * 1024
/** ms between two looks at whose time is over, while an asker awaits any. */
const SWEEP = 1000

export class RequestPassing {
  private readonly owner: RelayOwner
  private readonly askers = new Map<Member, Asker>()

  constructor(owner: RelayOwner) {
    this.owner = owner
  }

  /** Passes it on, where somebody else than we ourselves is to answer it. False: it is for us. Throws EPROTO for a number that is in use. */
  ask(from: Member, message: Message, content: Content): boolean {
    const { owner } = this
    const fields = requestOf(message[0]!)
    const { to } = fields
    const id = numberAt(message[0]!, 2)
    if (this.askers.get(from)?.passed.has(id) === true)
      throw new EarshotError("EPROTO", "a request with a number that is in use")
    if (to === undefined ? !owner.relay.concerns(from) : to === owner.self.id) return false
    const choices = this.choices(from, content.subject, fields)
    if (to === undefined && choices.every(({ first }) => first.party === undefined)) return false
    const asker = this.askers.get(from) ?? new Asker(owner, from)
    this.askers.set(from, asker)
    if (choices.length === 0)
      asker.refuse(id, new EarshotError("NO_RESPONDERS", "it is not here, or does not answer that"))
    else if (!asker.hasRoom(choices.length, sizeOf(message)))
      asker.refuse(id, new EarshotError("BUSY", "too many requests are under way"))
    else {
      void new Passed(owner, asker, content.subject, message, choices)
      from.tell([numbered(Kind.ACCEPT, 0, id)])
    }
    return true
  }

  /** The asker has given up. True: we had passed it on. */
  cancel(from: Member, id: number): boolean {
    const passed = this.askers.get(from)?.passed.get(id)
    passed?.takeBack()
    return passed !== undefined
  }

  /** Nobody waits for what we passed on for it. */
  onForgotten(from: Member): void {
    this.askers.get(from)?.end()
    this.askers.delete(from)
  }

  /** What is passed on ends by itself. */
  close(): void {
    for (const asker of this.askers.values()) asker.rest()
  }

  /** As many as there are to be answers. */
  private choices(from: Member, subject: string, { group, to, many }: RequestFields): Choice[] {
    const { owner } = this
    const route = owner.routes.of(subject)
    const parties = route.servers.find(({ queue }) => queue === group)?.parties ?? []
    const servers =
      to === undefined
        ? [...new Set(partiesFor(from, parties))].map((party): Server => ({ party, queue: group }))
        : owner.asking.servers(route, to).filter(({ party }) => mayPass(from, party))
    return choicesOf(owner, many ? servers.map((server) => [server]) : [servers])
  }
}

/** A member that asks by way of us. */
class Asker {
  readonly passed: Map<number, Passed> = new Map()
  readonly clock: Clock
  /** Answers of others. */
  private awaited = 0
  private bytes = 0
  private readonly owner: RelayOwner
  private readonly member: Member
  private timer: Timer | undefined

  constructor(owner: RelayOwner, member: Member) {
    this.owner = owner
    this.member = member
    this.clock = owner.clock
  }

  /** For a request of that size that so many are to answer. */
  hasRoom(count: number, size: number): boolean {
    return this.passed.size === 0 || (this.awaited + count <= MAX_AWAITED && this.bytes + size <= MAX_BYTES)
  }

  add(id: number, passed: Passed): void {
    this.passed.set(id, passed)
    this.awaited += passed.awaited
    this.bytes += passed.size
    this.timer ??= this.clock.timeout(() => this.sweep(), SWEEP)
  }

  remove(id: number, passed: Passed): void {
    if (!this.passed.delete(id)) return
    this.awaited -= passed.awaited
    this.bytes -= passed.size
  }

  reply(id: number, flags: number, frames: readonly Uint8Array[]): void {
    // That we close is no answer: by the end of its link the asker learns it, and may ask another.
    if (!this.owner.closed) this.owner.answering.send(this.member, [numbered(Kind.REPLY, flags, id), ...frames])
  }

  refuse(id: number, error: EarshotError, flags = 0): void {
    this.reply(id, FAILED | flags, this.owner.answering.failed(error))
  }

  end(): void {
    for (const passed of this.passed.values()) passed.takeBack()
    this.rest()
  }

  rest(): void {
    this.timer?.cancel()
    this.timer = undefined
  }

  /** Who gave up while its link was lost could not say so. */
  private sweep(): void {
    this.timer = undefined
    const now = this.clock.now()
    for (const passed of this.passed.values()) if (passed.deadline <= now) passed.takeBack()
    if (this.passed.size > 0) this.timer = this.clock.timeout(() => this.sweep(), SWEEP)
  }
}

/** One request that is passed on. */
class Passed implements Inquirer {
  readonly subject: string
  readonly frames: readonly Uint8Array[]
  readonly many: boolean
  readonly size: number
  readonly awaited: number
  /** On the clock. */
  readonly deadline: number
  private readonly id: number
  private readonly asker: Asker
  private readonly inquiry: Inquiry | undefined

  constructor(owner: RelayOwner, asker: Asker, subject: string, message: Message, choices: readonly Choice[]) {
    const [head, ...frames] = message
    const ms = numberAt(head!, 6)
    this.subject = subject
    this.frames = frames
    this.many = requestOf(head!).many
    this.size = sizeOf(message)
    this.awaited = choices.length
    this.deadline = ms === 0 ? Infinity : owner.clock.now() + ms
    this.id = numberAt(head!, 2)
    this.asker = asker
    asker.add(this.id, this)
    this.inquiry = new Inquiry(owner, this, choices)
    // Asking them has brought about its end.
    if (!asker.passed.has(this.id)) this.inquiry.takeBack()
  }

  remaining(): number {
    const { deadline, asker } = this
    return deadline === Infinity ? 0 : Math.max(1, deadline - asker.clock.now())
  }

  onSaid(said: Said | undefined, last: boolean): void {
    const { asker, id } = this
    if (last) asker.remove(id, this)
    const part = last ? 0 : PART
    if (said === undefined) return asker.reply(id, LAST, [])
    const { answer, frames } = said
    if (frames !== undefined) asker.reply(id, part | (answer instanceof EarshotError ? FAILED : 0), frames)
    else asker.refuse(id, answer as EarshotError, part)
  }

  takeBack(): void {
    this.asker.remove(this.id, this)
    this.inquiry?.takeBack()
  }
}
