/** libp2p nodes of tests: on loopback, started, stopped with their test. */
import { createLibp2p, type Libp2p } from "libp2p"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import type { Transport } from "../../lib/contract.ts"
import { libp2p } from "../../transports/libp2p.ts"
import { completePromise } from "../../transports/libp2p/library.ts"

completePromise()

/** A node as a user makes it, but that it takes any number of connections. */
export function createNode(listen: string[] = ["/ip4/127.0.0.1/tcp/0"]): Promise<Libp2p> {
  return createLibp2p({
    addresses: { listen },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 1000 },
  })
}

/** A node can't dial itself: one that dials, and one that listens, as one transport. */
export function joined(dialling: Libp2p, listening: Libp2p): Transport {
  const listener = libp2p({ node: listening })
  return { ...libp2p({ node: dialling }), listen: (...given) => listener.listen!(...given) }
}
