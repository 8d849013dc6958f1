import t from "tap"
import { tcp } from "../../transports/tcp.ts"
import { transportConformance } from "../conformance/transport.ts"

transportConformance(t, {
  name: "tcp",
  create: tcp,
  wildcard: "127.0.0.1:*",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "127.0.0.1",
  module: { url: new URL("../../transports/tcp.ts", import.meta.url), factory: "tcp" },
})
