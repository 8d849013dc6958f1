// Earshot's built JavaScript: the roles it shares with zeromq.js, and those by callback and `trySend`.
import { existsSync } from "node:fs"
import { missing, play, say, verify } from "../support/role.mjs"
import { nearMisses, topics as topicsOf } from "../support/topics.mjs"
import { pages } from "../support/pages.mjs"
import { awaited } from "./sockets.mjs"

const entry = new URL("../../dist/lib/index.js", import.meta.url)
if (!existsSync(entry)) missing("not built")
const earshot = await import(entry)

/** Our classes; one that does not exist yet is named in the row. */
const zmq = new Proxy(earshot, {
  get: (_, type) => (type === "context" ? undefined : (earshot[type] ?? missing(`not built (no ${type})`))),
})

const shared = awaited(zmq)

async function bound(socket, at = "tcp://127.0.0.1:*") {
  await socket.bind(at)
  say({ endpoint: socket.lastEndpoint })
}

await play({
  ...shared,

  async pull(args) {
    if (args.mode === "await") return shared.pull(args)
    const { size, warm, total, at } = args
    const pull = new zmq.Pull()
    let count = 0
    let start = 0
    await new Promise((resolve, reject) => {
      pull.onmessage = (message) => {
        verify(message[0].length, size)
        if (++count === warm) start = performance.now()
        if (count === total) resolve()
      }
      bound(pull, at).catch(reject)
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
    await pull.close()
  },

  async push(args) {
    if (args.mode === "await") return shared.push(args)
    const { endpoint, size, total, mode } = args
    const push = new zmq.Push()
    void push.connect(endpoint)
    const body = Buffer.alloc(size)
    if (mode === "callback") {
      for (let n = 0; n < total; n++) if (!push.trySend(body)) await push.send(body)
    } else {
      for (let n = 0; n < total; n++) {
        const fresh = Buffer.allocUnsafe(size)
        if (!push.trySend(fresh)) await push.send(fresh)
      }
    }
    await push.close()
  },

  async publish({ size, total, subscribers, at }) {
    const publisher = new zmq.Publisher({ noDrop: true })
    await bound(publisher, at)
    await publisher.ready({ subscribers })
    const body = Buffer.alloc(size)
    for (let n = 0; n < total; n++) if (!publisher.trySend(body)) await publisher.send(body)
    await publisher.close()
  },

  async subscribe({ endpoint, size, warm, total, subscribers }) {
    const first = warm * subscribers
    const last = total * subscribers
    let count = 0
    let start = 0
    const sockets = []
    await new Promise((resolve) => {
      for (let n = 0; n < subscribers; n++) {
        const subscriber = new zmq.Subscriber()
        void subscriber.subscribe("")
        subscriber.onmessage = (message) => {
          verify(message[0].length, size)
          if (++count === first) start = performance.now()
          if (count === last) resolve()
        }
        void subscriber.connect(endpoint)
        sockets.push(subscriber)
      }
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
    await Promise.all(sockets.map((socket) => socket.close()))
  },

  // To a page in a browser.
  async feed({ size, total }) {
    const site = await pages("earshot")
    const publisher = new zmq.Publisher({ noDrop: true })
    await publisher.bind(zmq.ws({ server: site.server, path: "/feed" }))
    say({ url: site.url })
    await publisher.ready({ subscribers: 1, timeout: 30_000 })
    const body = Buffer.alloc(size)
    for (let n = 0; n < total; n++) if (!publisher.trySend(body)) await publisher.send(body)
    for await (const _ of process.stdin) continue
  },

  async "match-publish"({ topics, warm, total }) {
    const publisher = new zmq.Publisher()
    await bound(publisher)
    const names = topicsOf(topics)
    await publisher.ready({ subscribers: 1, topic: names.at(-1), timeout: 60_000 })
    for (const name of names) {
      if (publisher.subscribers(name) !== 1) throw new Error(`the subscription ${name} has not arrived`)
    }
    const misses = nearMisses(topics)
    let start = 0
    for (let n = 0; n < total; n++) {
      if (n === warm) start = performance.now()
      publisher.trySend(misses[n % topics])
    }
    say({ count: total, seconds: (performance.now() - start) / 1000 })
  },

  async "match-subscribe"({ topics, endpoint }) {
    const subscriber = new zmq.Subscriber()
    void subscriber.connect(endpoint)
    void subscriber.subscribe(...topicsOf(topics))
    subscriber.onmessage = () => {
      throw new Error("a near miss was delivered")
    }
    for await (const _ of process.stdin) continue
  },
})
