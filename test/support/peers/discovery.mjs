// A member's discovery, as built, in a process of its own, with the options in its argument: { port, interfaces, endpoints, open,
// id, hold }. Tells each candidate on a line of its own.
import { systemClock } from "../../../dist/lib/clock.js"
import { mdns } from "../../../dist/lib/mesh/discovery/mdns.node.js"
import { freshId, networkHash } from "../../../dist/lib/mesh/identity.js"
import { dialable } from "../../../dist/lib/mesh/interfaces.node.js"

const {
  endpoints = [],
  open = false,
  id = freshId(systemClock),
  hold = false,
  ...options
} = JSON.parse(process.argv[2])
const say = (what) => console.log(JSON.stringify(what))
const host = {
  clock: systemClock,
  get self() {
    const own = endpoints.flatMap((endpoint) => dialable(endpoint, open))
    return { id, network: networkHash("test"), version: 1, endpoints: own, open }
  },
  linked: 0,
  found: (candidate) => say({ found: candidate }),
  lost: (id) => say({ lost: id }),
  note: (finding) => say({ note: finding }),
}
const discovery = mdns(options)
// Kept alive by whoever started it, or by nobody.
if (hold) process.stdin.resume().on("end", () => void discovery.stop())
process.disconnect?.()
void discovery.start(host)
