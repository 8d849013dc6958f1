/** What the members of a test mesh remember between runs. */
import type { Clock } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { StateStore } from "./contract.ts"
import { freshId } from "./identity.ts"

interface Memory {
  readonly id: string
  epoch: number
  addresses: readonly string[]
  inUse: boolean
}

export class TestStates {
  private readonly byPath = new Map<string, Memory>()

  /** Rejects STATE_IN_USE. */
  async open(path: string, clock: Clock): Promise<StateStore> {
    let memory = this.byPath.get(path)
    if (memory === undefined)
      this.byPath.set(path, (memory = { id: freshId(clock), epoch: 0, addresses: [], inUse: false }))
    if (memory.inUse) throw new EarshotError("STATE_IN_USE", `another member of the net uses the state ${path}`)
    const kept = memory
    kept.inUse = true
    kept.epoch++
    return {
      id: kept.id,
      epoch: kept.epoch,
      addresses: kept.addresses,
      onProblem: undefined,
      remember: (addresses) => {
        kept.addresses = addresses
      },
      close: async () => {
        kept.inUse = false
      },
    }
  }
}
