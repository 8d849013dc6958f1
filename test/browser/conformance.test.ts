// The browser's transport keeps the contract of transports, over the class that Node's own users take for a WebSocket:
// npm ws has the same face as the platform's.
import t from "tap"
import { WebSocket } from "ws"
import { webSockets as ofNode } from "../../transports/ws.ts"
import { webSockets } from "../../transports/ws.browser.ts"
import { transportConformance } from "../conformance/transport.ts"

const before = Object.getOwnPropertyDescriptor(globalThis, "WebSocket")
Object.defineProperty(globalThis, "WebSocket", { value: WebSocket, configurable: true, writable: true })
t.teardown(() => {
  if (before === undefined) Reflect.deleteProperty(globalThis, "WebSocket")
  else Object.defineProperty(globalThis, "WebSocket", before)
})

transportConformance(t, {
  name: "ws in browsers",
  create: () => webSockets("ws"),
  server: () => ofNode("ws"),
  wildcard: "127.0.0.1:*",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "a b:1",
})
