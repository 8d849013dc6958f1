/** Registers Node's transports, for the composition roots. */
import { inproc } from "../transports/inproc.ts"
import { ipc } from "../transports/ipc.ts"
import { tcp } from "../transports/tcp.ts"
import { webSockets } from "../transports/ws.ts"
import { transports } from "./defaults.ts"

let registered = false

/** Called by each root: bundlers leave out a file that is only imported for what it does. The first call counts. */
export function registerTransports(): void {
  if (registered) return
  registered = true
  for (const transport of [inproc(), ipc(), tcp(), webSockets("ws"), webSockets("wss")]) transports.register(transport)
}
