// requestMany where carriers are in between: every server once, whoever asks, and what its end, a loss and a bound do.
import t, { type Test } from "tap"
import type { EarshotError } from "../../lib/errors.ts"
import { seeds, type Discovery, type Mesh, type Replies, type Reply } from "../../lib/mesh/index.ts"
import { Codecs } from "../../lib/mesh/codecs.ts"
import { encodeContent } from "../../lib/mesh/content.ts"
import type { Member } from "../../lib/mesh/member.ts"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import { testMesh, type TestMesh } from "../../lib/mesh/testing.ts"
import {
  FAILED,
  Kind,
  LAST,
  MANY,
  PART,
  bare,
  numberAt,
  numbered,
  requestHead,
  requestOf,
} from "../../lib/mesh/wire.ts"
import { MeshPeer, hubOf, member, want, type Frames } from "../support/mesh-peer.ts"
import { until, within } from "../support/sockets.ts"

const ALL = ["r1", "r2", "r3", "l1a", "l1b", "l2a", "l2b"] as const

/** Members r1 to r3, the first two with two leaves each. */
async function carried(t: Test): Promise<TestMesh> {
  const net = await testMesh(["r1", "r2", "r3"], {
    member: (name) => ({ observe: false, ...(name.startsWith("l") ? { listen: [] } : {}) }),
  })
  t.teardown(() => net.close())
  for (const leaf of ALL.slice(3)) {
    const carrier = `r${leaf[1]}`
    const others = ["r1", "r2", "r3"].filter((name) => name !== carrier)
    await net.join(leaf)
    for (const other of others) net.cut(leaf, other)
    await until(`${leaf} at ${carrier}`, () => carrierOf(net, leaf) === carrier)
    for (const other of others) net.heal(leaf, other)
  }
  await net.settle()
  return net
}

const carrierOf = (net: TestMesh, leaf: string): string | undefined => [...net.mesh[leaf]!.members.values()][0]?.name

async function all<Data>(replies: AsyncIterable<Reply<Data>>): Promise<Data[]> {
  const found: Data[] = []
  for await (const { data } of replies) found.push(data)
  return found.toSorted((a, b) => Number(String(a) > String(b)) - Number(String(a) < String(b)))
}

const codes = ({ failures }: Replies): string[] =>
  failures.map(({ error }) => `${error.code} ${(error as { remoteCode?: string }).remoteCode ?? ""}`.trim()).sort()

interface Passing {
  readonly askers: ReadonlyMap<Member, { readonly passed: ReadonlyMap<number, unknown>; readonly awaited: number }>
}

/** Nothing of it is left anywhere. */
async function clean(net: TestMesh): Promise<void> {
  for (const [name, mesh] of Object.entries(net.mesh)) {
    const { asking, answering, relay } = hubOf(mesh)
    const { askers: passed } = (relay as unknown as { requests: Passing }).requests
    await until(
      `nothing is left at ${name}`,
      () =>
        asking.waiting === 0 &&
        answering.size === 0 &&
        [...passed.values()].every((each) => each.passed.size === 0 && each.awaited === 0),
    )
  }
}

t.test("all that are in no group answer once, and one of each group, whoever asks", async (t) => {
  const net = await carried(t)
  const asked: string[] = []
  for (const name of ALL) {
    net.mesh[name]!.serve("who", () => (asked.push(name), name), { queue: null })
    net.mesh[name]!.serve("who", () => "shared", { queue: "g" })
    net.mesh[name]!.serve(
      "some",
      () => {
        if (name === "l1a") return name
        throw Object.assign(new Error(name), { code: name })
      },
      { queue: null },
    )
  }
  net.mesh["l2b"]!.serve("alone", () => "l2b", { queue: null })
  await net.settle()
  await net.settle()
  for (const asker of ALL) {
    asked.length = 0
    const replies = net.mesh[asker]!.requestMany<string>("who")
    t.strictSame(await within(asker, all(replies)), [...ALL, "shared"].sort(), `${asker} hears all`)
    t.strictSame(codes(replies), [])
    t.strictSame(asked.sort(), [...ALL].sort(), "each was asked once")
    const some = net.mesh[asker]!.requestMany<string>("some")
    t.strictSame(await within(asker, all(some)), ["l1a"])
    t.strictSame(
      codes(some),
      ALL.filter((name) => name !== "l1a")
        .map((name) => `REMOTE ${name}`)
        .sort(),
    )
    t.strictSame(await within(asker, all(net.mesh[asker]!.requestMany("alone"))), ["l2b"])
    t.strictSame(await within(asker, all(net.mesh[asker]!.requestMany("nobody"))), [])
  }
  await clean(net)
})

t.test("its end takes back all that are open: at max, out of the loop, by a signal, in time", async (t) => {
  const net = await carried(t)
  let open = 0
  let aborted = 0
  for (const name of ALL)
    net.mesh[name]!.serve(
      "x",
      (_, { signal }) => {
        if (name === "l2a") return name
        open++
        return new Promise((_, reject) =>
          signal.addEventListener("abort", () => {
            aborted++
            reject(signal.reason as Error)
          }),
        )
      },
      { queue: null },
    )
  await net.settle()
  await net.settle()
  for (const asker of ["r3", "l1a"]) {
    const mesh = net.mesh[asker]!
    const controller = new AbortController()
    const ways: readonly (() => Promise<unknown>)[] = [
      () => all(mesh.requestMany("x", null, { max: 1 })),
      async () => {
        for await (const { data } of mesh.requestMany("x")) if (data === "l2a") break
      },
      async () => {
        await t.rejects(
          (async () => {
            for await (const _ of mesh.requestMany("x", null, { signal: controller.signal }))
              controller.abort(new Error("enough"))
          })(),
          { message: "enough" },
        )
      },
      () => all(mesh.requestMany("x", null, { timeout: 300 })),
      () => all(mesh.requestMany("x", null, { stall: 50 })),
    ]
    for (const way of ways) {
      open = aborted = 0
      await within("its end", way())
      await until("all others are taken back", () => open === ALL.length - 1 && aborted === open)
      await clean(net)
    }
  }
})

t.test("who is lost is a failure, and the others answer", async (t) => {
  const net = await carried(t)
  const release: (() => void)[] = []
  for (const name of ALL)
    net.mesh[name]!.serve("x", () => new Promise((resolve) => release.push(() => resolve(name))), { queue: null })
  await net.settle()
  await net.settle()
  // A leaf of another carrier is lost while all of them work on it.
  const first = net.mesh["l1a"]!.requestMany<string>("x")
  const answers = all(first)
  await until("all are asked", () => release.length === 7)
  await net.mesh["l2b"]!.close()
  for (const each of release.splice(0)) each()
  t.strictSame(await within("the others", answers), ALL.filter((name) => name !== "l2b").sort())
  t.strictSame(codes(first), ["PEER_LOST"])
  await clean(net)
  // A carrier, and all behind it.
  const second = net.mesh["l1a"]!.requestMany<string>("x")
  const third = net.mesh["r3"]!.requestMany<string>("x")
  const both = Promise.all([all(second), all(third)])
  await until("all are asked again", () => release.length === 12)
  await net.kill("r2")
  for (const each of release.splice(0)) each()
  const [two, three] = await within("the others again", both)
  t.strictSame(two, ["l1a", "l1b", "r1", "r3"])
  t.strictSame(three, ["l1a", "l1b", "r1", "r3"])
  t.strictSame([codes(second), codes(third)], [["PEER_LOST"], ["PEER_LOST"]])
})

t.test("answers that come while a link is out are replayed, none twice", async (t) => {
  const net = await carried(t)
  const release: (() => void)[] = []
  for (const name of ALL)
    net.mesh[name]!.serve("x", () => new Promise((resolve) => release.push(() => resolve(name))), { queue: null })
  await net.settle()
  await net.settle()
  for (const [asker, a, b] of [
    ["l1a", "l1a", "r1"],
    ["l1a", "r1", "r2"],
    ["r3", "r3", "r1"],
  ] as const) {
    const replies = net.mesh[asker]!.requestMany<string>("x", null, { timeout: 60_000 })
    const answers = all(replies)
    await until("all are asked", () => release.length === 7)
    for (const other of ["r1", "r2", "r3"]) if (asker === "l1a" && other !== "r1") net.cut(asker, other)
    net.cut(a, b, { silent: false })
    for (const each of release.splice(0)) each()
    net.heal(a, b)
    t.strictSame(await within("all answers", answers), [...ALL].sort(), `${a} and ${b} apart, ${asker} asks`)
    t.strictSame(codes(replies), [])
    net.heal()
    await net.settle()
    await clean(net)
  }
})

// Exactly what travels, with peers that say what the test has them say.

const FEATURES = ["replay", "groups", "many"]
const coding = new Codecs(msgpack).standard
const content = (data: unknown, subject = ""): Frames => encodeContent(subject, coding, data)
const replyOf = (id: number, flags: number, data: unknown): Frames => [
  numbered(Kind.REPLY, flags, id),
  ...content(data),
]

/** Flags and body of each REPLY with that number that has come. */
function repliesAt(peer: MeshPeer, id: number): [flags: number, data: unknown][] {
  return peer.inbox
    .filter(([head]) => head![0] === Kind.REPLY && numberAt(head!, 2) === id)
    .map(([head, body]) => [head![1]!, body === undefined ? undefined : msgpack.decode(body.subarray(5))])
}

t.test("a carrier's parts, its failures and its last word; and who doesn't know of it is asked for one", async (t) => {
  const mesh = await member(t)
  const carrier = await MeshPeer.join(t, mesh, { id: "carrier", leaves: 3, features: FEATURES }, [
    want("x", null, true),
  ])
  const older = await MeshPeer.join(t, mesh, { id: "older", leaves: 3 }, [want("x", null, true)])
  const ask = async (): Promise<[replies: Replies, answers: Promise<unknown[]>, id: number]> => {
    const replies = mesh.requestMany("x", 1)
    const answers = all(replies)
    const [head] = await carrier.next(Kind.REQUEST)
    const [other] = await older.next(Kind.REQUEST)
    t.equal(head![1], MANY)
    t.equal(other![1], 0)
    older.send(...replyOf(numberAt(other!, 2), 0, "older"))
    return [replies, answers, numberAt(head!, 2)]
  }
  let [replies, answers, id] = await ask()
  carrier.send(...replyOf(id, PART, "a"))
  carrier.send(...replyOf(id, PART | FAILED, { code: "EMPTY", message: "no bread" }))
  carrier.send(...replyOf(id, PART | FAILED, { code: "BUSY", message: "" }))
  carrier.send(...replyOf(id, PART, "b"))
  carrier.send(numbered(Kind.REPLY, LAST, id))
  carrier.send(...replyOf(id, PART, "late"))
  t.strictSame(await within("two", answers), ["a", "b", "older"])
  t.strictSame(codes(replies), ["BUSY", "REMOTE EMPTY"])
  t.equal(replies.failures[0]!.from.id, "carrier")
  ;[replies, answers, id] = await ask()
  carrier.send(...replyOf(id, PART, "a"))
  carrier.send(...replyOf(id, 0, "b"))
  t.strictSame(await within("the last one without PART", answers), ["a", "b", "older"])
  ;[replies, answers, id] = await ask()
  carrier.send(...replyOf(id, PART, "a"))
  carrier.send(...replyOf(id, FAILED, { code: "BUSY", message: "" }))
  t.strictSame(await within("the last one failed", answers), ["a", "older"])
  t.strictSame(codes(replies), ["BUSY"])
  ;[replies, answers, id] = await ask()
  carrier.send(numbered(Kind.REPLY, LAST, id))
  t.strictSame(await within("none", answers), ["older"])
  t.strictSame(codes(replies), [])
  ;[replies, answers, id] = await ask()
  for (let i = 0; i < 16_385; i++) carrier.send(...replyOf(id, PART, i))
  t.equal((await within("very many", answers)).length, 16_385, "16,384 of it, and the other's")
  t.strictSame(codes(replies), ["LIMIT"])
  t.equal(numberAt((await carrier.next(Kind.CANCEL))[0]!, 2), id)
  t.strictSame([carrier.ended, older.ended], [false, false])
  // A request to one takes whatever comes first.
  older.send(bare(Kind.GOODBYE))
  await older.settled()
  const answer = mesh.request("x")
  const [head] = await carrier.next(Kind.REQUEST)
  t.equal(head![1], 0)
  carrier.send(...replyOf(numberAt(head!, 2), PART, "one"))
  t.equal(await within("one", answer), "one")
  t.equal(hubOf(mesh).asking.waiting, 0)
})

t.test("what a carrier says to a leaf that asks all: parts, and the last one without the flag", async (t) => {
  const mesh = await member(t)
  const leaf = await MeshPeer.join(t, mesh, { id: "leaf", leaf: true, features: FEATURES })
  const ask = async (id: number, flags: number, subject: string, group?: string): Promise<[number, unknown][]> => {
    const head = requestHead(id, 5000, group)
    head[1]! |= flags
    leaf.send(head, ...content(1, subject))
    await until("its end", () => repliesAt(leaf, id).some(([flag]) => (flag & PART) === 0))
    return repliesAt(leaf, id)
  }
  t.match(await ask(1, MANY, "x"), [[FAILED, { code: "NO_RESPONDERS" }]])
  mesh.serve("x", () => "carrier", { queue: null })
  t.strictSame(await ask(2, MANY, "x"), [[0, "carrier"]], "it alone")
  const one = await MeshPeer.join(t, mesh, { id: "one" }, [want("x", null, true), want("x", "g", true)])
  const two = await MeshPeer.join(t, mesh, { id: "two", features: FEATURES }, [want("x", null, true)])
  for (const peer of [one, two])
    peer.socket.onmessage = ([head]) => {
      if (head![0] !== Kind.REQUEST) return
      const { many, group } = requestOf(head!)
      const id = numberAt(head!, 2)
      if (!many) return peer.send(...replyOf(id, 0, group ?? "one"))
      peer.send(...replyOf(id, PART, "leaf of two"))
      peer.send(numbered(Kind.REPLY, LAST, id))
    }
  const replies = await ask(3, MANY, "x")
  const answers = replies.filter(([flags]) => flags !== LAST)
  t.strictSame(answers.map(([, data]) => String(data)).sort(), ["carrier", "leaf of two", "one"])
  t.equal(replies.filter(([flags]) => (flags & PART) === 0).length, 1, "one of them is the last")
  t.notOk(replies.at(-1)![0] & PART, "and nothing follows it")
  t.equal((await ask(4, 0, "x")).length, 1, "without the flag it is a request to one")
  t.strictSame(await ask(5, MANY, "x", "g"), [[0, "g"]], "in a group there is only one to ask")
  // The same number twice.
  mesh.serve("hang", () => new Promise(() => {}), { queue: null })
  const other = await MeshPeer.join(t, mesh, { id: "other" }, [want("hang", null, true)])
  const hang = requestHead(6, 0, undefined, undefined, true)
  leaf.send(hang, ...content(1, "hang"))
  const [asked] = await other.next(Kind.REQUEST)
  leaf.send(numbered(Kind.CANCEL, 0, 6))
  t.equal(numberAt((await other.next(Kind.CANCEL))[0]!, 2), numberAt(asked!, 2))
  t.equal(hubOf(mesh).answering.size, 0)
  leaf.send(hang, ...content(1, "hang"))
  leaf.send(hang, ...content(1, "hang"))
  await until("the end of its link", () => leaf.ended)
  await other.settled()
})

t.test("a question to many counts for each who is asked: beyond 4,096 that are open it is BUSY", async (t) => {
  const mesh = await member(t)
  const leaf = await MeshPeer.join(t, mesh, { id: "leaf", leaf: true, features: FEATURES })
  mesh.serve("x", () => new Promise(() => {}), { queue: null, concurrency: Infinity, queueSize: 10_000 })
  await MeshPeer.join(t, mesh, { id: "one" }, [want("x", null, true)])
  for (let id = 1; id <= 2049; id++) leaf.send(requestHead(id, 0, undefined, undefined, true), ...content(1, "x"))
  await leaf.settled()
  t.match(repliesAt(leaf, 2049), [[FAILED, { code: "BUSY" }]])
  t.equal(hubOf(mesh).asking.waiting, 4096)
  leaf.send(numbered(Kind.CANCEL, 0, 1))
  leaf.send(requestHead(2050, 0, undefined, undefined, true), ...content(1, "x"))
  await leaf.settled()
  t.equal(hubOf(mesh).asking.waiting, 4096)
  t.strictSame(repliesAt(leaf, 2050), [])
  leaf.send(bare(Kind.GOODBYE))
  await leaf.settled()
  await leaf.socket.close()
  await until("all is taken back", () => hubOf(mesh).asking.waiting === 0 && hubOf(mesh).answering.size === 0)
})

t.test("an answer that is too large for who asked by way of a carrier is an error, and the link stays", async (t) => {
  const first = await member(t)
  const second = await member(t, { discovery: [seeds(first.endpoints[0]!)] })
  const leaf = await member(t, { discovery: [seeds(first.endpoints[0]!)], listen: [], maxMessageSize: 100_000 })
  for (const mesh of [first, second])
    mesh.serve("large", () => new Uint8Array(200_000), { queue: mesh === second ? null : "g" })
  second.serve("each", (size: number) => new Uint8Array(size), { queue: null })
  let left = 0
  leaf.on("leave", () => void left++)
  await Promise.all([first.ready({ members: 2 }), leaf.ready({ subject: "each" })])
  await second.flush()
  await first.flush()
  const large = leaf.requestMany("large")
  t.strictSame(await within("the large", all(large)), [])
  t.strictSame(codes(large), ["TOO_LARGE", "TOO_LARGE"])
  await t.rejects(leaf.request("each", 200_000), { code: "TOO_LARGE" })
  t.equal((await leaf.request<Uint8Array>("each", 10)).length, 10)
  t.equal(left, 0)
})

t.test(
  "what was asked ends, however it ended: left before it began, aborted or closed while it asks, without time",
  async (t) => {
    await using net = await testMesh<string>(["a", "b", "c"], { clock: "virtual", member: { observe: false } })
    const { a, b, c } = net.mesh as Record<"a" | "b" | "c", Mesh>
    let asked = 0
    c.serve("x", () => new Promise(() => asked++), { queue: null })
    await net.settle()
    const { holds } = net.clock
    const left = a.requestMany("x")
    await left[Symbol.asyncIterator]().return!()
    t.strictSame(await all(left), [])
    await net.advance(10_000)
    t.strictSame([net.clock.holds, hubOf(a).asking.idle, asked], [holds, true, 0], "left, and then read")
    // Whoever watches has no room: an event, and what its listener does comes while the servers are being asked.
    b.subscribe("x", () => {})
    await net.settle()
    net.slow("a", "b", 1000)
    const member = hubOf(a).links.members.get(b.id)!
    while (member.pipe!.hasRoom(1_000_000)) a.tryPublish("x", new Uint8Array(1_000_000))
    const controller = new AbortController()
    const off = a.on("slow", () => controller.abort(new Error("enough")))
    await t.rejects(net.until(all(a.requestMany("x", null, { signal: controller.signal }))), { message: "enough" })
    t.equal(hubOf(a).asking.waiting, 0, "aborted while it asks")
    off()
    member.slowed(false)
    const one = new AbortController()
    const offOne = a.on("slow", () => one.abort(new Error("enough")))
    await t.rejects(net.until(a.request("x", null, { signal: one.signal })), { message: "enough" })
    t.equal(hubOf(a).asking.waiting, 0, "the same of a request to one")
    offOne()
    member.slowed(false)
    a.on("slow", () => void a.close())
    const closing = a.requestMany("x")
    await net.until(all(closing), 100)
    t.strictSame(codes(closing), ["EBADF"], "closed while it asks")
  },
)

t.test("servers are told what is left of its time, and nobody is asked when that is over", async (t) => {
  const never: Discovery = { name: "never", start: () => new Promise(() => {}), stop: async () => {} }
  const mesh = await member(t, { settle: 500, discovery: [never] })
  let asked = 0
  mesh.serve("left", (_, { remaining }) => (asked++, remaining), { queue: null })
  const [left] = await within("the settling", all(mesh.requestMany<number>("left", null, { timeout: 3000 })))
  t.ok(left! <= 2510, `${left} ms`)
  let over!: (codes: unknown) => void
  const told = new Promise((resolve) => (over = resolve))
  mesh.serve("late", async (_, call) => {
    await until("its end", () => call.remaining === 0)
    over(await all(mesh.requestMany("left")).catch(({ code }: EarshotError) => code))
  })
  const asker = await MeshPeer.join(t, mesh, { id: "asker" })
  asker.send(requestHead(1, 50, "late"), ...content(1, "late"))
  t.equal(await within("it", told), "TIMEOUT")
  t.equal(asked, 1)
})

t.test("a carrier lets go of what nobody waits for, though no CANCEL has come", async (t) => {
  await using net = await testMesh<string>(["r1", "r2"], { clock: "virtual", member: { observe: false } })
  const leaf = await net.join("l1", { listen: [] })
  const carrier = carrierOf(net, "l1")!
  const other = carrier === "r1" ? "r2" : "r1"
  net.cut("l1", other)
  net.mesh[other]!.serve("x", () => new Promise(() => {}), { queue: null })
  await net.settle()
  const { asking } = hubOf(net.mesh[carrier]!)
  for (let i = 0; i < 3; i++) {
    const answers = all(leaf.requestMany("x", null, { timeout: 300 }))
    await net.advance(50)
    net.cut("l1", carrier)
    await net.advance(300)
    t.strictSame(await answers, [])
    t.equal(asking.waiting, 1)
    net.heal("l1", carrier)
    await net.settle()
    await net.advance(1000)
    t.equal(asking.waiting, 0)
  }
  await net.until(net.mesh[carrier]!.drain({ timeout: 5000 }))
})

t.test(
  "a carrier keeps 64 MiB of what one asker asks, or one request; and tells the next one what is left of its time",
  async (t) => {
    const mesh = await member(t, { maxMessageSize: 2 ** 27 })
    const leaf = await MeshPeer.join(t, mesh, { id: "leaf", leaf: true, features: FEATURES })
    const one = await MeshPeer.join(t, mesh, { id: "one" }, [want("x", null, true), want("g", "g", true)])
    const large = content(new Uint8Array(2 ** 23), "x")
    const open = (): number => hubOf(mesh).asking.waiting
    for (let id = 1; id <= 8; id++) {
      leaf.send(requestHead(id, 0, undefined, undefined, true), ...large)
      // One after the other: the link to who answers has its own bound.
      if (id < 8) await one.next(Kind.REQUEST)
    }
    await leaf.settled()
    t.match(repliesAt(leaf, 8), [[FAILED, { code: "BUSY" }]])
    t.equal(open(), 7)
    leaf.send(numbered(Kind.CANCEL, 0, 1))
    leaf.send(requestHead(9, 0), ...large)
    await one.next(Kind.REQUEST)
    await leaf.settled()
    t.strictSame([open(), repliesAt(leaf, 9)], [7, []])
    for (const id of [2, 3, 4, 5, 6, 7, 9]) leaf.send(numbered(Kind.CANCEL, 0, id))
    leaf.send(requestHead(10, 0), ...content(new Uint8Array(2 ** 26), "x"))
    await one.next(Kind.REQUEST)
    leaf.send(requestHead(11, 0), ...content(1, "x"))
    await leaf.settled()
    t.match(repliesAt(leaf, 11), [[FAILED, { code: "BUSY" }]])
    t.equal(open(), 1, "one that has more is passed on alone")
    leaf.send(numbered(Kind.CANCEL, 0, 10))
    // The other of a group is asked later.
    const two = await MeshPeer.join(t, mesh, { id: "two" }, [want("g", "g", true)])
    leaf.send(requestHead(12, 5000, "g"), ...content(1, "g"))
    let first: Frames | undefined
    const take = (from: MeshPeer): void => {
      const at = from.inbox.findIndex(([head]) => head![0] === Kind.REQUEST && requestOf(head!).group === "g")
      if (at >= 0) first = from.inbox.splice(at, 1)[0]
    }
    await until("one is asked", () => (take(one), take(two), first !== undefined))
    const began = performance.now()
    await until("some time", () => performance.now() - began > 200)
    const busy = replyOf(numberAt(first![0]!, 2), FAILED, { code: "BUSY", message: "" })
    one.send(...busy)
    two.send(...busy)
    first = undefined
    await until("the other is asked", () => (take(one), take(two), first !== undefined))
    t.ok(numberAt(first![0]!, 6) <= 4850, `${numberAt(first![0]!, 6)} ms`)
    // The number of what is passed on is not to be used for what is not.
    mesh.serve("own", () => new Promise(() => {}), { queue: null })
    leaf.send(requestHead(12, 0), ...content(1, "own"))
    await until("the end of its link", () => leaf.ended)
  },
)

t.test("what a failure is called has 64 characters", async (t) => {
  const mesh = await member(t)
  const peer = await MeshPeer.join(t, mesh, { id: "peer", features: FEATURES }, [want("x", null, true)])
  const replies = mesh.requestMany("x")
  const answers = all(replies)
  const id = numberAt((await peer.next(Kind.REQUEST))[0]!, 2)
  for (const length of [64, 65]) peer.send(...replyOf(id, PART | FAILED, { code: "C".repeat(length), message: "" }))
  peer.send(numbered(Kind.REPLY, LAST, id))
  t.strictSame(await within("its end", answers), [])
  t.strictSame(codes(replies), ["REMOTE", `REMOTE ${"C".repeat(64)}`])
})
