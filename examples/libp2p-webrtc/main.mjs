/**
 * Pages in a mesh, linked with each other by WebRTC: what they say goes from one browser to the other.
 *
 *   npm install && npm start          in this folder, after `npm install` two folders above; then open the page twice
 *
 * This program is what such pages need of a server: it serves the page, and is the relay that introduces their nodes, with a
 * member of the mesh beside it that introduces the members. Once two pages are linked it can go.
 */
import { createServer } from "node:http"
import { circuitRelayServer } from "@libp2p/circuit-relay-v2"
import { identify } from "@libp2p/identify"
import { noise } from "@libp2p/noise"
import { webSockets } from "@libp2p/websockets"
import { yamux } from "@libp2p/yamux"
import { transports } from "earshot"
import { Mesh } from "earshot/mesh"
import { libp2p } from "earshot/transports/libp2p"
import { build } from "esbuild"
import { createLibp2p } from "libp2p"

const node = await createLibp2p({
  start: false,
  addresses: { listen: ["/ip4/127.0.0.1/tcp/0/ws"] },
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: 50 },
  services: { identify: identify(), relay: circuitRelayServer() },
})
// Before the node starts: on Node 20 this fills in what libp2p needs there.
transports.register(libp2p({ node }))
await node.start()
const mesh = await Mesh.join({ name: "relay", open: true, listen: ["libp2p://#mesh"], discovery: [] })

const { outputFiles } = await build({
  entryPoints: [new URL("page.mjs", import.meta.url).pathname],
  bundle: true,
  format: "esm",
  platform: "browser",
  define: { RELAY: JSON.stringify(mesh.endpoints[0]) },
  write: false,
})
const script = outputFiles[0].text
const html = `<!doctype html>
<meta charset="utf-8">
<title>Pages by WebRTC</title>
<h1 id="name">…</h1>
<form><input placeholder="say something"><button>Say</button></form>
<h2>Here</h2>
<ul id="members"></ul>
<h2>Said</h2>
<ul id="said"></ul>
<script type="module" src="/page.js"></script>`

const server = createServer(({ url }, response) => {
  const [type, body] = url === "/page.js" ? ["text/javascript", script] : ["text/html", html]
  response.writeHead(url === "/" || url === "/page.js" ? 200 : 404, { "content-type": type }).end(body)
})
server.listen(Number(process.env.PORT ?? 8080), "127.0.0.1", () => {
  console.log(`open http://127.0.0.1:${server.address().port}/ in two tabs`)
})

async function leave() {
  server.close()
  server.closeAllConnections()
  await mesh.close()
  await node.stop()
}
process.once("SIGTERM", () => void leave())
process.once("SIGINT", () => void leave())
