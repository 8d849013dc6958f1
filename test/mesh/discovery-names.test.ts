// seeds() and dns(): places that are written down, and names that stand for some.
import t from "tap"
import { dns, resolveName } from "../../lib/mesh/discovery/dns.node.ts"
import { seeds, seedsWith } from "../../lib/mesh/discovery/seeds.ts"
import { NameServer } from "../support/dns.ts"
import { TestHost, tidyDiscovery } from "../support/discovery.ts"
import { until, within } from "../support/sockets.ts"
import { virtualClock } from "../support/virtual-clock.ts"

t.jobs = 8

const NAME = "mesh.earshot.test"

function addresses(from: number, count: number): string[] {
  return Array.from({ length: count }, (_, at) => `10.1.0.${from + at}`)
}

function tcp(list: readonly string[], port = 4101): string[] {
  return list.map((address) => `tcp://${address.includes(":") ? `[${address}]` : address}:${port}`).sort()
}

t.test("seeds are told at once, often while nobody is linked, seldom after", async (t) => {
  const clock = virtualClock()
  const host = new TestHost({ endpoints: ["tcp://127.0.0.1:4100"] }, clock)
  const wanted = ["tcp://10.0.0.5:4101", "ws://example.org:8080/earshot"]
  const found = tidyDiscovery(t, seeds(...wanted))
  await found.start(host)
  t.strictSame(
    host.candidates,
    wanted.map((endpoint) => ({ endpoints: [endpoint] })),
  )
  const rounds = async (ms: number): Promise<number> => {
    host.forget()
    await clock.advance(ms)
    return host.candidates.length / 2
  }
  t.equal(await rounds(10_000), 20)
  host.linked = 1
  await rounds(1000)
  const seldom = await rounds(50_000)
  t.ok(seldom >= 10 && seldom <= 13, `${seldom} rounds in 50 s`)
  host.forget()
  found.nudge!()
  await clock.settle()
  t.equal(host.candidates.length, 2, "a nudge is heard at once")
  for (let i = 0; i < 100; i++) found.nudge!()
  t.equal(await rounds(100), 1, "many nudges are one")
  await found.stop()
  t.equal(await rounds(60_000), 0)
  t.equal(clock.timers, 0)
})

t.test("what is no endpoint is refused at once", async (t) => {
  for (const bad of ["10.0.0.5:4101", "tcp://*:4101", "", "tcp://"])
    t.throws(() => seeds(bad), { code: "EINVAL" }, JSON.stringify(bad))
  t.throws(() => dns("a b"), { code: "EINVAL" })
  t.throws(() => dns("tcp://name"), { code: "EINVAL" })
  t.throws(() => dns("name", { port: 0 }), { code: "EINVAL" })
  t.throws(() => dns("name", { port: 1, servers: ["nonsense"] }), { code: "EINVAL" })
})

t.test("a seed's host name stands for all its addresses; those of WebSockets and addresses stay", async (t) => {
  const clock = virtualClock()
  const host = new TestHost({ endpoints: ["tcp://127.0.0.1:4100"] }, clock)
  let now: string[] | undefined = ["10.0.0.1", "fd00::1"]
  const asked: string[] = []
  const resolve = async (name: string): Promise<string[]> => {
    asked.push(name)
    if (now === undefined) throw new Error("no such name")
    return now
  }
  const literal = [
    "tcp://[fd00::9]:4101",
    "tcp://10.0.0.9:4101",
    "wss://example.org/earshot",
    "tcp://10.0.0.2:0;10.0.0.3:1",
  ]
  const found = tidyDiscovery(t, seedsWith(resolve, [`tcp://${NAME}:4101`, ...literal]))
  await found.start(host)
  t.strictSame(host.endpoints, [...literal, ...tcp(now)].sort())
  t.ok(
    host.candidates.every(({ endpoints }) => endpoints.length === 1),
    "each may be another member",
  )
  now = ["10.0.0.7"]
  host.forget()
  await clock.advance(500)
  t.strictSame(host.endpoints, [...literal, ...tcp(now)].sort())
  now = undefined
  await clock.advance(500)
  t.match(host.findings, [{ key: "seed-unresolved", evidence: /mesh\.earshot\.test.*no such name/ }])
  t.strictSame([...new Set(asked)], [NAME])
})

t.test("a name server that is silent holds up a second, and is asked once at a time", async (t) => {
  const clock = virtualClock()
  const host = new TestHost({}, clock)
  let asked = 0
  const found = tidyDiscovery(
    t,
    seedsWith(() => (asked++, new Promise(() => {})), [`tcp://${NAME}:1`, "tcp://10.0.0.1:1"]),
  )
  const start = clock.now()
  await clock.until(found.start(host))
  t.equal(clock.now() - start, 1000)
  t.strictSame(host.endpoints, ["tcp://10.0.0.1:1"], "others are told meanwhile")
  await clock.advance(5000)
  t.equal(asked, 1)
})

t.test("the system's names: localhost", async (t) => {
  t.ok((await resolveName("localhost")).some((address) => address === "127.0.0.1" || address === "::1"))
  await t.rejects(resolveName("earshot.invalid"))
})

t.test("dns: 3 addresses, then 5, then others, each time complete within 6 s", async (t) => {
  const server = await NameServer.start(t)
  const host = new TestHost()
  const found = tidyDiscovery(t, dns(NAME, { port: 4101, servers: [server.address] }))
  const change = async (list: string[]): Promise<void> => {
    server.set(NAME, list)
    host.forget()
    const start = performance.now()
    await until("all of them", () => tcp(list).every((endpoint) => host.endpoints.includes(endpoint)))
    t.ok(performance.now() - start < 6000, `${Math.round(performance.now() - start)} ms for ${list.length}`)
  }
  server.set(NAME, addresses(1, 3))
  await within("the first round", found.start(host))
  t.strictSame(host.endpoints, tcp(addresses(1, 3)), "the first round has them")
  host.linked = 3
  await change([...addresses(1, 3), "fd00::4", "fd00::5"])
  await change([...addresses(100, 4), "fd00::100"])
  host.linked = 0
  found.nudge!()
  await change(addresses(200, 3))
  t.strictSame(host.findings, [])
})

t.test("dns: SRV records bring their ports; those of the port asked for count alone", async (t) => {
  const server = await NameServer.start(t)
  server.set("a.test", ["10.0.0.1", "fd00::1"])
  server.set("b.test", ["10.0.0.2"])
  for (const data of ["a.test:4101", "b.test:4102", "c.test:4103"])
    server.records.push({ name: NAME, type: "SRV", data })
  const look = async (port?: number): Promise<string[]> => {
    const host = new TestHost()
    const found = tidyDiscovery(t, dns(NAME, { servers: [server.address], ...(port !== undefined && { port }) }))
    await within("the round", found.start(host))
    await found.stop()
    return host.endpoints
  }
  const all = [...tcp(["10.0.0.1", "fd00::1"]), ...tcp(["10.0.0.2"], 4102)].sort()
  t.strictSame(await look(), all, "one target without an address harms nobody")
  t.strictSame(await look(4102), tcp(["10.0.0.2"], 4102))
  t.strictSame(await look(9999), all)
})

t.test("dns: what it can't find it says, and goes on asking", async (t) => {
  const server = await NameServer.start(t)
  const host = new TestHost()
  const found = tidyDiscovery(t, dns(NAME, { servers: [server.address] }))
  await within("the first round", found.start(host))
  t.match(host.findings, [{ key: "dns-unresolved", evidence: new RegExp(NAME) }])
  server.set(NAME, ["10.0.0.1"])
  await until("another finding", () => host.findings.some(({ evidence }) => evidence.includes("needs a port")))
  server.records = [
    { name: NAME, type: "SRV", data: "a.test:4101" },
    { name: "a.test", type: "A", data: "10.0.0.1" },
  ]
  await until("the member", () => host.endpoints.includes("tcp://10.0.0.1:4101"))
})

t.test("dns: a server that says nothing holds up a second", async (t) => {
  const server = await NameServer.start(t)
  server.mute = true
  const host = new TestHost()
  const found = tidyDiscovery(t, dns(NAME, { port: 1, servers: [server.address] }))
  const start = performance.now()
  await within("the first round", found.start(host))
  t.ok(performance.now() - start < 1500, `${Math.round(performance.now() - start)} ms`)
})

t.test("dns: stopped, it waits for nobody and asks no more", async (t) => {
  const server = await NameServer.start(t)
  server.mute = true
  const clock = virtualClock()
  const host = new TestHost({}, clock)
  const found = dns(NAME, { port: 1, servers: [server.address] })
  const started = found.start(host)
  await until("the questions", () => server.asked.length === 3)
  await found.stop()
  // Time stands still: what ends it is that its questions were given up.
  await within("the first round", started)
  t.equal(clock.timers, 0)
  t.strictSame(host.findings, [])
})
