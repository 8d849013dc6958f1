/**
 * WebSockets on Node: `ws://` and `wss://`, to dial and to listen, on a port of our own or on the user's server. Two
 * protocols share them: our own byte stream (websocket/stream.ts), and ZWS 2.0 (RFC 45) for libzmq and jszmq.
 *
 * What needs node:http and npm ws is loaded with the first use.
 */
import type { Link, Listener, Place, Transport, TransportOptions } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import { formatAddress, parseAddress } from "./websocket/address.ts"
import type { WsOptions, WsRules } from "./websocket/options.node.ts"

export type { TlsSettings, UpgradeServer, WsOptions, WsRules } from "./websocket/options.node.ts"

type Scheme = "ws" | "wss"

/** The transport `ws` or `wss`, for endpoints that are strings. `rules` hold for all its listeners. */
export function webSockets(scheme: Scheme = "ws", rules: WsRules = {}): Transport {
  return {
    scheme,
    check: (address, side) => formatAddress(parseAddress(scheme, address, side)),
    dial: (address, options, signal) => dial(scheme, address, rules, options, signal),
    listen: async (address, options, onLink, onError, onRefused = () => {}): Promise<Listener> => {
      const place = parseAddress(scheme, address, "bind")
      const { listen } = await import("./websocket/server.node.ts")
      return listen({ scheme, place, server: undefined, rules, options, onLink, onError, onRefused })
    },
  }
}

/**
 * A place for `bind` or `connect`, with options of its own: `ws({ url: "wss://*:8443/live", tls: { key, cert } })`, or
 * `ws({ server, path: "/live" })` for the user's own server of node:http or node:https. Keep it for `unbind` and
 * `disconnect`. Throws EINVAL for what can't be.
 */
export function ws(options: WsOptions): Place {
  const { url, server, path = "/", ...rules } = options
  if ((url === undefined) === (server === undefined))
    throw new EarshotError("EINVAL", "ws() needs a url or a server, one of the two")
  if (server === undefined) {
    const match = /^(wss?):\/\/(.+)$/.exec(url!)
    if (match === null) throw new EarshotError("EINVAL", `${url} is no url of the form ws://host:port/path`)
    const transport = webSockets(match[1] as Scheme, rules)
    return { transport, address: match[2]! }
  }
  // Of node:tls; the second is all that Bun's have.
  const scheme = "setSecureContext" in server || "ALPNProtocols" in server ? "wss" : "ws"
  const place = parseAddress(scheme, `*:*${path.startsWith("/") ? path : `/${path}`}`, "bind")
  const address = formatAddress(place)
  const check = (given: string, side: "bind" | "connect"): string => {
    if (side === "connect") throw new EarshotError("EINVAL", "a server is for binding; connect by its url")
    if (given !== address) throw new EarshotError("EINVAL", `${given} is not the place that ws() made`)
    return address
  }
  const transport: Transport = {
    scheme,
    check,
    dial: async (given) => {
      check(given, "connect")
      throw new EarshotError("EINVAL")
    },
    listen: async (given, options, onLink, onError, onRefused = () => {}): Promise<Listener> => {
      check(given, "bind")
      const { listen } = await import("./websocket/server.node.ts")
      return listen({ scheme, place, server, rules, options, onLink, onError, onRefused })
    },
  }
  return { transport, address }
}

async function dial(
  scheme: Scheme,
  address: string,
  rules: WsRules,
  options: TransportOptions,
  signal: AbortSignal,
): Promise<Link> {
  const target = parseAddress(scheme, address, "connect")
  const { dial } = await import("./websocket/client.node.ts")
  return dial({ ...target, scheme }, rules, options, signal)
}
