import t from "tap"
import { patternConformance } from "../conformance/patterns/index.ts"

const directory = t.testdir()
let count = 0
patternConformance(t, { name: "ipc", endpoint: () => `ipc://${directory}/${++count}.sock`, wildcard: "ipc://*" })
