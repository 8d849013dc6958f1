// Who waits, how long until the next attempt, and how losses are told: all of it on a virtual clock.
import { getEventListeners } from "node:events"
import * as fc from "fast-check"
import t from "tap"
import { Backoff } from "../../lib/backoff.ts"
import type { DropReason, PeerInfo } from "../../lib/contract.ts"
import { Events, socketEvents, type SocketEvents } from "../../lib/events.ts"
import { EarshotError } from "../../lib/errors.ts"
import { Losses, type DropTallies } from "../../lib/losses.ts"
import { Waiters } from "../../lib/waiters.ts"
import { outcome, strictClock, watch } from "../support/sockets.ts"

t.test("Waiters are served in order, each once", async (t) => {
  const clock = strictClock(t)
  const waiters = new Waiters<string, number>(clock)
  t.equal(waiters.first, undefined)
  const all = ["a", "b", "c"].map((item) => waiters.wait(item, -1, 10, undefined))
  t.equal(waiters.length, 3)
  t.equal(clock.holds, 1, "whoever waits keeps the process alive")
  t.equal(waiters.first!.item, "a")
  waiters.first!.settle(1)
  t.equal(waiters.first!.item, "b")
  waiters.first!.fail(new EarshotError("EMSGSIZE"))
  waiters.first!.settle(3)
  t.equal(await all[0], 1)
  t.equal(await outcome(all[1]!), "EMSGSIZE")
  t.equal(await all[2], 3)
  t.equal(waiters.length, 0)
  t.equal(clock.holds, 0)
})

t.test("Waiters give up by time, by signal, or when there are too many", async (t) => {
  const clock = strictClock(t)
  let next = 0
  const waiters = new Waiters<number, void>(clock, () => next++)
  t.equal(await outcome(waiters.wait(0, 0, 10, undefined)), "EAGAIN", "0 ms: not at all")
  t.equal(waiters.length, 0)

  const reason = new Error("enough")
  const controller = new AbortController()
  const [a, b, c] = [
    waiters.wait(1, 100, 3, undefined),
    waiters.wait(2, -1, 3, controller.signal),
    waiters.wait(3, 300, 3, controller.signal),
  ].map(watch)
  t.equal(await outcome(waiters.wait(4, -1, 3, undefined)), "EAGAIN", "three wait already")
  await clock.advance(99)
  t.equal(a!.state, "pending")
  await clock.advance(1)
  t.equal(a!.state, "EAGAIN")
  t.equal(next, 1, "the first gave up: the next has its chance")
  t.equal(waiters.first!.item, 2)
  controller.abort(reason)
  await clock.settle()
  t.strictSame([b!.state, c!.state], ["Error: enough", "Error: enough"])
  t.equal(waiters.length, 0)
  t.equal(clock.timers, 0, "their timers are cancelled")
  const other = new AbortController()
  const served = waiters.wait(5, -1, 3, other.signal)
  waiters.first!.settle()
  t.equal(getEventListeners(other.signal, "abort").length, 0, "a signal that lives long forgets who is served")
  other.abort(reason)
  t.equal(await served, undefined, "and when it comes later it changes nothing")

  const before = next
  const last = [waiters.wait(6, -1, 3, undefined), waiters.wait(7, 50, 3, undefined)].map(watch)
  await clock.advance(50)
  t.equal(next, before, "one in the middle concerns nobody else")
  waiters.failAll(new EarshotError("EBADF"))
  await clock.settle()
  t.strictSame(
    last.map(({ state }) => state),
    ["EBADF", "EAGAIN"],
  )
})

t.test("Waiters keep their line whoever leaves it", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ stay: fc.boolean(), at: fc.nat() }), { maxLength: 40 }), async (steps) => {
      const clock = strictClock(t)
      const waiters = new Waiters<number, void>(clock)
      const line: { n: number; controller: AbortController }[] = []
      for (const [n, { stay, at }] of steps.entries())
        if (stay || line.length === 0) {
          const controller = new AbortController()
          waiters.wait(n, -1, 100, controller.signal).catch(() => {})
          line.push({ n, controller })
        } else line.splice(at % line.length, 1)[0]!.controller.abort()
      if (waiters.length !== line.length) throw new Error("miscounted")
      for (const { n } of line) {
        if (waiters.first?.item !== n) throw new Error(`${waiters.first?.item} where ${n} was due`)
        waiters.first.settle()
      }
      if (waiters.first !== undefined || clock.holds !== 0) throw new Error("not empty")
    }),
    { numRuns: 200 },
  )
  t.pass("200 histories")
})

t.test("Backoff: the interval, and up to as much again by chance", async (t) => {
  const clock = strictClock(t)
  let chance = 0
  clock.random = () => chance
  const backoff = new Backoff(clock, 100, 0)
  t.equal(backoff.next(false), 100)
  chance = 0.5
  t.equal(backoff.next(false), 150)
  chance = 0.999
  for (let n = 0; n < 20; n++) t.equal(Math.round(backoff.next(false)), 200, "and so it stays")
})

t.test("Backoff with a largest interval doubles up to it, without chance, until something succeeds", async (t) => {
  const clock = strictClock(t)
  const backoff = new Backoff(clock, 100, 1000)
  const next = (): number => backoff.next(false)
  t.strictSame([next(), next(), next(), next(), next(), next()], [100, 200, 400, 800, 1000, 1000])
  backoff.reset()
  t.strictSame([next(), next()], [100, 200])
  for (let n = 0; n < 100; n++) next()
  t.equal(next(), 1000, "whatever the number of failures")
  const small = new Backoff(clock, 500, 100)
  t.strictSame([small.next(false), small.next(false)], [500, 500], "one below the interval is as good as none")
  t.equal(new Backoff(clock, 0, 0).next(false), 0)
})

t.test("Backoff goes on slowly after a protocol error", async (t) => {
  const clock = strictClock(t)
  clock.random = () => 0
  const backoff = new Backoff(clock, 100, 0)
  const slowly = Array.from({ length: 8 }, () => backoff.next(true))
  t.strictSame(slowly, [5000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000, 60_000])
  backoff.reset()
  clock.random = () => 0.999
  const next = backoff.next(true)
  t.ok(next > 5000 && next < 6250.1, "a little chance, so that not all come at once")
  t.equal(new Backoff(clock, 3_600_000, 0).next(true) >= 3_600_000, true, "never sooner than the interval")
})

type Drop = SocketEvents["drop"]

t.test("Losses: the first is told at once, the next after 100 ms, for each peer and reason", async (t) => {
  const clock = strictClock(t)
  const events = new Events(clock, socketEvents)
  const losses = new Losses(clock, events)
  const told: [number, string, number, number][] = []
  const start = clock.now()
  const [a, b] = [{ name: "a" }, { name: "b" }] as unknown as (PeerInfo & { name: string })[]
  events.on("drop", ({ peer, reason, count, bytes }) => {
    told.push([clock.now() - start, `${(peer as typeof a)?.name ?? "-"} ${reason}`, count, bytes])
  })
  const tallies: DropTallies = {}
  losses.note(a, tallies, "full", 1, 10)
  t.strictSame(told.splice(0), [[0, "a full", 1, 10]])
  losses.note(a, tallies, "full", 1, 10)
  losses.note(a, tallies, "full", 2, 20)
  t.strictSame(told, [])
  losses.note(b, undefined, "full", 1, 1)
  losses.note(a, tallies, "late", 1, 2)
  losses.note(undefined, undefined, "unroutable", 1, 3)
  t.strictSame(
    told.splice(0).map((each) => each[1]),
    ["b full", "a late", "- unroutable"],
  )
  await clock.advance(99)
  t.strictSame(told, [])
  await clock.advance(1)
  t.strictSame(told.splice(0), [[100, "a full", 3, 30]])
  losses.note(a, tallies, "full", 5, 5)
  await clock.advance(99)
  t.strictSame(told, [])
  await clock.advance(1)
  t.strictSame(told.splice(0), [[200, "a full", 5, 5]])
  await clock.advance(100)
  t.equal(clock.timers, 0, "then it is quiet")
  losses.note(a, tallies, "full", 1, 1)
  t.strictSame(told.splice(0), [[300, "a full", 1, 1]], "and the next is a first one again")
  losses.note(a, tallies, "full", 7, 70)
  losses.note(a, tallies, "full", 0, 0)
  losses.flush()
  t.strictSame(told.splice(0), [[300, "a full", 7, 70]], "what is left is told at the end")
  await clock.advance(1000)
  t.strictSame(told, [])
  t.strictSame(losses.totals, {
    full: { count: 18, bytes: 117 },
    late: { count: 1, bytes: 2 },
    unroutable: { count: 1, bytes: 3 },
  })
  t.strictSame(tallies, { full: { count: 17, bytes: 116 }, late: { count: 1, bytes: 2 } })
})

t.test("Losses: whatever happens when, the events add up, no two closer than 100 ms", async (t) => {
  const reason = fc.constantFrom<DropReason>("full", "late", "disconnected")
  const step = fc.record({ reason, peer: fc.nat(2), count: fc.nat(5), after: fc.nat(80) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const clock = strictClock(t)
      const events = new Events(clock, socketEvents)
      const losses = new Losses(clock, events)
      const peers = [undefined, {}, {}] as (PeerInfo | undefined)[]
      const told: { drop: Drop; at: number }[] = []
      events.on("drop", (drop) => told.push({ drop, at: clock.now() }))
      for (const { reason, peer, count, after } of steps) {
        losses.note(peers[peer], undefined, reason, count, count * 10)
        await clock.advance(after)
      }
      const last = clock.now()
      losses.flush()
      for (const peer of peers)
        for (const reason of ["full", "late", "disconnected"] as const) {
          const due = steps.filter((step) => peers[step.peer] === peer && step.reason === reason)
          const got = told.filter(({ drop }) => drop.peer === peer && drop.reason === reason)
          const sum = (all: readonly { count: number }[]): number => all.reduce((sum, { count }) => sum + count, 0)
          if (sum(got.map(({ drop }) => drop)) !== sum(due)) throw new Error("the sum is wrong")
          for (const [i, { at, drop }] of got.entries()) {
            if (drop.count === 0 || drop.bytes !== drop.count * 10) throw new Error("an empty event, or wrong bytes")
            if (i > 0 && at < last && at - got[i - 1]!.at < 100) throw new Error("too soon")
          }
        }
    }),
    { numRuns: 60 },
  )
  t.pass("60 histories")
})
