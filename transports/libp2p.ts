/**
 * libp2p: a link is one stream of a libp2p node, so that many sockets share a node, its connections and its ways through
 * NATs. Names (`#prices`) tell the sockets of a node apart; each is a libp2p protocol of its own, with ZMTP inside as it
 * is over TCP. Noise has encrypted and authenticated: the peer id is the other side's `userId`.
 *
 * Nothing of libp2p is loaded before the first bind or connect.
 */
import type { Transport } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import { keepTheirs } from "./libp2p/keeper.ts"
import type { Libp2pNode } from "./libp2p/node.ts"
import { keepOurs } from "./libp2p/ours.node.ts"
import { ownHosts } from "./libp2p/own.node.ts"
import { transportOver } from "./libp2p/transport.ts"

export type { Libp2pConnection, Libp2pNode, Libp2pStream, Libp2pStreamLimits } from "./libp2p/node.ts"

/** What `libp2p()` takes: a node of yours, or what it needs to make one. */
export interface Libp2pOptions {
  /**
   * Your own libp2p node (js-libp2p 3), started. It is yours: Earshot never stops it. Without it a node is made with the
   * first bind or connect, with TCP, Noise and Yamux, and stopped a second or two after the last socket has let go of it; until
   * then it keeps the process alive.
   */
  readonly node?: Libp2pNode
  /** Where a node that Earshot makes listens: multiaddrs such as `/ip4/0.0.0.0/tcp/4001`. Default: nowhere, which is enough to connect. */
  readonly listen?: readonly string[]
  /**
   * The file of its private key, made with the first use, for its owner alone (one that is there is read, whoever else may read
   * it). For one node at a time: two with one key are one peer to all others. Default: a new key, and so a new peer id, for each process.
   */
  readonly keyFile?: string
  /** Streams that one connection may have open for one name, in each direction; what is over it is reset. Default 1000, which is all that Yamux takes. */
  readonly maxStreams?: number
}

/**
 * The transport `libp2p`, for `transports.register(libp2p({ node }))`. Endpoints: `libp2p://#prices` to bind, `libp2p://#*`
 * for any name, `libp2p:///ip4/127.0.0.1#prices` for peers on this host alone; `libp2p:///ip4/10.0.0.5/tcp/4001/p2p/12D3Koo…#prices`
 * to connect. A multiaddr of loopback leads to this host or nowhere, whatever connection there is to that peer.
 *
 * Needs the npm packages `libp2p`, `@libp2p/tcp`, `@libp2p/noise`, `@libp2p/yamux`, `@libp2p/crypto` and
 * `@multiformats/multiaddr` (with a node of yours, only the last one), which Earshot does not install; without them the
 * first use rejects with ENOTSUP.
 *
 * Throws EINVAL for a node together with `listen` or `keyFile`, and for what is no node. On Node 20 it gives the process `Promise.withResolvers`,
 * without which libp2p can't dial.
 */
export function libp2p(options: Libp2pOptions = {}): Transport {
  const { node, listen = [], keyFile, maxStreams } = options
  if (!Array.isArray(listen)) throw new EarshotError("EINVAL", "listen is a list of multiaddrs")
  if (node === undefined) {
    const nowhere = "libp2p({ listen }) must say where a node of ours listens"
    return transportOver(
      keepOurs(listen, keyFile),
      ownHosts,
      listen.length > 0 ? { maxStreams } : { maxStreams, nowhere },
    )
  }
  if (listen.length > 0 || keyFile !== undefined)
    throw new EarshotError("EINVAL", "listen and keyFile are for a node that Earshot makes; this one is yours")
  return transportOver(keepTheirs(node), ownHosts, { maxStreams })
}
