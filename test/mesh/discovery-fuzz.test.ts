// What strangers may say on multicast: anything. Nothing of it ends the process, fills it or keeps members from finding each other.
import { fork } from "node:child_process"
import { once } from "node:events"
import t from "tap"
import { systemClock } from "../../lib/clock.ts"
import { mdns } from "../../lib/mesh/discovery/mdns.node.ts"
import { type ResourceRecord, sightings } from "../../lib/mesh/discovery/sighting.node.ts"
import { freshId, networkHash } from "../../lib/mesh/identity.ts"
import { encode, type DnsRecord, type RecordType } from "../support/dns.ts"
import { TestHost } from "../support/discovery.ts"
import { announcement, freePort, Speaker } from "../support/multicast.ts"
import { until, within } from "../support/sockets.ts"
import { virtualClock } from "../support/virtual-clock.ts"

const SERVICE = "_earshot._tcp.local"
const NETWORK = networkHash("test")

const chance = virtualClock({ seed: 7 })
const random = (): number => chance.random()
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
const upTo = (most: number): number => Math.floor(random() * (most + 1))

/** Names and data that are nearly right. */
function record(): DnsRecord {
  const id = freshId({ ...systemClock, randomBytes: (length) => Uint8Array.from({ length }, () => upTo(255)) })
  const names = [
    SERVICE,
    `a.${SERVICE}`,
    `earshot-${id}.local`,
    "",
    ".",
    "local",
    "x".repeat(63),
    `A.${SERVICE.toUpperCase()}`,
    "_services._dns-sd._udp.local",
  ]
  const type = pick<RecordType>(["A", "AAAA", "PTR", "SRV", "TXT", "ANY"])
  const junk = Buffer.from(Array.from({ length: upTo(40) }, () => upTo(255)))
  const strings = [
    "",
    "=",
    "=x",
    "__proto__=1",
    "id=__proto__",
    `id=${id}`,
    "id=",
    `net=${NETWORK}`,
    "net=",
    "v=1",
    "v=1e9",
    "v=-1",
    "tcp=0",
    "tcp=65536",
    "tcp=1",
    "ws=1/%00",
    "ws=1/..",
    junk,
  ]
  const data = {
    A: () => pick(["127.0.0.1", "0.0.0.0", "255.255.255.255"]),
    AAAA: () => pick(["::1", "fe80::1", "::"]),
    PTR: () => pick(names),
    SRV: () => `${pick(names)}:${pick([0, 1, 65_535])}`,
    TXT: () => Array.from({ length: upTo(8) }, () => pick(strings)),
    ANY: () => junk,
  }[type]()
  return { name: pick(names), type, data: random() < 0.1 ? junk : data, ttl: pick([0, 1, 120, 0x7fffffff, -1]) }
}

/** Whether so many ms have gone. */
function after(ms: number): () => boolean {
  const end = performance.now() + ms
  return () => performance.now() > end
}

function packet(): Buffer {
  const records = (most: number): DnsRecord[] => Array.from({ length: upTo(most) }, record)
  const questions = Array.from({ length: upTo(3) }, () => ({
    name: pick([SERVICE, "", "a", "a.b"]),
    type: pick<RecordType>(["PTR", "ANY", "SRV", "A"]),
  }))
  const bytes = encode({ response: random() < 0.7, questions, answers: records(6), additionals: records(3) })
  const kind = random()
  if (kind < 0.3) return bytes
  if (kind < 0.5) return bytes.subarray(0, upTo(bytes.length))
  if (kind < 0.6) bytes.writeUInt16BE(0xffff, 4 + 2 * upTo(3))
  // Compressed names that lead to themselves, forward, and out of the packet.
  else for (let i = 0; i <= upTo(5); i++) bytes[upTo(bytes.length - 1)] = pick([0xc0, 0xff, 0x80, 0, upTo(255)])
  return bytes
}

t.test("3,000 hostile packets, and members find each other all the same", { timeout: 60_000 }, async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port, "127.0.0.3")
  const start = async (): Promise<TestHost> => {
    const host = new TestHost({ endpoints: ["tcp://127.0.0.1:7001"] })
    const found = mdns({ port })
    t.teardown(() => found.stop())
    void found.start(host)
    return host
  }
  const first = await start()
  for (let i = 0; i < 3000; i++) {
    await speaker.say(packet())
    if (i % 1000 === 999) await until("a moment later", after(500))
  }
  await speaker.say(Buffer.alloc(0))
  await speaker.say(Buffer.alloc(9001))
  t.strictSame(first.findings, [], "all were read")
  const second = await start()
  await until("the second", () => first.heard(second.self.id) !== undefined)
  await until("the first", () => second.heard(first.self.id) !== undefined)
  for (const { endpoints } of first.candidates)
    for (const endpoint of endpoints)
      if (!/^(tcp|ws):\/\/127\.\d+\.\d+\.\d+:[1-9]\d*(\/[\w\-.~%/]*)?$/.test(endpoint)) t.fail(`dials ${endpoint}`)
})

t.test("a flood is told, bounded, and over when it is over", { timeout: 60_000 }, async (t) => {
  const port = await freePort()
  const speaker = await Speaker.start(t, port, "127.0.0.3")
  const clock = virtualClock()
  const host = new TestHost({ endpoints: ["tcp://127.0.0.1:7001"] }, clock)
  const found = mdns({ port })
  t.teardown(() => found.stop())
  void found.start(host)
  let said = 0
  // In no time at all.
  await until("the finding", () => {
    for (let i = 0; i < 20; i++) void speaker.say(announcement(freshId(systemClock), NETWORK, 1 + (said++ % 60_000)))
    return host.findings.some(({ key }) => key === "mdns-flood")
  })
  t.ok(host.candidates.length > 1900 && host.candidates.length <= 2000, `${host.candidates.length} of ${said} packets`)
  await clock.advance(1000)
  const after = { id: freshId(systemClock) }
  const again = setInterval(() => void speaker.say(announcement(after.id, NETWORK, 7002)), 20)
  t.teardown(() => clearInterval(again))
  await until("one who comes after", () => host.heard(after.id) !== undefined)
})

t.test("records of any shape are read without a throw", async (t) => {
  const odd: unknown[] = [
    undefined,
    null,
    1,
    "",
    "a",
    {},
    [],
    [null],
    [Buffer.from("id")],
    { target: 1 },
    { target: SERVICE },
  ]
  for (const name of [SERVICE, `a.${SERVICE}`, "", undefined, 7])
    for (const type of ["PTR", "SRV", "TXT", "A", "AAAA", "OPT", undefined])
      for (const data of odd)
        for (const ttl of [0, 120, undefined]) sightings([{ name, type, data, ttl } as unknown as ResourceRecord])
  const many = Array.from({ length: 5000 }, (_, at) => {
    const text = [`id=${freshId(systemClock)}`, "tcp=1"].map((item) => Buffer.from(item))
    return { name: `m${at}.${SERVICE}`, type: "TXT", ttl: 1, data: text }
  })
  t.equal(sightings(many).seen.length, 64, "of one packet's members so many are taken")
})

t.test("a process that only looks ends by itself", async (t) => {
  const port = await freePort()
  const child = fork(new URL("../support/peers/discovery.mjs", import.meta.url), [JSON.stringify({ port })], {
    execArgv: [],
  })
  t.teardown(() => child.kill("SIGKILL"))
  const [code] = (await within("its end", once(child, "exit"))) as [number | null]
  t.equal(code, 0)
})
