/** Earshot for Node, Bun and Deno: every socket, with the transports `tcp`, `ipc`, `inproc`, `ws` and `wss`. */
import "./runtime.ts"
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

export { ws, type TlsSettings, type UpgradeServer, type WsOptions, type WsRules } from "../transports/ws.ts"
export * from "./exports.ts"
