import t from "tap"
import type { Transport } from "../lib/contract.ts"
import { parseEndpoint, Transports } from "../lib/endpoint.ts"
import { EarshotError } from "../lib/errors.ts"

t.test("an endpoint has two parts", async (t) => {
  for (const [endpoint, scheme, address] of [
    ["tcp://127.0.0.1:5555", "tcp", "127.0.0.1:5555"],
    ["tcp://eth0:*;[::1]:5555", "tcp", "eth0:*;[::1]:5555"],
    ["ipc:///tmp/with space.sock", "ipc", "/tmp/with space.sock"],
    ["ipc://@abstract", "ipc", "@abstract"],
    ["ws://host/path://more?q=1", "ws", "host/path://more?q=1"],
    ["libp2p:///ip4/127.0.0.1/tcp/1", "libp2p", "/ip4/127.0.0.1/tcp/1"],
    ["x-1.y+z://é", "x-1.y+z", "é"],
  ] as const)
    t.strictSame({ ...parseEndpoint(endpoint) }, { scheme, address }, endpoint)
})

t.test("what is no endpoint is refused", async (t) => {
  for (const endpoint of [
    "",
    "tcp",
    "tcp:",
    "tcp:/127.0.0.1:5555",
    "tcp//127.0.0.1:5555",
    "tcp://",
    "://127.0.0.1:5555",
    "127.0.0.1:5555",
    " tcp://127.0.0.1:5555",
    "1tcp://127.0.0.1:5555",
    "t cp://127.0.0.1:5555",
    "tcp://127.0.0.1:5555\n",
    "tcp://127.0.0.1\0:5555",
    "tcp://\x7f",
    `ipc://${"x".repeat(2000)}`,
    undefined,
    null,
    5555,
    {},
    ["tcp://127.0.0.1:5555"],
  ]) {
    const parse = (): unknown => parseEndpoint(endpoint as string)
    t.throws(parse, { code: "EINVAL" }, JSON.stringify(endpoint)?.slice(0, 40))
    t.throws(parse, EarshotError)
  }
})

t.test("transports are found by their scheme", async (t) => {
  const transport = (scheme: string): Transport => ({ scheme, check: String, dial: () => Promise.reject(new Error()) })
  const transports = new Transports()
  t.throws(() => transports.get("tcp"), { code: "EPROTONOSUPPORT", message: /none/ })
  const tcp = transport("tcp")
  transports.register(tcp)
  transports.register(transport("inproc"))
  t.equal(transports.get("tcp"), tcp)
  for (const scheme of ["udp", "TCP", "", "constructor", "__proto__"])
    t.throws(() => transports.get(scheme), { code: "EPROTONOSUPPORT", message: /inproc, tcp/ }, scheme)
  const other = transport("tcp")
  transports.register(other)
  t.equal(transports.get("tcp"), other, "the last one registered counts")
  t.throws(() => new Transports().get("tcp"), { code: "EPROTONOSUPPORT" }, "each program has its own")
})
