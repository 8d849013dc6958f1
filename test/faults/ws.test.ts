// Bad input over WebSockets: the one connection ends, with a reason, and the others don't notice.
import { once } from "node:events"
import * as net from "node:net"
import t, { type Test } from "tap"
import { Pull, Push, ws } from "../../lib/index.ts"
import { systemClock } from "../../lib/clock.ts"
import { EarshotError } from "../../lib/errors.ts"
import { webSockets } from "../../transports/ws.ts"
import { events, text, tidy, until, within } from "../support/sockets.ts"
import { Bench } from "../transports/bench.ts"
import { turns, type End } from "../transports/recorder.ts"

const HEAD = [
  "GET /live HTTP/1.1",
  "Host: 127.0.0.1",
  "Connection: Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
]
const request = (protocol: string): string => [...HEAD, `Sec-WebSocket-Protocol: ${protocol}`, "", ""].join("\r\n")

/** A frame of RFC 6455, as a client sends it unless said otherwise. */
function frame(
  opcode: number,
  body: Uint8Array | string,
  {
    fin = true,
    masked = true,
    reserved = 0,
    length,
  }: { fin?: boolean; masked?: boolean; reserved?: number; length?: number } = {},
): Buffer {
  const bytes = Buffer.from(body as string)
  const size = length ?? bytes.length
  const extended = size < 126 ? Buffer.alloc(0) : Buffer.alloc(size < 65_536 ? 2 : 8)
  if (extended.length === 2) extended.writeUInt16BE(size)
  if (extended.length === 8) extended.writeBigUInt64BE(BigInt(size))
  const second = (masked ? 0x80 : 0) | (size < 126 ? size : extended.length === 2 ? 126 : 127)
  const mask = masked ? Buffer.from([1, 2, 3, 4]) : Buffer.alloc(0)
  const sent = masked ? Buffer.from(bytes.map((byte, i) => byte ^ mask[i % 4]!)) : bytes
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | reserved | opcode, second]), extended, mask, sent])
}
const [TEXT, BINARY, CONTINUED, CLOSE] = [1, 2, 0, 8]

/** A client by hand, behind its upgrade. */
class Client {
  readonly socket: net.Socket
  private bytes = Buffer.alloc(0)
  constructor(t: Test, port: number) {
    this.socket = net.connect(port, "127.0.0.1")
    this.socket.on("data", (chunk) => (this.bytes = Buffer.concat([this.bytes, chunk])))
    this.socket.on("error", () => {})
    t.teardown(() => this.socket.destroy())
  }
  async upgrade(protocol: string): Promise<void> {
    this.socket.write(request(protocol))
    await until("the upgrade", () => this.bytes.includes("\r\n\r\n"))
    this.bytes = this.bytes.subarray(this.bytes.indexOf("\r\n\r\n") + 4)
  }
  /** The code and reason of the close frame that came last, once the connection is gone. */
  async closed(): Promise<[code: number, reason: string] | undefined> {
    if (!this.socket.closed) await within("its end", once(this.socket, "close"))
    let at = 0
    while (at < this.bytes.length) {
      const short = this.bytes[at + 1]! & 0x7f
      const header = short < 126 ? 2 : short === 126 ? 4 : 10
      const size =
        short < 126
          ? short
          : short === 126
            ? this.bytes.readUInt16BE(at + 2)
            : Number(this.bytes.readBigUInt64BE(at + 2))
      const body = this.bytes.subarray(at + header, at + header + size)
      if ((this.bytes[at]! & 15) === CLOSE) return [body.readUInt16BE(0), body.toString("utf8", 2)]
      at += header + size
    }
    return undefined
  }
}

async function listening(t: Test) {
  const bench = new Bench(webSockets("ws"), undefined, { maxMessageSize: 100_000 })
  systemClock.hold()
  t.teardown(async () => {
    await bench.dispose()
    systemClock.release()
  })
  const { address } = await bench.listen("127.0.0.1:*/live")
  const port = Number(/:(\d+)/.exec(address)![1])
  const open = async (protocol: string, admitted = true): Promise<[Client, End]> => {
    const client = new Client(t, port)
    await client.upgrade(protocol)
    const link = await bench.take()
    if (!admitted) link.admit = () => {}
    return [client, bench.end(link).start()]
  }
  const [near, far] = await bench.pair(address)
  const unharmed = async (): Promise<void> => {
    const { bytes } = far.sink
    near.write(Buffer.from("still here"))
    await far.got(bytes + 10)
    t.equal(near.sink.closes + far.sink.closes, 0)
  }
  return { bench, open, unharmed, port }
}

const OURS = "earshot.zmtp3"
const ZWS = "ZWS2.0"
const big = (size: number): Buffer => Buffer.alloc(size, 7)

t.test("what breaks the protocol ends the connection with a code", async (t) => {
  const { open, unharmed } = await listening(t)
  for (const [name, protocol, bytes, code, error, admitted = true] of [
    ["text that is no credit", OURS, frame(TEXT, "hello"), 1003, "EPROTO"],
    ["credit of nothing", OURS, frame(TEXT, "+0"), 1003, "EPROTO"],
    ["credit without end", OURS, frame(TEXT, `+${"9".repeat(40)}`), 1003, "EPROTO"],
    ["text over ZWS", ZWS, frame(TEXT, "hello"), 1003, "EPROTO"],
    ["text that is no UTF-8", OURS, frame(TEXT, Buffer.from([0xff, 0xfe])), 1003, "EPROTO"],
    ["an empty message", OURS, frame(BINARY, ""), 1003, "EPROTO"],
    ["a frame without its mask", OURS, frame(BINARY, "hello", { masked: false }), 1002, "EPROTO"],
    ["a reserved bit", OURS, frame(BINARY, "hello", { reserved: 0x40 }), 1002, "EPROTO"],
    ["an unknown opcode", OURS, frame(3, "hello"), 1002, "EPROTO"],
    ["a fragment of nothing", OURS, frame(CONTINUED, "hello"), 1002, "EPROTO"],
    ["a ping in fragments", OURS, frame(9, "x", { fin: false }), 1002, "EPROTO"],
    ["a close code that may not be", OURS, frame(CLOSE, Buffer.from([0x03, 0xed])), 1002, "EPROTO"],
    ["garbage", OURS, Buffer.from("\xff\xff\xff\xff\xff\xff GET / HTTP/1.1\r\n\r\n", "latin1"), 1002, "EPROTO"],
    ["1 MiB and a byte", OURS, frame(BINARY, "", { length: 1_048_577 }), 1009, "EMSGSIZE"],
    ["2^62 bytes", OURS, frame(BINARY, "", { length: 2 ** 62 }), 1009, "EPROTO"],
    ["64 KiB and a byte, from a stranger", OURS, frame(BINARY, "", { length: 65_537 }), 1009, "EMSGSIZE", false],
    ["the same over ZWS", ZWS, frame(BINARY, "", { length: 65_537 }), 1009, "EMSGSIZE", false],
    ["more than maxMessageSize over ZWS", ZWS, frame(BINARY, "", { length: 100_002 }), 1009, "EMSGSIZE"],
    [
      "1 MiB in fragments",
      OURS,
      Buffer.concat([frame(BINARY, big(600_000), { fin: false }), frame(CONTINUED, big(600_000))]),
      1009,
      "EMSGSIZE",
    ],
    [
      "three hundred fragments",
      OURS,
      Buffer.concat([
        frame(BINARY, "x", { fin: false }),
        ...Array.from({ length: 299 }, () => frame(CONTINUED, "", { fin: false })),
      ]),
      1008,
      "EPROTO",
    ],
  ] as const) {
    const [client, end] = await open(protocol, admitted)
    client.socket.write(bytes)
    await end.closed()
    t.ok(end.sink.error instanceof EarshotError, name)
    t.equal((end.sink.error as EarshotError).code, error, `${name}: ${end.sink.error?.message}`)
    const [said] = (await client.closed()) ?? []
    t.equal(said, code, `${name}: the client is told`)
    t.equal(end.sink.bytes, 0)
    await unharmed()
  }
})

t.test("what may be, is taken", async (t) => {
  const { open } = await listening(t)
  const [client, end] = await open(OURS)
  client.socket.write(Buffer.concat([frame(BINARY, "he", { fin: false }), frame(9, "ping"), frame(CONTINUED, "llo")]))
  await end.got(5)
  t.equal(String(end.sink.data), "hello", "fragments, and a ping between them")
  const rest = frame(BINARY, big(1_048_576))
  for (let at = 0; at < rest.length; at += 50_000) client.socket.write(rest.subarray(at, at + 50_000))
  await end.got(5 + 1_048_576)
  client.socket.write(frame(CLOSE, Buffer.from([0x03, 0xe8])))
  await end.closed()
  t.equal(end.sink.error, undefined)
  t.strictSame((await client.closed())?.[0], 1000)
})

t.test("a message that comes bit by bit is life, long before it is complete", async (t) => {
  const { open } = await listening(t)
  for (const protocol of [OURS, ZWS]) {
    const [client, end] = await open(protocol)
    let alive = 0
    Object.assign(end.sink, { onAlive: () => alive++ })
    const slow = frame(BINARY, big(50_000))
    for (let at = 0; at < slow.length; at += 10_000) {
      const before = alive
      t.equal(end.sink.bytes, 0)
      client.socket.write(slow.subarray(at, at + 10_000))
      await until("a sign of life", () => alive > before)
    }
    await end.got(50_000)
  }
})

t.test("a close frame's reason is known, and so is a reset", async (t) => {
  const { open, unharmed } = await listening(t)
  const [client, end] = await open(OURS)
  client.socket.write(frame(CLOSE, Buffer.concat([Buffer.from([0x0f, 0xa0]), Buffer.from("for a \x9breason")])))
  await end.closed()
  t.match(end.sink.error, { code: "ECONNRESET", message: /4000, for a \?reason/ })
  const [other, hit] = await open(OURS)
  other.socket.resetAndDestroy()
  await hit.closed()
  t.match(hit.sink.error, { code: "ECONNRESET" })
  const [third, left] = await open(OURS)
  third.socket.end()
  await left.closed()
  t.equal(left.sink.error, undefined, "a plain FIN is an end like another")
  await unharmed()
})

t.test("credit: no more is sent than was granted, and all of it in the end", async (t) => {
  const { open } = await listening(t)
  const [client, end] = await open(OURS)
  let got = 0
  client.socket.on("data", (chunk) => (got += chunk.length))
  client.socket.write(frame(TEXT, "+100000"))
  await until("the grant", () => {
    end.write(Buffer.alloc(0))
    return (end.link as unknown as { credit?: number }).credit === 100_000
  })
  t.notOk(end.write(big(150_000), big(100_000)), "it has to wait")
  await until("what was granted", () => got >= 100_000)
  await turns()
  t.ok(got < 100_100, `${got} bytes and their headers`)
  t.equal(end.link.unconfirmed, 150_000)
  t.equal(end.sink.drains, 0)
  client.socket.write(frame(TEXT, "+1"))
  client.socket.write(frame(TEXT, "+150000"))
  await end.sink.until("onDrain", () => end.sink.drains === 1)
  t.equal(end.link.unconfirmed, 0)
  await until("the rest", () => got >= 250_000)
  t.notOk(end.write(big(60_000)))
  end.link.close()
  client.socket.write(frame(TEXT, "+60000"))
  await until("the last", () => got >= 310_000)
  t.strictSame((await client.closed())?.[0], 1000, "an end behind what had to wait")
})

t.test("a write that fails does not cost what has come before", async (t) => {
  // The peer says its last words and is gone; we, busy, have not read them when our write is answered by a reset.
  const { open, unharmed } = await listening(t)
  const [client, end] = await open(OURS)
  end.link.pause()
  await new Promise<void>((resolve) => client.socket.end(frame(BINARY, big(60_000)), resolve))
  client.socket.destroy()
  await turns()
  for (let i = 0; i < 5; i++) {
    end.write(Buffer.from("PING"))
    await turns()
  }
  t.notOk(end.write(Buffer.from("PING")), "it is over for writing")
  end.link.resume()
  await end.closed()
  t.equal(end.sink.bytes, 60_000)
  t.match(end.sink.error, { code: "ECONNRESET" })
  await unharmed()
})

t.test("pings without end, from a peer that does not read", async (t) => {
  const { open, unharmed } = await listening(t)
  const [client, end] = await open(OURS)
  let alive = 0
  Object.assign(end.sink, { onAlive: () => alive++ })
  client.socket.pause()
  end.fill(big(65_536))
  const { unconfirmed } = end.link
  const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame(9, "are you there?")))
  for (let i = 0; i < 20; i++) client.socket.write(pings)
  // Each is a sign of life, and so is each chunk that they come in.
  await until("all of them", () => alive >= 20_000)
  t.equal(end.sink.closes, 0, "a reader that has paused may ask as often as it likes")
  t.ok(end.link.unconfirmed <= unconfirmed + 20_000, "and no answers are heaped up")
  client.socket.resume()
  await end.sink.until("a drain", () => end.sink.drains === 1)
  client.socket.write(frame(9, "and now?"))
  let heard = ""
  client.socket.on("data", (data: Buffer) => (heard = (heard + data.toString("latin1")).slice(-20)))
  await until("an answer", () => heard.includes("and now?"))
  await unharmed()
})

t.test("a link that is destroyed for a reason says it to the other side", async (t) => {
  const { open } = await listening(t)
  const [client, end] = await open(OURS)
  end.link.destroy(new EarshotError("EPROTO", `ü${"x".repeat(300)}`))
  const [code, reason] = (await client.closed())!
  t.equal(code, 1002)
  t.match(reason, /^üx+$/)
  t.ok(Buffer.byteLength(reason) <= 123)
})

t.test("ten evil peers of a socket do not disturb the good one", async (t) => {
  const pull = tidy(t, new Pull())
  await pull.bind("ws://127.0.0.1:*/live")
  const port = Number(/:(\d+)/.exec(pull.lastEndpoint!)![1])
  const push = tidy(t, new Push())
  const lost = events(push, "disconnect")
  await within("the handshake", push.connect(pull.lastEndpoint!))
  const clients: Client[] = []
  for (const bytes of [
    frame(TEXT, "hello"),
    frame(BINARY, big(65)),
    frame(BINARY, "", { length: 70_000 }),
    frame(BINARY, "x", { masked: false }),
    Buffer.from("no frame at all"),
  ])
    for (const protocol of [OURS, ZWS]) {
      const client = new Client(t, port)
      clients.push(client)
      await client.upgrade(protocol)
      client.socket.write(bytes)
      await push.send("hello")
      t.equal(text(await within("a message", pull.receive())), "hello")
    }
  for (const client of clients) await client.closed()
  t.equal(pull.peers.length, 1)
  t.strictSame(lost, [])
})

t.test("half an upgrade, and a thousand at once", async (t) => {
  const { warn } = console
  console.warn = () => {}
  t.teardown(() => (console.warn = warn))
  const pull = tidy(t, new Pull({ maxHandshakes: 2000 }))
  await pull.bind(ws({ url: "ws://127.0.0.1:*/live", upgradesPerSecond: 100 }))
  const port = Number(/:(\d+)/.exec(pull.lastEndpoint!)![1])
  const push = tidy(t, new Push())
  await within("the handshake", push.connect(pull.lastEndpoint!))
  const half = Array.from({ length: 20 }, (_, i) => {
    const client = new Client(t, port)
    client.socket.write(request(OURS).slice(0, 10 * i))
    return client
  })
  const answers = await within(
    "a thousand answers",
    Promise.all(
      Array.from({ length: 1000 }, async () => {
        const client = new Client(t, port)
        client.socket.write(request(OURS))
        const [answer] = (await once(client.socket, "data")) as [Buffer]
        return answer.toString("latin1", 9, 12)
      }),
    ),
  )
  const taken = answers.filter((status) => status === "101").length
  t.ok(taken >= 90 && taken < 1000, `${taken} were let in`)
  t.equal(answers.filter((status) => status === "503").length, 1000 - taken, "the others were told to wait")
  t.equal(pull.stats().refusedConnections["flood"], 1000 - taken)
  for (const { socket } of half) socket.destroy()
  await push.send("hello")
  t.equal(text(await within("a message", pull.receive())), "hello")
})
