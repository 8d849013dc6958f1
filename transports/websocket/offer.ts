/**
 * The subprotocols on the upgrade. `/` is legal in no name of one (RFC 6455 4.1, a token of RFC 7230), and yet libzmq's
 * have it: so each has an alias here, which stands for it before npm ws sees the header, and is replaced behind it.
 */
import type { Link } from "../../lib/contract.ts"
import { EARSHOT, NAIVE, ZWS } from "./stream.ts"

/** One protocol that a link can speak. */
export interface Subprotocol {
  /** As on the wire. */
  readonly name: string
  /** The same as a token. */
  readonly alias: string
  readonly protocol: Link["protocol"]
}

/** Ours first, then libzmq's with its handshake, then libzmq's without (RFC 45): the order in which a server chooses. */
export const SUBPROTOCOLS: readonly Subprotocol[] = [
  { name: EARSHOT, alias: EARSHOT, protocol: "zmtp" },
  { name: `${ZWS}/NULL`, alias: `${ZWS}.NULL`, protocol: "zws" },
  { name: ZWS, alias: ZWS, protocol: "zws-bare" },
]

/** What a client offers, in its order. */
export const OFFER: readonly Subprotocol[] = [{ name: NAIVE, alias: NAIVE, protocol: "zws-bare" }, ...SUBPROTOCOLS]

/** What a header offers. */
export function offered(header: string | undefined): string[] {
  return (header ?? "").split(",").flatMap((name) => name.trim() || [])
}

/** The first of ours among the names; undefined where none is. */
export function choose(names: readonly string[]): Subprotocol | undefined {
  return SUBPROTOCOLS.find(({ name }) => names.includes(name))
}

/** Which one an answer means, be it spelt as the name or as the alias. */
export function named(answer: string | undefined): Subprotocol | undefined {
  return OFFER.find(({ name, alias }) => answer === name || answer === alias)
}
