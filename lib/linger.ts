/** The end of a pipe: what it holds is sent for a while, then dropped and counted. */
import type { Core } from "./core.ts"
import { sizeOf } from "./bytes.ts"
import type { DropReason } from "./contract.ts"
import { EarshotError } from "./errors.ts"
import type { Pipe } from "./pipe.ts"

/**
 * Takes the pipe from its pattern and resolves when it is gone: its messages sent, its session closed in good order, or
 * `linger` ms over (0 = at once, -1 = never).
 */
export function finish(core: Core, pipe: Pipe, linger: number): Promise<void> {
  pipe.finishing = true
  core.detach(pipe, [])
  return new Promise((resolve) => {
    const done = (): void => {
      timer?.cancel()
      pipe.onIdle = pipe.onGone = undefined
      core.forget(pipe)
      resolve()
    }
    const giveUp = (): void => {
      pipe.onIdle = pipe.onGone = undefined
      const session = pipe.session
      session?.end(new EarshotError("ECANCELED", linger === 0 ? "closed" : `closed, after lingering for ${linger} ms`))
      dropUnsent(pipe, "linger")
      done()
    }
    const timer = linger > 0 ? core.clock.timeout(giveUp, linger) : undefined
    if (linger === 0) return giveUp()
    pipe.onIdle = () => {
      pipe.onIdle = undefined
      pipe.session?.close()
    }
    // Gone with messages left: a dialled pipe comes back for them until the time is over.
    pipe.onGone = () => {
      if (pipe.dialled && pipe.queued > 0) return
      dropUnsent(pipe, "disconnected")
      done()
    }
    if (pipe.session === undefined) pipe.onGone()
    else if (!pipe.session.ready && pipe.queued === 0) pipe.session.end(new EarshotError("ECANCELED", "closed"))
    else if (pipe.queued === 0) pipe.onIdle()
  })
}

/** A pipe that lingers and will never have a session again. */
export function giveUp(pipe: Pipe): void {
  if (!pipe.finishing) return
  dropUnsent(pipe, "linger")
  pipe.onGone?.()
}

function dropUnsent(pipe: Pipe, reason: DropReason): void {
  const unsent = pipe.takeUnsent()
  pipe.dropped(reason, unsent.length, sizeOf(unsent.flat()))
}
