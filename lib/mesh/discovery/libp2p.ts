/**
 * Members among the peers of a libp2p node, however it came to know them: bootstrap, mDNS, rendezvous, a DHT. The node tells of
 * addresses and, by libp2p's identify protocol, of what each peer speaks. Offered is who speaks the protocol of our name:
 *
 *   known ──▸ connected ──▸ identified ──▸ found, unless a stream says that it is linked
 *                               ▴   │
 *                               └───┘ it may have bound the name since
 */
import type { Timer } from "../../clock.ts"
import { EarshotError } from "../../errors.ts"
import type { Discovery, DiscoveryHost } from "../contract.ts"
import { isLocalPeer } from "../peers.ts"

/** A libp2p node, as `createLibp2p` makes it: what the discovery uses of it. */
export interface PeersNode {
  readonly peerId: { toString(): string }
  readonly services: object
  readonly peerStore: { all(): Promise<KnownPeer[]>; get(id: any): Promise<KnownPeer> }
  getMultiaddrs(): { toString(): string }[]
  getConnections(): PeerConnection[]
  dial(peer: any, options?: { signal?: AbortSignal }): Promise<unknown>
  addEventListener(type: any, listener: (event: any) => void): void
  removeEventListener(type: any, listener: (event: any) => void): void
}

/** A multiaddr. */
export interface PeerPlace {
  toString(): string
  encapsulate(more: any): PeerPlace
}

/** A peer that a node knows of. */
export interface KnownPeer {
  readonly id: { toString(): string }
  readonly addresses: readonly { readonly multiaddr: PeerPlace }[]
  readonly protocols: readonly string[]
}

/** A connection of a node. */
export interface PeerConnection {
  readonly remotePeer: { toString(): string }
  readonly remoteAddr: { toString(): string }
  readonly streams: readonly { readonly protocol?: string }[]
}

/** What `libp2pPeers` takes. */
export interface PeersOptions {
  /** Your libp2p node (js-libp2p 3), as given to `libp2p({ node })`. It needs the service of `@libp2p/identify`. */
  readonly node: PeersNode
  /** What stands behind the `#` of the members' endpoints. Default "mesh", as in `listen: ["libp2p://#mesh"]`. */
  readonly name?: string | undefined
  /**
   * Connect to peers that the node has discovered, 4 at a time, to learn whether they are members; in a mesh that is not open
   * only to those on this host. Default true. False where the node connects to whom it should by itself, or knows thousands
   * of strangers (a public DHT).
   */
  readonly dial?: boolean | undefined
}

type Work = (signal: AbortSignal) => Promise<unknown>

/** ms between two looks at all peers: while nobody is linked, and else. */
const LONELY = 2000
const LINKED = 15_000
/** ms between two that were asked for. */
const SOON = 200
/** ms after which a peer is connected with, or identified, again: while nobody is linked, and else. */
const AGAIN_LONELY = 4000
const AGAIN = 60_000
/** ms for each of these. */
const PATIENCE = 5000
/** ms that the first look may take. */
const FIRST_LOOK = 1000
const AT_ONCE = 4
const MAX_WAITING = 256
const MAX_PEERS = 4096
/** Addresses of one peer. */
const MAX_OFFERED = 8

/**
 * Members among the peers that a libp2p node knows, by whatever peer discovery it has (`@libp2p/bootstrap`, `@libp2p/mdns`, …),
 * or is connected with: `Mesh.join({ listen: ["libp2p://#mesh"], discovery: [libp2pPeers({ node })] })`. The discovery only listens
 * to the node, and connects it; it announces nothing by itself. Throws EINVAL for a node without identify, or a bad name.
 */
export function libp2pPeers({ node, name = "mesh", dial = true }: PeersOptions): Discovery {
  if (!/^[\w.~-]{1,64}$/.test(name)) throw new EarshotError("EINVAL", `${name} is no name of a libp2p endpoint`)
  const identify = Object.values(node.services).find((service) => typeof service?.identify === "function")
  if (identify === undefined)
    throw new EarshotError("EINVAL", "the libp2p node needs services: { identify: identify() }, of @libp2p/identify")
  return new Peers(node, name, dial, identify as Identify)
}

interface Identify {
  identify(connection: PeerConnection, options: { signal: AbortSignal }): Promise<unknown>
}

class Peers implements Discovery {
  readonly name = "libp2p"
  private readonly node: PeersNode
  private readonly socket: string
  private readonly protocol: string
  private readonly dials: boolean
  private readonly identify: Identify
  private host: DiscoveryHost | undefined
  private timer: Timer | undefined
  private last = -Infinity
  /** When something was last done to learn what a peer speaks. */
  private readonly asked = new Map<string, number>()
  private readonly waiting = new Map<string, Work>()
  private readonly underWay = new Set<AbortController>()
  private onIdle: () => void = () => {}

  constructor(node: PeersNode, name: string, dials: boolean, identify: Identify) {
    this.node = node
    this.socket = name
    // As transports/libp2p/address.ts has it.
    this.protocol = `/earshot/zmtp/1.0.0/${name}`
    this.dials = dials
    this.identify = identify
  }

  async start(host: DiscoveryHost): Promise<void> {
    this.host = host
    this.node.addEventListener("peer:update", this.onUpdate)
    this.node.addEventListener("peer:connect", this.onConnect)
    let late: Timer | undefined
    const idle = new Promise<void>((resolve) => {
      this.onIdle = resolve
      late = host.clock.timeout(resolve, FIRST_LOOK)
    })
    await this.round()
    if (this.underWay.size > 0) await idle
    late?.cancel()
  }

  nudge(): void {
    const { host } = this
    if (host === undefined) return
    this.timer?.cancel()
    this.timer = host.clock.timeout(this.onTime, Math.max(0, this.last + SOON - host.clock.now()))
  }

  async stop(): Promise<void> {
    this.host = undefined
    this.timer?.cancel()
    this.node.removeEventListener("peer:update", this.onUpdate)
    this.node.removeEventListener("peer:connect", this.onConnect)
    this.waiting.clear()
    for (const work of this.underWay) work.abort()
    this.onIdle()
  }

  /** A peer is new, or told something new of itself. */
  private readonly onUpdate = ({ detail }: { detail: { peer: KnownPeer } }): void => this.look(detail.peer)

  private readonly onConnect = ({ detail }: { detail: unknown }): void => {
    this.node.peerStore.get(detail).then(
      (peer) => this.look(peer),
      // Forgotten again: the next round knows.
      () => {},
    )
  }

  private readonly onTime = (): void => void this.round()

  private async round(): Promise<void> {
    const { host, node } = this
    if (host === undefined) return
    this.last = host.clock.now()
    this.timer?.cancel()
    this.timer = host.clock.timeout(this.onTime, host.linked === 0 ? LONELY : LINKED)
    try {
      for (const peer of (await node.peerStore.all()).slice(0, MAX_PEERS)) this.look(peer)
    } catch (error) {
      this.host?.note({
        key: "libp2p-peers",
        evidence: `the libp2p node tells of no peers: ${(error as Error).message}`,
      })
    }
  }

  private look(peer: KnownPeer): void {
    const { node, host, protocol } = this
    const id = peer.id.toString()
    if (host === undefined || id === node.peerId.toString()) return
    const connections = node.getConnections().filter(({ remotePeer }) => remotePeer.toString() === id)
    if (peer.protocols.includes(protocol)) {
      const linked = connections.some(({ streams }) => streams.some((stream) => stream.protocol === protocol))
      if (!linked) host.found({ endpoints: this.endpointsOf(peer, id, connections) })
    } else if (connections[0] !== undefined) {
      const [connection] = connections
      this.ask(id, (signal) => this.identify.identify(connection, { signal }))
    } else if (this.dials) {
      const target = host.self.open ? peer.id : this.near(peer)
      if (!Array.isArray(target) || target.length > 0) this.ask(id, (signal) => node.dial(target, { signal }))
    }
  }

  /** Whatever way the node knows, or in a mesh that is not open: the ones on this host. */
  private endpointsOf(peer: KnownPeer, id: string, connections: readonly PeerConnection[]): string[] {
    const anyway = [`libp2p:///p2p/${id}#${this.socket}`]
    if (this.host!.self.open || this.isElsewhere(connections)) return anyway
    const near = this.near(peer).map((multiaddr) => `libp2p://${multiaddr.toString()}#${this.socket}`)
    return near.length > 0 ? near : anyway
  }

  private near({ id, addresses }: KnownPeer): PeerPlace[] {
    return addresses
      .map(({ multiaddr }) => withPeer(multiaddr, id.toString()))
      .filter((multiaddr) => isLocalPeer(`libp2p://${multiaddr.toString()}#`))
      .slice(0, MAX_OFFERED)
  }

  /** Connected, and only by addresses that can't be this host's. */
  private isElsewhere(connections: readonly PeerConnection[]): boolean {
    const own = new Set(this.node.getMultiaddrs().map((multiaddr) => hostOf(multiaddr.toString())))
    const isNear = (place: string): boolean => isLocalPeer(`libp2p://${place}/#`) || own.has(hostOf(place))
    return connections.length > 0 && !connections.some(({ remoteAddr }) => isNear(remoteAddr.toString()))
  }

  /** Does what makes a peer tell which protocols it speaks, one by one and not too often; an update follows. */
  private ask(id: string, work: Work): void {
    const { asked, waiting } = this
    const { clock, linked } = this.host!
    const last = asked.get(id) ?? -Infinity
    if (clock.now() - last < (linked === 0 ? AGAIN_LONELY : AGAIN) || waiting.size >= MAX_WAITING) return
    asked.delete(id)
    asked.set(id, clock.now())
    if (asked.size > MAX_PEERS) asked.delete(asked.keys().next().value!)
    waiting.set(id, work)
    this.next()
  }

  private next(): void {
    const { waiting, underWay, host } = this
    const [first] = waiting
    if (host === undefined || first === undefined || underWay.size >= AT_ONCE) return
    const [id, work] = first
    waiting.delete(id)
    const control = new AbortController()
    underWay.add(control)
    const late = host.clock.timeout(() => control.abort(), PATIENCE)
    const done = (): void => {
      late.cancel()
      underWay.delete(control)
      this.next()
      if (underWay.size === 0) this.onIdle()
    }
    // A peer that can't be reached is nothing odd among those that a node has heard of.
    work(control.signal).then(done, done)
  }
}

/** Addresses in a node's store may lack the peer id at their end. */
function withPeer(multiaddr: PeerPlace, id: string): PeerPlace {
  return multiaddr.toString().endsWith(`/p2p/${id}`) ? multiaddr : multiaddr.encapsulate(`/p2p/${id}`)
}

function hostOf(place: string): string | undefined {
  return place.includes("/p2p-circuit") ? undefined : /^\/ip[46]\/([^/]+)/.exec(place)?.[1]
}
