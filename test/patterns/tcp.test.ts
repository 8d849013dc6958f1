import t from "tap"
import { patternConformance } from "../conformance/patterns/index.ts"

patternConformance(t, { name: "tcp", endpoint: () => "tcp://127.0.0.1:*", wildcard: "tcp://127.0.0.1:*" })
