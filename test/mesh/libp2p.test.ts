// The mesh over libp2p: links over streams of each member's own node, who is let in while it is private, and what is announced.
import { networkInterfaces } from "node:os"
import t from "tap"
import { systemClock } from "../../lib/clock.ts"
import type { Place } from "../../lib/contract.ts"
import { seeds } from "../../lib/mesh/discovery/seeds.ts"
import type { Mesh } from "../../lib/mesh/mesh.ts"
import { platform } from "../../lib/mesh/platform.node.ts"
import { keepLocal } from "../../lib/mesh/peers.ts"
import { libp2p } from "../../transports/libp2p.ts"
import { memberOver, nodeFor } from "../support/libp2p-mesh.ts"
import { until } from "../support/sockets.ts"

systemClock.hold()
t.teardown(() => systemClock.release())

/** An address of this machine that others have it by; undefined where there is only loopback. */
const outer = Object.values(networkInterfaces())
  .flatMap((list = []) => list)
  .find(({ internal, family }) => !internal && family === "IPv4")?.address

/** The TCP port that a node listens at, whatever it announces. */
function portOf(node: Awaited<ReturnType<typeof nodeFor>>): string {
  const { transportManager } = (node as any).components
  return /\/tcp\/(\d+)/.exec(transportManager.getAddrs()[0].toString())![1]!
}

const linked = (mesh: Mesh, ...others: Mesh[]): boolean => others.every(({ id }) => mesh.members.has(id))

t.test("three members over their nodes: one is told of another, gossip brings the third", async (t) => {
  const [one, two, three] = await Promise.all([nodeFor(t), nodeFor(t), nodeFor(t)])
  const a = await memberOver(t, one)
  t.strictSame(a.endpoints, [`libp2p://${one.getMultiaddrs()[0]!.toString()}#mesh`])
  const b = await memberOver(t, two, { discovery: [seeds(...a.endpoints)] })
  const c = await memberOver(t, three, { discovery: [seeds(...a.endpoints)] })
  await until("each to have the others", () => linked(a, b, c) && linked(b, a, c) && linked(c, a, b))
  t.equal(b.members.get(c.id)!.userId, three.peerId.toString(), "a peer id is proven")
  t.equal(a.members.get(b.id)!.userId, two.peerId.toString(), "also of who came")
  t.strictSame(b.members.get(c.id)!.endpoints, c.endpoints)

  const heard: unknown[] = []
  for (const mesh of [a, b, c]) await mesh.subscribe("x.>", ({ data }) => void heard.push(data)).ready()
  t.match(await a.publish("x.1", "all"), { sent: 3, dropped: 0 })
  await until("all", () => heard.length === 3)
  c.serve("add", ([x, y]: [number, number]) => x + y)
  await b.ready({ subject: "add" })
  t.equal(await b.request("add", [2, 3]), 5)

  for (const connection of two.getConnections()) connection.abort(new Error("the cable"))
  await until("a link again", () => linked(b, a, c))
  t.equal(await b.request("add", [4, 5], { wait: 5000 }), 9)
})

t.test("beside tcp: whoever has no libp2p takes the other way", async (t) => {
  const [one, two] = await Promise.all([nodeFor(t), nodeFor(t)])
  const a = await memberOver(t, one, { listen: ["libp2p://#mesh", "tcp://*:0"] })
  t.match(
    a.endpoints.map((endpoint) => endpoint.split(":")[0]),
    ["libp2p", "tcp"],
  )
  const b = await memberOver(t, two, { listen: ["tcp://*:0"], discovery: [seeds(a.endpoints[1]!)] })
  const other = await memberOver(t, two, { listen: ["tcp://*:0"], discovery: [seeds(...b.endpoints)] })
  await until("links", () => linked(a, b, other) && linked(other, a, b))
  t.equal(b.members.get(a.id)!.userId, undefined, "tcp proves nobody")
})

t.test("private: it announces, dials and takes in on this host only", async (t) => {
  t.ok(
    platform.isLocal("libp2p:///ip4/127.0.0.1/tcp/1/p2p/X#mesh") && platform.isLocal("libp2p:///ip6/::1/tcp/1/p2p/X#m"),
  )
  for (const far of [
    "libp2p:///ip4/10.0.0.5/tcp/1/p2p/X#mesh",
    "libp2p:///ip4/127.0.0.1/tcp/1/p2p/R/p2p-circuit/p2p/X#mesh",
    "libp2p:///ip4/127.0.0.1.example/tcp/1/p2p/X#mesh",
    "libp2p:///dns4/127.0.0.1/tcp/1/p2p/X#mesh",
    "libp2p:///p2p/X#mesh",
  ])
    t.notOk(platform.isLocal(far), far)
  t.equal(platform.keepLocal("libp2p://#mesh"), "libp2p:///ip4/127.0.0.1#mesh")

  const { address } = keepLocal({ transport: libp2p(), address: "#mesh" }, platform) as Place
  t.equal(address, "/ip4/127.0.0.1#mesh", "also where it is given by its transport")

  const wide = await nodeFor(t, { addresses: { listen: ["/ip4/0.0.0.0/tcp/0"] } })
  const a = await memberOver(t, wide)
  t.ok(a.endpoints.length > 0 && a.endpoints.every((endpoint) => platform.isLocal(endpoint)), "announced: loopback")
  const open = await memberOver(t, wide, { listen: ["libp2p://#open"], open: true })
  t.equal(
    open.endpoints.some((endpoint) => platform.isLocal(endpoint)),
    outer === undefined,
    "and where it is open, the rest",
  )
})

t.test(
  "private: nodes that are connected by this host's outer address link all the same",
  { skip: outer === undefined && "only loopback here" },
  async (t) => {
    const [one, two] = await Promise.all(
      [1, 2].map(() => nodeFor(t, { addresses: { listen: ["/ip4/127.0.0.1/tcp/0", `/ip4/${outer}/tcp/0`] } })),
    )
    await two!.dial(one!.getMultiaddrs().find((each) => each.toString().includes(outer!))!)
    await until("the connection on both sides", () => one!.getConnections().length === 1)
    t.match(one!.getConnections()[0]!.remoteAddr.toString(), outer!)
    const a = await memberOver(t, one!)
    const b = await memberOver(t, two!, { discovery: [seeds(...a.endpoints)] })
    await until("a link", () => linked(a, b) && linked(b, a))
    t.equal(two!.getConnections().length, 1, "over the connection that was there")
  },
)

t.test("a node that is stopped under its mesh: an error says so, links are lost, nothing is announced", async (t) => {
  const [one, two] = await Promise.all([nodeFor(t), nodeFor(t)])
  const a = await memberOver(t, one)
  const b = await memberOver(t, two, { discovery: [seeds(...a.endpoints)] })
  await until("a link", () => linked(a, b) && linked(b, a))
  const errors: unknown[] = []
  a.on("error", ({ error }) => errors.push(error))
  await one.stop()
  await until("that it is gone", () => !linked(b, a) && !linked(a, b))
  t.match(errors, [{ code: "EADDRNOTAVAIL" }])
  t.strictSame(a.endpoints, [])
})

t.test("as many addresses as others read, and no more", async (t) => {
  const announce = Array.from({ length: 40 }, (_, i) => `/dns4/host-${i}.example/tcp/4001`)
  const node = await nodeFor(t, { addresses: { listen: ["/ip4/127.0.0.1/tcp/0"], announce } })
  const advertise = Array.from({ length: 20 }, (_, i) => `tcp://10.0.0.${i}:1`)
  const a = await memberOver(t, node, { open: true, advertise })
  const b = await memberOver(t, await nodeFor(t), {
    discovery: [seeds(`libp2p:///ip4/127.0.0.1/tcp/${portOf(node)}/p2p/${node.peerId.toString()}#mesh`)],
  })
  await until("a link", () => linked(b, a))
  t.equal(a.endpoints.length, 32)
  t.strictSame(a.endpoints.slice(0, 20), advertise)
  t.strictSame(b.members.get(a.id)!.endpoints, a.endpoints)
})
