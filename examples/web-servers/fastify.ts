/**
 * Fastify carries pages and a Publisher on one port.
 *
 *   node dist/examples/web-servers/fastify.js        (PORT=8080 by default; ends on SIGINT or SIGTERM)
 */
import { once } from "node:events"
import { Publisher, ws } from "earshot"
import { fastify } from "fastify"

const app = fastify()
app.get("/", () => "Fastify serves this page; sockets connect to /earshot")

// `app.server` is there before it listens.
const publisher = new Publisher()
await publisher.bind(ws({ server: app.server, path: "/earshot" }))
const url = await app.listen({ port: Number(process.env["PORT"] ?? 8080), host: "127.0.0.1" })
const timer = setInterval(() => publisher.trySend(["time", new Date().toISOString()]), 100)
console.log(`${url}/`)

await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")])
clearInterval(timer)
await publisher.close()
await app.close()
