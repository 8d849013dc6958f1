// A mesh over a network of hosts: network namespaces on a bridge, where the test may make some, with real cables to pull.
import t, { type Test } from "tap"
import { type Host, Lan, noNamespaces, type Program } from "../support/netns.ts"

t.jobs = 5

const PEER = new URL("../support/peers/mesh.mjs", import.meta.url)
const options = (seconds = 60) => ({ skip: noNamespaces, timeout: seconds * 1000 })

interface Said {
  joined?: string
  endpoints?: string[]
  join?: string
  leave?: string
  reason?: string
  gap?: string
  direction?: string
  count?: number
  published?: number
  report?: Record<string, { count: number; last: number; wrong: number; missing: number }>
  members?: string[]
  asked?: string
  answer?: unknown
  failed?: string
  took?: number
  at?: number
}

/** A member on a host. */
class Remote {
  readonly program: Program
  readonly name: string

  constructor(host: Host, name: string, more: { join?: object; [key: string]: unknown } = {}, env = {}) {
    this.name = name
    const { join, ...rest } = more
    const all = { join: { name, network: "hosts", open: true, listen: ["tcp://*:4101"], ...join }, ...rest }
    this.program = host.run(PEER, [JSON.stringify(all)], env)
  }

  get said(): readonly Said[] {
    return this.program.said as Said[]
  }

  tell(name: string, argument: unknown = null): void {
    this.program.process.stdin!.write(`${JSON.stringify({ [name]: argument })}\n`)
  }

  /** The newest line that fits, once there is one. */
  async hear(what: string, fits: (said: Said) => boolean, ms = 15_000, from = 0): Promise<Said> {
    const until = Date.now() + ms
    for (;;) {
      const found = this.said.slice(from).findLast(fits)
      if (found !== undefined) return found
      if (Date.now() > until) throw new Error(`${this.name} never said ${what}: ${JSON.stringify(this.said.slice(-8))}`)
      await pause(20)
    }
  }

  /** Asks, and takes the answer to that. */
  async ask(name: string, argument: unknown, fits: (said: Said) => boolean): Promise<Said> {
    const from = this.said.length
    this.tell(name, argument)
    return this.hear(name, fits, 15_000, from)
  }

  async sees(...names: string[]): Promise<void> {
    const wanted = names.sort().join()
    const until = Date.now() + 20_000
    for (;;) {
      const { members } = await this.ask("members", null, ({ members }) => members !== undefined)
      if (members!.join() === wanted) return
      if (Date.now() > until) throw new Error(`${this.name} sees ${members!.join()}, not ${wanted}`)
      await pause(50)
    }
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Stops a publisher and waits until a subscriber has its last message, or has been told of its loss. */
async function settle(publisher: Remote, subscriber: Remote, subject: string) {
  const { published } = await publisher.ask("stop", null, ({ published }) => published !== undefined)
  const until = Date.now() + 15_000
  for (;;) {
    const { report } = await subscriber.ask("report", null, ({ report }) => report !== undefined)
    const seen = report![subject]
    if (seen?.last === published! - 1) return { published: published!, seen }
    if (Date.now() > until) throw new Error(`${subscriber.name} got ${JSON.stringify(seen)} of ${published} messages`)
    await pause(100)
  }
}

async function pair(t: Test, more: object = {}) {
  const lan = await Lan.create(t)
  const [one, two] = [await lan.host("10.77.0.1/24"), await lan.host("10.77.0.2/24")]
  const a = new Remote(one, "a", { publish: { subject: "from.a", every: 5 }, ...more })
  const b = new Remote(two, "b", { subscribe: ["from.*"], seeds: ["tcp://10.77.0.1:4101"], ...more })
  await a.hear("b", ({ join }) => join === "b")
  await b.hear("a", ({ join }) => join === "a")
  return { lan, one, two, a, b }
}

t.test("a cable out for 8 s under 200 messages a second: all arrive, none twice, in order", options(), async (t) => {
  const { two, a, b } = await pair(t)
  await pause(1000)
  await two.cut()
  await pause(8000)
  await two.mend()
  const { seen } = await settle(a, b, "from.a")
  t.equal(seen.wrong, 0, "none twice, none out of order")
  t.equal(seen.missing, 0, "none missing")
  t.strictSame(
    a.said.filter(({ gap }) => gap !== undefined),
    [],
  )
})

t.test("out for 60 s: the gaps of both sides are what is missing, and it heals within 6 s", options(120), async (t) => {
  const { two, a, b } = await pair(t)
  await pause(1000)
  await two.cut()
  await pause(60_000)
  const from = a.said.length
  const began = Date.now()
  await two.mend()
  await a.hear("b again", ({ join }) => join === "b", 15_000, from)
  const healed = Date.now() - began
  t.ok(healed < 6000, `linked again after ${healed} ms`)
  const { seen } = await settle(a, b, "from.a")
  const gap = ({ said }: Remote, direction: string) =>
    said
      .filter((each) => each.gap !== undefined && each.direction === direction)
      .reduce((sum, { count }) => sum + count!, 0)
  t.ok(seen.missing > 5000, `${seen.missing} are missing`)
  t.equal(seen.wrong, 0)
  t.equal(gap(a, "sent"), seen.missing, "the publisher knows exactly")
  t.equal(gap(b, "received"), seen.missing, "the subscriber too")
})

t.test("one that is killed leaves at once where the kernel tells, and requests go elsewhere", options(), async (t) => {
  const lan = await Lan.create(t)
  const hosts = [await lan.host("10.77.0.1/24"), await lan.host("10.77.0.2/24"), await lan.host("10.77.0.3/24")]
  const [asker, first, second] = ["asker", "first", "second"].map(
    (name, i) =>
      new Remote(hosts[i]!, name, {
        serve: i === 0 ? [] : ["who"],
        seeds: i === 0 ? [] : ["tcp://10.77.0.1:4101"],
      }),
  ) as [Remote, Remote, Remote]
  await asker.sees("first", "second")
  await first.sees("asker", "second")
  const began = Date.now()
  await first.program.kill()
  const { reason } = await asker.hear("its leaving", ({ leave }) => leave === "first", 3000)
  t.ok(Date.now() - began < 3000, `left after ${Date.now() - began} ms`)
  t.equal(reason, "lost")
  for (let i = 0; i < 10; i++) {
    const { answer } = await asker.ask("ask", { subject: "who" }, ({ asked }) => asked === "who")
    t.equal(answer, "second")
  }
  // No packet tells that it is gone.
  const silent = Date.now()
  await hosts[2]!.cut()
  await second.program.kill()
  await asker.hear("its leaving", ({ leave }) => leave === "second", 12_000)
  t.ok(Date.now() - silent < 9000, `silent for ${Date.now() - silent} ms`)
  const { failed } = await asker.ask("ask", { subject: "who" }, ({ asked }) => asked === "who")
  t.equal(failed, "NO_RESPONDERS")
})

t.test("a partition into halves works on both sides, and merges without a duplicate", options(), async (t) => {
  const [left, right] = [await Lan.create(t), await Lan.create(t)]
  // Hosts 3 and 4 reach the others through a cable of their own to the left.
  const hosts: Host[] = []
  for (let i = 1; i <= 4; i++) {
    const host = await left.host(`10.77.0.${i}/24`)
    await right.plug(host, `10.78.0.${i}/24`)
    hosts.push(host)
  }
  const members = hosts.map(
    (host, i) =>
      new Remote(host, `m${i}`, {
        subscribe: ["from.*"],
        seeds: [1, 2, 3, 4].flatMap((n) => [`tcp://10.77.0.${n}:4101`, `tcp://10.78.0.${n}:4101`]),
        join: { listen: ["tcp://*:4101"] },
      }),
  )
  for (const [i, member] of members.entries())
    await member.sees(...[0, 1, 2, 3].filter((n) => n !== i).map((n) => `m${n}`))
  members.forEach((member, i) => member.tell("publish", { subject: `from.m${i}`, every: 10 }))
  await pause(500)
  // m0 and m1 keep the left LAN, m2 and m3 the right one.
  await Promise.all([hosts[0]!.cut("eth1"), hosts[1]!.cut("eth1"), hosts[2]!.cut("eth0"), hosts[3]!.cut("eth0")])
  await members[0]!.sees("m1")
  await members[3]!.sees("m2")
  const before = await members[1]!.ask("report", null, ({ report }) => report !== undefined)
  await pause(1500)
  const after = await members[1]!.ask("report", null, ({ report }) => report !== undefined)
  t.ok(after.report!["from.m0"]!.count > before.report!["from.m0"]!.count + 50, "its half goes on")
  await Promise.all([hosts[0]!.mend("eth1"), hosts[1]!.mend("eth1"), hosts[2]!.mend("eth0"), hosts[3]!.mend("eth0")])
  for (const [i, member] of members.entries())
    await member.sees(...[0, 1, 2, 3].filter((n) => n !== i).map((n) => `m${n}`))
  for (const [i, member] of members.entries()) {
    const { seen } = await settle(member, members[(i + 2) % 4]!, `from.m${i}`)
    t.equal(seen.wrong, 0, `m${i}: none twice, in order`)
    t.equal(seen.missing, 0, `m${i}: none missing`)
  }
})

t.test("an address that changes under load", options(), async (t) => {
  const { two, a, b } = await pair(t, { multicast: true })
  await pause(1000)
  const from = a.said.length
  await two.readdress("10.77.0.9/24")
  await a.hear("its new address", (said) => said.endpoints?.includes("tcp://10.77.0.9:4101") === true, 20_000, from)
  const { seen } = await settle(a, b, "from.a")
  t.equal(seen.wrong, 0)
  t.equal(seen.missing, 0)
})

t.test("a host that is stopped for 20 s and goes on", options(90), async (t) => {
  const { a, b } = await pair(t)
  await pause(500)
  b.program.process.kill("SIGSTOP")
  await pause(20_000)
  b.program.process.kill("SIGCONT")
  const { seen } = await settle(a, b, "from.a")
  t.equal(seen.wrong, 0)
  t.equal(seen.missing, 0, "20 s are within what is kept")
  await a.sees("b")
  await b.sees("a")
})

t.test(
  "two hosts with the same 172.17.0.1, and an address that another network's member has taken",
  options(),
  async (t) => {
    const lan = await Lan.create(t)
    const [bridge, other] = [await Lan.create(t), await Lan.create(t)]
    const [one, two] = [await lan.host("10.77.0.1/24"), await lan.host("10.77.0.2/24")]
    await bridge.plug(one, "172.17.0.1/16", "docker0")
    await other.plug(two, "172.17.0.1/16", "docker0")
    const a = new Remote(one, "a", { multicast: true })
    const b = new Remote(two, "b", {
      multicast: true,
      join: { advertise: ["tcp://172.17.0.1:4101", "tcp://10.77.0.2:4101"] },
    })
    await a.sees("b")
    await b.sees("a")
    // b goes, and somebody of another network answers at its address.
    await b.program.kill()
    const stranger = new Remote(two, "stranger", { multicast: true, join: { network: "other" } })
    await stranger.hear("its start", ({ joined }) => joined === "stranger")
    await a.hear("b's leaving", ({ leave }) => leave === "b", 15_000)
    const c = new Remote(await lan.host("10.77.0.3/24"), "c", { multicast: true })
    await c.sees("a")
    await a.sees("c")
    await stranger.sees()
  },
)
