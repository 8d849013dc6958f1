/**
 * A page as a member of a mesh: this process serves it, carries it, and is a member itself. Open the page in several tabs:
 * what one says all hear, tabs share the work of a queue group, and each answers questions.
 *
 *   npm run mesh-page                      then open the URL that it prints
 *   npm run mesh-page -- --port 9000
 *   npm run mesh-page -- --piped           ends when its input does, for tests
 */
import { once } from "node:events"
import { readFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { Mesh, ws } from "earshot/mesh"
import { build } from "esbuild"

const { values: options } = parseArgs({
  options: { port: { type: "string", default: "8080" }, piped: { type: "boolean", default: false } },
})

// --- The page: beside the sources, also when this runs as built ---

const folder = new URL("examples/mesh-page/page/", import.meta.resolve("earshot/package.json"))
const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("page.ts", folder))],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
})
const files: Readonly<Record<string, readonly [type: string, content: Uint8Array]>> = {
  "/": ["text/html; charset=utf-8", await readFile(new URL("index.html", folder))],
  "/page.js": ["text/javascript", outputFiles[0]!.contents],
}
const server = createServer(({ url = "" }, response) => {
  const [type = "text/plain", content = "no such page"] = files[url] ?? []
  response.writeHead(files[url] === undefined ? 404 : 200, {
    "content-type": type,
    "content-security-policy": "default-src 'self'; img-src data:",
  })
  response.end(content)
})
server.listen(Number(options.port), "127.0.0.1")
await once(server, "listening")
const { port } = server.address() as AddressInfo

// --- The member ---

// On this host alone, in a network of its own, so that runs of this example don't see each other.
const network = "mesh-page"
const listen = [ws({ server, path: "/earshot" })]
const mesh = await Mesh.join({ name: "server", network, listen, discovery: [] })
mesh.serve("time", () => new Date())
const timer = setInterval(() => mesh.tryPublish("jobs", Math.floor(Math.random() * 1e6)), 200)
console.log(`The page is at http://127.0.0.1:${port}/`)

// --- The end ---

const ends = [once(process, "SIGINT"), once(process, "SIGTERM")]
if (options.piped) ends.push(once(process.stdin.resume(), "end"))
await Promise.race(ends)
process.stdin.destroy()
clearInterval(timer)
await mesh.close()
server.close()
server.closeAllConnections()
