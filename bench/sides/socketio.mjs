// npm socket.io over WebSockets alone, without compression: one event with binary data for each message.
import { once } from "node:events"
import { createServer } from "node:http"
import { missing, play, say, verify } from "../support/role.mjs"

const absent = () => missing("missing: npm socket.io is not installed")
const { Server } = await import("socket.io").catch(absent)
const { io } = await import("socket.io-client").catch(absent)

/** Packets that may wait in the client before it is given more. */
const ENOUGH = 256

await play({
  async pull({ size, warm, total }) {
    const server = createServer()
    const sockets = new Server(server, {
      transports: ["websocket"],
      perMessageDeflate: false,
      serveClient: false,
      maxHttpBufferSize: 1e9,
    })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    let count = 0
    let start = 0
    await new Promise((resolve) => {
      sockets.on("connection", (socket) => {
        socket.on("data", (data) => {
          verify(data.length, size)
          if (++count === warm) start = performance.now()
          if (count === total) resolve()
        })
      })
      say({ endpoint: `http://127.0.0.1:${server.address().port}` })
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
  },

  async push({ endpoint, size, total }) {
    const socket = io(endpoint, { transports: ["websocket"], perMessageDeflate: false, reconnection: false })
    await new Promise((resolve) => socket.on("connect", resolve))
    const { engine } = socket.io
    const body = Buffer.alloc(size)
    for (let n = 0; n < total; n++) {
      socket.emit("data", body)
      if (engine.writeBuffer.length > ENOUGH) await new Promise((resolve) => engine.once("drain", resolve))
    }
    for await (const _ of process.stdin) continue
    socket.close()
  },
})
