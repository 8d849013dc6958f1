/**
 * A service with any number of copies, and somebody who asks it, for containers: see compose.yaml.
 *
 *   node dist/examples/mesh-service.js           answers
 *   node dist/examples/mesh-service.js ask       asks, twice a second
 *   node dist/examples/mesh-service.js ask 5     … five times
 *
 * Who and where comes from the environment: EARSHOT_NETWORK, EARSHOT_LISTEN, and EARSHOT_DNS, the name that stands for all
 * copies of the service. Containers are other hosts, so the members are open.
 */
import { Mesh } from "earshot/mesh"

const mesh = await Mesh.join({ open: true })
const leave = (): void => void mesh.drain()
process.once("SIGTERM", leave)
process.once("SIGINT", leave)

const [part, times = "Infinity"] = process.argv.slice(2)
if (part === "ask") {
  for (let asked = 0; asked < Number(times) && !mesh.closed; asked++) {
    const { by, letters } = await mesh.request<{ by: string; letters: number }>("words.count", "how many letters", {
      // None is there yet, or all are being replaced: wait for one. One is lost over it: ask another.
      wait: 10_000,
      timeout: 12_000,
      idempotent: true,
    })
    console.log(`${by} says: ${letters} letters`)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  await mesh.close()
} else {
  mesh.serve<string>("words.count", (words) => ({ by: mesh.name, letters: words.replaceAll(/\W/g, "").length }))
  console.log(`${mesh.name} answers at ${mesh.endpoints.join(", ")}`)
}
