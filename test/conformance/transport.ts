/**
 * What every transport must do: the contract of lib/contract.ts, `Transport`, `Listener` and `Link`, as one suite. A
 * transport's own test calls it with what can't be known from outside.
 */
import type { Test } from "tap"
import { systemClock } from "../../lib/clock.ts"
import type { Transport } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { Bench, options, runIdle } from "../transports/bench.ts"
import { turns } from "../transports/recorder.ts"
import { type Define, ends, traffic } from "./link.ts"

export interface TransportCase {
  readonly name: string
  readonly create: () => Transport | Promise<Transport>
  /** The transport that listens, where `create`'s can't. */
  readonly server?: () => Transport | Promise<Transport>
  readonly dispose?: (transport: Transport) => Promise<void>
  /** To bind: an address that becomes a new one each time. */
  readonly wildcard: string
  /** To bind: the same address for good, where one that came of a wildcard can't be bound again. */
  readonly lasting?: () => string
  /** To dial: a good address where nobody is. */
  readonly nobody: string
  /** What a dial to nobody does. */
  readonly alone: "refused" | "waits"
  /** No address at all, for either side. */
  readonly malformed: string
  /** Tests that can't hold for it, by name, each with the reason. */
  readonly skips?: Readonly<Record<string, string>>
  /** Module and export of `create`, for a process of its own; left out where the platform has none. */
  readonly module?: { readonly url: URL; readonly factory: string }
}

export function transportConformance(t: Test, about: TransportCase): void {
  t.test(`${about.name} keeps the contract of transports`, (t) => {
    const test = (name: string, body: (t: Test, bench: Bench, address: string) => Promise<void>): void => {
      void t.test(name, { skip: about.skips?.[name] ?? false }, async (t) => {
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
    const { module } = about
    if (module !== undefined)
      void t.test("a process does not stay alive for an idle listener and link", async (t) => {
        const { status, output } = await runIdle(module, about.wildcard)
        t.strictSame(status, [0, null], output)
        t.match(output, "idle")
      })
    t.end()
  })
}

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
    if (about.lasting !== undefined) ({ address } = await bench.listen(about.lasting()))
    await t.rejects(bench.listen(address), { code: "EADDRINUSE" })
    await turns()
    // A transport may have looked who is there.
    for (const link of bench.accepted.splice(0)) link.destroy()
    const [near, far] = await bench.pair(address)
    const listener = bench.listeners.at(-1)
    await Promise.all([listener!.close(), listener!.close()])
    if (about.alone === "refused") await t.rejects(bench.dial(address), { code: "ECONNREFUSED" })
    near.write(Buffer.from("still here"))
    await far.got(10)
    await bench.listen(address)
    await listener!.close()
    t.equal((await bench.pair(address)).length, 2, "closing the old listener again leaves the new one alone")
  })
}
