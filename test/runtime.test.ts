import { readFileSync, writeFileSync } from "node:fs"
import t from "tap"
import { unsupported } from "../lib/runtime.ts"
import { lacks, parts } from "./runtimes/parts.mjs"
import { runtimes } from "./support/binaries.mjs"

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

t.test("what test:runtimes leaves out is what the README says, and is there to be left out", async (t) => {
  const path = new URL("../README.md", import.meta.url)
  const readme = readFileSync(path, "utf8")
  const [, before, table] = /(\n## Runtimes\n[^|]*\n\| on [^\n]*\n\| ---[^\n]*\n)((?:\|[^\n]*\n)*)/.exec(readme)!
  const rows = [...new Set(lacks.map(({ runtime, what, why }) => `| ${runtime} | ${what} | ${why} |\n`))].join("")
  if (process.env["UPDATE_README"] === "1")
    writeFileSync(
      path,
      readme.replace(before! + table!, () => before! + rows),
    )
  else t.equal(table, rows, "UPDATE_README=1 writes it")
  for (const { name, kind, version } of runtimes) {
    const said = kind === "node" ? version.replace(/\.\d+$/, "") : `${name} ${version}`
    t.match(before, new RegExp(`\\b${said.replaceAll(".", "\\.")}\\b`), `the README knows ${name} ${version}`)
  }
  const files = Object.values(parts).flat()
  for (const { runtime, file, part } of lacks) {
    t.ok(runtimes.some(({ name }) => name === runtime))
    t.ok(part === undefined ? files.includes(file!) : part in parts, `${file ?? part} is tested elsewhere`)
  }
  t.equal(new Set(files).size, files.length, "no file twice")
})
