// Pages as members of a mesh: leaves, carried by a member of Node that serves the page. In a real Chromium.
import t from "tap"
import { Mesh, seeds, ws, type MeshOptions } from "../../lib/mesh/index.ts"
import { until, within } from "../support/sockets.ts"
import { launch, noBrowser } from "./support/chromium.ts"
import { bundle, mesh as script, serve as serveSite, stop, type EarshotMesh, type Site } from "./support/site.ts"
import { openTab } from "./support/tab.ts"
import { visit } from "./support/visit.ts"
import type { Page } from "playwright-core"
import type { Test } from "tap"

/** In the page. */
declare const earshot: EarshotMesh
declare const mesh: Mesh
/** What `join` leaves there: what was received on `news.>`. */
declare const got: string[]

const skip = noBrowser
const browser = noBrowser === false ? await launch(t) : undefined!
let networks = 0
const freshNetwork = (): string => `pages-${process.pid}-${++networks}`

async function member(t: Test, options: MeshOptions): Promise<Mesh> {
  const joined = await Mesh.join({ listen: ["tcp://127.0.0.1:0"], discovery: [], ...options })
  t.teardown(() => within(`the end of ${joined.name}`, joined.close()))
  return joined
}

interface World {
  readonly site: Site
  readonly network: string
  /** Carries the pages. */
  readonly relay: Mesh
  /** Knows the relay alone. */
  readonly other: Mesh
}

async function serve(t: Test, options: Parameters<typeof serveSite>[2] = {}): Promise<Site> {
  return serveSite(t, { "/page.js": await bundle(script) }, options)
}

async function world(t: Test): Promise<World> {
  const site = await serve(t)
  const network = freshNetwork()
  const listen = ["tcp://127.0.0.1:0", ws({ server: site.server, path: "/earshot" })]
  const relay = await member(t, { name: "relay", network, listen })
  const tcp = relay.endpoints.filter((endpoint) => endpoint.startsWith("tcp:"))
  const other = await member(t, { name: "other", network, discovery: [seeds(...tcp)] })
  await other.ready({ members: 1 })
  return { site, network, relay, other }
}

/** The page becomes a member that keeps what it hears on `news.>`. */
function join(page: Page, network: string, options: MeshOptions = {}): Promise<void> {
  return page.evaluate(
    async ([network, options]) => {
      const mesh = await earshot.Mesh.join({ network, name: "page", ...options })
      const got: string[] = []
      Object.assign(globalThis, { mesh, got })
      mesh.subscribe("news.>", ({ data }) => void got.push(String(data)))
      await mesh.ready({ members: 1 })
      await mesh.flush()
    },
    [network, options] as const,
  )
}

const hears = (page: Page, text: string): Promise<unknown> => page.waitForFunction((text) => got.includes(text), text)

/** The next message of a subject. */
function next(mesh: Mesh, subject: string): Promise<unknown> {
  return within(subject, new Promise((resolve) => mesh.subscribe(subject, ({ data }) => resolve(data))))
}

t.test("a page subscribes, publishes, serves and asks", { skip }, async (t) => {
  const { site, network, relay, other } = await world(t)
  const { page, errors } = await visit(t, browser, site.url)
  await join(page, network)

  t.equal(relay.members.size, 2)
  t.equal([...relay.members.values()].find(({ leaf }) => leaf)!.name, "page")
  await until("the news of a leaf", () => [...other.members.values()][0]!.leaves === 1)
  t.strictSame(
    [...other.members.values()].map(({ name, leaf }) => [name, leaf]),
    [["relay", false]],
  )
  t.strictSame(await page.evaluate("[...mesh.members.values()].map(({ name }) => name)"), ["relay"])

  const receipt = await other.publish("news.today", "hello")
  t.equal(receipt.sent, 1, "a relay counts as one")
  await hears(page, "hello")
  await relay.publish("news.tomorrow", "and you")
  await hears(page, "and you")

  const said = next(other, "page.said")
  await other.flush()
  await page.evaluate("mesh.flush()")
  t.equal(await page.evaluate("mesh.publish('page.said', { c: 21.5 }).then(({ sent }) => sent)"), 1)
  t.strictSame(await said, { c: 21.5 })

  await page.evaluate(async () => {
    mesh.serve("page.add", ([a, b]: number[]) => a! + b!)
    mesh.serve("page.fails", () => {
      throw Object.assign(new Error("no such thing"), { code: "NOTHING" })
    })
    await mesh.flush()
  })
  await other.ready({ subject: "page.add" })
  t.equal(await other.request("page.add", [2, 3]), 5)
  await t.rejects(other.request("page.fails"), { code: "REMOTE", message: "no such thing", remoteCode: "NOTHING" })

  other.serve("node.mul", ([a, b]: number[]) => a! * b!)
  await page.evaluate("mesh.ready({ subject: 'node.mul' })")
  t.equal(await page.evaluate("mesh.request('node.mul', [6, 7])"), 42)

  const began = performance.now()
  const code = await page.evaluate("mesh.request('nobody', null, { timeout: 20000 }).catch(({ code }) => code)")
  t.equal(code, "NO_RESPONDERS")
  await t.rejects(other.request("nobody", null, { timeout: 20_000 }), { code: "NO_RESPONDERS" })
  t.ok(performance.now() - began < 2000, "at once")
  t.strictSame(errors, [])
})

t.test("pages and members share the work of a group", { skip }, async (t) => {
  const { site, network, relay, other } = await world(t)
  const pages = [await visit(t, browser, site.url), await visit(t, browser, site.url)]
  for (const { page } of pages) {
    await join(page, network)
    await page.evaluate(async () => {
      const work: number[] = []
      Object.assign(globalThis, { work })
      await mesh.subscribe("work", { queue: "workers" }, ({ data }) => void work.push(data)).ready()
    })
  }
  const own: number[] = []
  other.subscribe("work", { queue: "workers" }, ({ data }) => void own.push(data))
  await until("three behind one name", () => relay.members.size === 3)
  await other.flush()
  const count = 300
  for (let i = 0; i < count; i++) await other.publish("work", i, { onFull: "wait" })
  const done = async (): Promise<number[][]> => [
    own,
    ...(await Promise.all(pages.map(({ page }) => page.evaluate<number[]>("work")))),
  ]
  let all: number[][] = []
  for (const end = performance.now() + 10_000; performance.now() < end;) {
    all = await done()
    if (all.flat().length >= count) break
  }
  t.strictSame(
    all.flat().sort((a, b) => a - b),
    Array.from({ length: count }, (_, i) => i),
    "each once",
  )
  for (const { length } of all) t.ok(length > 40 && length < 180, `a fair share: ${length} of ${count}`)
})

t.test("a page that is reloaded leaves at once, and is a member again", { skip }, async (t) => {
  const { site, network, relay } = await world(t)
  const { page, errors } = await visit(t, browser, site.url)
  await join(page, network)
  const [[id]] = [...relay.members].filter(([, { leaf }]) => leaf) as [[string, unknown]]
  const left = new Promise<string>((resolve) =>
    relay.on("leave", ({ member, reason }) => void (member.id === id && resolve(reason))),
  )
  const began = performance.now()
  await page.reload()
  t.equal(await within("its leave", left), "goodbye")
  t.ok(performance.now() - began < 4000, "not found out by silence")
  await page.waitForFunction("globalThis.earshot !== undefined")
  await join(page, network)
  await relay.publish("news.again", "back")
  await hears(page, "back")
  t.strictSame(errors, [])
})

t.test("the server is restarted: the page is in the mesh again, with its subscriptions", { skip }, async (t) => {
  const { site, network, relay, other } = await world(t)
  const { page, errors } = await visit(t, browser, site.url)
  await join(page, network)
  await relay.close()
  await stop(site.server)
  await page.waitForFunction("mesh.members.size === 0")
  const again = await serve(t, { port: site.port })
  const tcp = other.endpoints.filter((endpoint) => endpoint.startsWith("tcp:"))
  const second = await member(t, {
    name: "second",
    network,
    listen: ["tcp://127.0.0.1:0", ws({ server: again.server, path: "/earshot" })],
    discovery: [seeds(...tcp)],
  })
  await within("the page", second.ready({ members: 2 }))
  await within("its subscription, elsewhere", other.ready({ subject: "news.x" }))
  await other.publish("news.x", "from afar")
  await hears(page, "from afar")
  t.strictSame(errors, [])
})

t.test("a page fails over to a relay that is advertised", { skip }, async (t) => {
  const { site, network, relay, other } = await world(t)
  const elsewhere = await serve(t)
  const tcp = other.endpoints.filter((endpoint) => endpoint.startsWith("tcp:"))
  const spare = await member(t, {
    name: "spare",
    network,
    listen: ["tcp://127.0.0.1:0", ws({ server: elsewhere.server, path: "/earshot" })],
    advertise: [`ws://127.0.0.1:${elsewhere.port}/earshot`],
    discovery: [seeds(...tcp)],
  })
  await spare.ready({ members: 2 })
  await relay.ready({ members: 2 })
  const { page, errors } = await visit(t, browser, site.url)
  await join(page, network)
  await relay.close()
  await stop(site.server)
  await until("the relay's end", () => ![...other.members.values()].some(({ name }) => name === "relay"))
  await within("its subscription, elsewhere", other.ready({ subject: "news.x" }))
  await other.publish("news.x", "by another way")
  await hears(page, "by another way")
  t.strictSame(await page.evaluate("[...mesh.members.values()].map(({ name }) => name)"), ["spare"])
  t.strictSame(errors, [])
})

t.test("a frozen tab keeps its link, and gets what it missed", { skip }, async (t) => {
  const { site, network, relay } = await world(t)
  const left: string[] = []
  relay.on("leave", ({ member }) => void left.push(member.name))
  const tab = await openTab(t, browser, site.url)
  await tab.evaluate(`new Promise(async (resolve) => {
    while (globalThis.earshot === undefined) await new Promise((next) => setTimeout(next, 1))
    globalThis.got = []
    globalThis.mesh = await earshot.Mesh.join({ network: ${JSON.stringify(network)}, name: "tab" })
    await mesh.subscribe("news.>", ({ data }) => got.push(data)).ready()
    await mesh.ready({ members: 1 })
    await mesh.flush()
    resolve()
  })`)
  await tab.send("Page.setWebLifecycleState", { state: "frozen" })
  // Longer than a member may be silent.
  const frozen = performance.now()
  await relay.publish("news.frozen", "while it was frozen")
  while (performance.now() - frozen < 9000) await new Promise((resolve) => setTimeout(resolve, 100))
  t.strictSame(left, [])
  await tab.send("Page.setWebLifecycleState", { state: "active" })
  await relay.publish("news.thawed", "after")
  const heard = await tab.evaluate(`new Promise((resolve) => {
    const look = () => got.length > 1 ? resolve(got) : setTimeout(look, 10)
    look()
  })`)
  t.strictSame(heard, ["while it was frozen", "after"])
  t.equal(relay.members.size, 2)
})

t.test("under script-src 'self', in a page and in a worker", { skip }, async (t) => {
  const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'"
  const network = freshNetwork()
  const worker = await bundle(`
    import { Mesh } from "earshot/mesh"
    const mesh = await Mesh.join({ network: ${JSON.stringify(network)}, name: "worker" })
    mesh.serve("worker.double", (n) => 2 * n)`)
  const site = await serveSite(
    t,
    { "/page.js": await bundle(script), "/worker.js": worker },
    { headers: { "content-security-policy": policy } },
  )
  await member(t, { network, listen: [ws({ server: site.server, path: "/earshot" })] })
  const { page, errors } = await visit(t, browser, site.url)
  const violations: string[] = []
  page.on("console", (message) => void (message.type() === "error" && violations.push(message.text())))
  await join(page, network)
  await page.evaluate(`globalThis.worker = new Worker("/worker.js", { type: "module" })`)
  await page.evaluate("mesh.ready({ subject: 'worker.double' })")
  t.equal(await page.evaluate("mesh.request('worker.double', 21)"), 42)
  t.strictSame(
    violations.filter((text) => /Content Security|eval/i.test(text)),
    [],
  )
  t.strictSame(errors, [])
})

t.test("joined and closed twice in a row, one member is there, and nothing behind", { skip }, async (t) => {
  const { site, network, relay } = await world(t)
  const { page, errors } = await visit(t, browser, site.url)
  await page.evaluate(async (network) => {
    const first = earshot.Mesh.join({ network, name: "first" })
    await (await first).close()
    Object.assign(globalThis, { mesh: await earshot.Mesh.join({ network, name: "second" }) })
    await mesh.ready({ members: 1 })
  }, network)
  await until("the second", () => [...relay.members.values()].some(({ name }) => name === "second"))
  await until("the first's end", () => relay.members.size === 2)
  await page.evaluate("mesh.close()")
  await until("the second's end", () => relay.members.size === 1)
  t.strictSame(errors, [])
})
