/**
 * A process with one socket at a time, told what to do by its parent, and with little memory: one that runs out of it dies
 * and so fails the test. Bundled to plain JavaScript before it runs, since a compiler would need more memory than this.
 */
import * as earshot from "../../../lib/index.ts"
import type { Socket } from "../../../lib/socket.ts"

export type Order =
  | { readonly do: "make"; readonly name: string; readonly options: object }
  | { readonly do: "state" }
  | { readonly do: "publish"; readonly count: number; readonly size: number }
  | { readonly do: "read"; readonly count: number }
  | { readonly do: "close" }

export interface State {
  readonly endpoint: string
  readonly peers: number
  /** Messages that wait for the user, and those that have come. */
  readonly waiting: number
  readonly received: number
  readonly dropped: number
  /** Codes of the errors that connections ended with. */
  readonly ends: readonly string[]
  /** MiB that are in use after a collection. */
  readonly memory: number
  /** MiB more than before the socket was made. */
  readonly growth: number
}

type Loose = Socket & {
  subscribe?(): Promise<void>
  send(message: Uint8Array): Promise<void>
  receive(): Promise<Uint8Array[]>
}

let socket: Loose | undefined
let ends: string[] = []
let before = 0

process.on("message", (order: Order) => {
  void obey(order).then(() => process.send!(state()))
})

async function obey(order: Order): Promise<void> {
  if (order.do === "make") {
    before = inUse()
    ends = []
    // oxlint-disable-next-line import/namespace -- the parent names a socket
    const Class = earshot[order.name as keyof typeof earshot] as unknown as new (options: object) => Loose
    socket = new Class({ linger: 0, ...order.options })
    const note = ({ error }: { error: earshot.EarshotError | undefined }): void => void ends.push(error?.code ?? "")
    for (const kind of ["protocol", "auth", "other"] as const) socket.events.on(`handshake:error:${kind}`, note)
    socket.events.on("disconnect", note)
    if (order.name === "Subscriber") void socket.subscribe!()
    await socket.bind("tcp://127.0.0.1:*")
  } else if (order.do === "publish") {
    for (let i = 0; i < order.count; i++) await socket!.send(Buffer.alloc(order.size, 65))
  } else if (order.do === "read") {
    for (let i = 0; i < order.count; i++) await socket!.receive()
  } else if (order.do === "close") {
    await socket?.close()
    socket = undefined
  }
}

function state(): State {
  const stats = socket?.stats()
  const memory = inUse()
  return {
    endpoint: socket?.lastEndpoint ?? "",
    peers: socket?.peers.length ?? 0,
    waiting: socket?.peers.reduce((sum, { waiting }) => sum + waiting, 0) ?? 0,
    received: stats?.received.count ?? 0,
    dropped: Object.values(stats?.dropped ?? {}).reduce((sum, { count }) => sum + count, 0),
    ends,
    memory,
    growth: memory - before,
  }
}

function inUse(): number {
  // Twice: array buffers are given back behind the first.
  gc!()
  gc!()
  const { heapUsed, external } = process.memoryUsage()
  // `external` has the array buffers in it.
  return (heapUsed + external) / 1024 / 1024
}
