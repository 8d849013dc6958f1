/** What dialling and listening have in common: whose node, within which limits, and links over its streams. */
import type { Clock } from "../../lib/clock.ts"
import { hostOf } from "./address.ts"
import type { Keeper } from "./keeper.ts"
import { StreamLink } from "./link.ts"
import type { Libp2pConnection, Libp2pStream, Libp2pStreamLimits } from "./node.ts"
import { windowOf } from "./window.ts"

/** The part that lasts as long as the transport. */
export interface Means {
  readonly keeper: Keeper
  readonly limits: Libp2pStreamLimits
  /** Addresses of this host, beside loopback, as far as it knows them. */
  readonly ownHosts: () => ReadonlySet<string>
}

export interface Use extends Means {
  readonly clock: Clock
}

export function linkOver(
  stream: Libp2pStream,
  connection: Libp2pConnection,
  name: string,
  clock: Clock,
  onGone: () => void,
): StreamLink {
  const { remotePeer, remoteAddr, encryption } = connection
  const place = remoteAddr.toString()
  const far = {
    remote: `libp2p://${place}#${name}`,
    host: hostOf(place),
    peerId: remotePeer.toString(),
    encryption,
    window: windowOf(stream, connection),
  }
  return new StreamLink(stream, far, clock, onGone)
}
