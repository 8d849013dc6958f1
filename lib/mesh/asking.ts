/**
 * Requests: to one of all who answer, the better of two at random, until one answers or time is up. A request that was
 * never accepted goes to another; one that was accepted only if it is idempotent.
 */
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Answering } from "./answering.ts"
import { decodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Headers, PayloadCodec } from "./contract.ts"
import type { MemberInfo } from "./events.ts"
import { isMemberId } from "./introduction.ts"
import type { Member } from "./member.ts"
import type { Outgoing } from "./outgoing.ts"
import type { Party, Route } from "./routes.ts"
import { FAILED, Kind, LAST, PART, numberAt, numbered, requestHead } from "./wire.ts"

/** How one request is made. */
export interface RequestCallOptions {
  /** ms for all of it, attempts and waiting included. Default 5,000. Rejects TIMEOUT. */
  readonly timeout?: number | undefined
  /** ms to wait for somebody who answers, when there is nobody. Default: until the mesh has settled, later 0. Then NO_RESPONDERS. */
  readonly wait?: number | undefined
  /** Gives up, and tells the one who was asked. Rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Names and values that travel with it. */
  readonly headers?: Headers | undefined
  /** It may be done twice: when the one who had accepted it is lost, another is asked. Default false. */
  readonly idempotent?: boolean | undefined
  /** Ask this member, by id, and nobody else; leaves and whoever is behind a carrier, too. */
  readonly to?: string | undefined
  /** For this payload, instead of the mesh's own. */
  readonly codec?: PayloadCodec | undefined
}

/** One answer of `requestMany`. */
export interface Reply<Data = any> {
  /** What the handler returned. */
  readonly data: Data
  /** Names and values that came with it. */
  readonly headers: Headers
  /** Who answered; for whoever is behind a carrier, that carrier. */
  readonly from: MemberInfo
}

/** Who can be asked: a member, or we, in a group or in none. */
export interface Server {
  readonly party: Party
  readonly queue: string | undefined
  /** It is to pass the request on to this member, or to answer it if it is that itself. */
  readonly to?: string | undefined
}

/** What comes of it: one call of one of these, `many` aside. */
export interface Asked {
  /** `frames`: the content as it came, to be passed on. */
  readonly resolve: (content: Content, from: MemberInfo, frames: readonly Uint8Array[]) => void
  /** `frames`: what the one who was asked said, where it said something. */
  readonly reject: (error: unknown, frames?: readonly Uint8Array[]) => void
  /** The server was lost before it accepted, was full, or has nobody who answers: somebody else may. */
  readonly refuse: (error: EarshotError) => void
  /** It is a question to all that are behind the one who is asked. */
  readonly many?: Many | undefined
}

/** What comes of a question to many, beside what comes of any: as many parts as there are, and the last one as if it were the only one, or `end`. */
export interface Many {
  /** One has answered, or failed, and another may follow. */
  readonly part: (answer: Content | EarshotError, from: MemberInfo, frames: readonly Uint8Array[]) => void
  /** Nothing follows. */
  readonly end: () => void
}

/** One request to one server. */
export interface Pending extends Asked {
  readonly id: number
  readonly server: Server
  readonly began: number
  accepted: boolean
  /** Answers so far, of a question to many. */
  parts: number
  /** The one who had accepted it is lost: ask another, rather than to wait for a reply that may still come? */
  readonly impatient: boolean
  /** Takes it back from ourselves. */
  abort?: () => void
}

/** Awaiting answers at a time; and as many for somebody who can be asked. */
const MAX_PENDING = 65_536
export const DEFAULT_TIMEOUT = 5000
/** Answers to one question that come by one carrier. */
const MAX_PARTS = 16_384
/** Characters of what a handler calls its error: a longer one is REMOTE. */
export const MAX_CODE = 64

/** Requests made here, and what came of them; the rest is under way. */
export interface RequestTallies {
  /** By `request` and `requestMany`. */
  asked: number
  /** A reply came; of `requestMany`, at least one. */
  answered: number
  /** Rejected, for whatever reason. */
  failed: number
}

export class Asking {
  readonly tallies: RequestTallies = { asked: 0, answered: 0, failed: 0 }
  private readonly context: Context
  private readonly outgoing: Outgoing
  private readonly answering: Answering
  private readonly pending = new Map<number, Pending>()
  /** Who waits for somebody to come who answers. */
  private readonly hoping = new Set<() => void>()
  private last = 0

  constructor(context: Context, outgoing: Outgoing, answering: Answering) {
    this.context = context
    this.outgoing = outgoing
    this.answering = answering
  }

  /** Asked, and not answered yet. */
  get waiting(): number {
    return this.pending.size
  }

  /** Nothing is under way: neither asked, nor waiting for somebody to ask. */
  get idle(): boolean {
    const { asked, answered, failed } = this.tallies
    return this.pending.size === 0 && asked === answered + failed
  }

  count(what: keyof RequestTallies): void {
    this.tallies[what]++
    if (what !== "asked") this.context.onLess()
  }

  /** Who answers this subject now; with `to` that member, or those that may carry it. */
  servers(route: Route, to: string | undefined): Server[] {
    const all: Server[] = []
    for (const { queue, parties } of route.servers)
      for (const party of parties) if (to === undefined || to === party?.id) all.push({ party, queue })
    return to === undefined ? all : this.serversTo(route, to, all)
  }

  /** `direct`: that member itself. A carrier is told who is meant, lest it picks another. */
  private serversTo(route: Route, to: string, direct: readonly Server[]): Server[] {
    const { self } = this.context
    if (to === self.id) return route.servers.filter(isOurs).map(({ queue }) => ({ party: undefined, queue }))
    const carries = (party: Party): boolean => party?.features.has("to") === true && (self.leaf || party.leaves > 0)
    if (!isMemberId(to)) return []
    if (direct.length > 0)
      return direct.map((server) => (carries(server.party) ? { party: server.party, queue: undefined, to } : server))
    const carriers = new Set(route.servers.flatMap(({ parties }) => parties.filter(carries)))
    return [...carriers].map((party) => ({ party, queue: undefined, to }))
  }

  /** Copies for those who only watch. */
  copy(subject: string, frames: readonly Uint8Array[]): void {
    const { routes, sampling } = this.context
    this.outgoing.copy(routes.of(subject), frames)
    if (sampling.watched) sampling.send(sampling.choose(subject), frames)
  }

  /** Sends it to one server. What comes of it comes later. */
  ask(
    server: Server,
    subject: string,
    frames: readonly Uint8Array[],
    remaining: number,
    impatient: boolean,
    asked: Asked,
  ): Pending | undefined {
    const { context } = this
    const fail = (error: EarshotError): undefined => void context.clock.microtask(() => asked.reject(error))
    if (context.closed) return fail(new EarshotError("EBADF", "the mesh is closed"))
    if (this.pending.size >= MAX_PENDING)
      return fail(new EarshotError("LIMIT", `${MAX_PENDING} requests are under way`))
    if (context.interest.dirty) context.interest.flush()
    do this.last = (this.last % 0xffff_fffe) + 1
    while (this.pending.has(this.last))
    const id = this.last
    const { party, queue, to } = server
    const pending: Pending = { ...asked, id, server, began: context.clock.now(), accepted: false, parts: 0, impatient }
    if (party === undefined) {
      this.pending.set(id, pending)
      pending.accepted = true
      context.groups.asked(party)
      pending.abort = this.answering.askOwn(subject, frames, queue, remaining, {
        reply: (content, frames) => this.settle(id, undefined, content, frames),
        fail: (code, text) => this.fail(id, { code, text }),
      })
      return pending
    }
    let sent = false
    try {
      const many = asked.many !== undefined && party.features.has("many")
      sent = party.offer([requestHead(id, remaining, queue, to, many), ...frames])
    } catch (error) {
      return fail(new EarshotError("TOO_LARGE", (error as Error).message, error))
    }
    if (sent) {
      context.groups.asked(party)
      this.pending.set(id, pending)
      return pending
    }
    context.clock.microtask(() => asked.refuse(new EarshotError("BUSY", "the link to who answers is full")))
    return undefined
  }

  /** Nobody wants the answer any more. */
  takeBack(pending: Pending): void {
    if (!this.finish(pending)) return
    pending.abort?.()
    pending.server.party?.tell([numbered(Kind.CANCEL, 0, pending.id)])
  }

  onAccept(member: Member, head: Uint8Array): void {
    const pending = this.pending.get(numberAt(head, 2))
    if (pending?.server.party === member) pending.accepted = true
  }

  onReply(member: Member, message: Message): void {
    const head = message[0]!
    const flags = head[1]!
    const id = numberAt(head, 2)
    const pending = this.pending.get(id)
    if (pending?.server.party !== member) return
    const { many } = pending
    if (flags & LAST && many !== undefined) return void (this.finish(pending) && many.end())
    const content = decodeContent(message, 1, member.reading)
    const frames = message.slice(1)
    const failure = flags & FAILED ? failureIn(content) : undefined
    if (flags & PART && many !== undefined) {
      pending.accepted = true
      if (++pending.parts <= MAX_PARTS)
        return many.part(failure === undefined ? content : errorOf(failure), member, frames)
      this.takeBack(pending)
      return pending.reject(new EarshotError("LIMIT", "too many answers came by one member"))
    }
    if (failure === undefined) this.settle(id, member, content, frames)
    else this.fail(id, failure, frames)
  }

  /** Its link is lost. What it had accepted may still be answered: replies are kept for us while the link may come back. */
  onUnlinked(member: Member): void {
    this.lose(member, false)
  }

  /** It does not come back. */
  onGone(member: Member): void {
    this.lose(member, true)
  }

  /** Interest has changed: somebody may answer now. */
  onChange(): void {
    for (const hope of [...this.hoping]) hope()
  }

  /** As many hope as may ask. */
  get crowded(): boolean {
    return this.hoping.size >= MAX_PENDING
  }

  hope(look: () => void): () => void {
    this.hoping.add(look)
    return () => void this.hoping.delete(look)
  }

  close(): void {
    const error = new EarshotError("EBADF", "the mesh is closed")
    for (const pending of [...this.pending.values()]) {
      this.finish(pending)
      pending.abort?.()
      pending.reject(error)
    }
    for (const hope of [...this.hoping]) hope()
  }

  private settle(id: number, party: Party, content: Content, frames: readonly Uint8Array[]): void {
    const pending = this.pending.get(id)
    if (pending === undefined || !this.finish(pending)) return
    this.context.groups.answered(party, this.context.clock.now() - pending.began)
    pending.resolve(content, party ?? this.context.self, frames)
  }

  private fail(id: number, failure: Said, frames?: readonly Uint8Array[]): void {
    const pending = this.pending.get(id)
    if (pending === undefined || !this.finish(pending)) return
    const { code } = failure
    // A leaf hears from its carrier that the one who was asked is lost.
    const lost = code === "PEER_LOST" && pending.impatient
    if (code === "BUSY" || code === "NO_RESPONDERS" || lost) pending.refuse(errorOf(failure))
    else pending.reject(errorOf(failure), frames)
  }

  /** `gone`: nobody waits for what it had accepted, either. */
  private lose(member: Member, gone: boolean): void {
    for (const pending of [...this.pending.values()]) {
      const patient = pending.accepted && !pending.impatient
      if (pending.server.party !== member || (patient && !gone)) continue
      this.finish(pending)
      const error = new EarshotError("PEER_LOST", "the member that was asked is gone")
      if (patient) pending.reject(error)
      else pending.refuse(error)
    }
  }

  private finish(pending: Pending): boolean {
    if (this.pending.get(pending.id) !== pending) return false
    this.pending.delete(pending.id)
    this.context.groups.over(pending.server.party)
    if (this.pending.size === 0) this.context.onLess()
    return true
  }
}

const isOurs = ({ parties }: Route["servers"][number]): boolean => parties.includes(undefined)

/** What a FAILED reply says. */
interface Said {
  readonly code: string
  readonly text: string
}

function failureIn({ data }: Content): Said {
  const { code, message } = Object(data) as { code?: unknown; message?: unknown }
  return {
    code: typeof code === "string" && code.length <= MAX_CODE ? code : "REMOTE",
    text: typeof message === "string" ? message : "",
  }
}

/** Codes that say the same wherever they come from. */
const OURS = ["BUSY", "NO_RESPONDERS", "TIMEOUT", "PEER_LOST", "TOO_LARGE", "ENCODE", "DECODE", "LIMIT"] as const

/** A code of ours keeps its meaning; any other is the handler's own, and REMOTE. */
function errorOf({ code, text }: Said): EarshotError {
  const ours = OURS.find((each) => each === code)
  if (ours !== undefined) return new EarshotError(ours, text || undefined)
  const error = new EarshotError("REMOTE", text || undefined)
  // What the handler called it.
  if (code !== "REMOTE") Object.defineProperty(error, "remoteCode", { value: code, enumerable: true })
  return error
}
