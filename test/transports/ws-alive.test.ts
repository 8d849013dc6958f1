// Who is alive over WebSockets: both pings are sent, where somebody answers them; a message that comes slowly counts
// before it is complete; and over bare ZWS, where libzmq answers neither, nobody is given up.
import { once } from "node:events"
import type { Socket } from "node:net"
import t, { type Test } from "tap"
import { WebSocket } from "ws"
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

/** A Pull with a short patience, and a peer of it that answers no ping by itself. */
async function visitor(t: Test, protocol: Protocol) {
  const pull = tidy(t, new Pull({ heartbeatInterval: 50, heartbeatTimeout: 400 }))
  const lost = events(pull, "disconnect")
  await pull.bind("ws://127.0.0.1:*")
  const peer = new WebSocket(pull.lastEndpoint!, [protocol.replace("/", ".")], {
    autoPong: false,
    perMessageDeflate: false,
    // As libzmq spells it, which npm ws would not.
    finishRequest: (request) => {
      request.setHeader("Sec-WebSocket-Protocol", protocol)
      request.end()
    },
  })
  t.teardown(() => peer.terminate())
  let socket!: Socket
  peer.on("upgrade", (response) => {
    response.headers["sec-websocket-protocol"] = protocol.replace("/", ".")
    socket = response.socket
  })
  let [pings, commands] = [0, 0]
  peer.on("ping", () => pings++)
  peer.on("message", (data: Buffer) => {
    if (data.includes("\x04PING")) commands++
  })
  await within("the upgrade", once(peer, "open"))
  const joined = until("the peer", () => pull.peers.length === 1)
  peer.send(HELLO[protocol])
  await joined
  return { pull, peer, socket, lost, heard: () => ({ pings, commands }) }
}

t.test("silence ends a link where pings are answered, and both are sent", async (t) => {
  for (const protocol of ["earshot.zmtp3", "ZWS2.0/NULL"] as const) {
    const { lost, heard } = await visitor(t, protocol)
    await until("the end", () => lost.length > 0)
    t.equal(lost[0]!.error?.code, "ETIMEDOUT", protocol)
    const { pings, commands } = heard()
    t.ok(pings > 0, "WebSocket's, for a page that is frozen")
    t.ok(commands > 0, "and ZMTP's, for a page that looks whether its server is there")
  }
})

t.test("either answer keeps it", async (t) => {
  const { pull, peer, lost, heard } = await visitor(t, "earshot.zmtp3")
  peer.on("ping", (body) => peer.pong(body))
  await until("some pings", () => heard().pings > 10)
  t.strictSame(lost, [], "a pong, as the browser of a frozen page sends it")
  t.equal(pull.peers.length, 1)
})

t.test("over bare ZWS silence proves nothing", async (t) => {
  const { pull, lost, heard } = await visitor(t, "ZWS2.0")
  const other = await visitor(t, "earshot.zmtp3")
  await until("the end of one that is judged", () => other.lost.length > 0)
  t.strictSame(lost, [])
  t.equal(pull.peers.length, 1)
  t.strictSame(heard(), { pings: 0, commands: 0 }, "nobody is asked who would not answer")
})

t.test("a message that takes long to come", async (t) => {
  const { pull, socket, lost, heard } = await visitor(t, "earshot.zmtp3")
  const message = wire(pattern(60_000))
  const slow = Buffer.concat([Buffer.of(0x82, 0xfe, message.length >> 8, message.length & 255, 0, 0, 0, 0), message])
  const pieces = 20
  for (let i = 0; i < pieces; i++) {
    // The pace: each some 50 ms after the one before, and none of the pings is answered.
    const { pings } = heard()
    const at = (n: number): number => Math.floor((n * slow.length) / pieces)
    socket.write(slow.subarray(at(i), at(i + 1)))
    await until("the next ping", () => heard().pings > pings || lost.length > 0)
  }
  t.strictSame(lost, [])
  const [frame] = await within("the message", pull.receive())
  t.equal(frame!.length, 60_000)
})
