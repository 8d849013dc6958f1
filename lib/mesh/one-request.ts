/** One `request`, over as many attempts as it takes. */
import type { Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import { checkTimeout, signalOf } from "../waiters.ts"
import { DEFAULT_TIMEOUT, type Asking, type Pending, type RequestCallOptions, type Server } from "./asking.ts"
import { encodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Headers } from "./contract.ts"
import type { MemberInfo } from "./events.ts"
import { checkNames, namesOf } from "./option-checks.ts"
import type { Party } from "./routes.ts"

export const TOO_MANY = "too many requests wait for somebody to ask"

/** An answer, and whose it is. */
export interface Answer {
  readonly content: Content
  readonly from: MemberInfo
}

/** The call on whose behalf something is asked: it lends its time, its end and its trace. */
export interface Behalf {
  readonly remaining: number
  readonly signal: AbortSignal
  trace(headers: Headers | undefined): Headers | undefined
}

/** A request, encoded and checked. */
export interface Question {
  readonly subject: string
  readonly frames: readonly Uint8Array[]
  /** ms, the smaller of its own and what its call has left; 0: that has none left. */
  readonly timeout: number
  /** Whoever aborts ends it. */
  readonly signals: readonly AbortSignal[]
}

/** What options of every kind of request have. */
type QuestionOptions = Pick<RequestCallOptions, "timeout" | "signal" | "headers" | "codec">

const NAMES = namesOf<RequestCallOptions>({
  timeout: true,
  wait: true,
  signal: true,
  headers: true,
  idempotent: true,
  to: true,
  codec: true,
})
const DEFAULTS: RequestCallOptions = {}

/** Throws INVALID_SUBJECT, ENCODE, TOO_LARGE (headers), EINVAL, EBADF. */
export function question(
  context: Context,
  subject: string,
  data: unknown,
  options: QuestionOptions,
  call: Behalf | undefined,
): Question {
  if (context.closed) throw new EarshotError("EBADF", "the mesh is closed")
  const { timeout = DEFAULT_TIMEOUT, headers, codec } = options
  if (typeof timeout !== "number" || !(timeout > 0))
    throw new EarshotError("EINVAL", "timeout is a number of milliseconds above 0")
  const signals = [signalOf({ signal: options.signal }), call?.signal].filter((signal) => signal !== undefined)
  context.routes.of(subject)
  const frames = encodeContent(
    subject,
    context.codecs.coding(codec),
    data,
    call === undefined ? headers : call.trace(headers),
  )
  return { subject, frames, timeout: Math.min(timeout, call?.remaining ?? Infinity), signals }
}

/** Resolves to the answer. Throws for a bad subject or option, or what can't be encoded. */
export function request(
  context: Context,
  subject: string,
  data: unknown,
  options: RequestCallOptions = DEFAULTS,
  call?: Behalf,
): Promise<Answer> {
  if (options !== DEFAULTS) checkNames(options, NAMES, "request")
  const { wait = 0, to = "" } = options
  checkTimeout(wait, "wait")
  if (typeof to !== "string") throw new EarshotError("EINVAL", "to is the id of a member")
  const asked = question(context, subject, data, options, call)
  context.asking.count("asked")
  return new Promise((resolve, reject) => new OneRequest(context, asked, options, resolve, reject).begin())
}

/** What `request` resolves to for users. Throws DECODE. */
export function dataOf({ content }: Answer): any {
  if (content.problem !== undefined) throw content.problem
  return content.data
}

class OneRequest {
  private readonly asking: Asking
  private readonly context: Context
  private readonly question: Question
  private readonly options: RequestCallOptions
  private readonly deadline: number
  private readonly resolve: (answer: Answer) => void
  private readonly reject: (error: unknown) => void
  private readonly timer: Timer
  private readonly refused = new Set<Party>()
  private lastError: EarshotError | undefined
  private pending: Pending | undefined
  private stopHoping: (() => void) | undefined
  private waitTimer: Timer | undefined
  private copied = false
  private over = false

  constructor(
    context: Context,
    question: Question,
    options: RequestCallOptions,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ) {
    const { subject, timeout, signals } = question
    this.asking = context.asking
    this.context = context
    this.question = question
    this.options = options
    this.resolve = resolve
    this.reject = reject
    this.deadline = context.clock.now() + timeout
    this.timer = context.clock.timeout(() => {
      // While it hopes for somebody to come, nobody was there to be late.
      if (context.settled && this.stopHoping !== undefined) return this.give()
      this.fail(new EarshotError("TIMEOUT", `no answer to ${subject} within ${Math.round(timeout)} ms`))
    }, timeout)
    context.clock.hold()
    for (const signal of signals) signal.addEventListener("abort", this.abort)
  }

  begin(): void {
    const { context, asking } = this
    const { subject, frames, timeout, signals } = this.question
    if (this.over) return
    if (timeout === 0) return this.fail(new EarshotError("TIMEOUT", "the asker's time is over"))
    if (signals.some(({ aborted }) => aborted)) return this.abort()
    if (context.closed) return this.fail(new EarshotError("EBADF", "the mesh is closed"))
    if (!this.mayGo()) return this.hope(() => this.mayGo())
    if (!this.copied && this.options.to === undefined) asking.copy(subject, frames)
    this.copied = true
    this.attempt()
  }

  /**
   * The mesh has settled, or it need not wait for that: another member answers it, and it overtakes nothing that was published
   * before. What we serve ourselves does not count, or whoever begins would take all of its own work.
   */
  private mayGo(): boolean {
    const { settled, outgoing } = this.context
    return (
      settled ||
      (outgoing.held === 0 && this.servers().some((server) => server.party !== undefined && available(server)))
    )
  }

  private servers(): Server[] {
    return this.asking.servers(this.context.routes.of(this.question.subject), this.options.to)
  }

  private readonly abort = (): void => this.fail(this.question.signals.find(({ aborted }) => aborted)!.reason)

  private attempt(): void {
    const { context, asking, options } = this
    const { subject, frames } = this.question
    const server = choose(
      context,
      this.servers().filter(({ party }) => !this.refused.has(party)),
    )
    if (server === undefined) return this.nobody()
    const remaining = Math.max(1, this.deadline - context.clock.now())
    const pending = asking.ask(server, subject, frames, remaining, options.idempotent === true, {
      resolve: (content, from) => {
        asking.count("answered")
        this.end(() => this.resolve({ content, from }))
      },
      reject: (error) => this.fail(error),
      refuse: (error) => {
        this.pending = undefined
        this.lastError = error
        this.refused.add(server.party)
        if (!this.over) this.attempt()
      },
    })
    this.pending = pending
    // A listener to what asking did may have ended it.
    if (this.over && pending !== undefined) asking.takeBack(pending)
  }

  /** Nobody is there, or everybody has refused. */
  private nobody(): void {
    const { lastError, options, context } = this
    const { settled } = context
    if (settled) {
      if (lastError?.code === "BUSY") return this.fail(lastError)
      const { wait = 0 } = options
      if (wait <= 0) return this.give()
      this.waitTimer ??= context.clock.timeout(() => this.give(), wait)
    }
    this.refused.clear()
    this.hope(() => (settled ? this.servers().some(available) : context.settled))
  }

  private give(): void {
    const { lastError, context, question } = this
    const hint = context.hint ?? "mesh.explain() tells who comes near"
    this.fail(lastError ?? new EarshotError("NO_RESPONDERS", `nobody answers ${question.subject}; ${hint}`))
  }

  /** Looks again whenever something has changed. */
  private hope(condition: () => boolean): void {
    this.stopHoping?.()
    if (this.asking.crowded) return this.fail(new EarshotError("LIMIT", TOO_MANY))
    this.stopHoping = this.asking.hope(() => {
      if (!condition() && !this.context.closed) return
      this.stopHoping?.()
      this.stopHoping = undefined
      this.begin()
    })
  }

  private fail(error: unknown): void {
    if (!this.over) this.asking.count("failed")
    this.end(() => this.reject(error))
  }

  private end(settle: () => void): void {
    if (this.over) return
    this.over = true
    this.timer.cancel()
    this.waitTimer?.cancel()
    this.stopHoping?.()
    for (const signal of this.question.signals) signal.removeEventListener("abort", this.abort)
    if (this.pending !== undefined) this.asking.takeBack(this.pending)
    this.context.clock.release()
    settle()
  }
}

/** It can be asked at all: it is linked, and does not drain. */
const available = ({ party }: Server): boolean => party === undefined || (party.linked && !party.draining)

/** The better of two at random, of those that can be asked; of those that are not full, if there are any. */
export function choose({ groups, clock }: Context, servers: readonly Server[]): Server | undefined {
  const able = servers.filter(available)
  const free = able.filter(({ party, queue }) => groups.open(party, queue))
  const from = free.length > 0 ? free : able
  if (from.length < 2) return from[0]
  const first = Math.floor(clock.random() * from.length)
  const second = (first + 1 + Math.floor(clock.random() * (from.length - 1))) % from.length
  const a = from[first]!
  const b = from[second]!
  return groups.better(a.party, b.party) === a.party ? a : b
}
