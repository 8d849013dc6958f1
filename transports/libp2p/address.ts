/**
 * Addresses of libp2p endpoints: a multiaddr and, behind `#`, the name of one socket of the node there.
 *   bind      #prices   #*   /ip4/127.0.0.1#prices, for this host alone   and what a listener says that it is bound to
 *   connect   /ip4/10.0.0.5/tcp/4001/p2p/12D3Koo…#prices   /p2p/12D3Koo…#prices, where the node knows the way
 * What a multiaddr means is libp2p's business; its last part is the peer id, so that nobody else is taken for it.
 */
import { EarshotError } from "../../lib/errors.ts"

export interface PeerAddress {
  /** Empty: this node, wherever it listens. `LOOPBACK`: the same, for peers on this host. */
  readonly multiaddr: string
  /** `*`: any that is free. */
  readonly name: string
}

/** Bound to it, a name is for this host alone, IPv6 too. */
export const LOOPBACK = "/ip4/127.0.0.1"

/** Of the protocol that names a socket; another version would be another protocol. */
const PROTOCOL = "/earshot/zmtp/1.0.0/"

/** The libp2p protocol id of a name: ZMTP 3.1 as over TCP (RFC 37), from the greeting on. */
export function protocolOf(name: string): string {
  return PROTOCOL + name
}

export function parseAddress(address: string, side: "bind" | "connect"): PeerAddress {
  const refuse = (why: string): EarshotError =>
    new EarshotError("EINVAL", `can't ${side} ${side === "connect" ? "to " : ""}libp2p://${address}: ${why}`)
  const [multiaddr = "", name, ...more] = address.split("#")
  if (name === undefined || more.length > 0) throw refuse("one # and a name are needed")
  if (!/^([\w.~-]{1,64}|\*)$/.test(name)) throw refuse("a name has up to 64 letters, digits, and any of - . _ ~")
  if (name === "*" && side === "connect") throw refuse("* is for binding; say whom to connect to")
  if (multiaddr === "" && side === "connect") throw refuse("a multiaddr is needed in front of the #")
  if (multiaddr === LOOPBACK && side === "bind") return { multiaddr, name }
  if (multiaddr !== "" && !/^(\/[^/\s]+)*\/p2p\/[a-zA-Z0-9]+$/.test(multiaddr))
    throw refuse("a multiaddr is needed that ends in /p2p/ and a peer id")
  return { multiaddr, name }
}

export function formatAddress({ multiaddr, name }: PeerAddress): string {
  return `${multiaddr}#${name}`
}

/** The peer id that a multiaddr ends in. */
export function peerIdOf(multiaddr: string): string {
  return multiaddr.slice(multiaddr.lastIndexOf("/") + 1)
}

/** An address of IP in a multiaddr, of the relay where it leads over one; undefined on loopback, and where there is none. */
export function hostOf(multiaddr: string): string | undefined {
  const ip = ipOf(multiaddr)
  return ip === undefined || isLoopback(ip) ? undefined : ip
}

/** Over a relay: whoever that is, and wherever the peer is. */
export function isRelayed(multiaddr: string): boolean {
  return /\/p2p-circuit(\/|$)/.test(multiaddr)
}

/** By WebRTC: a relay introduces the two, and what they say goes straight. */
export function isIntroduced(multiaddr: string): boolean {
  return multiaddr.includes("/p2p-circuit/webrtc/")
}

/** It leads to this host and no other. `own`: further addresses of it, beside loopback. */
export function isNear(multiaddr: string, own: ReadonlySet<string> = new Set()): boolean {
  if (isRelayed(multiaddr)) return false
  const ip = ipOf(multiaddr)
  return ip === undefined ? /^\/(unix|memory)\//.test(multiaddr) : isLoopback(ip) || own.has(ip)
}

function ipOf(multiaddr: string): string | undefined {
  return /^\/ip[46]\/([^/]+)/.exec(multiaddr)?.[1]?.replace(/^::ffff:(?=\d+\.)/i, "")
}

function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1"
}
