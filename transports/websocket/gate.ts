/**
 * Who may come in: the rules for an upgrade. Web pages reach every address their browser does, so a server that asks
 * nobody where he comes from is open to every page its user looks at; that is what Origin and Host are compared for.
 */
import type { Clock } from "../../lib/clock.ts"
import { EarshotError } from "../../lib/errors.ts"
import { hostName, isAddress, isLoopback, isPrivate } from "./address.ts"
import { plain } from "./plain.ts"
import { clientOf, isForwarded, truster, type Headers, type Origin } from "./proxy.ts"

/** The rules, all of them said. */
export interface GateRules {
  readonly origins: readonly string[]
  readonly hosts: readonly string[]
  readonly trustProxy: boolean | readonly string[]
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  readonly upgradesPerSecond: number
}

/** Why not. */
export interface Refusal {
  /** In one word, for counters. */
  readonly cause: string
  /** Of HTTP. */
  readonly status: number
  /** For the client. */
  readonly sentence: string
  /** For whoever runs the server: what was compared, and which option would allow it. */
  readonly error: EarshotError
}

/** Whoever has come in. */
export interface Visitor {
  /** What counts for limits per address; undefined: nothing does. */
  readonly host: string | undefined
  /** Its IP address. */
  readonly address: string
  readonly secure: boolean
  /** Call once when it is gone. */
  readonly leave: () => void
}

export class Gate {
  private readonly rules: GateRules
  private readonly clock: Clock
  private readonly ownNames: ReadonlySet<string>
  /** Of the rules, as browsers write them. */
  private readonly names: ReadonlySet<string>
  private readonly origins: ReadonlySet<string>
  private readonly onWarning: (text: string) => void
  private readonly trusts: (address: string) => boolean
  private readonly byAddress = new Map<string, number>()
  private connections = 0
  /** Upgrades that may still come at once. */
  private tokens: number
  private filled: number
  private warned = false

  constructor(rules: GateRules, clock: Clock, ownNames: readonly string[], onWarning: (text: string) => void) {
    this.rules = rules
    this.clock = clock
    this.ownNames = new Set(ownNames.map(asSent))
    this.names = new Set(rules.hosts.map(asSent))
    this.origins = new Set(rules.origins.map(originAsSent))
    this.onWarning = onWarning
    this.trusts = truster(rules.trustProxy)
    this.tokens = rules.upgradesPerSecond
    this.filled = clock.now()
  }

  /** Lets it in, or says why not. `direct` is what its socket shows. */
  admit(direct: Origin, headers: Headers): Visitor | Refusal {
    const client = clientOf(direct, headers, this.rules.trustProxy)
    if (client === undefined)
      return refusal("forwarded", 400, "The headers about the way here contradict each other.", [
        `Forwarded says another client than X-Forwarded-For; the proxy at ${direct.address} must set or remove both`,
        "",
      ])
    const refused =
      this.checkHost(client.host) ??
      this.checkOrigin(headers["origin"], client.host) ??
      this.checkFlood() ??
      this.checkRoom(client, direct, headers)
    return refused ?? this.enter(client, this.hostOf(client, direct, headers))
  }

  /** A page of a stranger can give this machine a name of its own (DNS rebinding), but not an address or a name of ours. */
  private checkHost(header: string | undefined): Refusal | undefined {
    const name = hostName(header ?? "")
    if (name === undefined)
      return refusal("host", 400, "The request has no Host header that names a host.", [
        header === undefined ? "there is no Host header" : `the Host header says ${quote(header)}, which names no host`,
        "",
      ])
    if (isAddress(name) || isLoopback(name) || this.ownNames.has(name) || this.names.has(name)) return undefined
    if (this.names.has("*")) return undefined
    return refusal("host", 403, `This server is not known as ${quote(name)}.`, [
      `the Host header says ${quote(name)}, which is no IP address, not localhost, none of this machine's own names (${[...this.ownNames].join(", ")})`,
      `hosts: [${quote(name)}]`,
    ])
  }

  private checkOrigin(header: Headers[string], host: string | undefined): Refusal | undefined {
    // Not a browser: nobody can make it send what it doesn't want to.
    if (header === undefined) return undefined
    const origin = String(header).toLowerCase()
    if (this.origins.has("*") || this.origins.has(origin)) return undefined
    const page = /^https?:\/\/([^/]+)$/.exec(origin)?.[1]
    const name = page === undefined ? undefined : hostName(page)
    const here = hostName(host ?? "")
    if (name !== undefined && (name === here || (isLoopback(name) && here !== undefined && isLoopback(here))))
      return undefined
    return refusal("origin", 403, `Pages from ${quote(origin)} may not connect to this server.`, [
      `the Origin ${quote(origin)} is not of the same host as the Host header (${quote(host ?? "")})`,
      `origins: [${quote(origin)}]`,
    ])
  }

  /** A bucket that fills within a second. Who may not come in anyway, a hostile page say, takes nothing from it. */
  private checkFlood(): Refusal | undefined {
    const { upgradesPerSecond } = this.rules
    const now = this.clock.now()
    this.tokens = Math.min(upgradesPerSecond, this.tokens + ((now - this.filled) / 1000) * upgradesPerSecond)
    this.filled = now
    if (this.tokens < 1)
      return refusal("flood", 503, "Too many connections were opened in the last second.", [
        `more than ${upgradesPerSecond} upgrades in a second`,
        "upgradesPerSecond",
      ])
    this.tokens--
    return undefined
  }

  private checkRoom(client: Origin, direct: Origin, headers: Headers): Refusal | undefined {
    const { maxConnections, maxConnectionsPerAddress } = this.rules
    if (this.connections >= maxConnections)
      return refusal("connections", 503, "This server takes no more connections.", [
        `there are ${maxConnections} connections`,
        "maxConnections",
      ])
    const host = this.hostOf(client, direct, headers)
    if (host === undefined || (this.byAddress.get(host) ?? 0) < maxConnectionsPerAddress) return undefined
    return refusal("address", 429, "There are too many connections from this address.", [
      `there are ${maxConnectionsPerAddress} connections from ${host}`,
      "maxConnectionsPerAddress",
    ])
  }

  /** What limits per address go by. */
  private hostOf(client: Origin, direct: Origin, headers: Headers): string | undefined {
    if (!this.trusts(direct.address) && isPrivate(direct.address) && isForwarded(headers)) {
      if (!this.warned)
        this.onWarning(
          `${direct.address} passes on the connections of others, so limits per address don't hold for it; ` +
            `trustProxy: [${quote(direct.address)}] would take the clients' own addresses from its headers`,
        )
      this.warned = true
      return undefined
    }
    return isLoopback(client.address) ? undefined : client.address
  }

  private enter({ address, secure }: Origin, host: string | undefined): Visitor {
    const { byAddress } = this
    this.connections++
    if (host !== undefined) byAddress.set(host, (byAddress.get(host) ?? 0) + 1)
    const leave = (): void => {
      this.connections--
      if (host === undefined) return
      const left = byAddress.get(host)! - 1
      if (left > 0) byAddress.set(host, left)
      else byAddress.delete(host)
    }
    return { host, address, secure, leave }
  }
}

/** `compared` and the option that would allow it. */
export function refusal(
  cause: string,
  status: number,
  sentence: string,
  [compared, option]: readonly [compared: string, option: string],
): Refusal {
  const text = option === "" ? compared : `${compared}; the option ${option} would allow it`
  return { cause, status, sentence, error: new EarshotError("FORBIDDEN", `connection refused: ${text}`) }
}

/** May it stand in `hosts`? */
export function isHost(text: string): boolean {
  return /^[^[\]:/?#@\s]+$/.test(text) || isAddress(text.replace(/^\[|\]$/g, ""))
}

/** May it stand in `origins`? */
export function isOrigin(text: string): boolean {
  return text === "*" || text.toLowerCase() === "null" || /^[a-z][a-z\d+.-]*:\/\/[^/?#\s]+\/?$/i.test(text)
}

/** A name as browsers put it into Host: in lower case, and `bücher.example` as `xn--bcher-kva.example`. */
function asSent(name: string): string {
  const url = `http://${name}`
  const foreign = /[^\x20-\x7e]/.test(name) && URL.canParse(url)
  return hostName(foreign ? new URL(url).hostname : name) ?? name
}

/** The same in Origin: `https://app.example:443/` as `https://app.example`. */
function originAsSent(text: string): string {
  // Those of other schemes, of apps in a shell say, have none by the rules for URLs, and send it nevertheless.
  const web = /^https?:/i.test(text) && URL.canParse(text)
  return web ? new URL(text).origin : text.toLowerCase().replace(/\/$/, "")
}

/** What a stranger sent, fit for a log. */
export function quote(text: string): string {
  return JSON.stringify(plain(text))
}
