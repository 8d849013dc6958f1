/**
 * What an mDNS packet says of members. Pure: records in, sightings out, and no record that a stranger could make throws.
 *
 * Read by hand, not by bonjour-service's browser, which lists a killed publisher for hours, sees no change of address, takes
 * no answer without PTR, and grows with whatever is announced.
 */
import { isIP } from "node:net"
import { isId } from "../identity.ts"

/** The service type of RFC 6763, 7. */
export const SERVICE = "_earshot._tcp.local"

/** A resource record as the decoder gives it. */
export interface ResourceRecord {
  readonly name: string
  readonly type: string
  readonly ttl?: number
  readonly data?: unknown
}

/** One member, as one packet shows it. */
export interface Sighting {
  readonly id: string
  /** The protocol's major version; undefined where the packet does not say it. */
  readonly version: number | undefined
  readonly network: string | undefined
  /** What comes after the host in its endpoints, by scheme: `:4101`, `:8080/earshot`. */
  readonly tcp: string | undefined
  readonly ws: string | undefined
  /** Addresses that the packet names for it. */
  readonly addresses: readonly string[]
  /** It says goodbye (a TTL of 0). */
  readonly gone: boolean
}

/** What one packet may make us do. */
const MOST_MEMBERS = 64
const MOST_ADDRESSES = 8

/** Members that announce themselves fully here, and instances that are named without what is needed to dial them. */
export function sightings(records: readonly ResourceRecord[]): { seen: Sighting[]; incomplete: string[] } {
  const texts = new Map<string, ResourceRecord>()
  const hosts = new Map<string, string>()
  const addresses = new Map<string, string[]>()
  const named = new Set<string>()
  for (const record of records) {
    const name = lower(record.name)
    if (record.type === "PTR" && name === SERVICE && live(record)) named.add(lower(record.data))
    else if (record.type === "TXT" && isInstance(name)) texts.set(name, record)
    else if (record.type === "SRV" && isInstance(name)) hosts.set(name, lower(Object(record.data).target))
    else if (record.type === "A" || record.type === "AAAA") remember(addresses, name, record.data)
  }
  const seen: Sighting[] = []
  for (const [instance, text] of texts) {
    if (seen.length === MOST_MEMBERS) break
    const sighting = sightingOf(text, addresses.get(hosts.get(instance) ?? "") ?? [])
    if (sighting !== undefined) seen.push(sighting)
  }
  const incomplete = [...named].filter((name) => isInstance(name) && !texts.has(name)).slice(0, MOST_MEMBERS)
  return { seen, incomplete }
}

function remember(addresses: Map<string, string[]>, host: string, address: unknown): void {
  if (typeof address !== "string" || isIP(address) === 0) return
  const list = addresses.get(host)
  if (list === undefined) addresses.set(host, [address])
  else if (list.length < MOST_ADDRESSES) list.push(address)
}

function sightingOf(text: ResourceRecord, addresses: readonly string[]): Sighting | undefined {
  const values = textOf(text.data)
  const id = values.get("id") ?? ""
  if (!isId(id)) return undefined
  const [network, version] = [values.get("net") ?? "", values.get("v") ?? ""]
  return {
    id,
    version: /^\d{1,4}$/.test(version) ? Number(version) : undefined,
    network: /^[0-9a-f]{16}$/.test(network) ? network : undefined,
    tcp: placeOf(values.get("tcp"), /^\d+$/),
    ws: placeOf(values.get("ws"), /^\d+(\/[\w\-.~%/]{0,100})?$/),
    addresses,
    gone: !live(text),
  }
}

function placeOf(value: string | undefined, form: RegExp): string | undefined {
  if (value === undefined || !form.test(value)) return undefined
  const port = Number.parseInt(value, 10)
  return port >= 1 && port <= 65_535 ? `:${port}${value.replace(/^\d+/, "")}` : undefined
}

/** RFC 6763, 6.4: of a key that comes twice, the first counts. */
function textOf(data: unknown): Map<string, string> {
  const values = new Map<string, string>()
  for (const item of Array.isArray(data) ? data : []) {
    if (!(item instanceof Uint8Array)) continue
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(String(item)) ?? []
    if (key !== undefined && !values.has(key)) values.set(key, value!)
  }
  return values
}

function live({ ttl }: ResourceRecord): boolean {
  return ttl !== 0
}

function isInstance(name: string): boolean {
  return name.endsWith(`.${SERVICE}`)
}

function lower(name: unknown): string {
  return typeof name === "string" ? name.toLowerCase() : ""
}
