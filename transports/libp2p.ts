/**
 * libp2p: a link is one stream of a libp2p node, so that many sockets share a node, its connections and its ways through
 * NATs. Names (`#prices`) tell the sockets of a node apart; each is a libp2p protocol of its own, with ZMTP inside as it
 * is over TCP. Noise has encrypted and authenticated: the peer id is the other side's `userId`.
 *
 * Nothing of libp2p is loaded before the first bind or connect.
 */
import type { Clock } from "../lib/clock.ts"
import type { Link, Listener, Transport } from "../lib/contract.ts"
import { abortError, EarshotError, wrap, type ErrorCode } from "../lib/errors.ts"
import { formatAddress, hostOf, parseAddress, peerIdOf, protocolOf } from "./libp2p/address.ts"
import { keepOurs, keepTheirs, type Keeper } from "./libp2p/keeper.ts"
import { completePromise, toMultiaddr } from "./libp2p/library.ts"
import { StreamLink } from "./libp2p/link.ts"
import type { Libp2pConnection, Libp2pNode, Libp2pStream, Libp2pStreamLimits } from "./libp2p/node.ts"

export type { Libp2pConnection, Libp2pNode, Libp2pStream, Libp2pStreamLimits } from "./libp2p/node.ts"

/** What `libp2p()` takes: a node of yours, or what it needs to make one. */
export interface Libp2pOptions {
  /**
   * Your own libp2p node (js-libp2p 3), started. It is yours: Earshot never stops it. Without it a node is made with the
   * first bind or connect, with TCP, Noise and Yamux, and stopped a second or two after the last socket has let go of it; until
   * then it keeps the process alive.
   */
  readonly node?: Libp2pNode
  /** Where a node that Earshot makes listens: multiaddrs such as `/ip4/0.0.0.0/tcp/4001`. Default: nowhere, which is enough to connect. */
  readonly listen?: readonly string[]
  /** The file of its private key, made with the first use, for its owner alone. Default: a new key, and so a new peer id, for each process. */
  readonly keyFile?: string
  /** Streams that one connection may have open for one name, in each direction; what is over it is reset. Default 1000, which is all that Yamux takes. */
  readonly maxStreams?: number
}

/** As many as Yamux takes by default; libp2p's own 32 in and 64 out would reset the 33rd socket of a host. */
const MAX_STREAMS = 1000

/**
 * The transport `libp2p`, for `transports.register(libp2p({ node }))`. Endpoints: `libp2p://#prices` to bind, `libp2p://#*`
 * for any name; `libp2p:///ip4/10.0.0.5/tcp/4001/p2p/12D3Koo…#prices` to connect. Needs the npm packages `libp2p`,
 * `@libp2p/tcp`, `@libp2p/noise`, `@libp2p/yamux`, `@libp2p/crypto` and `@multiformats/multiaddr` (with a node of yours,
 * only the last one), which Earshot does not install; without them the first use rejects with ENOTSUP.
 *
 * Throws EINVAL for a node together with `listen` or `keyFile`. On Node 20 it gives the process `Promise.withResolvers`,
 * without which libp2p can't dial.
 */
export function libp2p(options: Libp2pOptions = {}): Transport {
  const { node, listen = [], keyFile, maxStreams = MAX_STREAMS } = options
  if (node !== undefined && (listen.length > 0 || keyFile !== undefined))
    throw new EarshotError("EINVAL", "listen and keyFile are for a node that Earshot makes; this one is yours")
  if (!Number.isInteger(maxStreams) || maxStreams < 1) throw new EarshotError("EINVAL", "maxStreams is a whole number")
  completePromise()
  const limits = { maxInboundStreams: maxStreams, maxOutboundStreams: maxStreams, runOnLimitedConnection: true }
  const keeper = node === undefined ? keepOurs(listen, keyFile) : keepTheirs(node)
  const nowhere = node === undefined && listen.length === 0
  return {
    scheme: "libp2p",
    check: (address, side) => formatAddress(parseAddress(address, side)),
    dial: (address, { clock }, signal) => dial(address, { keeper, limits, clock }, signal),
    listen: async (address, { clock }, onLink, onError) => {
      parseAddress(address, "bind")
      if (nowhere) throw new EarshotError("EINVAL", "libp2p({ listen }) must say where a node of ours listens")
      return bind(address, { keeper, limits, clock }, onLink, onError)
    },
  }
}

interface Use {
  readonly keeper: Keeper
  readonly limits: Libp2pStreamLimits
  readonly clock: Clock
}

// --- Dialling ---

async function dial(address: string, use: Use, signal: AbortSignal): Promise<Link> {
  const { multiaddr, name } = parseAddress(address, "connect")
  if (signal.aborted) throw abortError(signal)
  const { keeper, clock } = use
  const node = await keeper.hold(clock)
  const opened = open(node, multiaddr, name, use, signal)
  try {
    return await unlessAborted(opened, signal)
  } catch (error) {
    // libp2p may take its time over an attempt that nobody waits for any more.
    opened.then(
      (link) => link.destroy(),
      () => keeper.release(clock),
    )
    throw asOurs(error, address)
  }
}

async function open(
  node: Libp2pNode,
  multiaddr: string,
  name: string,
  { keeper, limits, clock }: Use,
  signal: AbortSignal,
): Promise<StreamLink> {
  if (peerIdOf(multiaddr) === node.peerId.toString())
    throw new EarshotError("EINVAL", "a libp2p node can't dial itself: between sockets of one node use inproc://")
  const target = await toMultiaddr(multiaddr)
  const connection = await node.dial(target, { signal })
  const stream = await connection.newStream(protocolOf(name), { ...limits, signal })
  return linkOver(stream, connection, name, clock, () => keeper.release(clock))
}

function linkOver(
  stream: Libp2pStream,
  { remotePeer, remoteAddr, encryption }: Libp2pConnection,
  name: string,
  clock: Clock,
  onGone: () => void,
): StreamLink {
  const place = remoteAddr.toString()
  const far = { remote: `libp2p://${place}#${name}`, host: hostOf(place), peerId: remotePeer.toString(), encryption }
  return new StreamLink(stream, far, clock, onGone)
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

// --- Listening ---

async function bind(
  address: string,
  { keeper, limits, clock }: Use,
  onLink: (link: Link) => void,
  onError: (error: Error) => void,
): Promise<Listener> {
  const { multiaddr, name: wanted } = parseAddress(address, "bind")
  const release = (): void => keeper.release(clock)
  const node = await keeper.hold(clock)
  try {
    const own = node.peerId.toString()
    if (multiaddr !== "" && peerIdOf(multiaddr) !== own)
      throw new EarshotError("EADDRNOTAVAIL", `${peerIdOf(multiaddr)} is another libp2p node: this one is ${own}`)
    const name = wanted === "*" ? hex(clock.randomBytes(8)) : wanted
    const onStream = (stream: Libp2pStream, connection: Libp2pConnection): void => {
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
    return { address: formatAddress({ multiaddr: placeOf(node), name }), close: () => (closing ??= close()) }
  } catch (error) {
    release()
    const taken = (error as Partial<Error>).name === "DuplicateProtocolHandlerError"
    throw taken
      ? new EarshotError("EADDRINUSE", `libp2p://#${wanted} is in use on this node`, error)
      : wrap(error, "EINVAL")
  }
}

/** Where others reach the node best: not on loopback, where there is a choice. */
function placeOf(node: Libp2pNode): string {
  const id = `/p2p/${node.peerId.toString()}`
  const places = node.getMultiaddrs().map((multiaddr) => multiaddr.toString())
  const best = places.find((place) => hostOf(place) !== undefined) ?? places[0] ?? ""
  return best.endsWith(id) ? best : best + id
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
}
