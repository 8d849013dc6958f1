/**
 * A web server of node:http carries pages and a Publisher on one port.
 *
 *   node dist/examples/web-servers/node-http.js        (PORT=8080 by default; ends on SIGINT or SIGTERM)
 */
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Publisher, ws } from "earshot"

const server = createServer((request, response) => {
  response.statusCode = request.url === "/" ? 200 : 404
  response.setHeader("content-type", "text/plain")
  response.end(request.url === "/" ? "node:http serves this page; sockets connect to /earshot" : "no such page")
})
server.listen(Number(process.env["PORT"] ?? 8080), "127.0.0.1")
await once(server, "listening")

// Before or after listen(), and beside other upgrades that the server may have: only this path is taken.
const publisher = new Publisher()
await publisher.bind(ws({ server, path: "/earshot" }))
const timer = setInterval(() => publisher.trySend(["time", new Date().toISOString()]), 100)
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)

await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")])
clearInterval(timer)
// The server is yours: closing the socket takes its path away, and leaves the server as it was.
await publisher.close()
server.close()
