/** From an address to a link over a stream. */
import type { Link } from "../../lib/contract.ts"
import { abortError, EarshotError, wrap, type ErrorCode } from "../../lib/errors.ts"
import { isNear, parseAddress, peerIdOf, protocolOf } from "./address.ts"
import { toMultiaddr } from "./library.ts"
import type { StreamLink } from "./link.ts"
import type { Libp2pConnection, Libp2pNode } from "./node.ts"
import { linkOver, type Use } from "./use.ts"

export async function dial(address: string, use: Use, signal: AbortSignal): Promise<Link> {
  const { multiaddr, name } = parseAddress(address, "connect")
  if (signal.aborted) throw abortError(signal)
  const opened = open(multiaddr, name, use, signal)
  try {
    return await unlessAborted(opened, signal)
  } catch (error) {
    // libp2p may take its time over an attempt that nobody waits for any more.
    opened.then(
      (link) => link.destroy(),
      () => {},
    )
    throw asOurs(error, address)
  }
}

async function open(
  multiaddr: string,
  name: string,
  { keeper, limits, clock, ownHosts }: Use,
  signal: AbortSignal,
): Promise<StreamLink> {
  const release = (): void => keeper.release(clock)
  const node = await keeper.hold(clock)
  try {
    if (peerIdOf(multiaddr) === node.peerId.toString())
      throw new EarshotError("EINVAL", "a libp2p node can't dial itself: between sockets of one node use inproc://")
    const connection = await connect(node, multiaddr, ownHosts, signal)
    // Yamux opens a stream in a microtask behind the call, and throws where nobody catches it when the connection was ended
    // in one between: in a turn of its own there is none.
    await new Promise<void>((resolve) => clock.immediate(resolve))
    const stream = await connection.newStream(protocolOf(name), { ...limits, signal })
    return linkOver(stream, connection, name, clock, release)
  } catch (error) {
    release()
    throw error
  }
}

/** A connection to the peer at that multiaddr, which libp2p may have already, by another way. */
async function connect(
  node: Libp2pNode,
  multiaddr: string,
  ownHosts: Use["ownHosts"],
  signal: AbortSignal,
): Promise<Libp2pConnection> {
  const target = await toMultiaddr(multiaddr)
  if (!isNear(multiaddr)) return node.dial(target, { signal })
  // An address of this host leads to it, or nowhere: others announce theirs, too, which are of another host.
  const id = peerIdOf(multiaddr)
  const own = ownHosts()
  const fits = ({ status, remotePeer, remoteAddr }: Libp2pConnection): boolean =>
    status === "open" && remotePeer.toString() === id && isNear(remoteAddr.toString(), own)
  const known = node.getConnections().find(fits)
  if (known !== undefined) return known
  for (const force of [false, true]) {
    const connection = await node.dial(target, { signal, force })
    if (fits(connection)) return connection
  }
  throw new EarshotError("EHOSTUNREACH", `${id} is known, and not on this host`)
}

/** What libp2p's errors are called, where their own code is none of ours. */
const known: Readonly<Record<string, ErrorCode>> = {
  TooManyOutboundProtocolStreamsError: "LIMIT",
  TimeoutError: "ETIMEDOUT",
  UnexpectedPeerError: "EHOSTUNREACH",
  NoValidAddressesError: "EHOSTUNREACH",
  DialDeniedError: "FORBIDDEN",
  NotStartedError: "EADDRNOTAVAIL",
}

function asOurs(error: unknown, address: string): EarshotError {
  const { name, message } = (error ?? {}) as Partial<Error>
  if (name === "UnsupportedProtocolError")
    return new EarshotError("ECONNREFUSED", `nobody is bound to libp2p://${address}`, error)
  return wrap(error, known[name ?? ""] ?? "EHOSTUNREACH", message)
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortError(signal))
    if (signal.aborted) onAbort()
    signal.addEventListener("abort", onAbort)
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort))
  })
}
