/** `scheme://address`, and which transport serves which scheme. */
import type { Place, Transport } from "./contract.ts"
import { EarshotError } from "./errors.ts"

/** An endpoint in its two parts. What the address means is the transport's business. */
export interface Endpoint {
  readonly scheme: string
  readonly address: string
}

/** Longer than any address that can work, and short enough for a log. */
const MAX_LENGTH = 1024

/** Throws EINVAL for what has not this form. */
export function parseEndpoint(endpoint: string): Endpoint {
  if (typeof endpoint !== "string") throw new EarshotError("EINVAL", `an endpoint is a string, not ${typeof endpoint}`)
  if (endpoint.length > MAX_LENGTH) throw new EarshotError("EINVAL", `an endpoint of ${endpoint.length} characters`)
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^\x00-\x1f\x7f]+)$/.exec(endpoint)
  if (match === null)
    throw new EarshotError(
      "EINVAL",
      `bad endpoint ${JSON.stringify(endpoint)}: it must be scheme://address, such as tcp://127.0.0.1:5555`,
    )
  return { scheme: match[1]!, address: match[2]! }
}

/** The transports of one program, by scheme. */
export class Transports {
  private readonly byScheme = new Map<string, Transport>()

  /** A transport registered later for the same scheme takes its place. */
  register(transport: Transport): void {
    this.byScheme.set(transport.scheme, transport)
  }

  /** Throws EPROTONOSUPPORT for a scheme that nobody serves. */
  get(scheme: string): Transport {
    const transport = this.byScheme.get(scheme)
    if (transport !== undefined) return transport
    const known = [...this.byScheme.keys()].sort().join(", ") || "none"
    throw new EarshotError("EPROTONOSUPPORT", `no transport for ${scheme}:// (there are: ${known})`)
  }
}

/** Where an endpoint is, and what it is called. Throws as `parseEndpoint` and `Transports.get` do. */
export function locate(endpoint: string | Place, transports: Transports): Place & { readonly name: string } {
  const { transport, address } = Object(endpoint) as Partial<Place>
  if (typeof address === "string" && typeof transport?.check === "function")
    return { transport, address, name: `${transport.scheme}://${address}` }
  const parsed = parseEndpoint(endpoint as string)
  return { transport: transports.get(parsed.scheme), address: parsed.address, name: endpoint as string }
}
