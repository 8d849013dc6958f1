// Every stable pair of socket types with real libzmq, whoever binds: messages of every shape go both ways unchanged.
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
import { SIDES, join, ours, poking, theirs, zmq, type Side } from "../support/libzmq.ts"
import { text, within } from "../support/sockets.ts"

const empty = Buffer.alloc(0)
const SHAPES: readonly [name: string, frames: Buffer[]][] = [
  ["one frame", [Buffer.from("hello")]],
  ["an empty message", [empty]],
  ["two frames", [Buffer.from("a"), Buffer.from("b")]],
  ["empty frames around one", [empty, Buffer.from("x"), empty]],
  ["only empty frames", [empty, empty, empty]],
  ["254, 255, 256 and 257 bytes", [254, 255, 256, 257].map((size) => pattern(size, size))],
  ["255 bytes", [pattern(255)]],
  ["256 bytes", [pattern(256)]],
  ["frames around the copying mark", [4095, 4096, 4097].map((size) => pattern(size, size))],
  ["64 KiB and a byte less", [pattern(65_535), pattern(65_536)]],
  ["1 MiB", [pattern(1 << 20)]],
  ["1 MiB between small ones", [Buffer.from("<"), pattern(1 << 20, 1), Buffer.from(">")]],
  ["100 frames", Array.from({ length: 100 }, (_, i) => pattern(i, i))],
]

interface Sends {
  send(message: Buffer[]): Promise<void>
}
interface Receives {
  receive(): Promise<Uint8Array[]>
}

/** Sends every shape, first one after another, then all at once; `head` goes before each, `lead` comes before each. */
async function through(t: Test, from: Sends, to: Receives, head: Buffer[] = [], lead = head): Promise<void> {
  for (const [name, frames] of SHAPES) {
    await from.send([...head, ...frames])
    t.strictSame(digest(await to.receive()), digest([...lead, ...frames]), name)
  }
  // zeromq.js takes one send at a time, and lets several wait neither.
  const sending = (async () => {
    for (const [, frames] of SHAPES) await from.send([...head, ...frames])
  })()
  for (const [name, frames] of SHAPES)
    t.strictSame(digest(await to.receive()), digest([...lead, ...frames]), `${name}, among others`)
  await sending
}

/** Short enough to look at when it differs. */
function digest(message: readonly Uint8Array[]): string[] {
  return message.map((frame) => (frame.length < 20 ? hexOf(frame) : `${frame.length} ${hash(frame)}`))
}

function hash(bytes: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i++) sum = (sum * 31 + bytes[i]!) | 0
  return sum
}

/** Asks and answers in turn. */
async function ask(t: Test, asker: Sends & Receives, answerer: Sends & Receives, open = false): Promise<void> {
  for (const [name, frames] of SHAPES) {
    await asker.send(frames)
    const request = await answerer.receive()
    const envelope = open ? request.splice(0, 2) : []
    t.strictSame(digest(request), digest(frames), `${name}: the request`)
    if (open) t.equal(envelope[1]!.length, 0, "the delimiter")
    const reply = [Buffer.from("re"), ...frames]
    await answerer.send([...(envelope as Buffer[]), ...reply])
    t.strictSame(digest(await asker.receive()), digest(reply), `${name}: the reply`)
  }
}

/** One pair of types: how the two talk once they are joined. */
function pair<U extends Socket, T extends zmq.Socket>(
  name: string,
  make: () => [U, T],
  talk: (t: Test, us: U, them: T, side: Side) => Promise<void>,
): void {
  t.test(name, async (t) => {
    for (const side of SIDES)
      await t.test(side, async (t) => {
        const [us, them] = make()
        ours(t, us)
        theirs(t, them)
        await join(side, us, them)
        await talk(t, us, them, side)
      })
  })
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

const toAll = [() => new Publisher(), () => new XPublisher()]
for (const make of toAll)
  pair(
    `${make().constructor.name} to SUB`,
    () => [make(), new zmq.Subscriber()],
    async (t, us, them) => {
      them.subscribe("")
      await poking(them, us.ready())
      await through(t, us, them)
    },
  )
for (const make of toAll)
  pair(
    `${make().constructor.name} to XSUB`,
    () => [make(), new zmq.XSubscriber()],
    async (t, us, them) => {
      await them.send(["\x01"])
      await poking(them, us.ready())
      await through(t, us, them)
    },
  )
const fromAll = [() => new zmq.Publisher(), () => new zmq.XPublisher()]
for (const make of fromAll)
  pair(
    `SUB from ${make().constructor.name}`,
    () => [new Subscriber(), make()],
    async (t, us, them) => {
      await us.subscribe("")
      if (them instanceof zmq.XPublisher) t.equal(text(await them.receive()), "\x01", "it hears of the subscription")
      await through(t, them, us)
    },
  )
for (const make of fromAll)
  pair(
    `XSUB from ${make().constructor.name}`,
    () => [new XSubscriber(), make()],
    async (t, us, them) => {
      await us.send("\x01")
      // A PUB tells nobody of its subscribers: what it sends first may come too early.
      if (them instanceof zmq.XPublisher) t.equal(text(await them.receive()), "\x01")
      else {
        let heard = false
        const first = us.receive().then((message) => (t.equal(text(message), "early"), (heard = true)))
        while (!heard) {
          await them.send("early")
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        await first
        await them.send("last")
        while (text(await us.receive()) !== "last");
      }
      await through(t, them, us)
    },
  )
pair(
  "XPUB and XSUB: upstream",
  () => [new XPublisher(), new zmq.XSubscriber()],
  async (t, us, them) => {
    await them.send(["\x01A"])
    t.equal(text(await poking(them, us.receive())), "\x01A")
    await them.send(["\x00A"])
    t.equal(text(await us.receive()), "\x00A")
    for (const message of [["user data"], ["more", "frames"]]) {
      await them.send(message)
      t.equal(text(await us.receive()), message.join("|"))
    }
  },
)
pair(
  "XSUB and XPUB: upstream",
  () => [new XSubscriber(), new zmq.XPublisher()],
  async (t, us, them) => {
    await us.send("\x01A")
    t.equal(text(await them.receive()), "\x01A")
    await us.send("\x00A")
    t.equal(text(await them.receive()), "\x00A")
    for (const message of [["user data"], ["more", "frames"]]) {
      await us.send(message)
      t.equal(text(await them.receive()), message.join("|"))
    }
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
  "REQ and ROUTER",
  () => [new Request(), new zmq.Router()],
  (t, us, them) => ask(t, us, them, true),
)
pair(
  "ROUTER and REQ",
  () => [new Router(), new zmq.Request()],
  (t, us, them) => ask(t, them, us, true),
)
pair(
  "REQ and ROUTER, correlated",
  () => [new Request({ correlate: true }), new zmq.Reply()],
  (t, us, them) => ask(t, us, them),
)
pair(
  "REP and REQ, correlated",
  () => [new Reply(), new zmq.Request({ correlate: true })],
  (t, us, them) => ask(t, them, us),
)

pair(
  "request(), many in flight, to REP",
  () => [new Request(), new zmq.Reply()],
  async (t, us, them) => {
    const asked = Array.from({ length: 200 }, (_, i) => us.request([`question ${i}`, "more"]))
    for (let i = 0; i < 200; i++) {
      const [question, more] = await them.receive()
      await them.send([`re ${String(question)}`, more!])
    }
    t.strictSame(
      (await Promise.all(asked)).map(text),
      asked.map((_, i) => `re question ${i}|more`),
    )
  },
)
pair(
  "request(), answered in any order by ROUTER",
  () => [new Request(), new zmq.Router()],
  async (t, us, them) => {
    const asked = Array.from({ length: 50 }, (_, i) => us.request(String(i)))
    const questions: Buffer[][] = []
    for (let i = 0; i < 50; i++) questions.push(await them.receive())
    t.ok(questions.every((frames) => frames.length === 4 && frames[1]!.length === 4 && frames[2]!.length === 0))
    for (const [peer, id, delimiter, body] of questions.toReversed())
      await them.send([peer!, id!, delimiter!, `re ${String(body)}`])
    t.strictSame(
      (await Promise.all(asked)).map(text),
      asked.map((_, i) => `re ${i}`),
    )
  },
)
pair(
  "request() without an id to ROUTER",
  () => [new Request(), new zmq.Router()],
  async (t, us, them) => {
    const asked = ["a", "b"].map((question) => us.request(question, { correlate: false }))
    for (const question of ["a", "b"]) {
      const [peer, delimiter, body, ...rest] = await them.receive()
      t.strictSame([delimiter!.length, String(body), rest.length], [0, question, 0])
      await them.send([peer!, "", `re ${question}`])
    }
    t.strictSame((await Promise.all(asked)).map(text), ["re a", "re b"])
  },
)

pair(
  "DEALER and REP",
  () => [new Dealer(), new zmq.Reply()],
  async (t, us, them) => {
    for (const [name, frames] of SHAPES) {
      await us.send([Buffer.from("envelope"), empty, ...frames])
      t.strictSame(digest(await them.receive()), digest(frames), name)
      await them.send(frames)
      t.strictSame(digest(await us.receive()), digest([Buffer.from("envelope"), empty, ...frames]), name)
    }
  },
)
pair(
  "REP and DEALER",
  () => [new Reply(), new zmq.Dealer()],
  async (t, us, them) => {
    // Without a delimiter it is no request: dropped, not an end.
    await them.send("no request")
    for (const [name, frames] of SHAPES) {
      await them.send([Buffer.from("envelope"), empty, ...frames])
      t.strictSame(digest(await us.receive()), digest(frames), name)
      await us.send(frames)
      t.strictSame(digest(await them.receive()), digest([Buffer.from("envelope"), empty, ...frames]), name)
    }
  },
)

pair(
  "DEALER and ROUTER",
  () => [new Dealer({ routingId: "us" }), new zmq.Router()],
  async (t, us, them) => {
    const id = Buffer.from("us")
    await through(t, us, them, [], [id])
    await through(t, them, us, [id], [])
  },
)
pair(
  "ROUTER and DEALER",
  () => [new Router(), new zmq.Dealer({ routingId: "them" })],
  async (t, us, them) => {
    const id = Buffer.from("them")
    await through(t, them, us, [], [id])
    await through(t, us, them, [id], [])
  },
)
pair(
  "ROUTER and DEALER without an id: five bytes, the first 00",
  () => [new Router(), new zmq.Dealer()],
  async (t, us, them) => {
    await them.send("who am I")
    const [id] = await us.receive()
    t.equal(id!.length, 5)
    t.equal(id![0], 0)
    await through(t, us, them, [id!], [])
  },
)
pair(
  "DEALER without an id and ROUTER",
  () => [new Dealer(), new zmq.Router()],
  async (t, us, them) => {
    await us.send("who am I")
    const [id] = await them.receive()
    t.equal(id!.length, 5)
    await through(t, them, us, [id!], [])
  },
)
pair(
  "ROUTER and ROUTER",
  () => [new Router({ routingId: "us", probeRouter: true }), new zmq.Router({ routingId: "them", probeRouter: true })],
  async (t, us, them) => {
    // Both probe, whoever has bound.
    t.equal(text(await poking(them, us.receive())), "them|")
    t.equal(text(await them.receive()), "us|")
    const names = { us: Buffer.from("us"), them: Buffer.from("them") }
    await through(t, us, them, [names.them], [names.us])
    await through(t, them, us, [names.us], [names.them])
  },
)
pair(
  "DEALER and DEALER",
  () => [new Dealer(), new zmq.Dealer()],
  async (t, us, them) => {
    await through(t, us, them)
    await through(t, them, us)
  },
)
pair(
  "PAIR and PAIR",
  () => [new Pair(), new zmq.Pair()],
  async (t, us, them) => {
    await through(t, us, them)
    await through(t, them, us)
  },
)

// ---------------------------------------------------------------------------------------------------------------

t.test("probeRouter: a Router hears of each new peer, whoever bound", async (t) => {
  const probe = { routingId: "d", probeRouter: true }
  for (const side of SIDES) {
    for (const us of [new Dealer(probe), new Request(probe)]) {
      const router = theirs(t, new zmq.Router())
      await join(side, ours(t, us), router)
      t.equal(text(await router.receive()), "d|", `${us.constructor.name}, ${side}`)
    }
    for (const them of [new zmq.Dealer(probe), new zmq.Request(probe)]) {
      const router = ours(t, new Router())
      await join(side, router, theirs(t, them))
      t.equal(text(await poking(them, router.receive())), "d|", `their ${them.constructor.name}, ${side}`)
    }
  }
})

t.test("routing ids of 255 bytes, and no more", async (t) => {
  const id = pattern(255, 3)
  const router = ours(t, new Router())
  const dealer = theirs(t, new zmq.Dealer())
  dealer.routingId = "x".repeat(255)
  await join("we bind", router, dealer)
  await dealer.send("hello")
  t.equal((await router.receive())[0]!.length, 255)
  const other = theirs(t, new zmq.Router())
  const us = ours(t, new Dealer({ routingId: id }))
  await join("they bind", us, other)
  await us.send("hello")
  t.ok((await other.receive())[0]!.equals(id))
  t.throws(() => new Dealer({ routingId: pattern(256, 3) }), { code: "EINVAL" })
})

t.test("mandatory: an unknown peer is told at once, a known one is reached", async (t) => {
  const router = ours(t, new Router({ mandatory: true }))
  const dealer = theirs(t, new zmq.Dealer({ routingId: "d" }))
  await router.bind("tcp://127.0.0.1:*")
  await t.rejects(router.send(["d", "x"]), { code: "EHOSTUNREACH" })
  dealer.connect(router.lastEndpoint!)
  await dealer.send("hello")
  await router.receive()
  await router.send(["d", "x"])
  t.equal(text(await dealer.receive()), "x")
})

t.test("fan out, fan in: each of theirs gets its turn", async (t) => {
  const push = ours(t, new Push())
  await push.bind("tcp://127.0.0.1:*")
  const pulls = Array.from({ length: 3 }, () => theirs(t, new zmq.Pull()))
  for (const pull of pulls) pull.connect(push.lastEndpoint!)
  while (push.peers.length < 3) await new Promise((resolve) => setTimeout(resolve, 1))
  for (let i = 0; i < 30; i++) await push.send(String(i))
  for (const pull of pulls) {
    const got: number[] = []
    for (let i = 0; i < 10; i++) got.push(Number(text(await pull.receive())))
    t.ok(
      got.every((n, i) => i === 0 || n === got[i - 1]! + 3),
      `every third: ${got.join()}`,
    )
  }
  const pull = ours(t, new Pull())
  await pull.bind("tcp://127.0.0.1:*")
  const pushes = Array.from({ length: 3 }, () => theirs(t, new zmq.Push()))
  for (const [n, each] of pushes.entries()) {
    each.connect(pull.lastEndpoint!)
    for (let i = 0; i < 100; i++) await each.send(`${n} ${i}`)
  }
  const next = [0, 0, 0]
  for (let i = 0; i < 300; i++) {
    const [n, count] = text(await pull.receive())!
      .split(" ")
      .map(Number) as [number, number]
    if (next[n] !== count) t.fail(`${n} ${count} out of order`)
    next[n] = count + 1
  }
  t.strictSame(next, [100, 100, 100])
})

t.test("over ipc", { skip: process.platform === "win32" && "npm zeromq has no ipc on Windows" }, async (t) => {
  const path = `ipc://${t.testdir()}/sock`
  const pull = ours(t, new Pull())
  await pull.bind(path)
  const push = theirs(t, new zmq.Push())
  push.connect(path)
  await through(t, push, pull)
  const back = theirs(t, new zmq.Pull())
  await back.bind(`${path}2`)
  const us = ours(t, new Push())
  await within("the handshake", us.connect(`${path}2`))
  await through(t, us, back)
})
