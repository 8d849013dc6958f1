/**
 * libp2p in pages and workers: as on Node (libp2p.ts), but the node is always yours. Over WebRTC two pages have a link with
 * nothing between them, once a relay has introduced their nodes.
 */
import type { Transport } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import { keepTheirs } from "./libp2p/keeper.ts"
import type { Libp2pNode } from "./libp2p/node.ts"
import { transportOver } from "./libp2p/transport.ts"

export type { Libp2pConnection, Libp2pNode, Libp2pStream, Libp2pStreamLimits } from "./libp2p/node.ts"

/** What `libp2p()` takes in a browser. */
export interface Libp2pOptions {
  /** Your libp2p node (js-libp2p 3), started. Earshot never stops it. */
  readonly node: Libp2pNode
  /** Streams that one connection may have open for one name, in each direction; what is over it is reset. Default 1000. */
  readonly maxStreams?: number
}

/**
 * The transport `libp2p`, for `transports.register(libp2p({ node }))`. Endpoints as on Node. Needs `@multiformats/multiaddr`, which
 * comes with libp2p. Throws EINVAL without a node.
 */
export function libp2p({ node, maxStreams }: Libp2pOptions): Transport {
  if ((node as unknown) === undefined)
    throw new EarshotError("EINVAL", "in a browser libp2p needs a node of yours: libp2p({ node })")
  return transportOver(keepTheirs(node), nowhereElse, { maxStreams })
}

/** A page doesn't know the addresses of its host. */
const nowhereElse = (): ReadonlySet<string> => new Set()
