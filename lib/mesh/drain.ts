/**
 * Leaving without losing anything: first everybody knows, then what was accepted is finished, then what was said has been
 * read; only then the goodbye.
 */
import { EarshotError } from "../errors.ts"
import type { Hub } from "./hub.ts"
import { timeoutOf } from "./option-checks.ts"
import { Kind, bare } from "./wire.ts"

/** How `drain` goes about it. */
export interface DrainOptions {
  /** ms for everything up to the goodbye. Default 10,000. */
  readonly timeout?: number | undefined
}

/** Resolves when `close` is done. Rejects TIMEOUT, also then, when something was left undone. Throws EINVAL. */
export function drain(hub: Hub, options: DrainOptions, close: () => Promise<void>): Promise<void> {
  return leave(hub, timeoutOf(options, "drain"), close)
}

async function leave(hub: Hub, timeout: number, close: () => Promise<void>): Promise<void> {
  const { clock } = hub
  const end = clock.now() + timeout
  const left = (): number => Math.max(0, end - clock.now())
  let unfinished: string | undefined
  clock.hold()
  try {
    hub.draining = true
    hub.links.tellAll([bare(Kind.DRAINING)])
    await hub.whenSettled
    // Whoever has answered this has stopped to pick us, and all that they had sent before is here. Who can't answer is lost.
    await answered(hub, left())
    unfinished = await within(hub, left(), finish(hub))
    await answered(hub, left())
  } finally {
    await close()
    clock.release()
  }
  if (unfinished !== undefined)
    throw new EarshotError("TIMEOUT", `closed after ${timeout} ms with work unfinished: ${unfinished}`)
}

/** Calls and requests first, while we still serve: a call may need another one of ours. */
async function finish(hub: Hub): Promise<void> {
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (hub.answering.size === 0 && hub.asking.idle && hub.outgoing.held === 0) resolve()
    }
    hub.onLess = look
    look()
  })
  await Promise.all([...hub.subscriptions.all].map((subscription) => subscription.drain()))
}

/** Resolves to what is left undone after `ms`; undefined: nothing. */
function within(hub: Hub, ms: number, work: Promise<void>): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const timer = hub.clock.timeout(() => resolve(leftOf(hub)), ms)
    work.then(() => {
      timer.cancel()
      resolve(undefined)
    }, reject)
  })
}

function leftOf({ answering, asking, outgoing, subscriptions }: Hub): string {
  const waiting = [...subscriptions.all].reduce((sum, each) => sum + each.stats().waiting + each.stats().running, 0)
  return `${answering.size} calls, ${asking.waiting} requests, ${outgoing.held} published messages and ${waiting} received ones`
}

async function answered(hub: Hub, ms: number): Promise<void> {
  if (hub.closed) return
  try {
    await hub.confirmed(ms)
  } catch (error) {
    // Closed meanwhile: nobody is left to answer.
    if (!(error instanceof EarshotError && (error.code === "TIMEOUT" || error.code === "EBADF"))) throw error
  }
}
