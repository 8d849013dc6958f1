// A member of a mesh over libp2p, as built, in a process of its own. Its argument: { join, listen, dial, seeds, multicast,
// discover }. Takes multiaddrs to dial as lines, ends with its input, and says what happens as lines of JSON.
import { createInterface } from "node:readline"
import { identify, identifyPush } from "@libp2p/identify"
import { mdns } from "@libp2p/mdns"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { multiaddr } from "@multiformats/multiaddr"
import { createLibp2p } from "libp2p"
import { transports } from "../../../dist/lib/index.js"
import { Mesh, seeds } from "../../../dist/lib/mesh/index.js"
import { libp2pPeers } from "../../../dist/lib/mesh/libp2p.js"
import { libp2p } from "../../../dist/transports/libp2p.js"
import { completePromise } from "../../../dist/transports/libp2p/library.js"

completePromise()
const given = JSON.parse(process.argv[2])
const { join = {}, listen = [], dial = [], seeds: places = [], multicast = false, discover = false } = given
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`)

const node = await createLibp2p({
  addresses: { listen },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), identifyPush: identifyPush() },
  peerDiscovery: multicast ? [mdns({ interval: 500 })] : [],
})
transports.register(libp2p({ node }))
const mesh = await Mesh.join({
  listen: ["libp2p://#mesh"],
  ...join,
  discovery: [
    ...(places.length > 0 ? [seeds(...places)] : []),
    ...(discover ? [libp2pPeers({ node, name: "mesh" })] : []),
  ],
})
for (const name of ["join", "leave"])
  mesh.on(name, ({ member, reason }) => say({ [name]: member.name, reason, userId: member.userId }))
mesh.on("error", ({ error }) => say({ error: error.message }))
mesh.subscribe("hello", ({ data }) => say({ heard: data }))
mesh.serve(`who.${mesh.name}`, () => mesh.name)

async function connect(address) {
  try {
    const connection = await node.dial(multiaddr(address))
    say({ connected: connection.remotePeer.toString(), at: connection.remoteAddr.toString() })
  } catch (error) {
    say({ failed: error.message })
  }
}
for (const address of dial) await connect(address)
async function obey(line) {
  const [word, argument] = line.split(" ")
  if (word === "dial") await connect(argument)
  else if (word === "diagnose") say({ causes: (await mesh.diagnose()).map(({ key }) => key) })
  else if (word === "publish") say({ receipt: await mesh.publish("hello", argument) })
  else if (word === "ask") say({ answer: await mesh.request(`who.${argument}`, null, { wait: 5000 }) })
}
async function end() {
  await mesh.close()
  await node.stop()
}
createInterface(process.stdin)
  .on("line", (line) => void obey(line))
  .on("close", () => void end())
say({ peer: node.peerId.toString(), multiaddrs: node.getMultiaddrs().map(String), endpoints: mesh.endpoints })
