// One socket of ours, as built, in a process of its own, which a test can stop and kill. Told what to do by messages:
// [id, what, ...args].
import * as earshot from "../../../dist/lib/index.js"

let socket
/** Names of events since the start. */
const happened = []
const collected = { count: 0, wrong: null }

const does = {
  make(type, options) {
    // oxlint-disable-next-line import/namespace
    socket = new earshot[type](options)
    for (const name of ["peer:join", "peer:leave", "disconnect"])
      socket.events.on(name, ({ error }) => happened.push(error === undefined ? name : `${name} ${error.code}`))
  },
  async bind(endpoint) {
    await socket.bind(endpoint)
    return socket.lastEndpoint
  },
  connect: (endpoint) => socket.connect(endpoint),
  subscribe: (...topics) => socket.subscribe(...topics),
  send: (...frames) => socket.send(frames),
  receive: async () => (await socket.receive()).map(String),
  happened: () => happened,
  stats: () => socket.stats(),
  /** Sends the numbers from `from` to `to`, each with so many bytes behind it. */
  async sendNumbers(from, to, size) {
    const rest = Buffer.alloc(size)
    for (let n = from; n < to; n++) await socket.send([String(n), rest])
  },
  /** Takes numbered messages from now on; `collected` tells how many came and the first that was out of order. */
  collect() {
    void (async () => {
      for await (const [frame] of socket) {
        const n = Number(frame)
        if (n !== collected.count) collected.wrong ??= `${n} where ${collected.count} was due`
        collected.count++
      }
    })()
  },
  collected: () => collected,
  /** Answers everything with itself. */
  echo() {
    void (async () => {
      for await (const message of socket) await socket.send(message)
    })()
  },
  async closeAndEnd() {
    await socket.close()
    setImmediate(() => process.disconnect())
  },
}

async function answer([id, what, ...args]) {
  try {
    process.send([id, undefined, await does[what](...args)])
  } catch (error) {
    process.send([id, String(error)])
  }
}

process.on("message", (asked) => void answer(asked))
process.on("disconnect", () => process.exit())
