// The roles that are one program text for Earshot and zeromq.js: `for await` and an awaited send for each message.
// `zmq` is the module under test, `at` where to bind if not on a port of TCP.
import { epoch, orders, percentiles, say, settle, verify } from "../support/role.mjs"

const beat = (interval) => (interval === undefined ? {} : { heartbeatInterval: interval })
const poll = (busyPoll) => (busyPoll === undefined ? {} : { busyPoll })

const ANY = "tcp://127.0.0.1:*"

export function awaited(zmq) {
  return {
    async pull({ size, warm, total, at = ANY }) {
      const pull = new zmq.Pull()
      await pull.bind(at)
      say({ endpoint: pull.lastEndpoint })
      let count = 0
      let start = 0
      for await (const [frame] of pull) {
        verify(frame.length, size)
        if (++count === warm) start = performance.now()
        if (count === total) break
      }
      say({ count, seconds: (performance.now() - start) / 1000 })
      await pull.close()
    },

    async push({ endpoint, size, total }) {
      const push = new zmq.Push()
      void push.connect(endpoint)
      const body = Buffer.alloc(size)
      for (let n = 0; n < total; n++) await push.send(body)
      await push.close()
    },

    async reply({ total, busyPoll, at = ANY }) {
      const reply = new zmq.Reply(poll(busyPoll))
      await reply.bind(at)
      say({ endpoint: reply.lastEndpoint })
      let count = 0
      for await (const [frame] of reply) {
        await reply.send(frame)
        if (++count === total) break
      }
      await reply.close()
    },

    async request({ endpoint, size, warm, total, busyPoll }) {
      const request = new zmq.Request(poll(busyPoll))
      void request.connect(endpoint)
      const body = Buffer.alloc(size)
      const times = new Float64Array(total - warm)
      for (let n = 0; n < total; n++) {
        const start = performance.now()
        await request.send(body)
        const [frame] = await request.receive()
        if (n >= warm) times[n - warm] = performance.now() - start
        verify(frame.length, size)
      }
      say(percentiles(times))
      await request.close()
    },

    // The listener under many connections: as many messages as ordered.
    async gather({ heartbeat }) {
      const pull = new zmq.Pull({ backlog: 4096, ...beat(heartbeat) })
      await pull.bind(ANY)
      say({ endpoint: pull.lastEndpoint })
      let held = 0
      for await (const more of orders()) {
        for (let n = 0; n < more; n++) await pull.receive()
        const at = epoch()
        if (more === 0) await settle()
        say({ held: (held += more), at })
      }
    },

    // Many sockets, one connection and one message each.
    async crowd({ endpoint, heartbeat }) {
      if (zmq.context !== undefined) zmq.context.maxSockets = 8192
      const sockets = []
      say({ ready: true })
      for await (const more of orders()) {
        const begun = epoch()
        const sent = []
        for (let n = 0; n < more; n++) {
          const push = new zmq.Push(beat(heartbeat))
          void push.connect(endpoint)
          sent.push(push.send("hi"))
          sockets.push(push)
        }
        await Promise.all(sent)
        if (more === 0) await settle()
        say({ begun })
      }
    },

    // One socket that connects many times; then one message for each of its connections.
    async bundle({ endpoint }) {
      const push = new zmq.Push()
      let held = 0
      say({ ready: true })
      for await (const more of orders()) {
        for (let n = 0; n < more; n++) void push.connect(endpoint)
        held += more
        if (more === 0) await settle()
        else for (let n = 0; n < held; n++) await push.send("hi")
        say({ held })
      }
    },
  }
}
