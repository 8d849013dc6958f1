/** Who members say they are: the bodies of ASK, HELLO and WELCOME, which are MessagePack maps (PROTOCOL.md). */
import { EarshotError } from "../errors.ts"
import { msgpack } from "./msgpack.ts"
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
  readonly meta: Readonly<Record<string, unknown>>
  /** It listens nowhere. */
  readonly leaf: boolean
  /** How many leaves it carries. */
  readonly leaves: number
  readonly epoch: number
  /** HELLO: one higher than any the dialler has seen for this pair. WELCOME: the same. */
  readonly link: number
  /** Counted messages taken from the other side since these two boots met. */
  readonly taken: number
}

/** Optional parts of the protocol that this code has. A feature is used on a link when both name it. */
export const FEATURES: readonly string[] = ["replay", "groups", "gossip", "suspect"]

export const VERSION: readonly [number, number] = [MAJOR, MINOR]

const MAX_NAME = 256
const MAX_ENDPOINTS = 32
const MAX_ENDPOINT = 1024
const MAX_BODY = 65_536

export function writeIntroduction(introduction: Partial<Introduction>): Uint8Array {
  return msgpack.encode(introduction)
}

/** Fields it doesn't know are left alone, missing ones get what harms nobody. Throws EPROTO for one without id or version. */
export function readIntroduction(body: Uint8Array | undefined): Introduction {
  const map = readMap(body)
  const { id, version, network, meta } = map
  if (typeof id !== "string" || !/^[\x21-\x7e]{1,64}$/.test(id)) throw bad("an id")
  if (!Array.isArray(version) || !isCount(version[0]) || !isCount(version[1])) throw bad("a version")
  if (typeof network !== "string" || network.length > MAX_NAME) throw bad("a network")
  return {
    id,
    nonce: text(map["nonce"]),
    network,
    version: [version[0], version[1]],
    features: texts(map["features"], 64, 64),
    name: text(map["name"]) || id,
    endpoints: texts(map["endpoints"], MAX_ENDPOINTS, MAX_ENDPOINT),
    meta: typeof meta === "object" && meta !== null && !Array.isArray(meta) ? (meta as Record<string, unknown>) : {},
    leaf: map["leaf"] === true,
    leaves: count(map["leaves"]),
    epoch: count(map["epoch"]),
    link: count(map["link"]),
    taken: count(map["taken"]),
  }
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
  return typeof value === "string" && value.length <= MAX_NAME ? value : ""
}

function texts(value: unknown, most: number, longest: number): string[] {
  if (!Array.isArray(value)) return []
  return value.filter((each): each is string => typeof each === "string" && each.length <= longest).slice(0, most)
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

const count = (value: unknown): number => (isCount(value) ? value : 0)

function bad(what: string): EarshotError {
  return new EarshotError("EPROTO", `a mesh introduction without ${what} that fits`)
}
