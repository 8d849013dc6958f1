// npm jszmq: ZeroMQ's sockets over WebSockets in JavaScript, one WebSocket message for each frame (ZWS 2.0).
import { once } from "node:events"
import { createServer } from "node:http"
import { setImmediate as turn } from "node:timers/promises"
import { missing, play, say, verify } from "../support/role.mjs"

const module = await import("jszmq").catch(() => missing("missing: npm jszmq is not installed"))
const zmq = module.default ?? module

/** It writes what it is given, whatever waits already: so it is given more only when little waits. */
const ENOUGH = 1 << 20

await play({
  async pull({ size, warm, total }) {
    const server = createServer()
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const pull = new zmq.Pull()
    const endpoint = `ws://127.0.0.1:${server.address().port}/`
    pull.bind(endpoint, server)
    let count = 0
    let start = 0
    await new Promise((resolve) => {
      pull.on("message", (frame) => {
        verify(frame.length, size)
        if (++count === warm) start = performance.now()
        if (count === total) resolve()
      })
      say({ endpoint })
    })
    say({ count, seconds: (performance.now() - start) / 1000 })
  },

  async push({ endpoint, size, total }) {
    const push = new zmq.Push()
    push.connect(endpoint)
    // Not part of its API, and there is no other way to know.
    const { socket } = push.endpoints[0]
    const body = Buffer.alloc(size)
    push.send(body)
    while (socket.readyState !== socket.OPEN) await turn()
    for (let n = 1; n < total; n++) {
      push.send(body)
      while (socket.bufferedAmount > ENOUGH) await turn()
    }
    while (socket.bufferedAmount > 0) await turn()
    push.close()
    for await (const _ of process.stdin) continue
  },
})
