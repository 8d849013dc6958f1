/** A node of ours lives while links, listeners and dials need it, and a little longer: it keeps the process alive, as libp2p nodes do. */
import type { Clock, Timer } from "../../lib/clock.ts"
import { wrap } from "../../lib/errors.ts"
import type { Keeper } from "./keeper.ts"
import { keptKey } from "./key.node.ts"
import { createNode, generateKey } from "./maker.node.ts"
import type { Libp2pNode } from "./node.ts"

/** ms for which a node that nobody needs is kept: who redials at once finds it, and its connections. */
const IDLE = 1000

/** A node of ours, made when it is needed. `keyFile`: of its private key; without, it has a new one for each process. */
export function keepOurs(listen: readonly string[], keyFile: string | undefined): Keeper {
  let holders = 0
  let node: Promise<Libp2pNode> | undefined
  let key: Uint8Array | undefined
  let idle: Timer | undefined
  /** The end of the node before this one: its port must be free again. */
  let before: Promise<unknown> = Promise.resolve()

  const make = async (clock: Clock): Promise<Libp2pNode> => {
    await before
    try {
      const own = key ?? (keyFile === undefined ? await generateKey() : await keptKey(keyFile, clock, generateKey))
      const made = await createNode(listen, own, keyFile)
      key = own
      return made
    } catch (error) {
      node = undefined
      throw wrap(error, "EADDRNOTAVAIL")
    }
  }
  const stop = (): void => {
    const last = node
    node = undefined
    before = Promise.resolve(last?.then((node) => node.stop())).catch(() => {})
  }
  const release = (clock: Clock): void => {
    if (--holders === 0 && node !== undefined) idle = clock.timeout(stop, IDLE)
  }
  return {
    release,
    keep: () => {
      idle?.cancel()
      holders++
    },
    hold: async (clock) => {
      idle?.cancel()
      holders++
      try {
        return await (node ??= make(clock))
      } catch (error) {
        release(clock)
        throw error
      }
    },
  }
}
