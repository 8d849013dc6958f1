/** Waiting for what others have to do: a subscription that has arrived, subscribers that are there. */
import type { Core } from "./core.ts"
import { EarshotError } from "./errors.ts"
import type { Pipe } from "./pipe.ts"

/** ms for the first peer of an endpoint to finish its handshake. */
const HANDSHAKE = 10_000
/** ms without a PONG after which a peer counts as one that answers none. */
const PATIENCE = 1000
/** libzmq applies a subscription up to 1 ms after its PONG (measured). */
const SOFT = 5

/**
 * Resolves when all peers that are there, and the first peer of every endpoint that is being connected, have dealt with
 * what was sent to them. Rejects TIMEOUT when an endpoint's first handshake is not done within 10 s.
 */
export async function confirmed(core: Core): Promise<void> {
  const all = [...core.pipes].filter((pipe) => pipe.online).map((pipe) => answered(core, pipe))
  for (const connection of core.connections)
    if (!connection.settled)
      all.push(
        within(core, connection.first, connection.endpoint).then(
          () => connection.pipe && answered(core, connection.pipe),
        ),
      )
  core.clock.hold()
  try {
    await Promise.all(all)
  } finally {
    core.clock.release()
  }
}

function answered(core: Core, pipe: Pipe): Promise<void> {
  return new Promise((resolve) => {
    if (pipe.session === undefined) return resolve()
    pipe.session.probe(PATIENCE, (exact) => {
      if (exact) resolve()
      else core.clock.timeout(resolve, SOFT)
    })
  })
}

function within(core: Core, promise: Promise<void>, endpoint: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = core.clock.timeout(
      () => reject(new EarshotError("TIMEOUT", `no handshake with ${endpoint} within ${HANDSHAKE} ms`)),
      HANDSHAKE,
    )
    promise.finally(() => timer.cancel()).then(resolve, reject)
  })
}

/** Resolves once `condition` holds, looking again whenever peers or subscriptions change; rejects TIMEOUT after `timeout` ms. */
export function condition(core: Core, holds: () => boolean, timeout: number, what: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (core.closed) return reject(new EarshotError("EBADF"))
    if (holds()) return resolve()
    core.clock.hold()
    const look = (): void => {
      if (core.closed) settle(() => reject(new EarshotError("EBADF")))
      else if (holds()) settle(resolve)
    }
    const timer =
      timeout < 0
        ? undefined
        : core.clock.timeout(
            () => settle(() => reject(new EarshotError("TIMEOUT", `${what()} after ${timeout} ms`))),
            timeout,
          )
    const settle = (act: () => void): void => {
      if (!core.watchers.delete(look)) return
      timer?.cancel()
      core.clock.release()
      act()
    }
    core.watchers.add(look)
  })
}
