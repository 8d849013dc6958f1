// What members must not be able to do to each other: each ends with a clear refusal, a count or the end of that one link,
// and nobody else notices.
import t, { type Test } from "tap"
import { Dealer, Router } from "../../lib/index.ts"
import type { MeshEvents } from "../../lib/mesh/events.ts"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import { Mesh, seeds } from "../../lib/mesh/index.ts"
import { ANSWER, FULL, Kind, RESET, bare, groupHead, numbered, publishHead, requestHead } from "../../lib/mesh/wire.ts"
import { HELLO, MeshPeer, hubOf, member, unknownOf, want } from "../support/mesh-peer.ts"
import { outcome, until, within } from "../support/sockets.ts"

t.setTimeout(120_000)

/** A peer that behaves: the test ends with the proof that nobody disturbed it, or the member itself. */
async function bystander(t: Test, mesh: Mesh): Promise<() => Promise<void>> {
  const peer = await MeshPeer.join(t, mesh, { id: "good", name: "good" }, [want("good.>")])
  return async () => {
    t.ok((await mesh.publish("good.news", 1)).sent > 0)
    await peer.next(Kind.PUBLISH)
    await peer.settled()
    t.notOk(peer.ended, "the other link lives")
    t.ok(mesh.members.has("good"))
  }
}

/** A content of MessagePack. */
function content(subject: string, data: unknown): Buffer {
  const size = Buffer.alloc(2)
  size.writeUInt16BE(Buffer.byteLength(subject))
  return Buffer.concat([size, Buffer.from(subject), Buffer.from([1, 0, 0]), msgpack.encode(data)])
}

const end = (peer: MeshPeer): Promise<void> => until("the link's end", () => peer.ended)
const numberOf = (head: Uint8Array | undefined): number => Buffer.from(head!).readUInt32BE(2)

t.test("at the door", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const denied: MeshEvents["denied"][] = []
  mesh.on("denied", (event) => void denied.push(event))
  const knock = async (hello: object): Promise<[unknown, MeshPeer]> => {
    const peer = await MeshPeer.dial(t, mesh.endpoints[0]!)
    await peer.next(Kind.ASK)
    peer.say(Kind.HELLO, { ...HELLO, ...hello })
    await until("an answer", () => peer.ended || peer.inbox.length > 0)
    const [answer] = peer.inbox
    return [
      answer?.[0]![0] === Kind.REFUSE ? (msgpack.decode(answer[1]!) as { reason: string }).reason : undefined,
      peer,
    ]
  }
  for (const [hello, reason] of [
    [{ network: "another" }, "network"],
    [{ version: [2, 0] }, "version"],
    [{ id: mesh.id }, "clash"],
    [{ id: "good", link: 1 }, "duplicate"],
    [{ id: "good", epoch: 0, link: 9 }, "stale"],
  ] as const) {
    const [answer, peer] = await knock(hello)
    t.equal(answer, reason)
    await end(peer)
  }
  t.match(denied, [{ what: "link", reason: "it belongs to another network" }])
  for (const hello of [
    { id: "a\nb" },
    { id: "x".repeat(65) },
    { id: "" },
    { id: 7 },
    { version: "1.0" },
    { version: [1] },
    { network: 5 },
    { network: "n".repeat(257) },
    { meta: { much: "x".repeat(70_000) } },
  ]) {
    const [answer, peer] = await knock(hello)
    t.equal(answer, undefined, JSON.stringify(hello).slice(0, 40))
    await end(peer)
  }
  // Whatever is missing or nonsense and not needed is as good as empty.
  const [, peer] = await knock({
    id: "odd",
    name: 5,
    features: "many",
    endpoints: [1, "nonsense", "tcp://a\nb", `tcp://${"x".repeat(2000)}`, "tcp://10.1.1.1:1"],
    meta: [],
    epoch: -1,
    link: "1",
    taken: 1e300,
    leaf: "yes",
  })
  await peer.next(Kind.WELCOME)
  await until("it", () => mesh.members.has("odd"))
  t.match(mesh.members.get("odd"), { name: "odd", endpoints: ["tcp://10.1.1.1:1"], meta: {}, leaf: false })
  await undisturbed()
})

t.test("hello twice, a welcome unasked, and what comes before its time", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const peer = await MeshPeer.dial(t, mesh.endpoints[0]!)
  peer.say(Kind.WELCOME, HELLO)
  peer.send(publishHead(true, [], 7), content("early", 1))
  peer.say(Kind.HELLO, HELLO)
  peer.say(Kind.HELLO, { ...HELLO, id: "other", link: 7 })
  peer.say(Kind.WELCOME, { ...HELLO, id: "third" })
  peer.say(Kind.REFUSE, { reason: "duplicate" })
  await peer.settled()
  t.same([...mesh.members.keys()].sort(), ["good", "peer"])
  t.equal(unknownOf(mesh), 5)
  t.notOk(peer.inbox.some(([head]) => head![0] === Kind.CONFIRM))
  await undisturbed()
})

t.test("a listener that lies", async (t) => {
  const router = new Router({ linger: 0 })
  t.teardown(() => router.close())
  await router.bind("tcp://127.0.0.1:*")
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const { links, finder } = hubOf(mesh)
  const ask = [bare(Kind.ASK), msgpack.encode({ ...HELLO, id: "liar" })]
  const say = (kind: number, body: unknown): Uint8Array[] => [bare(kind), msgpack.encode(body)]
  const lies = [
    [say(Kind.WELCOME, HELLO)],
    [ask, say(Kind.WELCOME, { ...HELLO, id: "another" })],
    [ask, say(Kind.WELCOME, "yes")],
    [say(Kind.ASK, { ...HELLO, id: "a b" })],
    [say(Kind.ASK, { ...HELLO, version: 1 })],
    [[bare(Kind.ASK)]],
    [[bare(Kind.ASK), Buffer.from([0xc1])]],
    [ask, say(Kind.REFUSE, { reason: "\n", text: "\u001b[31m\n" })],
    [ask, say(Kind.REFUSE, [1])],
    [ask, ask, [bare(Kind.BARRIER)], [Buffer.alloc(0)], say(Kind.INTEREST, [want("x")]), say(Kind.WELCOME, {})],
  ]
  let now: Uint8Array[][] = []
  let ended = 0
  router.events.on("peer:join", ({ peer }) => {
    for (const frames of now) void router.send([peer.routingId, ...frames]).catch(() => {})
  })
  router.events.on("peer:leave", () => ended++)
  router.onmessage = ([id]) => {
    if (now === truth) void router.send([id!, ...say(Kind.WELCOME, { ...HELLO, id: "liar" })])
  }
  const truth = [ask]
  for (const [i, lie] of lies.entries()) {
    now = lie
    links.reach.found(undefined, [router.lastEndpoint!])
    await until(`the end of lie ${i}`, () => ended > i && links.knocking === 0)
    t.notOk(mesh.members.has("liar"))
  }
  // oxlint-disable-next-line no-control-regex
  for (const { evidence } of finder.findings.recent(Infinity)) t.notMatch(evidence, /[\u0000-\u001f]/)
  now = truth
  links.reach.found(undefined, [router.lastEndpoint!])
  await until("the truth", () => mesh.members.has("liar"))
  await undisturbed()
})

t.test("interest that is none, or too much", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const hub = hubOf(mesh)
  const denied: MeshEvents["denied"][] = []
  mesh.on("denied", (event) => void denied.push(event))
  const peer = await MeshPeer.join(t, mesh)
  const odd = [
    null,
    1,
    [],
    [1],
    [2, "a"],
    [1, 5],
    [1, "a..b"],
    [1, "a b"],
    [1, "a", ""],
    [1, "a", "ä".repeat(128)],
    [1, "a", {}],
  ]
  peer.say(Kind.INTEREST, odd)
  peer.say(Kind.INTEREST, [[1, "x".repeat(3 * 1024 * 1024), null, 0], want("fine")])
  peer.say(Kind.INTEREST, [[0, "never.said", null, 0], want("fine"), want("fine")])
  await peer.settled()
  t.equal(unknownOf(mesh), odd.length + 1)
  t.match(await mesh.publish("fine", 1), { sent: 1 })
  for (const body of [{}, "text", 7, null]) {
    const rogue = await MeshPeer.join(t, mesh, { id: `rogue-${JSON.stringify(body)}` })
    rogue.say(Kind.INTEREST, body)
    await end(rogue)
  }
  const large = await MeshPeer.join(t, mesh, { id: "large" })
  large.say(Kind.INTEREST, [want("x".repeat(10_000_000))])
  await end(large)

  // A million.
  const greedy = await MeshPeer.join(t, mesh, { id: "greedy" })
  const before = hub.routes.table.size
  for (let i = 0; i < 1000; i++) {
    greedy.say(
      Kind.INTEREST,
      Array.from({ length: 1000 }, (_, n) => want(`much.${i}.${n}`)),
    )
    if (i % 100 === 0) await greedy.settled()
  }
  await greedy.settled()
  t.notOk(greedy.ended)
  t.equal(hub.routes.table.size - before, 65_535)
  const refusals = greedy.inbox.filter(([head]) => head![0] === Kind.DENIED).map(([, body]) => msgpack.decode(body!))
  t.match(refusals[0], { what: "interest", count: 465, subject: "much.65.535", reason: /65535 wishes/ })
  t.equal(
    refusals.reduce<number>((sum, refusal) => sum + (refusal as { count: number }).count, 0),
    1_000_000 - 65_535,
  )
  t.match(denied[0], { what: "interest", member: "greedy", reason: /too many subscriptions/, count: 465 })
  const sum = (): number => denied.reduce((all, { member, count }) => all + (member === "greedy" ? count : 0), 0)
  await until("the rest is told of", () => sum() === 1_000_000 - 65_535)
  t.ok(denied.length < 60, `${denied.length} events, at most one a second`)
  t.match(await mesh.publish("much.0.1", 1), { sent: 1 })
  // Said anew it takes the place of all that.
  greedy.send(bare(Kind.INTEREST, RESET), msgpack.encode([want("much.0.1"), want("new")]))
  greedy.send(bare(Kind.BARRIER))
  await greedy.settled()
  t.equal(hub.routes.table.size - before, 2)

  // Few, and heavy: patterns of many tokens are kept token by token.
  const heavy = await MeshPeer.join(t, mesh, { id: "heavy" })
  for (let i = 0; i < 20; i++) {
    heavy.say(
      Kind.INTEREST,
      Array.from({ length: 1000 }, (_, n) => want(`${Array.from({ length: 63 }, () => `${i}-${n}`).join(".")}.*`)),
    )
    await heavy.settled()
  }
  t.ok(hub.routes.table.size - before < 8000, String(hub.routes.table.size - before))
  await heavy.next(Kind.DENIED)
  await undisturbed()
})

t.test("a table said again leaves no gap", async (t) => {
  const mesh = await member(t)
  const peer = await MeshPeer.join(t, mesh, {}, [want("a"), want("b")])
  peer.send(bare(Kind.INTEREST, RESET), msgpack.encode([]))
  await peer.settled()
  t.match(await mesh.publish("a", 1), { sent: 1 }, "until the barrier what was said holds")
  peer.say(Kind.INTEREST, [want("a")])
  peer.send(bare(Kind.BARRIER))
  await peer.settled()
  t.match(await mesh.publish("a", 1), { sent: 1 })
  t.match(await mesh.publish("b", 1), { sent: 0 })
  peer.say(Kind.DIGEST, [1, 0x1234])
  await peer.next(Kind.RESEND)
})

t.test("garbage at every kind", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  mesh.subscribe(">", () => {})
  mesh.subscribe("work.*", { queue: "crew" }, () => {})
  mesh.serve("ask", () => 1)
  // mulberry32
  let seed = 0x5eed
  const random = (below: number): number => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
  const bytes = (most: number): Buffer => Buffer.from(Array.from({ length: random(most) }, () => random(256)))
  const value = (depth = 0): unknown => {
    const make = [
      () => random(1000),
      () => null,
      () => "peer",
      () => "tcp://127.0.0.1:1",
      () => bytes(20),
      () => 2 ** 53,
      () => (depth > 3 ? 1 : Array.from({ length: random(5) }, () => value(depth + 1))),
      () => (depth > 3 ? 1 : { id: value(depth + 1), meta: value(depth + 1), name: value(depth + 1) }),
    ]
    return make[random(make.length)]!()
  }
  let peer: MeshPeer | undefined
  let links = 0
  for (const kind of [0, ...Object.values(Kind), 63, 255])
    for (let i = 0; i < 60; i++) {
      if (peer === undefined || peer.ended) {
        peer = await MeshPeer.join(t, mesh, { id: `fuzz-${links++}` }, [want("a")])
      }
      const head = Buffer.concat([Buffer.from([kind, random(256)]), bytes(24)])
      const bodies = Array.from({ length: random(3) }, () => (random(2) === 0 ? bytes(64) : msgpack.encode(value())))
      peer.send(...(random(20) === 0 ? [head.subarray(0, random(2))] : [head]), ...bodies)
      if (random(4) === 0) peer.send(head, content("work.now", value()))
      if (random(8) === 0) await peer.settled()
    }
  await peer!.settled()
  t.ok(links > 20, `${links} links ended`)
  await undisturbed()
})

t.test("gossip that is too much, or nonsense", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const record = (id: unknown, ...endpoints: unknown[]): object => ({ id, epoch: 1, endpoints })
  for (const [kind, list] of [
    [Kind.MEMBERS, Array.from({ length: 65_537 }, () => 1)],
    [Kind.RECORDS, Array.from({ length: 1025 }, (_, i) => record(`m${i}`, "tcp://10.9.9.9:1"))],
    [Kind.CENSUS, { count: 1 }],
    [Kind.MEMBERS, "all"],
    [Kind.RECORDS, 9],
  ] as const) {
    const rogue = await MeshPeer.join(t, mesh, { id: `rogue-${kind}` })
    rogue.say(kind, list)
    await end(rogue)
  }
  const peer = await MeshPeer.join(t, mesh, { leaves: 3, meta: { role: "peer" } })
  const odd = [
    null,
    7,
    record("a"),
    record("b", 5, {}),
    record("c\n", "tcp://127.0.0.1:1"),
    record(5, "tcp://127.0.0.1:1"),
    record("d", "nonsense", "tcp://a\u0000b", "\u202etcp://x:1"),
    { id: "e", endpoints: "tcp://127.0.0.1:1" },
  ]
  peer.say(Kind.RECORDS, odd)
  await peer.settled()
  t.equal(unknownOf(mesh), odd.length)
  // Dialled at most once, and nobody is there; nor at what is no endpoint.
  peer.say(Kind.RECORDS, [
    record("f", "tcp://localhost:1", "tcp://[::1", "tcp://127.0.0.1:99999", "ftp://127.0.0.1:1", "tcp://127.0.0.1:"),
  ])
  // What is said of those who are linked, or of ourselves, is nothing new.
  peer.say(Kind.RECORDS, [record("good", "tcp://127.0.0.1:1"), record(mesh.id, "tcp://127.0.0.1:1")])
  for (let i = 0; i < 5; i++)
    peer.say(
      Kind.RECORDS,
      Array.from({ length: 1000 }, (_, n) => record(`far-${i}-${n}`, "tcp://10.9.9.9:1")),
    )
  peer.say(
    Kind.MEMBERS,
    Array.from({ length: 60_000 }, (_, n) => [`x${n}`, "epoch"]),
    ANSWER,
  )
  await peer.next(Kind.RECORDS)
  await peer.next(Kind.MEMBERS)
  peer.say(Kind.SUSPECT, { id: "good" })
  peer.say(Kind.SUSPECT, { id: ["good"] })
  peer.say(Kind.UPDATE, { id: "good", name: "thief", endpoints: ["tcp://10.0.0.1:1"] })
  await peer.settled()
  t.equal(unknownOf(mesh), odd.length + 5003 - 4096)
  t.match(
    mesh.members.get("peer"),
    { name: "thief", leaves: 3, meta: { role: "peer" } },
    "what it didn't say is as before",
  )
  t.equal(mesh.members.get("good")?.name, "good")
  await undisturbed()
})

t.test("counts, and numbers of others", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const gaps: MeshEvents["gap"][] = []
  mesh.on("gap", (event) => void gaps.push(event))
  const liar = await MeshPeer.join(t, mesh, { id: "liar", taken: 2 ** 53 - 1 }, [want("x"), want("do", "do", true)])
  const honest = await MeshPeer.join(t, mesh, { id: "honest" }, [want("only.honest"), want("sum", "sum", true)])
  for (const count of [0, 1, 0xffff_ffff]) liar.send(numbered(Kind.TAKEN, 0, count))
  liar.send(numbered(Kind.GAP, 0, 0xffff_ffff))
  await liar.settled()
  t.match(gaps, [{ direction: "received", count: 0xffff_ffff, member: { id: "liar" } }])
  t.match(await mesh.publish("x", 1), { sent: 1 })

  const asked = mesh.request("sum", [1, 2])
  const number = numberOf((await honest.next(Kind.REQUEST))[0])
  const confirmed = mesh.publish("only.honest", 1, { confirm: true })
  const confirm = numberOf((await honest.next(Kind.PUBLISH))[0])
  const flushed = outcome(mesh.flush())
  const sync = numberOf((await honest.next(Kind.SYNC))[0])
  for (const each of [number, confirm, sync, 0, 12_345, 0xffff_ffff]) {
    liar.send(numbered(Kind.ACCEPT, 0, each))
    liar.send(numbered(Kind.REPLY, 0, each), content("", "a lie"))
    liar.send(numbered(Kind.REPLY, 1, each), content("", { code: "BUSY", message: 5 }))
    liar.send(numbered(Kind.CONFIRM, 0, each))
    liar.send(numbered(Kind.CANCEL, 0, each))
    liar.send(numbered(Kind.SYNCED, 0, each))
  }
  await liar.settled()
  honest.send(numbered(Kind.REPLY, 0, number), content("", 3))
  honest.send(numbered(Kind.CONFIRM, 0, confirm))
  t.equal(await asked, 3)
  t.match(await confirmed, { sent: 1, confirmed: 1, unconfirmed: 0 })
  for (const { id } of mesh.members.values()) t.ok(["good", "liar", "honest"].includes(id))
  honest.send(numbered(Kind.SYNCED, 0, sync))
  await undisturbed()
  await liar.socket.close()
  // Who does not answer is waited for until it is gone; the bystander has not answered.
  hubOf(mesh).links.members.get("good")!.pipe!.close()
  t.equal(await flushed, "done")
})

t.test("errors that are none, or unfit to be read", async (t) => {
  const mesh = await member(t)
  const peer = await MeshPeer.join(t, mesh, {}, [want("ask", "ask", true)])
  const answers = [
    { code: 5, message: ["x"] },
    "text",
    null,
    { code: "X".repeat(5000), message: "m".repeat(100_000) },
    {},
  ]
  for (const answer of answers) {
    const asked = mesh.request("ask").catch((error: unknown) => error)
    peer.send(numbered(Kind.REPLY, 1, numberOf((await peer.next(Kind.REQUEST))[0])), content("", answer))
    t.match(await asked, { name: "EarshotError", code: "REMOTE" })
  }
  // An answer nobody can decode is the asker's own error.
  const asked = mesh.request("ask").catch((error: unknown) => error)
  const undecodable = Buffer.from([0, 0, 1, 0, 0, 0xc1])
  peer.send(numbered(Kind.REPLY, 0, numberOf((await peer.next(Kind.REQUEST))[0])), undecodable)
  t.match(await asked, { code: "DECODE" })
  t.notOk(peer.ended)
})

t.test("loads, and messages given back", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const peer = await MeshPeer.join(t, mesh, {}, [want("work", "crew")])
  for (let i = 0; i < 100_000; i++) peer.send(groupHead(Kind.LOAD, FULL, `group-${i}`))
  await peer.settled()
  const { full } = hubOf(mesh).links.members.get("peer")!
  t.equal(full.size, 4096)
  for (let i = 0; i < 100_000; i++) peer.send(groupHead(Kind.LOAD, 0, `group-${i}`))
  await peer.settled()
  t.equal(full.size, 0)
  // What it never got, for a group that nobody is in.
  const unknown = unknownOf(mesh)
  for (let i = 0; i < 1000; i++) peer.send(groupHead(Kind.RETURN, 0, `nobody-${i}`), content("no.such", 1))
  await peer.settled()
  t.equal(unknownOf(mesh) - unknown, 1000, "skipped, and counted")
  t.strictSame(mesh.stats().dropped, {})
  t.equal(hubOf(mesh).outgoing.held, 0)
  // All that it gets, again and again, and others get it soon.
  let times = 0
  const got: unknown[] = []
  peer.socket.onmessage = ([head, ...frames]) => {
    if (head![0] === Kind.PUBLISH && times++ < 1000) peer.send(groupHead(Kind.RETURN, 0, "crew"), ...frames)
  }
  await mesh.publish("work", 1)
  await until("a few returns", () => times >= 3)
  mesh.subscribe("work", { queue: "crew" }, ({ data }) => void got.push(data))
  await until("the message", () => got.length === 1)
  t.ok(times < 100, `${times} returns`)
  peer.socket.onmessage = (message) => void peer.inbox.push(message)
  t.notOk(peer.ended)
  await undisturbed()
})

t.test("more groups than fit a byte", async (t) => {
  const mesh = await member(t)
  const names = Array.from({ length: 700 }, (_, i) => `group-${i}`)
  const got = new Set<string>()
  const other = await member(t, { discovery: [seeds(mesh.endpoints[0]!)] })
  for (const queue of names) other.subscribe("many", { queue }, () => void got.add(queue))
  await other.ready({ members: 1 })
  await other.flush()
  t.match(await mesh.publish("many", 1, { confirm: true }), { sent: 1, confirmed: 1 })
  t.equal(got.size, 700)
})

t.test("requests without end", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  let open = 0
  mesh.serve("hang", () => new Promise(() => void open++), { concurrency: Infinity })
  const greedy = await MeshPeer.join(t, mesh, { id: "greedy" })
  for (let i = 1; i <= 16_400; i++) greedy.send(requestHead(i, 0, "hang"), content("hang", i))
  await greedy.settled()
  t.equal(open, 16_384)
  const refused = greedy.inbox.filter(([head]) => head![0] === Kind.REPLY)
  t.equal(refused.length, 16)
  t.match(msgpack.decode(refused[0]![1]!.subarray(5)), { code: "BUSY" })
  const other = await MeshPeer.join(t, mesh, { id: "other" })
  other.send(requestHead(1, 0, "hang"), content("hang", 1))
  await other.next(Kind.ACCEPT)
  other.send(requestHead(1, 0, "hang"), content("hang", 1))
  await end(other)
  const { answering } = hubOf(mesh)
  t.equal(answering.size, 16_385)
  greedy.send(bare(Kind.GOODBYE))
  await greedy.settled()
  await greedy.socket.close()
  await until("its calls' end", () => answering.size <= 1)
  for (const broken of [
    Buffer.from([Kind.REQUEST, 0, 0, 0, 0]),
    Buffer.from([Kind.REQUEST, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
  ]) {
    const peer = await MeshPeer.join(t, mesh, { id: `broken-${broken.length}` })
    peer.send(broken, content("hang", 1))
    await end(peer)
  }
  await undisturbed()
})

t.test("contents that are none", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const got: unknown[] = []
  mesh.subscribe("x", ({ data }) => void got.push(data))
  const long = Buffer.concat([Buffer.from([0xff, 0xff]), Buffer.alloc(10_000_000, "x")])
  for (const [name, ...frames] of [
    ["a subject of 10 MB", long],
    ["no content"],
    ["no subject", content("", 1)],
    ["a wildcard", content("x.*", 1)],
    ["three frames", content("x", 1), Buffer.from("a"), Buffer.from("b")],
    ["control characters", content("x\ny", 1)],
    ["headers of numbers", Buffer.from([0, 1, 0x78, 1, 0, 3, 0x81, 0x01, 0x01])],
  ] as const) {
    const peer = await MeshPeer.join(t, mesh, { id: `rogue-${name.replaceAll(" ", "-")}` })
    peer.send(publishHead(true, [], 0), ...frames)
    await end(peer)
    t.pass(name)
  }
  t.same(got, [])
  await undisturbed()
})

t.test("meta and names", async (t) => {
  const lines: string[] = []
  process.env["EARSHOT_LOG"] = "debug"
  const mesh = await member(t)
  delete process.env["EARSHOT_LOG"]
  const { finder } = hubOf(mesh)
  const patched = finder as unknown as { platform: object }
  patched.platform = { ...patched.platform, log: (line: string) => void lines.push(line) }
  const undisturbed = await bystander(t, mesh)
  // Nested, many, and just too much of it.
  const nested = Array.from({ length: 60 }).reduce<unknown>((inner) => ({ inner }), 1)
  const bombs = [
    { nested },
    { list: Array.from({ length: 60_000 }, () => []) },
    { text: "x".repeat(9000) },
    "text",
    [1],
  ]
  const kept: unknown[] = []
  for (const [i, meta] of bombs.entries()) {
    await MeshPeer.join(t, mesh, { id: `bomb-${i}`, meta })
    kept.push(mesh.members.get(`bomb-${i}`)!.meta)
  }
  t.same(kept, [{ nested }, {}, {}, {}, {}])
  t.equal(unknownOf(mesh), 4)
  const forger = "x\u001b[2J\nearshot real: all is well\r\u202e\u2028\u0000"
  const peer = await MeshPeer.join(t, mesh, { id: "forger", name: forger })
  peer.say(Kind.UPDATE, { name: forger, endpoints: [`tcp://127.0.0.1:1/${forger}`] })
  peer.say(Kind.RECORDS, [{ id: "r", epoch: 1, endpoints: [`tcp://${forger}`] }])
  peer.say(Kind.DENIED, { subject: forger, reason: forger })
  const denial = within("the event", new Promise<MeshEvents["denied"]>((resolve) => mesh.once("denied", resolve)))
  await peer.settled()
  const { name, endpoints } = mesh.members.get("forger")!
  const { subject, reason } = await denial
  const turned = await MeshPeer.dial(t, mesh.endpoints[0]!)
  await turned.next(Kind.ASK)
  turned.say(Kind.HELLO, { ...HELLO, id: "turned", name: forger, network: forger })
  await end(turned)
  t.same(endpoints, [])
  // oxlint-disable-next-line no-control-regex
  for (const said of [...lines, name, subject, reason]) t.notMatch(said, /[\u0000-\u001f\u007f-\u009f\u202e\u2028]/)
  t.ok(lines.some((line) => line.includes("was turned away")))
  await undisturbed()
})

t.test("a member that reads nothing", async (t) => {
  const mesh = await member(t)
  const undisturbed = await bystander(t, mesh)
  const { links } = hubOf(mesh)
  mesh.serve("big", () => new Uint8Array(1024 * 1024), { queueSize: 1000 })
  for (let i = 0; i < 2000; i++) mesh.subscribe(`${"x".repeat(1000)}.${i}`, () => {})
  await undisturbed()
  const deaf = async (id: string): Promise<Dealer> => {
    const socket = new Dealer({ linger: 0, reconnectInterval: -1, receiveHighWaterMark: 1 })
    t.teardown(() => socket.close())
    await within("the connection", socket.connect(mesh.endpoints[0]!))
    await within("ASK", socket.receive())
    await socket.send([bare(Kind.HELLO), msgpack.encode({ ...HELLO, id })])
    await within("WELCOME", socket.receive())
    return socket
  }
  // Answers give way to a word about them.
  const asker = await deaf("asker")
  for (let i = 1; i <= 100; i++) await asker.send([requestHead(i, 0, "big"), content("big", i)])
  const { pipe } = links.members.get("asker")!
  let most = 0
  await until("all answers", () => {
    most = Math.max(most, pipe!.queuedBytes)
    return hubOf(mesh).answering.answered === 100
  })
  t.ok(most < 40 * 1024 * 1024, `${most} bytes waited`)
  let large = 0
  let limited = 0
  while (large + limited < 100) {
    const [head, first, second] = await within("an answer", asker.receive())
    if (head![0] !== Kind.REPLY) continue
    if (head![1] === 0) large += second!.length > 1024 * 1024 ? 1 : 0
    else limited += (msgpack.decode(first!.subarray(5)) as { code: string }).code === "LIMIT" ? 1 : 0
  }
  t.ok(large >= 30 && limited > 0, `${large} answers, ${limited} refusals`)

  // What can't give way ends the link.
  const silent = await deaf("silent")
  for (let i = 0; i < 100; i++) await silent.send(bare(Kind.RESEND))
  await until("the end of its link", () => links.members.get("silent")?.linked === false)
  await undisturbed()
})

t.test("who takes no more than it must hears everything that keeps the mesh together", async (t) => {
  await t.rejects(Mesh.join({ maxMessageSize: 65_535 }), { code: "EINVAL" })
  const meta = { text: "m".repeat(8000) }
  const mesh = await member(t, { meta })
  const long = "x".repeat(1000)
  for (let i = 0; i < 3000; i++) mesh.subscribe(`${long}.${i}`, { queue: `${"g".repeat(200)}${i % 3}` }, () => {})
  const endpoints = Array.from({ length: 32 }, (_, i) => `tcp://${"h".repeat(900)}:${i + 1}`)
  for (let i = 0; i < 5; i++) await MeshPeer.join(t, mesh, { id: `far-${i}`, endpoints })
  const small = await MeshPeer.join(t, mesh, { id: "small" }, [], { maxMessageSize: 65_536 })
  const wishes = new Set<unknown>()
  for (const [head, body] of small.inbox)
    if (head![0] === Kind.INTEREST && body !== undefined)
      for (const [, pattern] of msgpack.decode(body) as unknown[][]) wishes.add(pattern)
  t.equal([...wishes].filter((pattern) => String(pattern).startsWith(long)).length, 3000)
  small.say(Kind.MEMBERS, [], ANSWER)
  const heard = new Set<string>()
  while (heard.size < 6)
    for (const { id } of msgpack.decode((await small.next(Kind.RECORDS))[1]!) as { id: string }[]) heard.add(id)
  await small.settled()
  t.notOk(small.ended)
})
