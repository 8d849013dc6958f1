// Tells which addresses are this host's.
import { dialable, onlyVirtual } from "../../../dist/lib/mesh/interfaces.node.js"

console.log(JSON.stringify({ dialable: dialable("tcp://0.0.0.0:1", true).sort(), onlyVirtual: onlyVirtual() }))
