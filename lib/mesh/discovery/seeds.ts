/** Places that somebody wrote down. */
import { EarshotError } from "../../errors.ts"
import { parseEndpoint } from "../../endpoint.ts"
import type { Discovery } from "../contract.ts"
import { Asking, type Question } from "./asking.ts"

/** All addresses of a host name, IPv4 and IPv6; rejects when there are none. */
export type ResolveName = (host: string) => Promise<readonly string[]>

/**
 * Members at known endpoints, such as `tcp://10.0.0.5:4101`; one that answers is enough, the others are heard of from it. Any
 * of a member's endpoints can be a seed. Tried again for as long as the mesh lives.
 *
 * On Node the host name of a `tcp://` endpoint stands for all its addresses, each perhaps a member of its own; it is looked up
 * again every 5 s, and every 500 ms while nobody is linked (by a leaf after up to 250 ms, doubled up to 5 s). Names in `ws://` and `wss://` stay as they are, since servers and
 * certificates go by them. Throws EINVAL for what is no endpoint.
 */
export function seeds(...endpoints: string[]): Discovery {
  return seedsWith(undefined, endpoints)
}

/** `seeds` where names can be looked up. */
export function seedsWith(resolve: ResolveName | undefined, endpoints: readonly string[]): Discovery {
  return new Asking(
    "seeds",
    endpoints.map((endpoint) => questionOf(endpoint, resolve)),
  )
}

function questionOf(endpoint: string, resolve: ResolveName | undefined): Question {
  const { scheme, address } = parseEndpoint(endpoint)
  if (address.startsWith("*")) throw new EarshotError("EINVAL", `the seed ${endpoint} is no place to connect to`)
  // No digits and dots alone: those are addresses, and so is what stands in brackets.
  const [, name, port] = (scheme === "tcp" && /^(?![\d.]+:)([^[\]:;]+):(\d+)$/.exec(address)) || []
  const literal = [{ endpoints: [endpoint] }]
  return {
    ask: async () =>
      name === undefined || resolve === undefined
        ? literal
        : (await resolve(name)).map((address) => ({ endpoints: [`tcp://${inUrl(address)}:${port}`] })),
    finding: (error) => ({
      key: "seed-unresolved",
      evidence: `the seed ${endpoint} has no address: ${error instanceof Error ? error.message : String(error)}`,
      cure: "check the name, or write its address",
    }),
  }
}

function inUrl(address: string): string {
  return address.includes(":") ? `[${address}]` : address
}
