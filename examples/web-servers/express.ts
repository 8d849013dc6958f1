/**
 * Express carries pages and a Publisher on one port.
 *
 *   node dist/examples/web-servers/express.js        (PORT=8080 by default; ends on SIGINT or SIGTERM)
 */
import { once } from "node:events"
import { createServer, type RequestListener, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
// @ts-expect-error Express brings no types of its own; a project of yours has @types/express.
import express from "express"
import { Publisher, ws } from "earshot"

interface App extends RequestListener {
  get(path: string, answer: (request: unknown, response: ServerResponse & { send(body: string): void }) => void): void
}
const app = (express as () => App)()
app.get("/", (_, response) => response.send("Express serves this page; sockets connect to /earshot"))

// What `app.listen()` would make and return.
const server = createServer(app)
server.listen(Number(process.env["PORT"] ?? 8080), "127.0.0.1")
await once(server, "listening")

const publisher = new Publisher()
await publisher.bind(ws({ server, path: "/earshot" }))
const timer = setInterval(() => publisher.trySend(["time", new Date().toISOString()]), 100)
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)

await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")])
clearInterval(timer)
await publisher.close()
server.close()
