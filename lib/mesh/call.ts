/** One request that was accepted, as its handler sees it: who asks, how long they wait, and what is asked on their behalf. */
import type { Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { RequestCallOptions } from "./asking.ts"
import type { Context } from "./context.ts"
import type { Headers } from "./contract.ts"
import type { MemberInfo } from "./events.ts"
import { dataOf, request } from "./one-request.ts"
import type { PublishOptions } from "./outgoing.ts"
import type { Receipt } from "./receipt.ts"
import { checkAsked, checkPublished } from "./reserved.ts"

/** A request that is being answered, as `serve` hands it over. */
export interface Call {
  /** As asked: never with wildcards. */
  readonly subject: string
  /** Names and values that came with it. */
  readonly headers: Headers
  /** Who asks. For what a leaf asks: the member that carries it. */
  readonly from: MemberInfo
  /** Who that was proven to be; undefined where nothing proves it. */
  readonly user: string | undefined
  /** Aborted when the asker gives up or is lost, or its time is over. */
  readonly signal: AbortSignal
  /** ms that the asker still waits; Infinity where it set no limit. */
  readonly remaining: number
  /**
   * `mesh.request` on behalf of the asker: it has no more time than the asker has, ends with `signal`, and carries the
   * asker's `traceparent`, `tracestate` and `baggage` headers unless it is given its own. On Node, Bun and Deno `mesh.request`
   * and `mesh.requestMany` do the same by themselves while the handler runs (`context: false` in `join` turns it off).
   */
  request<Data = any>(subject: string, data?: unknown, options?: RequestCallOptions): Promise<Data>
  /** `mesh.publish` with the asker's trace headers. On Node, Bun and Deno `mesh.publish` adds them by itself, too. */
  publish(subject: string, data?: unknown, options?: PublishOptions): Promise<Receipt>
}

/** Names that tie together what belongs to one piece of work (W3C Trace Context and Baggage). */
const TRACE = ["traceparent", "tracestate", "baggage"] as const

/** What was asked: a content, or a message. */
interface Asked {
  readonly subject: string
  readonly headers: Headers
}

export class OpenCall implements Call {
  readonly from: MemberInfo
  readonly user: string | undefined = undefined
  answered = false
  private readonly context: Context
  private readonly message: Asked
  private readonly deadline: number
  private controller: AbortController | undefined
  private reason: Error | undefined
  private timer: Timer | undefined

  /** `remaining` in ms; 0: the asker set no limit. */
  constructor(context: Context, message: Asked, from: MemberInfo, remaining: number) {
    this.context = context
    this.message = message
    this.from = from
    this.deadline = remaining === 0 ? Infinity : context.clock.now() + remaining
  }

  get subject(): string {
    return this.message.subject
  }

  get headers(): Headers {
    return this.message.headers
  }

  get remaining(): number {
    return Math.max(0, this.deadline - this.context.clock.now())
  }

  get expired(): boolean {
    return this.reason !== undefined || this.remaining === 0
  }

  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController()
      if (this.reason !== undefined) this.controller.abort(this.reason)
      else if (this.deadline !== Infinity)
        this.timer = this.context.clock.timeout(() => this.cancel(timeIsOver()), this.remaining)
    }
    return this.controller.signal
  }

  request<Data = any>(subject: string, data?: unknown, options?: RequestCallOptions): Promise<Data> {
    const { context } = this
    return request(context, checkAsked(subject), data, options, this).then(dataOf)
  }

  publish(subject: string, data?: unknown, options?: PublishOptions): Promise<Receipt> {
    return this.context.outgoing.publish(checkPublished(subject), data, this.traced(options))
  }

  /** These options, with the asker's trace among the headers. */
  traced(options: PublishOptions | undefined): PublishOptions | undefined {
    const headers = this.trace(options?.headers)
    return headers === options?.headers ? options : { ...options, headers }
  }

  /** These headers, and the asker's trace. */
  trace(headers: Headers | undefined): Headers | undefined {
    let traced: Record<string, string | readonly string[]> | undefined
    for (const name of TRACE) {
      const value = this.headers[name]
      if (value !== undefined && headers?.[name] === undefined) (traced ??= { ...headers })[name] = value
    }
    return traced ?? headers
  }

  cancel(reason: Error): void {
    this.reason ??= reason
    this.timer?.cancel()
    this.controller?.abort(reason)
  }

  finish(): void {
    this.answered = true
    this.timer?.cancel()
  }
}

/** What ends a call whose asker waits no longer. */
export function timeIsOver(): EarshotError {
  return new EarshotError("TIMEOUT", "the asker's time is over")
}
