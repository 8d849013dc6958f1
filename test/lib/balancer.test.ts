import * as fc from "fast-check"
import t from "tap"
import { Balancer } from "../../lib/balancer.ts"
import { systemClock } from "../../lib/clock.ts"
import type { Message, Peer } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"

/** A peer with room for so many messages, each as large as it takes. */
class Taker {
  readonly got: number[] = []
  room: number
  largest = Infinity
  dropped = 0

  constructor(room: number) {
    this.room = room
  }

  send(message: Message): boolean {
    if (message[0]!.length > this.largest) throw new EarshotError("EMSGSIZE")
    if (this.room === 0) return false
    this.room--
    this.got.push(message[0]![0]!)
    return true
  }
}

const asPeer = (taker: Taker): Peer => taker as unknown as Peer
const message = (n: number, size = 1): Message => [new Uint8Array(size).fill(n)]

function make(...rooms: number[]): [Balancer, Taker[]] {
  const balancer = new Balancer(systemClock)
  const takers = rooms.map((room) => new Taker(room))
  for (const taker of takers) balancer.attach(asPeer(taker))
  return [balancer, takers]
}

t.test("in turn, over those with room", async (t) => {
  const [balancer, [a, b, c]] = make(3, 1, 3)
  for (let n = 0; n < 7; n++) t.ok(balancer.send(message(n)))
  t.notOk(balancer.send(message(7)))
  t.strictSame([a!.got.length, b!.got.length, c!.got.length], [3, 1, 3])
  t.strictSame([a!.got[0], b!.got[0], c!.got[0]], [0, 1, 2])
  b!.room = 2
  t.notOk(balancer.send(message(7)), "room that was not told of is not looked for")
  t.ok(balancer.writable(asPeer(b!)))
  t.ok(balancer.send(message(7)))
  t.strictSame(b!.got, [1, 7])
})

t.test("whoever may take it and has room gets it, whatever the others are and wherever it stands", async () => {
  const kinds = fc.array(fc.constantFrom("skipped", "full", "small", "good"), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(kinds, fc.nat({ max: 12 }), (kinds, turns) => {
      const [balancer, takers] = make(...kinds.map(() => Infinity))
      // Wherever its turn happens to stand.
      for (let n = 0; n < turns; n++) balancer.send(message(n))
      for (const [i, taker] of takers.entries()) {
        if (kinds[i] === "full") taker.room = 0
        if (kinds[i] === "small") taker.largest = 1
      }
      const skip = (peer: Peer): boolean => kinds[takers.indexOf(peer as unknown as Taker)] === "skipped"
      const good = takers.filter((_, i) => kinds[i] === "good")
      // In the first round those that turn out to be full make way, which may bring somebody's turn forward.
      for (const rounds of [1, 3]) {
        for (const taker of good) taker.got.length = 0
        for (let n = 0; n < rounds * good.length; n++) if (!balancer.send(message(n, 2), skip)) return false
      }
      if (good.some((taker) => taker.got.length !== 3)) return false
      if (good.length > 0) return true
      try {
        return !balancer.send(message(0, 2), skip)
      } catch (error) {
        return (error as EarshotError).code === "EMSGSIZE" && kinds.every((kind) => kind === "small")
      }
    }),
    { numRuns: 2000 },
  )
})

t.test("what a peer that went had not sent goes before everything else, in order", async (t) => {
  const [balancer, [a, b]] = make(1, 2)
  balancer.send(message(0))
  balancer.detach(asPeer(a!), [message(1), message(2), message(3)])
  t.strictSame(b!.got, [1, 2])
  t.notOk(balancer.send(message(4)), "while older ones wait")
  b!.room = 1
  balancer.writable(asPeer(b!))
  t.strictSame(b!.got, [1, 2, 3])
  t.notOk(balancer.send(message(4)), "room for the older one is no room for a new one")
  b!.room = 2
  t.ok(balancer.writable(asPeer(b!)))
  t.ok(balancer.send(message(4)))
  balancer.detach(asPeer(b!), [message(5)])
  t.strictSame(balancer.drain(), [message(5)])
  t.strictSame([(balancer as unknown as { peers: unknown[] }).peers, balancer.drain()], [[], []])
})
