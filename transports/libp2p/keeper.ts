/** Who has the node. The user's own is theirs: it is used as it is and never stopped. One of ours: ours.node.ts. */
import type { Clock } from "../../lib/clock.ts"
import { EarshotError } from "../../lib/errors.ts"
import type { Libp2pNode } from "./node.ts"

export interface Keeper {
  /** The node, started, until the `release` that follows. Rejects, and then needs none. */
  hold(clock: Clock): Promise<Libp2pNode>
  /** The same for one who comes to a node that is held already. */
  keep(): void
  release(clock: Clock): void
}

/** A node of the user's. Throws EINVAL for what is none. */
export function keepTheirs(node: Libp2pNode): Keeper {
  const given = node as Partial<Libp2pNode> | null
  if (typeof given?.dial !== "function" || typeof given.handle !== "function")
    throw new EarshotError("EINVAL", "libp2p({ node }) takes a node of js-libp2p")
  return {
    hold: async () => {
      if (node.status === "started") return node
      throw new EarshotError("EADDRNOTAVAIL", `the libp2p node is ${node.status}: start it first`)
    },
    keep() {},
    release() {},
  }
}
