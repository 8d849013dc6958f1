// Who is alive over WebSockets: both pings are sent, where somebody answers them; a message that comes slowly counts
// before it is complete; and over bare ZWS, where libzmq answers neither, nobody is given up.
import { connect } from "node:net"
import t, { type Test } from "tap"
import { Pull } from "../../lib/index.ts"
import { greeting, metadata, pattern, ready, wire } from "../support/bytes.ts"
import { events, tidy, until, within } from "../support/sockets.ts"

/** What introduces a PUSH in each of the protocols. */
const HELLO = {
  "earshot.zmtp3": Buffer.concat([greeting(), ready("PUSH")]),
  "ZWS2.0/NULL": Buffer.concat([Buffer.from("\x02\x05READY"), metadata({ "Socket-Type": "PUSH" })]),
  "ZWS2.0": Buffer.of(0),
} as const
type Protocol = keyof typeof HELLO
const [BINARY, PING, PONG] = [0x82, 0x89, 0x8a]

/** A frame of RFC 6455 as a client sends it; the mask is zero. */
function frame(first: number, body: Uint8Array): Buffer {
  const size = body.length < 126 ? [0x80 | body.length] : [0xfe, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.of(first, ...size, 0, 0, 0, 0), body])
}

/** A Pull with a short patience, and a peer of it that answers no ping by itself. */
async function visitor(t: Test, protocol: Protocol) {
  const pull = tidy(t, new Pull({ heartbeatInterval: 50, heartbeatTimeout: 400 }))
  const lost = events(pull, "disconnect")
  await pull.bind("ws://127.0.0.1:*")
  const peer = connect(Number(/:(\d+)/.exec(pull.lastEndpoint!)![1]), "127.0.0.1")
  t.teardown(() => peer.destroy())
  peer.on("error", () => {})
  const heard = { pings: 0, commands: 0 }
  let bytes = Buffer.alloc(0)
  peer.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    const head = bytes.indexOf("\r\n\r\n")
    // Nothing that is sent here is longer than 125 bytes.
    if (head >= 0 && bytes[0] === 0x48) bytes = bytes.subarray(head + 4)
    while (bytes[0] !== 0x48 && bytes.length > 1 && bytes.length >= 2 + bytes[1]!) {
      if (bytes[0] === PING) heard.pings++
      if (bytes.subarray(0, 2 + bytes[1]!).includes("\x04PING")) heard.commands++
      bytes = bytes.subarray(2 + bytes[1]!)
    }
  })
  peer.write(
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
  )
  peer.write(frame(BINARY, HELLO[protocol]))
  await until("the peer", () => pull.peers.length === 1)
  return { pull, peer, lost, heard }
}

t.test("silence ends a link where pings are answered, and both are sent", async (t) => {
  for (const protocol of ["earshot.zmtp3", "ZWS2.0/NULL"] as const) {
    const { lost, heard } = await visitor(t, protocol)
    await until("the end", () => lost.length > 0)
    t.equal(lost[0]!.error?.code, "ETIMEDOUT", protocol)
    t.ok(heard.pings > 0, "WebSocket's, for a page that is frozen")
    t.ok(heard.commands > 0, "and ZMTP's, for a page that looks whether its server is there")
  }
})

t.test("either answer keeps it", async (t) => {
  const { pull, peer, lost, heard } = await visitor(t, "earshot.zmtp3")
  for (let answered = 0; answered < 15; answered++) {
    await until("a ping", () => heard.pings > answered || lost.length > 0)
    peer.write(frame(PONG, Buffer.alloc(0)))
  }
  t.strictSame(lost, [], "a pong, as the browser of a frozen page sends it")
  t.equal(pull.peers.length, 1)
})

t.test("over bare ZWS silence proves nothing", async (t) => {
  const { pull, lost, heard } = await visitor(t, "ZWS2.0")
  const other = await visitor(t, "earshot.zmtp3")
  await until("the end of one that is judged", () => other.lost.length > 0)
  t.strictSame(lost, [])
  t.equal(pull.peers.length, 1)
  t.strictSame(heard, { pings: 0, commands: 0 }, "nobody is asked who would not answer")
})

t.test("a message that takes long to come", async (t) => {
  const { pull, peer, lost, heard } = await visitor(t, "earshot.zmtp3")
  const slow = frame(BINARY, wire(pattern(60_000)))
  const pieces = 20
  for (let i = 0; i < pieces; i++) {
    // The pace: each some 50 ms after the one before, and none of the pings is answered.
    const { pings } = heard
    const at = (n: number): number => Math.floor((n * slow.length) / pieces)
    peer.write(slow.subarray(at(i), at(i + 1)))
    await until("the next ping", () => heard.pings > pings || lost.length > 0)
  }
  t.strictSame(lost, [])
  const [message] = await within("the message", pull.receive())
  t.equal(message!.length, 60_000)
})
