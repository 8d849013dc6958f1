/**
 * What every transport must do: the contract of lib/contract.ts, `Transport`, `Listener` and `Link`, as one suite. A
 * transport's own test calls it with what can't be known from outside.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import type { Test } from "tap"
import { systemClock } from "../../lib/clock.ts"
import type { Link, Listener, Transport, TransportOptions } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { dice, End, randomBytes, splits, turns, waitFor } from "../transports/recorder.ts"

export interface TransportCase {
  readonly name: string
  readonly create: () => Transport | Promise<Transport>
  /** The transport that listens, where `create`'s can't. */
  readonly server?: () => Transport | Promise<Transport>
  readonly dispose?: (transport: Transport) => Promise<void>
  /** To bind: an address that becomes a new one each time. */
  readonly wildcard: string
  /** To dial: a good address where nobody is. */
  readonly nobody: string
  /** What a dial to nobody does. */
  readonly alone: "refused" | "waits"
  /** No address at all, for either side. */
  readonly malformed: string
  /** Module and export of `create`, for a process of its own; left out where the platform has none. */
  readonly module?: { readonly url: URL; readonly factory: string }
}

export const options: TransportOptions = { clock: systemClock, keepalive: -1, backlog: 100 }
const KIB = 1024
const MIB = 1024 * KIB

/** Both transports of a case, a listener, and whatever comes to it. */
class Bench {
  readonly accepted: Link[] = []
  readonly ends: End[] = []
  readonly errors: Error[] = []
  readonly dialler: Transport
  readonly server: Transport
  readonly listeners: Listener[] = []
  private readonly hooks = new Set<() => void>()

  constructor(dialler: Transport, server: Transport) {
    this.dialler = dialler
    this.server = server
  }

  async listen(address: string): Promise<Listener> {
    const listener = await this.server.listen!(
      address,
      options,
      (link) => {
        this.accepted.push(link)
        for (const look of this.hooks) look()
      },
      (error) => this.errors.push(error),
    )
    this.listeners.push(listener)
    return listener
  }

  dial(address: string, signal: AbortSignal = new AbortController().signal): Promise<Link> {
    return this.dialler.dial(address, options, signal)
  }

  /** The next link that the listeners take. */
  async take(): Promise<Link> {
    await waitFor("a link", () => this.accepted.length > 0, this.hooks)
    return this.accepted.shift()!
  }

  async acceptedAtLeast(count: number): Promise<void> {
    await waitFor(`${count} links`, () => this.accepted.length >= count, this.hooks)
  }

  end(link: Link): End {
    const end = new End(link)
    this.ends.push(end)
    return end
  }

  async unstarted(address: string): Promise<[End, End]> {
    const near = this.end(await this.dial(address))
    return [near, this.end(await this.take())]
  }

  /** Two ends of one link, both started. */
  async pair(address: string): Promise<[End, End]> {
    const [near, far] = await this.unstarted(address)
    return [near.start(), far.start()]
  }

  async dispose(): Promise<void> {
    for (const { link } of this.ends) link.destroy()
    for (const link of this.accepted) link.destroy()
    for (const listener of this.listeners) await listener.close()
  }
}

export function transportConformance(t: Test, about: TransportCase): void {
  t.test(`${about.name} keeps the contract of transports`, (t) => {
    const test = (name: string, body: (t: Test, bench: Bench, address: string) => Promise<void>): void => {
      void t.test(name, async (t) => {
        const dialler = await about.create()
        const server = about.server === undefined ? dialler : await about.server()
        const bench = new Bench(dialler, server)
        systemClock.hold()
        t.teardown(async () => {
          await bench.dispose()
          for (const transport of new Set([dialler, server])) await about.dispose?.(transport)
          systemClock.release()
        })
        const { address } = await bench.listen(about.wildcard)
        await body(t, bench, address)
        await turns(3)
        t.strictSame(
          bench.ends.flatMap(({ sink }) => sink.breaches),
          [],
          "every sink was called in order",
        )
        t.strictSame(bench.errors, [], "and no listener met an error")
      })
    }
    addresses(test, about)
    traffic(test)
    ends(test)
    names(test, about)
    if (about.module !== undefined) idleProcess(t, about, about.module)
    t.end()
  })
}

type Define = (name: string, body: (t: Test, bench: Bench, address: string) => Promise<void>) => void

function addresses(test: Define, about: TransportCase): void {
  test("addresses are checked without the network", async (t, { dialler, server }, address) => {
    t.equal(dialler.check(address, "connect"), address, "what a listener says it is bound to can be dialled as it is")
    t.equal(server.check(about.wildcard, "bind"), about.wildcard)
    for (const side of ["bind", "connect"] as const) {
      t.throws(() => dialler.check(about.malformed, side), { code: "EINVAL" }, side)
      t.throws(() => dialler.check(about.malformed, side), EarshotError, side)
    }
    await t.rejects(dialler.dial(about.malformed, options, new AbortController().signal), { code: "EINVAL" })
    await t.rejects(
      server.listen!(
        about.malformed,
        options,
        () => {},
        () => {},
      ),
      { code: "EINVAL" },
    )
  })

  test("a wildcard is a new address each time", async (t, bench, address) => {
    const other = await bench.listen(about.wildcard)
    t.not(other.address, address)
    const [near, far] = await bench.pair(other.address)
    near.write(Buffer.from("there"))
    await far.got(5)
  })

  test("a link says what it is", async (t, bench, address) => {
    for (const { link } of await bench.pair(address)) {
      t.ok(["zmtp", "zws", "zws-bare"].includes(link.protocol))
      t.ok(link.remote.startsWith(`${bench.dialler.scheme}://`), link.remote)
      t.equal(link.host, undefined, "limits per address mean nothing on loopback")
      t.type(link.shares, "boolean")
      t.equal(link.unconfirmed, 0)
    }
  })
}

function traffic(test: Define): void {
  test("bytes arrive both ways as they were, however they are cut", async (t, bench, address) => {
    const roll = dice(20_260_101)
    const [near, far] = await bench.pair(address)
    const there = randomBytes(3 * MIB, roll)
    const back = randomBytes(1 * MIB, roll)
    await Promise.all([
      near.writeAll(splits(there, 70 * KIB, roll)),
      far.writeAll(splits(back, 300, roll)),
      near.got(back.length),
      far.got(there.length),
    ])
    t.ok(far.sink.data.equals(there), "there")
    t.ok(near.sink.data.equals(back), "and back")
    t.equal(near.link.unconfirmed + far.link.unconfirmed, 0)
  })

  test("a delivered chunk keeps its bytes while more arrive", async (t, bench, address) => {
    const [near, far] = await bench.pair(address)
    for (let i = 0; i < 50; i++) {
      near.write(Buffer.alloc(1000, i))
      await far.got((i + 1) * 1000)
    }
    t.ok(far.sink.data.equals(Buffer.concat(Array.from({ length: 50 }, (_, i) => Buffer.alloc(1000, i)))))
    if (Buffer.isBuffer(near.sink.data)) t.ok(far.sink.chunks.every(Buffer.isBuffer), "Buffers, on Node")
  })

  test("what comes before start is held in order", async (t, bench, address) => {
    const [near, far] = await bench.unstarted(address)
    const bytes = randomBytes(200 * KIB, dice(7))
    near.write(bytes.subarray(0, 1), bytes.subarray(1, 20))
    await turns()
    near.write(bytes.subarray(20, 60))
    near.write(bytes.subarray(60))
    await turns()
    far.start()
    await far.got(bytes.length)
    t.ok(far.sink.data.equals(bytes))
    near.start()
    far.write(Buffer.from("back"))
    await near.got(4)
  })

  test("a write is not lost on a link that starts later", async (t, bench, address) => {
    const [near, far] = await bench.unstarted(address)
    const written = near.fill(Buffer.alloc(64 * KIB, 1))
    t.ok(near.link.unconfirmed > 0)
    far.start()
    await far.got(written)
    near.start()
    await near.sink.until("onDrain", () => near.sink.drains === 1)
    t.equal(near.link.unconfirmed, 0)
    await turns()
    t.equal(near.sink.drains, 1)
  })

  test("a write that says wait is followed by one onDrain", async (t, bench, address) => {
    const [near, far] = await bench.pair(address)
    let total = 0
    for (let round = 1; round <= 3; round++) {
      far.link.pause()
      total += near.fill(Buffer.alloc(64 * KIB, round))
      t.ok(near.link.unconfirmed > 0, "bytes are unconfirmed")
      await turns()
      t.equal(near.sink.drains, round - 1, "no onDrain before all of it has left")
      far.link.resume()
      await far.got(total)
      await near.sink.until("onDrain", () => near.sink.drains >= round)
      t.equal(near.link.unconfirmed, 0)
      await turns()
      t.equal(near.sink.drains, round, "one for each")
    }
    near.write(Buffer.from("small"))
    await far.got(total + 5)
    await turns()
    t.equal(near.sink.drains, 3, "and none for a write that was taken at once")
    t.equal(near.link.unconfirmed, 0)
  })

  test("a receiver that pauses pushes back and loses nothing", async (t, bench, address) => {
    const roll = dice(3)
    const [near, far] = await bench.pair(address)
    const bytes = randomBytes(8 * MIB, roll)
    let paused = 0
    far.sink.onChunk = () => {
      if (roll(10) > 0) return
      far.link.pause()
      far.link.pause()
      paused++
      setTimeout(() => {
        far.link.resume()
        far.link.resume()
      }, roll(3))
    }
    await Promise.all([near.writeAll(splits(bytes, 64 * KIB, roll)), far.got(bytes.length)])
    t.ok(paused > 0)
    t.ok(far.sink.data.equals(bytes))
    far.sink.onChunk = undefined
    far.link.pause()
    await turns()
    const before = far.sink.bytes
    near.fill(Buffer.alloc(64 * KIB))
    await turns()
    t.ok(far.sink.bytes - before <= 256 * KIB, `a paused link gives little more: ${far.sink.bytes - before} bytes`)
  })

  test("200 links at once", async (t, bench, address) => {
    const near = await Promise.all(
      Array.from({ length: 200 }, async () => bench.end(await bench.dial(address)).start()),
    )
    await bench.acceptedAtLeast(200)
    const far = bench.accepted.splice(0).map((link) => bench.end(link).start())
    near.forEach((end, i) => end.write(Buffer.from(`link ${String(i).padStart(4)}`)))
    for (const end of far) {
      await end.got(9)
      end.write(end.sink.data)
    }
    for (const [i, end] of near.entries()) {
      await end.got(9)
      t.equal(end.sink.data.toString(), `link ${String(i).padStart(4)}`)
    }
  })
}

function ends(test: Define): void {
  test("close sends 10 MB, then ends both sides in good order", async (t, bench, address) => {
    const [near, far] = await bench.pair(address)
    const bytes = randomBytes(10 * MIB, dice(10))
    near.write(...Array.from({ length: 160 }, (_, i) => bytes.subarray(i * 64 * KIB, (i + 1) * 64 * KIB)))
    near.link.close()
    far.write(Buffer.from("too late to be heard"))
    await Promise.all([far.closed(), near.closed()])
    t.ok(far.sink.data.equals(bytes))
    t.equal(near.sink.bytes, 0, "who has closed hears nothing more")
    t.equal(near.link.unconfirmed, 0)
    t.strictSame([near.sink.error, far.sink.error], [undefined, undefined])
  })

  test("close against a paused receiver ends after what it has not read", async (t, bench, address) => {
    const [near, far] = await bench.pair(address)
    far.link.pause()
    const written = near.fill(Buffer.alloc(64 * KIB, 5))
    near.link.close()
    await turns()
    t.equal(near.sink.closes, 0)
    t.equal(far.sink.closes, 0)
    far.write(Buffer.from("x"))
    far.link.resume()
    await Promise.all([far.closed(), near.closed()])
    t.equal(far.sink.bytes, written)
    t.strictSame([near.sink.error, far.sink.error], [undefined, undefined])
  })

  test("close ends a link that is paused itself, with bytes unread", async (t, bench, address) => {
    const [near, far] = await bench.pair(address)
    near.link.pause()
    far.fill(Buffer.alloc(64 * KIB, 5))
    near.write(Buffer.from("farewell"))
    near.link.close()
    await Promise.all([far.closed(), near.closed()])
    t.equal(far.sink.data.toString(), "farewell")
    t.equal(far.sink.error, undefined)
  })

  test("both sides close at once", async (t, bench, address) => {
    const [near, far] = await bench.pair(address)
    near.write(Buffer.alloc(MIB))
    far.write(Buffer.alloc(MIB))
    near.link.close()
    far.link.close()
    await Promise.all([far.closed(), near.closed()])
    t.strictSame([near.sink.bytes, far.sink.bytes], [0, 0])
  })

  test("destroy drops everything and ends both sides", async (t, bench, address) => {
    const [near, far] = await bench.pair(address)
    far.link.pause()
    near.fill(Buffer.alloc(64 * KIB))
    const { unconfirmed } = near.link
    const reason = new EarshotError("EPROTO", "why")
    near.sink.during("destroy", () => near.link.destroy(reason))
    far.link.resume()
    await Promise.all([far.closed(), near.closed()])
    t.equal(near.sink.error, reason)
    t.equal(near.sink.drains, 0)
    t.equal(near.link.unconfirmed, unconfirmed, "what had not left is still known")
    t.ok(far.sink.error === undefined || far.sink.error instanceof EarshotError)
  })

  test("a link that ends during onData says nothing more", async (t, bench, address) => {
    for (const how of ["close", "destroy"] as const) {
      const [near, far] = await bench.pair(address)
      far.sink.onChunk = () => far.link[how]()
      near.write(Buffer.alloc(200 * KIB))
      near.write(Buffer.alloc(200 * KIB))
      await Promise.all([far.closed(), near.closed()])
      t.equal(far.sink.chunks.length, 1, how)
    }
  })

  test("close and destroy in every order are one end", async (t, bench, address) => {
    const close = ({ link }: End): void => link.close()
    const destroy = ({ link }: End): void => link.destroy()
    const others = [close, destroy]
    for (const first of others)
      for (const second of others)
        for (const third of others) {
          const [near, far] = await bench.pair(address)
          near.write(Buffer.from("x"))
          first(near)
          second(near)
          await turns(2)
          third(near)
          second(far)
          await Promise.all([far.closed(), near.closed()])
          first(near)
          third(far)
          await turns()
          t.strictSame([near.sink.closes, far.sink.closes], [1, 1])
        }
  })

  test("writes after the end are swallowed", async (t, bench, address) => {
    for (const how of ["close", "destroy"] as const) {
      const [near, far] = await bench.pair(address)
      near.link[how]()
      t.ok(near.write(Buffer.alloc(MIB)), "nobody is told to wait")
      await Promise.all([far.closed(), near.closed()])
      for (const end of [near, far]) {
        t.ok(end.write(Buffer.alloc(MIB), Buffer.alloc(3)))
        t.equal(end.link.unconfirmed, 0)
        end.link.pause()
        end.link.resume()
      }
      await turns()
      t.equal(far.sink.bytes, 0)
    }
  })

  test("an end before start is held, behind the bytes", async (t, bench, address) => {
    const [near, far] = await bench.unstarted(address)
    near.start().write(Buffer.from("last words"))
    near.link.close()
    await turns()
    far.start()
    await Promise.all([far.closed(), near.closed()])
    t.equal(far.sink.data.toString(), "last words")
    t.equal(far.sink.error, undefined)
  })

  test("close and destroy before start", async (t, bench, address) => {
    for (const how of ["close", "destroy"] as const)
      for (const early of [true, false]) {
        const [near, far] = await bench.unstarted(address)
        near.write(Buffer.from("x"))
        far.link[how]()
        if (!early) await turns()
        far.start()
        near.start()
        await Promise.all([far.closed(), near.closed()])
        t.equal(far.sink.bytes, 0)
      }
  })
}

function names(test: Define, about: TransportCase): void {
  test("an aborted dial leaves nothing behind", async (t, bench, address) => {
    const reason = new EarshotError("ETIMEDOUT", "the dialer's own")
    for (const at of [address, about.nobody]) {
      await t.rejects(bench.dial(at, AbortSignal.abort()), { code: "ECANCELED" }, "before")
      for (let after = 0; after < 4; after++) {
        const abort = new AbortController()
        const dialled = bench.dial(at, abort.signal).then(
          (link) => link.destroy(),
          (error: unknown) => error,
        )
        if (after > 1) await turns(after - 1)
        else if (after > 0) await Promise.resolve()
        abort.abort(reason)
        const error = await dialled
        if (after < 2) t.equal(error, reason, "an error of ours is passed on as it is")
      }
    }
    await turns()
    for (const link of bench.accepted.splice(0)) {
      const end = bench.end(link).start()
      await end.closed()
      t.equal(end.sink.bytes, 0)
    }
  })

  test(`a dial to nobody ${about.alone === "refused" ? "is refused" : "waits"}`, async (t, bench) => {
    if (about.alone === "refused") return void (await t.rejects(bench.dial(about.nobody), { code: "ECONNREFUSED" }))
    let settled = false
    const dialled = bench.dial(about.nobody).finally(() => (settled = true))
    await turns()
    t.notOk(settled)
    await bench.listen(about.nobody)
    const near = bench.end(await dialled).start()
    const far = bench.end(await bench.take()).start()
    near.write(Buffer.from("at last"))
    await far.got(7)
  })

  test("a taken name is in use, a freed one is free", async (t, bench, address) => {
    await t.rejects(bench.listen(address), { code: "EADDRINUSE" })
    const [near, far] = await bench.pair(address)
    const [listener] = bench.listeners
    await Promise.all([listener!.close(), listener!.close()])
    if (about.alone === "refused") await t.rejects(bench.dial(address), { code: "ECONNREFUSED" })
    near.write(Buffer.from("still here"))
    await far.got(10)
    await bench.listen(address)
    await listener!.close()
    t.equal((await bench.pair(address)).length, 2, "closing the old listener again leaves the new one alone")
  })
}

function idleProcess(t: Test, about: TransportCase, { url, factory }: { url: URL; factory: string }): void {
  void t.test("a process does not stay alive for an idle listener and link", async (t) => {
    const program = new URL("../transports/idle.ts", import.meta.url)
    const child = spawn(process.execPath, [...process.execArgv, program.pathname, url.href, factory, about.wildcard])
    const killer = setTimeout(() => child.kill("SIGKILL"), 20_000)
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()))
    const [code, signal] = (await once(child, "close")) as [number | null, string | null]
    clearTimeout(killer)
    t.strictSame([code, signal], [0, null], output)
    t.match(output, "idle")
  })
}
