// Each cause that `diagnose()` knows, provoked and named.
import { execFile } from "node:child_process"
import { copyFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import t, { type Test } from "tap"
import { systemClock } from "../../lib/clock.ts"
import type { Candidate } from "../../lib/mesh/contract.ts"
import { freshId } from "../../lib/mesh/identity.ts"
import { Mesh, dns, seeds, type Cause, type Discovery, type MeshOptions } from "../../lib/mesh/index.ts"
import { testMesh } from "../../lib/mesh/testing.ts"
import { Lan, noNamespaces, type Host } from "../support/netns.ts"
import { tidy, until } from "../support/sockets.ts"
import { Router } from "../../lib/index.ts"

t.jobs = 4

const LOCAL = "tcp://127.0.0.1:0"

/** A member on loopback, which ends with the test. */
async function member(t: Test, options: MeshOptions = {}): Promise<Mesh> {
  const mesh = await Mesh.join({ network: "diagnose", listen: [LOCAL], settle: 50, discovery: [], ...options })
  t.teardown(() => mesh.close())
  return mesh
}

/** A discovery that says this, once. */
function rumour(candidate: Candidate): Discovery {
  return { name: "rumour", start: async (host) => host.found(candidate), stop: async () => {} }
}

/** The cause, as soon as there is one with this key. */
async function cause(mesh: Mesh, key: string): Promise<Cause> {
  let found: Cause | undefined
  let looking = false
  await until(`the cause ${key}`, () => {
    if (!looking) {
      looking = true
      void mesh.diagnose().then((causes) => {
        found = causes.find((each) => each.key === key)
        looking = false
      })
    }
    return found !== undefined
  })
  return found!
}

const keysOf = async (mesh: Mesh): Promise<string[]> => (await mesh.diagnose()).map(({ key }) => key)

t.test("nothing is wrong", async (t) => {
  const a = await member(t)
  const b = await member(t, { discovery: [seeds(a.endpoints[0]!)] })
  await b.ready({ members: 1 })
  t.strictSame(await b.diagnose(), [])
  t.strictSame(await a.diagnose(), [])
})

t.test("private: another host is named or heard, and this member keeps to its own", async (t) => {
  const named = await member(t, { discovery: [seeds("tcp://10.255.255.1:4101")] })
  const [first] = await named.diagnose()
  t.match(first, { key: "private", evidence: /10\.255\.255\.1:4101/, cure: /open: true/ })
  await t.rejects(named.ready({ members: 1, timeout: 20 }), { code: "TIMEOUT", message: /10\.255\.255\.1.*open: true/ })
  await t.rejects(named.request("x"), { code: "NO_RESPONDERS", message: /nobody answers x.*open: true/ })
  const heard = { id: freshId(systemClock), endpoints: ["tcp://10.255.255.2:4101"] }
  t.match((await (await member(t, { discovery: [rumour(heard)] })).diagnose())[0], {
    key: "private",
    evidence: /was heard at/,
  })
})

t.test("alone, with nothing that looks for others, and on this host only", async (t) => {
  const mesh = await member(t)
  t.strictSame(await keysOf(mesh), ["no-discovery", "keeps-to-host"])
  const open = await member(t, { open: true })
  t.strictSame(await keysOf(open), ["no-discovery"])
})

t.test("another network, met or heard", async (t) => {
  const other = await member(t, { network: "other" })
  const mesh = await member(t, { discovery: [seeds(other.endpoints[0]!)] })
  t.match(await cause(mesh, "other-network"), { evidence: /another network/, cure: /same `network`/ })
  const heard = await member(t, {
    discovery: [rumour({ id: freshId(systemClock), endpoints: ["tcp://127.0.0.1:4101"], network: "0123456789abcdef" })],
  })
  t.match((await heard.diagnose())[0], { key: "other-network", evidence: /127\.0\.0\.1:4101/ })
})

t.test("another major version, heard", async (t) => {
  const candidate = { id: freshId(systemClock), endpoints: ["tcp://127.0.0.1:4101"], version: 2 }
  const mesh = await member(t, { discovery: [rumour(candidate)] })
  t.match((await mesh.diagnose())[0], { key: "other-version", evidence: /speaks version 2 .* we 1/, cure: /update/ })
})

t.test("an address that refuses", async (t) => {
  const mesh = await member(t, {
    discovery: [rumour({ id: freshId(systemClock), endpoints: ["tcp://127.0.0.1:1"] })],
  })
  t.match(await cause(mesh, "unreachable"), { evidence: /127\.0\.0\.1:1 can't be reached/, cure: /firewall/ })
})

t.test("something listens there that is no member", async (t) => {
  const router = tidy(t, new Router())
  await router.bind(LOCAL)
  const mesh = await member(t, { discovery: [seeds(router.lastEndpoint!)] })
  t.match(await cause(mesh, "refused"), { evidence: new RegExp(router.lastEndpoint!), cure: /no member/ })
})

t.test("a name without addresses, a discovery that doesn't work", async (t) => {
  const named = await member(t, { discovery: [dns("nobody.invalid", { port: 4101 })] })
  t.match(await cause(named, "dns-unresolved"), { evidence: /nobody\.invalid/, cure: /name/ })
  const broken: Discovery = {
    name: "broken",
    start: () => Promise.reject(new Error("out of order")),
    stop: async () => {},
  }
  const mesh = await member(t, { discovery: [broken] })
  t.match((await mesh.diagnose())[0], { key: "discovery-failed-broken", evidence: /out of order/ })
})

t.test("seeds: one that doesn't resolve, one where nobody is, one that is oneself", async (t) => {
  const unresolved = await member(t, { discovery: [seeds("tcp://nobody.invalid:4101")] })
  t.match(await cause(unresolved, "seed-unresolved"), { evidence: /nobody\.invalid/, cure: /name/ })
  const silent = await member(t, { discovery: [seeds("tcp://127.0.0.1:1")] })
  t.match(await cause(silent, "seed-silent"), { evidence: /127\.0\.0\.1:1/, cure: /port/ })
  const port = 20_000 + (process.pid % 10_000)
  const self = await member(t, {
    listen: [`tcp://127.0.0.1:${port}`],
    discovery: [seeds(`tcp://127.0.0.1:${port}`)],
  })
  t.match(await cause(self, "seed-self"), { evidence: /this member itself/, cure: /another member/ })
})

t.test("a seed that is oneself is no trouble when there are others", async (t) => {
  const port = 30_000 + (process.pid % 10_000)
  const self = await member(t, {
    listen: [`tcp://127.0.0.1:${port}`],
    discovery: [seeds(`tcp://127.0.0.1:${port}`)],
  })
  await cause(self, "seed-self")
  const other = await member(t, { discovery: [seeds(`tcp://127.0.0.1:${port}`)] })
  await other.ready({ members: 1 })
  t.notOk((await keysOf(self)).includes("seed-self"))
})

t.test("two members from one copied state", async (t) => {
  const folder = t.testdir()
  const [one, two] = [join(folder, "one"), join(folder, "two")]
  const first = await Mesh.join({ network: "diagnose", listen: [LOCAL], discovery: [], state: one })
  await first.close()
  await copyFile(one, two)
  const a = await member(t, { state: one })
  const b = await member(t, { state: two, discovery: [seeds(a.endpoints[0]!)] })
  t.match(await cause(b, "clash"), { evidence: new RegExp(first.id), cure: /state/ })
})

t.test("clocks apart", async (t) => {
  const wall = (): number => systemClock.wall() + 3_600_000
  const a = await member(t)
  const b = await member(t, { clock: { ...systemClock, wall }, name: "fast", discovery: [seeds(a.endpoints[0]!)] })
  await Promise.all([a.ready({ members: 1 }), b.ready({ members: 1 })])
  t.match(await cause(a, "clocks-apart"), { evidence: /clock of fast is 3[56]\d\d s ahead of ours/, cure: /NTP/ })
  t.match(await cause(b, "clocks-apart"), { evidence: /s behind ours/ })
})

t.test("a blocked event loop", async (t) => {
  const mesh = await member(t)
  const end = performance.now() + 1700
  while (performance.now() < end);
  t.match(await cause(mesh, "blocked"), { evidence: /stood still for \d+\.\d s/, cure: /synchronous/ })
})

// --- On hosts of their own ---

const PEER = new URL("../support/peers/diagnose.mjs", import.meta.url)
const hosts = { skip: noNamespaces, timeout: 60_000 }

async function hear(host: Host, key: string, options: object, ms = 40_000): Promise<Cause> {
  const program = host.run(PEER, [JSON.stringify(options)])
  const end = performance.now() + ms
  for (;;) {
    const said = program.said as { readonly causes?: readonly Cause[] }[]
    const found = said.at(-1)?.causes?.find((each) => each.key === key)
    if (found !== undefined) return found
    if (performance.now() > end) throw new Error(`waited in vain for ${key}: ${JSON.stringify(said)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

t.test("nothing is heard by multicast but oneself", hosts, async (t) => {
  const lan = await Lan.create(t)
  const host = await lan.host("10.77.0.1/24")
  const found = await hear(host, "mdns-silent", { join: { open: true }, multicast: true })
  t.match(found, { evidence: /eth0/, cure: /seed|dns/ })
})

t.test("only virtual interfaces", hosts, async (t) => {
  const [lan, bridge] = [await Lan.create(t), await Lan.create(t)]
  const host = await lan.host("10.77.0.1/24")
  await host.cut()
  await bridge.plug(host, "172.17.0.1/16", "docker0")
  await hear(host, "mdns-virtual", { join: { open: true }, multicast: true })
})

t.test("a host that nobody answers on", hosts, async (t) => {
  const lan = await Lan.create(t)
  const host = await lan.host("10.77.0.1/24")
  const options = { join: { open: true }, seeds: ["tcp://10.77.0.9:4101"] }
  t.match(await hear(host, "seed-silent", options), { evidence: /10\.77\.0\.9:4101/ })
})

t.test("nobody was there to be late: NO_RESPONDERS, however long `wait` is", async (t) => {
  await using net = await testMesh(["ann", "bob"], { clock: "virtual" })
  const { ann, bob } = net.mesh
  const alone = ann.request("orders.get", 1, { wait: 5000 })
  await t.rejects(net.until(alone), { code: "NO_RESPONDERS", message: /nobody answers orders\.get.*explain/ })
  bob.serve("orders.get", () => new Promise(() => {}))
  await net.settle()
  const late = ann.request("orders.get", 1, { wait: 5000 })
  await t.rejects(net.until(late), { code: "TIMEOUT", message: "no answer to orders.get within 5000 ms" })
})

t.test("of handlers that throw the first is printed, unless somebody listens", async (t) => {
  const lines = t.capture(console, "error")
  await using net = await testMesh(["ann", "bob"])
  const oops = (): never => {
    throw new Error("oops")
  }
  net.mesh.bob.subscribe("x", oops)
  net.mesh.ann.subscribe("x", oops)
  const heard: unknown[] = []
  net.mesh.ann.on("error", ({ subject }) => heard.push(subject))
  await net.settle()
  for (let i = 0; i < 3; i++) net.mesh.ann.tryPublish("x", i)
  await net.mesh.ann.flush()
  await until("all have thrown", () => heard.length === 3 && net.mesh.bob.stats().errors === 3)
  t.strictSame(
    lines().map(({ args }) => args),
    [['earshot: error in x: oops (all: mesh.on("error"))']],
  )
})

t.test("who says new Mesh() is told how a mesh is made", async (t) => {
  const Made = Mesh as unknown as new () => Mesh
  t.throws(() => new Made(), { code: "EINVAL", message: /Mesh\.join/ })
})

t.test("EARSHOT_LOG=info begins with where the member is and how it looks for others", async (t) => {
  const code = `import { Mesh } from "./dist/lib/mesh/index.js"; await (await Mesh.join({ name: "ann", discovery: [] })).close()`
  const run = promisify(execFile)
  const { stderr } = await run(process.execPath, ["--input-type=module", "-e", code], {
    cwd: fileURLToPath(new URL("../../", import.meta.url)),
    env: { ...process.env, EARSHOT_LOG: "info", EARSHOT_NETWORK: "begins" },
    timeout: 20_000,
  })
  t.match(
    stderr,
    /^earshot ann: joins network begins, on this host alone; listens at tcp:\/\/127\.0\.0\.1:\d+; finds others by nothing\n$/,
  )
})
