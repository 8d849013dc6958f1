// mdns() on loopback, each test on a UDP port of its own, and the twelve faults of bonjour-service that it must not have. Where it is
// easy the library is beside it and shows the fault; the others are in discovery-bonjour.test.ts.
import { createSocket } from "node:dgram"
import { EventEmitter, once } from "node:events"
import { hostname } from "node:os"
import t, { type Test } from "tap"
import type { Announcement, Discovery } from "../../lib/mesh/contract.ts"
import { mdns } from "../../lib/mesh/discovery/mdns.node.ts"
import { freshId, networkHash } from "../../lib/mesh/identity.ts"
import { systemClock, type Clock } from "../../lib/clock.ts"
import { bareBonjour, Browser } from "../support/bonjour.ts"
import { TestHost } from "../support/discovery.ts"
import { announcement, freePort, Speaker } from "../support/multicast.ts"
import { until, within } from "../support/sockets.ts"
import { virtualClock, type VirtualClock } from "../support/virtual-clock.ts"

t.jobs = 4

const SERVICE = "_earshot._tcp.local"
const NETWORK = networkHash("test")

let tcpPort = 4100

interface Member {
  readonly host: TestHost
  readonly found: Discovery
  readonly id: string
}

/** A member that has begun to look. */
async function member(t: Test, port: number, self: Partial<Announcement> = {}, clock?: Clock): Promise<Member> {
  const host = new TestHost({ endpoints: [`tcp://127.0.0.1:${++tcpPort}`], ...self }, clock)
  const found = mdns({ port })
  t.teardown(() => found.stop())
  void found.start(host)
  await until("its socket", () => clock === undefined || host.findings.length === 0)
  return { host, found, id: host.self.id }
}

/** Its endpoints as `other` heard them. */
async function hears({ host }: Member, other: { readonly id: string }): Promise<readonly string[]> {
  await until("the other", () => host.heard(other.id) !== undefined)
  return host.heard(other.id)!.endpoints
}

t.test("two members on one host find each other well within a second, in any order", async (t) => {
  const port = await freePort()
  const start = performance.now()
  const a = await member(t, port, { endpoints: ["tcp://127.0.0.1:5001", "ws://127.0.0.1:5002/earshot"] })
  const b = await member(t, port, { endpoints: ["tcp://127.0.0.1:5003"], version: 2, network: networkHash("other") })
  t.strictSame(await hears(a, b), ["tcp://127.0.0.1:5003"])
  t.strictSame(await hears(b, a), ["tcp://127.0.0.1:5001", "ws://127.0.0.1:5002/earshot"])
  const ms = performance.now() - start
  t.ok(ms < 1000, `${Math.round(ms)} ms`)
  t.match(a.host.heard(b.id), { version: 2, network: networkHash("other"), onLink: true })
  const late = await member(t, port)
  await hears(late, a)
  await hears(late, b)
  t.notOk(a.host.heard(a.id), "nobody finds itself")
})

t.test("the first round ends soon after the answers, or after a second", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const round = async () => {
    const host = new TestHost({ endpoints: ["tcp://127.0.0.1:5001"] }, virtualClock())
    const found = mdns({ port })
    t.teardown(() => found.stop())
    let over = false
    speaker.heard.length = 0
    void found.start(host).then(() => (over = true))
    await until("its question", () => speaker.questions.length > 0)
    return { host, clock: host.clock as VirtualClock, isOver: () => over }
  }
  const alone = await round()
  await alone.clock.advance(999)
  t.notOk(alone.isOver(), "alone it waits for a second")
  await alone.clock.advance(1)
  t.ok(alone.isOver())

  const answered = await round()
  const id = freshId(systemClock)
  await speaker.say(announcement(freshId(systemClock), networkHash("other"), 7001))
  await speaker.say(announcement(id, NETWORK, 7002))
  await until("the answer", () => answered.host.heard(id) !== undefined)
  await answered.clock.advance(199)
  t.notOk(answered.isOver(), "others may answer")
  await answered.clock.advance(1)
  t.ok(answered.isOver())
})

t.test("options that can't be are refused at once; stopped early, it leaves nothing", async (t) => {
  for (const port of [0, 65_536, 1.5, Number.NaN]) t.throws(() => mdns({ port }), { code: "EINVAL" })
  t.throws(() => mdns({ interfaces: "eth0" as unknown as string[] }), { code: "EINVAL" })
  const clock = virtualClock()
  const found = mdns({ port: await freePort() })
  const started = found.start(new TestHost({ endpoints: ["tcp://127.0.0.1:7000"] }, clock))
  await within("the end", found.stop())
  await within("the start", started)
  await clock.settle()
  t.equal(clock.timers, 0)
  await within("another end", found.stop())
})

t.test("a leaf looks and shows nothing; what changes is shown", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const leaf = await member(t, port, { endpoints: [] })
  const other = await member(t, port)
  await hears(leaf, other)
  t.notOk(other.host.heard(leaf.id))
  leaf.host.self = { ...leaf.host.self, endpoints: ["tcp://127.0.0.1:6001"] }
  leaf.found.announce!()
  t.strictSame(await hears(other, leaf), ["tcp://127.0.0.1:6001"])
  leaf.host.self = { ...leaf.host.self, endpoints: ["tcp://127.0.0.1:6002"] }
  leaf.found.announce!()
  await until("the new port", () => other.host.heard(leaf.id)?.endpoints[0] === "tcp://127.0.0.1:6002")
  t.strictSame(other.host.gone, [], "no goodbye for a change")
  await until("the questions", () => speaker.questions.length >= 2)
})

t.test("fault 1: a name that is taken is not taken away from its owner", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const a = await member(t, port)
  await until("its announcement", () => speaker.records.length > 0)
  // The same label; as rare as two ids with the same first 30 bits.
  const twin = await member(t, port, { id: `${a.id.slice(0, 6)}${freshId(systemClock).slice(6)}` })
  await hears(a, twin)
  const third = await member(t, port)
  await hears(third, a)
  await hears(third, twin)
  t.not(third.host.heard(a.id)!.endpoints[0], third.host.heard(twin.id)!.endpoints[0])
  t.strictSame(
    speaker.records.filter(({ ttl }) => ttl === 0),
    [],
    "nobody was withdrawn",
  )
  const labels = new Set(speaker.records.filter(({ type }) => type === "PTR").map(({ data }) => data))
  t.ok(labels.has(`earshot-${a.id.slice(0, 6)}.${SERVICE}`), "a label of its own for each but such twins")
})

t.test("fault 2: who stops hides nobody else", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const bare = bareBonjour({ port, bind: "0.0.0.0" })
  t.teardown(() => new Promise((resolve) => bare.destroy(resolve)))
  const publish = (name: string) => bare.publish({ name, type: "bare", port: 1, probe: false })
  const one = publish("one")
  publish("two")
  await until("both", () =>
    ["one", "two"].every((name) => speaker.records.some(({ data }) => data === `${name}._bare._tcp.local`)),
  )
  await new Promise((resolve) => one.stop(resolve))
  speaker.heard.length = 0
  await speaker.say({ response: false, questions: [{ name: "_bare._tcp.local", type: "PTR" }] })

  const [a, b] = [await member(t, port), await member(t, port)]
  await hears(b, a)
  await within("its end", a.found.stop())
  const later = await member(t, port)
  await hears(later, b)
  t.notOk(
    speaker.records.some(({ data }) => data === "two._bare._tcp.local"),
    "the library's own other service is gone",
  )
  t.strictSame(
    speaker.records.filter(({ name, ttl, data }) => name.startsWith("_services.") && ttl === 0 && data === SERVICE),
    [],
    "the service type is not said to be gone",
  )
})

t.test("fault 3: a packet without TXT harms nobody", async (t) => {
  const port = await freePort()
  const bare = new EventEmitter() as EventEmitter & { query(): void }
  bare.query = () => {}
  const browser = new Browser(bare, { type: "earshot", txt: { net: NETWORK } })
  t.teardown(() => browser.stop())
  const srv = { name: `x.${SERVICE}`, type: "SRV", ttl: 120, data: { target: "x.local", port: 1 } }
  const answers = [{ name: SERVICE, type: "PTR", ttl: 120, data: `x.${SERVICE}` }, srv]
  t.throws(() => bare.emit("response", { answers, additionals: [] }, {}), TypeError, "the library alone throws")

  const speaker = await Speaker.start(t, port)
  const a = await member(t, port)
  const said = announcement(freshId(systemClock), NETWORK, 7001)
  await speaker.say({ answers: said.answers!.filter(({ type }) => type !== "TXT") })
  const other = { id: freshId(systemClock) }
  await speaker.say(announcement(other.id, NETWORK, 7002))
  t.strictSame(await hears(a, other), ["tcp://127.0.0.1:7002"])
})

t.test(
  "fault 4: a name alone is asked for the rest; another address is seen; questions come at 1, 2, 4, 8 s",
  async (t) => {
    const port = await freePort()
    const speaker = await Speaker.start(t, port)
    const clock = virtualClock()
    const a = await member(t, port, {}, clock)
    const id = freshId(systemClock)
    const answers = announcement(id, NETWORK, 7001).answers!
    await until("the first question", () => speaker.questions.length > 0)
    await speaker.say({ answers: answers.slice(0, 1) })
    const instance = String(answers[0]!.data)
    await until("a question for it", () => speaker.questions.some(({ name }) => name === instance))
    await speaker.say({ answers: answers.slice(1) })
    t.strictSame(await hears(a, { id }), ["tcp://127.0.0.1:7001"], "found without a PTR in the answer")

    const moved = await Speaker.start(t, port, "127.0.0.2")
    await moved.say(announcement(id, NETWORK, 7001))
    await until("its new address", () => a.host.heard(id)!.endpoints[0] === "tcp://127.0.0.2:7001")

    const asked = (): number => speaker.questions.filter(({ name }) => name === SERVICE).length
    const times: number[] = []
    const start = clock.now()
    for (let before = asked(); times.length < 6;) {
      await clock.advance(50)
      await new Promise((resolve) => setImmediate(resolve))
      const now = asked()
      if (now > before) times.push(Math.round((clock.now() - start) / 100) / 10)
      before = now
    }
    const gaps = times.map((time, at) => time - (times[at - 1] ?? 0))
    const wanted = [1, 2, 4, 8, 8, 8]
    t.ok(
      gaps.every((gap, at) => gap >= wanted[at]! - 0.3 && gap <= wanted[at]! * 1.1 + 0.3),
      gaps.join(", "),
    )
  },
)

t.test("nobody who is linked asks, but all answer", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const clock = virtualClock()
  const a = await member(t, port, {}, clock)
  await until("the first question", () => speaker.questions.length === 1)
  a.host.linked = 1
  await clock.advance(60_000)
  speaker.heard.length = 0
  await speaker.say({ response: false, questions: [{ name: SERVICE, type: "PTR" }] })
  await until("an answer", () => speaker.records.length > 0)
  t.equal(speaker.questions.length, 1, "the only one heard is the test's own")
  for (let i = 0; i < 100; i++) a.found.nudge!()
  await until("a question", () => speaker.questions.length === 2)
  await clock.advance(1000)
  await until("one more for all the others", () => speaker.questions.length === 3)
  a.host.linked = 0
  await clock.advance(10_000)
  await until("more of them", () => speaker.questions.length > 3)
})

t.test("fault 5: who was killed is neither told again nor told to others", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const clock = virtualClock()
  const a = await member(t, port, {}, clock)
  const dead = { id: freshId(systemClock) }
  await speaker.say(announcement(dead.id, NETWORK, 7001))
  await hears(a, dead)
  a.host.forget()
  const b = await member(t, port)
  await clock.advance(20_000)
  await hears(b, a)
  await hears(a, b)
  t.notOk(a.host.heard(dead.id))
  t.notOk(b.host.heard(dead.id))
  t.strictSame(a.host.gone, [], "nor does anybody count the hours until it is gone")
})

t.test("fault 6: goodbye is said, and takes no longer than half a second", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const bare = bareBonjour({ port, bind: "0.0.0.0" })
  bare.publish({ name: "bare", type: "bare", port: 1, probe: false })
  await until("its announcement", () => speaker.records.length > 0)
  await new Promise((resolve) => bare.destroy(resolve))

  const [a, b] = [await member(t, port), await member(t, port)]
  await hears(b, a)
  const start = performance.now()
  await within("its end", a.found.stop())
  t.ok(performance.now() - start < 1000, `${Math.round(performance.now() - start)} ms`)
  await until("the goodbye", () => b.host.gone.includes(a.id))
  t.notOk(
    speaker.records.some(({ name, ttl }) => name.includes("_bare") && ttl === 0),
    "the library alone says none",
  )
})

t.test(
  "fault 7: it hears on the interface that it was given",
  { skip: process.platform !== "linux" && "Linux alone" },
  async (t) => {
    const port = await freePort()
    const speaker = await Speaker.start(t, port)
    const bare = bareBonjour({ port })
    t.teardown(() => new Promise((resolve) => bare.destroy(resolve)))
    const heard: unknown[] = []
    ;(bare as unknown as { server: { mdns: EventEmitter } }).server.mdns.on("packet", (packet) => heard.push(packet))
    const a = await member(t, port)
    const other = { id: freshId(systemClock) }
    await speaker.say(announcement(other.id, NETWORK, 7001))
    await hears(a, other)
    t.strictSame(heard, [], "the library alone is deaf")
  },
)

t.test("fault 8: a port that another program holds is told, and taken when it is free", async (t) => {
  const port = await freePort()
  const holder = createSocket("udp4")
  holder.bind(port, "0.0.0.0")
  await once(holder, "listening")
  const clock = virtualClock()
  const host = new TestHost({ endpoints: ["tcp://127.0.0.1:7000"] }, clock)
  const found = mdns({ port })
  t.teardown(() => found.stop())
  void found.start(host)
  await until("the finding", () => host.findings.length > 0)
  t.match(host.findings[0], { key: "mdns-interface", evidence: /EADDRINUSE/ })
  holder.close()
  await once(holder, "close")
  const speaker = await Speaker.start(t, port)
  await clock.advance(5000)
  await until("its announcement", () => speaker.records.some(({ name }) => name === SERVICE))
})

t.test("faults 9, 10, 11: what a member says of itself", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const path = `/${"long".repeat(60)}`
  const a = await member(t, port, { endpoints: ["tcp://127.0.0.1:7001", `ws://127.0.0.1:7002${path}`, "ipc:///tmp/x"] })
  await until("its announcement", () => speaker.records.some(({ type }) => type === "A"))
  const of = (type: string) => speaker.records.filter((record) => record.type === type)
  const text = of("TXT")[0]!.data.map(String)
  t.strictSame(text, ["v=1", `id=${a.id}`, `net=${NETWORK}`, "tcp=7001"], "what would not fit is left out")
  t.ok(text.join("").length + text.length < 200)
  t.match(of("SRV")[0]!.data, { port: 7001, target: `earshot-${a.id}.local` })
  t.not(of("SRV")[0]!.data.target, hostname())
  t.match(of("PTR")[0]!.data, new RegExp(`^earshot-${a.id.slice(0, 6)}\\.`))
  t.strictSame(
    [...new Set([...of("A"), ...of("AAAA")].map(({ data }) => data))],
    ["127.0.0.1"],
    "no address of other interfaces",
  )
  t.ok(speaker.heard.every(({ size }) => size < 512))
})

t.test("fault 11: the address it was heard from comes first, those elsewhere never", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const a = await member(t, port)
  const other = { id: freshId(systemClock) }
  const addresses = ["8.8.8.8", "172.17.0.1", "127.0.0.9", "2001:db8::1", "127.0.0.1"]
  await speaker.say(announcement(other.id, NETWORK, 7001, addresses))
  t.strictSame(await hears(a, other), ["tcp://127.0.0.1:7001", "tcp://127.0.0.9:7001"])
})

t.test("fault 12: one member is one candidate, whatever it was heard by", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const a = await member(t, port)
  const id = freshId(systemClock)
  const { answers } = announcement(id, NETWORK, 7001)
  const loud = (name: string): string => name.replace("earshot-", "EARSHOT-")
  const other = answers!.map((record) => Object.assign({}, record, { name: loud(record.name) }))
  await speaker.say({ answers: [...answers!, ...other] })
  t.strictSame(await hears(a, { id }), ["tcp://127.0.0.1:7001"])
})

t.test("what the mesh itself throws while it is told ends nothing, and is not kept quiet", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const a = await member(t, port)
  const found = a.host.found.bind(a.host)
  a.host.found = (candidate) => {
    a.host.found = found
    throw new Error(`no place for ${candidate.id}`)
  }
  await until("its announcement", () => speaker.records.length > 0)
  const [first, second] = [{ id: freshId(systemClock) }, { id: freshId(systemClock) }]
  await speaker.say(announcement(first.id, NETWORK, 7001))
  await speaker.say(announcement(second.id, NETWORK, 7002))
  await hears(a, second)
  t.match(a.host.findings, [{ key: "mdns-packet", evidence: new RegExp(`no place for ${first.id}`) }])
})

t.test("silence is told after 15 s", async (t) => {
  const clock = virtualClock()
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const a = await member(t, port, {}, clock)
  await until("its announcement", () => speaker.records.length > 0)
  await clock.advance(6000)
  t.strictSame(a.host.findings, [])
  await clock.advance(12_000)
  t.match(a.host.findings, [{ key: "mdns-silent", evidence: /no other member was heard .* lo/ }])
})

t.test("where many are, who hears enough answers gives none", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  const clock = virtualClock()
  const a = await member(t, port, {}, clock)
  await until("its announcement", () => speaker.records.length > 0)
  const many = Array.from({ length: 20 }, () => announcement(freshId(systemClock), NETWORK, 7001))
  for (const other of many) await speaker.say(other)
  await until("all of them", () => a.host.candidates.length === 20)
  // Else it would ask, and hear itself.
  a.host.linked = 1
  /** What it answers when so many others do, of the same network or of another. */
  const answer = async (others: number, network: string): Promise<number> => {
    const id = () => freshId(systemClock)
    await clock.advance(1000)
    speaker.heard.length = 0
    await speaker.say({ response: false, questions: [{ name: SERVICE, type: "PTR" }] })
    const last = id()
    for (let left = others; left > 1; left--) await speaker.say(announcement(id(), network, 7001))
    await speaker.say(announcement(last, network, 7001))
    await until("the last of them", () => a.host.heard(last) !== undefined)
    await clock.advance(500)
    // Behind whatever it has said by now.
    await speaker.say(announcement(a.id, "end", 1))
    await until("the end", () => speaker.records.some(({ data }) => String(data).includes("net=end")))
    return speaker.records.filter(
      ({ type, data }) => type === "TXT" && String(data).includes(`id=${a.id},net=${NETWORK}`),
    ).length
  }
  t.equal(await answer(8, NETWORK), 0)
  t.equal(await answer(7, NETWORK), 1, "fewer are not enough")
  t.equal(await answer(20, networkHash("other")), 1, "nor are those of other networks")
})

t.test("who asks a thousand times gets a few answers", async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port)
  await member(t, port)
  await until("its announcement", () => speaker.records.length > 0)
  speaker.heard.length = 0
  const start = performance.now()
  const questions = Array.from({ length: 200 }, () => ({ name: SERVICE, type: "PTR" }) as const)
  for (let i = 0; i < 5; i++) await speaker.say({ response: false, questions })
  await until("an answer", () => speaker.records.length > 0)
  await speaker.say({ response: false, questions: [{ name: "end.local", type: "A" }] })
  await until("the end", () => speaker.questions.at(-1)?.name === "end.local")
  const answers = speaker.heard.filter(({ type }) => type === "response").length
  t.ok(answers <= 2 + (performance.now() - start) / 20, `${answers} answers`)
})
