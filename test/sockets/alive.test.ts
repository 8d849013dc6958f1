// SOCKETS.md: "Node stays alive for: a pending receive, an iterator or onmessage; unsent bytes; every unsettled promise of
// ours except connect()'s." Small programs of their own, on the built library, that must stay or must end by themselves.
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { Pull } from "../../lib/index.ts"
import { tidy } from "../support/sockets.ts"

const built = new URL("../../dist/lib/index.js", import.meta.url)

const folder = mkdtempSync(join(tmpdir(), "earshot-alive-"))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
let programs = 0

/** ms after which a program that should have ended by itself is ended. */
const PATIENCE = 20_000

/**
 * Runs a program. Its `watch()` says, once the library should have come to rest, whether the process still lives then: the
 * timer in it doesn't keep it alive. It resolves to what the program printed.
 */
function run(program: string, ...args: string[]): Promise<string> {
  const code = `
    import { Dealer, Pair, Publisher, Pull, Push, Reply, Request, Router, Subscriber } from ${JSON.stringify(built.href)}
    const [, , endpoint] = process.argv
    const watch = () => {
      setTimeout(() => (console.log("stayed"), process.exit()), 400).unref()
    }
    ${program}`
  const file = join(folder, `${++programs}.mjs`)
  writeFileSync(file, code)
  return new Promise((resolve, reject) => {
    // NODE_OPTIONS and the like are tap's.
    const env = { PATH: process.env["PATH"] ?? "" }
    const options = { env, timeout: PATIENCE, killSignal: "SIGKILL" as const }
    execFile(process.execPath, [file, ...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim())
      else reject(new Error(error.killed === true ? "it did not end by itself" : stderr))
    })
  })
}

/** A TCP port that nobody listens on, but for us, who hold it without accepting: dialling it is refused or hangs. */
const silent = createServer((socket) => socket.pause().on("error", () => {}))
await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve))
const nobody = createServer()
await new Promise<void>((resolve) => nobody.listen(0, "127.0.0.1", resolve))
const refusing = `tcp://127.0.0.1:${(nobody.address() as AddressInfo).port}`
nobody.close()
t.teardown(() => silent.close())

/** A Pull and a Push that are connected within the program. */
const connected = `
  const pull = new Pull(), push = new Push()
  await pull.bind("tcp://127.0.0.1:*")
  void push.connect(pull.lastEndpoint)
  await push.send("first")
  await pull.receive()
`
/** A peer that handshakes and never reads: what is sent to it stays here. */
const deaf = `
  const net = await import("node:net")
  const greeting = Buffer.alloc(64)
  greeting.set([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1]), greeting.write("NULL", 12)
  const ready = Buffer.from("\\x04\\x1a\\x05READY\\x0bSocket-Type\\0\\0\\0\\x04PULL", "latin1")
  const server = net.createServer((socket) => {
    socket.unref().pause()
    socket.write(Buffer.concat([greeting, ready]))
  })
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve))
  server.unref()
  const push = new Push()
  const deafEndpoint = "tcp://127.0.0.1:" + server.address().port
  const handshake = new Promise((resolve) => push.events.once("handshake", resolve))
  void push.connect(deafEndpoint)
  await Promise.race([handshake, new Promise((resolve) => setTimeout(resolve, 10_000))])
`

const stays: Record<string, string> = {
  "a pending receive": `const pull = new Pull(); void pull.receive(); watch()`,
  "a pending receive with a peer": `const pull = new Pull(); void pull.receive({ withPeer: true }); watch()`,
  "a pending receiveMany": `${connected} void pull.receiveMany(10); watch()`,
  "an iterator that waits": `const pull = new Pull(); (async () => { for await (const _ of pull); })(); watch()`,
  "an iterator whose user is busy": `
    ${connected}
    await push.send("x")
    watch()
    for await (const _ of pull) await new Promise(() => {})`,
  onmessage: `const pull = new Pull(); pull.onmessage = () => {}; watch()`,
  "onmessage while it pauses": `const pull = new Pull(); pull.onmessage = () => {}; pull.pause(); watch()`,
  "a message for a peer that is not there yet": `
    const push = new Push()
    void push.connect(endpoint)
    push.trySend("x")
    watch()`,
  "a pending send": `const push = new Push(); void push.send("x"); watch()`,
  "a message that waits behind others": `
    ${deaf}
    while (push.trySend(Buffer.alloc(1_000_000)));
    watch()`,
  "bytes that the system has not taken": `
    ${deaf}
    push.trySend(Buffer.alloc(50_000_000))
    if (push.peers[0].queued > 0) throw new Error("nothing should wait in the queue")
    watch()`,
  "close() that lingers": `
    const push = new Push({ linger: 30_000 })
    void push.connect(endpoint)
    push.trySend("x")
    void push.close()
    watch()`,
  "disconnect() that lingers": `
    const push = new Push({ linger: 30_000 })
    void push.connect(endpoint)
    push.trySend("x")
    void push.disconnect(endpoint)
    watch()`,
  "unbind() that lingers": `
    const push = new Push({ linger: 30_000 }), pull = new Pull({ receiveHighWaterMark: 1 })
    await push.bind("tcp://127.0.0.1:*")
    void pull.connect(push.lastEndpoint)
    while (push.peers.length === 0) await new Promise(setImmediate)
    while (push.trySend(Buffer.alloc(1_000_000)));
    void push.unbind(push.lastEndpoint)
    watch()`,
  "a request": `const request = new Request(); void request.request("x"); watch()`,
  "subscribe() while its endpoint is being connected": `
    const subscriber = new Subscriber()
    void subscriber.connect(endpoint)
    void subscriber.subscribe("x")
    watch()`,
  "unsubscribe(), too": `
    const subscriber = new Subscriber()
    void subscriber.connect(endpoint)
    void subscriber.unsubscribe("x")
    watch()`,
  "ready()": `const publisher = new Publisher(); void publisher.ready(); watch()`,
}

const ends: Record<string, string> = {
  "no socket": ``,
  "a socket that does nothing": `new Push(); new Router({ heartbeatInterval: 100 })`,
  "a bound socket": `const pull = new Pull(); await pull.bind("tcp://127.0.0.1:*"); await pull.bind("inproc://x")`,
  "connect() that waits for its peer": `
    const push = new Push()
    push.connect(endpoint).then(() => {}, () => {})
    push.connect("inproc://nobody").then(() => {})`,
  "connect() with a signal": `void new Push().connect(endpoint, { signal: new AbortController().signal })`,
  "an idle connection": connected,
  "a connection with heartbeats": `
    const a = new Pair({ heartbeatInterval: 50 }), b = new Pair({ heartbeatInterval: 50 })
    await a.bind("tcp://127.0.0.1:*")
    void b.connect(a.lastEndpoint)
    await b.send("x")
    await a.receive()`,
  "a receive that is done": `${connected} void push.send("y"); await pull.receive(); await push.send("unread")`,
  "a receive that was aborted": `
    const controller = new AbortController()
    const pull = new Pull()
    pull.receive({ signal: controller.signal }).catch(() => console.log("aborted"))
    controller.abort()`,
  "a receive that timed out": `
    const pull = new Pull({ receiveTimeout: 50 })
    pull.receive().catch(({ code }) => console.log(code))`,
  "a loop that was left": `${connected} await push.send("x"); for await (const _ of pull) break`,
  "onmessage that was taken away": `${connected} pull.onmessage = () => {}; pull.onmessage = undefined`,
  "pause()": `${connected} pull.pause()`,
  "a send that was aborted": `
    const controller = new AbortController()
    const push = new Push()
    push.send("x", { signal: controller.signal }).catch(() => console.log("aborted"))
    controller.abort()`,
  "a request that has its reply": `
    const reply = new Reply(), request = new Request()
    await reply.bind("tcp://127.0.0.1:*")
    void request.connect(reply.lastEndpoint)
    const answer = request.request("x")
    await reply.send((await reply.receive())[0])
    console.log(String(await answer))`,
  "a request that timed out": `
    const request = new Request()
    request.request("x", { timeout: 50 }).catch(({ code }) => console.log(code))`,
  "subscribe() that is done": `
    const publisher = new Publisher(), subscriber = new Subscriber()
    await publisher.bind("tcp://127.0.0.1:*")
    void subscriber.connect(publisher.lastEndpoint)
    await subscriber.subscribe("x")
    await publisher.ready({ topic: "x" })`,
  "ready() that timed out": `new Publisher().ready({ timeout: 50 }).catch(({ code }) => console.log(code))`,
  "a closed socket, whatever was pending": `
    const pull = new Pull(), push = new Push(), other = new Pull()
    void pull.receive().catch(() => {})
    pull[Symbol.asyncIterator]()
    other.onmessage = () => {}
    void push.send("x").catch(() => {})
    await Promise.all([pull.close(), push.close(), other.close()])`,
  "a closed socket that had something to send": `
    const push = new Push({ linger: 100 })
    void push.connect(endpoint)
    push.trySend("x")
    await push.close()`,
}

/** Several at a time: they wait most of theirs. */
async function each<T>(all: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...all]
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next)
    }),
  )
}

t.test("the library is built", async (t) => t.ok(existsSync(built), "npm run build"))

t.test("Node stays alive for", (t) =>
  each(Object.entries(stays), async ([name, program]) => {
    t.equal(await run(program, refusing).catch(String), "stayed", name)
  }),
)

t.test("Node ends by itself with", (t) => {
  const printed: Record<string, string> = {
    "a receive that was aborted": "aborted",
    "a send that was aborted": "aborted",
    "a receive that timed out": "EAGAIN",
    "a request that has its reply": "x",
    "a request that timed out": "TIMEOUT",
    "ready() that timed out": "TIMEOUT",
  }
  return each(Object.entries(ends), async ([name, program]) => {
    t.equal(await run(program, refusing).catch(String), printed[name] ?? "", name)
  })
})

t.test("a program that sends and ends without close() has sent all of it", async (t) => {
  const pull = tidy(t, new Pull())
  await pull.bind("tcp://127.0.0.1:*")
  const ended = run(
    `
    const push = new Push()
    void push.connect(endpoint)
    for (let n = 0; n < 200; n++) await push.send([String(n), Buffer.alloc(100_000, n)])`,
    pull.lastEndpoint!,
  )
  const failed = ended.then(() => new Promise<never>(() => {}))
  for (let n = 0; n < 200; n++) {
    const [count, body] = await Promise.race([pull.receive(), failed])
    if (String(count) !== String(n) || body!.length !== 100_000 || body![99_999] !== n) t.fail(`message ${n}`)
  }
  t.equal(await ended, "")
})
