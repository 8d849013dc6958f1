// Members whose nodes listen nowhere but at a relay: they find each other through a member there, and link over it.
import { circuitRelayServer, circuitRelayTransport, type CircuitRelayServerInit } from "@libp2p/circuit-relay-v2"
import { identify } from "@libp2p/identify"
import { tcp } from "@libp2p/tcp"
import type { Libp2p } from "libp2p"
import t, { type Test } from "tap"
import { systemClock } from "../../lib/clock.ts"
import { seeds } from "../../lib/mesh/discovery/seeds.ts"
import type { Mesh } from "../../lib/mesh/mesh.ts"
import { memberOver, nodeFor } from "../support/libp2p-mesh.ts"
import { until } from "../support/sockets.ts"

systemClock.hold()
t.teardown(() => systemClock.release())

const linked = (mesh: Mesh, ...others: Mesh[]): boolean => others.every(({ id }) => mesh.members.has(id))

const relayNode = (t: Test, init?: CircuitRelayServerInit): Promise<Libp2p> =>
  nodeFor(t, { services: { identify: identify(), relay: circuitRelayServer(init) } })

/** A node that can be reached by the relay only. */
function hiddenNode(t: Test, ...relays: string[]): Promise<Libp2p> {
  return nodeFor(t, {
    addresses: { listen: relays.map((relay) => `${relay}/p2p-circuit`) },
    // One at a time, libp2p's default, the second never comes to its turn.
    transports: [tcp(), circuitRelayTransport({ reservationConcurrency: 4 })],
    services: { identify: identify() },
  })
}

const addressOf = (node: Libp2p): string => node.getMultiaddrs()[0]!.toString()

t.test("two members behind a relay link over it, found through the member at the relay", async (t) => {
  const middle = await relayNode(t)
  const relay = await memberOver(t, middle, { open: true })
  const [one, two] = await Promise.all([hiddenNode(t, addressOf(middle)), hiddenNode(t, addressOf(middle))])
  const options = { open: true, discovery: [seeds(...relay.endpoints)] }
  const a = await memberOver(t, one, options)
  const b = await memberOver(t, two, { ...options, discovery: [seeds(...relay.endpoints)] })
  await until("all", () => linked(a, b, relay) && linked(b, a, relay) && linked(relay, a, b))
  const circuit = `libp2p://${addressOf(middle)}/p2p-circuit/p2p/${one.peerId.toString()}#mesh`
  t.strictSame(a.endpoints, [circuit], "what is announced")
  const [connection] = two.getConnections(one.peerId)
  t.match(connection!.remoteAddr.toString(), "/p2p-circuit")
  t.ok(connection!.limits, "a limited connection")
  t.equal(b.members.get(a.id)!.userId, one.peerId.toString())
  const heard: unknown[] = []
  await a.subscribe("x", ({ data }) => void heard.push(data)).ready()
  t.match(await b.publish("x", 1), { sent: 1 })
  await until("it", () => heard.length === 1)
  await relay.close()
  t.match(await b.publish("x", 2), { sent: 1 })
  await until("it without the member at the relay", () => heard.length === 2)
  t.strictSame(heard, [1, 2])
})

t.test("a place at a relay that is found later is announced within 5 s, also to those who are linked", async (t) => {
  const [middle, known] = await Promise.all([relayNode(t), nodeFor(t)])
  const a = await memberOver(t, await hiddenNode(t, ""), { open: true, discovery: [] })
  const friend = await memberOver(t, known, { open: true })
  const node = await hiddenNode(t, "")
  const b = await memberOver(t, node, { open: true, discovery: [seeds(...friend.endpoints)] })
  t.strictSame(a.endpoints.length, 1)
  await until("a link", () => linked(friend, b))
  t.strictSame(b.endpoints, [`libp2p:///p2p/${node.peerId.toString()}#mesh`], "no place so far")
  const updates: unknown[] = []
  friend.on("update", ({ member }) => updates.push([...member.endpoints]))
  await node.dial(middle.getMultiaddrs()[0]!)
  await until("the place", () => b.endpoints[0]!.includes("/p2p-circuit/"))
  await until("that the other knows", () => friend.members.get(b.id)?.endpoints.join() === b.endpoints.join())
  t.ok(updates.length >= 1)
})

t.test(
  "private: a relayed address is neither announced nor dialled, and nobody is taken in over a relay",
  async (t) => {
    const middle = await relayNode(t)
    const [one, two] = await Promise.all([hiddenNode(t, addressOf(middle)), hiddenNode(t, addressOf(middle))])
    const a = await memberOver(t, one)
    t.strictSame(a.endpoints, [])
    const endpoint = `libp2p://${addressOf(one)}#mesh`
    const b = await memberOver(t, two, { open: true, discovery: [seeds(endpoint)] })
    const c = await memberOver(t, one, {
      listen: ["libp2p://#other"],
      discovery: [seeds(`libp2p://${addressOf(two)}#mesh`)],
    })
    const keys = async (mesh: Mesh): Promise<string[]> => (await mesh.diagnose()).map(({ key }) => key)
    t.ok((await keys(c)).includes("private"), "the one says which word opens it")
    let found: string[] = []
    await until("the other to be refused", () => {
      void keys(b).then((keys) => (found = keys))
      return found.includes("seed-silent")
    })
    t.equal(a.members.size + b.members.size + c.members.size, 0)
  },
)

t.test("a relay that cuts connections at 64 KiB: all arrives, in order, over several of them", async (t) => {
  const middle = await relayNode(t, { reservations: { defaultDataLimit: 65_536n } })
  const [one, two] = await Promise.all([hiddenNode(t, addressOf(middle)), hiddenNode(t, addressOf(middle))])
  const a = await memberOver(t, one, { open: true })
  const b = await memberOver(t, two, { open: true, discovery: [seeds(`libp2p://${addressOf(one)}#mesh`)] })
  await until("a link", () => linked(a, b) && linked(b, a))
  const heard: number[] = []
  await a.subscribe("x", { queueSize: 1000 }, ({ data }) => void heard.push(data.n)).ready()
  let cuts = 0
  two.addEventListener("connection:close", () => cuts++)
  const gaps: unknown[] = []
  for (const mesh of [a, b]) mesh.on("gap", ({ count, direction }) => gaps.push([direction, count]))
  const filler = "x".repeat(1000)
  for (let n = 0; n < 200; n++) {
    const { sent, waiting } = await b.publish("x", { n, filler }, { onFull: "wait" })
    if (sent + waiting !== 1) throw new Error(`${n} went nowhere`)
    await until(`about ${n}`, () => heard.length > n - 20)
  }
  await until("all", () => heard.length >= 200)
  t.strictSame(
    heard,
    Array.from({ length: 200 }, (_, n) => n),
  )
  t.strictSame(gaps, [])
  t.ok(cuts >= 3, `${cuts} connections were cut`)
})

t.test("a relay that dies takes the link with it; one more is another way", async (t) => {
  const relays = await Promise.all([relayNode(t), relayNode(t)])
  const places = relays.map(addressOf)
  const [one, two] = await Promise.all([hiddenNode(t, ...places), hiddenNode(t, ...places)])
  const a = await memberOver(t, one, { open: true })
  const both = (): boolean => one.getMultiaddrs().length === 2
  await until("both places", both)
  const b = await memberOver(t, two, { open: true, discovery: [seeds(`libp2p://${addressOf(one)}#mesh`)] })
  await until("a link", () => linked(a, b) && linked(b, a))
  await until("both to be announced", () => b.members.get(a.id)?.endpoints.length === 2)
  const [connection] = two.getConnections(one.peerId)
  const used = relays.find((relay) => connection!.remoteAddr.toString().includes(relay.peerId.toString()))!
  const heard: unknown[] = []
  await a.subscribe("x", ({ data }) => void heard.push(data)).ready()
  await used.stop()
  t.match(await b.publish("x", "on the way"), { dropped: 0 })
  await until("it, by the other", () => heard.length === 1)
  t.ok(linked(a, b) && linked(b, a))
})
