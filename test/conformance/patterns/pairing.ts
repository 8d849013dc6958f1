/** PAIR: one peer, and nobody else (WIRE 1.12). */
import type { Test } from "tap"
import { event, fence, Kit, next, peers, range, rest, take, until, type Subject } from "./support.ts"

export function pairing(t: Test, subject: Subject): void {
  t.test("both sides send and receive at once", async (t) => {
    const kit = new Kit(t, subject)
    const [a, b] = [kit.make("Pair"), kit.make("Pair")]
    await kit.link(a, b)
    for (let n = 0; n < 100; n++) {
      await a.send([String(n), "to b"])
      await b.send([String(n), "to a"])
    }
    t.strictSame(
      await take(b, 100),
      range(0, 100).map((n) => `${n}|to b`),
    )
    t.strictSame(
      await take(a, 100),
      range(0, 100).map((n) => `${n}|to a`),
    )
  })

  t.test("a second one is turned away, the first undisturbed; when that goes, the next comes in", async (t) => {
    const kit = new Kit(t, subject)
    const bound = kit.make("Pair")
    const first = kit.make("Pair")
    const endpoint = await kit.link(bound, first)
    let joined = 0
    bound.events.on("peer:join", () => joined++)
    const second = kit.make("Pair")
    const away = event(second, "connect:retry")
    void second.connect(endpoint)
    await away
    for (let n = 0; n < 10; n++) {
      await bound.send(`for the first ${n}`)
      t.equal(await next(first), `for the first ${n}`)
      await first.send(`from the first ${n}`)
      t.equal(await next(bound), `from the first ${n}`)
    }
    t.strictSame([joined, bound.peers.length], [0, 1])
    const left = event(bound, "peer:leave")
    await first.close()
    await left
    await until("the second one's turn", () => joined === 1)
    await bound.send("your turn")
    t.equal(await next(second), "your turn")
    await fence(bound)
    await second.send("at last")
    t.equal(await next(bound), "at last")
  })

  t.test("one that connects to two takes the second when the first is disconnected", async (t) => {
    const kit = new Kit(t, subject)
    const pair = kit.make("Pair")
    const [first, second] = [kit.make("Pair"), kit.make("Pair")]
    const endpoint = await kit.link(first, pair)
    const other = await kit.bind(second)
    const away = event(pair, "connect:retry")
    void pair.connect(other)
    await away
    await pair.send("to the first")
    t.equal(await next(first), "to the first")
    t.strictSame(rest(second), [])
    await pair.disconnect(endpoint)
    await pair.send("to the second")
    t.equal(await next(second), "to the second")
    await second.send("hello")
    t.equal(await next(pair), "hello")
  })

  t.test("it keeps its place for an endpoint that is away", async (t) => {
    const kit = new Kit(t, subject)
    const pair = kit.make("Pair")
    const first = kit.make("Pair")
    const endpoint = await kit.link(first, pair)
    const left = event(pair, "disconnect")
    await first.close()
    await left
    for (const n of range(0, 5)) await pair.send(n)
    const second = kit.make("Pair")
    await second.bind(endpoint)
    t.strictSame(await take(second, 5), range(0, 5))
    await second.send("back")
    t.equal(await next(pair), "back")
    await peers(pair, 1)
  })

  t.test("what a lost peer did not get waits for the next one", async (t) => {
    const kit = new Kit(t, subject)
    const bound = kit.make("Pair")
    const first = kit.make("Pair")
    const endpoint = await kit.link(bound, first)
    const left = event(bound, "peer:leave")
    await first.close()
    await left
    t.notOk(bound.trySend("nobody is there"))
    const waits = bound.send("for whoever comes")
    const second = kit.make("Pair")
    await second.connect(endpoint)
    t.equal(await next(second), "for whoever comes")
    await waits
  })
}
