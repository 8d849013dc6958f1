// Earshot's mesh: members that were told of one another, on 127.0.0.1.
import { existsSync } from "node:fs"
import { ECHO, SUBJECT, Tally, dismissed, published, timed } from "../support/pubsub.mjs"
import { missing, play, say, settle } from "../support/role.mjs"

const entry = new URL("../../dist/lib/mesh/index.js", import.meta.url)
if (!existsSync(entry)) missing("not built")
const { Mesh, msgpack, raw, seeds } = await import(entry)

const join = (mode, seed, busyPoll = 0) =>
  Mesh.join({
    network: "bench",
    listen: ["tcp://127.0.0.1:0"],
    discovery: seed === undefined ? [] : [seeds(seed)],
    codec: mode === "raw" ? raw : msgpack,
    busyPoll,
  })

await play({
  async publish({ size, total, members, mode }) {
    const mesh = await join(mode)
    say({ endpoint: mesh.endpoints[0] })
    await mesh.ready({ members, timeout: 30_000 })
    const body = Buffer.alloc(size)
    let sent = 0
    if (mode === "awaited")
      for (let n = 0; n < total; n++) sent += (await mesh.publish(SUBJECT, body, { onFull: "wait" })).sent
    else
      while (sent < total * members) {
        const receipt = mesh.tryPublish(SUBJECT, body)
        sent += receipt.sent
        // Somebody's link is full: the next one waits for room. The others get one more than they might have.
        if (receipt.dropped > 0) sent += (await mesh.publish(SUBJECT, body, { onFull: "wait" })).sent
      }
    await published(sent)
    await mesh.close()
  },

  async subscribe({ endpoint, mode, ...args }) {
    const tally = new Tally(args)
    for (let n = 0; n < args.members; n++) {
      const mesh = await join(mode, endpoint)
      mesh.on("gap", ({ count }) => fail(`a gap of ${count} messages`))
      mesh.on("error", ({ error }) => fail(error))
      mesh.subscribe(SUBJECT, (message) => tally.take(message.data.length))
    }
    await tally.finish()
  },

  async reply({ mode, busyPoll }) {
    const mesh = await join(mode, undefined, busyPoll)
    mesh.serve(ECHO, (data) => data)
    say({ endpoint: mesh.endpoints[0] })
    await dismissed()
    await mesh.close()
  },

  async request({ endpoint, mode, busyPoll, ...args }) {
    const mesh = await join(mode, endpoint, busyPoll)
    await mesh.ready({ subject: ECHO })
    const body = Buffer.alloc(args.size)
    await timed(async () => (await mesh.request(ECHO, body)).length, args)
    await mesh.close()
  },

  // As a program has it that says nothing but `Mesh.join()`, with somebody there.
  async idle({ network }) {
    const mesh = await Mesh.join({ network })
    mesh.subscribe(SUBJECT, () => {})
    await mesh.ready({ members: 1, timeout: 30_000 })
    await settle()
    say({ ready: true })
    await dismissed()
  },
})

function fail(problem) {
  throw new Error(String(problem))
}
