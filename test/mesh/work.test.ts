// Work of queue groups that comes back: who may give it back, who confirms it at last, and who gets it then.
import t from "tap"
import { sizeOf } from "../../lib/bytes.ts"
import { Loans } from "../../lib/mesh/loans.ts"
import { Kind, groupHead, numberAt, numbered, publishHead } from "../../lib/mesh/wire.ts"
import { seeds } from "../../lib/mesh/index.ts"
import { testMesh } from "../../lib/mesh/testing.ts"
import { MeshPeer, hubOf, member, unknownOf, type Frames } from "../support/mesh-peer.ts"
import { until } from "../support/sockets.ts"

/** As a member says that it wants it. */
const want = (pattern: string, group: string): unknown => [1, pattern, group, 0]

/** A promise, and what resolves it. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open!: () => void
  const opened = new Promise<void>((resolve) => (open = resolve))
  return { opened, open }
}

t.test("who gives work back confirms nothing: whoever gets it then does", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const { open, opened } = gate()
  const done: unknown[] = []
  b.subscribe("job", { queue: "crew", prefetch: 0 }, async ({ data }) => {
    done.push(data)
    await opened
  })
  const all: unknown[] = []
  b.subscribe("job", ({ data }) => void all.push(data))
  await net.settle()
  // The second is on its way before the word that b is full.
  const [first, second] = [a.publish("job", 1, { confirm: true }), a.publish("job", 2, { confirm: true })]
  t.strictSame(await net.until(first), { sent: 1, waiting: 0, dropped: 0, reasons: {}, confirmed: 1, unconfirmed: 0 })
  await net.advance(2000)
  t.strictSame(all, [1, 2], "its plain subscription has both")
  t.strictSame(done, [1])
  let over = false
  void second.then(() => (over = true))
  await net.advance(1000)
  t.notOk(over, "nobody has taken the second one")
  open()
  t.strictSame(
    await net.until(second),
    { sent: 2, waiting: 0, dropped: 0, reasons: {}, confirmed: 2, unconfirmed: 0 },
    "the message, and later the work",
  )
  t.strictSame(done, [1, 2])
  t.equal(unknownOf(a), 0)
})

t.test("work given back for good is not confirmed, and the receipt says so", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const { open, opened } = gate()
  const crew = b.subscribe("job", { queue: "crew", prefetch: 0 }, () => opened)
  await net.settle()
  const receipts = [1, 2].map((n) => a.publish("job", n, { confirm: true }))
  t.match(await net.until(receipts[0]!), { sent: 1, confirmed: 1 })
  await net.advance(10)
  crew.unsubscribe()
  t.strictSame(
    await net.until(receipts[1]!),
    { sent: 0, waiting: 0, dropped: 1, reasons: { full: 1 }, confirmed: 0, unconfirmed: 0 },
    "nobody is left",
  )
  t.match(a.stats().dropped, { busy: { count: 1 } })
  open()
})

t.test("our own give work back, too: it is tried again in peace, and confirmed once it is taken", async (t) => {
  await using net = await testMesh(["a"], { clock: "virtual" })
  const { a } = net.mesh
  const { open, opened } = gate()
  const done: unknown[] = []
  a.subscribe("job.a", { queue: "crew", prefetch: 0 }, async ({ data }) => {
    done.push(data)
    await opened
  })
  // This one has room, and keeps the group from being full.
  a.subscribe("job.b", { queue: "crew" }, () => {})
  const receipts = [1, 2].map((n) => a.publish("job.a", n, { confirm: true }))
  t.match(await net.until(receipts[0]!), { sent: 1, confirmed: 1 })
  let over = false
  void receipts[1]!.then(() => (over = true))
  await net.advance(1000)
  t.notOk(over)
  open()
  t.match(await net.until(receipts[1]!), { sent: 1, confirmed: 1, unconfirmed: 0 })
  t.strictSame(done, [1, 2])
})

t.test("nobody gives back what it never got, nor anything twice, nor what it has acknowledged", async (t) => {
  const mesh = await member(t)
  const peer = await MeshPeer.join(t, mesh, {}, [want("job", "crew"), want("job", "other")])
  const say = (group: string, content: Frames): void => peer.send(groupHead(Kind.RETURN, 0, group), ...content)
  mesh.tryPublish("job", "first")
  const [head, ...first] = await peer.next(Kind.PUBLISH)
  t.ok(head)
  const got: unknown[] = []
  for (const queue of ["crew", "other", "third"])
    mesh.subscribe("job", { queue }, ({ data, from }) => void got.push([queue, data, from.id === mesh.id]))
  const forged = first.map((frame) => Uint8Array.from(frame))
  forged[0]![forged[0]!.length - 1]! ^= 1
  const before = unknownOf(mesh)
  say("crew", forged)
  say("third", first)
  await peer.settled()
  t.equal(unknownOf(mesh) - before, 2)
  t.strictSame(got, [])
  say("crew", first)
  say("crew", first)
  await peer.settled()
  t.equal(unknownOf(mesh) - before, 3, "once, and not twice")
  t.strictSame(got, [["crew", "first", true]])
  // It has both groups' work of one message, and says of one only that it has taken it.
  peer.send(numbered(Kind.TAKEN, 0, 1))
  say("other", first)
  await peer.settled()
  t.equal(unknownOf(mesh) - before, 4)
  t.equal(got.length, 1)
  t.equal(hubOf(mesh).outgoing.held, 0)
  t.notOk(peer.ended)
})

t.test("what is given back after the link was lost comes on the next one", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const done: unknown[] = []
  const { open, opened } = gate()
  b.subscribe("job", { queue: "crew", prefetch: 0 }, async ({ data }) => {
    done.push(data)
    await opened
  })
  await net.settle()
  for (let n = 1; n <= 10; n++) a.tryPublish("job", n)
  // Nine of them find no room, and what b says of it finds no way.
  net.slow("a", "b", 20)
  await net.advance(30)
  net.cut("a", "b")
  await net.advance(1000)
  net.heal()
  net.slow("a", "b", 0)
  await net.settle()
  await net.advance(5000)
  t.equal(unknownOf(a), 0)
  open()
  await net.advance(60_000)
  t.strictSame(done.length, 10)
  t.strictSame(new Set(done).size, 10, "each once")
  t.strictSame(a.stats().dropped, {})
})

t.test("loans are bounded in number and bytes, and end when they are acknowledged or taken back", (t) => {
  const loans = new Loans()
  const message = (size: number, ...groups: string[]): Uint8Array[] => [
    publishHead(false, groups, 7),
    Uint8Array.from({ length: size }, (_, i) => i),
  ]
  const [one, two, three] = [message(5, "g"), message(6, "g", "h"), message(7, "g")]
  for (const [i, each] of [one, two, three].entries()) loans.add(each, i + 1, sizeOf(each))
  loans.delete(three)
  loans.acknowledge(1, false)
  t.equal(loans.giveBack("g", one.slice(1)), undefined)
  t.equal(loans.giveBack("g", three.slice(1)), undefined)
  t.strictSame(loans.giveBack("h", two.slice(1)), { frames: two.slice(1), confirm: 7, whole: false })
  t.strictSame(loans.giveBack("g", two.slice(1)), { frames: two.slice(1), confirm: 7, whole: true })
  const many = Array.from({ length: 20_000 }, (_, i) => message(i % 50, `g${i}`))
  for (const [i, each] of many.entries()) loans.add(each, i + 10, sizeOf(each))
  t.equal(loans.giveBack("g0", many[0]!.slice(1)), undefined, "the oldest are forgotten")
  t.ok(loans.giveBack("g19999", many[19_999]!.slice(1)))
  const large = ["x", "y", "z"].map((group) => [publishHead(false, [group], 0), new Uint8Array(20 * 1024 * 1024)])
  for (const each of large) loans.add(each, 30_000, sizeOf(each))
  t.equal(loans.giveBack("g19999", many[19_999]!.slice(1)), undefined, "by their bytes, too")
  t.equal(loans.giveBack("y", large[1]!.slice(1)), undefined)
  t.ok(loans.giveBack("z", large[2]!.slice(1)))
  loans.add(one, 40_000, sizeOf(one))
  loans.acknowledge(1, true)
  t.equal(loans.giveBack("g", one.slice(1)), undefined, "nothing is on its way")
  t.end()
})

t.test("a return comes before the word that its message was taken", async (t) => {
  const mesh = await member(t)
  const { opened } = gate()
  mesh.subscribe("job", { queue: "crew", prefetch: 0 }, () => opened)
  const peer = await MeshPeer.join(t, mesh)
  const [, ...content] = [0, Uint8Array.of(0, 3, 106, 111, 98, 0, 0, 0, 1)] as unknown as Frames
  const COUNT = 1500
  for (let i = 0; i < COUNT; i++) peer.send(publishHead(false, ["crew"], 0), ...content)
  await peer.settled()
  await until("the last word", () =>
    peer.inbox.some(([head]) => head![0] === Kind.TAKEN && numberAt(head!, 2) === COUNT),
  )
  let returned = 0
  for (const [head] of peer.inbox) {
    if (head![0] === Kind.RETURN) returned++
    // The first one was kept.
    if (head![0] === Kind.TAKEN) t.ok(returned >= numberAt(head!, 2) - 1, `${returned} came back by then`)
  }
  t.equal(returned, COUNT - 1)
})

t.test("work that is too large for its publisher to take back is kept, busy or not, and the link stays", async (t) => {
  const worker = await member(t)
  const publisher = await member(t, { discovery: [seeds(worker.endpoints[0]!)], maxMessageSize: 65_536 })
  const { open, opened } = gate()
  let done = 0
  worker.subscribe("job", { queue: "crew", prefetch: 1 }, async () => {
    done++
    await opened
  })
  await publisher.ready({ subject: "job" })
  const events: string[] = []
  for (const mesh of [worker, publisher]) {
    mesh.on("leave", () => void events.push("leave"))
    mesh.on("drop", ({ reason }) => void events.push(reason))
  }
  const link = hubOf(publisher).links.members.get(worker.id)!.pipe
  // All before the word that the worker is full.
  for (let i = 0; i < 6; i++) t.equal(publisher.tryPublish("job", new Uint8Array(70_000)).sent, 1)
  await publisher.flush()
  open()
  await until("all of it", () => done === 6)
  t.strictSame(events, [])
  t.equal(hubOf(publisher).links.members.get(worker.id)!.pipe, link)
})
