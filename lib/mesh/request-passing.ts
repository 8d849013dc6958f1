/** Requests by way of a carrier: each goes on to one who answers, or to all of them, and what they say goes back. */
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Server } from "./asking.ts"
import type { Content } from "./content.ts"
import { mayPass, partiesFor } from "./hop.ts"
import { Inquiry, choicesOf, type Choice, type Inquirer, type Said } from "./inquiry.ts"
import type { Member } from "./member.ts"
import type { RelayOwner } from "./relay.ts"
import { FAILED, Kind, LAST, PART, numberAt, numbered, requestOf, type RequestFields } from "./wire.ts"

/** Answers of others that one asker awaits at a time. */
const MAX_AWAITED = 4096

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
    if (to === undefined ? !owner.relay.concerns(from) : to === owner.self.id) return false
    const choices = this.choices(from, content.subject, fields)
    if (to === undefined && choices.every(({ first }) => first.party === undefined)) return false
    const id = numberAt(message[0]!, 2)
    const asker = this.askers.get(from) ?? new Asker(owner, from)
    this.askers.set(from, asker)
    if (asker.passed.has(id)) throw new EarshotError("EPROTO", "a request with a number that is in use")
    if (choices.length === 0)
      asker.refuse(id, new EarshotError("NO_RESPONDERS", "it is not here, or does not answer that"))
    else if (asker.awaited + choices.length > MAX_AWAITED)
      asker.refuse(id, new EarshotError("BUSY", "too many requests are under way"))
    else {
      from.tell([numbered(Kind.ACCEPT, 0, id)])
      void new Passed(owner, asker, content.subject, message, choices)
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
    for (const passed of this.askers.get(from)?.passed.values() ?? []) passed.takeBack()
    this.askers.delete(from)
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
  /** Answers of others. */
  awaited = 0
  private readonly owner: RelayOwner
  private readonly member: Member

  constructor(owner: RelayOwner, member: Member) {
    this.owner = owner
    this.member = member
  }

  reply(id: number, flags: number, frames: readonly Uint8Array[]): void {
    // That we close is no answer: by the end of its link the asker learns it, and may ask another.
    if (!this.owner.closed) this.owner.answering.send(this.member, [numbered(Kind.REPLY, flags, id), ...frames])
  }

  refuse(id: number, error: EarshotError, flags = 0): void {
    this.reply(id, FAILED | flags, this.owner.answering.failed(error))
  }
}

/** One request that is passed on. */
class Passed implements Inquirer {
  readonly subject: string
  readonly frames: readonly Uint8Array[]
  readonly many: boolean
  private readonly head: Uint8Array
  private readonly asker: Asker
  private readonly awaited: number
  private readonly inquiry: Inquiry

  constructor(owner: RelayOwner, asker: Asker, subject: string, message: Message, choices: readonly Choice[]) {
    const [head, ...frames] = message
    this.subject = subject
    this.frames = frames
    this.head = head!
    this.many = requestOf(head!).many
    this.asker = asker
    this.awaited = choices.length
    asker.passed.set(this.id, this)
    asker.awaited += this.awaited
    this.inquiry = new Inquiry(owner, this, choices)
  }

  remaining(): number {
    return numberAt(this.head, 6)
  }

  onSaid(said: Said | undefined, last: boolean): void {
    const { asker, id } = this
    if (last) this.end()
    const part = last ? 0 : PART
    if (said === undefined) return asker.reply(id, LAST, [])
    const { answer, frames } = said
    if (frames !== undefined) asker.reply(id, part | (answer instanceof EarshotError ? FAILED : 0), frames)
    else asker.refuse(id, answer as EarshotError, part)
  }

  takeBack(): void {
    this.end()
    this.inquiry.takeBack()
  }

  private get id(): number {
    return numberAt(this.head, 2)
  }

  private end(): void {
    this.asker.passed.delete(this.id)
    this.asker.awaited -= this.awaited
  }
}
