import t from "tap"
import { patternConformance } from "../conformance/patterns/index.ts"

let count = 0
patternConformance(t, { name: "inproc", endpoint: () => `inproc://patterns-${++count}`, wildcard: "inproc://*" })
