// nats.js over TCP to a real nats-server.
import { ECHO, SUBJECT, Tally, dismissed, published, timed } from "../support/pubsub.mjs"
import { missing, play, say } from "../support/role.mjs"

const { connect } = await import("@nats-io/transport-node").catch(() =>
  missing("missing: npm @nats-io/transport-node is not installed"),
)

/** Bytes that it publishes before it asks the server whether all have come, and messages. */
const AHEAD = 1 << 20
const MOST = 16_384

const join = (server) => connect({ servers: server, reconnect: false })

await play({
  async publish({ server, size, total, members }) {
    const connection = await join(server)
    // A subscriber says here that the server knows it.
    let there = 0
    const all = new Promise((resolve) => {
      connection.subscribe("bench.there", { callback: () => ++there === members && resolve() })
    })
    await connection.flush()
    say({ endpoint: server })
    await all
    const body = Buffer.alloc(size)
    const every = Math.max(1, Math.min(MOST, AHEAD / size))
    for (let n = 1; n <= total; n++) {
      connection.publish(SUBJECT, body)
      if (n % every === 0) await connection.flush()
    }
    await connection.flush()
    await published(total * members)
    await connection.close()
  },

  async subscribe({ server, ...args }) {
    const tally = new Tally(args)
    for (let n = 0; n < args.members; n++) {
      const connection = await join(server)
      connection.subscribe(SUBJECT, {
        callback: (error, message) => {
          if (error) throw error
          tally.take(message.data.length)
        },
      })
      await connection.flush()
      connection.publish("bench.there")
    }
    await tally.finish()
  },

  async reply({ server }) {
    const connection = await join(server)
    connection.subscribe(ECHO, { callback: (_, message) => message.respond(message.data) })
    await connection.flush()
    say({ endpoint: server })
    await dismissed()
    await connection.close()
  },

  async request({ server, ...args }) {
    const connection = await join(server)
    const body = Buffer.alloc(args.size)
    await timed(async () => (await connection.request(ECHO, body)).data.length, args)
    await connection.close()
  },
})
