import { once } from "node:events"
import { copyFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer, type AddressInfo, type Socket } from "node:net"
import type { Libp2p } from "libp2p"
import t, { type Test } from "tap"
import { type Clock, systemClock } from "../../lib/clock.ts"
import { EarshotError } from "../../lib/errors.ts"
import { libp2p, type Libp2pNode } from "../../transports/libp2p.ts"
import type { Libp2pConnection, Libp2pStream } from "../../transports/libp2p/node.ts"
import { linkOver } from "../../transports/libp2p/use.ts"
import { windowOf } from "../../transports/libp2p/window.ts"
import { transportConformance } from "../conformance/transport.ts"
import { createNode, joined } from "../support/libp2p.ts"
import { until, within } from "../support/sockets.ts"
import { virtualClock } from "../support/virtual-clock.ts"
import { Bench, options } from "./bench.ts"
import { type End, turns } from "./recorder.ts"

const STRANGER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
const KIB = 1024
const MIB = 1024 * KIB

const [near, far] = await Promise.all([createNode([]), createNode()])
systemClock.hold()
t.teardown(async () => {
  systemClock.release()
  await Promise.all([near.stop(), far.stop()])
})

transportConformance(t, {
  name: "libp2p",
  create: () => joined(near, far),
  wildcard: "#*",
  nobody: `/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}#nobody`,
  alone: "refused",
  malformed: "/ip4/127.0.0.1/tcp/4001",
  skips: {
    "a write that says wait is followed by one onDrain":
      "the connection asks to wait long before the stream's window is full: see below",
  },
})

async function pair(t: Test, clock = systemClock): Promise<[End, End, Bench]> {
  const bench = new Bench(libp2p({ node: near }), libp2p({ node: far }), { clock })
  t.teardown(() => bench.dispose())
  const { address } = await bench.listen("#*")
  return [...(await bench.pair(address)), bench]
}

/** Writes piece by piece until no `onDrain` follows. Resolves to the bytes written. */
async function stall(end: End): Promise<number> {
  for (let written = 0; written < 64 * MIB;) {
    const { drains } = end.sink
    written += 64 * KIB
    if (end.write(Buffer.alloc(64 * KIB))) continue
    for (let i = 0; i < 200 && end.sink.drains === drains; i++) await turns(1)
    if (end.sink.drains === drains) return written
    if (end.link.unconfirmed > 0) throw new Error("onDrain before all of it has left")
  }
  throw new Error("a paused reader does not hold back the writer")
}

t.test("a reader that pauses stops the writer once the window is full, and each wait ends once", async (t) => {
  const [near, far] = await pair(t)
  let total = 0
  for (let round = 0; round < 4; round++) {
    far.link.pause()
    const before = far.sink.bytes
    const written = await stall(near)
    t.ok(written <= 3 * MIB, `${written} bytes wait on the way`)
    total += written
    t.ok(near.link.unconfirmed > 0 && near.link.unconfirmed <= 64 * KIB, "the last piece is unconfirmed")
    t.ok(far.sink.bytes - before <= 256 * KIB)
    const { drains } = near.sink
    far.link.resume()
    await far.got(total)
    await near.sink.until("onDrain", () => near.sink.drains > drains)
    await turns()
    t.equal(near.sink.drains, drains + 1)
    t.equal(near.link.unconfirmed, 0)
  }
  near.write(Buffer.from("small"))
  await far.got(total + 5)
  t.strictSame([...near.sink.breaches, ...far.sink.breaches], [])
})

t.test("a reader that pauses with each chunk it gets holds back the writer just as well", async (t) => {
  const [near, far] = await pair(t)
  far.sink.onChunk = () => far.link.pause()
  far.link.pause()
  let written = await stall(near)
  for (let round = 0; round < 6; round++) {
    const { bytes } = far.sink
    far.link.resume()
    await far.got(bytes + 1)
    // One that is never stopped gets to 16 MiB, where the stream breaks off.
    written += await stall(near)
    t.ok(written - far.sink.bytes <= 3 * MIB, `${written - far.sink.bytes} bytes wait on the way`)
  }
  t.equal(far.sink.closes + near.sink.closes, 0)
  far.sink.onChunk = undefined
  far.link.resume()
  await far.got(written)
})

t.test("streams of one connection share what may be under way, so that none waits long behind another", async (t) => {
  const [here, there] = await Promise.all([createNode([]), createNode()])
  t.teardown(() => Promise.all([here.stop(), there.stop()]))
  const bench = new Bench(libp2p({ node: here }), libp2p({ node: there }))
  t.teardown(() => bench.dispose())
  const { address } = await bench.listen("#shared")
  const [end, other] = await bench.pair(address)
  const [stream] = there.getConnections()[0]!.streams as unknown as [{ getRTT(): number }]
  // Yamux opens a window as far as it may where little time passes between two reports, against a round trip.
  stream.getRTT = () => 1000
  let total = 0
  const underWay = async (): Promise<number> => {
    for (const most = total + 8 * MIB; total < most;) {
      total += 256 * KIB
      end.write(Buffer.alloc(256 * KIB))
      await other.got(total)
    }
    other.link.pause()
    const written = await stall(end)
    total += written
    other.link.resume()
    await other.got(total)
    return written
  }
  const alone = await underWay()
  t.ok(alone > 640 * KIB && alone <= 1.25 * MIB, `${alone} bytes alone`)
  for (let more = 0; more < 3; more++) await bench.pair(address)
  const four = await underWay()
  t.ok(four <= 512 * KIB, `${four} bytes where four share it`)
})

t.test("a stream has the window that its connection's length asks for, within what the node's owner allows", (t) => {
  const windowFor = (streams: number, ms: number, { place = "/ip4/10.0.0.5/tcp/1", most = 16 * MIB } = {}): number => {
    const stream = { maxStreamWindowSize: most, getRTT: () => ms, sendPause() {}, sendResume() {} }
    const connection = { remoteAddr: place, streams: Array.from({ length: streams }) }
    windowOf(stream as unknown as Libp2pStream, connection as unknown as Libp2pConnection)
    return stream.maxStreamWindowSize
  }
  t.equal(windowFor(1, 0), MIB)
  t.equal(windowFor(3, 0), Math.floor(MIB / 3))
  t.equal(windowFor(1000, -1), 256 * KIB)
  t.equal(windowFor(1000, 20), 640 * KIB)
  t.equal(windowFor(1000, 500), MIB)
  t.equal(windowFor(1000, 500, { place: "/ip4/127.0.0.1/tcp/1" }), 256 * KIB, "no way is long on one host")
  t.equal(windowFor(1, 500, { most: 100_000 }), 100_000)
  t.equal(windowOf({} as Libp2pStream, {} as Libp2pConnection), undefined, "another muxer's streams")

  let ms = 500
  const stream = { maxStreamWindowSize: 16 * MIB, getRTT: () => ms, sendPause() {}, sendResume() {} }
  const connection = { remoteAddr: "/ip4/10.0.0.5/tcp/1", streams: Array.from({ length: 9 }) }
  const window = windowOf(stream as unknown as Libp2pStream, connection as unknown as Libp2pConnection)!
  ms = 2
  window.open()
  ms = 500
  window.open()
  t.equal(stream.maxStreamWindowSize, 256 * KIB, "what took longer later was busy, and is no further away")
  t.end()
})

t.test("frames of one byte for a reader that pauses: they cost little more than they say", async (t) => {
  const [end, stream] = await withStream(t, systemClock)
  end.link.pause()
  await turns()
  const { muxer } = far.getConnections(near.peerId)[0] as unknown as Muxed
  const { streamId } = stream as unknown as { streamId: number }
  // As Yamux frames them, many to a message of Noise: version, type and flags 0, the stream, the length, a byte of data.
  const [count, each] = [200_000, 5000]
  for (let sent = 0; sent < count; sent += each) {
    const frames = new Uint8Array(each * 13)
    const view = new DataView(frames.buffer)
    for (let n = 0; n < each; n++) {
      view.setUint32(n * 13 + 4, streamId)
      view.setUint32(n * 13 + 8, 1)
      view.setUint8(n * 13 + 12, sent / each)
    }
    if (!muxer.maConn.send(frames)) await once(muxer.maConn as unknown as EventTarget, "drain")
  }
  // Behind all of that.
  await near
    .getConnections(far.peerId)[0]!
    .newStream("/earshot/zmtp/1.0.0/nobody")
    .catch(() => {})
  end.link.resume()
  await end.got(count)
  t.ok(end.sink.chunks.length < 100, `they were kept in ${end.sink.chunks.length} pieces`)
  const memory = new Set(end.sink.chunks.map(({ buffer }) => buffer))
  const kept = [...memory].reduce((sum, { byteLength }) => sum + byteLength, 0)
  t.ok(kept < 4 * count, `of ${kept} bytes`)
  t.ok(end.sink.data.equals(Buffer.from(Array.from({ length: count }, (_, n) => Math.floor(n / each)))))
})

t.test("who the other side is has been proven", async (t) => {
  const [dialled, accepted] = await pair(t)
  t.equal(dialled.link.identity?.userId, far.peerId.toString())
  t.equal(accepted.link.identity?.userId, near.peerId.toString())
  t.ok(dialled.link.secure && accepted.link.secure)
  t.notOk(dialled.link.shares)
  t.equal(dialled.link.remote.split("/p2p/")[0], `libp2p://${far.getMultiaddrs()[0]!.toString().split("/p2p/")[0]}`)

  const { remotePeer, remoteAddr, streams } = near.getConnections(far.peerId)[0]!
  const plain = { remotePeer, remoteAddr, streams, encryption: "/plaintext/2.0.0" } as unknown as Libp2pConnection
  const link = linkOver(streams[0] as unknown as Libp2pStream, plain, "a", systemClock, () => {})
  t.strictSame([link.identity, link.secure], [undefined, false], "but not where nothing is encrypted")
  link.destroy()
})

t.test("a reset is an error, behind the bytes that had come, paused or not", async (t) => {
  for (const paused of [false, true]) {
    const [end, other] = await pair(t)
    if (paused) end.link.pause()
    other.write(Buffer.from("bytes"))
    await (paused ? turns() : end.got(5))
    other.link.destroy()
    await end.closed()
    t.match(end.sink.error, { code: "ECONNRESET" })
    t.equal(end.sink.data.toString(), "bytes")
  }
})

t.test("a connection that dies is an error for both, and the next dial makes another", async (t) => {
  const [end, other, bench] = await pair(t)
  other.link.pause()
  end.fill(Buffer.alloc(300 * KIB))
  const { unconfirmed } = end.link
  t.ok(unconfirmed > 0)
  for (const connection of near.getConnections(far.peerId)) connection.abort(new Error("the cable"))
  await Promise.all([end.closed(), other.closed()])
  t.match(end.sink.error, { code: "ECONNRESET" })
  t.match(other.sink.error, { code: "ECONNRESET" })
  t.equal(end.link.unconfirmed, unconfirmed)
  const [again, there] = await bench.pair(bench.listeners[0]!.address)
  again.write(Buffer.from("back"))
  await there.got(4)
})

t.test("a peer that never ends does not keep a closed link", async (t) => {
  const clock = virtualClock()
  await far.handle("/earshot/zmtp/1.0.0/deaf", () => {})
  t.teardown(() => far.unhandle("/earshot/zmtp/1.0.0/deaf"))
  const bench = new Bench(libp2p({ node: near }), undefined, { clock })
  t.teardown(() => bench.dispose())
  const end = bench.end(await bench.dial(`${far.getMultiaddrs()[0]!.toString()}#deaf`)).start()
  await turns()
  end.write(Buffer.from("bye"))
  end.link.close()
  await turns()
  await clock.advance(999)
  t.equal(end.sink.closes, 0)
  await clock.advance(1)
  await end.closed()
  t.equal(end.sink.error, undefined)
  t.equal(clock.timers, 0)
})

interface Muxed {
  readonly muxer: { readonly maConn: { send(bytes: Uint8Array): boolean } }
}
type Stream = Awaited<ReturnType<Libp2p["dialProtocol"]>>

/** A link to a bare stream of the other node, that does what a peer should not. */
async function withStream(t: Test, clock: Clock = virtualClock()): Promise<[End, Stream]> {
  const name = `bare-${++bare}`
  const protocol = `/earshot/zmtp/1.0.0/${name}`
  const taken = new Promise<Stream>((resolve) => void far.handle(protocol, resolve))
  t.teardown(() => far.unhandle(protocol))
  const bench = new Bench(libp2p({ node: near }), undefined, { clock })
  t.teardown(() => bench.dispose())
  const end = bench.end(await bench.dial(`${far.getMultiaddrs()[0]!.toString()}#${name}`))
  await turns()
  return [end.start(), await within("the stream", taken)]
}
let bare = 0

t.test("a link that wrote much waits longer, lest it be lost", async (t) => {
  const clock = virtualClock()
  const [end, stream] = await withStream(t, clock)
  stream.pause()
  const written = await stall(end)
  end.link.close()
  await turns()
  await clock.advance(60_000)
  t.equal(end.sink.closes, 0, "how long it may take to get rid of it is not the link's to say")
  let received = 0
  stream.addEventListener("message", ({ data }) => (received += data.byteLength))
  const ended = new Promise((resolve) => stream.addEventListener("remoteCloseWrite", resolve))
  stream.resume()
  await within("our end", ended)
  t.equal(received, written, "all of it, and then the end")
  await clock.advance(20_000)
  const alive = new Promise<void>((resolve) => Object.assign(end.sink, { onAlive: resolve }))
  stream.send(Buffer.from("are you there?"))
  await within("a sign of life", alive)
  await clock.advance(29_999)
  t.equal(end.sink.closes, 0, "30 s from the peer's last sign of life")
  const reset = new Promise((resolve) => stream.addEventListener("close", resolve))
  await clock.advance(1)
  await end.closed()
  t.equal(end.sink.error, undefined)
  await within("a reset", reset)
  t.equal(clock.timers, 0)
})

t.test("a peer that has ended and never reads does not keep the link", async (t) => {
  const clock = virtualClock()
  const [end, stream] = await withStream(t, clock)
  stream.pause()
  await stall(end)
  const { unconfirmed } = end.link
  t.ok(unconfirmed > 0)
  await stream.close()
  await end.closed()
  t.equal(end.sink.error, undefined, "it ended in good order")
  t.equal(end.link.unconfirmed, unconfirmed, "what it did not take is known")
  t.equal(stream.status, "open")
  await clock.advance(1000)
  await until("the stream's end", () => stream.status === "reset")
  t.equal(clock.timers, 0)
})

t.test("a peer that breaks off a flush is an error", async (t) => {
  const [end, stream] = await withStream(t)
  stream.pause()
  await stall(end)
  end.link.close()
  stream.abort(new Error("enough"))
  await end.closed()
  t.match(end.sink.error, { code: "ECONNRESET" })
  t.ok(end.link.unconfirmed > 0)
})

t.test("a half-close that comes with the last bytes is an orderly end behind them", async (t) => {
  for (const paused of [false, true]) {
    const [end, stream] = await withStream(t, systemClock)
    if (paused) end.link.pause()
    stream.send(Buffer.alloc(100 * KIB))
    stream.send(Buffer.from("last words"))
    await stream.close()
    await turns()
    if (paused) {
      t.equal(end.sink.closes, 0, "not before it is read")
      end.link.resume()
    }
    await end.closed()
    t.equal(end.sink.error, undefined)
    t.equal(end.sink.data.subarray(100 * KIB).toString(), "last words")
    await until("our end", () => stream.status === "closed")
  }
})

t.test("streams are limited for each name, on either side", async (t) => {
  const few = new Bench(libp2p({ node: near, maxStreams: 2 }), libp2p({ node: far }))
  t.teardown(() => few.dispose())
  const { address } = await few.listen("#*")
  const [first] = await few.pair(address)
  await few.pair(address)
  await t.rejects(few.dial(address), { code: "LIMIT" }, "the one that dials")
  first.link.close()
  await first.closed()
  t.equal((await few.pair(address)).length, 2, "one that has ended makes room")

  const narrow = new Bench(libp2p({ node: near }), libp2p({ node: far, maxStreams: 2 }))
  t.teardown(() => narrow.dispose())
  const other = await narrow.listen("#*")
  const [kept] = await narrow.pair(other.address)
  await narrow.pair(other.address)
  const third = narrow.end(await narrow.dial(other.address)).start()
  await third.closed()
  t.match(third.sink.error, { code: "ECONNRESET" }, "the one that listens")
  t.equal(kept.sink.closes, 0)
})

t.test("a peer id alone is enough where the node knows the way", async (t) => {
  const [, , bench] = await pair(t)
  const [, name] = bench.listeners[0]!.address.split("#")
  const [end, other] = await bench.pair(`/p2p/${far.peerId.toString()}#${name}`)
  end.write(Buffer.from("there"))
  await other.got(5)
})

t.test("a port where something else answers, or nothing does", async (t) => {
  const fresh = await createNode([])
  t.teardown(() => fresh.stop())
  const dial = async (greet: string, signal: AbortSignal): Promise<unknown> => {
    const sockets: Socket[] = []
    const server = createServer((socket) => void sockets.push(socket.on("error", () => {}))).listen(0, "127.0.0.1")
    server.on("connection", (socket: Socket) => void (greet !== "" && socket.end(greet)))
    await once(server, "listening")
    t.teardown(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const address = `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}/p2p/${STRANGER}#a`
    return libp2p({ node: fresh }).dial(address, options, signal)
  }
  const never = new AbortController().signal
  await t.rejects(dial("HTTP/1.1 400 Bad Request\r\n\r\n".repeat(50), never), { code: /^(EHOSTUNREACH|ECONNRESET)$/ })
  const abort = new AbortController()
  const silent = dial("", abort.signal)
  await turns()
  abort.abort(new EarshotError("ETIMEDOUT", "the dialer's own"))
  await t.rejects(within("the silent one", silent), { code: "ETIMEDOUT" })
})

t.test("addresses", (t) => {
  const transport = libp2p({ node: near })
  for (const bad of [
    "",
    "#",
    "name",
    "#a#b",
    "#a b",
    `#${"x".repeat(65)}`,
    "/ip4/1.2.3.4/tcp/1#a",
    "/p2p/#a",
    "p2p/a#a",
  ])
    t.throws(() => transport.check(bad, "bind"), { code: "EINVAL" }, bad)
  for (const bad of ["#a", `/p2p/${STRANGER}#*`, `/ip4/1.2.3.4/tcp/1#a`, `/p2p/${STRANGER}`])
    t.throws(() => transport.check(bad, "connect"), { code: "EINVAL" }, bad)
  for (const good of [`/p2p/${STRANGER}#a`, `/ip4/1.2.3.4/tcp/1/p2p/Qm1/p2p-circuit/p2p/${STRANGER}#a.b-c_d~1`])
    t.equal(transport.check(good, "connect"), good)
  t.throws(() => libp2p({ node: near, keyFile: "x" }), { code: "EINVAL" })
  t.throws(() => libp2p({ maxStreams: 0 }), { code: "EINVAL" })
  for (const none of [null, {}]) t.throws(() => libp2p({ node: none as unknown as Libp2pNode }), { code: "EINVAL" })
  t.throws(() => libp2p({ listen: "/ip4/127.0.0.1/tcp/0" as unknown as string[] }), { code: "EINVAL" })
  t.end()
})

t.test("what can't be reached is refused for what it is", async (t) => {
  const [, , bench] = await pair(t)
  const place = far.getMultiaddrs()[0]!.toString().split("/p2p/")[0]!
  // Nothing is open yet between these two: else the connection to the right peer is the way.
  const fresh = await createNode([])
  t.teardown(() => fresh.stop())
  const dial = (address: string, node = fresh): Promise<unknown> =>
    libp2p({ node }).dial(address, options, new AbortController().signal)
  await t.rejects(dial(`${place}/p2p/${STRANGER}#a`), { code: "EHOSTUNREACH" }, "another peer")
  await t.rejects(dial(`${place}/p2p/${far.peerId.toString()}#nobody`), { code: "ECONNREFUSED" }, "no such name")
  await t.rejects(dial(`/p2p/${STRANGER}#a`), { code: "EHOSTUNREACH" }, "no way known")
  await t.rejects(dial(`/ip4/1.2.3.4.5/tcp/1/p2p/${STRANGER}#a`), { code: "EINVAL" }, "no multiaddr")
  await t.rejects(dial(`${place}/p2p/${far.peerId.toString()}#a`, far), { code: "EINVAL" }, "itself")
  await t.rejects(bench.listen(`/p2p/${STRANGER}#a`), { code: "EADDRNOTAVAIL" }, "another's name")
  await fresh.stop()
  await t.rejects(dial(`${place}/p2p/${far.peerId.toString()}#a`), { code: "EADDRNOTAVAIL" }, "a stopped node")
})

t.test("a node of ours: made when needed, with a key that lasts, and stopped", async (t) => {
  const folder = t.testdir({ broken: "no key" })
  const keyFile = `${folder}/key`
  const transport = libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"], keyFile })
  const bench = new Bench(libp2p({ node: near }), transport)
  const { address } = await bench.listen("#mine")
  const [end, other] = await bench.pair(address)
  end.write(Buffer.from("here"))
  await other.got(4)
  await bench.dispose()

  t.equal(statSync(keyFile).mode & 0o777, 0o600)
  const again = new Bench(libp2p({ node: near }), libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"], keyFile }))
  const second = await again.listen("#mine")
  const idOf = (address: string): string => /p2p\/(\w+)#/.exec(address)![1]!
  t.equal(idOf(second.address), idOf(address), "the same peer id")
  await again.dispose()

  const atOnce = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const one = new Bench(
        libp2p({ node: near }),
        libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"], keyFile: `${folder}/shared` }),
      )
      t.teardown(() => one.dispose())
      return idOf((await one.listen("#a")).address)
    }),
  )
  t.equal(new Set(atOnce).size, 1, "of many that make it at once all have the same")
  t.strictSame(readdirSync(folder).sort(), ["broken", "key", "shared"], "and leave nothing else")

  const broken = new Bench(libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"], keyFile: `${folder}/broken` }))
  t.teardown(() => broken.dispose())
  await t.rejects(broken.listen("#a"), { code: "EINVAL", message: /\bbroken is no private key/ })
  for (const half of ["", readFileSync(keyFile).subarray(0, 40)]) {
    writeFileSync(`${folder}/broken`, half)
    await t.rejects(broken.listen("#a"), { code: "EINVAL" }, "torn")
  }
  copyFileSync(keyFile, `${folder}/broken`)
  t.equal(idOf((await broken.listen("#a")).address), idOf(address), "once it is mended, it is read")
  for (const bad of [folder, "/dev/zero"]) {
    const never = new Bench(libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"], keyFile: bad }))
    await t.rejects(within(bad, never.listen("#a")), { code: "EINVAL", message: /no file with a key/ }, bad)
  }
  const nowhere = new Bench(libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"], keyFile: `${folder}/no/such/folder` }))
  await t.rejects(nowhere.listen("#a"), { code: "ENOENT", message: /no.such.folder/ })
  await t.rejects(new Bench(libp2p()).listen("#a"), { code: "EINVAL" }, "it must listen somewhere")
  const dialler = new Bench(libp2p())
  await t.rejects(dialler.dial(`/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}#a`), { code: "ECONNREFUSED" })
})

t.test("a node of ours that can't listen where it is to", async (t) => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const busy = `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`
  const bench = new Bench(libp2p({ listen: ["/ip4/127.0.0.1/tcp/0", busy] }))
  t.teardown(() => bench.dispose())
  await t.rejects(bench.listen("#a"), { code: "EADDRINUSE" })
  await t.rejects(new Bench(libp2p({ listen: ["here"] })).listen("#a"), { code: "EINVAL" })
  server.close()
  await once(server, "close")
  await bench.listen("#a")
})

t.test("a dial that is aborted while its node is made ends at once", async (t) => {
  const order: string[] = []
  const transport = libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"] })
  const bench = new Bench(transport)
  t.teardown(() => bench.dispose())
  const abort = new AbortController()
  const dialled = bench.dial(`/ip4/127.0.0.1/tcp/1/p2p/${STRANGER}#a`, abort.signal)
  const made = bench.listen("#a").then(() => order.push("made"))
  abort.abort(new EarshotError("ECANCELED", "closed"))
  await t.rejects(dialled, { code: "ECANCELED", message: "closed" })
  order.push("rejected")
  await made
  t.strictSame(order, ["rejected", "made"])
})
