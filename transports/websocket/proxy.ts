/**
 * Who is at the other end when a reverse proxy stands between: `Forwarded` (RFC 7239), or `X-Forwarded-For`, `-Host`
 * and `-Proto`. Each proxy adds what it saw behind what was there, so the last entry is the word of the nearest one, and
 * everything in front of the first that is no proxy of ours may be made up.
 */
import { hostName, isAddress, plainAddress, shortest } from "./address.ts"

/** Headers of a request, by their names in lower case. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** The other end, by its socket or by the word of a proxy. */
export interface Origin {
  readonly address: string
  /** As in a Host header. */
  readonly host: string | undefined
  readonly secure: boolean
}

const NAMES = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]

/** Does it say that a proxy has passed it on? */
export function isForwarded(headers: Headers): boolean {
  return NAMES.some((name) => headers[name] !== undefined)
}

/** Whose word is taken: everybody's (one proxy), nobody's, or that of such addresses. */
export function truster(trust: boolean | readonly string[] | undefined): (address: string) => boolean {
  if (typeof trust === "boolean" || trust === undefined) return () => trust === true
  const ranges = trust.map(rangeOf)
  return (address) => {
    const bits = bitsOf(address)
    return bits !== undefined && ranges.some((range) => range !== undefined && bits.startsWith(range))
  }
}

/** Is this an address, or a range of them, that `truster` understands? */
export function isRange(text: string): boolean {
  return rangeOf(text) !== undefined
}

/**
 * The client, as the proxies tell it whose word is taken; as the socket shows it where there are none. Undefined where
 * `Forwarded` and `X-Forwarded-For` disagree: most proxies set one of the two and pass on the other, whoever wrote it.
 */
export function clientOf(
  direct: Origin,
  headers: Headers,
  trust: boolean | readonly string[] | undefined,
): Origin | undefined {
  const trusts = truster(trust)
  if (!trusts(direct.address)) return direct
  // With `true` one proxy is meant: its own word is the last.
  const nearest = (hops: readonly Hop[]): Hop | undefined => {
    let at = hops.length - 1
    if (trust !== true) while (at > 0 && trusts(hops[at]!.for ?? "")) at--
    return hops[at]
  }
  const standard = nearest(list(headers["forwarded"]).map(hopOf))
  const usual = nearest(usualHops(headers))
  if (standard !== undefined && headers["x-forwarded-for"] !== undefined && standard.for !== usual?.for)
    return undefined
  const hop = standard ?? usual
  if (hop === undefined) return direct
  return {
    address: hop.for ?? direct.address,
    host: hop.host ?? direct.host,
    secure: hop.proto === undefined ? direct.secure : hop.proto === "https" || hop.proto === "wss",
  }
}

interface Hop {
  readonly for?: string | undefined
  readonly host?: string | undefined
  readonly proto?: string | undefined
}

/** Of the headers X-Forwarded-*. */
function usualHops(headers: Headers): Hop[] {
  const [fors, hosts, protos] = [
    list(headers["x-forwarded-for"]),
    list(headers["x-forwarded-host"]),
    list(headers["x-forwarded-proto"]),
  ]
  const length = Math.max(fors.length, hosts.length, protos.length)
  // Lists of unequal length belong together from the end; a host or scheme said once holds for all.
  const from = (entries: string[], i: number): string | undefined =>
    entries[entries.length - length + i] ?? (entries.length === 1 ? entries[0] : undefined)
  return Array.from({ length }, (_, i) => ({
    for: node(from(fors, i)),
    host: from(hosts, i),
    proto: from(protos, i)?.toLowerCase(),
  }))
}

/** `for="[2001:db8::1]:4711";host=a.example;proto=https` */
function hopOf(element: string): Hop {
  const pairs = new Map<string, string>()
  for (const pair of element.split(";")) {
    const at = pair.indexOf("=")
    if (at > 0)
      pairs.set(
        pair.slice(0, at).trim().toLowerCase(),
        pair
          .slice(at + 1)
          .trim()
          .replace(/^"(.*)"$/, "$1"),
      )
  }
  return { for: node(pairs.get("for")), host: pairs.get("host"), proto: pairs.get("proto")?.toLowerCase() }
}

/** The address of a node, without its port; undefined for names that hide it (`unknown`, `_a1`). */
function node(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const host = plainAddress(isAddress(text) ? text : (hostName(text) ?? ""))
  return isAddress(host) ? (shortest(host) ?? host) : undefined
}

function list(header: string | readonly string[] | undefined): string[] {
  const text = typeof header === "string" ? header : (header ?? []).join(",")
  // Commas within quotes do not occur in what is read here.
  return text.split(",").flatMap((entry) => entry.trim() || [])
}

/** An address as a string of its bits, or, of `10.0.0.0/8`, of those that count. */
function rangeOf(text: string): string | undefined {
  const [address = "", length, ...more] = text.split("/")
  const bits = bitsOf(address)
  if (bits === undefined || more.length > 0) return undefined
  if (length === undefined) return bits
  if (!/^\d{1,3}$/.test(length) || Number(length) > bits.length - 1) return undefined
  return bits.slice(0, 1 + Number(length))
}

/** Its family comes first, so that no range of one holds addresses of the other. */
function bitsOf(address: string): string | undefined {
  const ip = plainAddress(address)
  if (!isAddress(ip)) return undefined
  const bits = (value: number, width: number): string => value.toString(2).padStart(width, "0")
  if (!ip.includes(":"))
    return `4${ip
      .split(".")
      .map((part) => bits(Number(part), 8))
      .join("")}`
  const [head = "", tail] = shortest(ip)!.split("::")
  const [front, back] = [head, tail ?? ""].map((half) => (half === "" ? [] : half.split(":")))
  const middle = tail === undefined ? [] : Array.from({ length: 8 - front!.length - back!.length }, () => "0")
  return `6${[...front!, ...middle, ...back!].map((part) => bits(Number.parseInt(part, 16), 16)).join("")}`
}
