/** Earshot for browsers and their workers: every socket, with the transports `ws` and `wss`. The same names as on Node. */
import { webSockets } from "../transports/ws.browser.ts"
import { transports } from "./defaults.ts"

transports.register(webSockets("ws"))
transports.register(webSockets("wss"))

export * from "./exports.ts"
export { ws } from "../transports/ws.browser.ts"
