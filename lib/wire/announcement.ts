/** What sockets tell each other of themselves in READY (RFC 37, WIRE 1.3), with Earshot's own properties. */
import { EMPTY, decodeText, encodeText } from "../bytes.ts"
import type { Metadata, SocketType } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { property } from "./metadata.ts"
import { printable } from "./null.ts"

/** The routing ids of these types are announced, even when empty, as libzmq does. */
const NAMED: ReadonlySet<SocketType> = new Set(["REQ", "DEALER", "ROUTER"])

export interface Announcement {
  /** All properties but the token. */
  readonly metadata: Metadata
  /** Undefined for a peer that doesn't say, as libzmq allows. */
  readonly type: SocketType | undefined
  readonly routingId: Uint8Array
  /** The peer is an Earshot socket. */
  readonly earshot: boolean
  /** The largest message that the peer says it takes. */
  readonly max: number
  /** What it wants to be let in for. */
  readonly token: Uint8Array | undefined
}

const TOKEN = "X-Earshot-Auth"
/** A token is at most so long, in bytes. */
export const MAX_TOKEN = 4096

/** `max`: the largest message this side takes, -1 = any. `token`: what `authenticate` of the other side judges us by. */
export function announce(type: SocketType, routingId: Uint8Array, max: number, token?: Uint8Array): Metadata {
  const properties = new Map([["Socket-Type", encodeText(type)]])
  if (NAMED.has(type)) properties.set("Identity", routingId)
  properties.set("X-Earshot", encodeText("1"))
  if (max >= 0) properties.set("X-Earshot-Max", encodeText(String(max)))
  if (token !== undefined) properties.set(TOKEN, token)
  return properties
}

/** Throws for a peer that breaks the rules. */
export function readAnnouncement(properties: Metadata): Announcement {
  // The token is for the judge alone: who lists a peer's properties must not come upon it.
  const metadata = new Map([...properties].filter(([name]) => name.toLowerCase() !== TOKEN.toLowerCase()))
  const type = property(metadata, "Socket-Type")
  const routingId = property(metadata, "Identity") ?? EMPTY
  if (routingId.length > 255) throw new EarshotError("EPROTO", "a routing id of more than 255 bytes")
  // Routing ids that begin with 00 are the ROUTER's own to give: a peer that claims one could pass for another.
  if (routingId[0] === 0) throw new EarshotError("EPROTO", "a routing id that begins with a zero byte")
  const token = property(properties, TOKEN)
  if (token !== undefined && token.length > MAX_TOKEN) throw new EarshotError("EPROTO", "a token of more than 4 KiB")
  const max = decodeText(property(metadata, "X-Earshot-Max") ?? EMPTY)
  return {
    metadata,
    type: type === undefined ? undefined : (printable(decodeText(type)) as SocketType),
    routingId,
    earshot: property(metadata, "X-Earshot") !== undefined,
    token,
    max: /^\d{1,15}$/.test(max) ? Number(max) : Infinity,
  }
}

/** Throws for a peer whose type is none of `accepts`. */
export function checkType({ type }: Announcement, accepts: readonly SocketType[]): void {
  if (type !== undefined && !accepts.includes(type))
    throw new EarshotError("INCOMPATIBLE", `a ${type} does not fit: only ${accepts.join(", ")}`)
}
