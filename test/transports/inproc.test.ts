import t from "tap"
import { inproc } from "../../transports/inproc.ts"
import { transportConformance } from "../conformance/transport.ts"

transportConformance(t, {
  name: "inproc",
  create: inproc,
  wildcard: "*",
  nobody: "nobody",
  alone: "waits",
  malformed: "",
  module: { url: new URL("../../transports/inproc.ts", import.meta.url), factory: "inproc" },
})
