/** Registers Node's transports, for the composition roots. */
import { inproc } from "../transports/inproc.ts"
import { ipc } from "../transports/ipc.ts"
import { tcp } from "../transports/tcp.ts"
import { webSockets } from "../transports/ws.ts"
import { transports } from "./defaults.ts"

transports.register(inproc())
transports.register(ipc())
transports.register(tcp())
transports.register(webSockets("ws"))
transports.register(webSockets("wss"))
