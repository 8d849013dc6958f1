/** A member of a mesh that says exactly what the test has it say: PROTOCOL.md over a bare Dealer. And real members beside it. */
import type { Test } from "tap"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import type { Hub } from "../../lib/mesh/hub.ts"
import { Mesh, type MeshOptions } from "../../lib/mesh/index.ts"
import { Kind, bare, RESET } from "../../lib/mesh/wire.ts"
import { Dealer, type SocketOptions } from "../../lib/index.ts"
import { until, within } from "./sockets.ts"

export type Frames = readonly Uint8Array[]

/** What a peer says of itself unless told otherwise. */
export const HELLO: Readonly<Record<string, unknown>> = {
  id: "peer",
  nonce: "1",
  network: "bare",
  version: [1, 0],
  features: ["replay", "groups", "gossip", "suspect"],
  name: "peer",
  endpoints: [],
  meta: {},
  leaf: false,
  epoch: 1,
  link: 1,
  taken: 0,
}

const RESPONDS = 1

/** A member on loopback that finds nobody by itself; it is closed with the test. */
export async function member(t: Test, options: MeshOptions = {}): Promise<Mesh> {
  const mesh = await Mesh.join({
    name: "real",
    network: "bare",
    listen: ["tcp://127.0.0.1:0"],
    discovery: [],
    ...options,
  })
  t.teardown(() => within("the member's end", mesh.close()))
  return mesh
}

/** What stands behind it: tests look at counters that users see later. */
export function hubOf(mesh: Mesh): Hub {
  return (mesh as unknown as { hub: Hub }).hub
}

export const unknownOf = (mesh: Mesh): number => hubOf(mesh).counters.unknown

export class MeshPeer {
  /** What came and was not asked for yet. */
  readonly inbox: Frames[] = []
  /** The other side has ended the link. */
  ended = false
  readonly socket: Dealer

  private constructor(socket: Dealer) {
    this.socket = socket
    socket.onmessage = (message) => {
      this.inbox.push(message)
    }
    socket.events.on("peer:leave", () => {
      this.ended = true
    })
  }

  /** Connects, and no more. */
  static async dial(t: Test, endpoint: string, options: Partial<SocketOptions> = {}): Promise<MeshPeer> {
    const socket = new Dealer({
      linger: 0,
      reconnectInterval: -1,
      sendHighWaterMark: 10_000_000,
      sendHighWaterMarkBytes: 2 ** 30,
      heartbeatInterval: 0,
      ...options,
    })
    const peer = new MeshPeer(socket)
    t.teardown(() => within("the peer's end", socket.close()))
    await within("the connection", socket.connect(endpoint))
    return peer
  }

  /** Connects and becomes a member that wants these; waits until both sides know what the other wants. */
  static async join(
    t: Test,
    mesh: Mesh,
    hello: Readonly<Record<string, unknown>> = {},
    ops: readonly unknown[] = [],
    options: Partial<SocketOptions> = {},
  ): Promise<MeshPeer> {
    const peer = await MeshPeer.dial(t, mesh.endpoints[0]!, options)
    await peer.next(Kind.ASK)
    peer.say(Kind.HELLO, { ...HELLO, ...hello })
    await peer.next(Kind.WELCOME)
    peer.send(bare(Kind.INTEREST, RESET), msgpack.encode(ops))
    peer.send(bare(Kind.BARRIER))
    await peer.next(Kind.BARRIER)
    await peer.settled()
    return peer
  }

  send(...frames: Frames): void {
    void this.socket.send(frames).catch(() => {})
  }

  /** A control message with a body. */
  say(kind: number, body: unknown, flags = 0): void {
    this.send(bare(kind, flags), msgpack.encode(body))
  }

  /** The next message of that kind; what is in front of it stays. */
  async next(kind: number): Promise<Frames> {
    let at = -1
    const name = Object.entries(Kind).find(([, number]) => number === kind)?.[0] ?? String(kind)
    await until(name, () => (at = this.inbox.findIndex(([head]) => head![0] === kind)) >= 0)
    return this.inbox.splice(at, 1)[0]!
  }

  /** Resolves when all that was sent before has been dealt with, and is not refused for it. */
  async settled(): Promise<void> {
    const number = (this.last = this.last + 1)
    this.send(Uint8Array.of(Kind.SYNC, 0, 0xee, 0, number >>> 8, number))
    const wanted = [0xee, 0, number >>> 8, number & 0xff].join()
    await until("an answer, or the end", () => {
      if (this.ended) return true
      const at = this.inbox.findIndex(([head]) => head![0] === Kind.SYNCED && head!.subarray(2).join() === wanted)
      if (at >= 0) this.inbox.splice(at, 1)
      return at >= 0
    })
  }

  private last = 0
}

/** An operation of INTEREST. */
export const want = (pattern: string, group: string | null = null, responds = false): unknown[] => [
  1,
  pattern,
  group,
  responds ? RESPONDS : 0,
]
