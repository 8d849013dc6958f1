/** Listening: on a port of our own, or at a path of the user's server. */
import { createServer, type Server } from "node:http"
import { createServer as createSecureServer } from "node:https"
import type * as net from "node:net"
import { hostname } from "node:os"
import type { TlsOptions } from "node:tls"
import type { Link, Listener, TransportOptions } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { bindHost, interfaceAddresses } from "../names.node.ts"
import { listenServer } from "../net.ts"
import { bracketed, formatAddress, plainAddress, type WsAddress } from "./address.ts"
import { attach, refuse, type Upgrade } from "./attach.node.ts"
import { Gate, isHost, isOrigin, refusal, type GateRules, type Refusal } from "./gate.ts"
import { limitOf, linkOf, tune } from "./joint.node.ts"
import { createUpgrader, type Upgrader } from "./library.node.ts"
import { named, SUBPROTOCOLS } from "./offer.ts"
import type { UpgradeServer, WsRules } from "./options.node.ts"
import { isRange } from "./proxy.ts"
import { MAX_TAKEN_EARLY } from "./stream.ts"

/** ms for the head of a request. */
const HEAD = 10_000
/** Connections on a port of our own that have not asked for an upgrade yet, beside those that have. */
const MAX_UNASKED = 1024

/** What a transport hands on to whoever listens. */
export interface Listening {
  readonly scheme: "ws" | "wss"
  readonly place: WsAddress
  /** The user's; absent: one of our own. */
  readonly server: UpgradeServer | undefined
  readonly rules: WsRules
  readonly options: TransportOptions
  readonly onLink: (link: Link) => void
  readonly onError: (error: Error) => void
  readonly onRefused: (cause: string, error: Error) => void
}

export async function listen(listening: Listening): Promise<Listener> {
  const entrance = new Entrance(listening)
  const own = listening.server === undefined ? ownServer(listening, entrance.unasked) : undefined
  const server = own ?? (listening.server as Server)
  const detach = attach(server, entrance)
  const close = async (): Promise<void> => {
    detach()
    if (own === undefined) return
    own.close()
    // Links are no business of the server any more.
    for (const socket of entrance.unasked.values()) socket.destroy()
    own.closeAllConnections()
  }
  const { host, port, path } = listening.place
  if (own !== undefined) {
    const { backlog } = listening.options
    await listenServer(own, { host: await bindHost(host), port, backlog }, listening.onError)
  }
  const bound = server.address()
  const address = formatAddress(
    bound === null || typeof bound === "string"
      ? listening.place
      : { host: plainAddress(bound.address), port: bound.port, path },
  )
  entrance.endpoint = `${listening.scheme}://${address}`
  return { address, close }
}

function ownServer({ scheme, rules, options: { keepalive } }: Listening, unasked: Map<string, net.Socket>): Server {
  if (scheme === "wss" && rules.tls === undefined)
    throw new EarshotError("EINVAL", "wss needs a certificate to listen: ws({ url, tls: { key, cert } })")
  const options = {
    headersTimeout: HEAD,
    requestTimeout: HEAD,
    connectionsCheckingInterval: 1000,
    noDelay: true,
    keepAlive: keepalive > 0,
    keepAliveInitialDelay: Math.max(1000, keepalive),
  }
  const server =
    scheme === "ws"
      ? createServer(options)
      : createSecureServer({ handshakeTimeout: HEAD, ...(rules.tls as TlsOptions), ...options })
  server.on("request", (_request, response) => {
    response.writeHead(426, { Connection: "close", Upgrade: "websocket", "Content-Type": "text/plain" })
    response.end("This is a server of WebSockets.")
  })
  server.on("connection", (socket) => {
    socket.unref()
    const key = portOf(socket)
    unasked.set(key, socket)
    socket.once("close", () => unasked.get(key) === socket && unasked.delete(key))
    if (unasked.size <= MAX_UNASKED) return
    // Who says nothing keeps nobody out: the one that has been silent longest makes room.
    const [longest] = unasked
    unasked.delete(longest![0])
    longest![1].destroy()
  })
  server.maxConnections = rulesOf(rules).maxConnections + 2 * MAX_UNASKED
  return server
}

/** One connection's other end, told the same by a socket of node:tls and by the one under it. */
function portOf({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress}:${remotePort}`
}

/** Where upgrades come in: the gate, then npm ws, then a link. */
class Entrance {
  readonly path: string
  readonly shared: boolean
  /** For messages. */
  endpoint: string
  /** On a port of our own: connections that have not asked for anything yet, by `portOf`, oldest first. */
  readonly unasked = new Map<string, net.Socket>()
  private readonly listening: Listening
  private readonly gate: Gate
  private readonly upgraders = new Map<number, Upgrader>()
  private readonly warned = new Set<string>()

  constructor(listening: Listening) {
    const { place, scheme, rules, options } = listening
    this.listening = listening
    this.path = place.path
    this.shared = listening.server !== undefined
    this.endpoint = `${scheme}://${formatAddress(place)}`
    const name = hostname()
    const names = [name, `${name.split(".")[0]}.local`]
    if (/[a-z]/i.test(place.host) && interfaceAddresses(place.host).length === 0) names.push(place.host)
    this.gate = new Gate(rulesOf(rules), options.clock, names, (text) => this.warn("proxy", text))
    for (const each of SUBPROTOCOLS) {
      const limit = limitOf(each, options)
      if (!this.upgraders.has(limit)) this.upgraders.set(limit, this.upgrader(limit))
    }
  }

  onUpgrade({ request, socket: stream, head, chosen }: Upgrade): void {
    const { listening, gate } = this
    const socket = stream as net.Socket & { encrypted?: boolean }
    socket.on("error", () => {})
    // Over a path of the file system: from this machine.
    const local = typeof listening.server?.address() === "string"
    const ip = plainAddress(socket.remoteAddress ?? (local ? "127.0.0.1" : ""))
    // Reset already. If its end has been told, too, it would never make room again.
    if (ip === "" || socket.destroyed) return void socket.destroy()
    const { headers, url } = request
    const visitor = gate.admit({ address: ip, host: headers.host, secure: socket.encrypted === true }, headers)
    if ("cause" in visitor) {
      refuse(socket, visitor)
      return this.onRefused(visitor)
    }
    this.unasked.delete(portOf(socket))
    socket.once("close", visitor.leave)
    tune(socket, listening.options)
    const claims = { headers: { ...headers }, url, remoteAddress: visitor.address }
    headers["sec-websocket-protocol"] = chosen.alias
    const limit = limitOf(chosen, listening.options)
    this.upgraders.get(limit)!.handleUpgrade(request, socket, head, (wire) => {
      const { address, host, secure } = visitor
      const port = address === ip && socket.remotePort !== undefined ? `:${socket.remotePort}` : ""
      const remote = `${listening.scheme}://${bracketed(address)}${port}`
      const { clock } = listening.options
      const limits = { early: MAX_TAKEN_EARLY, limit }
      listening.onLink(linkOf(chosen, { wire, socket, remote, host, secure, identity: { claims }, clock, ...limits }))
    })
  }

  onRefused({ cause, error }: Refusal): void {
    this.warn(cause, error.message)
    this.listening.onRefused(cause, error)
  }

  /** Once for each cause: whoever floods a server shall not flood its log. */
  private warn(cause: string, text: string): void {
    if (this.warned.has(cause)) return
    this.warned.add(cause)
    console.warn(`earshot: ${this.endpoint}: ${text} (more of the same is only counted)`)
  }

  private upgrader(limit: number): Upgrader {
    const upgrader = createUpgrader(limit)
    upgrader.on("headers", (headers) => {
      const at = headers.findIndex((line) => line.startsWith("Sec-WebSocket-Protocol: "))
      const answer = named(headers[at]?.split(": ")[1])
      if (answer !== undefined) headers[at] = `Sec-WebSocket-Protocol: ${answer.name}`
    })
    upgrader.on("wsClientError", (error, socket) => {
      const why = refusal("upgrade", 400, `${error.message}.`, [`no upgrade to WebSocket: ${error.message}`, ""])
      refuse(socket, why)
      this.onRefused(why)
    })
    return upgrader
  }
}

/** With defaults; throws EINVAL for what is no rule. */
export function rulesOf(rules: WsRules): GateRules {
  const { origins = [], hosts = [], trustProxy = false } = rules
  const limit = (name: "maxConnections" | "maxConnectionsPerAddress" | "upgradesPerSecond", usual: number): number => {
    const value = rules[name] ?? usual
    if (!(value >= 1)) throw new EarshotError("EINVAL", `${name} must be a number from 1 on`)
    return value
  }
  const stranger = origins.find((text) => !isOrigin(text))
  if (stranger !== undefined)
    throw new EarshotError("EINVAL", `origins: ${stranger} is no origin, as https://app.example.org is one`)
  const place = hosts.find((text) => !isHost(text))
  if (place !== undefined) throw new EarshotError("EINVAL", `hosts: ${place} is no name of a host, without a port`)
  const bad = typeof trustProxy === "boolean" ? undefined : trustProxy.find((text) => !isRange(text))
  if (bad !== undefined) throw new EarshotError("EINVAL", `trustProxy: ${bad} is no address`)
  return {
    origins,
    hosts,
    trustProxy,
    maxConnections: limit("maxConnections", 10_000),
    maxConnectionsPerAddress: limit("maxConnectionsPerAddress", 256),
    upgradesPerSecond: limit("upgradesPerSecond", 500),
  }
}
