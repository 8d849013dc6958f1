// npm jszmq, which browsers use: ZWS 2.0 in its bare form, without a handshake, in both roles.
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as jszmq from "jszmq"
import t, { type Test } from "tap"
import { WebSocketServer } from "ws"
import { Dealer, Pair, Publisher, Pull, Push, Reply, Request, Router, Subscriber, XPublisher } from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { pattern } from "../support/bytes.ts"
import { SIDES, ours, type Side } from "../support/libzmq.ts"
import { text, until, within } from "../support/sockets.ts"

type Theirs = ReturnType<typeof jszmq.socket>

const MESSAGES = [["one"], ["two", "frames"], ["", "x", ""], [""], ["a".repeat(70_000), "b"]]

/** One of theirs, and what it gets. */
class Them {
  readonly socket: Theirs
  private readonly got: string[][] = []
  constructor(t: Test, type: Parameters<typeof jszmq.socket>[0]) {
    this.socket = jszmq.socket(type)
    this.socket.on("message", (...frames: Buffer[]) => this.got.push(frames.map(String)))
    t.teardown(() => this.socket.close())
  }
  async receive(): Promise<string[]> {
    await until("their message", () => this.got.length > 0)
    return this.got.shift()!
  }
}

async function join(t: Test, side: Side, us: Socket, them: Them): Promise<void> {
  if (side === "we bind") {
    await us.bind("ws://127.0.0.1:*/live")
    them.socket.connect(us.lastEndpoint!)
    await until("them", () => us.peers.length > 0)
    return
  }
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => server.close())
  const address = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/live`
  ;(them.socket as unknown as { bind(address: string, server: unknown): void }).bind(address, server)
  await within("them", us.connect(address))
}

function pair<U extends Socket>(
  name: string,
  make: () => U,
  type: Parameters<typeof jszmq.socket>[0],
  talk: (t: Test, us: U, them: Them) => Promise<void>,
): void {
  t.test(name, async (t) => {
    for (const side of SIDES)
      await t.test(side, async (t) => {
        const us = ours(t, make())
        const them = new Them(t, type)
        await join(t, side, us, them)
        t.equal(us.peers[0]!.type, undefined, "nobody tells of types")
        await talk(t, us, them)
      })
  })
}

async function there(
  t: Test,
  us: { send(message: string[]): Promise<void> },
  them: Them,
  head: string[] = [],
): Promise<void> {
  for (const message of MESSAGES) {
    await us.send([...head, ...message])
    t.strictSame(await them.receive(), message)
  }
}

async function back(
  t: Test,
  us: { receive(): Promise<Uint8Array[]> },
  them: Them,
  head: (string | Buffer)[] = [],
  lead: string[] = [],
): Promise<void> {
  for (const message of MESSAGES) {
    them.socket.send([...head, ...message])
    t.strictSame((await us.receive()).map(String), [...lead, ...message])
  }
}

pair("PUSH to PULL", () => new Push(), "pull", there)
pair("PULL from PUSH", () => new Pull(), "push", back)
pair(
  "PAIR and PAIR",
  () => new Pair(),
  "pair",
  async (t, us, them) => {
    await there(t, us, them)
    await back(t, us, them)
  },
)
for (const make of [() => new Publisher(), () => new XPublisher()])
  pair<Publisher | XPublisher>(`${make().constructor.name} to SUB`, make, "sub", async (t, us, them) => {
    them.socket.subscribe("yes")
    await until("the subscription", () => us.subscribers("yes") === 1)
    await us.send("no")
    await us.send("yes")
    t.strictSame(await them.receive(), ["yes"])
    them.socket.unsubscribe("yes")
    await until("its end", () => us.subscribers("yes") === 0)
  })
pair(
  "SUB from XPUB",
  () => new Subscriber(),
  "xpub",
  async (t, us, them) => {
    await us.subscribe("yes")
    t.strictSame(await them.receive(), ["\x01yes"])
    them.socket.send("no")
    them.socket.send(["yes", "this"])
    t.equal(text(await us.receive()), "yes|this")
  },
)
pair(
  "REQ and REP",
  () => new Request(),
  "rep",
  async (t, us, them) => {
    for (const message of MESSAGES) {
      await us.send(message)
      t.strictSame(await them.receive(), message)
      them.socket.send(["re", ...message])
      t.strictSame((await us.receive()).map(String), ["re", ...message])
    }
  },
)
pair(
  "REP and REQ",
  () => new Reply(),
  "req",
  async (t, us, them) => {
    for (const message of MESSAGES) {
      them.socket.send(message)
      t.strictSame((await us.receive()).map(String), message)
      await us.send(["re", ...message])
      t.strictSame(await them.receive(), ["re", ...message])
    }
  },
)
pair(
  "DEALER and ROUTER",
  () => new Dealer(),
  "router",
  async (t, us, them) => {
    for (const message of MESSAGES) {
      await us.send(message)
      const [, ...rest] = await them.receive()
      t.strictSame(rest, message)
    }
  },
)
pair(
  "ROUTER and DEALER",
  () => new Router(),
  "dealer",
  async (t, us, them) => {
    them.socket.send("who am I")
    const [id] = await us.receive()
    for (const message of MESSAGES) {
      await us.send([id!, ...message])
      t.strictSame(await them.receive(), message)
      them.socket.send(message)
      t.strictSame((await us.receive()).slice(1).map(String), message)
    }
  },
)

t.test("a large frame, either way", async (t) => {
  const us = ours(t, new Pair())
  const them = new Them(t, "pair")
  await join(t, "we bind", us, them)
  const frame = Buffer.from(pattern(3 << 20, 5).map((byte) => byte & 0x7f))
  them.socket.send([frame])
  t.ok((await us.receive())[0]!.equals(frame))
  await us.send([frame])
  t.equal((await them.receive())[0], String(frame))
})

t.test("a large message may be the first thing that a bound peer says", async (t) => {
  // Without a handshake nothing keeps it from sending at once. By hand: jszmq itself waits for our routing id.
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  t.teardown(() => server.close())
  const peers = new WebSocketServer({ server, handleProtocols: () => "ZWS2.0" })
  peers.on("connection", (peer) => {
    t.teardown(() => peer.terminate())
    peer.send(Buffer.from([0]))
    peer.send(Buffer.concat([Buffer.from([0]), pattern(100_000)]))
  })
  const pull = ours(t, new Pull())
  void pull.connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const [frame] = await within("it", pull.receive())
  t.ok(frame!.equals(pattern(100_000)))
})
