// Discovery between hosts: network namespaces on bridges, where the test may make some.
import t from "tap"
import type { Candidate } from "../../lib/mesh/contract.ts"
import { systemClock } from "../../lib/clock.ts"
import { freshId } from "../../lib/mesh/identity.ts"
import { type Host, Lan, noNamespaces, type Program } from "../support/netns.ts"
import { until } from "../support/sockets.ts"

t.jobs = 4

const PEER = new URL("../support/peers/discovery.mjs", import.meta.url)
/** One for each test: tap writes into it. */
const options = () => ({ skip: noNamespaces, timeout: 60_000 })

/** A member on a host: its id, and what it found last of another. */
function member(host: Host, more: object = {}) {
  const id = freshId(systemClock)
  const endpoints = ["tcp://0.0.0.0:4101"]
  const program = host.run(PEER, [JSON.stringify({ id, endpoints, open: true, hold: true, ...more })])
  return { id, program }
}

function heard(program: Program, id: string): Candidate | undefined {
  const said = program.said as { found?: Candidate }[]
  return said.findLast(({ found }) => found?.id === id)?.found
}

function lost(program: Program, id: string): boolean {
  return (program.said as { lost?: string }[]).some(({ lost }) => lost === id)
}

t.test("two hosts on one LAN find each other by multicast", options(), async (t) => {
  const lan = await Lan.create(t)
  const [one, two] = [await lan.host("10.77.0.1/24"), await lan.host("10.77.0.2/24")]
  const a = member(one)
  await until("its start", () => a.program.process.pid !== undefined)
  const b = member(two)
  await until("b", () => heard(a.program, b.id) !== undefined)
  await until("a", () => heard(b.program, a.id) !== undefined)
  t.strictSame(heard(a.program, b.id)!.endpoints, ["tcp://10.77.0.2:4101"])
  t.strictSame(heard(b.program, a.id)!.endpoints, ["tcp://10.77.0.1:4101"])
  b.program.process.stdin!.end()
  await until("its goodbye", () => lost(a.program, b.id))
})

t.test("private members are heard by nobody else", options(), async (t) => {
  const lan = await Lan.create(t)
  const [one, two] = [await lan.host("10.77.0.1/24"), await lan.host("10.77.0.2/24")]
  const near = member(one, { open: false })
  const far = member(two, { open: false })
  const open = member(one)
  await until("the one on its host", () => heard(near.program, open.id) !== undefined)
  const other = member(two)
  await until("the open one", () => heard(open.program, other.id) !== undefined)
  t.ok(heard(open.program, near.id), "on loopback the open one hears it")
  t.notOk(heard(open.program, far.id))
  t.notOk(heard(near.program, other.id))
  t.notOk(heard(far.program, near.id))
})

t.test(
  "fault 12: a member heard on two interfaces is one candidate with the addresses of both",
  options(),
  async (t) => {
    const [first, second] = [await Lan.create(t), await Lan.create(t)]
    const [one, two] = [await first.host("10.77.0.1/24"), await first.host("10.77.0.2/24")]
    await second.plug(one, "10.78.0.1/24")
    await second.plug(two, "10.78.0.2/24")
    const [a, b] = [member(one), member(two)]
    const both = ["tcp://10.77.0.2:4101", "tcp://10.78.0.2:4101"]
    await until("both addresses", () => heard(a.program, b.id)?.endpoints.length === 2)
    t.strictSame([...heard(a.program, b.id)!.endpoints].sort(), both)
    await until("the other way", () => heard(b.program, a.id)?.endpoints.length === 2)
  },
)

t.test("fault 7: an interface that comes later is spoken on within 5 s, a virtual one never", options(), async (t) => {
  const [lan, bridge] = [await Lan.create(t), await Lan.create(t)]
  const [one, two] = [await lan.host("10.77.0.1/24"), await lan.host("10.77.0.2/24")]
  await bridge.plug(one, "172.17.0.1/16", "docker0")
  await bridge.plug(two, "172.17.0.2/16", "docker0")
  await one.cut()
  const [a, b] = [member(one, { interfaces: ["eth0"] }), member(two)]
  await one.mend()
  await until("b", () => heard(a.program, b.id) !== undefined)
  await until("a", () => heard(b.program, a.id) !== undefined)
  t.strictSame(heard(a.program, b.id)!.endpoints, ["tcp://10.77.0.2:4101"])
  await two.readdress("10.77.0.22/24")
  await until("its new address", () => heard(a.program, b.id)!.endpoints[0] === "tcp://10.77.0.22:4101")
})
