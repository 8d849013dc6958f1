// `earshot/testing`: a mesh within one process, as users test on it.
import t from "tap"
import { testMesh } from "../../lib/mesh/testing.ts"

t.test("members of the names asked for are linked, and talk", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  t.strictSame(Object.keys(net.mesh), ["a", "b", "c"])
  for (const mesh of Object.values(net.mesh)) t.equal(mesh.members.size, 2)
  net.mesh.b.serve("add", ([x, y]: number[]) => x! + y!)
  await net.settle()
  t.equal(await net.mesh.a.request("add", [2, 3]), 5)
})

t.test("a member that was killed is lost, and comes back", async (t) => {
  await using net = await testMesh(["a", "b"])
  const left = new Promise<string>((resolve) => net.mesh.a.once("leave", ({ reason }) => resolve(reason)))
  net.mesh.a.subscribe("x", () => {})
  await net.kill("b")
  t.equal(await left, "lost")
  const b = await net.join("b")
  t.equal(b.members.size, 1)
})

t.test("time is the test's", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const left = new Promise<string>((resolve) => net.mesh.a.once("leave", ({ reason }) => resolve(reason)))
  const before = net.clock.now()
  await net.kill("b")
  t.equal(await net.until(left), "lost")
  t.ok(net.clock.now() - before <= 6000, "within the bound of 6 s, and none of ours")
  await net.close()
  t.strictSame([net.clock.timers, net.clock.holds], [0, 0], "no timer and no hold stays")
})
