// What a listener sends to a receiver that grants credit, as pages do: no more than was granted, in few messages, and in
// small ones while that receiver may not know us yet, or is slow.
import { once } from "node:events"
import t from "tap"
import { WebSocket } from "ws"
import { systemClock } from "../../lib/clock.ts"
import { EARSHOT, grant, MAX_SENT, MAX_TAKEN_EARLY } from "../../transports/websocket/stream.ts"
import { webSockets } from "../../transports/ws.ts"
import { until, within } from "../support/sockets.ts"
import { Bench } from "./bench.ts"

/** In one write: what a session has encoded, small chunks and large ones. */
const CHUNKS = [9, 65_536, 9, 300_000, 0, 1, 200_000, 9, 70_000].map((size, i) => Buffer.alloc(size, i))
const ALL = Buffer.concat(CHUNKS)

t.test("credit", async (t) => {
  let now = 0
  const clock = { ...systemClock, now: () => now }
  const bench = new Bench(webSockets("ws"), undefined, { clock })
  t.teardown(() => bench.dispose())
  const { address } = await bench.listen("127.0.0.1:*")
  const page = new WebSocket(`ws://${address}`, [EARSHOT], { perMessageDeflate: false })
  t.teardown(() => page.terminate())
  const messages: Buffer[] = []
  let wake = (): void => {}
  page.on("message", (data) => {
    messages.push(data as Buffer)
    wake()
  })
  const received = (): number => messages.reduce((sum, { length }) => sum + length, 0)
  const upTo = async (bytes: number): Promise<void> => {
    while (received() < bytes) await within(`${bytes} bytes`, new Promise<void>((resolve) => (wake = resolve)))
    t.equal(received(), bytes, "so much, and no more")
  }
  await within("open", once(page, "open"))
  const link = await bench.take()
  const end = bench.end(link).start()
  let alive = 0
  Object.assign(end.sink, { onAlive: () => alive++ })

  page.send(grant(100_000))
  link.ping!()
  await until("a pong, behind the credit", () => alive > 0)
  t.equal(end.write(...CHUNKS), false, "more than its credit")
  await upTo(100_000)
  t.equal(link.unconfirmed, ALL.length - 100_000)
  t.ok(
    messages.every(({ length }) => length <= MAX_TAKEN_EARLY),
    "small messages for one that may not know us yet",
  )

  page.send(grant(50_000))
  await upTo(150_000)
  messages.length = 0
  page.send(grant(ALL.length))
  await upTo(ALL.length - 150_000)
  t.strictSame(
    messages.map(({ length }) => length),
    [MAX_SENT, ALL.length - 150_000 - MAX_SENT],
    "then few and large ones, whatever the chunks were",
  )
  t.ok(Buffer.concat(messages).equals(ALL.subarray(150_000)), "in order")
  await end.sink.until("a drain", () => end.sink.drains === 1)

  // A page hears nothing of a message that is not complete, and draws its conclusions.
  now += 5000
  messages.length = 0
  alive = 0
  page.send(grant(150_000))
  await until("it, which is a sign of life", () => alive > 0)
  end.write(Buffer.alloc(300_000))
  await upTo(300_000)
  t.equal(Math.max(...messages.map(({ length }) => length)), MAX_TAKEN_EARLY, "small ones to one that reads slowly")
})

t.test("who grants no credit gets small enough messages, too, and TCP alone pushes back", async (t) => {
  const bench = new Bench(webSockets("ws"))
  t.teardown(() => bench.dispose())
  const { address } = await bench.listen("127.0.0.1:*")
  const program = new WebSocket(`ws://${address}`, [EARSHOT], { perMessageDeflate: false })
  t.teardown(() => program.terminate())
  const sizes: number[] = []
  let got = Buffer.alloc(0)
  program.on("message", (data) => {
    sizes.push((data as Buffer).length)
    got = Buffer.concat([got, data as Buffer])
  })
  await within("open", once(program, "open"))
  const end = bench.end(await bench.take()).start()
  end.write(...CHUNKS)
  await until("all of it", () => got.length >= ALL.length)
  t.ok(got.equals(ALL), "in order")
  t.equal(Math.max(...sizes), MAX_SENT, "a large chunk spans several")
  t.notOk(sizes.includes(0), "and an empty one none")
})
