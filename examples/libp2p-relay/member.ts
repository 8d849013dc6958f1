/**
 * A member that nobody can dial, as behind a NAT: its node listens nowhere but at a relay.
 *
 *   node dist/examples/libp2p-relay/member.js <what the relay said> [name]
 *
 * It greets whoever joins, and says how the greeting went.
 */
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2"
import { identify } from "@libp2p/identify"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { transports } from "earshot"
import { Mesh, seeds } from "earshot/mesh"
import { libp2p } from "earshot/transports/libp2p"
import { createLibp2p } from "libp2p"

const [endpoint = "", name = `member-${process.pid}`] = process.argv.slice(2)
// libp2p:///ip4/…/tcp/…/p2p/…#mesh: the multiaddr is what is between :// and #.
const relay = endpoint.slice("libp2p://".length, endpoint.indexOf("#"))
const node = await createLibp2p({
  start: false,
  addresses: { listen: [`${relay}/p2p-circuit`] },
  transports: [tcp(), circuitRelayTransport()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() },
})
// Before the node starts: on Node 20 this fills in what libp2p needs there.
transports.register(libp2p({ node }))
await node.start()

const mesh = await Mesh.join({ name, open: true, listen: ["libp2p://#mesh"], discovery: [seeds(endpoint)] })
console.log(`${name} is at ${mesh.endpoints.join(", ")}`)
mesh.serve<string>(`greet.${name}`, (greeting, { from }) => `${greeting}, says ${name} to ${from.name}`)
mesh.on("join", ({ member }) => void greet(member.name, member.userId))

async function greet(other: string, peerId: string | undefined): Promise<void> {
  if (other === "relay") return
  const answer = await mesh.request<string>(`greet.${other}`, "hello", { wait: 10_000 })
  const connection = node.getConnections().find(({ remotePeer }) => remotePeer.toString() === peerId)
  console.log(
    `${answer}; over ${connection?.remoteAddr.toString().includes("/p2p-circuit") ? "the relay" : "no relay"}`,
  )
}

async function leave(): Promise<void> {
  await mesh.close()
  await node.stop()
}
process.once("SIGTERM", () => void leave())
process.once("SIGINT", () => void leave())
