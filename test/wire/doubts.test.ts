// `Heartbeat.doubt`: a link that may have died unseen is asked, and given up when nothing comes in time.
import t from "tap"
import type { EarshotError } from "../../lib/errors.ts"
import { Heartbeat, type HeartbeatOptions } from "../../lib/wire/heartbeat.ts"
import { virtualClock } from "../support/virtual-clock.ts"

function doubted(options: Partial<HeartbeatOptions> = {}) {
  const clock = virtualClock()
  const link = {
    paused: false,
    partial: false,
    unconfirmed: 0,
    pings: 0,
    deaths: [] as [string, number][],
    ping: () => void link.pings++,
    dead: (error: EarshotError) => void link.deaths.push([error.code, clock.now()]),
  }
  const heartbeat = new Heartbeat(clock, link, { interval: 0, timeout: 0, timeToLive: 0, ...options })
  return { clock, link, heartbeat, start: clock.now() }
}

t.test("silence after a doubt is the end, whatever the heartbeat's own times are", async (t) => {
  for (const options of [{}, { interval: 10_000, timeout: 30_000 }]) {
    const { clock, link, heartbeat, start } = doubted(options)
    heartbeat.doubt(2000)
    t.equal(link.pings, 1)
    await clock.advance(1999)
    t.strictSame(link.deaths, [])
    await clock.advance(100_000)
    t.strictSame(link.deaths, [["ETIMEDOUT", start + 2000]], "once")
    t.equal(clock.timers, 0)
    heartbeat.doubt(2000)
    t.equal(link.pings, 1, "and afterwards nobody is asked")
  }
})

t.test("anything that comes clears it, even at the same moment", async (t) => {
  for (const wait of [0, 1, 1999]) {
    const { clock, link, heartbeat } = doubted()
    heartbeat.doubt(2000)
    if (wait > 0) await clock.advance(wait)
    heartbeat.heard(wait === 1 ? 0 : 10)
    t.equal(clock.timers, 0)
    await clock.advance(10_000)
    t.strictSame(link.deaths, [])
    heartbeat.doubt(2000)
    t.equal(link.pings, 2, "a new doubt asks anew")
    await clock.advance(2000)
    t.equal(link.deaths.length, 1)
  }
})

t.test("what came before the doubt proves nothing", async (t) => {
  const { clock, link, heartbeat } = doubted()
  heartbeat.heard(10)
  heartbeat.doubt(2000)
  await clock.advance(2000)
  t.equal(link.deaths.length, 1)
})

t.test("a second doubt neither asks again nor puts the verdict off", async (t) => {
  const { clock, link, heartbeat, start } = doubted()
  heartbeat.doubt(2000)
  await clock.advance(1500)
  heartbeat.doubt(2000)
  await clock.advance(5000)
  t.equal(link.pings, 1)
  t.strictSame(link.deaths, [["ETIMEDOUT", start + 2000]])
})

t.test("who does not read doubts nobody", async (t) => {
  const before = doubted()
  before.link.paused = true
  before.heartbeat.doubt(2000)
  t.strictSame([before.link.pings, before.clock.timers], [0, 0])
  const during = doubted()
  during.heartbeat.doubt(2000)
  during.link.paused = true
  await during.clock.advance(10_000)
  t.strictSame(during.link.deaths, [])
})

t.test("the link is read once more before the verdict", async (t) => {
  const { clock, link, heartbeat } = doubted()
  heartbeat.doubt(2000)
  clock.timeout(() => setImmediate(() => heartbeat.heard(1)), 1999)
  await clock.advance(10_000)
  t.strictSame(link.deaths, [])
  const late = doubted()
  late.heartbeat.doubt(2000)
  const immediate = late.clock.immediate.bind(late.clock)
  // What has come in is read in the turn of the timer.
  late.clock.immediate = (callback) => (late.heartbeat.heard(1), immediate(callback))
  await late.clock.advance(10_000)
  t.strictSame(late.link.deaths, [])
})

t.test("a PING behind a message that is leaving gets its time", async (t) => {
  const { clock, link, heartbeat, start } = doubted()
  link.unconfirmed = 1000
  heartbeat.doubt(2000)
  await clock.advance(1000)
  link.unconfirmed = 500
  await clock.advance(3000)
  t.strictSame(link.deaths, [["ETIMEDOUT", start + 4000]], "for as long as something leaves")
})

t.test("a stopped heartbeat has no doubts left", async (t) => {
  const { clock, link, heartbeat } = doubted()
  heartbeat.doubt(2000)
  heartbeat.stop()
  t.equal(clock.timers, 0)
  await clock.advance(10_000)
  t.strictSame(link.deaths, [])
})
