// A mesh over libp2p between hosts: network namespaces, where the test may make some.
import t from "tap"
import { type Host, Lan, noNamespaces, type Program } from "../support/netns.ts"
import { until } from "../support/sockets.ts"

t.jobs = 3

const PEER = new URL("../support/peers/mesh-libp2p.mjs", import.meta.url)
const options = () => ({ skip: noNamespaces, timeout: 60_000 })

interface Said {
  peer?: string
  multiaddrs?: string[]
  endpoints?: string[]
  connected?: string
  at?: string
  join?: string
  userId?: string
  causes?: string[]
  heard?: unknown
  answer?: unknown
  receipt?: { sent: number }
}

/** A member on a host, whose node listens at all its addresses. */
class Remote {
  readonly program: Program

  constructor(host: Host, name: string, { join = {}, ...more }: { join?: object; [key: string]: unknown } = {}) {
    const listen = ["/ip4/0.0.0.0/tcp/4001"]
    const all = { listen, ...more, join: { name, network: "hosts", settle: 0, ...join } }
    this.program = host.run(PEER, [JSON.stringify(all)])
  }

  get said(): readonly Said[] {
    return this.program.said as Said[]
  }

  tell(line: string): void {
    this.program.process.stdin!.write(`${line}\n`)
  }

  async hear(what: string, fits: (said: Said) => boolean): Promise<Said> {
    await until(what, () => this.said.some(fits))
    return this.said.findLast(fits)!
  }

  get ready(): Promise<Said> {
    return this.hear("that it is there", ({ peer }) => peer !== undefined)
  }

  joined(name: string): Promise<Said> {
    return this.hear(`${name} to join`, ({ join }) => join === name)
  }
}

t.test("libp2p's mdns finds the nodes of a LAN, libp2pPeers the members among them", options(), async (t) => {
  const lan = await Lan.create(t)
  const hosts = await Promise.all(["10.77.0.1/24", "10.77.0.2/24"].map((address) => lan.host(address)))
  // A real host has a default route, which multicast takes, too.
  for (const host of hosts) await host.ip("route", "add", "default", "dev", "eth0")
  const more = { multicast: true, discover: true, join: { open: true } }
  const [a, b] = [new Remote(hosts[0]!, "a", more), new Remote(hosts[1]!, "b", more)]
  const { peer, endpoints } = await a.ready
  t.strictSame(endpoints, [`libp2p:///ip4/10.77.0.1/tcp/4001/p2p/${peer}#mesh`])
  t.equal((await b.joined("a")).userId, peer)
  await a.joined("b")
  b.tell("ask a")
  t.match(await b.hear("an answer", ({ answer }) => answer !== undefined), { answer: "a" })
})

t.test(
  "a private member takes nobody in from another host, and follows no address of its own host to another",
  options(),
  async (t) => {
    const lan = await Lan.create(t)
    const [one, two] = [await lan.host("10.77.0.1/24"), await lan.host("10.77.0.2/24")]
    const open = new Remote(one, "open", { join: { open: true } })
    const { peer } = await open.ready
    const there = `/ip4/10.77.0.1/tcp/4001/p2p/${peer}`
    // Connected nodes; and the address of loopback that each node tells of itself.
    const seeds = [`libp2p:///ip4/127.0.0.1/tcp/4001/p2p/${peer}#mesh`]
    const alone = new Remote(two, "private", { dial: [there], seeds, discover: true })
    const mine = await alone.ready
    t.match(await alone.hear("the connection", ({ connected }) => connected !== undefined), { at: /10\.77\.0\.1/ })
    t.strictSame(mine.endpoints, [`libp2p:///ip4/127.0.0.1/tcp/4001/p2p/${mine.peer}#mesh`])
    const caller = new Remote(one, "caller", {
      listen: ["/ip4/0.0.0.0/tcp/4002"],
      seeds: [`libp2p:///ip4/10.77.0.2/tcp/4001/p2p/${mine.peer}#mesh`],
      join: { open: true },
    })
    await caller.ready
    await until("that it is noticed", () => {
      alone.tell("diagnose")
      return alone.said.some(({ causes }) => causes?.includes("private") === true)
    })
    await until("that it is refused", () => {
      caller.tell("diagnose")
      return caller.said.some(({ causes }) => causes?.includes("seed-silent") === true)
    })
    const friend = new Remote(two, "friend", {
      listen: ["/ip4/127.0.0.1/tcp/4003"],
      seeds: [`libp2p:///ip4/127.0.0.1/tcp/4001/p2p/${mine.peer}#mesh`],
    })
    await friend.joined("private")
    await alone.joined("friend")
    for (const { said } of [alone, open, caller])
      t.notOk(
        said.some(({ join }) => join !== undefined && join !== "friend"),
        "no link between the hosts",
      )
  },
)
