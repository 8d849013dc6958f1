// npm moleculer over its TCP transporter, without UDP: the nodes are told of the first one.
import { ECHO, SUBJECT, Tally, dismissed, published, timed, turn } from "../support/pubsub.mjs"
import { missing, play, say } from "../support/role.mjs"

const { default: moleculer } = await import("moleculer").catch(() => missing("missing: npm moleculer is not installed"))

/** Messages that it has not yet handed to the system: it tells by a promise. */
const AHEAD = 4096
const AHEAD_BYTES = 4 << 20

async function join(nodeID, service, urls = []) {
  const transporter = {
    type: "TCP",
    options: { udpDiscovery: false, useHostname: false, gossipPeriod: 0.2, urls, maxConnections: 64 },
  }
  const broker = new moleculer.ServiceBroker({ nodeID, transporter, logger: false, metrics: false, tracing: false })
  if (service !== undefined) broker.createService(service)
  await broker.start()
  return broker
}

const endpointOf = (broker) => `127.0.0.1:${broker.transit.tx.opts.port}/${broker.nodeID}`

await play({
  async publish({ size, total, members }) {
    const broker = await join("publisher")
    say({ endpoint: endpointOf(broker) })
    await broker.waitForServices(
      Array.from({ length: members }, (_, n) => `subscriber-${n}`),
      30_000,
      20,
    )
    // It makes JSON of what is published.
    const body = "x".repeat(size)
    const most = Math.max(1, Math.min(AHEAD, AHEAD_BYTES / size))
    let ahead = 0
    const done = () => ahead--
    for (let n = 0; n < total; n++) {
      ahead++
      void broker.broadcast(SUBJECT, body).then(done)
      while (ahead >= most) await turn()
    }
    await published(total * members)
  },

  async subscribe({ endpoint, ...args }) {
    const tally = new Tally(args)
    for (let n = 0; n < args.members; n++) {
      const name = `subscriber-${n}`
      // It looks at the name of the parameter.
      await join(name, { name, events: { [SUBJECT]: (ctx) => tally.take(ctx.params.length) } }, [endpoint])
    }
    await tally.finish()
  },

  async reply() {
    const broker = await join("responder", { name: "bench", actions: { echo: ({ params }) => params.body } })
    say({ endpoint: endpointOf(broker) })
    await dismissed()
  },

  async request({ endpoint, ...args }) {
    const broker = await join("requester", undefined, [endpoint])
    await broker.waitForServices(["bench"], 30_000, 20)
    const body = "x".repeat(args.size)
    await timed(async () => (await broker.call(ECHO, { body })).length, args)
  },
})
