// The data structures that the sockets and patterns are composed of, against naive models of them.
import * as fc from "fast-check"
import t from "tap"
import { Balancer } from "../../lib/balancer.ts"
import type { DropReason, Message, Peer } from "../../lib/contract.ts"
import { EarshotError } from "../../lib/errors.ts"
import { Prefixes } from "../../lib/prefixes.ts"
import { Ring } from "../../lib/ring.ts"
import { virtualClock } from "../support/virtual-clock.ts"

const clock = virtualClock()

t.test("Ring does what an array does", async (t) => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constant("push" as const) },
    { weight: 2, arbitrary: fc.constant("unshift" as const) },
    { weight: 5, arbitrary: fc.constant("shift" as const) },
    { weight: 1, arbitrary: fc.constant("remove" as const) },
    { weight: 1, arbitrary: fc.constantFrom("drain" as const, "clear" as const) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.nat(), (steps, seed) => {
      const ring = new Ring<number>()
      let model: number[] = []
      for (const [n, what] of steps.entries()) {
        if (what === "push") model.push((ring.push(n), n))
        else if (what === "unshift") model.unshift((ring.unshift(n), n))
        else if (what === "shift") same(ring.shift(), model.shift())
        else if (what === "remove") {
          // Something that is there, or not.
          const item = model[(seed + n) % (model.length + 1)] ?? -1
          const at = model.indexOf(item)
          same(ring.remove(item), at !== -1)
          if (at !== -1) model.splice(at, 1)
        } else {
          if (what === "drain") same(ring.drain(), model)
          else ring.clear()
          model = []
        }
        same(ring.length, model.length)
        same(ring.peek(), model[0])
        same(ring.toArray(), model)
      }
    }),
    { numRuns: 500 },
  )
  t.pass("500 histories")

  const ring = new Ring<number>()
  for (let n = 0; n < 10_000; n++) ring.push(n)
  for (let n = 0; n < 10_000; n++) if (ring.shift() !== n) t.fail(`${n} out of order`)
  t.equal((ring as unknown as { items: unknown[] }).items.length, 0, "a burst leaves no memory behind")
})

const rootOf = (prefixes: Prefixes<string>) => (prefixes as unknown as { root: { children?: unknown } }).root

t.test("Prefixes finds what a search through all topics finds", async (t) => {
  // Few letters and many common beginnings; 0 and 255 are bytes like any other.
  const letter = fc.constantFrom(0, 97, 98, 255)
  const topic = fc.array(letter, { maxLength: 6 }).map((letters) => Uint8Array.from(letters))
  const owner = fc.constantFrom("A", "B", "C")
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ what: fc.constant("add" as const), topic, owner }) },
    { weight: 3, arbitrary: fc.record({ what: fc.constant("remove" as const), topic, owner }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("removeAll" as const), topic, owner }) },
  )
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60 }),
      fc.array(topic, { minLength: 5, maxLength: 5 }),
      (steps, subjects) => {
        const prefixes = new Prefixes<string>()
        const model = new Map<string, Set<string>>()
        for (const { what, topic, owner } of steps) {
          const key = hex(topic)
          const owners = model.get(key) ?? new Set()
          if (what === "add") {
            same(prefixes.add(topic, owner), !owners.has(owner))
            model.set(key, owners.add(owner))
          } else if (what === "remove") {
            same(prefixes.remove(topic, owner), owners.delete(owner))
            if (owners.size === 0) model.delete(key)
          } else {
            const gone: string[] = []
            prefixes.removeAll(owner, (topic, deserted) => gone.push(`${hex(topic)} ${deserted}`))
            const due: string[] = []
            for (const [key, owners] of model) {
              if (!owners.delete(owner)) continue
              due.push(`${key} ${owners.size === 0}`)
              if (owners.size === 0) model.delete(key)
            }
            same(gone.sort(), due.sort())
          }
        }
        for (const subject of [...subjects, ...steps.map((step) => step.topic)]) {
          const hits: string[] = []
          prefixes.match(subject, (owner) => hits.push(owner))
          const due: string[] = []
          for (const [key, owners] of model) if (hex(subject).startsWith(key)) due.push(...owners)
          same(hits.sort(), due.sort())
          same(prefixes.matches(subject), due.length > 0)
          same(prefixes.has(subject), model.has(hex(subject)))
        }
        const all: string[] = []
        for (const owner of ["A", "B", "C"]) prefixes.removeAll(owner, (topic) => all.push(`${hex(topic)} ${owner}`))
        same(
          all.sort(),
          Array.from(model, ([key, owners]) => [...owners].map((owner) => `${key} ${owner}`))
            .flat()
            .sort(),
        )
        same(rootOf(prefixes).children, undefined)
      },
    ),
    { numRuns: 1000 },
  )
  t.pass("1,000 histories")
})

t.test("Prefixes keeps topics of its own, and nothing of what is gone", async (t) => {
  const prefixes = new Prefixes<string>()
  const topic = Uint8Array.from(Buffer.from("weather.berlin"))
  prefixes.add(topic, "A")
  topic.fill(0)
  t.ok(prefixes.has(Buffer.from("weather.berlin")), "the caller's bytes may change")
  for (let n = 0; n < 1000; n++) prefixes.add(Buffer.from(`weather.berlin.${n}`), "B")
  prefixes.removeAll("B", () => {})
  prefixes.remove(Buffer.from("weather.berlin"), "A")
  t.equal(rootOf(prefixes).children, undefined)
})

/** A peer with so much room; `takes` is the largest message. */
class Box implements Partial<Peer> {
  readonly got: Message[] = []
  waiting: Message[] = []
  refused = false
  readonly drops: string[] = []
  readonly room: number
  readonly takes: number
  constructor(room: number, takes = Infinity) {
    this.room = room
    this.takes = takes
  }
  send(message: Message): boolean {
    if (message[0]!.length > this.takes) throw new EarshotError("EMSGSIZE")
    if (this.refused || this.waiting.length >= this.room) {
      this.refused = true
      return false
    }
    this.waiting.push(message)
    return true
  }
  dropped(reason: DropReason, count: number, bytes: number): void {
    this.drops.push(`${reason} ${count} ${bytes}`)
  }
}
const peerOf = (box: Box): Peer => box as unknown as Peer
const numbered = (n: number): Message => [Buffer.from(String(n))]

t.test("Balancer gives each message to one peer with room, and loses none", async (t) => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ what: fc.constant("send" as const), at: fc.nat() }) },
    { weight: 4, arbitrary: fc.record({ what: fc.constant("deliver" as const), at: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("attach" as const), at: fc.nat(4) }) },
    { weight: 1, arbitrary: fc.record({ what: fc.constant("detach" as const), at: fc.nat() }) },
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const balancer = new Balancer(clock)
      const boxes: Box[] = []
      const delivered: number[] = []
      let sent = 0
      for (const { what, at } of steps) {
        const box = boxes[at % Math.max(1, boxes.length)]
        if (what === "attach") {
          const made = new Box(at)
          boxes.push(made)
          balancer.attach(peerOf(made))
          balancer.writable(peerOf(made))
        } else if (what === "send") {
          if (balancer.send(numbered(sent))) {
            sent++
            const last = boxes.find((box) => box === (balancer.last as unknown))
            same(last?.waiting.at(-1), numbered(sent - 1))
          } else
            same(
              boxes.filter((box) => !box.refused && box.waiting.length < box.room),
              [],
            )
        } else if (box === undefined) continue
        else if (what === "deliver") {
          delivered.push(...box.waiting.splice(0, 2).map(Number))
          if (box.refused && box.waiting.length < box.room) {
            box.refused = false
            balancer.writable(peerOf(box))
          }
        } else {
          boxes.splice(boxes.indexOf(box), 1)
          balancer.detach(peerOf(box), box.waiting.splice(0))
        }
      }
      const left = [...boxes.flatMap((box) => box.waiting), ...balancer.drain()].map(Number)
      const all = [...delivered, ...left].sort((a, b) => a - b)
      same(
        all,
        Array.from({ length: sent }, (_, n) => n),
      )
      same((balancer as unknown as { peers: unknown[] }).peers.length, boxes.length)
    }),
    { numRuns: 1000 },
  )
  t.pass("1,000 histories")
})

t.test("Balancer takes its peers in turn", async (t) => {
  const balancer = new Balancer(clock)
  const boxes = [new Box(1000), new Box(1000), new Box(1000)]
  for (const box of boxes) balancer.attach(peerOf(box))
  for (let n = 0; n < 30; n++) balancer.send(numbered(n))
  for (const box of boxes)
    t.strictSame(
      box.waiting.map((message, i) => Number(message[0]) - 3 * i),
      Array(10).fill(Number(box.waiting[0]![0])),
    )
  t.notOk(new Balancer(clock).send(numbered(0)), "nobody")

  const skipped = boxes[1]!
  for (let n = 0; n < 10; n++) balancer.send(numbered(n), (peer) => peer === peerOf(skipped))
  t.equal(skipped.waiting.length, 10, "those that are to be skipped get none")
  t.notOk(
    balancer.send(numbered(0), () => true),
    "nobody is left",
  )
})

t.test("Balancer: what a peer leaves unsent goes first, in order, to the others", async (t) => {
  const balancer = new Balancer(clock)
  const [lost, other] = [new Box(3), new Box(2)]
  balancer.attach(peerOf(lost))
  for (let n = 0; n < 3; n++) t.ok(balancer.send(numbered(n)))
  balancer.detach(peerOf(lost), lost.waiting)
  t.notOk(balancer.send(numbered(3)), "older ones wait")
  balancer.attach(peerOf(other))
  t.notOk(balancer.writable(peerOf(other)), "they fill it")
  t.strictSame(other.waiting.map(Number), [0, 1])
  t.notOk(balancer.send(numbered(3)))
  other.waiting = []
  other.refused = false
  t.ok(balancer.writable(peerOf(other)))
  t.ok(balancer.send(numbered(3)))
  t.strictSame(other.waiting.map(Number), [2, 3])
})

t.test("Balancer: a peer that takes nothing so large is passed over", async (t) => {
  const balancer = new Balancer(clock)
  const [small, large] = [new Box(100, 10), new Box(100, 1000)]
  balancer.attach(peerOf(small))
  balancer.attach(peerOf(large))
  for (let n = 0; n < 4; n++) t.ok(balancer.send([Buffer.alloc(500)]))
  t.equal(large.waiting.length, 4)
  t.throws(() => balancer.send([Buffer.alloc(5000)]), { code: "EMSGSIZE" }, "too large for everybody")
  t.ok(balancer.send([Buffer.alloc(1)]))
  // What nobody waits for any more is dropped and counted instead.
  const gone = new Box(1)
  balancer.attach(peerOf(gone))
  balancer.detach(peerOf(gone), [[Buffer.alloc(5000)], [Buffer.alloc(5)]])
  t.strictSame([...small.drops, ...large.drops], ["too-large 1 5000"])
  t.equal(small.waiting.length + large.waiting.length, 6)
})

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex")
}

/** Cheaper than tap's, which would make a line of each. */
function same(actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (a !== b) throw new Error(`${a} where ${b} was due`)
}
