/**
 * A dashboard in the browser: this process serves a page and publishes to it what made-up sensors measure, on one port.
 * The page draws live charts, and asks for another rate with a Request.
 *
 *   npm run dashboard                        then open the URL that it prints
 *   npm run dashboard -- --port 9000 --host 0.0.0.0     for other devices of your network, too
 *   npm run dashboard -- --piped             ends when its input does, for tests
 */
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { Publisher, Reply, ws } from "earshot"
import { build } from "esbuild"
import { encodeReading, sensors } from "./readings.ts"

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "8080" },
    host: { type: "string", default: "127.0.0.1" },
    piped: { type: "boolean", default: false },
  },
})

// --- The page ---

// Beside the sources, also when this runs as built.
const folder = new URL("examples/browser-dashboard/page/", import.meta.resolve("earshot/package.json"))
const bundle = await build({
  entryPoints: [fileURLToPath(new URL("page.ts", folder))],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
})
const files: Readonly<Record<string, readonly [type: string, content: Uint8Array]>> = {
  "/": ["text/html; charset=utf-8", await readFile(new URL("index.html", folder))],
  "/page.css": ["text/css", await readFile(new URL("page.css", folder))],
  "/page.js": ["text/javascript", bundle.outputFiles[0]!.contents],
}

function answer(path: string, response: ServerResponse): void {
  const [type, content] = files[path] ?? []
  response.statusCode = content === undefined ? 404 : 200
  response.setHeader("content-type", type ?? "text/plain")
  // Earshot needs no exception from a strict policy.
  response.setHeader("content-security-policy", "default-src 'self'; img-src data:")
  response.end(content ?? "no such page")
}

const server = createServer((request, response) => answer(request.url ?? "", response))
server.listen(Number(options.port), options.host)
await once(server, "listening")

// --- The sockets: a path for each, on the same port ---

// A page that can't keep up misses readings, which are counted, and slows nobody down.
const publisher = new Publisher()
await publisher.bind(ws({ server, path: "/earshot" }))
const reply = new Reply()
await reply.bind(ws({ server, path: "/earshot/rate" }))

/** Readings of each sensor a second. */
let rate = 50
/** From a page, so whatever it says is checked. */
async function answerRequests(): Promise<void> {
  for await (const [wish] of reply) {
    const wanted = Number(String(wish))
    if (Number.isInteger(wanted) && wanted >= 1 && wanted <= 1000) rate = wanted
    await reply.send(String(rate))
  }
}
const answering = answerRequests()

/** Readings that are due, in fractions: timers come late. */
let due = 0
let last = performance.now()
const timer = setInterval(() => {
  const now = performance.now()
  due += (rate * (now - last)) / 1000
  last = now
  for (; due >= 1; due--) {
    for (const sensor of sensors) publisher.trySend([sensor.topic, encodeReading(sensor.measure())])
  }
}, 20)

console.log(`The dashboard is at http://${options.host}:${(server.address() as AddressInfo).port}/`)

// --- The end ---

const ends = [once(process, "SIGINT"), once(process, "SIGTERM")]
if (options.piped) ends.push(once(process.stdin.resume(), "end"))
await Promise.race(ends)
process.stdin.destroy()
clearInterval(timer)
await Promise.all([publisher.close(), reply.close()])
await answering
server.close()
server.closeAllConnections()
