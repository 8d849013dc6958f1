import t from "tap"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ipc } from "../../transports/ipc.ts"
import { transportConformance } from "../conformance/transport.ts"

transportConformance(t, {
  name: "ipc",
  create: ipc,
  wildcard: "*",
  lasting: () => join(tmpdir(), `earshot-test-${process.pid}.sock`),
  nobody: "/tmp/earshot-nobody.sock",
  alone: "refused",
  malformed: "",
  module: { url: new URL("../../transports/ipc.ts", import.meta.url), factory: "ipc" },
})
