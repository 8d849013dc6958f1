/** Which call the code that runs now works for, where the platform can tell: what it asks meanwhile ends with that call. */
import { OpenCall } from "./call.ts"
import type { Ambient } from "./contract.ts"

export class Calls {
  private readonly ambient: Ambient | undefined

  /** Without an ambient only `call.request` and `call.publish` know. */
  constructor(ambient: Ambient | undefined) {
    this.ambient = ambient
  }

  /** The call that is being answered; undefined in all other code, and in what a handler left running behind its answer. */
  get current(): OpenCall | undefined {
    const call = this.ambient?.current
    return call instanceof OpenCall && !call.answered ? call : undefined
  }

  /** Runs a handler for a call. */
  within<Args extends unknown[], Result>(call: OpenCall, work: (...args: Args) => Result, ...args: Args): Result {
    return this.ambient === undefined ? work(...args) : this.ambient.run(call, work, ...args)
  }

  /** What belongs to no call, though some call may set it going: the handler of a subscription. */
  outside<Argument, Result>(work: (argument: Argument) => Result): (argument: Argument) => Result {
    const { ambient } = this
    if (ambient === undefined) return work
    return (argument) => (ambient.current === undefined ? work(argument) : ambient.run(undefined, work, argument))
  }
}
