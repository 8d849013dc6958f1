// npm ws: one WebSocket message for each of ours, without compression, as its users send.
import { once } from "node:events"
import { pages } from "../support/pages.mjs"
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

async function sendAll(socket, size, total) {
  const body = Buffer.alloc(size)
  for (let n = 0; n < total; n++) {
    if (socket.bufferedAmount < 1 << 20) socket.send(body)
    else await new Promise((resolve) => socket.send(body, resolve)) // until all up to this one has left
  }
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
    await sendAll(socket, size, total)
    socket.close()
    await once(socket, "close")
  },

  // To a page in a browser.
  async feed({ size, total }) {
    const site = await pages("ws")
    const server = new ws.WebSocketServer({ ...options, server: site.server, path: "/feed", clientTracking: false })
    const connection = once(server, "connection")
    say({ url: site.url })
    const [socket] = await connection
    await sendAll(socket, size, total)
    for await (const _ of process.stdin) continue
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
