// The machine's own addresses.
import { networkInterfaces } from "node:os"
import t from "tap"
import {
  dialable,
  isOnLink,
  isPrivate,
  type OwnAddress,
  ownAddresses,
  sameNetwork,
} from "../../lib/mesh/interfaces.node.ts"
import { Lan, noNamespaces } from "../support/netns.ts"
import { until } from "../support/sockets.ts"

t.test("a private member's wildcards are loopback's addresses", async (t) => {
  t.strictSame(dialable("tcp://0.0.0.0:4101", false), ["tcp://127.0.0.1:4101"])
  t.strictSame(dialable("tcp://*:4101", false), ["tcp://127.0.0.1:4101"])
  t.strictSame(dialable("ws://0.0.0.0:80/earshot", false), ["ws://127.0.0.1:80/earshot"])
  const both = dialable("tcp://[::]:4101", false)
  t.equal(both[0], "tcp://127.0.0.1:4101")
  t.ok(
    both.slice(1).every((endpoint) => endpoint === "tcp://[::1]:4101"),
    both.join(" "),
  )
})

t.test("what is no wildcard stays as it is", async (t) => {
  for (const endpoint of [
    "tcp://10.0.0.5:4101",
    "tcp://[fd00::1]:1",
    "ipc:///tmp/x",
    "inproc://*",
    "wss://example.org/earshot",
    "tcp://0.0.0.0.example.org:1",
  ])
    t.strictSame(dialable(endpoint, true), [endpoint])
})

t.test("an open member's are those of real interfaces", async (t) => {
  const all = Object.values(networkInterfaces()).flatMap((list = []) => list)
  const own = dialable("tcp://[::]:4101", true).map((endpoint) => endpoint.replace(/^tcp:\/\/\[?|\]?:4101$/g, ""))
  t.ok(own.length > 0)
  for (const address of own)
    t.ok(
      all.some((one) => one.address === address),
      address,
    )
  const real = all.filter(({ internal, address }) => !internal && !address.startsWith("fe80:"))
  if (real.length > 0) t.notOk(own.includes("127.0.0.1"))
  t.ok(
    own.every((address) => !address.startsWith("fe80:")),
    "an address that needs a zone means nothing elsewhere",
  )
})

t.test("near, private and neither", async (t) => {
  const own = { interface: "eth0", address: "10.1.2.3", family: 4, prefix: 20, loopback: false } satisfies OwnAddress
  for (const address of ["10.1.2.3", "10.1.0.1", "10.1.15.255"]) t.ok(sameNetwork(own, address), address)
  for (const address of ["10.1.16.0", "8.8.8.8", "::1", "fe80::1", "", "x", "10.1.2.3.4"])
    t.notOk(sameNetwork(own, address), address)
  const six = { interface: "eth0", address: "fd00::2", family: 6, prefix: 64, loopback: false } satisfies OwnAddress
  t.ok(sameNetwork(six, "fd00::ffff"))
  t.notOk(sameNetwork(six, "fd00:0:0:1::1"))
  t.ok(isOnLink("127.0.0.1"))
  t.ok(isOnLink("127.9.9.9"))
  t.notOk(isOnLink("8.8.8.8"))
  t.notOk(isOnLink("example.org"))
  for (const address of [
    "10.0.0.1",
    "172.31.0.1",
    "192.168.1.1",
    "169.254.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "::1",
    "fe80::1",
    "fd12::1",
  ])
    t.ok(isPrivate(address), address)
  for (const address of ["172.32.0.1", "100.128.0.1", "8.8.8.8", "2001:db8::1", "example.org", ""])
    t.notOk(isPrivate(address), address)
})

t.test(
  "virtual interfaces count where there are no others, or when they are named",
  { skip: noNamespaces },
  async (t) => {
    const lan = await Lan.create(t)
    const host = await lan.host("10.77.0.1/24")
    await lan.plug(host, "172.17.0.1/16", "docker0")
    const program = new URL("../support/peers/interfaces.mjs", import.meta.url)
    const says = async (env: Record<string, string> = {}): Promise<unknown> => {
      const { said } = host.run(program, [], env)
      await until("its word", () => said.length > 0)
      return said[0]
    }
    const [eth, docker] = ["tcp://10.77.0.1:1", "tcp://172.17.0.1:1"]
    t.strictSame(await says(), { dialable: [eth], onlyVirtual: false })
    t.strictSame(await says({ EARSHOT_INTERFACES: "docker0" }), { dialable: [docker], onlyVirtual: false })
    t.strictSame(await says({ EARSHOT_INTERFACES: "docker0, 10.77.0.1" }), {
      dialable: [eth, docker].sort(),
      onlyVirtual: false,
    })
    t.strictSame(await says({ EARSHOT_INTERFACES: "wlan0" }), { dialable: ["tcp://127.0.0.1:1"], onlyVirtual: false })
    await host.cut()
    t.strictSame(await says(), { dialable: [docker], onlyVirtual: true })
  },
)

t.test("names choose", async (t) => {
  t.ok(ownAddresses(["nothing of that name"]).every(({ loopback }) => loopback))
})
