import t from "tap"
import { webSockets } from "../../transports/ws.ts"
import { transportConformance } from "../conformance/transport.ts"
import { CERTIFICATE, KEY } from "../support/certificate.ts"

transportConformance(t, {
  name: "ws",
  create: () => webSockets("ws"),
  wildcard: "127.0.0.1:*",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "127.0.0.1:none",
  module: { url: new URL("../../transports/ws.ts", import.meta.url), factory: "webSockets" },
})

transportConformance(t, {
  name: "wss",
  create: () => webSockets("wss", { tls: { cert: CERTIFICATE, key: KEY, ca: CERTIFICATE } }),
  wildcard: "127.0.0.1:*/over/tls",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "127.0.0.1:80/#",
  skips: {
    "a write that says wait is followed by one onDrain": "node:tls takes nothing at once, so every write has to wait",
  },
})
