/** What both sides do with a new Wire: which link it becomes, and what its socket is set to. */
import type * as net from "node:net"
import type { Link, TransportOptions } from "../../lib/contract.ts"
import type { Joint } from "./link.node.ts"
import type { Subprotocol } from "./offer.ts"
import { MAX_TAKEN } from "./stream.ts"
import { StreamLink } from "./stream-link.node.ts"
import { ZwsLink } from "./zws-link.node.ts"

/** The largest signed 32-bit number: npm ws keeps its limit in one. */
const MOST = 0x7fffffff

/** Bytes of the largest WebSocket message; 0 = no limit. */
export function limitOf({ protocol }: Subprotocol, { maxMessageSize = -1 }: TransportOptions): number {
  if (protocol === "zmtp") return MAX_TAKEN
  // A frame's flags stand in front of it. A command may be larger than a small limit on messages.
  return maxMessageSize < 0 ? 0 : Math.min(MOST, Math.max(maxMessageSize, 65_536) + 1)
}

/** The link over a Wire that has just opened. */
export function linkOf(chosen: Subprotocol, joint: Joint): Link {
  return chosen.protocol === "zmtp" ? new StreamLink(joint) : new ZwsLink(joint, chosen.protocol)
}

/** The same for every socket under a Wire. */
export function tune(socket: net.Socket, { keepalive }: TransportOptions): void {
  socket.setNoDelay(true)
  // Whole seconds, and none is none: below 1 s the system refuses.
  if (keepalive > 0) socket.setKeepAlive(true, Math.max(1000, keepalive))
}
