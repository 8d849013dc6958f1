import t from "tap"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import * as net from "node:net"
import { networkInterfaces } from "node:os"
import type { Test } from "tap"
import { systemClock } from "../../lib/clock.ts"
import type { Link } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { race, tcp } from "../../transports/tcp.ts"
import { transportConformance } from "../conformance/transport.ts"
import { within } from "../support/sockets.ts"
import { virtualClock, type VirtualClock } from "../support/virtual-clock.ts"
import { Bench } from "./bench.ts"
import { type End, turns } from "./recorder.ts"

transportConformance(t, {
  name: "tcp",
  create: tcp,
  wildcard: "127.0.0.1:*",
  nobody: "127.0.0.1:1",
  alone: "refused",
  malformed: "127.0.0.1",
  module: { url: new URL("../../transports/tcp.ts", import.meta.url), factory: "tcp" },
})

const linux = process.platform === "linux" ? false : "for Linux"

function bench(t: Test, clock = systemClock): Bench {
  const made = new Bench(tcp(), undefined, { clock })
  systemClock.hold()
  t.teardown(async () => {
    await made.dispose()
    systemClock.release()
  })
  return made
}

t.test("addresses that can work", async (t) => {
  const transport = tcp()
  const check = (address: string, side: "bind" | "connect"): string => transport.check(address, side)
  for (const [address, side, normal = address] of [
    ["127.0.0.1:5555", "both"],
    ["127.0.0.1:05555", "both", "127.0.0.1:5555"],
    ["*:5555", "bind"],
    ["*:*", "bind"],
    ["*:0", "bind", "*:*"],
    ["127.0.0.1:0", "bind", "127.0.0.1:*"],
    ["localhost:5555", "both"],
    ["a-b.example.org.:65535", "both"],
    ["bücher.example:1", "both"],
    ["constructor:1", "both"],
    ["[::1]:5555", "both"],
    ["[::]:*", "bind"],
    ["[0:0:0:0:0:0:0:1]:1", "both", "[::1]:1"],
    ["[FE80::1%eth0]:5555", "both", "[fe80::1%eth0]:5555"],
    ["eth0.100:5555", "both"],
    ["192.168.1.17:5555;192.168.1.1:5555", "connect"],
    ["192.168.1.17:0;192.168.1.1:5555", "connect", "192.168.1.17:*;192.168.1.1:5555"],
    ["*:*;192.168.1.1:5555", "connect"],
    ["*:1234;192.168.1.1:5555", "connect"],
    ["eth0:*;example.org:5555", "connect"],
    ["[::1]:*;[::1]:5555", "connect"],
  ] as const)
    for (const each of ["bind", "connect"] as const)
      if (side === "both" || side === each) {
        t.equal(check(address, each), normal, `${each} ${address}`)
        t.equal(check(normal, each), normal)
      }
})

t.test("addresses that never can", async (t) => {
  const transport = tcp()
  const check = (address: string, side: "bind" | "connect"): string => transport.check(address, side)
  for (const [address, side] of [
    ["", "both"],
    [":", "both"],
    ["127.0.0.1", "both"],
    ["127.0.0.1:", "both"],
    [":5555", "both"],
    ["127.0.0.1:65536", "both"],
    ["127.0.0.1:99999", "both"],
    ["127.0.0.1:100000", "both"],
    ["127.0.0.1:-1", "both"],
    ["127.0.0.1:+1", "both"],
    ["127.0.0.1: 1", "both"],
    ["127.0.0.1:1 ", "both"],
    ["127.0.0.1:0x50", "both"],
    ["127.0.0.1:1e3", "both"],
    ["127.0.0.1:http", "both"],
    ["127.0.0.1:**", "both"],
    ["127.0.0.256:1", "both"],
    ["127.1:1", "both"],
    ["1:1", "both"],
    ["::1:5555", "both"],
    ["[::1]", "both"],
    ["[::1]5555", "both"],
    ["[::1:5555", "both"],
    ["::1]:5555", "both"],
    ["[[::1]]:5555", "both"],
    ["[]:5555", "both"],
    ["[*]:5555", "both"],
    ["[127.0.0.1]:5555", "both"],
    ["[::g]:5555", "both"],
    ["[::1%]:5555", "both"],
    ["[::1%a%b]:5555", "both"],
    ["[::1%a b]:5555", "both"],
    ["ho st:1", "both"],
    ["-host:1", "both"],
    ["host/path:1", "both"],
    ["user@host:1", "both"],
    [`${"x".repeat(254)}:1`, "both"],
    ["*:1234", "connect"],
    ["*:*", "connect"],
    ["127.0.0.1:*", "connect"],
    ["127.0.0.1:0", "connect"],
    ["127.0.0.1:1;127.0.0.1:*", "connect"],
    ["127.0.0.1:1;*:1", "connect"],
    [";127.0.0.1:1", "both"],
    ["127.0.0.1:1;", "both"],
    ["127.0.0.1;127.0.0.1:1", "both"],
    ["127.0.0.1:1;127.0.0.1:1;127.0.0.1:1", "both"],
    ["127.0.0.1:1;127.0.0.1:1", "bind"],
  ] as const)
    for (const each of ["bind", "connect"] as const)
      if (side === "both" || side === each) {
        t.throws(() => check(address, each), { code: "EINVAL" }, `${each} ${address}`)
        t.throws(() => check(address, each), EarshotError)
      }
})

t.test("places to bind, and how to reach them", async (t) => {
  const made = bench(t)
  const link6 = networkInterfaces().eth0?.find(({ address }) => address.startsWith("fe80:"))?.address
  for (const [address, pattern, reach] of [
    ["*:*", /^0\.0\.0\.0:\d+$/, (port: string) => `127.0.0.1:${port}`],
    ["*:*", /^0\.0\.0\.0:\d+$/, undefined],
    ["[::]:*", /^\[::\]:\d+$/, (port: string) => `127.0.0.1:${port}`],
    ["[::]:*", /^\[::\]:\d+$/, undefined],
    ["[::1]:*", /^\[::1\]:\d+$/, undefined],
    ["localhost:*", /^127\.0\.0\.1:\d+$/, (port: string) => `localhost:${port}`],
    ...(linux === false
      ? ([
          ["lo:*", /^127\.0\.0\.1:\d+$/, undefined],
          ["[::1%lo]:*", /^\[::1\]:\d+$/, (port: string) => `[::1%lo]:${port}`],
        ] as const)
      : []),
    ...(link6 === undefined ? [] : ([[`[${link6}%eth0]:*`, /^\[fe80::.*%eth0\]:\d+$/, undefined]] as const)),
  ] as const) {
    const bound = (await made.listen(address)).address
    t.match(bound, pattern, address)
    const [near, far] = await made.pair(reach === undefined ? bound : reach(/\d+$/.exec(bound)![0]))
    near.write(Buffer.from("hello"))
    await far.got(5)
    t.match(near.link.remote, /^tcp:\/\/.*:\d+$/)
    t.notMatch(near.link.remote + far.link.remote, "ffff", "IPv4 is IPv4, on a listener for both, too")
  }
})

t.test("places that can't be bound", async (t) => {
  const made = bench(t)
  for (const [address, code] of [
    ["nosuchif0:*", "ENODEV"],
    ["no-such-host.invalid:*", "ENODEV"],
    ["constructor:*", "ENODEV"],
    ["203.0.113.1:*", "EADDRNOTAVAIL"],
    ["[2001:db8::1]:*", "EADDRNOTAVAIL"],
  ] as const)
    await t.rejects(made.listen(address), { code }, address)
  const { address } = await made.listen("*:*")
  await t.rejects(made.listen(address), { code: "EADDRINUSE" })
  await t.rejects(made.listen(address.replace("0.0.0.0", "127.0.0.1")), { code: "EADDRINUSE" }, "part of what is taken")
  await t.rejects(made.dial("no-such-host.invalid:5555"), { code: "ENOTFOUND" })
})

t.test("a link may come from an address of choice", { skip: linux }, async (t) => {
  const made = bench(t)
  const { address } = await made.listen("127.0.0.1:*")
  const from = async (source: string): Promise<string> => {
    const [, far] = await made.pair(`${source};${address}`)
    return far.link.remote
  }
  t.match(await from("127.0.0.2:0"), /^tcp:\/\/127\.0\.0\.2:\d+$/)
  t.match(await from("127.0.0.3:*"), /^tcp:\/\/127\.0\.0\.3:\d+$/)
  t.match(await from("lo:*"), /^tcp:\/\/127\.0\.0\.1:\d+$/)
  const free = /\d+$/.exec(await from("127.0.0.2:0"))![0]
  t.equal(await from(`127.0.0.4:${free}`), `tcp://127.0.0.4:${free}`)
  await t.rejects(from(`127.0.0.4:${free}`), { code: /EADDRINUSE|EADDRNOTAVAIL/ }, "the same way twice")
  await t.rejects(from("nosuchif0:*"), { code: "ENODEV" })
  await t.rejects(from("localhost:*"), { code: "ENODEV" }, "a source is never looked up")
  await t.rejects(from("[::1]:*"), { code: "EADDRNOTAVAIL" }, "of the other family")
  await t.rejects(from("203.0.113.1:*"), { code: "EADDRNOTAVAIL" })
  const { address: six } = await made.listen("[::1]:*")
  const [, far] = await made.pair(`lo:*;${six}`)
  t.match(far.link.remote, /^tcp:\/\/\[::1\]:\d+$/, "the interface's address of the right family")
})

t.test("only remote addresses count as hosts", { skip: linux }, async (t) => {
  const own = Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .find(({ internal, family }) => !internal && family === "IPv4")?.address
  if (own === undefined) return void t.pass("there is no other interface here")
  const made = bench(t)
  const [near, far] = await made.pair((await made.listen(`${own}:*`)).address)
  t.strictSame([near.link.host, far.link.host], [own, own])
})

t.test("keepalive", { skip: linux }, async (t) => {
  // The tenth field of /proc/net/tcp begins with 02 where a keepalive timer runs, and ends with when it goes off.
  const timers = (port: string): string[] => {
    const hex = Number(port).toString(16).toUpperCase().padStart(4, "0")
    return readFileSync("/proc/net/tcp", "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, remote, state]) => state === "01" && `${local} ${remote}`.includes(`:${hex}`))
      .map((fields) => fields[5] ?? "")
  }
  for (const [keepalive, seconds] of [
    [-1, undefined],
    [0, undefined],
    [100, 1],
    [15_000, 15],
  ] as const) {
    const made = new Bench(tcp(), undefined, { keepalive })
    const { address } = await made.listen("127.0.0.1:*")
    await made.pair(address)
    const found = timers(/\d+$/.exec(address)![0])
    t.equal(found.length, 2)
    for (const timer of found) {
      t.equal(timer.startsWith("02:"), seconds !== undefined, `keepalive ${keepalive}: ${timer}`)
      const left = Number.parseInt(timer.slice(3), 16) / 100
      if (seconds !== undefined) t.ok(left > seconds - 1 && left <= seconds, `${left} s`)
    }
    await made.dispose()
  }
})

/** A link of ours, accepted, and the bare socket that dialled it. */
async function withSocket(t: Test, clock: VirtualClock): Promise<[End, net.Socket]> {
  const made = bench(t, clock)
  const { address } = await made.listen("127.0.0.1:*")
  const [host, port] = address.split(":")
  const socket = net.connect({ host: host!, port: Number(port), allowHalfOpen: true })
  socket.on("error", () => {})
  t.teardown(() => socket.destroy())
  await once(socket, "connect")
  return [made.end(await made.take()), socket]
}

t.test("a reset is an error", async (t) => {
  for (const early of [false, true]) {
    const [end, socket] = await withSocket(t, virtualClock())
    if (!early) end.start()
    // Not at once: what Node reads together with a reset it takes for an orderly end.
    socket.write("bytes")
    await (early ? turns() : end.got(5))
    socket.resetAndDestroy()
    if (early) {
      await turns()
      end.start()
    }
    await end.closed()
    t.match(end.sink.error, { code: "ECONNRESET" })
    t.ok(end.sink.error instanceof EarshotError)
    t.equal(end.sink.data.toString(), "bytes", "behind the bytes that had come")
  }
})

t.test("a peer that never ends does not keep a closed link", async (t) => {
  const clock = virtualClock()
  const [end, socket] = await withSocket(t, clock)
  end.start().write(Buffer.from("bye"))
  end.link.close()
  socket.resume()
  await once(socket, "end")
  await clock.advance(999)
  t.equal(end.sink.closes, 0)
  await clock.advance(1)
  await end.closed()
  t.equal(end.sink.error, undefined)
  t.equal(clock.timers, 0)
})

t.test("a link that wrote much waits longer, lest it be lost", async (t) => {
  const clock = virtualClock()
  const [end, socket] = await withSocket(t, clock)
  end.start()
  socket.pause()
  // Deno's sockets take nothing at once: the first is large enough by itself.
  let written = 131_072
  while (end.write(Buffer.alloc(131_072)) && written < 2_000_000) written += 131_072
  end.link.close()
  await turns()
  await clock.advance(20_000)
  // A byte that met a closed socket would be answered by a reset, which throws away what is still on its way.
  const alive = new Promise<void>((resolve) => Object.assign(end.sink, { onAlive: resolve }))
  socket.write("are you there?")
  await within("a sign of life", alive)
  let received = 0
  socket.on("data", (data: Buffer) => (received += data.length)).resume()
  await once(socket, "end")
  t.equal(received, written)
  await turns()
  await clock.advance(29_999)
  t.equal(end.sink.closes, 0, "30 s from the peer's last sign of life")
  await clock.advance(1)
  await end.closed()
})

t.test("a peer that has ended and never reads does not keep the link", async (t) => {
  const clock = virtualClock()
  const [end, socket] = await withSocket(t, clock)
  socket.pause()
  end.start().fill(Buffer.alloc(65_536))
  const { unconfirmed } = end.link
  t.ok(unconfirmed > 0)
  socket.end()
  await end.closed()
  t.equal(end.sink.error, undefined, "it ended in good order")
  t.equal(end.link.unconfirmed, unconfirmed, "what it did not take is known")
  t.equal(clock.timers, 1)
  await clock.advance(1000)
  await turns()
  t.equal(clock.timers, 0, "the socket is gone a little later")
  t.equal(end.sink.drains, 0)
})

t.test("a peer that breaks off a flush is an error", async (t) => {
  const [end, socket] = await withSocket(t, virtualClock())
  socket.pause()
  end.start().fill(Buffer.alloc(65_536))
  end.link.close()
  socket.resetAndDestroy()
  await end.closed()
  t.match(end.sink.error, { code: "ECONNRESET" })
  t.ok(end.link.unconfirmed > 0)
})

t.test("a write that fails does not cost what has come before", async (t) => {
  // The peer says its last words and is gone; we, busy, have not read them when our write is answered by a reset.
  const [end, socket] = await withSocket(t, virtualClock())
  end.start()
  await turns()
  end.link.pause()
  const words = Buffer.alloc(60_000, 7)
  await new Promise<void>((resolve) => socket.end(words, resolve))
  socket.destroy()
  await turns()
  for (let i = 0; i < 5; i++) {
    end.write(Buffer.from("PING"))
    await turns()
  }
  t.notOk(end.write(Buffer.from("PING")), "it is over for writing")
  end.link.resume()
  await end.closed()
  t.equal(end.sink.bytes, words.length)
})

t.test("several addresses race, each with a head start", async (t) => {
  const clock = virtualClock({ start: 0 })
  const log: string[] = []
  const fake = (name: string): Link => ({ remote: name, destroy: () => log.push(`${name} dropped`) }) as unknown as Link
  /** Routes are `name:ms:outcome`. */
  const run = (routes: string[], signal = new AbortController().signal): Promise<Link> =>
    race(routes, clock, signal, (route, signal) => {
      const [name = "", ms, outcome] = route.split(":")
      log.push(`${name} at ${clock.now()}`)
      return new Promise((resolve, reject) => {
        const timer = clock.timeout(
          () => (outcome === "ok" ? resolve(fake(name)) : reject(new EarshotError("ECONNREFUSED", name))),
          Number(ms),
        )
        signal.addEventListener("abort", () => {
          timer.cancel()
          log.push(`${name} aborted`)
          reject(new EarshotError("ECANCELED"))
        })
      })
    })
  t.equal((await clock.until(run(["a:10:ok", "b:1:ok"]))).remote, "a")
  t.strictSame(log.splice(0), ["a at 0", "a aborted"], "the second is not needed")
  t.equal((await clock.until(run(["a:10:no", "b:10:ok"]))).remote, "b")
  t.strictSame(log.splice(0), ["a at 10", "b at 20", "a aborted", "b aborted"], "begun as soon as the first fails")
  t.equal((await clock.until(run(["a:9999:ok", "b:50:ok"]))).remote, "b")
  t.strictSame(log.splice(0), ["a at 30", "b at 280", "a aborted", "b aborted"], "or after 250 ms")
  await t.rejects(clock.until(run(["a:300:no", "b:10:no", "c:5:no"])), { code: "ECONNREFUSED", message: "b" })
  t.strictSame(log.splice(0).slice(0, 3), ["a at 330", "b at 580", "c at 590"])
  const abort = new AbortController()
  const aborted = run(["a:9999:ok", "b:9999:ok"], abort.signal)
  await clock.advance(300)
  const reason = new EarshotError("ETIMEDOUT")
  abort.abort(reason)
  t.equal(await aborted.catch((error: unknown) => error), reason)
  t.equal(clock.timers, 0)
})

t.test("who is slow with what comes shares the process: after each chunk others have their turn", async (t) => {
  const made = bench(t)
  const { address } = await made.listen("127.0.0.1:*")
  const [near, far] = await made.pair(address)
  const SIZE = 8 * 1024 * 1024
  far.sink.onChunk = () => {
    const end = performance.now() + 20
    while (performance.now() < end);
  }
  // Much of it is there before the first read.
  far.link.pause()
  for (let sent = 0; sent < SIZE; sent += 65_536) near.link.write([new Uint8Array(65_536)])
  far.link.resume()
  let [most, before] = [0, 0]
  while (before < SIZE) {
    await turns(1)
    most = Math.max(most, far.sink.bytes - before)
    before = far.sink.bytes
  }
  t.ok(most <= 131_072, `at most ${most} bytes in one turn`)
})
