// Every stable pair of socket types with real libzmq over ws://, whoever binds. It speaks ZWS 2.0 with the NULL handshake.
import t, { type Test } from "tap"
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { hexOf, pattern } from "../support/bytes.ts"
import { SIDES, ours, poking, theirs, zmq, type Side } from "../support/libzmq.ts"
import { events, text, until, within } from "../support/sockets.ts"

/** What can't be had over libzmq's ws://, and why. Tests below show each that can be shown. */
export const CANNOT: Readonly<Record<string, string>> = {
  "a path of several parts, we listen": "libzmq up to 4.3.5 asks for its last part; we take that for the whole",
  "subscribe() that waits for the publisher": "libzmq answers no PING over ZWS, so it resolves once written",
  "wss://": "the libzmq of npm zeromq is built without TLS",
  "PLAIN and CURVE": "Earshot has these mechanisms later",
  "ZMTP's heartbeats": "libzmq ignores PING over ZWS; WebSocket's own pings stand in for them",
  "the bare protocol beside heartbeatInterval": "libzmq 4.3.5 aborts its process when such a peer connects",
}

const empty = Buffer.alloc(0)
const SHAPES: readonly [name: string, frames: Buffer[]][] = [
  ["one frame", [Buffer.from("hello")]],
  ["an empty message", [empty]],
  ["empty frames around one", [empty, Buffer.from("x"), empty]],
  ["124 to 127 bytes, where a WebSocket's header grows", [123, 124, 125, 126, 127].map((size) => pattern(size, size))],
  ["64 KiB, where it grows again", [65_533, 65_534, 65_535, 65_536, 65_537].map((size) => pattern(size, size))],
  ["1 MiB between small ones", [Buffer.from("<"), pattern(1 << 20, 1), Buffer.from(">")]],
  ["100 frames", Array.from({ length: 100 }, (_, i) => pattern(i, i))],
]

interface Sends {
  send(message: Buffer[]): Promise<void>
}
interface Receives {
  receive(): Promise<Uint8Array[]>
}

/** Short enough to look at when it differs. */
function digest(message: readonly Uint8Array[]): string[] {
  return message.map((frame) => {
    const sum = frame.reduce((sum, byte) => (sum * 31 + byte) | 0, 0)
    return frame.length < 20 ? hexOf(frame) : `${frame.length} ${sum}`
  })
}

/** Sends every shape; `head` goes before each, `lead` comes before each. */
async function through(t: Test, from: Sends, to: Receives, head: Buffer[] = [], lead = head): Promise<void> {
  const sending = (async () => {
    // libzmq's client masks large frames in the memory of whoever sends them.
    for (const [, frames] of SHAPES) await from.send([...head, ...frames.map((frame) => Buffer.from(frame))])
  })()
  for (const [name, frames] of SHAPES) t.strictSame(digest(await to.receive()), digest([...lead, ...frames]), name)
  await sending
}

async function ask(t: Test, asker: Sends & Receives, answerer: Sends & Receives): Promise<void> {
  for (const [name, frames] of SHAPES) {
    await asker.send(frames.map((frame) => Buffer.from(frame)))
    t.strictSame(digest(await answerer.receive()), digest(frames), `${name}: the request`)
    await answerer.send([Buffer.from("re"), ...frames.map((frame) => Buffer.from(frame))])
    t.strictSame(digest(await asker.receive()), digest([Buffer.from("re"), ...frames]), `${name}: the reply`)
  }
}

async function join(side: Side, us: Socket, them: zmq.Socket): Promise<void> {
  if (side === "we bind") {
    await us.bind("ws://127.0.0.1:*/live")
    them.connect(us.lastEndpoint!)
    await until("their handshake", () => us.peers.length > 0)
  } else {
    await them.bind("ws://127.0.0.1:*/live")
    await within("our handshake", us.connect(them.lastEndpoint!))
  }
}

function pair<U extends Socket, T extends zmq.Socket>(
  name: string,
  make: () => [U, T],
  talk: (t: Test, us: U, them: T) => Promise<void>,
): void {
  t.test(name, async (t) => {
    for (const side of SIDES)
      await t.test(side, async (t) => {
        const [us, them] = make()
        ours(t, us)
        theirs(t, them)
        await join(side, us, them)
        t.type(us.peers[0]!.type, "string", "the handshake told of its type")
        await talk(t, us, them)
      })
  })
}

const id = Buffer.from("them")
const both = async (t: Test, us: Sends & Receives, them: Sends & Receives): Promise<void> => {
  await through(t, us, them)
  await through(t, them, us)
}

pair(
  "PUSH to PULL",
  () => [new Push(), new zmq.Pull()],
  (t, us, them) => through(t, us, them),
)
pair(
  "PULL from PUSH",
  () => [new Pull(), new zmq.Push()],
  (t, us, them) => through(t, them, us),
)
for (const make of [() => new Publisher(), () => new XPublisher()])
  pair(
    `${make().constructor.name} to SUB and its topics`,
    () => [make(), new zmq.Subscriber()],
    async (t, us, them) => {
      them.subscribe("yes")
      await poking(them, us.ready({ topic: "yes" }))
      await us.send("no")
      await us.send("yes, only this")
      t.equal(text(await them.receive()), "yes, only this")
      them.subscribe("")
      await poking(
        them,
        until("it", () => us.subscribers("else") === 1),
      )
      await through(t, us, them)
    },
  )
pair(
  "PUB to XSUB",
  () => [new Publisher(), new zmq.XSubscriber()],
  async (t, us, them) => {
    await them.send(["\x01"])
    await poking(them, us.ready())
    await through(t, us, them)
  },
)
pair(
  "SUB from XPUB",
  () => [new Subscriber(), new zmq.XPublisher()],
  async (t, us, them) => {
    await us.subscribe("")
    t.equal(text(await them.receive()), "\x01", "it hears of the subscription")
    await through(t, them, us)
    await us.unsubscribe("")
    t.equal(text(await them.receive()), "\x00")
  },
)
pair(
  "XSUB and XPUB",
  () => [new XSubscriber(), new zmq.XPublisher()],
  async (t, us, them) => {
    await us.send("\x01")
    t.equal(text(await them.receive()), "\x01")
    await through(t, them, us)
  },
)
pair(
  "SUB from PUB",
  () => [new Subscriber(), new zmq.Publisher()],
  async (t, us, them) => {
    await us.subscribe("")
    // A PUB tells nobody of its subscribers: what it sends first may come too early.
    let heard = false
    const first = us.receive().then(() => (heard = true))
    while (!heard) {
      await them.send("early")
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await first
    await them.send("last")
    while (text(await us.receive()) !== "last");
    await through(t, them, us)
  },
)
pair(
  "REQ and REP",
  () => [new Request(), new zmq.Reply()],
  (t, us, them) => ask(t, us, them),
)
pair(
  "REP and REQ",
  () => [new Reply(), new zmq.Request()],
  (t, us, them) => ask(t, them, us),
)
pair(
  "request(), many in flight, to REP",
  () => [new Request(), new zmq.Reply()],
  async (t, us, them) => {
    const asked = Array.from({ length: 50 }, (_, i) => us.request(`question ${i}`))
    for (let i = 0; i < 50; i++) await them.send(`re ${String((await them.receive())[0])}`)
    t.strictSame(
      (await Promise.all(asked)).map(text),
      asked.map((_, i) => `re question ${i}`),
    )
  },
)
pair(
  "DEALER and ROUTER",
  () => [new Dealer({ routingId: "us" }), new zmq.Router()],
  async (t, us, them) => {
    await through(t, us, them, [], [Buffer.from("us")])
    await through(t, them, us, [Buffer.from("us")], [])
  },
)
pair(
  "ROUTER and DEALER",
  () => [new Router(), new zmq.Dealer({ routingId: "them" })],
  async (t, us, them) => {
    await through(t, them, us, [], [id])
    await through(t, us, them, [id], [])
  },
)
pair("DEALER and DEALER", () => [new Dealer(), new zmq.Dealer()], both)
pair("PAIR and PAIR", () => [new Pair(), new zmq.Pair()], both)

// ---------------------------------------------------------------------------------------------------------------

t.test("libzmq's path is the last part of what it was given", async (t) => {
  const pull = ours(t, new Pull())
  await pull.bind("ws://127.0.0.1:*/a/b")
  const push = theirs(t, new zmq.Push())
  push.connect(pull.lastEndpoint!)
  await push.send("there")
  t.equal(text(await pull.receive()), "there")
})

t.test("a heartbeat by WebSocket's pings, both ways", async (t) => {
  for (const side of SIDES) {
    const us = ours(t, new Dealer({ heartbeatInterval: 20, heartbeatTimeout: 5000 }))
    const them = theirs(t, new zmq.Dealer({ heartbeatInterval: 20, heartbeatTimeout: 5000 }))
    const lost = events(us, "disconnect")
    await join(side, us, them)
    const heard = us.peers[0]!.lastHeard!
    await until("a pong", () => us.peers[0]!.lastHeard! > heard)
    await both(t, us, them)
    t.strictSame(lost, [], `${side}: nobody was given up`)
  }
})

t.test("types that don't fit are told apart", async (t) => {
  const us = ours(t, new Pull())
  await us.bind("ws://127.0.0.1:*")
  // Either finds it first: libzmq then ends it without a word.
  const refused = [events(us, "handshake:error:protocol"), events(us, "handshake:error:other")]
  const them = theirs(t, new zmq.Subscriber())
  them.connect(us.lastEndpoint!)
  await until("the refusal", () => refused.some(({ length }) => length > 0))
  for (const { error } of refused.flat()) t.match(error.code, /^(INCOMPATIBLE|ECONNRESET)$/)
  t.equal(us.peers.length, 0)
})

t.test("either side goes and comes back", async (t) => {
  const pull = ours(t, new Pull())
  await pull.bind("ws://127.0.0.1:*")
  for (let i = 0; i < 3; i++) {
    const push = theirs(t, new zmq.Push())
    push.connect(pull.lastEndpoint!)
    await push.send(`round ${i}`)
    t.equal(text(await pull.receive()), `round ${i}`)
    const gone = until("its end", () => pull.peers.length === 0)
    push.close()
    await gone
  }
  const push = theirs(t, new zmq.Push({ reconnectInterval: 10 }))
  push.connect(pull.lastEndpoint!)
  await push.send("one")
  t.equal(text(await pull.receive()), "one")
  const at = pull.lastEndpoint!
  await pull.unbind(at)
  await pull.bind(at)
  await until("it to come back", () => pull.peers.length > 0)
  await push.send("two")
  t.equal(text(await pull.receive()), "two")
})
