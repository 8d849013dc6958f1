/**
 * Addresses of WebSockets, as in the URL behind `ws://`:
 *   bind      127.0.0.1:8080   *:8080/live   *:*   [::1]:8080   eth0:8080   localhost:8080
 *   connect   127.0.0.1:8080   example.org/live   [::1]:8080/live?room=1
 * `*` is every IPv4 address, as with tcp. Without a port: 80, and 443 for wss, to connect; a place to bind says its own.
 */
import { EarshotError } from "../../lib/errors.ts"

/** An address in its parts. */
export interface WsAddress {
  /** `*`, an IP address (IPv6 without its brackets), or a name. */
  readonly host: string
  /** 0: any. */
  readonly port: number
  /** With its slash; with its query where somebody connects. */
  readonly path: string
}

/** Throws EINVAL for what can never work. */
export function parseAddress(scheme: "ws" | "wss", address: string, side: "bind" | "connect"): WsAddress {
  const refuse = (why: string): EarshotError =>
    new EarshotError("EINVAL", `can't ${side} ${side === "connect" ? "to " : ""}${scheme}://${address}: ${why}`)
  const match = /^(\[[^\]]*\]|[^[\]:/?#]*)(?::([^/?#]*))?(\/.*)?$/.exec(address)
  if (match === null) throw refuse("it must be host:port/path")
  const [, host = "", port, path = "/"] = match
  if (!/^[\x21-\x7e]+$/.test(path) || path.includes("#")) throw refuse("the path is none of a URL")
  if (side === "bind" && path.includes("?")) throw refuse("a query is for connecting")
  const place = { host: hostOf(host, refuse), port: portOf(port, scheme, side, refuse), path }
  if (side === "bind") return place
  if (place.host === "*") throw refuse("* is for binding; say where to connect to")
  if (place.port === 0) throw refuse("a port is needed")
  return place
}

/** The one spelling of an address: always with its port, and with a path only where there is one. */
export function formatAddress({ host, port, path }: WsAddress): string {
  return `${bracketed(host)}:${port === 0 ? "*" : port}${path === "/" ? "" : path}`
}

/** As it stands in front of a port. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host
}

/**
 * The name in front of a port, as in a Host header: in lower case, without the dot that may end it; undefined for what is
 * none.
 */
export function hostName(text: string): string | undefined {
  const match = /^(\[[^\]]*\]|[^[\]:]+?)\.?(?::\d*)?$/.exec(text)
  if (match === null) return undefined
  const host = match[1]!.toLowerCase()
  return host.startsWith("[") ? shortest(host.slice(1, -1)) : host
}

/** Is it an IP address, without brackets? */
export function isAddress(host: string): boolean {
  return isIPv4(host) || shortest(host) !== undefined
}

/** Does nobody but this machine reach it? */
export function isLoopback(host: string): boolean {
  return (
    host === "localhost" || host.endsWith(".localhost") || host === "::1" || (isIPv4(host) && host.startsWith("127."))
  )
}

/** Of this machine or a network of its own, where a proxy may stand (RFC 1918, 4193, 3927, 6598). */
export function isPrivate(ip: string): boolean {
  return (
    isLoopback(ip) ||
    /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|f[cd]|fe[89ab])/i.test(
      ip,
    )
  )
}

/** An IPv4 address is one, on a listener for both families, too. */
export function plainAddress(ip: string): string {
  return ip.replace(/^::ffff:(?=\d+\.)/i, "")
}

/** The one spelling of an IPv6 address (RFC 5952). */
export function shortest(ip: string): string | undefined {
  if (!/^[\da-f:.]+$/i.test(ip) || !ip.includes(":")) return undefined
  try {
    return new URL(`http://[${ip}]`).hostname.slice(1, -1)
  } catch {
    return undefined
  }
}

function isIPv4(text: string): boolean {
  return /^(\d{1,3})(\.\d{1,3}){3}$/.test(text) && text.split(".").every((part) => Number(part) < 256)
}

function portOf(
  text: string | undefined,
  scheme: "ws" | "wss",
  side: "bind" | "connect",
  refuse: (why: string) => EarshotError,
): number {
  if (text === undefined) {
    if (side === "bind") throw refuse("a port is needed")
    return scheme === "ws" ? 80 : 443
  }
  if (text === "*") return 0
  if (!/^\d{1,5}$/.test(text)) throw refuse("the port is neither a number nor *")
  if (Number(text) > 65_535) throw refuse("ports end at 65535")
  return Number(text)
}

function hostOf(text: string, refuse: (why: string) => EarshotError): string {
  if (text.startsWith("[")) {
    const ip = shortest(text.slice(1, -1))
    if (ip === undefined) throw refuse("there is no IPv6 address in the brackets")
    return ip
  }
  if (text === "*" || isIPv4(text)) return text
  // Not the legacy forms of inet_aton, `127.1`, that some resolvers take.
  if (text === "" || /^[\d.]+$/.test(text)) throw refuse("there is no host")
  if (text.length > 253 || !/^[\p{L}\p{N}_][\p{L}\p{N}\p{M}_.-]*$/u.test(text)) throw refuse("the host is no name")
  return text
}
