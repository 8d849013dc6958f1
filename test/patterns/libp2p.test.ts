import t from "tap"
import { transports } from "../../lib/index.ts"
import { patternConformance } from "../conformance/patterns/index.ts"
import { createNode, joined } from "../support/libp2p.ts"

const [near, far] = await Promise.all([createNode([]), createNode()])
t.teardown(() => Promise.all([near.stop(), far.stop()]))
transports.register(joined(near, far))

patternConformance(t, { name: "libp2p", endpoint: () => "libp2p://#*", wildcard: "libp2p://#*" })
