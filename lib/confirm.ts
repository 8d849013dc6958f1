/** Waiting for what others have to do: a subscription that has arrived, subscribers that are there. */
import type { Connection } from "./connection.ts"
import type { Core } from "./core.ts"
import type { Pattern } from "./contract.ts"
import { EarshotError } from "./errors.ts"
import { toFrame, type FrameLike } from "./message.ts"
import type { Pipe } from "./pipe.ts"
import { checkNames, checkTimeout, type OptionNames } from "./waiters.ts"

/** ms for the first peer of an endpoint to finish its handshake, and for an Earshot peer, which always answers, to answer. */
const LIMIT = 10_000
/** ms without a PONG after which another peer counts as one that answers none. */
const PATIENCE = 1000
/** libzmq applies a subscription up to 1 ms after its PONG (measured). */
const SOFT = 5
const NEVER = (): boolean => false

/**
 * Resolves when all peers that are there, and the first peer of every endpoint that is being connected, have dealt with
 * what was sent to them. Rejects TIMEOUT when an endpoint's first handshake, or an Earshot peer's answer, takes over 10 s.
 */
export function confirmed(core: Core): Promise<void> {
  const all = [...core.pipes].filter((pipe) => pipe.online).map((pipe) => answered(core, pipe))
  for (const connection of core.connections) if (!connection.settled) all.push(connected(core, connection))
  return whileOpen(core, Promise.all(all), NEVER)
}

async function connected(core: Core, connection: Connection): Promise<void> {
  try {
    await whileOpen(core, connection.first, NEVER, LIMIT, () => `no handshake with ${connection.endpoint}`)
  } catch (error) {
    // Disconnected meanwhile: it is not waited for.
    if ((error as EarshotError).code === "ECANCELED") return
    throw error
  }
  if (connection.pipe !== undefined) await answered(core, connection.pipe)
}

/** A peer that goes is not waited for: it is told all of it when it comes back. */
function answered(core: Core, pipe: Pipe): Promise<void> {
  return new Promise((resolve, reject) => {
    const { session } = pipe
    if (session === undefined) return resolve()
    session.probe(session.earshot ? LIMIT : PATIENCE, (exact) => {
      if (exact || session.closed) resolve()
      else if (session.earshot) reject(new EarshotError("TIMEOUT", `no answer from ${pipe.address} within ${LIMIT} ms`))
      else core.clock.timeout(resolve, SOFT)
    })
  })
}

/**
 * As `promise`, or resolves once `holds`, looking again whenever peers or subscriptions change. Keeps the process alive. Rejects
 * EBADF when the socket is closed, and TIMEOUT after `timeout` ms (below 0: never), with what there was `instead`.
 */
function whileOpen(
  core: Core,
  promise: Promise<unknown> | undefined,
  holds: () => boolean,
  timeout = -1,
  instead: () => string = String,
): Promise<void> {
  return new Promise((resolve, reject) => {
    core.checkOpen()
    const { clock, watchers } = core
    const end = (settle: () => void): void => {
      if (!watchers.delete(look)) return
      timer?.cancel()
      clock.release()
      settle()
    }
    const fail = (error: unknown): void => end(() => reject(error))
    const look = (): void => {
      if (core.closed) fail(new EarshotError("EBADF"))
      else if (holds()) end(resolve)
    }
    const late = (): void => fail(new EarshotError("TIMEOUT", `${instead()} within ${timeout} ms`, core.trouble))
    const timer = timeout < 0 ? undefined : clock.timeout(late, timeout)
    clock.hold()
    watchers.add(look)
    promise?.then(() => end(resolve), fail)
    look()
  })
}

/** What `ready` waits for. */
export interface ReadyOptions {
  /** How many. Default 1. */
  readonly subscribers?: number
  /** Of messages that begin so. Default "": of every message. */
  readonly topic?: FrameLike
  /** ms; -1 = for ever. Default 10,000. */
  readonly timeout?: number
}

const NAMES: OptionNames<ReadyOptions> = { subscribers: true, topic: true, timeout: true }

/** Waits for them; rejects TIMEOUT. */
export async function subscribed(
  core: Core<Pattern & { count(topic: Uint8Array): number }>,
  options: ReadyOptions,
): Promise<void> {
  checkNames(options, NAMES, "ready")
  const { subscribers = 1, topic = "", timeout = 10_000 } = options
  const frame = toFrame(topic)
  checkTimeout(timeout)
  const count = (): number => core.pattern.count(frame)
  const holds = (): boolean => count() >= subscribers
  await whileOpen(core, undefined, holds, timeout, () => `${count()} of ${subscribers} subscribers`)
}
