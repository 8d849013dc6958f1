/** Serving: a handler that answers requests, and what becomes of what it returns or throws. */
import { EarshotError } from "../errors.ts"
import { Failure, failureOf } from "./answering.ts"
import { OpenCall, timeIsOver, type Call } from "./call.ts"
import type { Hub } from "./hub.ts"
import type { MeshMessage } from "./message.ts"
import { checkNames, namesOf } from "./option-checks.ts"

/** How a subject is served. */
export interface ServeOptions {
  /** Share the requests with all others of this group; `null`: every member answers. Default: the subject. */
  readonly queue?: string | null | undefined
  /** Requests under way at a time. Default 64. */
  readonly concurrency?: number | undefined
  /** Requests that wait beyond that, before BUSY. Default 64. */
  readonly queueSize?: number | undefined
  /** Stops serving. */
  readonly signal?: AbortSignal | undefined
}

const NAMES = namesOf<ServeOptions>({ queue: true, concurrency: true, queueSize: true, signal: true })

/** Throws EINVAL for what is none. */
export const checkServeOptions = (options: ServeOptions): void => checkNames(options, NAMES, "serve")

/**
 * Answers a request with what it returns; what it throws travels as code and message, never as stack. What can't be decoded here
 * reaches no handler: it is counted, and answered DECODE.
 */
export type ServeHandler<Data = any> = (data: Data, call: Call) => unknown

/** Hands one message of a served subject to its handler. */
export async function serve<Data>(hub: Hub, handler: ServeHandler<Data>, message: MeshMessage<Data>): Promise<void> {
  const { reply } = message
  // Published to a served subject: handled, with nobody to answer.
  const call = hub.answering.callOf(message) ?? new OpenCall(hub, message, message.from, 0)
  if (reply !== undefined && call.expired) {
    hub.drop("expired", 1, message.raw.length, { subject: message.subject })
    return reply(new Failure("TIMEOUT", timeIsOver().message))
  }
  // Counted as `undecodable`. A handler has no use for what nobody can read.
  if (message.problem !== undefined) {
    reply?.(new Failure("DECODE", message.problem.message))
    return call.finish()
  }
  try {
    const answer = await hub.calls.within(call, handler, message.data, call)
    reply?.(answer)
  } catch (error) {
    if (reply === undefined) throw error
    reply(
      error instanceof EarshotError && error.code === "ENCODE"
        ? new Failure("ENCODE", error.message)
        : failureOf(error),
    )
  } finally {
    call.finish()
  }
}
