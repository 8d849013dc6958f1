/** One question to many: to one of each queue group that answers a subject, and to every server that is in none. */
import { sizeOf } from "../bytes.ts"
import type { Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { Reply, Server } from "./asking.ts"
import { timeIsOver } from "./call.ts"
import type { Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Headers, PayloadCodec } from "./contract.ts"
import type { MemberInfo } from "./events.ts"
import { Feed } from "./feed.ts"
import { Inquiry, choicesOf, type Said } from "./inquiry.ts"
import { checkNames, namesOf } from "./option-checks.ts"
import { TOO_MANY, question, type Behalf, type Question } from "./one-request.ts"

/** How `requestMany` asks. */
export interface RequestManyOptions {
  /** ms in all. Default 5,000. Then it ends with what has come, without an error. */
  readonly timeout?: number | undefined
  /** Replies after which it ends. Default: no limit. */
  readonly max?: number | undefined
  /** ms without another reply, once there was one, after which it ends. Default: no limit. */
  readonly stall?: number | undefined
  /** Gives up, and tells those who were asked. The loop throws the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Names and values that travel with it. */
  readonly headers?: Headers | undefined
  /** For this payload, instead of the mesh's own. */
  readonly codec?: PayloadCodec | undefined
}

const NAMES = namesOf<RequestManyOptions>({
  timeout: true,
  max: true,
  stall: true,
  signal: true,
  headers: true,
  codec: true,
})

/** A server that was asked and gave no reply that can be used. */
export interface ReplyFailure {
  readonly from: MemberInfo
  /** REMOTE (its handler threw; `remoteCode` is its own code), BUSY, PEER_LOST, NO_RESPONDERS, TOO_LARGE, DECODE, LIMIT, … */
  readonly error: EarshotError
}

/**
 * Bytes of replies that wait to be read: one that finds more is left out, and is a failure with code LIMIT. Failures have as
 * much for their texts, and are kept without them beyond that.
 */
const MOST_BYTES = 64 * 1024 * 1024
/** Bytes that a reply weighs beside its frames. */
const WEIGHT = 64

/**
 * The replies to one question, in the order they come. It is asked when the first reply is asked for, once: whoever iterates
 * again gets what is left. The loop gets replies alone; servers that failed are in `failures`, so that one bad server spoils
 * nobody's answer. When nobody answers the subject it ends at once, without an error; when the mesh is closed, with those that
 * were open among the failures (EBADF). Whoever answers by way of a carrier has the carrier for `from`.
 */
export class Replies<Data = any> implements AsyncIterable<Reply<Data>> {
  /** Who was asked and failed, so far. */
  readonly failures: ReplyFailure[] = []
  private readonly context: Context
  private readonly question: Question
  private readonly options: RequestManyOptions
  private readonly feed = new Feed<Reply<Data>>(
    () => this.begin(),
    () => this.end(),
  )
  private inquiry: Inquiry | undefined
  private replies = 0
  private failureBytes = 0
  private begun = false
  private deadline = 0
  private over = false
  private timer: Timer | undefined
  private stalled: Timer | undefined
  private stopHoping: (() => void) | undefined

  /** @internal Throws as `question` does. */
  constructor(context: Context, subject: string, data: unknown, options: RequestManyOptions, call: Behalf | undefined) {
    checkNames(options, NAMES, "requestMany")
    const { max = Infinity, stall = Infinity } = options
    if (typeof max !== "number" || !(max >= 1)) throw new EarshotError("EINVAL", "max is a number of replies from 1")
    if (typeof stall !== "number" || !(stall > 0))
      throw new EarshotError("EINVAL", "stall is a number of milliseconds above 0")
    this.context = context
    this.options = options
    this.question = question(context, subject, data, options, call)
  }

  [Symbol.asyncIterator](): AsyncIterator<Reply<Data>, undefined> {
    return this.feed[Symbol.asyncIterator]()
  }

  private begin(): void {
    if (this.begun || this.over) return
    this.begun = true
    const { context } = this
    const { signals, timeout } = this.question
    context.clock.hold()
    context.asking.count("asked")
    this.deadline = context.clock.now() + timeout
    this.timer = context.clock.timeout(() => this.end(), timeout)
    for (const signal of signals) signal.addEventListener("abort", this.abort)
    if (signals.some(({ aborted }) => aborted)) return this.abort()
    if (timeout === 0) return this.fail(timeIsOver())
    if (context.asking.crowded) return this.fail(new EarshotError("LIMIT", TOO_MANY))
    this.stopHoping = context.asking.hope(() => this.ask())
    this.ask()
  }

  /** As soon as the mesh has settled. */
  private ask(): void {
    const { context } = this
    const { subject, frames } = this.question
    if (context.closed) return this.fail(new EarshotError("EBADF", "the mesh is closed"))
    if (!context.settled || this.stopHoping === undefined) return
    this.stopHoping()
    this.stopHoping = undefined
    context.asking.copy(subject, frames)
    const lists = context.routes.of(subject).servers.flatMap(({ queue, parties }) => {
      const servers = [...new Set(parties)].map((party): Server => ({ party, queue }))
      return queue === undefined ? servers.map((server) => [server]) : [servers]
    })
    const choices = choicesOf(context, lists)
    if (choices.length === 0) return this.end()
    this.inquiry = new Inquiry(
      context,
      {
        subject,
        frames,
        many: true,
        remaining: () => Math.max(1, this.deadline - context.clock.now()),
        onSaid: (said, last) => {
          if (said !== undefined) this.take(said)
          if (last) this.end()
        },
      },
      choices,
    )
    // Asking them has brought about its end.
    if (this.over) this.inquiry.takeBack()
  }

  private take({ answer, from, frames }: Said): void {
    if (this.over) return
    if (answer instanceof EarshotError) this.failed(from, answer)
    else this.reply(answer, from, frames!)
  }

  private reply(content: Content, from: MemberInfo, frames: readonly Uint8Array[]): void {
    const { problem, headers } = content
    const size = sizeOf(frames) + WEIGHT
    if (problem !== undefined) return this.failed(from, problem)
    if (this.feed.bytes + size > MOST_BYTES && this.feed.length > 0)
      return this.failed(from, new EarshotError("LIMIT", "too many answers wait to be read"))
    this.feed.push({ data: content.data as Data, headers, from }, size)
    const { max = Infinity, stall } = this.options
    if (++this.replies >= max) return this.end()
    if (stall === undefined) return
    this.stalled?.cancel()
    this.stalled = this.context.clock.timeout(() => this.end(), stall)
  }

  private failed(from: MemberInfo, error: EarshotError): void {
    this.failureBytes += error.message.length + WEIGHT
    const told = this.failureBytes > MOST_BYTES ? new EarshotError(error.code) : error
    this.failures.push({ from, error: told })
  }

  private readonly abort = (): void => this.fail(this.question.signals.find(({ aborted }) => aborted)!.reason)

  private fail(error: unknown): void {
    this.feed.fail(error)
    this.end()
  }

  private end(): void {
    if (this.over) return
    this.over = true
    this.feed.end()
    if (!this.begun) return
    const { context, question } = this
    this.timer?.cancel()
    this.stalled?.cancel()
    this.stopHoping?.()
    for (const signal of question.signals) signal.removeEventListener("abort", this.abort)
    this.inquiry?.takeBack()
    context.asking.count(this.replies > 0 ? "answered" : "failed")
    context.clock.release()
  }
}
