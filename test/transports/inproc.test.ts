import t from "tap"
import type { Test } from "tap"
import { inproc } from "../../transports/inproc.ts"
import { transportConformance } from "../conformance/transport.ts"
import { virtualClock } from "../support/virtual-clock.ts"
import { Bench } from "./bench.ts"
import type { End } from "./recorder.ts"

transportConformance(t, {
  name: "inproc",
  create: inproc,
  wildcard: "*",
  nobody: "nobody",
  alone: "waits",
  malformed: "",
  module: { url: new URL("../../transports/inproc.ts", import.meta.url), factory: "inproc" },
})

/** At most this is unconfirmed on a link (SOCKETS), when written in slabs. */
const BOUND = 256 * 1024
const SLAB = 64 * 1024

async function pair(t: Test): Promise<[End, End]> {
  const bench = new Bench(inproc(), undefined, { clock: virtualClock() })
  t.teardown(() => bench.dispose())
  return bench.pair((await bench.listen("*")).address)
}

t.test("chunks arrive as the same memory, and as Buffers", async (t) => {
  const [near, far] = await pair(t)
  const mine = Buffer.from("mine")
  const bare = new Uint8Array([1, 2, 3]).subarray(1)
  near.write(mine, bare)
  await far.got(6)
  t.equal(far.sink.chunks[0], mine)
  t.ok(Buffer.isBuffer(far.sink.chunks[1]))
  t.equal(far.sink.chunks[1]!.buffer, bare.buffer)
  t.strictSame([...far.sink.chunks[1]!], [2, 3])
  t.ok(near.link.shares && far.link.shares)
})

t.test("all that was written since goes in one turn, answers in the next", async (t) => {
  const clock = virtualClock()
  const bench = new Bench(inproc(), undefined, { clock })
  t.teardown(() => bench.dispose())
  const [near, far] = await bench.pair((await bench.listen("*")).address)
  await clock.settle()
  let asked = 0
  const bare = { ...clock }
  clock.immediate = (callback) => {
    asked++
    bare.immediate(callback)
  }
  for (let i = 0; i < 100; i++) near.write(Buffer.from([i]))
  t.equal(far.sink.bytes, 0)
  t.equal(asked, 1)
  far.sink.onChunk = (chunk) => {
    if (chunk[0] === 0) near.write(Buffer.from([100]))
    far.write(chunk)
    t.notOk(near.sink.bytes > 0, "no answer while it is asked")
  }
  await clock.settle()
  t.strictSame(
    [...far.sink.data],
    Array.from({ length: 101 }, (_, i) => i),
  )
  t.equal(near.sink.bytes, 101)
})

t.test("it asks to wait while it can still take a slab more within the bound", async (t) => {
  const [near, far] = await pair(t)
  far.link.pause()
  const written = near.fill(Buffer.alloc(SLAB))
  t.ok(written > BOUND - 2 * SLAB && written <= BOUND, `${written} bytes`)
  t.equal(near.link.unconfirmed, written)
  t.notOk(near.write(Buffer.alloc(0)), "and goes on asking")
  far.link.resume()
  await far.got(written)
  t.strictSame([near.link.unconfirmed, near.sink.drains], [0, 1])
})

t.test("what the other side threw away stays unconfirmed", async (t) => {
  const [near, far] = await pair(t)
  near.write(Buffer.alloc(1000))
  far.link.close()
  t.equal(near.link.unconfirmed, 1000)
  await Promise.all([near.closed(), far.closed()])
  t.equal(near.link.unconfirmed, 1000)
  t.equal(near.sink.drains, 0)
})

t.test("a pause in the midst keeps the rest", async (t) => {
  const [near, far] = await pair(t)
  for (let i = 0; i < 10; i++) near.write(Buffer.from([i]))
  far.sink.onChunk = ([i]) => i === 3 && far.link.pause()
  await far.got(4)
  t.equal(near.link.unconfirmed, 6)
  near.write(Buffer.from([10]))
  near.link.close()
  far.link.resume()
  await far.closed()
  t.strictSame(
    [...far.sink.data],
    Array.from({ length: 11 }, (_, i) => i),
  )
})

t.test("each transport has its own names", async (t) => {
  const [one, other] = [new Bench(inproc()), new Bench(inproc())]
  t.teardown(() => Promise.all([one.dispose(), other.dispose()]))
  await one.listen("name")
  await other.listen("name")
  await t.rejects(one.listen("name"), { code: "EADDRINUSE" })
  await one.pair("name")
  t.equal(other.accepted.length, 0)
})

t.test("a wildcard takes no name that is taken", async (t) => {
  const bench = new Bench(inproc())
  t.teardown(() => bench.dispose())
  const { address } = await bench.listen("*")
  const next = address.replace("1", "2")
  await bench.listen(next)
  t.notOk([address, next].includes((await bench.listen("*")).address))
  t.throws(() => inproc().check("*", "connect"), { code: "EINVAL" })
})

t.test("who dialled first is first, and who gave up is forgotten", async (t) => {
  const bench = new Bench(inproc())
  t.teardown(() => bench.dispose())
  const abort = new AbortController()
  const dials = [bench.dial("late"), bench.dial("late", abort.signal), bench.dial("late")]
  abort.abort()
  await t.rejects(dials[1]!, { code: "ECANCELED" })
  const first = await bench.listen("late")
  await first.close()
  await bench.listen("late")
  const [one, three] = [bench.end(await dials[0]!).start(), bench.end(await dials[2]!).start()]
  one.write(Buffer.from("one"))
  three.write(Buffer.from("three"))
  await bench.acceptedAtLeast(2)
  const taken = bench.accepted.splice(0).map((link) => bench.end(link).start())
  t.equal(taken.length, 2, "one link for each dial, though the name was bound twice")
  await taken[0]!.got(3)
  await taken[1]!.got(5)
  t.strictSame(
    taken.map(({ sink }) => sink.data.toString()),
    ["one", "three"],
  )
})
