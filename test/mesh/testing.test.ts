// `earshot/testing`: a mesh within one process, as users test on it.
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import t from "tap"
import { testMesh, type TestMesh, type VirtualTestMesh } from "../../lib/mesh/testing.ts"

/** What `b` gets of `a`'s numbers on "x". */
async function listening(net: TestMesh<"a" | "b">): Promise<number[]> {
  const got: number[] = []
  net.mesh.b.subscribe("x", ({ data }) => void got.push(data))
  await net.settle()
  return got
}

t.test("members of the names asked for are linked, and talk", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  t.strictSame(Object.keys(net.mesh).sort(), ["a", "b", "c"])
  for (const [name, mesh] of Object.entries(net.mesh)) {
    t.equal(mesh.name, name)
    t.equal(mesh.members.size, 2)
  }
  net.mesh.b.serve("add", ([x, y]: number[]) => x! + y!)
  await net.settle()
  t.equal(await net.mesh.a.request("add", [2, 3]), 5)
  await t.rejects(testMesh(["a", "a"]), { code: "EINVAL" })
  await t.rejects(net.join("a"), { code: "EINVAL" }, "it lives")
  t.throws(() => net.cut("a", "nobody"), { code: "EINVAL" })
})

t.test("two nets know nothing of each other, and of the machine's environment", async (t) => {
  process.env["EARSHOT_NETWORK"] = "elsewhere"
  process.env["EARSHOT_NAME"] = "somebody"
  t.teardown(() => {
    delete process.env["EARSHOT_NETWORK"]
    delete process.env["EARSHOT_NAME"]
  })
  await using one = await testMesh(["a", "b"])
  await using two = await testMesh(["a", "b"])
  t.not(one.network, two.network)
  t.strictSame([one.mesh.a.members.size, two.mesh.a.members.size], [1, 1])
  t.equal(one.mesh.a.name, "a")
})

t.test("no port, no handle, before or after", async (t) => {
  const before = process.getActiveResourcesInfo().sort()
  const net = await testMesh(["a", "b"])
  await listening(net)
  const during = process.getActiveResourcesInfo()
  t.notOk(
    during.some((each) => /TCP|UDP|Server|Socket/.test(each) && !before.includes(each)),
    during.join(),
  )
  const closing = net.close()
  t.equal(net.close(), closing)
  await closing
  await new Promise(setImmediate)
  // The clock's own anchor stays, unref'd: it is made once.
  t.strictSame(
    process
      .getActiveResourcesInfo()
      .filter((each) => each !== "Timeout")
      .sort(),
    before.filter((each) => each !== "Timeout"),
  )
  t.ok(net.mesh.a.closed && net.mesh.b.closed)
})

t.test("a cut cable: both sides know, and nothing passes until it is healed", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const got = await listening(net)
  net.cut("a", "b")
  await net.clock.settle()
  t.match(net.mesh.a.tryPublish("x", 1), { sent: 0, waiting: 1 })
  await net.advance(4000)
  t.strictSame(got, [])
  net.heal("b", "a")
  await net.advance(2000)
  t.strictSame(got, [1])
})

t.test("a silent cut: nobody knows, and what was held back arrives", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const got = await listening(net)
  net.cut("a", "b", { silent: true })
  await net.clock.settle()
  t.match(net.mesh.a.tryPublish("x", 1), { sent: 1, waiting: 0 })
  await net.advance(3000)
  t.strictSame(got, [])
  net.heal()
  await net.clock.settle()
  t.strictSame(got, [1])
  net.cut("a", "b", { silent: true })
  await net.advance(6001)
  t.equal(net.mesh.a.members.size, 0)
})

t.test("a slow cable takes its time, each way, and keeps the order", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const got = await listening(net)
  net.slow("a", "b", 250)
  net.mesh.a.tryPublish("x", 1)
  await net.advance(249)
  t.strictSame(got, [])
  await net.advance(1)
  t.strictSame(got, [1])
  const start = net.clock.now()
  await net.until(net.mesh.a.flush())
  t.equal(net.clock.now() - start, 500)
  const ways = new Set<string>()
  net.slow("a", "b", (from, to) => {
    ways.add(`${from} to ${to}`)
    return net.clock.random() * 100
  })
  for (let i = 2; i <= 200; i++) {
    net.mesh.a.tryPublish("x", i)
    await net.advance(1)
  }
  await net.until(net.mesh.a.flush())
  t.strictSame(
    got,
    Array.from({ length: 200 }, (_, i) => i + 1),
  )
  t.strictSame([...ways].sort(), ["a to b", "b to a"])
})

t.test("a member that was killed is lost, and may come back: as another, or with `state` as itself", async (t) => {
  for (const state of [undefined, "kept"])
    for (const silent of [false, true]) {
      await using net = await testMesh(["a", "b"], {
        clock: "virtual",
        member: (name) => (name === "b" ? { state } : {}),
      })
      const { id } = net.mesh.b
      const left: string[] = []
      net.mesh.a.on("leave", ({ reason }) => void left.push(reason))
      await net.kill("b", { silent })
      t.ok(net.mesh.b.closed)
      await net.advance(6001)
      t.strictSame([left, net.mesh.a.members.size], [["lost"], 0], "without a goodbye")
      const b = await net.join("b")
      t.equal(b, net.mesh.b)
      t.equal(b.id === id, state !== undefined)
      t.equal(net.mesh.a.members.size, 1)
      await net.advance(20_000)
      t.equal(net.mesh.a.members.size, 1)
    }
})

t.test("more may join, with options of their own; a leaf, too", async (t) => {
  await using net = await testMesh(["a"], { clock: "virtual", member: { meta: { role: "usual" } } })
  const d = await net.join("d", { meta: { role: "special" } })
  t.strictSame(
    [...net.mesh.a.members.values()].map(({ name, meta }) => [name, meta["role"]]),
    [["d", "special"]],
  )
  t.strictSame([...d.members.values()][0]!.meta, { role: "usual" })
  const leaf = await net.join("leaf", { listen: [] })
  t.equal(leaf.endpoints.length, 0)
  t.equal(leaf.members.size, 1)
})

t.test("virtual time: the same seed, the same run; nothing of it stays", async (t) => {
  const run = async (seed: number): Promise<string> => {
    const net: VirtualTestMesh<"a" | "b" | "c"> = await testMesh(["a", "b", "c"], { clock: "virtual", seed })
    let story = ""
    for (const [name, mesh] of Object.entries(net.mesh)) {
      mesh.subscribe("x", { queue: "q" }, ({ data }) => void (story += `${name} ${data} at ${net.clock.now()}, `))
      mesh.on(
        "leave",
        ({ member, reason }) => void (story += `${name}: ${member.name} ${reason} at ${net.clock.now()}, `),
      )
    }
    await net.settle()
    for (const [a, b] of [
      ["a", "b"],
      ["b", "c"],
      ["a", "c"],
    ] as const)
      net.slow(a, b, () => net.clock.random() * 30)
    for (let i = 0; i < 50; i++) {
      net.mesh.a.tryPublish("x", i)
      await net.advance(10)
    }
    await net.kill("c", { silent: true })
    await net.advance(10_000)
    await net.close()
    t.strictSame([net.clock.timers, net.clock.holds], [0, 0])
    return story
  }
  const [first, again, other] = [await run(7), await run(7), await run(8)]
  t.match(first, "lost")
  t.equal(first, again)
  t.not(first, other)
})

t.test("under node:test, as installed: it passes and ends by itself", async (t) => {
  const fixture = fileURLToPath(new URL("fixtures/node-test.mjs", import.meta.url))
  const env = { PATH: process.env["PATH"] }
  const [code, output] = await new Promise<[unknown, string]>((resolve) => {
    execFile(
      process.execPath,
      ["--test", "--test-reporter=tap", fixture],
      { env, timeout: 60_000 },
      (error, stdout, stderr) => resolve([error?.code ?? error?.signal ?? 0, stdout + stderr]),
    )
  })
  t.equal(code, 0, output)
  t.match(output, "# pass 2")
})
