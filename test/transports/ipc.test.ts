import t from "tap"
import { ipc } from "../../transports/ipc.ts"
import { transportConformance } from "../conformance/transport.ts"

transportConformance(t, {
  name: "ipc",
  create: ipc,
  wildcard: "*",
  nobody: "/tmp/earshot-nobody.sock",
  alone: "refused",
  malformed: "",
  module: { url: new URL("../../transports/ipc.ts", import.meta.url), factory: "ipc" },
})
