// npm zeromq: the native binding of libzmq.
import { setImmediate as turn } from "node:timers/promises"
import { missing, play, say, verify } from "../support/role.mjs"
import { awaited } from "./sockets.mjs"

const module = await import("zeromq").catch((error) => missing(`missing: ${error.code ?? error.message}`))
const zmq = module.default ?? module

const roles = {
  ...awaited(zmq),

  version: () => say({ version: zmq.version }),

  // XPublisher: it sees its subscriptions, which is how it knows that all are there.
  async publish({ size, total, subscribers }) {
    const publisher = new zmq.XPublisher({ noDrop: true, verbosity: "allSubs" })
    await publisher.bind("tcp://127.0.0.1:*")
    say({ endpoint: publisher.lastEndpoint })
    for (let n = 0; n < subscribers; n++) await publisher.receive()
    const body = Buffer.alloc(size)
    for (let n = 0; n < total; n++) {
      // With `noDrop` a send at the high-water mark rejects instead of waiting: its users try again.
      while (!(await publisher.send(body).then(accepted, full))) await turn()
    }
    publisher.close()
  },

  async subscribe({ endpoint, size, warm, total, subscribers }) {
    let received = 0
    let start = 0
    const reader = async () => {
      const subscriber = new zmq.Subscriber()
      subscriber.subscribe("")
      subscriber.connect(endpoint)
      let count = 0
      for await (const [frame] of subscriber) {
        verify(frame.length, size)
        if (++received === warm * subscribers) start = performance.now()
        if (++count === total) break
      }
      subscriber.close()
    }
    await Promise.all(Array.from({ length: subscribers }, reader))
    say({ count: received, seconds: (performance.now() - start) / 1000 })
  },
}

const accepted = () => true

function full(error) {
  if (error.code !== "EAGAIN") throw error
  return false
}

// process.exit() would lose what zeromq.js has taken and not yet sent.
await play(roles, { exit: false })
