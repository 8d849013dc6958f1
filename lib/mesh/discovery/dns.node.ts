/** Members behind a name, as a headless service of Kubernetes or a service of Docker Compose has it. */
import { lookup, Resolver } from "node:dns/promises"
import { EarshotError } from "../../errors.ts"
import type { Discovery } from "../contract.ts"
import { inUrl } from "../interfaces.node.ts"
import { Asking } from "./asking.ts"
import type { ResolveName } from "./seeds.ts"

/** Options of `dns()`. */
export interface DnsOptions {
  /** The TCP port that the members listen on. SRV records bring their own; without them it is needed. */
  readonly port?: number
  /** Name servers, as `address` or `address:port`. Default: the system's. */
  readonly servers?: readonly string[]
}

/** ms until a question goes to the next name server, and how often it is asked in all. */
const PATIENCE = 1000
const TRIES = 2

/** SRV records that are followed. */
const MOST_RECORDS = 256

/**
 * Members behind a host name: at all addresses and ports of its SRV records where it has any (those with `port`, if some have
 * it), else at `port` of all its A and AAAA records. Asked again every 5 s, every 500 ms while nobody is linked, and at once
 * when a link is lost. Throws EINVAL for a name or port that can't be.
 */
export function dns(name: string, options: DnsOptions = {}): Discovery {
  const { port, servers } = options
  if (typeof name !== "string" || !/^[^\s:/]{1,253}$/.test(name))
    throw new EarshotError("EINVAL", `${JSON.stringify(name)} is no host name`)
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535))
    throw new EarshotError("EINVAL", `${port} is no port`)
  let resolver = resolverOf(servers)
  const addresses: ResolveName = (host) => addressesOf(resolver, host, servers === undefined)

  const places = async (): Promise<string[]> => {
    // A new one knows nothing yet: Bun's keep what they were answered, and that it was nothing, for as long as that may be kept.
    resolver = resolverOf(servers)
    const [srv, plain] = await Promise.allSettled([resolver.resolveSrv(name), addresses(name)])
    const all = srv.status === "fulfilled" ? srv.value.slice(0, MOST_RECORDS) : []
    if (all.length === 0 && plain.status === "rejected") throw plain.reason
    if (all.length === 0 && plain.status === "fulfilled") return plain.value.map((address) => placeOf(address, port))
    const records = all.some((record) => record.port === port) ? all.filter((record) => record.port === port) : all
    const found = await Promise.allSettled(
      records.map(async (record) => (await addresses(record.name)).map((address) => placeOf(address, record.port))),
    )
    const places = found.flatMap((result) => (result.status === "fulfilled" ? result.value : []))
    if (places.length === 0)
      throw new EarshotError("ENOTFOUND", "none of the targets of its SRV records has an address")
    return places
  }
  return new Asking("dns", [
    {
      ask: async () => [...new Set(await places())].map((endpoint) => ({ endpoints: [endpoint] })),
      cancel: () => resolver.cancel(),
      finding: (error) => ({
        key: "dns-unresolved",
        evidence: `the name ${name} leads nowhere: ${error instanceof Error ? error.message : String(error)}`,
        cure: "check the name, and that its records are published before their members are ready",
      }),
    },
  ])
}

/** All addresses of a host, as the system finds them: hosts file, search domains and all. */
export const resolveName: ResolveName = async (host) => [
  ...new Set((await lookup(host, { all: true })).map(({ address }) => address)),
]

/** Of the name servers first, who leave out none; then the system's way, which knows hosts files and search domains. */
async function addressesOf(resolver: Resolver, host: string, orSystem: boolean): Promise<readonly string[]> {
  const [four, six] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
  const found = [four, six].flatMap((result) => (result.status === "fulfilled" ? result.value : []))
  if (found.length > 0) return found
  if (orSystem) return resolveName(host)
  throw new EarshotError("ENOTFOUND", `no address for ${host}`, four.status === "rejected" ? four.reason : undefined)
}

function resolverOf(servers: readonly string[] | undefined): Resolver {
  const resolver = new Resolver({ timeout: PATIENCE, tries: TRIES })
  try {
    if (servers !== undefined) resolver.setServers(servers)
  } catch (error) {
    throw new EarshotError("EINVAL", `bad name servers: ${servers?.join(", ")}`, error)
  }
  return resolver
}

function placeOf(address: string, port: number | undefined): string {
  if (port === undefined) throw new EarshotError("EINVAL", "it has no SRV records, so dns() needs a port")
  return `tcp://${inUrl(address)}:${port}`
}
