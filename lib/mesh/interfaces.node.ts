/** The machine's own addresses: which to announce, which are near. */
import { BlockList, isIP, isIPv4 } from "node:net"
import { networkInterfaces } from "node:os"

/** One address of one interface that is up and running (the system lists no others). */
export interface OwnAddress {
  readonly interface: string
  readonly address: string
  readonly family: 4 | 6
  /** Bits of the network's prefix. */
  readonly prefix: number
  readonly loopback: boolean
}

/** Bridges, tunnels and the like: their addresses mean nothing elsewhere, or another machine there (172.17.0.1). */
const virtual = /^(docker|br-|veth|virbr|utun|awdl|vEthernet \(WSL)/

/** Longest list of interfaces and addresses that is looked at: a router may have thousands. */
const MOST = 64

/**
 * Loopback, and the addresses of the interfaces that others reach us by: the ones named (by name or address; default: the
 * environment's EARSHOT_INTERFACES, separated by commas), else all that are not virtual, else all. IPv4 first; no link-local IPv6,
 * which needs a zone that means nothing elsewhere.
 */
export function ownAddresses(names: readonly string[] = namesOf(process.env.EARSHOT_INTERFACES)): OwnAddress[] {
  const all = listed().sort((a, b) => a.family - b.family)
  const loopback = all.filter(({ loopback }) => loopback)
  const outer = all.filter(({ loopback }) => !loopback)
  const named = ({ interface: name, address }: OwnAddress): boolean => names.includes(name) || names.includes(address)
  const real = outer.filter(({ interface: name }) => !virtual.test(name))
  const chosen = names.length > 0 ? outer.filter(named) : real.length > 0 ? real : outer
  return [...loopback, ...chosen].slice(0, MOST)
}

/** As the system lists them. Where it refuses to (some sandboxes do), loopback is there all the same. */
function listed(): OwnAddress[] {
  try {
    const all = Object.entries(networkInterfaces()).flatMap(([name, list = []]) =>
      list.map(({ address, family, cidr, internal }): OwnAddress => {
        const prefix = Number(cidr?.split("/")[1] ?? (family === "IPv4" ? 32 : 128))
        return { interface: name, address, family: family === "IPv4" ? 4 : 6, prefix, loopback: internal }
      }),
    )
    if (all.length > 0) return all.filter(({ address }) => !address.startsWith("fe80:"))
  } catch {}
  return [{ interface: "loopback", address: "127.0.0.1", family: 4, prefix: 8, loopback: true }]
}

function namesOf(list: string | undefined): string[] {
  return (list ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
}

/** Only virtual interfaces are there beside loopback: a container, mostly. Nobody elsewhere will hear multicast of ours. */
export function onlyVirtual(): boolean {
  const outer = ownAddresses([]).filter(({ loopback }) => !loopback)
  return outer.length > 0 && outer.every(({ interface: name }) => virtual.test(name))
}

/**
 * A bound endpoint as others can dial it. A wildcard (`tcp://0.0.0.0:4101`, `tcp://*:4101`, `ws://[::]:8080/earshot`) becomes
 * one endpoint for each address that `ownAddresses` gives: loopback ones unless `open`, the others if `open` (loopback where
 * there are no others). Whatever has no wildcard stays as it is.
 */
export function dialable(endpoint: string, open: boolean): string[] {
  const [, before, host, after] = /^([a-z]+:\/\/)(\*|0\.0\.0\.0|\[::\])(:.*)$/.exec(endpoint) ?? []
  if (before === undefined) return [endpoint]
  const own = ownAddresses().filter(({ family }) => host === "[::]" || family === 4)
  const reachable = own.filter(({ loopback }) => loopback !== open)
  return (reachable.length > 0 ? reachable : own).map(({ address }) => `${before}${inUrl(address)}${after}`)
}

/** An address as it stands in an endpoint. */
export function inUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address
}

/** `address` belongs to the network that `own` is in. Neither throws nor says yes for what is no address. */
export function sameNetwork(own: OwnAddress, address: string): boolean {
  if (isIP(address) !== own.family) return false
  const network = new BlockList()
  network.addSubnet(own.address, own.prefix, familyName(own.address))
  return network.check(address, familyName(address))
}

/** It can be reached without a router, over an interface that `ownAddresses` gives. */
export function isOnLink(address: string): boolean {
  return ownAddresses().some((own) => sameNetwork(own, address))
}

const privates = new BlockList()
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["169.254.0.0", 16],
  ["127.0.0.0", 8],
] as const)
  privates.addSubnet(network, prefix, "ipv4")
privates.addSubnet("fc00::", 7, "ipv6")
privates.addSubnet("fe80::", 10, "ipv6")
privates.addAddress("::1", "ipv6")

/** It is of no use on the internet: RFC 1918, 6598, 3927, 4193, link-local and loopback. */
export function isPrivate(address: string): boolean {
  return isIP(address) !== 0 && privates.check(address, familyName(address))
}

function familyName(address: string): "ipv4" | "ipv6" {
  return isIPv4(address) ? "ipv4" : "ipv6"
}
