/** Dialling: the upgrade as npm ws makes it, with the offer spelt as libzmq wants it. */
import type { ClientRequest, IncomingMessage } from "node:http"
import * as net from "node:net"
import * as tls from "node:tls"
import type { Link, TransportOptions } from "../../lib/contract.ts"
import { abortError, EarshotError, wrap, type ErrorCode } from "../../lib/errors.ts"
import { bracketed, formatAddress, isLoopback, plainAddress, type WsAddress } from "./address.ts"
import { limitOf, linkOf, tune } from "./joint.node.ts"
import { openWire } from "./library.node.ts"
import { named, OFFER, type Subprotocol } from "./offer.ts"
import type { WsRules } from "./options.node.ts"
import { plain } from "./plain.ts"
import { MAX_TAKEN, MAX_TAKEN_EARLY } from "./stream.ts"

/** Characters of a refusal's text that are worth an error message. */
const MAX_TEXT = 300

interface Target extends WsAddress {
  readonly scheme: "ws" | "wss"
}

/** One attempt; and a second, without the names that break RFC 6455, where a server found the first one bad. */
export async function dial(
  target: Target,
  rules: WsRules,
  options: TransportOptions,
  signal: AbortSignal,
): Promise<Link> {
  try {
    return await attempt(target, OFFER, rules, options, signal)
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 400) throw error
    const legal = OFFER.filter(({ name, alias }) => name === alias)
    return attempt(target, legal, rules, options, signal)
  }
}

/** The server answered, and not with an upgrade. */
class Refusal extends EarshotError {
  readonly status: number
  constructor(status: number, text: string) {
    const code = statusCodes[status] ?? "EPROTO"
    super(code, `the server refused the upgrade: ${status}${text && `, ${text}`}`)
    this.status = status
  }
}

const statusCodes: Readonly<Record<number, ErrorCode>> = {
  401: "FORBIDDEN",
  403: "FORBIDDEN",
  429: "LIMIT",
  502: "ECONNREFUSED",
  503: "LIMIT",
  504: "ETIMEDOUT",
}

function attempt(
  target: Target,
  offer: readonly Subprotocol[],
  rules: WsRules,
  options: TransportOptions,
  signal: AbortSignal,
): Promise<Link> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    let socket: net.Socket | undefined
    const remote = `${target.scheme}://${formatAddress(target)}`
    const names = offer.map(({ name }) => name).join(",")
    // Limits of a link go down at once when it is made, and up again when the other side is known.
    const most = Math.max(...offer.map((each) => limitOf(each, options) || Infinity), MAX_TAKEN)
    const wire = openWire(
      urlOf(target),
      offer.map(({ alias }) => alias),
      most === Infinity ? 0 : most,
      {
        createConnection: ((route: net.NetConnectOpts) => {
          socket = connect(target, rules, route)
          tune(socket, options)
          socket.unref()
          return socket
        }) as typeof net.createConnection,
        finishRequest: (request: ClientRequest) => {
          request.setHeader("Sec-WebSocket-Protocol", names)
          request.end()
        },
        ...(guards(target) ? {} : { generateMask: noMask }),
      },
    )
    const onAbort = (): void => fail(abortError(signal))
    const fail = (error: unknown): void => {
      signal.removeEventListener("abort", onAbort)
      reject(error instanceof EarshotError ? error : wrap(error, dialCode(error)))
      wire.terminate()
    }
    // Stays: a wire that was given up may still have a last error.
    wire.on("error", fail)
    wire.on("unexpected-response", (_request, response) => void refusal(response).then(fail, fail))
    wire.on("upgrade", (response) => {
      const answer = named(response.headers["sec-websocket-protocol"])
      if (answer !== undefined) response.headers["sec-websocket-protocol"] = answer.alias
    })
    wire.on("open", () => {
      signal.removeEventListener("abort", onAbort)
      wire.off("error", fail)
      const chosen = named(wire.protocol)!
      const ip = plainAddress(socket!.remoteAddress ?? "")
      const limit = limitOf(chosen, options)
      resolve(
        linkOf(chosen, {
          wire,
          socket: socket!,
          remote,
          host: ip === "" || isLoopback(ip) ? undefined : ip,
          secure: target.scheme === "wss",
          identity: undefined,
          clock: options.clock,
          // The bare one has no handshake: a large message may be the first thing that comes.
          early: chosen.protocol === "zws-bare" ? limit : MAX_TAKEN_EARLY,
          limit,
        }),
      )
    })
    signal.addEventListener("abort", onAbort)
  })
}

function urlOf({ scheme, host, port, path }: Target): string {
  return `${scheme}://${bracketed(somewhere.get(host) ?? host)}:${port}${path}`
}

/** Nobody is at "any address"; connecting to it means this machine on most systems, and nothing on Windows. */
const somewhere: ReadonlyMap<string, string> = new Map([
  ["0.0.0.0", "127.0.0.1"],
  ["::", "::1"],
])

function connect({ scheme }: Target, rules: WsRules, route: net.NetConnectOpts): net.Socket {
  const { host = "", port } = route as net.TcpNetConnectOpts
  if (scheme === "ws") return net.connect({ host, port, allowHalfOpen: true })
  const servername = net.isIP(host) === 0 ? { servername: host } : {}
  return tls.connect({ ...servername, ...(rules.tls as tls.ConnectionOptions | undefined), host, port })
}

/**
 * Masks keep a program from writing what a proxy on the way takes for HTTP (RFC 6455, 10.3). There is none on the way to
 * this very machine, and none that could read TLS: there the mask is zero, which spares both sides a pass over the bytes.
 */
function guards({ scheme, host }: Target): boolean {
  return scheme === "ws" && !isLoopback(host)
}

function noMask(mask: Buffer): void {
  mask.fill(0)
}

async function refusal(response: IncomingMessage): Promise<Refusal> {
  let text = ""
  try {
    for await (const chunk of response) {
      text += String(chunk)
      if (text.length >= MAX_TEXT) break
    }
  } catch {
    // What came of it is enough.
  }
  const words = text.replace(/<[^>]*>|\s+/g, " ").trim()
  return new Refusal(response.statusCode ?? 0, plain(words, MAX_TEXT))
}

/** Codes of the system that our table has are kept; these it lacks. */
function dialCode(error: unknown): ErrorCode {
  const { code = "", message = "" } = error as { code?: string; message?: string }
  if (code === "EAI_AGAIN") return "ENOTFOUND"
  if (code === "EMFILE" || code === "ENFILE") return "LIMIT"
  if (code === "EPIPE" || message === "socket hang up") return "ECONNRESET"
  return code.startsWith("E") && !code.startsWith("ERR_") ? "EHOSTUNREACH" : "EPROTO"
}
