// Links between members: one for each pair whoever dials whom when, alive or not, what is sent again after a loss.
import t from "tap"
import { testMesh, type VirtualTestMesh } from "../../lib/mesh/testing.ts"
import type { Mesh } from "../../lib/mesh/mesh.ts"

/** What the events of one name told, and when. */
const record = (net: VirtualTestMesh, mesh: Mesh, name: Parameters<Mesh["on"]>[0]): unknown[] => {
  const seen: unknown[] = []
  mesh.on(name, ({ member, reason, ...rest }: any) => {
    seen.push({ ...rest, member: member?.name, ...(reason === undefined ? {} : { reason }), at: net.clock.now() })
  })
  return seen
}

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
