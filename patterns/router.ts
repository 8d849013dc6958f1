/**
 * ROUTER (RFC 28): puts the sender's routing id before each message it receives, and sends each message to the peer whose
 * routing id its first frame is.
 */
import { EMPTY, allocate, keyOf, sizeOf } from "../lib/bytes.ts"
import type { Message, Pattern, PatternHost, Peer } from "../lib/contract.ts"
import { EarshotError } from "../lib/errors.ts"
import type { PatternOptions, ReceiveOptions, SendOptions, Settings, SocketOptions } from "../lib/options.ts"
import { Duplex, defineOptions } from "../lib/socket.ts"

/** Whoever isn't read isn't seen to go, either: of those who claim the same routing id, so many newest may wait for it. */
const MAX_RIVALS = 16

interface Route {
  readonly peer: Peer
  readonly id: Uint8Array
  readonly key: string
}

class RouterPattern implements Pattern {
  readonly type = "ROUTER"
  readonly accepts = ["REQ", "DEALER", "ROUTER"] as const
  private readonly host: PatternHost
  private readonly settings: Settings
  private readonly routes = new Map<string, Route>()
  private readonly byPeer = new Map<Peer, Route>()
  /** Who claims a routing id that another has: not read until that one is gone (WIRE 0.17). */
  private readonly rivals = new Map<string, Peer[]>()
  private count: number

  constructor(host: PatternHost, settings: Settings) {
    this.host = host
    this.settings = settings
    this.count = Math.floor(host.clock.random() * 0x1_0000_0000)
  }

  attach(): void {}

  online(peer: Peer): void {
    this.register(peer)
    if (this.settings.probeRouter) peer.greet([EMPTY])
    this.host.writable()
  }
  /** One that we dialled keeps its route: what is sent to it waits until it is back. */
  offline(peer: Peer): void {
    if (!this.byPeer.has(peer)) this.leave(peer)
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.leave(peer)
    for (const message of unsent) peer.dropped("disconnected", 1, sizeOf(message))
    // With `mandatory`, whoever waits for room there need not wait any longer.
    this.host.writable()
  }
  onWritable(): void {
    this.host.writable()
  }

  send(message: Message): boolean {
    const id = message[0]!
    const route = this.routes.get(keyOf(id))
    if (route === undefined) {
      if (this.settings.mandatory) throw new EarshotError("EHOSTUNREACH", "no peer has this routing id")
      this.host.dropped("unroutable", 1, sizeOf(message))
      return true
    }
    // Only the id: nothing to send, as in libzmq.
    if (message.length === 1) {
      route.peer.dropped("malformed", 1, 0)
      return true
    }
    const rest = message.slice(1)
    if (route.peer.send(rest)) return true
    if (this.settings.mandatory) return false
    route.peer.dropped("full", 1, sizeOf(rest))
    return true
  }

  onMessage(peer: Peer, message: Message): void {
    const route = this.byPeer.get(peer)
    if (route === undefined) return peer.dropped("excess", 1, sizeOf(message))
    message.unshift(route.id)
    this.host.deliver(peer, message)
  }

  private register(peer: Peer): void {
    const known = this.byPeer.get(peer)
    if (known !== undefined) {
      if (peer.routingId.length === 0 || keyOf(peer.routingId) === known.key) return peer.named(known.id)
      this.leave(peer)
    }
    const id = peer.routingId.length > 0 ? peer.routingId : this.makeId()
    const key = keyOf(id)
    const old = this.routes.get(key)
    if (old !== undefined && old.peer !== peer) {
      if (!this.settings.handover) {
        peer.hold(true)
        const rivals = this.rivals.get(key)
        if (rivals === undefined) this.rivals.set(key, [peer])
        else if (rivals.push(peer) > MAX_RIVALS)
          rivals[0]!.close(new EarshotError("LIMIT", "too many others claim the same routing id"))
        return
      }
      this.byPeer.delete(old.peer)
      this.routes.delete(key)
      old.peer.close(new EarshotError("LIMIT", "another peer took over its routing id"))
    }
    const route = { peer, id, key }
    this.routes.set(key, route)
    this.byPeer.set(peer, route)
    peer.named(id)
  }

  private leave(peer: Peer): void {
    const route = this.byPeer.get(peer)
    if (route === undefined) {
      const key = keyOf(peer.routingId)
      const rivals = this.rivals.get(key)?.filter((rival) => rival !== peer)
      if (rivals?.length === 0) this.rivals.delete(key)
      else if (rivals !== undefined) this.rivals.set(key, rivals)
      return
    }
    this.byPeer.delete(peer)
    this.routes.delete(route.key)
    const [heir, ...rest] = this.rivals.get(route.key) ?? []
    if (heir === undefined) return
    if (rest.length > 0) this.rivals.set(route.key, rest)
    else this.rivals.delete(route.key)
    this.register(heir)
    heir.hold(false)
  }

  /** 00 and four bytes that count from a random start, as libzmq makes them. */
  private makeId(): Uint8Array {
    const id = allocate(5)
    id[0] = 0
    do {
      this.count = (this.count + 1) >>> 0
      new DataView(id.buffer, id.byteOffset).setUint32(1, this.count)
    } while (this.routes.has(keyOf(id)))
    return id
  }
}

type Own = Pick<PatternOptions, "routingId" | "mandatory" | "handover" | "probeRouter">

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are accessors, see defineOptions
export interface Router extends Own {}

/**
 * Receives `[routing id, …message]` from Requests, Dealers and Routers, and sends such messages to the peer they name.
 * A message to an unknown or full peer is dropped and counted, unless `mandatory`: then `send` rejects EHOSTUNREACH, or waits.
 * Options: those of every socket, of sending and of receiving sockets, `routingId`, `mandatory`, `handover`, `probeRouter`.
 */
export class Router extends Duplex<RouterPattern> {
  constructor(options: Partial<SocketOptions & SendOptions & ReceiveOptions & Own> = {}) {
    super((host, settings) => new RouterPattern(host, settings), options)
  }
}
defineOptions(Router, ["routingId", "mandatory", "handover", "probeRouter"])
