/** Who members say they are: the bodies of ASK, HELLO and WELCOME, which are MessagePack maps (PROTOCOL.md). */
import { EarshotError } from "../errors.ts"
import { msgpack } from "./msgpack.ts"
import { isPrintable, printable } from "./printable.ts"
import { MAJOR, MINOR } from "./wire.ts"

/** What both sides tell. ASK has only the first five. */
export interface Introduction {
  readonly id: string
  /** Drawn anew by each process: two living members of one id are told apart by it. */
  readonly nonce: string
  readonly network: string
  readonly version: readonly [major: number, minor: number]
  readonly features: readonly string[]
  readonly name: string
  readonly endpoints: readonly string[]
  /** So many of `endpoints`, from the first on, were named by `advertise`. */
  readonly advertised: number
  readonly meta: Readonly<Record<string, unknown>>
  /** It listens nowhere. */
  readonly leaf: boolean
  /** How many leaves it carries. */
  readonly leaves: number
  readonly epoch: number
  /** In HELLO: links with members that listen that it has, and is making, this one not among them; and how many it may have. */
  readonly links: number
  readonly dials: number
  readonly maxLinks: number
  /** HELLO: one higher than any the dialler has seen for this pair. WELCOME: the same. */
  readonly link: number
  /** Counted messages taken from the other side since these two boots met. */
  readonly taken: number
  /** In HELLO and WELCOME: it remembers the other side's boot, with what was counted. */
  readonly met: boolean
  /** ms since 1970 when it was written, on the writer's clock. */
  readonly wall?: number | undefined
  /** ms by which that clock is ahead of ours, about: never told, see `Doors`. */
  readonly ahead?: number | undefined
}

/** Optional parts of the protocol that this code has. A feature is used on a link when both name it. */
export const FEATURES: readonly string[] = [
  "replay",
  "groups",
  "gossip",
  "suspect",
  "sample",
  "brief",
  "crowd",
  "to",
  "many",
]

export const VERSION: readonly [number, number] = [MAJOR, MINOR]

/** What an introduction may have; whatever else is in it is of a later version. */
export const FIELDS: ReadonlySet<string> = new Set(
  "id nonce network version features name endpoints advertised meta leaf leaves links dials maxLinks epoch link taken met wall".split(
    " ",
  ),
)
const ID = /^[\x21-\x7e]{1,64}$/
/** What may be one: `scheme://address`. */
export const ENDPOINT: RegExp = /^[a-z][a-z0-9+.-]*:\/\/./
const MAX_NAME = 256
/** Endpoints of one member: whatever comes behind them is not read. */
export const MAX_ENDPOINTS = 32
const MAX_ENDPOINT = 1024
const MAX_BODY = 65_536
/** Bytes of MessagePack that another may have us hold as its `meta`. */
const MAX_META = 8192

export function writeIntroduction(introduction: Partial<Introduction>): Uint8Array {
  return msgpack.encode(introduction)
}

/**
 * What is missing gets what harms nobody; `onUnknown` is told how many fields are of a later version, or no use. Throws
 * EPROTO for one without id, version or network.
 */
export function readIntroduction(body: Uint8Array | undefined, onUnknown: (count: number) => void): Introduction {
  return introductionOf(readMap(body), onUnknown)
}

/** What a member says anew of itself, over what it said before. Throws EPROTO. */
export function readUpdate(
  before: Pick<Introduction, "id" | "name" | "endpoints" | "advertised" | "meta" | "leaf" | "leaves">,
  body: Uint8Array | undefined,
  onUnknown: (count: number) => void,
): Introduction {
  const { id, name, endpoints, advertised, meta, leaf, leaves } = before
  const known = { name, endpoints, advertised, meta, leaf, leaves }
  return introductionOf({ ...known, ...readMap(body), id, version: VERSION, network: "" }, onUnknown)
}

function introductionOf(map: Readonly<Record<string, unknown>>, onUnknown: (count: number) => void): Introduction {
  const { id, version, network } = map
  if (!isMemberId(id)) throw bad("an id")
  if (!Array.isArray(version) || !isCount(version[0]) || !isCount(version[1])) throw bad("a version")
  if (typeof network !== "string" || network.length > MAX_NAME) throw bad("a network")
  let unknown = 0
  for (const field of Object.keys(map)) if (!FIELDS.has(field)) unknown++
  const meta = metaOf(map["meta"])
  if (meta === undefined) unknown++
  if (unknown > 0) onUnknown(unknown)
  return {
    id,
    nonce: text(map["nonce"]),
    network,
    version: [version[0], version[1]],
    features: texts(map["features"], 64, 64),
    name: text(map["name"]) || id,
    endpoints: endpointsOf(map["endpoints"]),
    advertised: count(map["advertised"]),
    meta: meta ?? {},
    leaf: map["leaf"] === true,
    leaves: count(map["leaves"]),
    links: count(map["links"]),
    dials: count(map["dials"]),
    maxLinks: isCount(map["maxLinks"]) ? map["maxLinks"] : Infinity,
    epoch: count(map["epoch"]),
    link: count(map["link"]),
    taken: count(map["taken"]),
    met: map["met"] !== false,
    wall: isCount(map["wall"]) ? map["wall"] : undefined,
  }
}

/** 1 to 64 visible characters of ASCII. */
export function isMemberId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value)
}

/** Those that could be endpoints, at most 32 of at most 1,024 characters. */
export function endpointsOf(value: unknown): string[] {
  return texts(value, MAX_ENDPOINTS, MAX_ENDPOINT).filter((each) => ENDPOINT.test(each) && isPrintable(each))
}

/** A body that is a map of MessagePack. Throws EPROTO. */
export function readMap(body: Uint8Array | undefined): Record<string, unknown> {
  if (body === undefined || body.length > MAX_BODY) throw bad("a body")
  let value: unknown
  try {
    value = msgpack.decode(body)
  } catch (error) {
    throw new EarshotError("EPROTO", "a mesh message whose body is no MessagePack", error)
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad("a map")
  return value as Record<string, unknown>
}

function text(value: unknown): string {
  return typeof value === "string" && value.length <= MAX_NAME ? printable(value) : ""
}

/** Undefined for what is none, or too much. */
function metaOf(value: unknown = {}): Record<string, unknown> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined
  try {
    return msgpack.encode(value).length <= MAX_META ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function texts(value: unknown, most: number, longest: number): string[] {
  if (!Array.isArray(value)) return []
  return value.slice(0, most).filter((each): each is string => typeof each === "string" && each.length <= longest)
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const count = (value: unknown): number => (isCount(value) ? value : 0)

function bad(what: string): EarshotError {
  return new EarshotError("EPROTO", `a mesh introduction without ${what} that fits`)
}
