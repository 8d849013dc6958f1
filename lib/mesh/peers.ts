/** Endpoints of libp2p, as far as a mesh has to know them: `libp2p:///ip4/10.0.0.5/tcp/4001/p2p/12D3Koo…#mesh`. */

/** The multiaddr is one of loopback. Over a relay it leads to another host, wherever the relay is. */
export function isLocalPeer(endpoint: string): boolean {
  if (/\/p2p-circuit(\/|#)/.test(endpoint)) return false
  return /^libp2p:\/\/\/(ip4\/127\.\d+\.\d+\.\d+|ip6\/::1|unix|memory)\//.test(endpoint)
}

/** An endpoint to listen at, which takes in peers of this host alone: the node itself listens where its owner said. */
export function keepPeersLocal(endpoint: string): string {
  return endpoint.replace(/^libp2p:\/\/[^#]*#/, "libp2p:///ip4/127.0.0.1#")
}
