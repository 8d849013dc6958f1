// Earshot's mesh: one who publishes, one who sends each message back, and perhaps one beside it that has stopped.
import { existsSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { dismissed, turn } from "../support/pubsub.mjs"
import { missing, percentiles, play, say } from "../support/role.mjs"

const entry = new URL("../../dist/lib/mesh/index.js", import.meta.url)
if (!existsSync(entry)) missing("not built")
const { Mesh, raw, seeds } = await import(entry)

const join = (seed) =>
  Mesh.join({
    network: "bench",
    listen: ["tcp://127.0.0.1:0"],
    discovery: seed === undefined ? [] : [seeds(seed)],
    codec: raw,
  })

/** More than a link's queue holds, and the system's buffers with it. */
const FLOOD = 8000

await play({
  async publish({ stuck, total, size }) {
    const mesh = await join()
    say({ endpoint: mesh.endpoints[0] })
    for (const subject of stuck ? ["fast", "stuck"] : ["fast"]) await mesh.ready({ subject, timeout: 30_000 })
    const times = new Float64Array(total)
    let back = 0
    mesh.subscribe("back", (message) => {
      times[back++] = performance.now() - Buffer.from(message.data).readDoubleLE(0)
    })
    const body = Buffer.alloc(size)
    // Time for the other to stop.
    await sleep(200)
    if (stuck) {
      for (let n = 0; n < FLOOD; n++) if (mesh.tryPublish("stuck", body).dropped === 0) await turn()
      if (mesh.tryPublish("stuck", body).dropped === 0) throw new Error("it takes everything")
    }
    const began = performance.now()
    for (let n = 0; n < total; await turn())
      for (; n < Math.min(total, performance.now() - began); n++) {
        const stamped = Buffer.from(body)
        stamped.writeDoubleLE(performance.now(), 0)
        if (mesh.tryPublish("fast", stamped).dropped > 0) throw new Error("a message to the fast one was dropped")
        if (stuck) mesh.tryPublish("stuck", stamped)
      }
    for (const end = performance.now() + 5000; back < total && performance.now() < end;) await turn()
    if (back !== total) throw new Error(`${back} messages of ${total} came back`)
    say(percentiles(times))
    process.exit()
  },

  async fast({ endpoint }) {
    const mesh = await join(endpoint)
    mesh.subscribe("fast", (message) => void mesh.tryPublish("back", message.data))
    await dismissed()
  },

  async stuck({ endpoint }) {
    const mesh = await join(endpoint)
    await mesh.ready({ members: 1, timeout: 30_000 })
    await mesh.subscribe("stuck", () => {}).ready()
    await sleep(50)
    process.kill(process.pid, "SIGSTOP")
    await dismissed()
  },
})
