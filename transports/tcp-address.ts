/** The addresses of `tcp://`: hosts, interfaces, wildcards, IPv6 with zones, a source before `;` (WIRE 1.13). */
import net from "node:net"
import os from "node:os"
import { EarshotError } from "../lib/errors.ts"

export interface HostPort {
  /** An IP address (IPv6 without brackets, possibly with a zone), a name, or `*`. */
  readonly host: string
  /** 0 = any. */
  readonly port: number
}

export interface TcpAddress extends HostPort {
  readonly source: HostPort | undefined
}

/** Throws EINVAL for an address that can never work on that side. */
export function parseTcpAddress(address: string, side: "bind" | "connect"): TcpAddress {
  const parts = address.split(";")
  if (parts.length > (side === "connect" ? 2 : 1)) throw bad(address, "at most one source, and only to connect")
  const target = parseHostPort(parts.at(-1)!, address)
  const source = parts.length === 2 ? parseHostPort(parts[0]!, address) : undefined
  if (side === "connect") {
    if (target.host === "*") throw bad(address, "a host is needed to connect")
    if (target.port === 0) throw bad(address, "a port is needed to connect")
  }
  return { ...target, source }
}

/** In one form: `host:port`, with brackets and source where they belong. */
export function formatTcpAddress(address: TcpAddress): string {
  const { source } = address
  return source === undefined ? formatHostPort(address) : `${formatHostPort(source)};${formatHostPort(address)}`
}

export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port === 0 ? "*" : port}`
}

/** The address of the interface of that name, if there is one: IPv4 before IPv6. */
export function interfaceAddress(name: string): string | undefined {
  const addresses = os.networkInterfaces()[name]
  const address = addresses?.find((info) => info.family === "IPv4") ?? addresses?.[0]
  if (address === undefined) return undefined
  // A link-local address means nothing without its zone.
  return address.family === "IPv6" && address.scopeid > 0 ? `${address.address}%${name}` : address.address
}

function parseHostPort(text: string, address: string): HostPort {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):(\*|\d{1,5})$/.exec(text)
  if (match === null) throw bad(address, "it must be host:port, with IPv6 addresses in []")
  const port = match[3] === "*" ? 0 : Number(match[3])
  if (port > 65_535) throw bad(address, "ports end at 65535")
  if (match[1] !== undefined) {
    const [ip = "", zone, ...rest] = match[1].split("%")
    if (!net.isIPv6(ip) || zone === "" || rest.length > 0 || (zone !== undefined && !/^[\w.-]{1,32}$/.test(zone)))
      throw bad(address, "no IPv6 address")
    return { host: zone === undefined ? ip.toLowerCase() : `${ip.toLowerCase()}%${zone}`, port }
  }
  const host = match[2]!
  if (host !== "*" && !/^[a-z0-9_]([\w.-]{0,251}[a-z0-9_])?\.?$/i.test(host)) throw bad(address, "no host name")
  // Digits and dots that are no IPv4 address would be looked up, and found by some systems: 1.2.3 is 1.2.0.3 there.
  if (/^[\d.]+$/.test(host) && !net.isIPv4(host)) throw bad(address, "no IPv4 address")
  return { host, port }
}

function bad(address: string, why: string): EarshotError {
  return new EarshotError("EINVAL", `bad tcp address ${JSON.stringify(address)}: ${why}`)
}
