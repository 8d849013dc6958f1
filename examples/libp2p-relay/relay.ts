/**
 * A libp2p relay, and a member of the mesh beside it: a meeting point for members that nobody can dial.
 *
 *   node dist/examples/libp2p-relay/relay.js [multiaddr to listen at]
 *
 * It says where it is. Members are introduced to each other by the member here, and then talk over the relay without it.
 */
import { circuitRelayServer } from "@libp2p/circuit-relay-v2"
import { identify } from "@libp2p/identify"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { transports } from "earshot"
import { Mesh } from "earshot/mesh"
import { libp2p } from "earshot/transports/libp2p"
import { createLibp2p } from "libp2p"

const [place = "/ip4/127.0.0.1/tcp/0"] = process.argv.slice(2)
const node = await createLibp2p({
  start: false,
  addresses: { listen: [place] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // Many members may be behind one NAT: libp2p's 5 a second from one address are few.
  connectionManager: { inboundConnectionThreshold: 50 },
  services: {
    identify: identify(),
    // libp2p's relays cut a connection after 2 minutes, or 128 KiB. This one is ours, and for a mesh.
    relay: circuitRelayServer({ reservations: { maxReservations: 1000, applyDefaultLimit: false } }),
  },
})
// Before the node starts: on Node 20 this fills in what libp2p needs there.
transports.register(libp2p({ node }))
await node.start()
// A relayed member may be anywhere: `open` is the word for that.
const mesh = await Mesh.join({ name: "relay", open: true, listen: ["libp2p://#mesh"], discovery: [] })
console.log(mesh.endpoints[0])

async function leave(): Promise<void> {
  await mesh.close()
  await node.stop()
}
process.once("SIGTERM", () => void leave())
process.once("SIGINT", () => void leave())
