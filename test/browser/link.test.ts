// The browser's link against a WebSocket that does as it is told: credit, back pressure, ends, and the page's signals.
import t from "tap"
import type { Test } from "tap"
import type { Link, LinkSink, Transport } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { EARLY, GRANT, MAX_SENT, MAX_TAKEN_EARLY, WINDOW } from "../../transports/websocket/stream.ts"
import { Pull } from "../../lib/index.ts"
import { webSockets, ws } from "../../transports/ws.browser.ts"
import { events, outcome, thrown } from "../support/sockets.ts"
import { virtualClock, type VirtualClock } from "../support/virtual-clock.ts"

type Handler<E> = ((event: E) => void) | null

/** What a page's WebSocket does, by hand. */
class FakeSocket {
  static made: FakeSocket[] = []
  binaryType = "blob"
  protocol = ""
  bufferedAmount = 0
  closed: number | true | undefined
  sent: (string | Uint8Array)[] = []
  onopen: Handler<void> = null
  onmessage: Handler<{ data: unknown }> = null
  onerror: Handler<unknown> = null
  onclose: Handler<{ wasClean: boolean; code: number; reason: string }> = null
  readonly url: string
  readonly protocols: string[]

  constructor(url: string, protocols: string[]) {
    this.url = url
    this.protocols = protocols
    FakeSocket.made.push(this)
  }

  send(data: string | Uint8Array): void {
    // The platform copies at once, and so the memory may change behind it.
    this.sent.push(typeof data === "string" ? data : data.slice())
    if (typeof data !== "string") this.bufferedAmount += data.length
  }

  close(code?: number): void {
    this.closed ??= code ?? true
  }

  open(protocol = "earshot.zmtp3"): this {
    this.protocol = protocol
    this.onopen?.()
    return this
  }

  get(data: string | Uint8Array): void {
    this.onmessage?.({ data: typeof data === "string" ? data : data.slice().buffer })
  }

  end(code: number, wasClean = true, reason = ""): void {
    this.onclose?.({ wasClean, code, reason })
  }

  get texts(): string[] {
    return this.sent.filter((data) => typeof data === "string")
  }

  get binary(): Uint8Array[] {
    return this.sent.filter((data) => typeof data !== "string")
  }
}

class Sink implements LinkSink {
  bytes = 0
  drains = 0
  alive = 0
  doubts: number[] = []
  ends: (Error | undefined)[] = []
  onChunk: (() => void) | undefined
  onData(chunk: Uint8Array): void {
    this.bytes += chunk.length
    this.onChunk?.()
  }
  onDrain(): void {
    this.drains++
  }
  onAlive(): void {
    this.alive++
  }
  onDoubt(ms: number): void {
    this.doubts.push(ms)
  }
  onClose(error?: Error): void {
    this.ends.push(error)
  }
}

/** Puts names on the global object for one test. */
function globals(t: Test, values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name)
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
    t.teardown(() => {
      if (before === undefined) Reflect.deleteProperty(globalThis, name)
      else Object.defineProperty(globalThis, name, before)
    })
  }
}

interface Given {
  readonly clock: VirtualClock
  readonly transport: Transport
  readonly dial: (address?: string, signal?: AbortSignal) => { dialled: Promise<Link>; socket: FakeSocket }
  readonly link: (protocol?: string) => Promise<{ link: Link; socket: FakeSocket; sink: Sink }>
}

function given(t: Test, scheme: "ws" | "wss" = "ws", maxMessageSize = -1): Given {
  globals(t, { WebSocket: FakeSocket })
  const clock = virtualClock()
  const transport = webSockets(scheme)
  const dial: Given["dial"] = (address = "device.example:8080/live", signal = new AbortController().signal) => {
    const options = { clock, keepalive: -1, backlog: 1, maxMessageSize }
    const dialled = transport.dial(address, options, signal)
    dialled.catch(() => {})
    return { dialled, socket: FakeSocket.made.at(-1)! }
  }
  return {
    clock,
    transport,
    dial,
    async link(protocol) {
      const { dialled, socket } = dial()
      socket.open(protocol)
      const link = await dialled
      const sink = new Sink()
      link.start(sink)
      link.admit?.()
      return { link, socket, sink }
    },
  }
}

t.test("addresses", async (t) => {
  const { transport } = given(t)
  for (const [address, normal] of [
    ["127.0.0.1:8080", "127.0.0.1:8080"],
    ["127.0.0.1:8080/", "127.0.0.1:8080"],
    ["Device.Example", "device.example:80"],
    ["[::1]:8080/live?room=1", "[::1]:8080/live?room=1"],
  ] as const) {
    t.equal(transport.check(address, "connect"), normal)
    t.equal(transport.check(normal, "connect"), normal)
  }
  t.equal(webSockets("wss").check("device.example/x", "connect"), "device.example:443/x")
  for (const bad of ["", "/x", ":80", "a b:1", "user@host:1", "*:80", "host:99999", "host:1#part", "host\\x:1"])
    t.equal(
      thrown(() => transport.check(bad, "connect")),
      "EINVAL",
      bad,
    )
  const place = ws({ url: "wss://Device.example/live" })
  t.strictSame([place.transport.scheme, place.address], ["wss", "device.example:443/live"])
  for (const bad of ["http://device.example", "device.example", "ws://", ""])
    t.equal(
      thrown(() => ws({ url: bad })),
      "EINVAL",
      bad,
    )
})

t.test("a dial offers our protocol, then ZWS", async (t) => {
  const { dial, clock } = given(t)
  const { dialled, socket } = dial()
  t.equal(socket.url, "ws://device.example:8080/live")
  t.strictSame(
    socket.protocols,
    ["ZWS2", "earshot.zmtp3", "ZWS2.0"],
    "the first is a question that only a naive server answers",
  )
  t.equal(socket.binaryType, "arraybuffer")
  socket.open()
  t.strictSame(socket.sent, [`+${WINDOW}`], "credit at once, before anything else")
  const link = await dialled
  t.match(link, { protocol: "zmtp", remote: "ws://device.example:8080/live", host: "device.example", secure: false })
  const bare = dial("127.0.0.1:1")
  bare.socket.open("ZWS2.0")
  t.match(await bare.dialled, { protocol: "zws-bare", host: undefined })
  t.strictSame(bare.socket.sent, [], "which knows no credit")
  const naive = dial()
  naive.socket.open("ZWS2")
  const naiveLink = await naive.dialled
  t.equal(naiveLink.protocol, "zws-bare", "a server that picks whatever comes first, as jszmq's")
  naiveLink.destroy()
  const other = dial()
  other.socket.open("chat")
  t.equal(await outcome(other.dialled), "EPROTO")
  for (const each of [link, await bare.dialled]) each.destroy()
  await clock.advance(60_000)
  t.equal(clock.timers, 0)
})

t.test("a dial that fails, and says as what", async (t) => {
  const { dial, clock } = given(t)
  const refused = dial()
  refused.socket.onerror?.({})
  refused.socket.end(1006, false)
  t.equal(await outcome(refused.dialled), "ECONNREFUSED")
  const slow = dial()
  await clock.advance(4999)
  t.equal(slow.socket.closed, undefined)
  await clock.advance(1)
  t.equal(await outcome(slow.dialled), "ETIMEDOUT")
  t.equal(slow.socket.closed, true, "and it is not left open behind our back")
  const abort = new AbortController()
  const aborted = dial(undefined, abort.signal)
  const reason = new EarshotError("ECANCELED", "enough")
  abort.abort(reason)
  t.equal(await aborted.dialled.catch((error: unknown) => error), reason)
  t.equal(aborted.socket.closed, true)
  t.equal(await outcome(dial(undefined, AbortSignal.abort()).dialled), "ECANCELED")
  t.equal(clock.timers, 0)
})

t.test("a page from https and plain ws", async (t) => {
  const { dial } = given(t)
  globals(t, { origin: "https://dashboard.example" })
  for (const [address, code] of [
    ["192.168.1.5:8080", "INSECURE_FROM_HTTPS"],
    ["device.example:8080", "INSECURE_FROM_HTTPS"],
    ["localhost:8080", "ECONNREFUSED"],
    ["127.0.0.1:8080", "ECONNREFUSED"],
    ["[::1]:8080", "ECONNREFUSED"],
  ] as const) {
    const { dialled, socket } = dial(address)
    socket.end(1006, false)
    t.equal(await outcome(dialled), code, address)
  }
  const { dialled, socket } = dial("192.168.1.5:8080")
  socket.end(1006, false)
  const { message } = (await dialled.catch((error: unknown) => error)) as Error
  for (const way of [/serve the page from the device/, /certificate/, /relay/]) t.match(message, way)
  globals(t, {
    WebSocket: function refuse() {
      throw new DOMException("mixed content", "SecurityError")
    },
  })
  t.equal(await outcome(dial("192.168.1.5:8080").dialled), "INSECURE_FROM_HTTPS", "where the class itself throws")
})

t.test("a page from https and wss", async (t) => {
  const { dial } = given(t, "wss")
  globals(t, { origin: "https://dashboard.example" })
  const { dialled, socket } = dial("192.168.1.5:8080")
  socket.end(1006, false)
  t.equal(await outcome(dialled), "ECONNREFUSED")
})

t.test("credit is given as the session reads, and no more comes than that", async (t) => {
  const { link, clock } = given(t)
  const { link: reading, socket, sink } = await link()
  const chunk = new Uint8Array(GRANT / 2)
  socket.get(chunk)
  t.strictSame(socket.texts, [`+${WINDOW}`])
  socket.get(chunk)
  t.strictSame(socket.texts, [`+${WINDOW}`, `+${GRANT}`])
  reading.pause()
  for (let i = 0; i < 8; i++) socket.get(chunk)
  t.equal(sink.bytes, GRANT, "nothing while paused")
  t.equal(socket.texts.length, 2, "and no credit for what waits")
  reading.resume()
  await clock.settle()
  t.equal(sink.bytes, GRANT * 5)
  t.equal(socket.texts.length, 6)
  reading.pause()
  for (let i = 0; i < WINDOW / chunk.length; i++) socket.get(chunk)
  socket.get(new Uint8Array(65_536))
  t.equal(sink.ends.length, 0, "what was under way when it first granted")
  socket.get(new Uint8Array(1))
  await clock.settle()
  t.match(sink.ends, [{ code: "EPROTO" }], "more than its credit ends the link")
  t.ok(socket.closed)
})

t.test("small messages that wait cost little more than their bytes", async (t) => {
  const { link, clock } = given(t)
  const { link: reading, socket, sink } = await link()
  reading.pause()
  const before = process.memoryUsage().heapUsed
  const one = new Uint8Array([7]).buffer
  for (let i = 0; i < 1_000_000; i++) socket.onmessage?.({ data: one })
  const cost = process.memoryUsage().heapUsed - before
  t.ok(cost < 50_000_000, `a million of one byte: ${cost} bytes`)
  let chunks = 0
  sink.onChunk = () => {
    chunks++
    if (chunks === 1) reading.pause()
  }
  reading.resume()
  await clock.settle()
  t.equal(chunks, 1, "a pause from inside")
  reading.resume()
  await clock.settle()
  t.equal(sink.bytes, 1_000_000)
  const bare = await link("ZWS2.0")
  bare.link.pause()
  for (let i = 0; i < 300_000; i++) bare.socket.onmessage?.({ data: one })
  await clock.settle()
  t.match(bare.sink.ends, [{ code: "LIMIT" }], "where each must be kept for itself, it counts for more than its bytes")
})

t.test("the other side's credit is kept", async (t) => {
  const { link, clock } = given(t)
  const { link: writing, socket, sink } = await link()
  t.equal(writing.write([new Uint8Array(1000)]), true, "without a grant there is no limit")
  socket.bufferedAmount = 0
  socket.get("+1000")
  t.equal(sink.alive, 1, "which is a sign of life")
  t.equal(writing.write([new Uint8Array(600).fill(1), new Uint8Array(700).fill(2)]), false)
  t.strictSame(
    socket.binary.map(({ length }) => length),
    [1000, 1000],
  )
  t.equal(writing.unconfirmed, 1300, "300 of them wait for credit")
  socket.bufferedAmount = 0
  await clock.advance(1000)
  t.equal(sink.drains, 0, "not all has left")
  t.equal(clock.timers, 1, "and nothing is looked at while credit is what it waits for (but for the page's own timer)")
  socket.get("+100")
  socket.get("+5000")
  t.strictSame(
    socket.binary.map(({ length }) => length),
    [1000, 1000, 100, 200],
  )
  t.ok(socket.binary.at(-1)!.every((byte) => byte === 2))
  socket.bufferedAmount = 0
  await clock.settle()
  t.equal(sink.drains, 1)
  t.equal(writing.unconfirmed, 0)
  socket.get("plenty")
  await clock.settle()
  t.match(sink.ends, [{ code: "EPROTO" }])
})

t.test("few messages, none larger than 256 KiB, and back pressure by what is buffered", async (t) => {
  const { link, clock } = given(t)
  const { link: writing, socket, sink } = await link()
  t.equal(writing.write([new Uint8Array(EARLY)]), true)
  t.strictSame(
    socket.binary.map(({ length }) => length),
    [MAX_TAKEN_EARLY, MAX_TAKEN_EARLY],
    "none larger than what is taken from a stranger, while the other side may not know us yet",
  )
  socket.bufferedAmount = 0
  const roll = (size: number, at: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (at + i) % 251)
  const chunks = [roll(9, 0), roll(300_000, 9), roll(0, 0), roll(7, 300_009), roll(250_000, 300_016)]
  t.equal(writing.write(chunks), false)
  const total = chunks.reduce((sum, { length }) => sum + length, 0)
  t.strictSame(
    socket.binary.slice(2).map(({ length }) => length),
    [MAX_SENT, MAX_SENT, total - 2 * MAX_SENT],
  )
  t.ok(Buffer.concat(socket.binary.slice(2)).equals(Buffer.concat(chunks)))
  await clock.advance(500)
  t.equal(sink.drains, 0)
  socket.bufferedAmount = 1
  await clock.advance(500)
  t.equal(sink.drains, 0, "not before all of it has left")
  socket.bufferedAmount = 0
  await clock.advance(10)
  t.equal(sink.drains, 1)
  t.equal(writing.write([new Uint8Array(100_000)]), true)
  t.equal(writing.unconfirmed, 100_000)
  t.equal(writing.write([new Uint8Array(100_000)]), false)
  socket.bufferedAmount = 0
  await clock.advance(10)
  t.equal(sink.drains, 2)
})

t.test("messages that are empty, or too large, early and late", async (t) => {
  const { dial, link, clock } = given(t)
  const { dialled, socket } = dial()
  socket.open()
  const early = await dialled
  const sink = new Sink()
  early.start(sink)
  socket.get(new Uint8Array(65_536))
  t.equal(sink.bytes, 65_536)
  socket.get(new Uint8Array(65_537))
  await clock.settle()
  t.match(sink.ends, [{ code: "EPROTO" }], "a stranger's")
  const empty = await link()
  empty.socket.get(new Uint8Array(0))
  await clock.settle()
  t.match(empty.sink.ends, [{ code: "EPROTO" }])
  const late = await link()
  late.link.write([new Uint8Array(0)])
  late.link.write([])
  t.strictSame(late.socket.binary, [], "we send none that is empty")
  late.socket.get(new Uint8Array(1_048_576))
  t.equal(late.sink.bytes, 1_048_576)
  late.socket.get(new Uint8Array(1_048_577))
  await clock.settle()
  t.match(late.sink.ends, [{ code: "EPROTO" }])
})

t.test("ZWS: a frame a message, whatever its size", async (t) => {
  const { link, clock } = given(t, "ws", 3_000_000)
  const { link: bare, socket, sink } = await link("ZWS2.0")
  bare.write([new Uint8Array(3), new Uint8Array(600_000), new Uint8Array(1)])
  t.strictSame(
    socket.binary.map(({ length }) => length),
    [3, 600_000, 1],
  )
  socket.get(new Uint8Array(3_000_001))
  t.equal(sink.bytes, 3_000_001)
  t.strictSame(socket.texts, [])
  bare.pause()
  for (let i = 0; i < 22; i++) socket.get(new Uint8Array(3_000_000))
  t.strictSame(sink.ends, [])
  socket.get(new Uint8Array(3_000_000))
  await clock.settle()
  t.match(sink.ends, [{ code: "LIMIT" }], "it has no word for 'wait', so that there is an end to waiting")
  const talking = await link("ZWS2.0")
  talking.socket.get("+1000")
  await clock.settle()
  t.match(talking.sink.ends, [{ code: "EPROTO" }])
})

t.test("ends", async (t) => {
  const { link, clock } = given(t)
  for (const [code, clean, error] of [
    [1000, true, undefined],
    [1001, true, undefined],
    [1005, true, undefined],
    [1006, false, { code: "ECONNRESET", message: "the connection broke" }],
    [1008, true, { code: "ECONNRESET", message: "the other side closed with 1008: why" }],
  ] as const) {
    const { socket, sink } = await link()
    socket.end(code, clean, "why")
    if (error === undefined) t.strictSame(sink.ends, [undefined], String(code))
    else t.match(sink.ends, [error])
  }
  const paused = await link()
  paused.link.pause()
  paused.socket.get(new Uint8Array(10))
  paused.socket.end(1000)
  await clock.settle()
  t.strictSame([paused.sink.bytes, paused.sink.ends], [0, []])
  paused.link.resume()
  await clock.settle()
  t.strictSame([paused.sink.bytes, paused.sink.ends], [10, [undefined]], "behind what it has not read")

  const closing = await link()
  closing.socket.get("+10")
  closing.link.write([new Uint8Array(30)])
  closing.link.close()
  t.equal(closing.socket.closed, undefined, "20 bytes have no credit yet")
  closing.socket.get(new Uint8Array(5))
  t.equal(closing.sink.bytes, 0, "who has closed hears nothing more")
  closing.socket.get("+20")
  t.equal(closing.socket.closed, 1000, "a good-bye behind the last byte")
  t.equal(
    closing.socket.binary.reduce((sum, { length }) => sum + length, 0),
    30,
  )
  closing.socket.bufferedAmount = 0
  closing.socket.end(1000)
  t.strictSame(closing.sink.ends, [undefined])

  const silent = await link()
  silent.link.close()
  await clock.advance(500)
  silent.socket.get("+1")
  await clock.advance(499)
  t.strictSame(silent.sink.ends, [])
  await clock.advance(1)
  t.strictSame(silent.sink.ends, [undefined], "an answer to it is not waited for any longer")

  const destroyed = await link()
  destroyed.link.write([new Uint8Array(70)])
  const reason = new EarshotError("EPROTO", "why")
  destroyed.link.destroy(reason)
  t.strictSame(destroyed.sink.ends, [], "not from inside the call")
  destroyed.socket.bufferedAmount = 0
  t.equal(destroyed.link.unconfirmed, 70, "what had not left is still known")
  t.equal(destroyed.link.write([new Uint8Array(1)]), false)
  await clock.settle()
  t.strictSame(destroyed.sink.ends, [reason])
  t.ok(destroyed.socket.closed)
  destroyed.link.destroy()
  destroyed.link.close()
  await clock.settle()
  t.equal(destroyed.sink.ends.length, 1)
  t.equal(clock.timers, 1, "only the page's")
})

/** A page as far as the signals look at it. */
function page(t: Test): {
  event: (type: string, about?: object) => void
  listeners: () => number
  visible: (on: boolean) => void
} {
  const listeners = new Map<string, Set<(event: object) => void>>()
  const target = {
    addEventListener(type: string, listener: (event: object) => void) {
      if (!listeners.has(type)) listeners.set(type, new Set())
      listeners.get(type)!.add(listener)
    },
    removeEventListener(type: string, listener: (event: object) => void) {
      listeners.get(type)?.delete(listener)
    },
  }
  const document = { ...target, visibilityState: "visible" }
  globals(t, { ...target, document })
  return {
    event(type, about = {}) {
      for (const listener of listeners.get(type) ?? []) listener(about)
    },
    listeners: () => [...listeners.values()].reduce((sum, { size }) => sum + size, 0),
    visible(on) {
      document.visibilityState = on ? "visible" : "hidden"
    },
  }
}

t.test("what the page says", async (t) => {
  const { event, listeners, visible } = page(t)
  const { link, transport, clock } = given(t)
  t.equal(listeners(), 0, "nobody listens before there is a reason to")
  let nudges = 0
  const forget = transport.onNudge!(() => nudges++)
  const first = await link()
  const second = await link()
  const bare = await link("ZWS2.0")
  const both = (): number => first.sink.doubts.length + second.sink.doubts.length
  event("online")
  t.strictSame([nudges, both()], [1, 2])
  visible(false)
  event("visibilitychange")
  t.strictSame([nudges, both()], [1, 2], "hidden")
  visible(true)
  event("visibilitychange")
  t.strictSame([nudges, both()], [2, 4], "visible again")
  event("pageshow", { persisted: false })
  t.strictSame([nudges, both()], [2, 4], "a page that is new")
  event("pageshow", { persisted: true })
  t.strictSame([nudges, both()], [3, 6], "one from the back-forward cache")
  t.ok(first.sink.doubts.every((ms) => ms === 2000))
  t.strictSame(bare.sink.doubts, [], "who answers no PING can't be doubted")
  first.socket.end(1000)
  event("online")
  t.strictSame([nudges, both()], [4, 7], "a link that has ended is left alone")
  event("pagehide", { persisted: true })
  t.strictSame([second.sink.ends, bare.sink.ends], [[undefined], [undefined]], "the end is told at once")
  t.ok(second.socket.closed)
  forget()
  t.equal(listeners(), 0, "nobody listens any more")
  await clock.advance(2000)
  t.equal(clock.timers, 0)
})

t.test("a timer that comes late, and a server that should have asked", async (t) => {
  const { link, clock } = given(t)
  const { socket, sink } = await link()
  for (let i = 0; i < 10; i++) {
    await clock.advance(10_000)
    socket.get(new Uint8Array(8))
  }
  t.strictSame(sink.doubts, [], "a PING every 10 s")
  await clock.advance(19_500)
  t.strictSame(sink.doubts, [])
  await clock.advance(1500)
  t.ok(sink.doubts.length > 0, "two of them are overdue")
  socket.end(1000)
  await clock.advance(2000)
  // The machine sleeps: no timer runs, and only the wall clock tells.
  const wall = clock.wall.bind(clock)
  let slept = 0
  clock.wall = () => wall() + slept
  const waking = await link()
  slept += 2900
  await clock.advance(1000)
  t.strictSame(waking.sink.doubts, [], "a busy page")
  slept += 3100
  await clock.advance(1000)
  t.strictSame(waking.sink.doubts, [2000])
  await clock.advance(10_000)
  t.strictSame(waking.sink.doubts, [2000], "once for each sleep")
})

t.test("a socket waits up to 5 s between attempts, and not at all when the network is back", async (t) => {
  const { event } = page(t)
  const { clock } = given(t)
  const pull = new Pull({ clock })
  const waits = events(pull, "connect:retry")
  const first = FakeSocket.made.length
  void pull.connect(ws({ url: "ws://device.example" })).catch(() => {})
  for (let attempt = 1; attempt <= 30; attempt++) {
    await clock.settle()
    t.equal(FakeSocket.made.length, first + attempt)
    FakeSocket.made.at(-1)!.end(1006, false)
    await clock.settle()
    t.equal(waits.length, attempt)
    t.ok(waits.at(-1)!.interval <= Math.min(5000, 250 * 2 ** (attempt - 1)), `${waits.at(-1)!.interval} ms`)
    if (attempt % 2 > 0) await clock.advance(waits.at(-1)!.interval + 1)
    else event("online")
  }
  t.ok(
    waits.some(({ interval }) => interval > 2500),
    "it does wait",
  )
  // An attempt hangs since before the network was back: it is given up in time, and then it is as if nothing had been.
  await clock.settle()
  const made = FakeSocket.made.length
  event("online")
  t.equal(FakeSocket.made.length, made)
  await clock.advance(5000)
  t.equal(waits.at(-1)!.error?.code, "ETIMEDOUT")
  t.ok(waits.at(-1)!.interval <= 250, `${waits.at(-1)!.interval} ms`)
  pull.linger = 0
  await clock.until(pull.close())
  t.equal(clock.timers, 0)
})
