import t from "tap"
import { virtualClock } from "./virtual-clock.ts"

t.test("time stands still until it is moved", async (t) => {
  const clock = virtualClock({ start: 500, wall: 1_000_000 })
  const seen: string[] = []
  const at = (name: string) => () => seen.push(`${name} ${clock.now()}`)
  clock.timeout(at("c"), 30)
  clock.timeout(at("a"), 10)
  clock.timeout(at("b"), 10)
  clock.timeout(at("never"), 15).cancel()
  clock.timeout(at("zero"), -1)
  t.strictSame([clock.now(), clock.wall(), clock.timers], [500, 1_000_000, 4])
  await clock.advance(9)
  t.strictSame(seen, ["zero 500"])
  await clock.advance(1)
  t.strictSame(seen, ["zero 500", "a 510", "b 510"])
  await clock.advance(100)
  t.strictSame(seen.slice(3), ["c 530"])
  t.strictSame([clock.now(), clock.wall(), clock.timers], [610, 1_000_110, 0])
})

t.test("what a timer sets going comes before the next timer", async (t) => {
  const clock = virtualClock()
  const seen: string[] = []
  clock.timeout(() => {
    seen.push("first")
    void Promise.resolve().then(() => clock.microtask(() => clock.immediate(() => seen.push("its immediate"))))
    clock.timeout(() => seen.push("its timer"), 5)
  }, 10)
  const doomed = clock.timeout(() => seen.push("cancelled in between"), 16)
  clock.timeout(() => seen.push("second"), 15)
  clock.timeout(() => doomed.cancel(), 12)
  await clock.advance(20)
  t.strictSame(seen, ["first", "its immediate", "second", "its timer"])
})

t.test("until goes from timer to timer, as far as it must", async (t) => {
  const clock = virtualClock({ start: 0 })
  const later = (ms: number): Promise<number> => new Promise((resolve) => clock.timeout(() => resolve(clock.now()), ms))
  t.equal(await clock.until(later(10).then(() => later(20))), 30)
  t.equal(clock.now(), 30)
  await t.rejects(clock.until(Promise.reject(new Error("its own"))), { message: "its own" })
  await t.rejects(clock.until(later(1000), 100), { message: /not settled within 100/ })
  await t.rejects(clock.until(new Promise(() => {})), { message: /not settled/ })
  const moving = clock.advance(1)
  await t.rejects(clock.advance(1), { message: /already/ })
  await moving
})

t.test("chance is the seed's", async (t) => {
  const draw = (seed: number): number[] => {
    const clock = virtualClock({ seed })
    return [...Array.from({ length: 1000 }, () => clock.random()), ...clock.randomBytes(32)]
  }
  t.strictSame(draw(1), draw(1))
  t.notSame(draw(1), draw(2))
  t.ok(draw(3).every((x, i) => (i < 1000 ? x >= 0 && x < 1 : Number.isInteger(x) && x >= 0 && x < 256)))
  const mean =
    draw(4)
      .slice(0, 1000)
      .reduce((a, b) => a + b) / 1000
  t.ok(Math.abs(mean - 0.5) < 0.05, `mean ${mean}`)
})

t.test("holds are counted, and restlessness is found", async (t) => {
  const clock = virtualClock()
  clock.hold()
  clock.hold()
  t.equal(clock.holds, 2)
  clock.release()
  clock.release()
  t.throws(() => clock.release())
  const restless = virtualClock()
  let stop = false
  const again = (): void => {
    if (!stop) restless.immediate(again)
  }
  again()
  await t.rejects(restless.settle(), { message: /never comes to rest/ })
  stop = true
})
