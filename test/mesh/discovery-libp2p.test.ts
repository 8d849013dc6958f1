// libp2pPeers: members among the peers of a libp2p node, found by the node's own peer discovery.
import { bootstrap } from "@libp2p/bootstrap"
import { identify } from "@libp2p/identify"
import type { Libp2p } from "libp2p"
import t, { type Test } from "tap"
import { systemClock } from "../../lib/clock.ts"
import { libp2pPeers } from "../../lib/mesh/discovery/libp2p.ts"
import type { Mesh } from "../../lib/mesh/mesh.ts"
import { TestHost, tidyDiscovery } from "../support/discovery.ts"
import { memberOver, nodeFor } from "../support/libp2p-mesh.ts"
import { until } from "../support/sockets.ts"
import { virtualClock } from "../support/virtual-clock.ts"

systemClock.hold()
t.teardown(() => systemClock.release())

const linked = (mesh: Mesh, ...others: Mesh[]): boolean => others.every(({ id }) => mesh.members.has(id))

const identified = (t: Test, more: object = {}): Promise<Libp2p> =>
  nodeFor(t, { services: { identify: identify() }, ...more })

t.test("bootstrap: whom the node is told of is a member", async (t) => {
  const first = await identified(t)
  const list = first.getMultiaddrs().map(String)
  const more = { peerDiscovery: [bootstrap({ list, timeout: 0 })] }
  const [second, third] = await Promise.all([identified(t, more), identified(t, more)])
  const a = await memberOver(t, first, { discovery: [libp2pPeers({ node: first })] })
  const b = await memberOver(t, second, { discovery: [libp2pPeers({ node: second })] })
  const c = await memberOver(t, third, { discovery: [libp2pPeers({ node: third })] })
  await until("all", () => linked(a, b, c) && linked(b, a, c) && linked(c, a, b))
  t.strictSame(await b.diagnose(), [], "and nothing is wrong")
})

t.test("nodes that were connected, and identified, before any of them was a member", async (t) => {
  const [one, two] = await Promise.all([identified(t), identified(t)])
  await two.dial(one.getMultiaddrs()[0]!)
  await until("identify", () => identifiedAs(two, one) && identifiedAs(one, two))
  const a = await memberOver(t, one)
  const b = await memberOver(t, two, { discovery: [libp2pPeers({ node: two })] })
  await until("a link", () => linked(a, b) && linked(b, a))
})

/** What one node learned of the other. */
function identifiedAs(node: Libp2p, other: Libp2p): boolean {
  let known = false
  for (const { streams } of node.getConnections(other.peerId)) known ||= streams.length === 0
  return known
}

t.test("a member that comes after the first round, where its node is known; and another name is not it", async (t) => {
  const [one, two, stranger] = await Promise.all([identified(t), identified(t), identified(t)])
  for (const node of [one, stranger]) await two.peerStore.merge(node.peerId, { multiaddrs: node.getMultiaddrs() })
  const other = await memberOver(t, stranger, { listen: ["libp2p://#other"], network: "other" })
  const b = await memberOver(t, two, { discovery: [libp2pPeers({ node: two })] })
  t.equal(b.members.size, 0)
  const a = await memberOver(t, one)
  await until("a link", () => linked(a, b) && linked(b, a))
  t.equal(other.members.size, 0)
  t.strictSame(await b.diagnose(), [], "a stranger is nothing that is wrong")
})

t.test("what is offered: the peer as its node knows it; in a private mesh its addresses on this host", async (t) => {
  const [one, two] = await Promise.all([identified(t), identified(t)])
  await memberOver(t, one)
  await two.dial(one.getMultiaddrs()[0]!)
  for (const open of [true, false]) {
    const host = new TestHost({ open })
    const discovery = tidyDiscovery(t, libp2pPeers({ node: two }))
    await discovery.start(host)
    await until("an offer", () => host.candidates.length > 0)
    const id = one.peerId.toString()
    t.strictSame(host.endpoints, [
      open ? `libp2p:///p2p/${id}#mesh` : `libp2p://${one.getMultiaddrs()[0]!.toString()}#mesh`,
    ])
  }
})

t.test("who is linked is not offered again; nobody is asked more often than may be; nothing stays", async (t) => {
  const [one, two, stranger] = await Promise.all([identified(t), identified(t), identified(t)])
  await memberOver(t, one)
  for (const node of [one, stranger]) await two.dial(node.getMultiaddrs()[0]!)
  let asked = 0
  const { identify: service } = two.services as { identify: { identify(...given: unknown[]): Promise<unknown> } }
  const whole = service.identify.bind(service)
  service.identify = (...given) => (asked++, whole(...given))
  const clock = virtualClock()
  const host = new TestHost({ open: true }, clock)
  const discovery = libp2pPeers({ node: two })
  await discovery.start(host)
  await until("an offer", () => host.candidates.length > 0)
  host.forget()
  await clock.advance(2000)
  await until("another, while nobody is linked", () => host.candidates.length > 0)
  const stream = await two.getConnections(one.peerId)[0]!.newStream("/earshot/zmtp/1.0.0/mesh")
  asked = 0
  host.linked = 1
  host.forget()
  for (let i = 0; i < 10; i++) {
    await clock.advance(15_000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.strictSame(host.candidates, [], "a stream of ours says that it is linked")
  t.ok(asked >= 1 && asked <= 3, `${asked} times in 150 s`)
  stream.abort(new Error("the end"))
  discovery.nudge!()
  await clock.advance(200)
  await until("it is looked for again", () => host.candidates.length > 0)
  await discovery.stop()
  t.equal(clock.timers, 0)
  host.forget()
  await two.peerStore.merge(one.peerId, { protocols: ["/x", "/earshot/zmtp/1.0.0/mesh"] })
  t.strictSame(host.candidates, [], "stopped")
})

t.test("without `dial` nobody is connected; with it, in a private mesh, only who is on this host", async (t) => {
  const [one, two] = await Promise.all([identified(t), identified(t)])
  await memberOver(t, one)
  await two.peerStore.merge(one.peerId, { multiaddrs: one.getMultiaddrs() })
  const dialled: string[] = []
  const node = new Proxy(two, {
    get(node, name) {
      if (name === "dial")
        return (peer: unknown, options: object) => (dialled.push(String(peer)), node.dial(peer as any, options))
      const value = Reflect.get(node, name)
      return typeof value === "function" ? value.bind(node) : value
    },
  })
  const calm = tidyDiscovery(t, libp2pPeers({ node, dial: false }))
  await calm.start(new TestHost({ open: true }))
  t.strictSame(dialled, [])
  await two.peerStore.merge(one.peerId, { multiaddrs: [] })
  const eager = tidyDiscovery(t, libp2pPeers({ node }))
  const host = new TestHost()
  await eager.start(host)
  t.strictSame(dialled, [one.getMultiaddrs().map(String).join()])
  await until("an offer", () => host.candidates.length > 0)
})

t.test("refused at once", async (t) => {
  const node = await nodeFor(t)
  t.throws(() => libp2pPeers({ node }), { code: "EINVAL", message: /identify/ })
  const fit = await identified(t)
  for (const name of ["", "a#b", "*", "x".repeat(65)])
    t.throws(() => libp2pPeers({ node: fit, name }), { code: "EINVAL" })
})
