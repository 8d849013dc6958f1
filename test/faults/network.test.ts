// Real TCP that is slow, half open, silent or rude; and what is left of it all afterwards.
import { once } from "node:events"
import { readFileSync } from "node:fs"
import * as net from "node:net"
import t, { type Test } from "tap"
import { Dealer, Pull, Push, Router } from "../../lib/index.ts"
import { greeting, ready, wire } from "../support/bytes.ts"
import { Proxy } from "../support/proxy.ts"
import { event, events, outcome, text, tidy, until, within } from "../support/sockets.ts"

const LOOPBACK = "tcp://127.0.0.1:*"
const MIB = 1024 * 1024

/** A peer of bare bytes, past its handshake. */
async function raw(
  t: Test,
  endpoint: string,
  type: string,
  properties: Record<string, string> = {},
): Promise<net.Socket> {
  const socket = net.connect(Number(endpoint.split(":").at(-1)), "127.0.0.1")
  socket.on("error", () => {})
  t.teardown(() => socket.destroy())
  await once(socket, "connect")
  socket.write(Buffer.concat([greeting(), ready(type, properties)]))
  return socket
}

// The slow ones cost nothing but time.
t.jobs = 8

/** Bytes that the sender's system still holds. */
function unsent(socket: net.Socket): number {
  const port = `:${socket.localPort!.toString(16).toUpperCase().padStart(4, "0")}`
  const line = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .find((line) => line.trim().split(/\s+/)[1]?.endsWith(port))
  return socket.writableLength + Number.parseInt(line!.trim().split(/\s+/)[4]!, 16)
}

t.test(
  "20 MiB through a proxy of 1 MiB a second, with heartbeats of 2 s and 6 s: on the same connection",
  { buffered: true },
  async (t) => {
    const options = { heartbeatInterval: 2000, heartbeatTimeout: 6000 }
    const pull = tidy(t, new Pull(options))
    const push = tidy(t, new Push(options))
    await pull.bind(LOOPBACK)
    const proxy = await Proxy.start(t, pull.lastEndpoint!)
    await push.connect(proxy.endpoint)
    proxy.rate = MIB
    const gone = [events(pull, "disconnect"), events(push, "disconnect")]
    const large = Buffer.alloc(20 * MIB)
    for (let at = 0; at < large.length; at += 4096) large.writeUInt32BE(at, at)
    await push.send("before")
    await push.send(large)
    await push.send("after")
    const start = performance.now()
    const [before, whole, after] = [await pull.receive(), await pull.receive(), await pull.receive()]
    const seconds = (performance.now() - start) / 1000
    t.strictSame([text(before), text(after)], ["before", "after"])
    t.ok(large.equals(whole[0]!), `${large.length} bytes in ${seconds.toFixed(1)} s`)
    t.ok(seconds > 12, "longer than two timeouts")
    t.strictSame(gone.flat(), [])
    t.equal(proxy.connections, 1)
  },
)

t.test("a half-open connection is found by both sides, and replaced", { buffered: true }, async (t) => {
  const options = { heartbeatInterval: 300, heartbeatTimeout: 900, reconnectInterval: 50 }
  const router = tidy(t, new Router(options))
  const dealer = tidy(t, new Dealer({ ...options, routingId: "dealer" }))
  await router.bind(LOOPBACK)
  const proxy = await Proxy.start(t, router.lastEndpoint!)
  await dealer.connect(proxy.endpoint)
  await dealer.send("first")
  t.equal(text(await router.receive()), "dealer|first")
  const lost = [event(router, "disconnect"), event(dealer, "disconnect")]
  const left = event(router, "peer:leave")
  const start = performance.now()
  proxy.cut()
  for (const { error } of await Promise.all(lost)) t.equal(error?.code, "ETIMEDOUT")
  t.equal((await left).error?.code, "ETIMEDOUT")
  const took = performance.now() - start
  t.ok(took > 500 && took < 8000, `found after ${took.toFixed()} ms`)
  await dealer.send("second")
  t.equal(text(await within("the new connection", router.receive())), "dealer|second")
  await router.send(["dealer", "answer"])
  t.equal(text(await dealer.receive()), "answer")
  t.equal(proxy.connections, 2)
})

t.test("half open with the sender blocked in the middle of a message", { buffered: true }, async (t) => {
  const options = { heartbeatInterval: 300, heartbeatTimeout: 900, reconnectInterval: 50 }
  const pull = tidy(t, new Pull(options))
  const push = tidy(t, new Push(options))
  await pull.bind(LOOPBACK)
  const proxy = await Proxy.start(t, pull.lastEndpoint!)
  await push.connect(proxy.endpoint)
  proxy.rate = MIB
  const lost = event(push, "disconnect")
  await push.send(Buffer.alloc(60 * MIB))
  await push.send("waits behind it")
  await until("bytes under way", () => (push.peers[0]?.unconfirmed ?? 0) > 0)
  proxy.cut()
  const { error, unconfirmed } = await lost
  t.equal(error?.code, "ETIMEDOUT")
  t.equal(unconfirmed, 1)
  proxy.rate = Infinity
  t.equal(text(await within("the next message", pull.receive())), "waits behind it")
  t.strictSame(push.stats().unconfirmed.count, 1)
})

t.test(
  "a connection that is taken and never answered: the handshake's time is over, and another begins",
  { buffered: true },
  async (t) => {
    const pull = tidy(t, new Pull())
    const push = tidy(t, new Push({ handshakeInterval: 300, reconnectInterval: 20 }))
    await pull.bind(LOOPBACK)
    const proxy = await Proxy.start(t, pull.lastEndpoint!)
    proxy.mute(true)
    const connected = push.connect(proxy.endpoint)
    t.match(await event(push, "handshake:error:other"), { error: { code: "ETIMEDOUT" } })
    proxy.mute(false)
    await within("the handshake", connected)
    await push.send("there")
    t.equal(text(await pull.receive()), "there")
  },
)

t.test("a peer that sends a byte at a time", { buffered: true }, async (t) => {
  const pull = tidy(t, new Pull({ handshakeInterval: 400, heartbeatInterval: 200, heartbeatTimeout: 600 }))
  await pull.bind(LOOPBACK)
  const trickle = async (socket: net.Socket, bytes: Buffer): Promise<number> => {
    const start = performance.now()
    const over = new Promise((resolve) => socket.resume().once("close", resolve))
    let at = 0
    const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 25)
    await within("the end of a slow peer", over)
    clearInterval(timer)
    return performance.now() - start
  }
  await t.test("in the handshake", async (t) => {
    const socket = net.connect(Number(pull.lastEndpoint!.split(":").at(-1)), "127.0.0.1")
    socket.on("error", () => {})
    const error = event(pull, "handshake:error:other")
    const took = await trickle(socket, Buffer.concat([greeting(), ready("PUSH")]))
    t.equal((await error).error.code, "ETIMEDOUT")
    t.ok(took < 4000, `${took.toFixed()} ms`)
  })
  await t.test("in a frame", async (t) => {
    const socket = await raw(t, pull.lastEndpoint!, "PUSH")
    const lost = event(pull, "disconnect")
    const took = await trickle(socket, wire(Buffer.alloc(100_000)))
    t.equal((await lost).error?.code, "ETIMEDOUT")
    t.ok(took < 6000, `${took.toFixed()} ms`)
  })
})

t.test(
  "a frame of 2^63 bytes costs its sender the connection and nobody else anything",
  { buffered: true },
  async (t) => {
    const pull = tidy(t, new Pull())
    await pull.bind(LOOPBACK)
    const push = tidy(t, new Push())
    await push.connect(pull.lastEndpoint!)
    const { rss } = process.memoryUsage()
    for (const flags of [2, 3, 6]) {
      const socket = await raw(t, pull.lastEndpoint!, "PUSH")
      const lost = event(pull, "disconnect")
      const head = Buffer.alloc(9)
      head[0] = flags
      head.writeBigUInt64BE(1n << 63n, 1)
      const closed = new Promise((resolve) => socket.resume().once("close", resolve))
      socket.write(Buffer.concat([wire("good"), head, Buffer.alloc(1000)]))
      t.equal((await lost).error?.code, "EMSGSIZE")
      await within("its end", closed)
      t.equal(text(await pull.receive()), "good")
    }
    await push.send("still here")
    t.equal(text(await pull.receive()), "still here")
    t.ok(process.memoryUsage().rss - rss < 500 * MIB)
  },
)

t.test("a taken port: EADDRINUSE, an event, and the socket is as good as before", { buffered: true }, async (t) => {
  const [first, second] = [new Pull(), new Pull()]
  tidy(t, first, second)
  await first.bind(LOOPBACK)
  const endpoint = first.lastEndpoint!
  const told = event(second, "bind:error")
  t.equal(await outcome(second.bind(endpoint)), "EADDRINUSE")
  t.match(await told, { address: endpoint, error: { code: "EADDRINUSE" } })
  t.equal(await outcome(first.bind(endpoint)), "EADDRINUSE")
  await second.bind(LOOPBACK)
  const push = tidy(t, new Push())
  await push.connect(endpoint)
  await push.send("to the first")
  t.equal(text(await first.receive()), "to the first")
  await first.unbind(endpoint)
  await within("the freed port", second.bind(endpoint))
  await push.send("to the second")
  t.equal(text(await within("a message", second.receive())), "to the second")
})

t.test(
  "what the system holds of a peer that has gone is received, though our PINGs to it fail",
  { buffered: true },
  async (t) => {
    // Without /proc there is no telling when all is there.
    for (const count of process.platform === "linux" ? [50, 150, 180] : []) {
      const pull = tidy(t, new Pull({ receiveHighWaterMark: 10, heartbeatInterval: 20, heartbeatTimeout: 60_000 }))
      await pull.bind(LOOPBACK)
      const socket = await raw(t, pull.lastEndpoint!, "PUSH", { "X-Earshot": "1" })
      await event(pull, "peer:join")
      socket.on("data", () => {})
      for (let n = 0; n < count; n++) socket.write(wire(`${n}`, Buffer.alloc(1000)))
      await until("the inbox to be full", () => pull.peers[0]?.waiting === 10)
      await until("all of it to be in the receiver's system", () => unsent(socket) === 0)
      const gone = event(pull, "peer:leave")
      socket.destroy()
      // Our system answers the first PING's reset, and the next PING fails.
      const heard = pull.stats().received.count
      for (let pings = 0; pings < 5; pings++) await new Promise((resolve) => setTimeout(resolve, 20))
      t.ok(pull.stats().received.count >= heard)
      const got: string[] = []
      while (got.length < count)
        got.push(text([(await within(`message ${got.length} of ${count}`, pull.receive()))[0]!])!)
      t.strictSame(
        got,
        Array.from({ length: count }, (_, n) => String(n)),
      )
      await gone
    }
  },
)

t.test("a reconnect storm: a hundred connectors, a server that comes and goes", { buffered: true }, async (t) => {
  const count = 100
  const options = { reconnectInterval: 20 }
  let router = new Router({ linger: 0 })
  t.teardown(() => router.close())
  await router.bind(LOOPBACK)
  const endpoint = router.lastEndpoint!
  const dealers = Array.from({ length: count }, (_, n) => new Dealer({ ...options, routingId: `d${n}` }))
  tidy(t, dealers[0]!, ...dealers)
  await Promise.all(dealers.map((dealer) => dealer.connect(endpoint)))
  for (let round = 0; round < 4; round++) {
    await router.close()
    // What is written before they know of it is lost with the system's buffers.
    await until("all to notice", () => dealers.every((dealer) => dealer.peers.length === 0))
    await Promise.all(dealers.map((dealer) => dealer.send(`round ${round}`)))
    router = new Router({ linger: 0 })
    await router.bind(endpoint)
    const heard = new Set<string>()
    while (heard.size < count) {
      const [id, body] = await within(`${count - heard.size} of ${count}`, router.receive())
      if (text([body!]) === `round ${round}`) heard.add(text([id!])!)
    }
    await until("all peers", () => router.peers.length === count)
    t.equal(router.peers.length, count)
  }
  await Promise.all(dealers.map((_, n) => router.send([`d${n}`, "answer"])))
  t.ok(
    (await Promise.all(dealers.map((dealer) => within("an answer", dealer.receive())))).every(
      (m) => text(m) === "answer",
    ),
  )
})

t.test(
  "handover in the midst of traffic: one peer at a time has the name, what is sent to it goes to one of them",
  { buffered: true },
  async (t) => {
    const router = tidy(t, new Router({ handover: true, mandatory: true }))
    await router.bind(LOOPBACK)
    const dealers: Dealer[] = []
    const got: string[] = []
    const take = async (dealer: Dealer): Promise<void> => {
      for await (const message of dealer) got.push(text(message)!)
    }
    const loops: Promise<void>[] = []
    let sent = 0
    for (let round = 0; round < 5; round++) {
      const dealer = new Dealer({ routingId: "name", reconnectInterval: -1 })
      dealers.push(dealer)
      loops.push(take(dealer))
      const joined = event(router, "peer:join")
      await dealer.connect(router.lastEndpoint!)
      await joined
      t.equal(router.peers.filter(({ routingId }) => text([routingId]) === "name").length, 1)
      for (let n = 0; n < 100; n++) await router.send(["name", String(sent++)])
    }
    await until("the old ones to go", () => router.peers.length === 1)
    const known = (): number => router.stats().unconfirmed.count + (router.stats().dropped.disconnected?.count ?? 0)
    await until("all of the last hundred", () => got.filter((n) => Number(n) >= 400).length === 100)
    t.equal(new Set(got).size, got.length, "never twice")
    t.comment(`${sent} sent, ${got.length} received, ${known()} known to be lost`)
    await Promise.all(dealers.map((dealer) => dealer.close()))
    await Promise.all(loops)
  },
)
