// What a page in a browser gets from a side: the page itself. The browser that opens it is in browser.mjs.
import { once } from "node:events"
import { createServer } from "node:http"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { missing } from "./role.mjs"

const bench = fileURLToPath(new URL("..", import.meta.url))

/** Serves `sides/page/<side>.mjs`, bundled, at a free port; what the side does with the server's upgrades is its own. */
export async function pages(side) {
  const esbuild = await import("esbuild").catch(() => missing("missing: npm esbuild is not installed"))
  const { outputFiles } = await esbuild.build({
    entryPoints: [join(bench, "sides", "page", `${side}.mjs`)],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    conditions: ["browser"],
    write: false,
  })
  const script = outputFiles[0].contents
  const server = createServer((request, response) => {
    const [path] = request.url.split("?")
    if (path === "/") {
      response.setHeader("content-type", "text/html")
      response.end(`<!doctype html><title>bench</title><script type="module" src="/page.js"></script>`)
    } else if (path === "/page.js") {
      response.setHeader("content-type", "text/javascript")
      response.end(script)
    } else {
      response.statusCode = 404
      response.end()
    }
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return { server, url: `http://127.0.0.1:${server.address().port}/` }
}
