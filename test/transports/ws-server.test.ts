// Places to listen: a port of our own, the user's server, TLS; who is refused, how, and what others on the server keep.
import { once } from "node:events"
import { createServer, type IncomingMessage, type Server } from "node:http"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer as createSecureServer } from "node:https"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t, { type Test } from "tap"
import { WebSocket, WebSocketServer } from "ws"
import { Pair, Pull, Push, Subscriber, XPublisher, ws, type WsOptions } from "../../lib/index.ts"
import { codes } from "../../lib/errors.ts"
import { CERTIFICATE, KEY } from "../support/certificate.ts"
import { events, text, tidy, until, within } from "../support/sockets.ts"

/** What Node would print, kept. */
function quiet(t: Test): string[] {
  const said: string[] = []
  const { warn } = console
  console.warn = (line: string) => said.push(line)
  t.teardown(() => (console.warn = warn))
  return said
}

async function serving(t: Test, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as net.AddressInfo).port
}

const portOf = (endpoint: string | null): number => Number(/:(\d+)/.exec(endpoint!)![1])

const UPGRADE = {
  host: "127.0.0.1",
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  "sec-websocket-protocol": "earshot.zmtp3",
}

/** Asks by hand. Resolves to the status and what followed; undefined as the status where nothing came. */
async function ask(
  t: Test,
  port: number | string,
  headers: Record<string, string | undefined> = {},
  line = "GET / HTTP/1.1",
): Promise<{ status: number | undefined; head: string; body: string }> {
  const socket = typeof port === "string" ? net.connect(port) : net.connect(port, "127.0.0.1")
  t.teardown(() => socket.destroy())
  let answer = ""
  socket.on("data", (chunk) => (answer += chunk.toString("latin1")))
  socket.on("error", () => {})
  const all = Object.entries({ ...UPGRADE, ...headers }).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  )
  socket.write(`${[line, ...all].join("\r\n")}\r\n\r\n`)
  await within("an answer", Promise.race([once(socket, "close"), until("a head", () => answer.includes(" 101 "))]))
  const [head = "", body = ""] = answer.split("\r\n\r\n")
  const status = /^HTTP\/1\.1 (\d+)/.exec(head)?.[1]
  return { status: status === undefined ? undefined : Number(status), head, body }
}

/** A pair that has talked. */
async function talk(from: Push, to: Pull, message = "hello"): Promise<void> {
  await within("it to be sent", from.send(message))
  const [got] = await within("a message", to.receive())
  if (String(got) !== message) throw new Error(`${String(got)} came`)
}

t.test("a port of our own: upgrades at the path, and a word for everybody else", async (t) => {
  const said = quiet(t)
  const pull = tidy(t, new Pull())
  const errors: unknown[] = []
  pull.events.on("accept:error", ({ error }) => errors.push(error.message))
  await pull.bind("ws://127.0.0.1:*/live")
  t.match(pull.lastEndpoint, /^ws:\/\/127\.0\.0\.1:\d+\/live$/)
  const port = portOf(pull.lastEndpoint)
  const push = tidy(t, new Push())
  await within("the handshake", push.connect(pull.lastEndpoint!))
  await talk(push, pull)
  const accepted = await ask(t, port, {}, "GET /live?x=1 HTTP/1.1")
  t.equal(accepted.status, 101)
  t.match(accepted.head, /Sec-WebSocket-Protocol: earshot\.zmtp3/)
  t.notMatch(accepted.head, /extensions/i, "nothing is compressed")
  for (const [line, headers, status] of [
    ["GET / HTTP/1.1", {}, 404],
    ["GET /live/more?token=secret HTTP/1.1", {}, 404],
    ["GET /live HTTP/1.1", { "sec-websocket-protocol": "chat" }, 400],
    ["GET /live HTTP/1.1", { "sec-websocket-protocol": undefined }, 400],
    ["GET /live HTTP/1.1", { "sec-websocket-key": "short" }, 400],
    ["GET /live HTTP/1.1", { "sec-websocket-version": "12" }, 400],
    ["GET /live HTTP/1.1", { upgrade: "h2c" }, 400],
    ["POST /live HTTP/1.1", {}, 400],
    ["GET /live HTTP/1.1", { "content-length": "5" }, 400],
    ["GET /live HTTP/1.1", { "transfer-encoding": "chunked" }, 400],
    ["GET /live HTTP/1.1", { origin: "http://evil.example" }, 403],
    ["GET /live HTTP/1.1", { host: "evil.example" }, 403],
    ["GET /live HTTP/1.1", { connection: "close", upgrade: undefined }, 426],
    ["nonsense", {}, 400],
  ] as const) {
    const answer = await ask(t, port, headers, line)
    t.equal(answer.status, status, `${line} ${JSON.stringify(headers)}`)
    if (status === 403 || status === 404) t.match(answer.body, /^[A-Z][^.]*.*\.$/, "with one sentence")
  }
  t.match(pull.stats().refusedConnections, { path: 2, protocol: 2, upgrade: 6, origin: 1, host: 1 })
  t.match(errors.join(), /header Upgrade says "h2c"/, "and what was compared is what was wrong")
  t.strictSame(
    said.map((line) => /earshot: ws:\/\/127\.0\.0\.1:\d+\/live: (.*)/.test(line)),
    said.map(() => true),
  )
  t.equal(said.length, 5, "once for each cause")
  t.notMatch(`${said.join()} ${JSON.stringify(errors)}`, "secret", "no query gets into a log")
  await talk(push, pull, "still there")
})

t.test("an address, an interface, a name: bound as with tcp", async (t) => {
  for (const [host, expected] of [
    ["*", "0.0.0.0"],
    ["[::1]", "[::1]"],
    ["localhost", "127.0.0.1"],
    ...(process.platform === "linux" ? ([["lo", "127.0.0.1"]] as const) : []),
  ] as const) {
    const pull = tidy(t, new Pull())
    await pull.bind(`ws://${host}:*/live`)
    const port = portOf(pull.lastEndpoint!.replace("[::1]", ""))
    t.equal(pull.lastEndpoint, `ws://${expected}:${port}/live`)
    const push = tidy(t, new Push())
    await within("the handshake", push.connect(pull.lastEndpoint!))
    await talk(push, pull)
    if (host === "lo")
      t.equal((await ask(t, port, { host: "lo" }, "GET /live HTTP/1.1")).status, 403, "which is no name of this server")
  }
  await t.rejects(tidy(t, new Pull()).bind("ws://no-such-interface0.invalid:*"), { code: "ENODEV" })
  await t.rejects(tidy(t, new Pull()).bind("ws://192.0.2.77:*"), { code: "EADDRNOTAVAIL" })
})

t.test("the token-illegal names of libzmq are chosen and answered as they are", async (t) => {
  const pull = tidy(t, new Pull())
  await pull.bind("ws://127.0.0.1:*")
  const port = portOf(pull.lastEndpoint)
  for (const [offer, answer] of [
    ["ZWS2.0/NULL,ZWS2.0", "ZWS2.0/NULL"],
    ["ZWS2.0, ZWS2.0/NULL", "ZWS2.0/NULL"],
    ["ZWS2.0/CURVE,ZWS2.0", "ZWS2.0"],
    ["ZWS2.0/NULL, earshot.zmtp3", "earshot.zmtp3"],
  ] as const) {
    const { head } = await ask(t, port, { "sec-websocket-protocol": offer })
    t.equal(/^sec-websocket-protocol: (.*)$/im.exec(head)?.[1], answer, offer)
    t.equal(/^connection: (.*)$/im.exec(head)?.[1]!.toLowerCase(), "upgrade")
  }
})

t.test("who was refused is told to the socket, and what would allow it", async (t) => {
  quiet(t)
  const pull = tidy(t, new Pull())
  const errors = events(pull, "accept:error")
  const place = ws({ url: "ws://127.0.0.1:*", maxConnections: 2, origins: ["https://good.example"] })
  await pull.bind(place)
  const port = portOf(pull.lastEndpoint)
  t.equal((await ask(t, port, { origin: "https://good.example" })).status, 101)
  t.equal((await ask(t, port, { origin: "https://bad.example" })).status, 403)
  t.equal((await ask(t, port)).status, 101)
  const full = await ask(t, port)
  t.equal(full.status, 503)
  t.match(full.head, /retry-after: 1/i)
  t.strictSame(
    errors.map(({ error }) => error.code),
    ["FORBIDDEN", "FORBIDDEN"],
  )
  t.match(errors[0]!.error.message, /origins: \["https:\/\/bad\.example"\]/)
  t.match(errors[1]!.error.message, /maxConnections/)
  t.strictSame(pull.stats().refusedConnections, { origin: 1, connections: 1 })
})

t.test("a dial that is refused says so", async (t) => {
  quiet(t)
  const pull = tidy(t, new Pull())
  await pull.bind("ws://127.0.0.1:*/live")
  for (const [path, code] of [["/other", "EPROTO"]] as const) {
    const push = tidy(t, new Push())
    const delays = events(push, "connect:delay")
    void push.connect(pull.lastEndpoint!.replace("/live", path))
    await until("the refusal", () => delays.length > 0)
    t.equal(delays[0]!.error?.code, code)
    t.match(delays[0]!.error?.message, /404.*nothing at this path/i)
  }
})

t.test("a server that finds an illegal name in the offer is asked again without", async (t) => {
  const server = createServer()
  const port = await serving(t, server)
  const offers: string[] = []
  const strict = new WebSocketServer({ noServer: true, handleProtocols: () => "ZWS2.0" })
  const peers: WebSocket[] = []
  server.on("upgrade", (request: IncomingMessage, socket, head) => {
    offers.push(request.headers["sec-websocket-protocol"]!)
    strict.handleUpgrade(request, socket, head, (peer) => {
      peer.send(Buffer.from([0]))
      peers.push(peer)
    })
  })
  const push = tidy(t, new Push())
  await within("the handshake", push.connect(`ws://127.0.0.1:${port}/x`))
  t.equal(offers.length, 2)
  t.match(offers[0], "ZWS2.0/NULL")
  t.notMatch(offers[1], "/")
  const got = once(peers[0]!, "message")
  await push.send("hello")
  const first = (await within("a message", got))[0] as Buffer
  t.ok(
    first.equals(Buffer.from("\0hello")) || first.equals(Buffer.from([0])),
    "the routing id, or behind it the message",
  )
})

for (const order of ["before", "after"] as const)
  t.test(`the user's server keeps what is not ours; another listener came ${order} us`, async (t) => {
    const said = quiet(t)
    const server = createServer((_request, response) => response.end("a page"))
    const port = await serving(t, server)
    const other = new WebSocketServer({ noServer: true })
    const onOther = (request: IncomingMessage, socket: net.Socket, head: Buffer): void => {
      if (request.url === "/hmr" || request.headers["sec-websocket-protocol"] === "vite-hmr")
        other.handleUpgrade(request, socket, head, (peer) => peer.send("hot"))
    }
    if (order === "before") server.on("upgrade", onOther)
    const pull = tidy(t, new Pull())
    const place = ws({ server, path: "/live" })
    await pull.bind(place)
    t.equal(pull.lastEndpoint, `ws://127.0.0.1:${port}/live`)
    if (order === "after") server.on("upgrade", onOther)
    const push = tidy(t, new Push())
    await within("the handshake", push.connect(pull.lastEndpoint!))
    await talk(push, pull)
    for (const [path, protocol] of [
      ["/hmr", "earshot.zmtp3"],
      ["/live", "vite-hmr"],
    ] as const) {
      const peer = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocol)
      t.teardown(() => peer.terminate())
      t.equal(String((await within("theirs", once(peer, "message")))[0]), "hot", path)
    }
    t.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "a page")
    t.strictSame(pull.stats().refusedConnections, {})
    t.strictSame(said, [])
    await pull.unbind(place)
    t.strictSame(server.listeners("upgrade"), [onOther], "no trace of us")
    const peer = new WebSocket(`ws://127.0.0.1:${port}/hmr`)
    t.teardown(() => peer.terminate())
    t.equal(String((await within("theirs", once(peer, "message")))[0]), "hot")
    t.ok(server.listening, "the server is not ours to close")
  })

t.test("pages are there for clients that offer another upgrade, too", async (t) => {
  const said = quiet(t)
  // Such a parser goes on behind a request that said it would be the last.
  const server = createServer({ insecureHTTPParser: true }, (request, response) => {
    let size = 0
    request.on("data", (chunk: Buffer) => (size += chunk.length))
    request.on("end", () => {
      const { method, headers } = request
      response.end(`${method}, ${size} bytes, ${headers.upgrade}, ${String(headers["x-mine"])}`)
    })
  })
  const port = await serving(t, server)
  const pull = tidy(t, new Pull())
  await pull.bind(ws({ server, path: "/live" }))
  // As Java's client and curl --http2 ask.
  const offer = { upgrade: "h2c", connection: "Upgrade, HTTP2-Settings", "http2-settings": "AAMAAABk", "x-mine": "yes" }
  const page = await ask(t, port, offer)
  t.strictSame([page.status, /GET, 0 bytes, undefined, yes/.test(page.body)], [200, true], page.body)
  t.match(page.head, /^connection: close/im)

  const lines = Object.entries({ host: "127.0.0.1", ...offer }).map(([name, value]) => `${name}: ${value}\r\n`)
  const say = async (...words: (string | Buffer)[]): Promise<string> => {
    const client = net.connect(port, "127.0.0.1")
    t.teardown(() => client.destroy())
    let answer = ""
    client.on("data", (chunk) => (answer += chunk.toString("latin1")))
    for (const each of words) client.write(each)
    await within("its end", once(client, "close"))
    return answer
  }
  const post = `POST / HTTP/1.1\r\n${lines.join("")}Content-Length: 1000000\r\n\r\n`
  t.match(
    await say(`${post}0123456789`, Buffer.alloc(999_990)),
    /POST, 1000000 bytes, undefined, yes/,
    "with all that it sends",
  )
  t.strictSame(pull.stats().refusedConnections, {})
  t.strictSame(said, [])
  const get = `GET / HTTP/1.1\r\n${lines.join("")}\r\n`
  t.notMatch(await say(get.repeat(100)), " 101 ")
  t.strictSame(pull.stats().refusedConnections, { path: 1 }, "who does not wait for the answer is sent away")
  const push = tidy(t, new Push())
  await within("the handshake", push.connect(`ws://127.0.0.1:${port}/live`))
  await talk(push, pull)
})

t.test("alone on the user's server, what is not ours is refused", async (t) => {
  quiet(t)
  const server = createServer()
  const pull = tidy(t, new Pull())
  const pub = tidy(t, new XPublisher())
  await pull.bind(ws({ server, path: "/pull" }))
  await pub.bind(ws({ server, path: "/pub" }))
  t.equal(server.listenerCount("upgrade"), 1, "two places, one listener")
  await t.rejects(tidy(t, new Pull()).bind(ws({ server, path: "/pub" })), { code: "EADDRINUSE" })
  const port = await serving(t, server)
  t.equal((await ask(t, port, {}, "GET /hmr HTTP/1.1")).status, 404)
  t.equal((await ask(t, port, { "sec-websocket-protocol": "vite-hmr" }, "GET /pub HTTP/1.1")).status, 400)
  t.equal(
    (await ask(t, port, { upgrade: "h2c" }, "GET /pub HTTP/1.1")).status,
    400,
    "with no pages there, that as well",
  )
  t.strictSame(pub.stats().refusedConnections, { protocol: 1, upgrade: 1 })
  const push = tidy(t, new Push())
  const sub = tidy(t, new Subscriber())
  await within(
    "both",
    Promise.all([push.connect(`ws://127.0.0.1:${port}/pull`), sub.connect(`ws://127.0.0.1:${port}/pub`)]),
  )
  await talk(push, pull)
  await sub.subscribe("")
  await pub.send("news")
  t.equal(text(await within("news", sub.receive())), "news")
})

t.test("a server on a path of the file system, where a proxy of this machine asks", async (t) => {
  const said = quiet(t)
  const directory = await mkdtemp(join(tmpdir(), "earshot-"))
  t.teardown(() => rm(directory, { recursive: true }))
  const server = createServer()
  server.listen(join(directory, "web"))
  await once(server, "listening")
  t.teardown(() => void server.close())
  const pull = tidy(t, new Pull())
  const accepted = events(pull, "accept")
  await pull.bind(ws({ server, path: "/live", maxConnectionsPerAddress: 1, trustProxy: ["127.0.0.1"] }))
  for (const client of [undefined, undefined, "203.0.113.9"]) {
    const answer = await ask(t, join(directory, "web"), { "x-forwarded-for": client }, "GET /live HTTP/1.1")
    t.equal(answer.status, 101, "whoever is on this machine is no address among others")
  }
  const again = await ask(t, join(directory, "web"), { "x-forwarded-for": "203.0.113.9" }, "GET /live HTTP/1.1")
  t.equal(again.status, 429)
  t.strictSame(
    accepted.map(({ remote }) => remote),
    ["ws://127.0.0.1", "ws://127.0.0.1", "ws://203.0.113.9"],
  )
  t.equal(said.length, 1)
})

t.test("bound again and again to one server, which closes under it at last", async (t) => {
  const server = createServer((_request, response) => response.end("a page"))
  const port = await serving(t, server)
  const before = server.eventNames().map((name) => server.listenerCount(name))
  const place = ws({ server, path: "/live" })
  const pull = tidy(t, new Pull())
  const push = tidy(t, new Push())
  const joined = events(push, "handshake")
  void push.connect(`ws://127.0.0.1:${port}/live`)
  for (let i = 1; i <= 10; i++) {
    await pull.bind(place)
    await until("the link", () => joined.length === i)
    await talk(push, pull, `round ${i}`)
    await pull.unbind(place)
    t.strictSame(
      server.eventNames().map((name) => server.listenerCount(name)),
      before,
    )
  }
  await pull.bind(place)
  await until("the link", () => joined.length === 11)
  const closed = once(server, "close")
  server.close()
  server.closeAllConnections()
  await talk(push, pull, "a link is no business of the server any more")
  await pull.unbind(place)
  await within("its end, which waited for the link", closed)
})

t.test("who is gone before we are asked takes no place", async (t) => {
  const server = createServer()
  const port = await serving(t, server)
  const pull = tidy(t, new Pull())
  await pull.bind(ws({ server, path: "/live", maxConnections: 1 }))
  const [ours] = server.listeners("upgrade") as ((...given: unknown[]) => void)[]
  server.removeAllListeners("upgrade")
  // A listener of the user's that takes its time.
  const passed = new Promise<void>((resolve) => {
    server.once("upgrade", (request: IncomingMessage, socket: net.Socket, head: Buffer) => {
      t.type(socket.remoteAddress, "string", "which Node then remembers")
      socket.on("error", () => {})
      socket.once("close", () => {
        ours!(request, socket, head)
        resolve()
      })
      socket.destroy()
    })
  })
  await ask(t, port, {}, "GET /live HTTP/1.1")
  await within("the late word", passed)
  server.on("upgrade", ours!)
  t.equal((await ask(t, port, {}, "GET /live HTTP/1.1")).status, 101)
})

t.test("wss: our own port and the user's server", async (t) => {
  const tls = { cert: CERTIFICATE, key: KEY }
  const server = createSecureServer(tls)
  const port = await serving(t, server)
  const own = ws({ url: "wss://localhost:*/live", tls })
  for (const place of [own, ws({ server, path: "/live" })]) {
    const pull = tidy(t, new Pull())
    await pull.bind(place)
    t.match(pull.lastEndpoint, /^wss:\/\/.*:\d+\/live$/)
    const at =
      place === own ? pull.lastEndpoint!.replace(/^wss:\/\/[^/]*:/, "wss://localhost:") : `wss://localhost:${port}/live`
    const push = tidy(t, new Push())
    await within("the handshake", push.connect(ws({ url: at, tls: { ca: CERTIFICATE } })))
    await talk(push, pull, "x".repeat(500_000))
    const stranger = tidy(t, new Push())
    const delays = events(stranger, "connect:delay")
    void stranger.connect(at)
    await until("the refusal", () => delays.length > 0)
    t.ok(delays[0]!.error.code in codes)
    t.match(delays[0]!.error.message, /self.signed/i, "a certificate that nobody vouches for")
  }
  const bare = tidy(t, new Pull())
  await t.rejects(bare.bind("wss://127.0.0.1:*"), { code: "EINVAL", message: /tls/ })
})

t.test("who connects and does not ask is let go", async (t) => {
  const plain = tidy(t, new Pull())
  const secure = tidy(t, new Pull())
  await plain.bind("ws://127.0.0.1:*")
  await secure.bind(ws({ url: "wss://127.0.0.1:*", tls: { cert: CERTIFICATE, key: KEY } }))
  const silent = async (port: number, words = ""): Promise<net.Socket> => {
    const socket = net.connect(port, "127.0.0.1")
    t.teardown(() => socket.destroy())
    socket.on("error", () => {})
    await once(socket, "connect")
    socket.write(words)
    return socket.resume()
  }
  const from = performance.now()
  const silents = await Promise.all([
    silent(portOf(plain.lastEndpoint)),
    silent(portOf(plain.lastEndpoint), "GET / HTTP/1.1\r\nHost:"),
    silent(portOf(secure.lastEndpoint)),
    silent(portOf(secure.lastEndpoint), "\x16\x03\x01"),
  ])
  const ends = silents.map((socket) => (socket.closed ? undefined : once(socket, "close")))

  // More than may be silent at once: the first makes room, and who asks comes in.
  const crowd: net.Socket[] = []
  for (let i = 0; i < 12; i++)
    crowd.push(...(await Promise.all(Array.from({ length: 100 }, () => silent(portOf(plain.lastEndpoint))))))
  await until("the first to be gone", () => crowd.filter((socket) => socket.closed).length >= 1200 - 1024)
  t.ok(
    crowd.slice(0, 100).every((socket) => socket.closed),
    "those that were silent longest",
  )
  t.notOk(crowd.at(-1)!.closed)
  const push = tidy(t, new Push())
  await within("the handshake", push.connect(plain.lastEndpoint!))
  await talk(push, plain)
  for (const socket of crowd) socket.destroy()

  let left = ends.length
  for (const end of ends) void end?.then(() => left--)
  while (left > 0 && performance.now() < from + 13_000) await new Promise((resolve) => setTimeout(resolve, 20))
  t.equal(left, 0, "the others after some 10 s, also in the middle of a word")
})

t.test("what the request said is known of the peer", async (t) => {
  const { webSockets } = await import("../../transports/ws.ts")
  const { Bench } = await import("./bench.ts")
  const bench = new Bench(webSockets("ws"), webSockets("ws", { trustProxy: true }))
  t.teardown(() => bench.dispose())
  const { address } = await bench.listen("127.0.0.1:*/live")
  const client = new WebSocket(`ws://${address}?room=1`, "earshot.zmtp3", {
    headers: { cookie: "a=b", "x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https" },
  })
  client.on("error", () => {})
  t.teardown(() => client.terminate())
  const link = await bench.take()
  const { headers, url, remoteAddress } = link.identity!.claims as {
    headers: Record<string, string>
    url: string
    remoteAddress: string
  }
  t.equal(headers.cookie, "a=b")
  t.equal(headers["sec-websocket-protocol"], "earshot.zmtp3")
  t.equal(url, "/live?room=1")
  t.equal(remoteAddress, "203.0.113.9")
  t.equal(link.host, "203.0.113.9")
  t.equal(link.remote, "ws://203.0.113.9")
  t.equal(link.secure, true)
  link.destroy()
})

t.test("bad options are told at once", async (t) => {
  const server = createServer()
  for (const options of [
    {},
    { url: "ws://127.0.0.1:1", server },
    { url: "http://127.0.0.1:1" },
    { server, path: "/a b" },
  ] as WsOptions[])
    t.throws(() => ws(options), { code: "EINVAL" })
  for (const options of [
    { maxConnections: 0 },
    { upgradesPerSecond: Number.NaN },
    { trustProxy: ["proxy.example"] },
    // What no browser would ever send.
    { origins: ["app.example"] },
    { origins: ["https://app.example/page"] },
    { hosts: ["device.example:8080"] },
    { hosts: ["http://device.example"] },
  ])
    await t.rejects(tidy(t, new Pair()).bind(ws({ url: "ws://127.0.0.1:*", ...options })), { code: "EINVAL" })
  t.throws(() => tidy(t, new Pair()).connect(ws({ server })), { code: "EINVAL" })
})
