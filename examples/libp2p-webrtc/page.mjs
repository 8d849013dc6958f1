/** A member in a page. Its node is reached through the relay, which only introduces: the links are WebRTC's. */
import { circuitRelayTransport } from "@libp2p/circuit-relay-v2"
import { identify } from "@libp2p/identify"
import { noise } from "@libp2p/noise"
import { webRTC } from "@libp2p/webrtc"
import { webSockets } from "@libp2p/websockets"
import { yamux } from "@libp2p/yamux"
import { transports } from "earshot"
import { Mesh, seeds } from "earshot/mesh"
import { libp2p } from "earshot/transports/libp2p"
import { createLibp2p } from "libp2p"

/** libp2p:///ip4/…/ws/p2p/…#mesh: the multiaddr is what is between :// and #. */
const relay = RELAY.slice("libp2p://".length, RELAY.indexOf("#"))
const name = `page-${Math.random().toString(36).slice(2, 6)}`

const node = await createLibp2p({
  addresses: { listen: [`${relay}/p2p-circuit`, "/webrtc"] },
  // On this machine no STUN server is needed. Across NATs name one: { iceServers: [{ urls: "stun:…" }] }
  transports: [webSockets(), webRTC({ rtcConfiguration: { iceServers: [] } }), circuitRelayTransport()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  // In browsers libp2p dials no private addresses, such as this machine's, unless told to.
  connectionGater: { denyDialMultiaddr: () => false },
  services: { identify: identify() },
})
transports.register(libp2p({ node }))
const mesh = await Mesh.join({ name, open: true, listen: ["libp2p://#mesh"], discovery: [seeds(RELAY)] })

const at = (id) => document.querySelector(id)
const item = (text) => Object.assign(document.createElement("li"), { textContent: text })

/** How the node is connected with a member's. */
function wayTo({ userId }) {
  const ways = node.getConnections().filter(({ remotePeer }) => remotePeer.toString() === userId)
  if (ways.some(({ remoteAddr }) => remoteAddr.toString().includes("/webrtc"))) return "WebRTC"
  return ways.some(({ remoteAddr }) => remoteAddr.toString().includes("/p2p-circuit")) ? "the relay" : "WebSocket"
}

function show() {
  at("#members").replaceChildren(...[...mesh.members.values()].map((one) => item(`${one.name}, over ${wayTo(one)}`)))
}
mesh.on("join", show)
mesh.on("leave", show)
show()
mesh.subscribe("said", ({ data, from }) => at("#said").append(item(`${from.name}: ${data}`)))
at("form").addEventListener("submit", (event) => {
  event.preventDefault()
  void mesh.publish("said", at("input").value)
  at("form").reset()
})
at("#name").textContent = name
