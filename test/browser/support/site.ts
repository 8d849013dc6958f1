/** A web server on loopback for one test: a page, the script it loads, and the sockets beside them. */
import { once } from "node:events"
import { createServer, type RequestListener, type Server } from "node:http"
import { createServer as createSecureServer } from "node:https"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import type { Test } from "tap"
import { CERTIFICATE, KEY } from "../../support/certificate.ts"

const root = new URL("../../../", import.meta.url)

/** What `globalThis.earshot` is on every page. */
export type Earshot = typeof import("../../../lib/index.browser.ts")

const bundles = new Map<string, Promise<string>>()

/** What it is on pages whose script is `mesh`. */
export type EarshotMesh = typeof import("../../../lib/mesh/index.browser.ts")

/** Such a script for a page, bundled. `import "earshot"` or `"earshot/mesh"` in it is the browser build, from its sources. */
export function bundle(contents: string): Promise<string> {
  let made = bundles.get(contents)
  if (made === undefined) {
    made = build({
      stdin: { contents, resolveDir: fileURLToPath(root), loader: "ts" },
      alias: {
        "earshot/mesh": fileURLToPath(new URL("lib/mesh/index.browser.ts", root)),
        earshot: fileURLToPath(new URL("lib/index.browser.ts", root)),
      },
      bundle: true,
      format: "esm",
      platform: "browser",
      target: "es2022",
      write: false,
      logLevel: "silent",
    }).then(({ outputFiles }) => outputFiles[0]!.text)
    bundles.set(contents, made)
  }
  return made
}

/** The whole library as a global, for tests that say in `page.evaluate` what the page does. */
export const everything = `import * as earshot from "earshot"; Object.assign(globalThis, { earshot })`

/** `earshot/mesh`, the same way. */
export const mesh = `import * as earshot from "earshot/mesh"; Object.assign(globalThis, { earshot })`

export interface Site {
  readonly server: Server
  readonly port: number
  /** `http://127.0.0.1:port`, or `https:` */
  readonly url: string
}

export interface SiteOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly port?: number
  /** With a certificate for localhost that nobody vouches for. */
  readonly secure?: boolean
}

/** Serves `files` by path: `/` is a page that loads `/page.js`, which is `everything`, unless told otherwise. */
export async function serve(
  t: Test,
  files: Readonly<Record<string, string>> = {},
  { headers = {}, port = 0, secure = false }: SiteOptions = {},
): Promise<Site> {
  const all: Record<string, string> = {
    "/": `<!doctype html><meta charset="utf-8"><title>test</title><script type="module" src="/page.js"></script>`,
    "/page.js": await bundle(everything),
    ...files,
  }
  const answer: RequestListener = ({ url = "/" }, response) => {
    const { pathname } = new URL(url, "http://site")
    const body = all[pathname]
    const type = pathname.endsWith(".js") ? "text/javascript" : "text/html"
    response.writeHead(body === undefined ? 404 : 200, { "content-type": `${type}; charset=utf-8`, ...headers })
    response.end(body)
  }
  const server = secure ? createSecureServer({ cert: CERTIFICATE, key: KEY }, answer) : createServer(answer)
  server.listen(port, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => stop(server))
  const bound = (server.address() as AddressInfo).port
  return { server, port: bound, url: `http${secure ? "s" : ""}://127.0.0.1:${bound}` }
}

export async function stop(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = once(server, "close")
  server.close()
  server.closeAllConnections()
  await closed
}
