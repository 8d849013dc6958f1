// npm @libp2p/gossipsub by itself, with its defaults but for the mode: `signed` as it comes (StrictSign: each message is signed and
// verified), `unsigned` as our sockets send, which leave it to the connection's Noise.
import { once } from "node:events"
import { addressOf, makePubsubNode, placeOf, pubsubStreams } from "../support/libp2p-node.mjs"
import { until } from "../support/pubsub.mjs"
import { play, say, verify } from "../support/role.mjs"

const TOPIC = "bench"

const join = (mode) => makePubsubNode(mode === "unsigned" ? { globalSignaturePolicy: "StrictNoSign" } : {})

await play({
  async publish({ size, total, subscribers, mode }) {
    const node = await join(mode)
    const { pubsub } = node.services
    const gone = once(node, "peer:disconnect")
    say({ endpoint: placeOf(node) })
    await until(() => pubsub.getSubscribers(TOPIC).length === subscribers && pubsubStreams(node).length === subscribers)
    const [stream] = pubsubStreams(node)
    for (let n = 0; n < total; n++) {
      // Without a signature two that are alike count as one.
      const body = Buffer.alloc(size)
      body.writeUInt32BE(n)
      const { recipients } = await pubsub.publish(TOPIC, body)
      if (recipients.length !== subscribers) throw new Error(`message ${n} went to ${recipients.length}`)
      // It has no back pressure of its own.
      if (stream.writableNeedsDrain) await stream.onDrain()
    }
    await gone
  },

  async subscribe({ endpoint, size, warm, total, mode }) {
    const node = await join(mode)
    const { pubsub } = node.services
    let count = 0
    let start = 0
    await new Promise((resolve, reject) => {
      pubsub.addEventListener("message", ({ detail }) => {
        verify(detail.data.length, size)
        if (++count === warm) start = performance.now()
        if (count === total) resolve()
      })
      pubsub.subscribe(TOPIC)
      addressOf(endpoint)
        .then((address) => node.dial(address))
        .catch(reject)
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
    await node.stop()
  },
})
