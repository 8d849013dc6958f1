// What dies under sockets over libp2p, and who means harm.
import { createServer, type AddressInfo } from "node:net"
import { noise } from "@libp2p/noise"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { createLibp2p, type Libp2p } from "libp2p"
import t, { type Test } from "tap"
import { Pull, Push, type Place } from "../../lib/index.ts"
import { libp2p } from "../../transports/libp2p.ts"
import { command, greeting, ready } from "../support/bytes.ts"
import { createNode } from "../support/libp2p.ts"
import { options } from "../transports/bench.ts"
import { dice } from "../transports/recorder.ts"
import { event, events, tidy, until, within } from "../support/sockets.ts"

async function nodes(t: Test, listen?: string[]): Promise<[Libp2p, Libp2p]> {
  const both = await Promise.all([createNode([]), createNode(listen)])
  t.teardown(() => Promise.all(both.map(async (node) => node.stop())))
  return both
}

function at(node: Libp2p, address: string): Place {
  return { transport: libp2p({ node }), address: address.replace("libp2p://", "") }
}

async function bound(t: Test, node: Libp2p, name = "#*"): Promise<[Pull, string]> {
  const pull = tidy(t, new Pull({ receiveTimeout: 10_000 }))
  await pull.bind(at(node, name))
  return [pull, pull.lastEndpoint!]
}

const pushing = { reconnectInterval: 10, linger: 0, sendTimeout: 10_000 } as const

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

t.test("a node stopped under live sockets: both learn of it, and go on when it is back", async (t) => {
  const [near, far] = await nodes(t, [`/ip4/127.0.0.1/tcp/${await freePort()}`])
  const [pull, endpoint] = await bound(t, far)
  const push = tidy(t, new Push(pushing))
  await push.connect(at(near, endpoint))
  await push.send("before")
  t.equal(String((await pull.receive())[0]), "before")
  const lost = event(push, "disconnect")
  await far.stop()
  await lost
  await until("an empty socket", () => pull.peers.length === 0)
  const waits = push.send("meanwhile")
  await far.start()
  await waits
  t.equal(String((await pull.receive())[0]), "meanwhile")
  // Now the one that dials.
  const gone = event(push, "disconnect")
  await near.stop()
  await gone
  await near.start()
  await push.send("after")
  t.equal(String((await pull.receive())[0]), "after")
})

t.test("connections that die again and again, from either side, at any moment", async (t) => {
  const [near, far] = await nodes(t)
  const [pull, endpoint] = await bound(t, far)
  const push = tidy(t, new Push({ ...pushing, reconnectMaxInterval: 20 }))
  await push.connect(at(near, endpoint))
  const got: number[] = []
  pull.onmessage = ([frame]) => void got.push(frame!.readUInt32BE())
  const sent = (async () => {
    for (let n = 0; n < 3000; n++) {
      const body = Buffer.alloc(n % 50 === 0 ? 300_000 : 100)
      body.writeUInt32BE(n)
      await push.send(body)
      if (n % 100 === 99) await until("a connection", () => push.peers[0]!.online)
    }
  })()
  let over = false
  void sent.finally(() => (over = true))
  let deaths = 0
  for (let round = 0; !over; round++) {
    const connections = (round % 2 === 0 ? near : far).getConnections()
    for (const connection of connections) {
      if (round % 3 === 0) connection.streams.forEach((stream) => stream.abort(new Error("reset")))
      else connection.abort(new Error("the cable"))
      deaths++
    }
    // Not a wait for anything: the moments are to differ.
    await new Promise((resolve) => setTimeout(resolve, (round * 7) % 30))
  }
  await within("all sends", sent)
  t.ok(deaths > 3, `${deaths} deaths`)
  const end = Buffer.alloc(4)
  end.writeUInt32BE(9999)
  await until("quiet", () => push.peers[0]!.online)
  await push.send(end)
  await until("the last one", () => got.at(-1) === 9999)
  const order = got.filter((n, i) => i > 0 && n <= got[i - 1]!)
  t.strictSame(order, [], "in order, none twice")
  t.ok(got.length > 1000, `${got.length} of 3001 arrived: what a connection has under way ends with it`)
})

interface Windowed {
  readonly recvWindow: number
  readonly recvWindowCapacity: number
}

t.test("a reader much slower than its senders loses nothing, and little waits for it", async (t) => {
  const [near, far] = await nodes(t)
  const pull = tidy(t, new Pull({ receiveHighWaterMark: 5, receiveTimeout: 10_000 }))
  await pull.bind(at(far, "#*"))
  const pushes = [1, 2].map(() => tidy(t, new Push({ ...pushing, sendHighWaterMark: 5 })))
  const lost = pushes.flatMap((push) => events(push, "disconnect"))
  for (const push of pushes) await push.connect(at(near, pull.lastEndpoint!))
  const count = 600
  const sent = pushes.map(async (push, from) => {
    for (let n = 0; n < count; n++) {
      const body = Buffer.alloc(30_000)
      body.writeUInt32BE(from)
      body.writeUInt32BE(n, 4)
      await push.send(body)
    }
  })
  const next = [0, 0]
  let waiting = 0
  for (let n = 0; n < count * 2; n++) {
    const [body] = await pull.receive()
    const from = body!.readUInt32BE()
    if (body!.readUInt32BE(4) !== next[from]!++) t.fail(`message ${n} is out of order`)
    // What has come and is not reported to the sender as read, in Yamux's own books.
    const streams = far.getConnections().flatMap((connection) => connection.streams) as unknown as Windowed[]
    const unreported = streams.map(({ recvWindow, recvWindowCapacity }) => recvWindow - recvWindowCapacity)
    waiting = Math.max(waiting, ...unreported)
    // Each in a turn of its own, so that it stops and goes all the time.
    if (n % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await Promise.all(sent)
  t.strictSame(next, [count, count])
  t.strictSame(lost, [])
  t.ok(waiting > 0 && waiting <= 1024 * 1024, `${waiting} bytes waited for a stream's reader: no more than our window`)
})

t.test("whatever dies when, nothing is thrown and all of them find each other again", async (t) => {
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.on("unhandledRejection", note)
  t.teardown(() => process.off("unhandledRejection", note))
  const [near, far] = await nodes(t, [`/ip4/127.0.0.1/tcp/${await freePort()}`])
  const pull = tidy(t, new Pull({ receiveHighWaterMark: 10 }))
  const [work, ours] = [at(far, "#work"), libp2p({ node: near })]
  await pull.bind(work)
  const there = { transport: ours, address: pull.lastEndpoint!.replace("libp2p://", "") }
  let heard = new Set<string>()
  pull.onmessage = ([frame]) => void heard.add(frame!.toString("latin1", 0, 20).trimEnd())
  const push = (name: string): Push => {
    const socket = tidy(t, new Push({ ...pushing, reconnectMaxInterval: 20 }))
    void socket.connect(there).catch(() => {})
    for (let n = 0; n < 5; n++) socket.trySend(Buffer.from(name.padEnd(n % 2 === 0 ? 100 : 200_000)))
    return socket
  }
  const lasting = [push("a"), push("b")]
  const roll = dice(11)
  const abort = (node: Libp2p): void => {
    const connections = node.getConnections()
    const connection = connections[roll(connections.length)]
    if (roll(2) === 0) connection?.abort(new Error("the cable"))
    else connection?.streams[roll(connection.streams.length)]?.abort(new Error("reset"))
  }
  const deeds: (() => unknown)[] = [
    () => abort(near),
    () => abort(far),
    () => near.getConnections()[0]?.close(),
    () => far.stop(),
    () => near.stop(),
    () => push("for a moment").close(),
    () => push("and gone").disconnect(there),
    () => pull.unbind(work),
    async () => {
      const rival = new Pull({ linger: 0 })
      await rival.bind(work).catch(() => {})
      await rival.close()
    },
  ]
  for (let round = 0; round < 60; round++) {
    // Together, and at moments that differ: not a wait for anything.
    const deed = async (): Promise<unknown> => deeds[roll(deeds.length)]!()
    const under = Promise.allSettled([deed(), deed()])
    await new Promise((resolve) => setTimeout(resolve, roll(12)))
    await within(`the deeds of round ${round}`, under)
    for (const node of [near, far]) if (node.status === "stopped") await node.start()
    await pull.bind(work).catch(() => {})
    for (const socket of lasting) socket.trySend("still here")
  }
  heard = new Set()
  const names = ["first", "second"]
  for (const [n, socket] of lasting.entries()) {
    await until("a connection", () => socket.peers.some(({ online }) => online))
    await within("a send", socket.send(names[n]!))
  }
  await until("both", () => names.every((name) => heard.has(name)))
  t.strictSame(unhandled, [])
})

t.test("a connection that ends at any step of a dial over it is an error of the dial, and no other", async (t) => {
  const [near, far] = await nodes(t)
  const uncaught: unknown[] = []
  const note = (error: unknown): void => void uncaught.push(error)
  process.on("uncaughtException", note)
  t.teardown(() => process.off("uncaughtException", note))
  await far.handle("/earshot/zmtp/1.0.0/steps", () => {})
  const transport = libp2p({ node: near })
  const address = `${far.getMultiaddrs()[0]!.toString()}#steps`
  const ends = { linked: 0, failed: 0 }
  for (let steps = 0; steps < 60; steps++) {
    const connection = await near.dial(far.getMultiaddrs()[0]!)
    const dialled = transport.dial(address, options, new AbortController().signal).then(
      (link) => (ends.linked++, link.destroy()),
      () => ends.failed++,
    )
    for (let i = 0; i < steps; i++) await Promise.resolve()
    connection.abort(new Error("the cable"))
    await within("the dial's end", dialled)
  }
  await new Promise((resolve) => setImmediate(resolve))
  t.ok(ends.linked > 0 && ends.failed > 0, `over another connection ${ends.linked} times, failed ${ends.failed}`)
  t.strictSame(uncaught, [])
})

t.test("a stream reset in the middle of a frame costs that frame, and nobody else anything", async (t) => {
  const [near, far] = await nodes(t)
  const [pull, endpoint] = await bound(t, far, "#mine")
  const push = tidy(t, new Push(pushing))
  await push.connect(at(near, endpoint))
  const stream = await near.getConnections(far.peerId)[0]!.newStream("/earshot/zmtp/1.0.0/mine")
  stream.send(Buffer.concat([greeting(), ready("PUSH")]))
  await until("two peers", () => pull.peers.length === 2)
  const gone = event(pull, "disconnect")
  stream.send(Buffer.from([0, 200, 1, 2, 3]))
  await until("the bytes' way", () => stream.writeBufferLength === 0)
  stream.abort(new Error("enough"))
  t.match((await gone).error, { code: "ECONNRESET" })
  await push.send("whole")
  t.equal(String((await pull.receive())[0]), "whole")
  t.equal(near.getConnections(far.peerId).length, 1, "over the same connection as before")
})

t.test("another protocol, garbage, and a wrong peer id", async (t) => {
  const [near, far] = await nodes(t)
  const [pull, endpoint] = await bound(t, far, "#mine")
  const failed = events(pull, "handshake:error:protocol")
  const connection = await near.dial(far.getMultiaddrs())
  await t.rejects(connection.newStream("/earshot/zmtp/0.1.0/mine"), { name: "UnsupportedProtocolError" })
  const garbage = await connection.newStream("/earshot/zmtp/1.0.0/mine")
  garbage.send(Buffer.from("GET / HTTP/1.1\r\n\r\n".repeat(10)))
  await until("a refusal", () => failed.length === 1)
  const early = await connection.newStream("/earshot/zmtp/1.0.0/mine")
  early.send(Buffer.concat([greeting(), command("PING", Buffer.alloc(2))]))
  await until("another", () => failed.length === 2)

  const push = tidy(t, new Push(pushing))
  const other = await createNode([])
  t.teardown(() => other.stop())
  const stranger = endpoint.replace(far.peerId.toString(), near.peerId.toString())
  const failure = event(push, "connect:delay")
  void push.connect(at(other, stranger)).catch(() => {})
  t.match(await failure, { error: { code: "EHOSTUNREACH" } })
})

t.test("a hostile peer that opens 10,000 streams is bounded, and others come in", async (t) => {
  const [near, far] = await nodes(t)
  const [pull, endpoint] = await bound(t, far, "#mine")
  const hostile = await createLibp2p({
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ maxOutboundStreams: 20_000 })],
    // After ten seconds it would find that one stream more, for a ping, is refused, and hang up by itself.
    connectionMonitor: { enabled: false },
  })
  t.teardown(() => hostile.stop())
  const connection = await hostile.dial(far.getMultiaddrs())
  // More than ten before the other side is set up, and libp2p ends the connection.
  await connection.newStream("/earshot/zmtp/1.0.0/mine")
  const most = { named: 0, bare: 0 }
  const look = (kind: keyof typeof most): void => {
    most[kind] = Math.max(most[kind], far.getConnections(hostile.peerId)[0]?.streams.length ?? 0)
  }
  // Some by the book, that say nothing then; the rest don't even say which protocol they want.
  for (let opened = 0; opened < 1000; opened += 100) {
    const open = (): Promise<unknown> =>
      connection.newStream("/earshot/zmtp/1.0.0/mine", { maxOutboundStreams: 20_000 }).catch(() => {})
    await Promise.all(Array.from({ length: 100 }, open))
    look("named")
  }
  const { muxer } = connection as unknown as { muxer: { createStream(options: object): Promise<unknown> } }
  for (let opened = 1000; opened < 10_000; opened += 100) {
    await Promise.all(Array.from({ length: 100 }, () => muxer.createStream({})))
    await new Promise((resolve) => setImmediate(resolve))
    look("bare")
  }
  t.ok(most.named > 0 && most.named <= 300, `as many as handshakes may be under way: ${most.named}`)
  t.ok(most.bare <= 1010, `1,000, as many as Yamux takes, and those that end just then: ${most.bare}`)
  const push = tidy(t, new Push(pushing))
  await within("an honest peer", push.connect(at(near, endpoint)))
  await push.send("honest")
  t.equal(String((await pull.receive())[0]), "honest")
  connection.abort(new Error("done"))
  await until("the end of them", () => pull.peers.length === 1)
})
