import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import t from "tap"
import { patternConformance } from "../conformance/patterns/index.ts"

const directory = mkdtempSync(`${tmpdir()}/patterns-`)
t.teardown(() => rmSync(directory, { recursive: true }))
let count = 0
patternConformance(t, { name: "ipc", endpoint: () => `ipc://${directory}/${++count}.sock`, wildcard: "ipc://*" })
