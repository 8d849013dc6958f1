// npm ws: one WebSocket message for each of ours, without compression, as its users send.
import { once } from "node:events"
import { missing, percentiles, play, say, verify } from "../support/role.mjs"

const ws = await import("ws").catch(() => missing("missing: npm ws is not installed"))
const options = { perMessageDeflate: false, maxPayload: 0 }

async function listening(onSocket) {
  const server = new ws.WebSocketServer({ ...options, host: "127.0.0.1", port: 0, clientTracking: false })
  server.on("connection", onSocket)
  await once(server, "listening")
  say({ endpoint: `ws://127.0.0.1:${server.address().port}` })
  return server
}

async function connected(endpoint) {
  const socket = new ws.WebSocket(endpoint, options)
  await once(socket, "open")
  return socket
}

await play({
  async pull({ size, warm, total }) {
    let count = 0
    let start = 0
    await new Promise((resolve, reject) => {
      listening((socket) => {
        socket.on("message", (data) => {
          verify(data.length, size)
          if (++count === warm) start = performance.now()
          if (count === total) resolve()
        })
      }).catch(reject)
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
  },

  async push({ endpoint, size, total }) {
    const socket = await connected(endpoint)
    const body = Buffer.alloc(size)
    for (let n = 1; n <= total; n++) {
      if (socket.bufferedAmount < 1 << 20) socket.send(body)
      else await new Promise((resolve) => socket.send(body, resolve)) // until all up to this one has left
    }
    socket.close()
    await once(socket, "close")
  },

  async reply() {
    await new Promise((resolve, reject) => {
      listening((socket) => {
        socket.on("message", (data) => socket.send(data))
        socket.on("close", resolve)
      }).catch(reject)
    })
  },

  async request({ endpoint, size, warm, total }) {
    const socket = await connected(endpoint)
    const body = Buffer.alloc(size)
    const times = new Float64Array(total - warm)
    let count = 0
    let start = performance.now()
    await new Promise((resolve) => {
      socket.on("message", (data) => {
        verify(data.length, size)
        if (count >= warm) times[count - warm] = performance.now() - start
        if (++count === total) return resolve()
        start = performance.now()
        socket.send(body)
      })
      socket.send(body)
    })
    say(percentiles(times))
    socket.terminate()
  },
})
