// Whatever befalls link and receiver: every message is handled, dropped and counted, or in a gap; none twice, none in silence.
import t from "tap"
import type { Mesh, MeshEvents, Receipt } from "../../lib/mesh/index.ts"
import { testMesh } from "../../lib/mesh/testing.ts"
import { virtualClock } from "../support/virtual-clock.ts"

t.setTimeout(120_000)

const RULES = ["drop", "drop-oldest", "conflate", "wait", "drop"] as const
const ENDS = ["both stay", "the sender closes", "the receiver closes"] as const

const droppedBy = (mesh: Mesh): number => Object.values(mesh.stats().dropped).reduce((sum, { count }) => sum + count, 0)

/** The sum of what an event counts. */
function total<Name extends "drop" | "gap">(
  mesh: Mesh,
  name: Name,
  fits: (event: MeshEvents[Name]) => boolean,
): () => number {
  let sum = 0
  mesh.on(name, (event) => {
    if (fits(event)) sum += event.count ?? NaN
  })
  return () => sum
}

for (let seed = 1; seed <= 12; seed++) {
  const end = ENDS[seed % 3]!
  const leaf = seed % 4 === 0
  t.test(`seed ${seed}: ${end}${leaf ? ", a leaf" : ""}`, async (t) => {
    const chance = virtualClock({ seed })
    const random = (): number => chance.random()
    const whole = (below: number): number => Math.floor(random() * below)
    await using net = await testMesh(["a", "b"], {
      clock: "virtual",
      seed,
      member: (name) => (leaf && name === "b" ? { listen: [] } : {}),
    })
    const { a, b } = net.mesh
    const slow = random() < 0.4
    let handled = 0
    let last = 0
    let astray = 0
    b.subscribe<{ i: number }>("x", { queueSize: slow ? 50 : Infinity, queueBytes: Infinity }, ({ data: { i } }) => {
      handled++
      if (i <= last) astray++
      last = i
      return slow ? new Promise<void>((resolve) => net.clock.timeout(resolve, 1)) : undefined
    })
    await net.settle()
    const drops = total(a, "drop", () => true)
    const gaps = total(a, "gap", ({ direction }) => direction === "sent")
    const heard = total(b, "gap", ({ direction }) => direction === "received")
    let published = 0
    const receipts: Promise<Receipt>[] = []
    const publish = (count: number, size: number, onFull: (typeof RULES)[number], confirm: boolean): void => {
      for (let i = 0; i < count; i++) {
        // Nothing is for one who was lost for so long that nobody knows it any more.
        if (a.stats().members.length > 0) published++
        const data = { i: published, pad: "p".repeat(size) }
        if (onFull === "wait" || confirm) receipts.push(a.publish("x", data, { onFull, confirm }))
        else a.tryPublish("x", data, onFull === "drop" ? undefined : { onFull })
      }
    }
    for (let step = 0; step < 20; step++) {
      const what = random()
      if (what < 0.5)
        publish(
          1 + Math.floor(random() ** 3 * 12_000),
          Math.floor(random() ** 4 * 3000),
          RULES[whole(5)]!,
          random() < 0.1,
        )
      else if (what < 0.62) net.cut("a", "b", { silent: random() < 0.5 })
      else if (what < 0.8) net.heal()
      else if (what < 0.9) net.slow("a", "b", whole(100))
      await net.advance(Math.floor(random() ** 4 * 60_000))
    }
    net.heal()
    net.slow("a", "b", 0)
    await net.advance(30_000)
    await net.settle()
    await net.until(Promise.all(receipts))
    await net.until(a.flush())
    t.equal(heard(), gaps(), "both sides tell the same gaps")
    if (end !== "both stay") {
      publish(50, 10, "drop", false)
      await net.until((end === "the sender closes" ? a : b).close())
    }
    await net.advance(120_000)
    const { received } = b.stats()
    t.equal(received + droppedBy(a) + gaps(), published, "each is there, dropped, or missing")
    t.equal(handled + droppedBy(b), received, "what is there is handled, or dropped")
    t.equal(drops(), droppedBy(a), "events and counters agree")
    t.equal(astray, 0, "in order, none twice")
    await net.close()
    t.strictSame([net.clock.timers, net.clock.holds], [0, 0], "nothing stays")
  })
}

t.test("what is published later does not overtake what waits for room", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const got: unknown[] = []
  b.subscribe("x", { queueSize: Infinity, queueBytes: Infinity }, ({ data }) => void got.push(data))
  await net.settle()
  net.slow("a", "b", 50)
  let last = 0
  while (a.tryPublish("x", last + 1).sent === 1) last++
  const waits = [1, 2, 3].map((i) => a.publish("x", last + i, { onFull: "wait" }))
  for (const onFull of ["drop", "drop-oldest", "conflate"] as const)
    t.match(a.tryPublish("x", -1, { onFull }), { sent: 0, dropped: 1, reasons: { full: 1 } }, onFull)
  for (const receipt of await net.until(Promise.all(waits))) t.match(receipt, { sent: 1 })
  await net.until(a.flush())
  t.strictSame(
    got,
    Array.from({ length: last + 3 }, (_, i) => i + 1),
  )
})
