// The mesh on Node, Bun and Deno, with the package as built: members on each find those on Node by multicast DNS on loopback,
// ask, answer, and share work.
import t from "tap"
import { Project, runtimes } from "../support/runtimes.ts"

const project = new Project(t, "runtime-mesh.mjs")
const node = runtimes[0]!

for (const runtime of runtimes) {
  const { name, skip } = runtime
  for (const [answers, asks] of [
    [node, runtime],
    [runtime, node],
  ] as const)
    t.test(`${answers.name} answers ${asks.name}`, { skip }, async (t) => {
      const network = `${name}-${process.pid}-${Math.random()}`
      const started = project.run(t, answers, [network, "answers"])
      const got = await project.run(t, asks, [network, "asks"])
      t.equal(await started, "answers")
      t.strictSame(got, { sum: 5, done: 100, members: ["answers"] })
    })
}
