// A member of a mesh in a program of whatever runtime runs it. `<network> answers` serves, and works in a queue group, until it is
// killed; `<network> asks` prints what it got from that one.
import process from "node:process"
import { Mesh } from "earshot/mesh"

const [network, what] = process.argv.slice(2)
const mesh = await Mesh.join({ network, name: what })
if (what === "answers") {
  mesh.serve("add", ([a, b]) => a + b)
  mesh.subscribe("work.*", { queue: "workers" }, ({ data }) => void mesh.publish("done", data))
  console.log(JSON.stringify(mesh.name))
} else {
  const sum = await mesh.request("add", [2, 3], { wait: 10_000 })
  const done = []
  const all = new Promise((resolve) => mesh.subscribe("done", ({ data }) => done.push(data) === 100 && resolve()))
  await mesh.flush()
  for (let n = 0; n < 100; n++) await mesh.publish(`work.${n}`, n, { onFull: "wait" })
  await all
  const members = [...mesh.members.values()].map(({ name }) => name)
  await mesh.close()
  console.log(JSON.stringify({ sum, done: done.length, members }))
}
