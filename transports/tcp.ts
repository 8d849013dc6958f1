/** `tcp://`: TCP, without delay, over IPv4 and IPv6. */
import dns from "node:dns/promises"
import net from "node:net"
import type { Link, Listener, Transport, TransportOptions } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import { NetLink, dial, keepAlive, listen } from "./net.ts"
import { formatHostPort, formatTcpAddress, interfaceAddress, parseTcpAddress, type HostPort } from "./tcp-address.ts"

const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/

/** TCP for sockets: register it, or import `earshot`, which does. */
export function tcp(): Transport {
  return {
    scheme: "tcp",
    check: (address, side) => formatTcpAddress(parseTcpAddress(address, side)),

    async dial(address, options, signal): Promise<Link> {
      const { host, port, source } = parseTcpAddress(address, "connect")
      const local = source === undefined ? {} : await localEnd(source)
      return dial({ host, port, ...local }, signal, `tcp://${address}`, (socket) => makeLink(socket, options))
    },

    async listen(address, options, onLink, onError): Promise<Listener> {
      const target = parseTcpAddress(address, "bind")
      const host = await localHost(target.host)
      const server = await listen(
        { host, port: target.port, backlog: options.backlog, ipv6Only: host.includes(":") && host !== "::" },
        `tcp://${address}`,
        (socket) => onLink(makeLink(socket, options)),
        onError,
      )
      const bound = server.address() as net.AddressInfo
      const zone = host.split("%")[1]
      return {
        address: formatHostPort({ host: zone === undefined ? bound.address : `${bound.address.split("%")[0]}%${zone}`, port: bound.port }),
        close() {
          server.close()
          return Promise.resolve()
        },
      }
    },
  }
}

function makeLink(socket: net.Socket, options: TransportOptions): Link {
  keepAlive(socket, options)
  const host = socket.remoteAddress ?? "?"
  const remote = `tcp://${formatHostPort({ host, port: socket.remotePort ?? 0 })}`
  return new NetLink(socket, options.clock, remote, LOOPBACK.test(host) ? undefined : host)
}

/** A host to bind: `*`, an address, an interface, or a name of this machine. */
async function localHost(host: string): Promise<string> {
  if (host === "*") return "0.0.0.0"
  if (net.isIP(host.split("%")[0]!) !== 0) return host
  const address = interfaceAddress(host)
  if (address !== undefined) return address
  try {
    return (await dns.lookup(host)).address
  } catch (error) {
    throw new EarshotError("ENODEV", `no interface or name of this machine: ${host}`, error)
  }
}

async function localEnd(source: HostPort): Promise<{ localAddress?: string; localPort: number }> {
  return source.host === "*" ? { localPort: source.port } : { localAddress: await localHost(source.host), localPort: source.port }
}
