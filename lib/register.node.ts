/** Registers Node's transports, for the composition roots. */
import { inproc } from "../transports/inproc.ts"
import { ipc } from "../transports/ipc.ts"
import { tcp } from "../transports/tcp.ts"
import { webSockets } from "../transports/ws.ts"
import { transports } from "./defaults.ts"
import { Pipe } from "./pipe.ts"
import { show } from "./showing.ts"
import { Socket } from "./socket.ts"

let registered = false

/** Called by each root: bundlers leave out a file that is only imported for what it does. The first call counts. */
export function registerTransports(): void {
  if (registered) return
  registered = true
  for (const transport of [inproc(), ipc(), tcp(), webSockets("ws"), webSockets("wss")]) transports.register(transport)
  show(Socket as unknown as { readonly prototype: Socket }, ({ lastEndpoint, peers, closed }) => ({
    lastEndpoint,
    peers: peers.length,
    closed,
  }))
  show(Pipe, (peer) => {
    const { address, type, routingId, metadata, userId, online, lastHeard } = peer
    const { queued, queuedBytes, waiting, waitingBytes, unconfirmed } = peer
    const known = { address, type, routingId, metadata, userId, online, lastHeard }
    return { ...known, queued, queuedBytes, waiting, waitingBytes, unconfirmed }
  })
}
