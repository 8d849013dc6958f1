// A member on a host of its own that says what is wrong, as built. Its argument: { join, seeds, multicast }. Says the keys of its
// causes, and each cause, whenever they have changed.
import { Mesh, mdns, seeds } from "../../../dist/lib/mesh/index.js"

const { join = {}, seeds: places = [], multicast = false } = JSON.parse(process.argv[2])
const discovery = [...(places.length > 0 ? [seeds(...places)] : []), ...(multicast ? [mdns()] : [])]
const mesh = await Mesh.join({ listen: ["tcp://*:0"], settle: 100, ...join, discovery })
let last = ""
const look = async () => {
  const causes = await mesh.diagnose()
  const keys = causes.map(({ key }) => key)
  if (keys.join() === last) return
  last = keys.join()
  process.stdout.write(`${JSON.stringify({ keys, causes })}\n`)
}
setInterval(() => void look(), 100)
process.stdin.resume().on("end", () => process.exit())
