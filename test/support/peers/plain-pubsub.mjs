// A plain js-libp2p program with gossipsub and nothing of Earshot: takes part in a network of `gossipsub()` by the bytes that
// PROTOCOL.md names. Dials the node at argv[2], again whenever it is hung up on. Its parent is told what comes, and may say
// what is to be published.
import { gossipsub } from "@libp2p/gossipsub"
import { identify } from "@libp2p/identify"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { multiaddr } from "@multiformats/multiaddr"
import { createLibp2p } from "libp2p"

const TOPIC = "/earshot/mesh/1/default"

// As Earshot's import does on Node 20.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((first, second) => ([resolve, reject] = [first, second]))
  return { promise, resolve, reject }
}

const node = await createLibp2p({
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { pubsub: gossipsub(), identify: identify() },
})
const { pubsub } = node.services
pubsub.subscribe(TOPIC)
pubsub.addEventListener("message", ({ detail: { data } }) => {
  const end = 2 + data[0] * 256 + data[1]
  process.send({ subject: Buffer.from(data.subarray(2, end)).toString(), size: data.length })
})
process.on("message", ({ subject, text }) => {
  const head = [subject.length >> 8, subject.length & 255, ...Buffer.from(subject), 3, 0, 0]
  void pubsub.publish(TOPIC, Buffer.from([...head, ...Buffer.from(text)]))
})
process.on("disconnect", () => process.exit())
const dial = () => node.dial(multiaddr(process.argv[2]))
node.addEventListener("peer:disconnect", () => void dial())
await dial()
process.send({ id: node.peerId.toString() })
