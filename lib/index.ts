/** Earshot for Node, Bun and Deno: every socket, with the transports `tcp`, `ipc`, `inproc`, `ws` and `wss`. */
import "./runtime.ts"
import { registerTransports } from "./register.node.ts"

registerTransports()

export { ws, type TlsSettings, type UpgradeServer, type WsOptions, type WsRules } from "../transports/ws.ts"
export * from "./exports.ts"
