// Earshot over libp2p: its roles are those over TCP, with `at=libp2p://#bench` and a node such as the raw side has.
import { existsSync } from "node:fs"
import { makeNode } from "../support/libp2p-node.mjs"
import { missing } from "../support/role.mjs"

const dist = new URL("../../dist/", import.meta.url)
if (!existsSync(new URL("transports/libp2p.js", dist))) missing("not built")
const { transports } = await import(new URL("lib/index.js", dist))
const { libp2p } = await import(new URL("transports/libp2p.js", dist))

transports.register(libp2p({ node: await makeNode() }))
await import("./earshot.mjs")
