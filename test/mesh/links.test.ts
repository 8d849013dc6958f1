// Links between members: one for each pair whoever dials whom when, alive or not, what is sent again after a loss.
import t, { type Test } from "tap"
import type { DiscoveryHost } from "../../lib/mesh/contract.ts"
import type { Hub } from "../../lib/mesh/hub.ts"
import type { Member } from "../../lib/mesh/member.ts"
import type { Mesh } from "../../lib/mesh/mesh.ts"
import type { Receipt } from "../../lib/mesh/receipt.ts"
import { seeds } from "../../lib/mesh/discovery/seeds.ts"
import { testMesh, type TestMemberOptions, type VirtualTestMesh } from "../../lib/mesh/testing.ts"

/** What the events of one name told, and when. */
const record = (net: VirtualTestMesh, mesh: Mesh, name: Parameters<Mesh["on"]>[0]): unknown[] => {
  const seen: unknown[] = []
  mesh.on(name, ({ member, reason, ...rest }: any) => {
    seen.push({ ...rest, member: member?.name, ...(reason === undefined ? {} : { reason }), at: net.clock.now() })
  })
  return seen
}

t.test("both sides of a link know the round trip, and it is measured anew", async (t) => {
  const net = await testMesh(["a", "b", "l"], {
    clock: "virtual",
    member: (name) => ({ observe: false, ...(name === "l" ? { listen: [] } : {}) }),
  })
  t.teardown(() => net.close())
  const of = (name: "a" | "b" | "l"): (number | undefined)[] =>
    [...net.mesh[name].members.values()].map(({ rtt }) => rtt)
  await net.advance(100)
  for (const name of ["a", "b", "l"] as const) t.notOk(of(name).includes(undefined), name)
  net.slow("a", "b", 7)
  await net.advance(35_000)
  for (const name of ["a", "b"] as const) t.ok(of(name).includes(14), `${name} ${of(name).join()}`)
})

t.test("who falls silent is gone 6 s after the last sign of life, whoever dialled", async (t) => {
  const dialled = new Set<boolean>()
  for (let seed = 1; seed <= 8; seed++) {
    // Before the first regular ping, and between two of them.
    for (const age of [0, 100, 3000, 3999]) {
      await using net = await testMesh(["a", "b"], { clock: "virtual", seed })
      const start = net.clock.now()
      const left = record(net, net.mesh.a, "leave")
      const [link] = (net.mesh.a as any).hub.links.linked
      dialled.add(link.dialled)
      await net.advance(age)
      await net.kill("b", { silent: true })
      await net.advance(7000)
      const [event] = left as { at: number }[]
      t.strictSame(left, [{ member: "b", reason: "lost", at: event!.at }], `seed ${seed}, ${age} ms`)
      // The last sign of life is the ping of every 2 s (the first is made with the link), or gossip after it.
      const heard = event!.at - start - 6000
      t.ok(heard >= Math.floor(age / 2000) * 2000 && heard <= age, `heard at ${heard}`)
      t.equal(net.mesh.a.members.size, 0)
    }
  }
  t.equal(dialled.size, 2, "both sides of a link were tried")
})

/** Two members that know nothing of each other until `meet`: then each dials the other. */
async function strangers(seed: number, options: TestMemberOptions = {}) {
  const hosts = new Map<string, DiscoveryHost>()
  const net = await testMesh([], {
    clock: "virtual",
    seed,
    member: (name) => ({
      discovery: [{ name: "by hand", start: async (host) => void hosts.set(name, host), stop: async () => {} }],
      ...options,
    }),
  })
  const [a, b] = [await net.add("a"), await net.add("b")]
  const meet = (who: "a" | "b"): void => {
    const other = hosts.get(who === "a" ? "b" : "a")!.self
    hosts.get(who)!.found({ id: other.id, endpoints: other.endpoints })
  }
  return { net, a, b, meet }
}

const hubOf = (mesh: Mesh): Hub => (mesh as unknown as { hub: Hub }).hub
const linkOf = (mesh: Mesh): Member | undefined => [...hubOf(mesh).links.linked][0]

/** Exactly one link, the same for both. */
function oneLink(t: Test, a: Mesh, b: Mesh, what: string): void {
  t.strictSame([hubOf(a).links.linkedCount, hubOf(b).links.linkedCount], [1, 1], what)
  const [there, back] = [linkOf(a), linkOf(b)]
  if (there === undefined || back === undefined) return void t.fail("no link")
  t.equal(there.dialled, !back.dialled, "one has dialled the link that the other has")
  t.equal(there.linkNumber, back.linkNumber)
}

t.test("both dial, in every order of what is said: one link for both, and nothing moves between two", async (t) => {
  const orders = new Set<string>()
  for (let seed = 1; seed <= 250; seed++) {
    const { net, a, b, meet } = await strangers(seed)
    const { clock } = net
    let order = ""
    for (const [who, mesh] of [
      ["a", a],
      ["b", b],
    ] as const) {
      const doors = (hubOf(mesh).links as any).doors
      for (const step of ["asked", "greeted", "welcomed", "refused"]) {
        const was = doors[step].bind(doors)
        doors[step] = (...args: unknown[]) => {
          order += `${who} ${step}, `
          was(...args)
        }
      }
    }
    const joins = [record(net, a, "join"), record(net, b, "join")]
    const bad = [a, b].flatMap((mesh) => [
      record(net, mesh, "leave"),
      record(net, mesh, "gap"),
      record(net, mesh, "drop"),
    ])
    const got: number[] = []
    b.subscribe("x", ({ data }) => void got.push(data))
    // Mostly quick, at times very late.
    net.slow("a", "b", () => clock.random() ** 4 * 1000)
    meet("a")
    clock.timeout(() => meet("b"), clock.random() ** 2 * 500)
    let sent = 0
    for (let round = 0; round < 100; round++) {
      await net.advance(100)
      const receipt = a.tryPublish("x", sent)
      if (receipt.sent + receipt.waiting === 1) sent++
    }
    orders.add(order)
    oneLink(t, a, b, `seed ${seed}: ${order}`)
    const standing = linkOf(a)!.linkNumber
    await net.advance(20_000)
    t.equal(linkOf(a)!.linkNumber, standing, "it lasts")
    t.strictSame([joins[0]!.length, joins[1]!.length, bad.flat()], [1, 1, []])
    t.ok(sent > 50)
    t.strictSame(
      got,
      Array.from({ length: sent }, (_, i) => i),
      "all of it, once, in order",
    )
    await net.close()
    t.strictSame([clock.timers, clock.holds], [0, 0])
  }
  // Who is welcomed first ends the other way, so there aren't many more.
  t.ok(orders.size >= 15, `${orders.size} orders were seen`)
})

t.test("one direction firewalled: the other makes the link", async (t) => {
  for (const silent of [false, true])
    for (let seed = 1; seed <= 10; seed++) {
      const { net, a, b, meet } = await strangers(seed)
      net.slow("a", "b", 20)
      net.block("a", "b", { silent })
      meet("a")
      meet("b")
      await net.advance(2500)
      oneLink(t, a, b, `seed ${seed}, silent ${silent}`)
      t.equal(linkOf(b)?.dialled, true)
      await net.advance(30_000)
      oneLink(t, a, b, "and still")
      await net.close()
    }
})

t.test("a member that restarts before it is missed takes the place of what it was", async (t) => {
  for (const sameEpoch of [false, true])
    for (let seed = 1; seed <= 6; seed++) {
      await using net = await testMesh(["a", "b"], { clock: "virtual", seed, member: (name) => ({ state: name }) })
      const { a } = net.mesh
      const { id } = net.mesh.b
      await net.advance(1000 * seed)
      const seen = [record(net, a, "leave"), record(net, a, "join")]
      await net.kill("b", { silent: true })
      await net.advance(500)
      t.equal(a.members.size, 1, "it is not missed yet")
      const b = await net.add("b")
      t.equal(b.id, id)
      // A device whose clock, and so whose epoch, stands still.
      if (sameEpoch) hubOf(b).identity = { ...hubOf(b).identity, epoch: 1 }
      const got: number[] = []
      b.subscribe("x", ({ data }) => void got.push(data))
      await net.advance(sameEpoch ? 8000 : 500)
      oneLink(t, a, b, `seed ${seed}`)
      const [left, joined] = seen
      t.match(left, sameEpoch ? [{ member: "b" }] : [{ member: "b", reason: "restarted" }])
      t.equal(left!.length, 1)
      t.match(joined, [{ member: "b" }])
      t.equal(joined!.length, 1)
      t.match(a.tryPublish("x", 1), { sent: 1, waiting: 0 }, "nobody waits for the one it was")
      await net.clock.settle()
      t.strictSame(got, [1])
    }
})

const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Publishes so many messages, one every 5 ms, both ways; what b and a got of them. */
async function stream(net: VirtualTestMesh<"a" | "b">, count: number) {
  const { a, b } = net.mesh
  const [there, back]: [number[], number[]] = [[], []]
  b.subscribe("there", ({ data }) => void there.push(data))
  a.subscribe("back", ({ data }) => void back.push(data))
  await net.settle()
  const receipts: Receipt[] = []
  let sent = 0
  const done = new Promise<void>((resolve) => {
    const next = (): void => {
      if (sent === count) return resolve()
      receipts.push(a.tryPublish("there", sent), b.tryPublish("back", sent))
      sent++
      net.clock.timeout(next, 5)
    }
    next()
  })
  return { there, back, receipts, done }
}

for (const silent of [false, true])
  t.test(`what was published across a loss arrives: all, once, in order (silent: ${silent})`, async (t) => {
    for (let seed = 1; seed <= 2; seed++)
      for (const seconds of [0.5, 3, 7, 15]) {
        await using net = await testMesh(["a", "b"], { clock: "virtual", seed })
        const gaps = [record(net, net.mesh.a, "gap"), record(net, net.mesh.b, "gap")]
        net.slow("a", "b", () => net.clock.random() * 20)
        const { there, back, receipts, done } = await stream(net, 200 * 20)
        await net.advance(1000 + seed)
        net.cut("a", "b", { silent })
        await net.advance(seconds * 1000)
        net.heal()
        await net.until(done)
        await net.advance(10_000)
        t.strictSame(there, upTo(4000), `seed ${seed}, ${seconds} s`)
        t.strictSame(back, upTo(4000))
        t.ok(receipts.every(({ sent, waiting, dropped }) => sent + waiting === 1 && dropped === 0))
        t.strictSame(gaps, [[], []])
      }
  })

t.test("what can't be sent again is counted, exactly, on both sides", async (t) => {
  for (const [seconds, silent, fill] of [
    [25, false, 0],
    [28, true, 0],
    [5, false, 3000],
    [45, false, 0],
    [45, true, 0],
  ] as const) {
    await using net = await testMesh(["a", "b"], { clock: "virtual" })
    const { a, b } = net.mesh
    const [sent, received] = [record(net, a, "gap"), record(net, b, "gap")] as { direction: string; count: number }[][]
    const got: number[] = []
    b.subscribe("x", ({ data }) => void got.push(data[0]))
    await net.settle()
    let count = 0
    const receipts: Receipt[] = []
    const publish = async (ms: number): Promise<void> => {
      for (let i = 0; i < ms; i += 5) {
        receipts.push(a.tryPublish("x", [count++, new Uint8Array(fill)]))
        await net.advance(5)
      }
    }
    await publish(500)
    net.cut("a", "b", { silent })
    await publish(seconds * 1000)
    net.heal()
    await net.advance(3000)
    await publish(500)
    await net.advance(1000)
    const what = `${seconds} s, silent ${silent}, ${fill} bytes`
    const missing = count - got.length
    t.ok(missing > 0, `${missing} of ${count} are missing: ${what}`)
    t.strictSame(
      [...new Set(got)].sort((p, q) => p - q),
      got,
      "what came came once, in order",
    )
    t.equal(
      sent!.reduce((sum, each) => sum + each.count, 0),
      missing,
      "said by who sent",
    )
    t.equal(
      received!.reduce((sum, each) => sum + each.count, 0),
      missing,
      "said by who received",
    )
    t.ok(
      sent!.every(({ direction }) => direction === "sent") &&
        received!.every(({ direction }) => direction === "received"),
    )
    t.equal(got.at(-1), count - 1)
    // For 30 s what is published waits for the member; later it is not counted on any more.
    const missed = receipts.filter(({ sent: handed, waiting }) => handed + waiting === 0)
    t.equal(missed.length > 0, seconds > 36, `${missed.length} were for nobody`)
    t.ok(receipts.every(({ dropped }) => dropped === 0))
  }
})

t.test("a goodbye leaves at once, whatever was sent before it arrives", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const left = record(net, a, "leave")
  const got: number[] = []
  a.subscribe("x", ({ data }) => void got.push(data))
  await net.settle()
  for (const i of upTo(100)) b.tryPublish("x", i)
  const at = net.clock.now()
  await net.until(b.close())
  await net.clock.settle()
  t.strictSame(left, [{ member: "b", reason: "goodbye", at }])
  t.strictSame(got, upTo(100))
  t.strictSame([a.members.size, hubOf(a).links.members.size], [0, 0], "nothing is kept for it")
})

t.test("queue groups and requests leave a lost member out at once; what is plain waits for it", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  const got = { b: 0, c: 0 }
  const asked = { b: 0, c: 0 }
  const plain: number[] = []
  for (const [name, mesh] of [
    ["b", b],
    ["c", c],
  ] as const) {
    mesh.subscribe("job", { queue: "q", prefetch: 1000 }, () => void got[name]++)
    mesh.serve("who", () => (asked[name]++, name))
  }
  b.subscribe("news", ({ data }) => void plain.push(data))
  await net.settle()
  const left = record(net, a, "leave")
  net.cut("a", "b")
  await net.clock.settle()
  for (const i of upTo(50)) {
    t.match(a.tryPublish("job", i), { sent: 1, dropped: 0 })
    t.equal(await a.request("who"), "c")
    t.match(a.tryPublish("news", i), { sent: 0, waiting: 1 })
  }
  await net.clock.settle()
  t.strictSame([got, asked, left], [{ b: 0, c: 50 }, { b: 0, c: 50 }, []])
  await net.advance(7000)
  t.equal(left.length, 1)
  t.match(a.tryPublish("news", 50), { sent: 0, waiting: 1 }, "it has left, and what it wants is still kept")
  net.heal()
  await net.advance(3000)
  t.strictSame(plain, upTo(51))
  for (const i of upTo(50)) a.tryPublish("job", i)
  await net.clock.settle()
  t.ok(got.b > 10, "and is picked again")
})

t.test("one who is known to all is enough: gossip brings the others", async (t) => {
  const names = upTo(12).map((i) => `m${i}`)
  await using net = await testMesh(names, {
    clock: "virtual",
    member: (name) => ({ discovery: name === "m0" ? [] : [seeds("inproc://m0")] }),
  })
  for (const mesh of Object.values(net.mesh)) t.equal(mesh.members.size, 11)
  // Through a chain, where each knows the one before it only.
  await using chain = await testMesh(names, {
    clock: "virtual",
    member: (name) => ({ discovery: name === "m0" ? [] : [seeds(`inproc://m${Number(name.slice(1)) - 1}`)] }),
  })
  for (const mesh of Object.values(chain.mesh)) t.equal(mesh.members.size, 11)
})

t.test("a table of interest that has gone astray is set right by its digest", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  const got: number[] = []
  b.subscribe("x.*", ({ data }) => void got.push(data))
  await net.settle()
  const known = hubOf(a).incoming.interestOf(linkOf(a)!)!
  known.clear()
  t.match(a.tryPublish("x.y", 1), { sent: 0 })
  b.subscribe("other", () => {})
  await net.advance(10_100)
  t.match(a.tryPublish("x.y", 2), { sent: 1 })
  t.match(a.tryPublish("other", 2), { sent: 1 })
  await net.clock.settle()
  t.strictSame(got, [2])
})

for (const size of [4, 12, 24])
  t.test(`in a mesh of ${size}, who falls silent is missed by all within 6 s, and nobody else is`, async (t) => {
    const names = upTo(size).map((i) => `m${i}`)
    await using net = await testMesh(names, { clock: "virtual", seed: size })
    // The first to come and the last: one has dialled all the others, or none.
    const [first, ...others] = Object.values<Mesh>(net.mesh)
    const last = others.pop()!
    // Of a small mesh only who dialled pings, and a member may have dialled nobody.
    const pings = others.map((mesh) => {
      const count = { of: 0 }
      const { pulse } = hubOf(mesh).links as any
      const probe = pulse.probe.bind(pulse)
      pulse.probe = (...args: unknown[]) => {
        count.of++
        probe(...args)
      }
      return count
    })
    await net.advance(20_000)
    const most = Math.max(...pings.map((count) => count.of))
    t.ok(most > 0 && most <= 5 * 20, `${most} pings in 20 s: at most 5 a second over all links`)
    let living: Mesh[] = [...others, last]
    for (const lost of [first!, last]) {
      living = living.filter((mesh) => mesh !== lost)
      const left = living.map((mesh) => record(net, mesh, "leave")) as { member: string; at: number }[][]
      const at = net.clock.now()
      await net.kill(lost.name, { silent: true })
      await net.advance(20_000)
      for (const events of left) {
        t.equal(events.length, 1)
        t.equal(events[0]!.member, lost.name)
      }
      const latest = Math.max(...left.map(([event]) => event!.at)) - at
      t.ok(latest <= 6000, `the last one noticed after ${latest} ms`)
      for (const mesh of living) t.equal(mesh.members.size, living.length - 1)
    }
  })

t.test("an answer survives the loss of the link that asked for it", async (t) => {
  for (const silent of [false, true]) {
    await using net = await testMesh(["a", "b"], { clock: "virtual" })
    let asked = 0
    net.mesh.b.serve("slow", async (data) => {
      asked++
      await new Promise<void>((resolve) => net.clock.timeout(resolve, 1500))
      return data + 1
    })
    await net.settle()
    const answer = net.mesh.a.request("slow", 1, { timeout: 20_000 })
    await net.advance(500)
    net.cut("a", "b", { silent })
    await net.advance(3000)
    net.heal()
    t.equal(await net.until(answer), 2)
    t.equal(asked, 1)
  }
})

t.test("whatever befalls the network: each message once, in order, and in the end all are linked", async (t) => {
  const names = ["a", "b", "c", "d", "e"] as const
  for (let seed = 1; seed <= 12; seed++) {
    await using net = await testMesh([...names, "z"], { clock: "virtual", seed, member: (name) => ({ state: name }) })
    const { clock } = net
    const one = <T>(list: readonly T[]): T => list[Math.floor(clock.random() * list.length)]!
    const got = new Map<string, number[]>()
    const gaps: unknown[] = []
    for (const name of names) {
      net.mesh[name].on("gap", (event) => void gaps.push([name, event.member.name, event.direction, event.count]))
      net.mesh[name].subscribe("from.*", ({ data: [from, i] }) => {
        const key = `${from} to ${name}`
        got.set(key, [...(got.get(key) ?? []), i])
      })
      for (const other of names) if (other !== name) net.slow(name, other, () => clock.random() ** 3 * 200)
    }
    await net.settle()
    let sent = 0
    let lives = true
    const ends = clock.now() + 90_000
    const healing = new Map<string, number>()
    while (clock.now() < ends) {
      for (const name of names) net.mesh[name].tryPublish(`from.${name}`, [name, sent], { echo: false })
      sent++
      for (const [pair, due] of healing)
        if (clock.now() >= due) {
          healing.delete(pair)
          net.heal(pair[0], pair[1])
        }
      const [a, b] = [one(names), one(names)]
      if (a < b && !healing.has(a + b) && clock.random() < 0.1) {
        net.cut(a, b, { silent: clock.random() < 0.5 })
        healing.set(a + b, clock.now() + clock.random() ** 2 * 14_000)
      }
      // One that comes and goes, with a goodbye or without.
      if (clock.random() < 0.02) {
        if (!lives) await net.add("z")
        else if (clock.random() < 0.3) await net.until(net.mesh.z.close())
        else await net.kill("z", { silent: clock.random() < 0.5 })
        lives = !lives
      }
      await net.advance(50)
    }
    net.heal()
    if (!lives) await net.add("z")
    await net.advance(30_000)
    for (const from of names)
      for (const to of names)
        if (from !== to) t.strictSame(got.get(`${from} to ${to}`), upTo(sent), `seed ${seed}: ${from} to ${to}`)
    t.strictSame(
      gaps.filter((gap) => !(gap as string[]).includes("z")),
      [],
      "nothing was missing",
    )
    for (const [name, mesh] of Object.entries<Mesh>(net.mesh)) {
      t.equal(mesh.members.size, 5, name)
      t.equal(hubOf(mesh).links.linkedCount, 5, name)
    }
  }
})
