import t from "tap"
import { unsupported } from "../lib/runtime.ts"

t.test("Node below 20.19 is refused with one sentence that says so", async (t) => {
  for (const node of ["18.20.8", "20.18.3", "16.0.0", "8.17.0"]) {
    t.equal(unsupported({ node }), `Earshot needs Node 20.19 or newer, and this is Node ${node}.`)
  }
})

t.test("newer Nodes, and runtimes that only look like Node, are not", async (t) => {
  for (const node of ["20.19.0", "20.20.2", "22.0.0", "24.11.1", "26.0.0-nightly"])
    t.equal(unsupported({ node }), undefined)
  t.equal(unsupported({ node: "18.0.0", bun: "1.0.0" }), undefined)
  t.equal(unsupported({ node: "18.0.0", deno: "1.40.0" }), undefined)
  t.equal(unsupported({}), undefined)
  t.equal(unsupported(undefined), undefined, "a browser has no process")
})
