// One libzmq socket in a process of its own, which a test can stop and kill. Told what to do by messages: [id, what, ...args].
import { readdirSync, readlinkSync } from "node:fs"
import * as zmq from "zeromq"

let socket

/** Sockets that this process has open. */
function openSockets() {
  const isSocket = (fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")
    } catch {
      // Closed since it was listed.
      return false
    }
  }
  return readdirSync("/proc/self/fd").filter(isSocket).length
}

const does = {
  make: (type, options) => void (socket = new zmq[type]({ linger: 0, ...options })),
  async bind(endpoint) {
    // The one before may have been killed only just now.
    for (let attempt = 0; ; attempt++)
      try {
        await socket.bind(endpoint)
        return socket.lastEndpoint
      } catch (error) {
        if (attempt > 200) throw error
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
  },
  connect: (endpoint) => socket.connect(endpoint),
  subscribe: (...topics) => socket.subscribe(...topics),
  send: (...frames) => socket.send(frames),
  /** Numbered messages, as fast as it goes. */
  async burst(count, size) {
    for (let n = 0; n < count; n++) await socket.send([String(n), Buffer.alloc(size)])
  },
  /**
   * Closes it, and ends once libzmq has closed its connection: at the end of a process libzmq's threads die in the middle of a
   * send, for zeromq.js then waits for nobody, `linger` or not.
   */
  async closeAndEnd() {
    const before = openSockets()
    socket.close()
    while (openSockets() >= before) await new Promise((resolve) => setTimeout(resolve, 10))
    process.exit()
  },
  receive: async () => (await socket.receive()).map(String),
  /** Takes numbered messages until the last is there; returns those that came. */
  async numbers(last) {
    const numbers = []
    while (numbers.at(-1) !== last) numbers.push(Number((await socket.receive())[0]))
    return numbers
  },
  /** Publishes until it is killed. */
  async publish(...topics) {
    for (let i = 0; ; i++) {
      for (const topic of topics) await socket.send([topic, String(i)])
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
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
