// Many members in one process: over TCP, and more of them than may be linked.
import t, { type Test } from "tap"
import type { Discovery, DiscoveryHost } from "../../lib/mesh/contract.ts"
import { Mesh, seeds } from "../../lib/mesh/index.ts"
import type { Mesh as Member } from "../../lib/mesh/mesh.ts"
import { testMesh, type TestMemberOptions, type TestMesh } from "../../lib/mesh/testing.ts"
import { until } from "../support/sockets.ts"

const MEMBERS = 30
const STAYING = 24
/** ms between two messages of each that stays. */
const BEAT = 50
const PATIENCE = 60_000

t.test("a fifth of 30 members restarts in turn under load: those that stay miss nothing of each other", async (t) => {
  const members: Mesh[] = []
  t.teardown(() => Promise.all(members.map((member) => member.close())))
  const join = async (): Promise<Mesh> => {
    const discovery = members.length === 0 ? [] : [seeds(members[0]!.endpoints[0]!)]
    const member = await Mesh.join({ network: "crowd", listen: ["tcp://127.0.0.1:0"], discovery })
    members.push(member)
    return member
  }
  const complete = (member: Mesh): Promise<void> => member.ready({ members: MEMBERS - 1, timeout: PATIENCE })
  for (let i = 0; i < MEMBERS; i++) await join()
  await Promise.all(members.map(complete))

  const staying = members.slice(0, STAYING)
  const heard = new Map<string, number>()
  const troubles: string[] = []
  const key = (from: string, to: string): string => `${from} to ${to}`
  for (const member of staying) {
    member.on("leave", ({ member: gone }) => {
      if (staying.some(({ id }) => id === gone.id)) troubles.push("one that stays was lost")
    })
    const subscription = member.subscribe<number>("load", ({ from, data }) => {
      const pair = key(from.id, member.id)
      const last = heard.get(pair) ?? 0
      if (data !== last + 1) troubles.push(`${data} came behind ${last}`)
      heard.set(pair, data)
    })
    await subscription.ready({ timeout: PATIENCE })
  }
  let sent = 0
  const load = setInterval(() => {
    sent++
    for (const member of staying)
      void member.publish("load", sent, { echo: false }).then(({ dropped }) => {
        if (dropped > 0) troubles.push(`${dropped} dropped`)
      })
  }, BEAT)
  t.teardown(() => clearInterval(load))

  for (const going of members.slice(STAYING)) {
    members.splice(members.indexOf(going), 1)
    await going.close()
    await complete(await join())
  }
  await until("some load", () => sent > 10)
  clearInterval(load)
  await Promise.all(staying.map((member) => member.flush({ timeout: PATIENCE })))

  const counts = staying.flatMap(({ id: from }) =>
    staying.filter(({ id }) => id !== from).map(({ id: to }) => heard.get(key(from, to))),
  )
  t.same(troubles, [])
  t.equal(counts.length, STAYING * (STAYING - 1))
  t.same(new Set(counts), new Set([sent]), "every one that stays has all messages of every other")
  // A link that is lost by the way is made again.
  await Promise.all(members.map(complete))
  const there = members.map(({ id }) => id)
  for (const { id, members: others } of staying)
    t.same([id, ...others.keys()].toSorted(), there.toSorted(), "and knows those that are there, and nobody else")
})

t.test("who comes into a large calm mesh, and dials them all, is taken for dead by nobody", async (t) => {
  const names = Array.from({ length: MEMBERS }, (_, i) => `m${i}`)
  await using net = await testMesh([...names, "new"], { clock: "virtual" })
  await net.kill("new")
  for (const name of names) {
    net.block(name, "new")
    net.slow(name, "new", 5)
  }
  await net.advance(8000)
  await net.join("new")
  const lost: string[] = []
  for (const name of names) net.mesh[name]!.on("leave", ({ member }) => lost.push(`${name} has lost ${member.name}`))
  await net.advance(20_000)
  t.strictSame(lost, [])
})

const CROWD = ["a", "b", "c", "d", "e", "f", "g", "h"] as const

const isLeaf = (mesh: Member): boolean => mesh.stats().leaf

/** Those that are linked with each other, and the leaves, by name. */
function roles(net: TestMesh): { readonly full: string[]; readonly leaves: string[] } {
  const living = Object.entries<Member>(net.mesh).filter(([, { closed }]) => !closed)
  const names = (leaf: boolean): string[] => living.filter(([, mesh]) => isLeaf(mesh) === leaf).map(([name]) => name)
  return { full: names(false), leaves: names(true) }
}

const carrierOf = (mesh: Member): string | undefined => [...mesh.members.values()][0]?.name

/** Everybody publishes, and everybody hears it once. */
async function talk(t: Test, net: TestMesh, subject: string): Promise<void> {
  const living = Object.entries<Member>(net.mesh).filter(([, { closed }]) => !closed)
  const heard = living.map(([, mesh]) => {
    const of: unknown[] = []
    mesh.subscribe(subject, ({ data }) => void of.push(data))
    return of
  })
  await net.settle()
  for (const [name, mesh] of living) t.match(await mesh.publish(subject, name), { dropped: 0 })
  const all = living.map(([name]) => name)
  await net.settle()
  await net.settle()
  for (const [i, of] of heard.entries()) {
    t.equal(of.length, all.length, `${all[i]} hears nothing twice`)
    t.strictSame(new Set(of), new Set(all), `${all[i]} hears everybody`)
  }
}

t.test(
  "beyond maxLinks: five of eight are linked, the others are leaves of theirs; all hear, ask and work",
  async (t) => {
    const denied: string[] = []
    await using net = await testMesh(["a", "b", "c", "d", "e"], { member: { maxLinks: 4 } })
    for (const name of ["f", "g", "h"]) {
      const member = await net.join(name)
      t.ok(isLeaf(member), `${name} came last, and is a leaf`)
      denied.push(name)
    }
    t.strictSame(roles(net), { full: ["a", "b", "c", "d", "e"], leaves: ["f", "g", "h"] })
    const { a, b, c, d, e } = net.mesh
    const mesh = net.mesh as Readonly<Record<string, Member>>
    for (const each of [a, b, c, d, e]) {
      const linked = [...each.members.values()]
      t.equal(linked.filter(({ leaf }) => !leaf).length, 4)
      t.strictSame(each.health().reasons, [])
    }
    t.equal(
      [...a.members.values()].reduce((sum, { leaf, leaves }) => sum + (leaf ? 1 : leaves), 0),
      3,
      "leaves are told of by those that carry them",
    )
    for (const name of denied) {
      const leaf = mesh[name]!
      t.equal(leaf.members.size, 1)
      t.same(leaf.health(), { version: 1, live: true, ready: true, draining: false, reasons: ["crowded"] })
      t.match((await leaf.diagnose())[0], {
        key: "full",
        evidence: /maxLinks, 4 here\), and this one is a leaf of [a-e] /,
      })
    }
    await talk(t, net, "all")

    for (const name of CROWD) mesh[name]!.serve(`${name}.add`, ([x, y]: number[]) => x! + y!)
    await net.settle()
    for (const asker of CROWD)
      for (const server of CROWD)
        t.equal(await mesh[asker]!.request(`${server}.add`, [2, 3]), 5, `${asker} asks ${server}`)

    const work: unknown[] = []
    for (const name of ["b", "f", "g", "h"])
      mesh[name]!.subscribe("work", { queue: "w" }, ({ data }) => void work.push(data))
    await net.settle()
    for (let i = 0; i < 200; i++) await mesh[CROWD[i % 8]!]!.publish("work", i, { onFull: "wait" })
    await until("all of the work", () => work.length >= 200)
    await net.settle()
    t.strictSame(
      work.toSorted((x, y) => Number(x) - Number(y)),
      range200,
      "each once",
    )

    const late = net.join("late")
    const told = new Promise<string>((resolve) => void late.then((member) => resolve(String(member.stats().leaf))))
    t.equal(await told, "true")
  },
)

const range200 = Array.from({ length: 200 }, (_, i) => i)

t.test(
  "who gives way says so, a killed carrier is replaced, and when there is room a leaf is a full member again",
  async (t) => {
    const net = await testMesh([...CROWD.slice(0, 5)], { member: { maxLinks: 4 }, clock: "virtual" })
    t.teardown(() => net.close())
    const said: string[] = []
    const gaps: unknown[] = []
    for (const name of ["f", "g", "h"]) {
      const member = await net.join(name)
      member.on("gap", ({ direction, count }) => direction === "sent" || void gaps.push([name, direction, count]))
      member.on("denied", ({ what, reason }) => void said.push(`${name} ${what} ${reason}`))
    }
    const mesh = net.mesh as Readonly<Record<string, Member>>
    await talk(t, net, "before")
    const killed = carrierOf(mesh["f"]!)!
    const orphans = ["f", "g", "h"].filter((name) => carrierOf(mesh[name]!) === killed)
    gaps.length = 0
    await net.kill(killed)
    await net.settle()
    t.ok(roles(net).leaves.includes("f"), "at first it is a leaf of another")
    t.not(carrierOf(mesh["f"]!), killed)
    t.strictSame(
      gaps,
      orphans.map((name) => [name, "received", undefined]),
      "who has another carrier says that something may be missing",
    )
    await talk(t, net, "meanwhile")
    // There is room for one; when two try at a time, they give way once more.
    for (let i = 0; i < 60 && roles(net).full.length < 5; i++) await net.advance(30_000)
    await net.settle()
    t.equal(roles(net).full.length, 5)
    t.equal(roles(net).leaves.length, 2)
    await talk(t, net, "after")
    for (const line of said)
      t.match(line, /^\w link there are as many links as there may be \(maxLinks\); it joins as a leaf instead$/)
    // Nobody changes places any more.
    const before = roles(net)
    await net.advance(600_000)
    t.strictSame(roles(net), before)
    for (const name of before.full.slice(0, 2)) await net.kill(name)
    for (let i = 0; i < 60 && roles(net).leaves.length > 0; i++) await net.advance(30_000)
    t.equal(roles(net).full.length, 5, "all are full members")
    await talk(t, net, "finally")
  },
)

t.test("all begin at once, and each meets the others in an order of its own: five are linked at last", async (t) => {
  let most = 0
  for (let seed = 1; seed <= 20; seed++) {
    const hosts = new Map<string, DiscoveryHost>()
    const discovery = (name: string): Discovery => ({
      name: "by hand",
      start: async (host) => void hosts.set(name, host),
      stop: async () => {},
    })
    const member = (name: string): TestMemberOptions => ({ maxLinks: 4, discovery: [discovery(name)] })
    const net = await testMesh([], { member, clock: "virtual", seed })
    const { clock } = net
    for (const name of CROWD) await net.add(name)
    for (const a of CROWD) for (const b of CROWD) if (a < b) net.slow(a, b, () => clock.random() * 20)
    for (const a of CROWD)
      for (const b of CROWD) {
        const { id, endpoints } = hosts.get(b)!.self
        if (a !== b) clock.timeout(() => hosts.get(a)!.found({ id, endpoints }), clock.random() * 50)
      }
    await net.advance(2000)
    await net.settle()
    const { full } = roles(net)
    most = Math.max(most, full.length)
    t.ok(full.length >= 1 && full.length <= 5, `${full.join(" ")} are linked`)
    await talk(t, net, "soon")
    for (let i = 0; i < 60 && roles(net).full.length < 5; i++) await net.advance(30_000)
    await net.settle()
    t.equal(roles(net).full.length, 5)
    await talk(t, net, "later")
    await net.close()
  }
  t.ok(most > 1, `at once ${most} stayed`)
})
