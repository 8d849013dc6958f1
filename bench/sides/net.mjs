// Raw `net`, without any framing: the floor under everything that runs on Node.
import { once } from "node:events"
import { connect, createServer } from "node:net"
import { epoch, orders, percentiles, play, say, settle } from "../support/role.mjs"

async function listening(onSocket) {
  const server = createServer({ noDelay: true }, onSocket)
  server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 })
  await once(server, "listening")
  say({ endpoint: `tcp://127.0.0.1:${server.address().port}` })
  return server
}

async function connected(endpoint) {
  const socket = connect({ port: Number(endpoint.split(":").at(-1)), host: "127.0.0.1", noDelay: true })
  await once(socket, "connect")
  return socket
}

await play({
  async pull({ size, warm, total }) {
    const { promise, resolve } = deferred()
    let bytes = 0
    let start = 0
    await listening((socket) => {
      socket.on("data", (chunk) => {
        bytes += chunk.length
        if (start === 0 && bytes >= warm * size) start = performance.now()
        if (bytes === total * size) resolve()
      })
    })
    await promise
    say({ count: bytes / size, seconds: (performance.now() - start) / 1000 })
  },

  async push({ endpoint, size, total }) {
    const socket = await connected(endpoint)
    const body = Buffer.alloc(size)
    for (let n = 0; n < total; n++) if (!socket.write(body)) await once(socket, "drain")
    socket.end()
    await once(socket, "close")
  },

  async reply() {
    const server = await listening((socket) => {
      socket.on("data", (chunk) => socket.write(chunk))
      socket.on("close", () => server.close())
    })
    await once(server, "close")
  },

  async request({ endpoint, size, warm, total }) {
    const socket = await connected(endpoint)
    const body = Buffer.alloc(size)
    const times = new Float64Array(total - warm)
    const { promise, resolve } = deferred()
    let count = 0
    let bytes = 0
    let start = performance.now()
    socket.on("data", (chunk) => {
      bytes += chunk.length
      if (bytes < size) return
      bytes = 0
      if (count >= warm) times[count - warm] = performance.now() - start
      if (++count === total) return resolve()
      start = performance.now()
      socket.write(body)
    })
    socket.write(body)
    await promise
    say(percentiles(times))
    socket.destroy()
  },

  async gather() {
    const sockets = []
    let bytes = 0
    let wake = () => {}
    await listening((socket) => {
      sockets.push(socket)
      socket.on("data", (chunk) => {
        bytes += chunk.length
        wake()
      })
    })
    let held = 0
    for await (const more of orders()) {
      held += more
      while (bytes < held * 2) await new Promise((resolve) => (wake = resolve))
      const at = epoch()
      if (more === 0) await settle()
      say({ held, at })
    }
  },

  async crowd({ endpoint }) {
    const sockets = []
    say({ ready: true })
    for await (const more of orders()) {
      const begun = epoch()
      const opening = []
      for (let n = 0; n < more; n++) opening.push(connected(endpoint))
      for (const socket of await Promise.all(opening)) {
        socket.on("data", () => {})
        socket.write("hi")
        sockets.push(socket)
      }
      if (more === 0) await settle()
      say({ begun })
    }
  },

  // A process that holds nothing but a timer: what an idle Node costs by itself.
  async bare() {
    await settle()
    say({ ready: true })
    setTimeout(() => {}, 2 ** 31 - 1)
    await new Promise(() => {})
  },
})

function deferred() {
  const made = {}
  made.promise = new Promise((resolve) => (made.resolve = resolve))
  return made
}
