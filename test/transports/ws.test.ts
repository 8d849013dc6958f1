import t from "tap"
import { webSockets } from "../../transports/ws.ts"
import { transportConformance } from "../conformance/transport.ts"

transportConformance(t, {
  name: "ws",
  create: () => webSockets("ws"),
  wildcard: "127.0.0.1:*",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "127.0.0.1:none",
  module: { url: new URL("../../transports/ws.ts", import.meta.url), factory: "webSockets" },
})
