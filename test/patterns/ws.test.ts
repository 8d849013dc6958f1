import t from "tap"
import { patternConformance } from "../conformance/patterns/index.ts"

patternConformance(t, { name: "ws", endpoint: () => "ws://127.0.0.1:*", wildcard: "ws://127.0.0.1:*" })
