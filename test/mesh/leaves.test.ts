// Leaves and the members that carry them: one hop and no more, groups, requests, losses, and what everybody is told of it.
import t from "tap"
import { transports } from "../../lib/defaults.ts"
import { Mesh, type MeshOptions } from "../../lib/mesh/index.ts"
import { Mesh as BaseMesh } from "../../lib/mesh/mesh.ts"
import { platform as page } from "../../lib/mesh/platform.browser.ts"
import { seeds } from "../../lib/mesh/discovery/seeds.ts"
import { testMesh, type TestMesh, type TestMeshOptions } from "../../lib/mesh/testing.ts"
import type { Interest } from "../../lib/mesh/interest.ts"
import type { Hub } from "../../lib/mesh/hub.ts"
import { Kind } from "../../lib/mesh/wire.ts"
import { until, within } from "../support/sockets.ts"
import type { Test } from "tap"

/** Those whose names begin with "l" are leaves. */
const options: TestMeshOptions = {
  member: (name) => ({ observe: false, ...(name.startsWith("l") ? { listen: [] } : {}) }),
}

/** Relays r1 and r2, linked, and leaves of each: l1a is carried by r1. */
async function carried(t: Test, leaves: readonly string[], others: readonly string[] = []): Promise<TestMesh> {
  const net = await testMesh(["r1", "r2", ...others], options)
  t.teardown(() => net.close())
  for (const leaf of leaves) {
    const other = leaf[1] === "1" ? "r2" : "r1"
    await net.join(leaf)
    if (carrierOf(net, leaf) === other) {
      // It comes back by the other way once this one is cut.
      net.cut(leaf, other)
      await until(`${leaf} at the other`, () => carrierOf(net, leaf) === `r${leaf[1]}`)
      net.heal(leaf, other)
    }
  }
  for (const other of others) for (const leaf of leaves) if (carrierOf(net, leaf) === other) throw new Error("unfit")
  await net.settle()
  return net
}

const carrierOf = (net: TestMesh, leaf: string): string | undefined => [...net.mesh[leaf]!.members.values()][0]?.name

/** What a member heard of a pattern. */
function hear(mesh: Mesh, pattern: string, queue?: string): unknown[] {
  const heard: unknown[] = []
  mesh.subscribe(pattern, { queue }, ({ data }) => void heard.push(data))
  return heard
}

const hubOf = (mesh: Mesh): Hub => (mesh as unknown as { hub: Hub }).hub

t.test("one hop, with two relays and leaves on each: everybody hears everything once", async (t) => {
  const names = ["l1a", "l1b", "l2a", "l2b"]
  const net = await carried(t, names)
  const all = ["r1", "r2", ...names]
  const heard = Object.fromEntries(all.map((name) => [name, hear(net.mesh[name]!, "x.>")]))
  await net.settle()
  for (const name of all) await net.mesh[name]!.publish(`x.${name}`, name)
  for (const name of all) await until(`all at ${name}`, () => heard[name]!.length >= all.length)
  await net.settle()
  for (const name of all) t.strictSame(new Set(heard[name]), new Set(all), name)
  for (const name of all) t.equal(heard[name]!.length, all.length, `${name}: nothing twice`)
  t.strictSame(
    [...net.mesh.r1!.members.values()].find(({ name }) => name === "r2")!.leaves,
    2,
    "a relay says how many leaves it carries",
  )
  t.strictSame(
    [...net.mesh.l1a!.members.values()].map(({ name }) => name),
    ["r1"],
    "a leaf has one link",
  )
  t.strictSame(net.mesh.l1a!.endpoints, [], "and listens nowhere")
})

t.test("receipts: a relay counts as one, and who alone wants a subject is not sent it by a detour", async (t) => {
  const net = await carried(t, ["l1a", "l1b", "l2a"])
  hear(net.mesh.l1a!, "mine")
  hear(net.mesh.l1a!, "ours")
  hear(net.mesh.l1b!, "ours")
  await net.settle()
  t.match(await net.mesh.l1a!.publish("mine"), { sent: 1 }, "itself")
  t.match(await net.mesh.l1a!.publish("mine", 0, { echo: false }), { sent: 0 })
  t.match(await net.mesh.l1a!.publish("ours", 0, { echo: false }), { sent: 1 })
  t.match(await net.mesh.l2a!.publish("ours"), { sent: 1 })
  t.match(await net.mesh.r1!.publish("ours"), { sent: 2 }, "its own leaves it counts one by one")
  t.match(await net.mesh.r2!.publish("ours"), { sent: 1 })
  t.match(await net.mesh.l2a!.publish("ours", 0, { confirm: true }), { sent: 1, confirmed: 1, unconfirmed: 0 })
  t.match(await net.mesh.l2a!.publish("nobody"), { sent: 0 })
})

t.test("a group with leaves: each message once, in fair shares, whoever publishes", async (t) => {
  const names = ["l1a", "l1b", "l1c", "l2a"]
  const net = await carried(t, names)
  const workers = ["r2", ...names]
  for (const publisher of ["r1", "r2", "l1a", "l2a"]) {
    const heard = workers.map((name) => hear(net.mesh[name]!, `work.${publisher}`, "workers"))
    await net.settle()
    const count = 1000
    for (let i = 0; i < count; i++) {
      await net.mesh[publisher]!.publish(`work.${publisher}`, i, { onFull: "wait" })
      if (i % 50 === 49) await net.settle()
    }
    await until("all of it", () => heard.flat().length >= count)
    await net.settle()
    t.strictSame(
      heard.flat().toSorted((a, b) => Number(a) - Number(b)),
      Array.from({ length: count }, (_, i) => i),
      `each once, by ${publisher}`,
    )
    for (const [i, { length }] of heard.entries())
      t.ok(length > 100 && length < 320, `${workers[i]} has a fair share of ${publisher}'s: ${length}`)
  }
})

t.test("a busy leaf is passed over, and no message is lost", async (t) => {
  const net = await carried(t, ["l1a", "l2a"])
  let release = (): void => {}
  const free = new Promise<void>((resolve) => (release = resolve))
  const held: unknown[] = []
  net.mesh.l1a!.subscribe("work", { queue: "w", prefetch: 1 }, async ({ data }) => {
    held.push(data)
    await free
  })
  await net.settle()
  // Fills it.
  await net.mesh.r2!.publish("work", "held")
  await until("it is busy", () => held.length === 1)
  await net.mesh.r2!.publish("work", "waits there")
  for (const name of ["r2", "l2a"])
    await until(`${name} knows`, () => [...hubOf(net.mesh[name]!).links.linked].some(({ full }) => full.has("w")))
  t.match(
    await net.mesh.r2!.publish("work", "nobody has room"),
    { sent: 0, dropped: 1 },
    "a full leaf makes its relay full",
  )
  t.match(await net.mesh.l2a!.publish("work", "the same for a leaf"), { sent: 0, dropped: 1 })
  const heard = hear(net.mesh.l2a!, "work", "w")
  await net.settle()
  for (let i = 0; i < 20; i++) await net.mesh.r1!.publish("work", i, { onFull: "wait" })
  await until("the idle one has it all", () => heard.length >= 20)
  release()
  await until("what waited at the other", () => held.length >= 2)
  t.strictSame(held.slice(0, 2), ["held", "waits there"])
})

t.test("requests every way: answers, errors with their code, deadlines, cancels, nobody", async (t) => {
  const net = await carried(t, ["l1a", "l1b", "l2a"])
  const all = ["r1", "r2", "l1a", "l1b", "l2a"]
  for (const server of all) {
    const mesh = net.mesh[server]!
    let aborted = 0
    mesh.serve(`${server}.add`, ([a, b]: number[]) => a! + b!)
    mesh.serve(`${server}.fails`, () => {
      throw Object.assign(new Error("no bread"), { code: "EMPTY" })
    })
    mesh.serve(
      `${server}.slow`,
      (_, call) => new Promise(() => call.signal.addEventListener("abort", () => void aborted++)),
    )
    await net.settle()
    for (const asker of all) {
      const ask = net.mesh[asker]!
      t.equal(await ask.request(`${server}.add`, [2, 3]), 5, `${asker} asks ${server}`)
      await t.rejects(ask.request(`${server}.fails`), { code: "REMOTE", message: "no bread", remoteCode: "EMPTY" })
    }
    for (const asker of all.filter((name) => name !== server)) {
      const ask = net.mesh[asker]!
      const before = aborted
      await t.rejects(ask.request(`${server}.slow`, null, { timeout: 50 }), { code: "TIMEOUT" })
      await until(`${server} hears that ${asker} has given up`, () => aborted === before + 1)
      const controller = new AbortController()
      const asked = ask.request(`${server}.slow`, null, { signal: controller.signal })
      await net.settle()
      controller.abort(new Error("enough"))
      await t.rejects(asked, { message: "enough" })
      await until(`${server} hears that ${asker} has given up again`, () => aborted === before + 2)
    }
  }
  for (const asker of all) await t.rejects(net.mesh[asker]!.request("nobody"), { code: "NO_RESPONDERS" })
})

t.test(
  "a request to one member alone: a leaf from anywhere, anybody from a leaf, by way of their carriers",
  async (t) => {
    const net = await carried(t, ["l1a", "l1b", "l2a"])
    const all = ["r1", "r2", "l1a", "l1b", "l2a"]
    const { mesh } = net
    for (const name of all) {
      mesh[name]!.serve("who", () => name)
      mesh[name]!.serve("each", () => name, { queue: null })
      mesh[name]!.serve("fails", () => {
        throw Object.assign(new Error(name), { code: "EMPTY" })
      })
    }
    mesh["r1"]!.serve("only.r1", () => "r1")
    await net.settle()
    for (const asker of all)
      for (const server of all) {
        const to = mesh[server]!.id
        for (let i = 0; i < 5; i++) {
          t.equal(await mesh[asker]!.request("who", null, { to }), server, `${asker} asks ${server}`)
          t.equal(await mesh[asker]!.request("each", null, { to }), server, `${asker} asks ${server}`)
        }
        await t.rejects(mesh[asker]!.request("fails", null, { to }), { code: "REMOTE", message: server })
        if (server !== "r1") await t.rejects(mesh[asker]!.request("only.r1", null, { to }), { code: "NO_RESPONDERS" })
      }
    for (const asker of all)
      for (const to of ["nobody", "x".repeat(300), "a b.*"])
        await t.rejects(mesh[asker]!.request("who", null, { to }), { code: "NO_RESPONDERS" }, `${asker} asks ${to}`)
    const answers = async (asker: string, subject: string): Promise<number> => {
      let count = 0
      for await (const _ of mesh[asker]!.requestMany(subject)) count++
      return count
    }
    for (const name of all) mesh[name]!.serve("grouped", () => name, { queue: name })
    await net.settle()
    await net.settle()
    for (const name of all) t.equal(await answers(name, "grouped"), 5, "of each group one")
    for (const name of all) t.equal(await answers(name, "each"), 5, "and all that are in none: see many.test.ts")
    const later = mesh["l2a"]!.request("soon", null, { to: mesh["l1b"]!.id, wait: 5000 })
    await net.settle()
    mesh["l1a"]!.serve("soon", () => "l1a")
    await net.settle()
    mesh["l1b"]!.serve("soon", () => "l1b")
    t.equal(await within("the one that comes", later), "l1b")
    t.equal(hubOf(mesh["r1"]!).asking.waiting, 0)
  },
)

t.test("samples of leaves and by leaves, by way of their carriers, at the rate that was asked for", async (t) => {
  const net = await testMesh(["r1", "r2"], { ...options, clock: "virtual" })
  t.teardown(() => net.close())
  for (const [leaf, other] of [
    ["l1a", "r2"],
    ["l2a", "r1"],
  ] as const) {
    await net.join(leaf)
    net.cut(leaf, other, { silent: false })
    await net.advance(6000)
    t.equal(carrierOf(net, leaf), leaf === "l1a" ? "r1" : "r2")
  }
  const mesh = net.mesh as Readonly<Record<string, Mesh>>
  const all = ["r1", "r2", "l1a", "l2a"]
  const taken = new Map<string, string[]>()
  const controller = new AbortController()
  const begin = (name: string): void => {
    const seen: string[] = []
    taken.set(name, seen)
    void (async () => {
      for await (const { data, from } of mesh[name]!.sample("x", { perSecond: 100, signal: controller.signal }))
        seen.push(`${data} by ${from.name}`)
    })()
  }
  for (const name of all) begin(name)
  await net.advance(100)
  for (const name of all) await mesh[name]!.publish("x", name)
  await net.advance(100)
  t.strictSame(new Set(taken.get("l1a")), new Set(["l1a by l1a", "r1 by r1", "r2 by r1", "l2a by r1"]))
  t.strictSame(new Set(taken.get("l2a")), new Set(["l2a by l2a", "r2 by r2", "r1 by r2", "l1a by r2"]))
  t.strictSame(new Set(taken.get("r1")), new Set(["r1 by r1", "r2 by r2", "l1a by l1a", "l2a by r2"]))
  for (const [name, seen] of taken) t.equal(seen.length, 4, `${name}: nothing twice`)
  for (const seen of taken.values()) seen.length = 0
  for (let i = 0; i < 500; i++) {
    for (const name of all) await mesh[name]!.publish("x", name)
    await net.advance(2)
  }
  for (const [name, seen] of taken) t.ok(seen.length > 50 && seen.length <= 115, `${name}: ${seen.length} in a second`)
  controller.abort()
  await net.advance(100)
  for (const name of all) t.notOk(hubOf(mesh[name]!).sampling.watched, `nobody samples ${name} any more`)
  await net.kill("l2a")
  t.ok(mesh["r1"]!.stats().samples.sent > 0)
})

t.test("who is full is not asked when another is there; all full: BUSY", async (t) => {
  const net = await carried(t, ["l1a", "l1b", "l2a"])
  let release = (): void => {}
  const free = new Promise<void>((resolve) => (release = resolve))
  const serve = (name: string): void =>
    void net.mesh[name]!.serve("job", () => free.then(() => name), { concurrency: 1, queueSize: 1 })
  serve("l1a")
  await net.settle()
  const asked = [net.mesh.l2a!.request("job"), net.mesh.l2a!.request("job")]
  await net.settle()
  await t.rejects(net.mesh.l2a!.request("job"), { code: "BUSY" }, "from afar")
  await t.rejects(net.mesh.r1!.request("job"), { code: "BUSY" }, "from its relay")
  serve("l1b")
  await net.settle()
  const more = [net.mesh.l2a!.request("job"), net.mesh.r2!.request("job")]
  await net.settle()
  release()
  t.strictSame(await Promise.all(asked), ["l1a", "l1a"])
  t.strictSame(await Promise.all(more), ["l1b", "l1b"])
})

t.test("the carrier is killed: the leaf has another one, and says that something may be missing", async (t) => {
  const net = await carried(t, ["l1a", "l2a"])
  const leaf = net.mesh.l1a!
  const heard = hear(leaf, "x")
  leaf.serve("where", () => "here")
  const gaps: unknown[] = []
  leaf.on("gap", ({ member, direction, count }) => void gaps.push([member.name, direction, count]))
  await net.settle()
  // Accepted, and never answered.
  net.mesh.r1!.serve("r1.never", () => new Promise(() => {}))
  await net.settle()
  const lost = t.rejects(within("the lost request", leaf.request("r1.never")), { code: "PEER_LOST" })
  await net.mesh.l1a!.flush()
  await net.kill("r1")
  await until("another carrier", () => carrierOf(net, "l1a") === "r2")
  await lost
  await net.mesh.l2a!.ready({ subject: "where" })
  t.strictSame(gaps, [["r1", "received", undefined]])
  await net.settle()
  await net.mesh.l2a!.publish("x", "by r2")
  await until("it hears", () => heard.length === 1)
  t.equal(await net.mesh.l2a!.request("where"), "here")
})

t.test("a short loss of its link costs a leaf nothing, and nothing comes twice", async (t) => {
  const net = await testMesh(["r", "far", "l"], { ...options, clock: "virtual" })
  t.teardown(() => net.close())
  net.cut("l", "far")
  await net.until(
    new Promise<void>((resolve) => {
      const look = (): void => (carrierOf(net, "l") === "r" ? resolve() : void net.clock.timeout(look, 10))
      look()
    }),
  )
  const leaf = net.mesh.l
  const [heard, said] = [hear(leaf, "to.leaf"), hear(net.mesh.far, "from.leaf")]
  const gaps: unknown[] = []
  for (const mesh of Object.values(net.mesh))
    mesh.on("gap", ({ member, count }) => void gaps.push([mesh.name, member.name, count]))
  await net.advance(100)
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 5; i++) await net.mesh.far.publish("to.leaf", `${round} before ${i}`)
    net.cut("l", "r")
    await net.advance(10)
    t.match(await net.mesh.far.publish("to.leaf", `${round} away`), { sent: 1 })
    t.match(await leaf.publish("from.leaf", `${round} away`), { waiting: 1 })
    // For a leaf the bound is two minutes.
    await net.advance(round === 2 ? 100_000 : 1000)
    net.heal("l", "r")
    await net.advance(5000)
    await net.mesh.far.publish("to.leaf", `${round} after`)
    await net.advance(1000)
  }
  t.strictSame(
    heard,
    [0, 1, 2].flatMap((round) =>
      ["before 0", "before 1", "before 2", "before 3", "before 4", "away", "after"].map((what) => `${round} ${what}`),
    ),
  )
  t.strictSame(said, ["0 away", "1 away", "2 away"])
  t.strictSame(gaps, [])
})

t.test("who has room again says first what it wants: to members and to leaves", async (t) => {
  const net = await carried(t, ["l1a"])
  const { r1, r2, l1a } = net.mesh as Record<string, Mesh>
  let release = (): void => {}
  const free = new Promise<void>((resolve) => (release = resolve))
  r1!.subscribe("one", { queue: "w", prefetch: 0 }, () => free)
  await net.settle()
  await r2!.publish("one")
  const told: Record<string, number[]> = {}
  for (const mesh of [r2!, l1a!]) {
    const carrier = [...hubOf(mesh).links.linked].find(({ name }) => name === "r1")
    await until("it is full", () => carrier!.full.has("w"))
    const hub = hubOf(mesh)
    const kinds: number[] = (told[mesh.name] = [])
    const onMessage = hub.onMessage.bind(hub)
    hub.onMessage = (member, kind, message) => {
      kinds.push(kind)
      onMessage(member, kind, message)
    }
  }
  r1!.subscribe("two", { queue: "w" }, () => {})
  await net.settle()
  for (const kinds of Object.values(told))
    t.strictSame(
      kinds.filter((kind) => kind === Kind.INTEREST || kind === Kind.LOAD),
      [Kind.INTEREST, Kind.LOAD],
    )
  release()
})

t.test("a leaf that is alone asks again after a random time that grows, and at once when it is nudged", async (t) => {
  const net = await testMesh(["r"], { ...options, clock: "virtual", seed: 3 })
  t.teardown(() => net.close())
  const leaf = await net.join("l", { discovery: [seeds(net.mesh.r.endpoints[0]!)] })
  t.equal(carrierOf(net, "l"), "r")
  const hub = hubOf(leaf)
  const { finder, links } = hub
  const asked: number[] = []
  const found = finder.found.bind(finder)
  finder.found = (candidate) => {
    asked.push(net.clock.now())
    found(candidate)
  }
  const dialled: number[] = []
  const dial = links.dial.bind(links)
  links.dial = (endpoint) => {
    dialled.push(net.clock.now())
    return dial(endpoint)
  }
  const lost = net.clock.now()
  net.cut("l", "r")
  await net.advance(120_000)
  for (const [what, times] of Object.entries({ asked, dialled })) {
    t.ok(times[0]! - lost <= 250, `${what} at once`)
    const pauses = times.map((at, i) => at - (times[i - 1] ?? lost)).slice(6)
    t.ok(Math.max(...pauses) <= 5000, `the longest is ${Math.max(...pauses)} ms`)
    t.ok(pauses.some((ms) => ms > 2500) && pauses.some((ms) => ms < 2500), "they are random")
  }
  t.ok(asked.length < 100 && asked.length > 25, `asked ${asked.length} times in two minutes`)
  const before = asked.length
  hub.onMoved(false)
  await net.advance(100)
  t.equal(asked.length, before + 1, "nudged, it asks at once")
  net.heal()
  await net.advance(5500)
  t.equal(carrierOf(net, "l"), "r")
})

t.test("a leaf whose link is lost is asked nothing and given no work", async (t) => {
  const net = await carried(t, ["l1a"])
  net.mesh.l1a!.serve("job", () => "leaf")
  hear(net.mesh.l1a!, "work", "w")
  await net.settle()
  net.cut("l1a", "r1", { silent: false })
  net.cut("l1a", "r2")
  await until(
    "it is away",
    () =>
      net.mesh.l1a!.members.size === 0 ||
      !hubOf(net.mesh.r1!)
        .routes.of("job")
        .servers.some(({ parties }) => parties.some((party) => party?.linked)),
  )
  await within("the news", net.mesh.r2!.flush())
  await until("the others know", () => hubOf(net.mesh.r2!).routes.of("job").empty)
  await t.rejects(net.mesh.r2!.request("job"), { code: "NO_RESPONDERS" })
  t.match(await net.mesh.r2!.publish("work"), { sent: 0 })
  net.heal()
  await net.mesh.r2!.ready({ subject: "job" })
  t.equal(await net.mesh.r2!.request("job"), "leaf")
})

t.test("whatever is subscribed and unsubscribed, each is told what the others want, and no more", async (t) => {
  const names = ["l1a", "l1b", "l2a"]
  const net = await carried(t, names, [])
  const all = ["r1", "r2", ...names]
  const random = numbers(7)
  const wanted = new Map<string, { close(): void; readonly key: string }[]>(all.map((name) => [name, []]))
  const patterns = ["a", "a.b", "*.b", "a.>", "c"]
  for (let step = 0; step < 600; step++) {
    const name = all[random(all.length)]!
    const own = wanted.get(name)!
    if (own.length > 0 && random(5) < 2) own.splice(random(own.length), 1)[0]!.close()
    else {
      const pattern = patterns[random(patterns.length)]!
      const queue = random(2) === 0 ? undefined : `g${random(3)}`
      const responds = random(3) === 0
      const mesh = net.mesh[name]!
      const subscription = responds
        ? mesh.serve(pattern, () => 0, { queue: queue ?? null })
        : mesh.subscribe(pattern, { queue }, () => {})
      own.push({ close: () => subscription.unsubscribe(), key: keyOf({ pattern, queue, responds }) })
    }
    if (random(10) === 0) await net.mesh[all[random(all.length)]!]!.flush()
    if (step % 100 === 99) {
      await net.settle()
      await net.settle()
      for (const leaf of names) {
        const carrier = hubOf(net.mesh[leaf]!)
        const [relay] = carrier.links.linked
        const told = carrier.incoming.interestOf(relay!)!.list().map(keyOf).toSorted()
        const others = all.filter((name) => name !== leaf).flatMap((name) => wanted.get(name)!.map(({ key }) => key))
        t.strictSame(told, [...new Set(others)].toSorted(), `${leaf} after ${step + 1}`)
      }
      for (const [relay, other] of [
        ["r1", "r2"],
        ["r2", "r1"],
      ] as const) {
        const hub = hubOf(net.mesh[other]!)
        const member = [...hub.links.linked].find(({ name }) => name === relay)!
        const told = hub.incoming.interestOf(member)!.list().map(keyOf).toSorted()
        const behind = [relay, ...names.filter((name) => name[1] === relay[1])]
        const theirs = behind.flatMap((name) => wanted.get(name)!.map(({ key }) => key))
        t.strictSame(told, [...new Set(theirs)].toSorted(), `${other} of ${relay} after ${step + 1}`)
      }
    }
  }
})

t.test("digests of leaves fit: nothing is sent again for nothing", async (t) => {
  const net = await testMesh(["r", "l1", "l2"], { ...options, clock: "virtual" })
  t.teardown(() => net.close())
  for (const mesh of Object.values(net.mesh)) {
    hear(mesh, "common")
    hear(mesh, `of.${mesh.name}`)
    hear(mesh, "common", "group")
  }
  const resent: string[] = []
  for (const [name, mesh] of Object.entries(net.mesh)) {
    const hub = hubOf(mesh)
    // Asked for by who holds something else than the digest says.
    hub.relay.resend = ({ name: leaf }) => void resent.push(`${name} to ${leaf}`)
    hub.interest.resend = ({ name: member }) => void resent.push(`${name} to ${member}`)
  }
  await net.advance(25_000)
  hear(net.mesh.l1, "later")
  await net.advance(25_000)
  t.strictSame(resent, [])
})

const keyOf = ({ pattern, queue, responds }: Interest): string => `${pattern} ${queue ?? "-"} ${responds}`

/** A linear congruential generator: whole numbers below `limit`. */
function numbers(seed: number): (limit: number) => number {
  let state = seed
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * limit)
  }
}

t.test(
  "a leaf too many is told of another that has room; where nobody has, it says so, and comes in once one has",
  async (t) => {
    const net = await testMesh(["r1", "r2"], {
      clock: "virtual",
      member: (name) => ({ maxLeaves: 2, ...(name.startsWith("l") ? { listen: [] } : {}) }),
    })
    t.teardown(() => net.close())
    const names = ["l1", "l2", "l3", "l4"]
    // All of them know r1 only.
    for (const name of names) await net.join(name, { discovery: [seeds(net.mesh.r1.endpoints[0]!)] })
    await net.advance(1000)
    t.strictSame([hubOf(net.mesh.r1).relay.size, hubOf(net.mesh.r2).relay.size], [2, 2])
    const heard = names.map((name) => hear(net.mesh[name as never], "x"))
    await net.settle()
    net.mesh.r1.tryPublish("x", 1)
    await net.advance(100)
    t.strictSame(heard, [[1], [1], [1], [1]])

    await t.rejects(net.join("l5", { discovery: [seeds(net.mesh.r1.endpoints[0]!)] }), { code: "TIMEOUT" })
    const late = (net.mesh as Record<string, Mesh>)["l5"]!
    t.match(await late.diagnose(), [{ key: "laden", evidence: /maxLeaves/, cure: /maxLeaves/ }])
    await net.advance(30_000)
    t.strictSame([hubOf(net.mesh.r1).relay.size, late.members.size], [2, 0])
    const going = names.find((name) => carrierOf(net, name) === "r1")!
    await net.until((net.mesh as Record<string, Mesh>)[going]!.close())
    await net.advance(90_000)
    t.equal(carrierOf(net, "l5"), "r1", "there is room, and it has come in")
  },
)

/** A member with what a page has of the mesh: it takes part, and passes nothing on. */
class Page extends BaseMesh {
  static begin(options: MeshOptions): Promise<Page> {
    return BaseMesh.start((hub, state) => new Page(hub, state), options, page, transports)
  }
}

t.test("a page that listens is a full member, and carries nobody: a leaf is told of who does", async (t) => {
  const network = `page-${process.pid}`
  const first = await Page.begin({ network, listen: ["inproc://page"], discovery: [] })
  t.teardown(() => first.close())
  const leaf = await Mesh.join({ network, listen: [], discovery: [seeds("inproc://page")] })
  t.teardown(() => leaf.close())
  await until("it is refused", () =>
    hubOf(leaf)
      .finder.findings.recent(60_000)
      .some(({ key }) => key === "laden"),
  )
  const second = await Mesh.join({ network, listen: ["inproc://second"], discovery: [seeds("inproc://page")] })
  t.teardown(() => second.close())
  first.serve("x", () => "page")
  second.subscribe("y", { queue: "g" }, () => {})
  await second.ready({ subject: "x" })
  t.equal(await second.request("x"), "page")
  const third = await Mesh.join({ network, listen: [], discovery: [seeds("inproc://page")] })
  t.teardown(() => third.close())
  await third.ready({ subject: "x" })
  t.equal(await third.request("x"), "page")
  t.strictSame([...third.members.keys()], [second.id])
})
