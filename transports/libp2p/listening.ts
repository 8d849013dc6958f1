/** A name that is bound: each stream of its protocol becomes a link. */
import type { Link, Listener } from "../../lib/contract.ts"
import { EarshotError, wrap } from "../../lib/errors.ts"
import {
  formatAddress,
  isIntroduced,
  isNear,
  isRelayed,
  LOOPBACK,
  parseAddress,
  peerIdOf,
  protocolOf,
} from "./address.ts"
import type { Libp2pConnection, Libp2pNode, Libp2pStream } from "./node.ts"
import { linkOver, type Use } from "./use.ts"

/** What becomes of those who come; see `Transport.listen`. */
interface ListenerEvents {
  readonly onLink: (link: Link) => void
  readonly onError: (error: Error) => void
  readonly onRefused: ((cause: string, error: Error) => void) | undefined
}

export async function bind(
  address: string,
  { keeper, limits, clock, ownHosts }: Use,
  { onLink, onError, onRefused }: ListenerEvents,
): Promise<Listener> {
  const { multiaddr, name: wanted } = parseAddress(address, "bind")
  const near = multiaddr === LOOPBACK
  const release = (): void => keeper.release(clock)
  const node = await keeper.hold(clock)
  try {
    const own = node.peerId.toString()
    if (multiaddr !== "" && !near && peerIdOf(multiaddr) !== own)
      throw new EarshotError("EADDRNOTAVAIL", `${peerIdOf(multiaddr)} is another libp2p node: this one is ${own}`)
    const name = wanted === "*" ? hex(clock.randomBytes(8)) : wanted
    const onStream = (stream: Libp2pStream, connection: Libp2pConnection): void => {
      const place = connection.remoteAddr.toString()
      if (near && !isNear(place) && !isNear(place, ownHosts())) {
        const error = new EarshotError("FORBIDDEN", `${place} is elsewhere: libp2p://${address} is for this host alone`)
        stream.abort(error)
        return onRefused?.("host", error)
      }
      keeper.keep()
      onLink(linkOver(stream, connection, name, clock, release))
    }
    await node.handle(protocolOf(name), onStream, limits)
    const onStop = (): void => onError(new EarshotError("EADDRNOTAVAIL", "the libp2p node was stopped"))
    node.addEventListener("stop", onStop)
    let closing: Promise<void> | undefined
    const close = async (): Promise<void> => {
      node.removeEventListener("stop", onStop)
      try {
        await node.unhandle(protocolOf(name))
      } finally {
        release()
      }
    }
    const addresses = (): string[] => placesOf(node, near).map((place) => formatAddress({ multiaddr: place, name }))
    const [first = formatAddress({ multiaddr: `/p2p/${own}`, name })] = addresses()
    return { address: first, addresses, close: () => (closing ??= close()) }
  } catch (error) {
    release()
    const taken = (error as Partial<Error>).name === "DuplicateProtocolHandlerError"
    throw taken
      ? new EarshotError("EADDRINUSE", `libp2p://#${wanted} is in use on this node`, error)
      : wrap(error, "EINVAL")
  }
}

/** Further ones are left out: a node may have as many as its host has interfaces, for each of its transports. */
const MAX_PLACES = 16

/** Where others reach the node now, the best first: not on loopback, where there is a choice, and by relays last. `near`: on this host. */
function placesOf(node: Libp2pNode, near: boolean): string[] {
  const id = `/p2p/${node.peerId.toString()}`
  const all = [...new Set(node.getMultiaddrs().map(String))].map((place) => (place.endsWith(id) ? place : place + id))
  const [here, elsewhere] = [all.filter((place) => isNear(place)), all.filter((place) => !isNear(place))]
  if (near) return here.slice(0, MAX_PLACES)
  const direct = elsewhere.filter((place) => !isRelayed(place))
  // A relay that only introduces comes before one that passes everything on.
  const relayed = elsewhere.filter(isRelayed).sort((a, b) => Number(isIntroduced(b)) - Number(isIntroduced(a)))
  const places = [...(direct.length > 0 ? direct : here), ...relayed]
  // Who is connected, or knows the way, needs no more than the id.
  return places.length > 0 ? places.slice(0, MAX_PLACES) : [id]
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}
