/**
 * Upgrades on a server of node:http that others may use, too: one listener for all places of ours on it, which leaves
 * alone what is none of ours as long as somebody else listens for upgrades (Vite's hot reload is such a one).
 */
import { STATUS_CODES, type IncomingMessage, type Server } from "node:http"
import type { Duplex } from "node:stream"
import { EarshotError } from "../../lib/errors.ts"
import { quote, refusal, type Refusal } from "./gate.ts"
import { ignoreUpgrade } from "./ignored.node.ts"
import { choose, offered, SUBPROTOCOLS, type Subprotocol } from "./offer.ts"

/** An upgrade that is for us. */
export interface Upgrade {
  readonly request: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
  readonly chosen: Subprotocol
}

/** What happens at a path of ours. */
export interface Mount {
  readonly path: string
  /** The server is the user's, who may have pages there. */
  readonly shared: boolean
  onUpgrade(upgrade: Upgrade): void
  onRefused(refusal: Refusal): void
}

const attached = new WeakMap<Server, Attachment>()

/** Returns what takes it away again. Throws EADDRINUSE for a path that is taken. */
export function attach(server: Server, mount: Mount): () => void {
  const attachment = attached.get(server) ?? new Attachment(server)
  attached.set(server, attachment)
  return attachment.add(mount)
}

/** Answers with a status and a sentence, and ends it. */
export function refuse(socket: Duplex, { status, sentence }: Refusal): void {
  socket.on("error", () => {})
  socket.once("finish", () => socket.destroy())
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(sentence)}`,
    ...(status === 429 || status === 503 ? ["Retry-After: 1"] : []),
  ]
  socket.end(`${head.join("\r\n")}\r\n\r\n${sentence}`)
}

class Attachment {
  private readonly server: Server
  private readonly mounts = new Map<string, Mount>()

  constructor(server: Server) {
    this.server = server
  }

  add(mount: Mount): () => void {
    const { server, mounts, onUpgrade } = this
    const { path } = mount
    if (mounts.has(path)) throw new EarshotError("EADDRINUSE", `something is bound to ${path} on this server already`)
    if (mounts.size === 0) server.on("upgrade", onUpgrade)
    mounts.set(path, mount)
    return () => {
      if (mounts.get(path) !== mount) return
      mounts.delete(path)
      if (mounts.size === 0) server.off("upgrade", onUpgrade)
    }
  }

  private readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const names = offered(request.headers["sec-websocket-protocol"])
    const mount = this.find(request.url ?? "", names)
    const { upgrade = "", "content-length": length = "0", "transfer-encoding": coding } = request.headers
    const other = upgrade.toLowerCase() !== "websocket"
    // A body would be taken for frames; and from Node 26 on there is no socket behind it that we could have.
    const plump = Number(length) !== 0 || coding !== undefined
    const chosen = other || plump ? undefined : choose(names)
    if (mount !== undefined && chosen !== undefined) return mount.onUpgrade({ request, socket, head, chosen })
    // Somebody else's, maybe; who listens for upgrades answers for them.
    if (this.server.listenerCount("upgrade") > 1) return
    const [first] = this.mounts.values()
    if (other && first!.shared && ignoreUpgrade(this.server, request, socket, head)) return
    const why =
      mount === undefined
        ? noPath(request.url ?? "", [...this.mounts.keys()])
        : other || plump
          ? noUpgrade(plump ? "a request with a body" : `the header Upgrade says ${quote(upgrade)}`)
          : noProtocol(names)
    refuse(socket, why)
    ;(mount ?? first)!.onRefused(why)
  }

  private find(url: string, names: readonly string[]): Mount | undefined {
    const [path = ""] = url.split("?")
    const exact = this.mounts.get(path)
    // libzmq up to 4.3.5 asks for the last part of its path only (WIRE 1.10).
    if (exact !== undefined || !names.some((name) => name.startsWith("ZWS2.0/"))) return exact
    return [...this.mounts.values()].find((mount) => mount.path.endsWith(path) && path.lastIndexOf("/") === 0)
  }
}

function noPath(url: string, paths: readonly string[]): Refusal {
  // Without its query: people put tokens there.
  return refusal("path", 404, "There is nothing at this path.", [
    `the path ${quote(url.split("?")[0]!)} is none of ours (${paths.join(", ")})`,
    "path",
  ])
}

function noUpgrade(why: string): Refusal {
  return refusal("upgrade", 400, "This path takes upgrades to WebSocket, and nothing else.", [
    `no upgrade to WebSocket: ${why}`,
    "",
  ])
}

function noProtocol(names: readonly string[]): Refusal {
  const known = SUBPROTOCOLS.map(({ name }) => name).join(", ")
  return refusal("protocol", 400, `This server speaks the subprotocols ${known}.`, [
    `the subprotocols offered (${quote(names.join(", "))}) are none of ours (${known})`,
    "",
  ])
}
