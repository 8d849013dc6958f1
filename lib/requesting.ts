/** A request in flight: its promise, its time limit, its signal, its retries. */
import { keyOf } from "./bytes.ts"
import type { Frame, Message, Peer } from "./contract.ts"
import type { Core } from "./core.ts"
import { EarshotError } from "./errors.ts"
import { checkTimeout, signalOf, type OptionNames, type WaitOptions } from "./waiters.ts"

/** How a request is made. */
export interface RequestOptions extends WaitOptions {
  /** ms until it rejects TIMEOUT; -1 = never. Default 30,000. */
  readonly timeout?: number
  /** How often another peer is asked when the one that was asked is lost. Default 0. */
  readonly retries?: number
  /** Send an id with it, so that many can be in flight. Default true. */
  readonly correlate?: boolean
}

const NAMES: OptionNames<RequestOptions> = { signal: true, timeout: true, retries: true, correlate: true }

/** One question, from being asked to its reply. */
export interface Question {
  /** With its envelope. */
  readonly message: Message
  /** The id's key; undefined where replies are told apart by who sends them. */
  readonly key: string | undefined
  /** Who was asked; undefined while nobody has room. */
  peer: Peer | undefined
  reply(message: Message): void
  /** Who was asked is gone, and the question with it. */
  lost(): void
  /** It can't be asked. */
  fail(error: unknown): void
}

/** What a pattern does with questions. */
export interface Asker {
  /** Asks now, or as soon as somebody has room. */
  open(question: Question): void
  /** Asks somebody else. */
  reopen(question: Question): void
  /** Forgets it. `answered` false: nobody waits for its reply any more. */
  close(question: Question, answered: boolean): void
}

export function inFlight(
  core: Core,
  asker: Asker,
  message: Message,
  id: Uint8Array | undefined,
  options: RequestOptions,
): Promise<Frame[]> {
  const { timeout = 30_000 } = options
  const signal = signalOf(options, NAMES)
  checkTimeout(timeout)
  let retries = options.retries ?? 0
  if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
  return new Promise((resolve, reject) => {
    core.clock.hold()
    const leave = (answered: boolean): void => {
      if (!core.watchers.delete(look)) return
      asker.close(question, answered)
      timer?.cancel()
      signal?.removeEventListener("abort", abort)
      core.clock.release()
    }
    const fail = (error: unknown): void => {
      // What a closing socket still sends, it sends.
      leave(core.closed)
      reject(error)
    }
    const abort = (): void => fail(signal!.reason)
    const look = (): void => {
      if (core.closed) fail(new EarshotError("EBADF"))
    }
    const question: Question = {
      message,
      key: id === undefined ? undefined : keyOf(id),
      peer: undefined,
      reply(reply) {
        leave(true)
        resolve(reply as Frame[])
      },
      lost() {
        if (retries-- > 0) asker.reopen(question)
        else fail(new EarshotError("PEER_LOST"))
      },
      fail,
    }
    const timer =
      timeout >= 0
        ? core.clock.timeout(
            () => fail(new EarshotError("TIMEOUT", `no reply within ${timeout} ms`, core.trouble)),
            timeout,
          )
        : undefined
    signal?.addEventListener("abort", abort)
    core.watchers.add(look)
    try {
      asker.open(question)
    } catch (error) {
      fail(error)
    }
  })
}
