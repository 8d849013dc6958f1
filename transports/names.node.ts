/** Host names and the names of network interfaces, as places to listen at or to come from. */
import { lookup } from "node:dns"
import * as net from "node:net"
import { networkInterfaces } from "node:os"
import { EarshotError } from "../lib/errors.ts"

/** An IP address, and 4 or 6. */
export interface Address {
  readonly address: string
  readonly family: number
}

/** The addresses of a network interface: IPv4 first, link-local ones last and with their zone. */
export function interfaceAddresses(name: string): Address[] {
  const rank = (ip: string): number => (net.isIPv4(ip) ? 0 : ip.startsWith("fe80:") ? 2 : 1)
  const interfaces = networkInterfaces()
  return ((Object.hasOwn(interfaces, name) && interfaces[name]) || [])
    .sort((a, b) => rank(a.address) - rank(b.address))
    .map(({ address }) => {
      const family = net.isIP(address)
      return { address: address.startsWith("fe80:") ? `${address}%${name}` : address, family }
    })
}

/** All addresses of a host name. Rejects with ENOTFOUND. */
export function resolveName(host: string): Promise<Address[]> {
  return new Promise((resolve, reject) => {
    lookup(host, { all: true }, (error, found) => {
      if (error === null) resolve(found)
      else reject(new EarshotError("ENOTFOUND", `no address for the host name ${host} (${error.code})`, error))
    })
  })
}

/** The address to bind for `*`, an address, an interface or a name. Throws ENODEV. */
export async function bindHost(host: string): Promise<string> {
  if (host === "*") return "0.0.0.0"
  if (net.isIP(host) !== 0) return host
  const [own] = interfaceAddresses(host)
  if (own !== undefined) return own.address
  try {
    const found = await resolveName(host)
    return (found.find(({ family }) => family === 4) ?? found[0]!).address
  } catch (error) {
    throw new EarshotError("ENODEV", `${host} is neither a network interface nor a host name here`, error)
  }
}
