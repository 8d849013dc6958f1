/**
 * Who waits for something to come true, each with a time limit. Whoever waits keeps the process alive. Some of it comes without
 * a word (the engine opens a stream), so that it is looked for now and then, too.
 */
import type { Clock, Timer } from "../../clock.ts"
import { EarshotError } from "../../errors.ts"

/** ms between two looks. */
const EVERY = 20

interface Hope {
  look(): void
  fail(error: EarshotError): void
}

export class Hopes {
  private readonly clock: Clock
  private readonly open = new Set<Hope>()
  private timer: Timer | undefined

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Resolves as soon as a look finds it met. Rejects TIMEOUT after `timeout` ms, or as `fail` says. */
  wait(met: () => boolean, timeout: number, explain: () => string = () => ""): Promise<void> {
    if (met()) return Promise.resolve()
    const { clock, open } = this
    clock.hold()
    return new Promise<void>((resolve, reject) => {
      const end = (settle: () => void): void => {
        open.delete(hope)
        timer.cancel()
        settle()
      }
      const hope: Hope = {
        look: () => met() && end(resolve),
        fail: (error) => end(() => reject(error)),
      }
      const late = (): void => hope.fail(new EarshotError("TIMEOUT", `not within ${timeout} ms: ${explain()}`))
      const timer = clock.timeout(late, timeout)
      open.add(hope)
      this.again()
    }).finally(() => clock.release())
  }

  /** Something may have come true. */
  look(): void {
    for (const hope of [...this.open]) hope.look()
  }

  fail(error: EarshotError): void {
    for (const hope of [...this.open]) hope.fail(error)
  }

  private again(): void {
    this.timer ??= this.clock.timeout(() => {
      this.timer = undefined
      this.look()
      if (this.open.size > 0) this.again()
    }, EVERY)
  }
}
