/**
 * Upgrades to something other than WebSocket. Clients offer HTTP/2 that way with every first request (`Upgrade: h2c`: Java's,
 * curl --http2), and a server may ignore it (RFC 9110, 7.8). Node's does, as long as nobody listens for upgrades; so that
 * the user's pages are there for such clients when we do, their requests come in once more, without the offer.
 */
import { ServerResponse, type IncomingMessage, type Server } from "node:http"
import { Socket } from "node:net"
import type { Duplex } from "node:stream"

/** Of the connection, not of the request (RFC 9110, 7.6.1). */
const OFFER = new Set(["connection", "upgrade", "http2-settings"])

const seen = new WeakSet<Duplex>()

/**
 * False where it can't be done: once for each connection, and not in Bun and Deno, whose servers take no connection that has
 * been read from.
 */
export function ignoreUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
  if (process.versions["bun"] !== undefined || process.versions["deno"] !== undefined || seen.has(socket)) return false
  if (server.listenerCount("request") === 0) return false
  seen.add(socket)
  if (!(socket instanceof Socket)) {
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket as Socket)
    response.once("finish", () => socket.end())
    delete request.headers.upgrade
    return server.emit("request", request, response)
  }
  const { method, url, httpVersion, rawHeaders } = request
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (!OFFER.has(rawHeaders[i]!.toLowerCase())) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  lines.push("Connection: close", "", "")
  socket.unshift(Buffer.concat([Buffer.from(lines.join("\r\n"), "latin1"), head]))
  server.emit("encrypted" in socket ? "secureConnection" : "connection", socket)
  return true
}
