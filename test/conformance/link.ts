/** The part of the transports' suite that is about links: what they carry, and how they end. */
import type { Test } from "tap"
import { EarshotError } from "../../lib/errors.ts"
import type { Bench } from "../transports/bench.ts"
import { dice, type End, randomBytes, splits, turns } from "../transports/recorder.ts"

/** Defines a test that gets a bench with a listener, and the address it listens on. */
export type Define = (name: string, body: (t: Test, bench: Bench, address: string) => Promise<void>) => void

const KIB = 1024
const MIB = 1024 * KIB

export function traffic(test: Define): void {
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
    if (Buffer.isBuffer(near.sink.data))
      t.ok(
        far.sink.chunks.every((chunk) => Buffer.isBuffer(chunk)),
        "Buffers, on Node",
      )
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
    let pauses = 0
    let timer: NodeJS.Timeout | undefined
    far.sink.onChunk = () => {
      if (timer !== undefined || roll(10) > 0) return
      far.link.pause()
      far.link.pause()
      pauses++
      timer = setTimeout(() => {
        timer = undefined
        far.link.resume()
        far.link.resume()
      }, roll(3))
    }
    await Promise.all([near.writeAll(splits(bytes, 64 * KIB, roll)), far.got(bytes.length)])
    t.ok(pauses > 0)
    t.ok(far.sink.data.equals(bytes))
    far.sink.onChunk = undefined
    clearTimeout(timer)
    far.link.pause()
    await turns()
    const before = far.sink.bytes
    near.fill(Buffer.alloc(64 * KIB))
    await turns()
    t.ok(far.sink.bytes - before <= 256 * KIB, `a paused link gives little more: ${far.sink.bytes - before} bytes`)
  })

  test("a sink that makes room gets its bytes once, wherever they are put", async (t, bench, address) => {
    const roll = dice(64)
    const [near, far] = await bench.pair(address)
    const bytes = randomBytes(6 * MIB, roll)
    // As a decoder gathers a frame: what comes is in the room already, or is copied there.
    const gathered = Buffer.alloc(bytes.length)
    let at = 0
    far.sink.room = () => {
      const size = [0, 10, 5000, 64 * KIB, 200 * KIB, bytes.length][roll(6)]!
      return roll(4) === 0 ? undefined : gathered.subarray(at, at + size)
    }
    far.sink.onChunk = (chunk) => {
      const inRoom = chunk.buffer === gathered.buffer
      if (inRoom) t.equal(chunk.byteOffset - gathered.byteOffset, at, "it begins where the room began")
      else gathered.set(chunk, at)
      at += chunk.length
      if (roll(50) > 0) return
      far.link.pause()
      setTimeout(() => far.link.resume(), 1)
    }
    await Promise.all([near.writeAll(splits(bytes, 100 * KIB, roll)), far.got(bytes.length)])
    t.ok(gathered.equals(bytes))
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

export function ends(test: Define): void {
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
      t.notOk(near.write(Buffer.alloc(MIB)), "nobody vouches for it")
      await Promise.all([far.closed(), near.closed()])
      for (const end of [near, far]) {
        t.notOk(end.write(Buffer.alloc(MIB), Buffer.alloc(3)))
        t.equal(end.link.unconfirmed, 0)
        end.link.pause()
        end.link.resume()
      }
      await turns()
      t.equal(far.sink.bytes, 0)
      t.equal(near.sink.drains, 0)
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
