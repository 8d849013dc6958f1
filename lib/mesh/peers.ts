/** Endpoints of libp2p, as far as a mesh has to know them: `libp2p:///ip4/10.0.0.5/tcp/4001/p2p/12D3Koo…#mesh`. */

import type { Place } from "../contract.ts"
import type { Platform } from "./contract.ts"

/** Where to listen in a mesh that is not open. A server that was given is its owner's to hide; a libp2p node is for all the world. */
export function keepLocal(endpoint: string | Place, platform: Pick<Platform, "keepLocal">): string | Place {
  if (typeof endpoint === "string") return platform.keepLocal(endpoint)
  const { transport, address } = endpoint
  if (transport.scheme !== "libp2p") return endpoint
  return { transport, address: keepPeersLocal(`libp2p://${address}`).slice("libp2p://".length) }
}

/** The multiaddr is one of loopback. Over a relay it leads to another host, wherever the relay is. */
export function isLocalPeer(endpoint: string): boolean {
  if (/\/p2p-circuit(\/|#)/.test(endpoint)) return false
  return /^libp2p:\/\/\/(ip4\/127\.\d+\.\d+\.\d+|ip6\/::1|unix|memory)\//.test(endpoint)
}

/** An endpoint to listen at, which takes in peers of this host alone: the node itself listens where its owner said. */
export function keepPeersLocal(endpoint: string): string {
  return endpoint.replace(/^libp2p:\/\/[^#]*#/, "libp2p:///ip4/127.0.0.1#")
}
