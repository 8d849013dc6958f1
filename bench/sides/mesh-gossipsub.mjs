// Earshot's mesh over gossipsub, on a node such as the bare side has.
import { existsSync } from "node:fs"
import { once } from "node:events"
import { addressOf, makePubsubNode, placeOf, pubsubStreams } from "../support/libp2p-node.mjs"
import { SUBJECT } from "../support/pubsub.mjs"
import { missing, play, say, verify } from "../support/role.mjs"

const dist = new URL("../../dist/lib/mesh/", import.meta.url)
if (!existsSync(new URL("gossipsub.js", dist))) missing("not built")
const { gossipsub } = await import(new URL("gossipsub.js", dist))
const { raw } = await import(new URL("index.js", dist))

await play({
  async publish({ size, total, subscribers }) {
    const node = await makePubsubNode()
    const mesh = gossipsub({ node, codec: raw })
    const gone = once(node, "peer:disconnect")
    say({ endpoint: placeOf(node) })
    await mesh.ready({ peers: subscribers, timeout: 30_000 })
    const [stream] = pubsubStreams(node)
    for (let n = 0; n < total; n++) {
      const { sent } = await mesh.publish(SUBJECT, Buffer.alloc(size))
      if (sent !== subscribers) throw new Error(`message ${n} went to ${sent}`)
      if (stream.writableNeedsDrain) await stream.onDrain()
    }
    await gone
  },

  async subscribe({ endpoint, size, warm, total }) {
    const node = await makePubsubNode()
    const mesh = gossipsub({ node, codec: raw })
    let count = 0
    let start = 0
    await new Promise((resolve, reject) => {
      mesh.subscribe(SUBJECT, ({ data }) => {
        verify(data.length, size)
        if (++count === warm) start = performance.now()
        if (count === total) resolve()
      })
      addressOf(endpoint)
        .then((address) => node.dial(address))
        .catch(reject)
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
    await node.stop()
  },
})
