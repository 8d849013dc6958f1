// With a plain program of js-libp2p, in a process of its own; and what nodes share.
import { fork, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import t, { type Test } from "tap"
import { Publisher, Pull, Push, Reply, Request, Subscriber, transports } from "../../lib/index.ts"
import { libp2p } from "../../transports/libp2p.ts"
import { createNode, joined } from "../support/libp2p.ts"
import { event, tidy, within } from "../support/sockets.ts"

const [near, far] = await Promise.all([createNode([]), createNode()])
t.teardown(() => Promise.all([near.stop(), far.stop()]))
transports.register(joined(near, far))

/** Starts it; resolves to its multiaddr. */
async function plain(t: Test, ...args: string[]): Promise<string> {
  const program = fork(new URL("../support/peers/plain-libp2p.mjs", import.meta.url), args, { execArgv: [] })
  t.teardown(() => program.kill())
  const [place] = (await within("the plain program", once(program, "message"))) as [string]
  return place
}

t.test("a plain libp2p program pushes to us", async (t) => {
  const pull = tidy(t, new Pull({ receiveTimeout: 10_000 }))
  await pull.bind("libp2p://#work")
  const gone = event(pull, "disconnect")
  const [place] = pull.lastEndpoint!.replace("libp2p://", "").split("#")
  const its = await plain(t, place!, "work")
  t.strictSame((await pull.receive()).map(String), ["one", "!"])
  t.strictSame((await pull.receive()).map(String), ["two", "!"])
  const [large] = await pull.receive()
  t.ok(large!.equals(Buffer.alloc(3_000_000, 7)))
  t.equal((await gone).error, undefined, "its half-close is an orderly end")
  t.ok(its.includes("/p2p/"))
})

t.test("a plain libp2p program answers us", async (t) => {
  const request = tidy(t, new Request({ receiveTimeout: 10_000 }))
  const place = await plain(t)
  await request.connect(`libp2p://${place}#plain`)
  t.equal(request.peers[0]!.userId, place.split("/p2p/")[1], "its peer id is who it is")
  for (const text of ["hello", "again", "x".repeat(1000)]) {
    await request.send(text)
    t.equal(String((await request.receive())[0]), text.toUpperCase())
  }
})

/** Runs a program to its end; resolves to what it said. */
async function run(t: Test, name: string): Promise<Record<string, unknown>> {
  const path = fileURLToPath(new URL(`../support/peers/${name}.mjs`, import.meta.url))
  // Without tap's loaders.
  const program = spawn(process.execPath, [path], { env: { PATH: process.env["PATH"] } })
  t.teardown(() => program.kill())
  let [said, wrong] = ["", ""]
  program.stdout.on("data", (text: Buffer) => (said += text.toString()))
  program.stderr.on("data", (text: Buffer) => (wrong += text.toString()))
  const status = await within("its end", once(program, "close"))
  t.strictSame(status, [0, null], wrong)
  return JSON.parse(said) as Record<string, unknown>
}

t.test("a program that leaves the nodes to us: without Promise.withResolvers, and it ends by itself", async (t) => {
  t.strictSame(await run(t, "own-libp2p"), { imported: false, received: "by nodes of ours", used: true })
})

t.test("a program without libp2p's packages loads none, and hears what is missing when it needs them", async (t) => {
  const { bind, dial, tcp } = await run(t, "no-libp2p")
  t.match(bind, /^ENOTSUP .*npm install libp2p @libp2p/)
  t.equal(dial, "ENOTSUP")
  t.equal(tcp, "over tcp")
})

t.test("two nodes, three sockets each, one connection", async (t) => {
  const [pull, publisher, reply] = [new Pull({ receiveTimeout: 10_000 }), new Publisher(), new Reply()]
  const [push, subscriber] = [new Push(), new Subscriber({ receiveTimeout: 10_000 })]
  const request = new Request({ receiveTimeout: 10_000 })
  tidy(t, pull, publisher, reply, push, subscriber, request)
  reply.onmessage = ([frame]) => void reply.send(`re: ${String(frame)}`)
  for (const [name, socket] of Object.entries({ pull, publisher, reply })) await socket.bind(`libp2p://#${name}`)
  await t.rejects(new Pull().bind("libp2p://#pull"), { code: "EADDRINUSE" }, "a name is one socket's")
  await Promise.all([
    push.connect(pull.lastEndpoint!),
    subscriber.connect(publisher.lastEndpoint!),
    request.connect(reply.lastEndpoint!),
  ])
  await subscriber.subscribe("")
  await push.send("work")
  await publisher.send("news")
  await request.send("question")
  t.equal(String((await pull.receive())[0]), "work")
  t.equal(String((await subscriber.receive())[0]), "news")
  t.equal(String((await request.receive())[0]), "re: question")
  const connections = near.getConnections(far.peerId)
  t.equal(connections.length, 1)
  t.equal(connections[0]!.streams.filter(({ protocol }) => protocol.startsWith("/earshot/")).length, 3)
})

t.test("authenticate judges by peer id", async (t) => {
  const stranger = await createNode([])
  t.teardown(() => stranger.stop())
  const seen: unknown[] = []
  const pull = tidy(
    t,
    new Pull({
      receiveTimeout: 10_000,
      authenticate: ({ userId }) => {
        seen.push(userId)
        return userId === near.peerId.toString()
      },
    }),
  )
  await pull.bind("libp2p://#members")
  const [push, other] = [new Push(), new Push()]
  tidy(t, push, other)
  await push.connect(pull.lastEndpoint!)
  const refused = event(other, "handshake:error:auth")
  const address = pull.lastEndpoint!.replace("libp2p://", "")
  void other.connect({ transport: libp2p({ node: stranger }), address }).catch(() => {})
  await refused
  await push.send("let in")
  t.equal(String((await pull.receive())[0]), "let in")
  t.equal(pull.peers[0]!.userId, near.peerId.toString())
  t.ok(seen.includes(stranger.peerId.toString()))
})
