// Servers that are none, or mean no good: what a dial makes of them. Each time it ends, says why, and is tried again, soon
// or slowly.
import { createHash } from "node:crypto"
import { once } from "node:events"
import * as net from "node:net"
import t, { type Test } from "tap"
import { Dealer } from "../../lib/index.ts"
import { events, tidy, until } from "../support/sockets.ts"

/** What a server does with a request, again each time it is dialled. */
type Behaviour = (socket: net.Socket, request: string) => void

/** Dials a server that behaves so. Resolves to the reason why it came to nothing, and the ms until it is tried again. */
async function against(
  t: Test,
  behave: Behaviour,
  options: ConstructorParameters<typeof Dealer>[0] = {},
): Promise<{ code: string; message: string; interval: number; dials: number }> {
  let dials = 0
  const sockets: net.Socket[] = []
  const server = net.createServer((socket) => {
    dials++
    sockets.push(socket)
    socket.on("error", () => {})
    socket.once("data", (request) => behave(socket, String(request)))
  })
  t.teardown(() => void server.close())
  t.teardown(() => sockets.forEach((socket) => socket.destroy()))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const dealer = tidy(t, new Dealer({ linger: 0, ...options }))
  const retries = events(dealer, "connect:retry")
  const { port } = server.address() as net.AddressInfo
  void dealer.connect(`ws://127.0.0.1:${port}/live`)
  await until("its end", () => retries.length > 0)
  const [{ error, interval }] = retries as [(typeof retries)[0]]
  await dealer.close()
  return { code: error!.code, message: error!.message, interval, dials }
}

/** A status, and text behind it. */
const answering =
  (status: string, body = "", ...headers: string[]): Behaviour =>
  (socket) =>
    socket.end([`HTTP/1.1 ${status}`, ...headers, `Content-Length: ${body.length}`, "", body].join("\r\n"))

/** An upgrade as it must be, or nearly so; then frames. */
function upgrading(change: Record<string, string | undefined> = {}, ...frames: Uint8Array[]): Behaviour {
  return (socket, request) => {
    const key = /^sec-websocket-key: (\S+)/im.exec(request)![1]!
    const headers = {
      Upgrade: "websocket",
      Connection: "Upgrade",
      "Sec-WebSocket-Accept": createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64"),
      "Sec-WebSocket-Protocol": "earshot.zmtp3",
      ...change,
    }
    const lines = Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : `${name}: ${value}`))
    const head = ["HTTP/1.1 101 Switching Protocols", ...lines, "", ""].join("\r\n")
    socket.write(Buffer.concat([Buffer.from(head), ...frames]))
  }
}

const frame = (opcode: number, ...body: number[]): Uint8Array => Uint8Array.of(0x80 | opcode, body.length, ...body)
/** Of a binary message of so many bytes, 2^31 at most. */
const beginning = (bytes: number): Uint8Array =>
  Uint8Array.of(0x82, 127, 0, 0, 0, 0, bytes >>> 24, bytes >>> 16, bytes >>> 8, bytes)
/** Goes on for as long as anybody listens. */
const endless =
  (first: string, more: string): Behaviour =>
  (socket) => {
    socket.write(first)
    const again = (): void => {
      while (!socket.destroyed && socket.write(more));
    }
    socket.on("drain", again)
    again()
  }

t.test("an answer that is no upgrade", async (t) => {
  for (const [status, code, pace] of [
    ["200 OK", "EPROTO", "slowly"],
    ["204 No Content", "EPROTO", "slowly"],
    ["301 Moved Permanently", "EPROTO", "slowly"],
    ["400 Bad Request", "EPROTO", "slowly"],
    ["401 Unauthorized", "FORBIDDEN", "slowly"],
    ["403 Forbidden", "FORBIDDEN", "slowly"],
    ["404 Not Found", "EPROTO", "slowly"],
    ["426 Upgrade Required", "EPROTO", "slowly"],
    ["429 Too Many Requests", "LIMIT", "soon"],
    ["500 Internal Server Error", "EPROTO", "slowly"],
    ["502 Bad Gateway", "ECONNREFUSED", "soon"],
    ["503 Service Unavailable", "LIMIT", "soon"],
    ["504 Gateway Timeout", "ETIMEDOUT", "soon"],
  ] as const) {
    const found = await against(t, answering(status, "", "Location: ws://127.0.0.1:1/"))
    t.equal(found.code, code, status)
    t.match(found.message, status.slice(0, 3))
    t.equal(found.interval >= 5000 ? "slowly" : "soon", pace, `${status}: in ${found.interval} ms`)
    t.equal(found.dials, status.startsWith("400") ? 2 : 1, "only a 400 may be for names that are no tokens")
  }
  const { message } = await against(t, answering("403 Forbidden", "<h1>\x1b[2Jnot\x07</h1>\n\n here"))
  t.match(message, /403, \?\[2Jnot\? +here$/, "what it says can't write on a terminal")
})

t.test("an answer without end", async (t) => {
  for (const [name, behave, code] of [
    ["a text", endless("HTTP/1.1 403 Forbidden\r\n\r\n", "no ".repeat(1000)), "FORBIDDEN"],
    ["white space", endless("HTTP/1.1 403 Forbidden\r\n\r\n", " ".repeat(1000)), "FORBIDDEN"],
    ["headers", endless("HTTP/1.1 101 Switching Protocols\r\n", `X: ${"x".repeat(1000)}\r\n`), "EPROTO"],
    ["a word", endless("HTTP/1.1 101 ", "x".repeat(1000)), "EPROTO"],
    ["early hints", endless("", "HTTP/1.1 103 Early Hints\r\n\r\n"), "ETIMEDOUT"],
    ["nothing", () => {}, "ETIMEDOUT"],
    ["half a head", (socket: net.Socket) => void socket.write("HTTP/1.1 101 Switch"), "ETIMEDOUT"],
  ] as const) {
    const found = await against(t, behave, { connectTimeout: 300 })
    t.equal(found.code, code, `${name}: ${found.message}`)
    t.ok(found.message.length < 400)
  }
})

t.test("an upgrade that is none", async (t) => {
  for (const [name, behave] of [
    ["garbage", (socket: net.Socket) => void socket.write(new Uint8Array(100).fill(0xff))],
    ["a greeting of ZMTP", (socket: net.Socket) => void socket.write(Buffer.from("ff00000000000000017f0301", "hex"))],
    ["another protocol", upgrading({ "Sec-WebSocket-Protocol": "chat" })],
    ["two of them", upgrading({ "Sec-WebSocket-Protocol": "earshot.zmtp3, ZWS2.0" })],
    ["no protocol", upgrading({ "Sec-WebSocket-Protocol": undefined })],
    ["the answer to another key", upgrading({ "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" })],
    ["another upgrade", upgrading({ Upgrade: "h2c" })],
    ["a body", upgrading({ "Content-Length": "5" }, Buffer.from("hello"))],
    ["an extension", upgrading({ "Sec-WebSocket-Extensions": "permessage-deflate" })],
  ] as const) {
    const found = await against(t, behave)
    t.equal(found.code, "EPROTO", `${name}: ${found.message}`)
    t.ok(found.interval >= 5000, "and it is tried again slowly")
  }
})

t.test("an upgrade, and nothing good behind it", async (t) => {
  const reason = Buffer.from("go away")
  for (const [name, behave, code, message = /./] of [
    ["a close frame", upgrading({}, frame(8, 3, 0xe8)), "ECONNRESET", /while greeting/],
    ["with a reason", upgrading({}, frame(8, 3, 0xf0, ...reason)), "ECONNRESET", /1008, go away/],
    ["a masked frame", upgrading({}, Uint8Array.of(0x82, 0x81, 0, 0, 0, 0, 1)), "EPROTO", /MASK/],
    ["text", upgrading({}, frame(1, 65)), "EPROTO"],
    ["an empty message", upgrading({}, frame(2)), "EPROTO"],
    ["64 KiB and a byte", upgrading({}, beginning(65_537)), "EMSGSIZE"],
    ["2 GiB over ZWS", upgrading({ "Sec-WebSocket-Protocol": "ZWS2.0" }, beginning(2 ** 31)), "EMSGSIZE"],
    ["another protocol's bytes", upgrading({}, frame(2, ...Buffer.from("GET / HTTP/1.1"))), "EPROTO"],
    ["nothing", upgrading(), "ETIMEDOUT", /handshake/],
  ] as const) {
    const found = await against(t, behave, { handshakeInterval: 300 })
    t.equal(found.code, code, `${name}: ${found.message}`)
    t.match(found.message, message)
  }
})
