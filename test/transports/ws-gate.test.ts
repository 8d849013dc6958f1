// Who may come in by an upgrade, and who they are taken for: the rules, without a network.
import t from "tap"
import { formatAddress, parseAddress } from "../../transports/websocket/address.ts"
import { Gate, type GateRules, type Visitor } from "../../transports/websocket/gate.ts"
import { choose, named, OFFER, offered, SUBPROTOCOLS } from "../../transports/websocket/offer.ts"
import { clientOf, isRange } from "../../transports/websocket/proxy.ts"
import { virtualClock } from "../support/virtual-clock.ts"

const usual: GateRules = {
  origins: [],
  hosts: [],
  trustProxy: false,
  maxConnections: 1000,
  maxConnectionsPerAddress: 100,
  upgradesPerSecond: 1000,
}

interface Asked {
  readonly from?: string
  readonly host?: string | undefined
  readonly origin?: string
  readonly headers?: Record<string, string>
}

function gate(rules: Partial<GateRules> = {}) {
  const clock = virtualClock()
  const warnings: string[] = []
  const made = new Gate({ ...usual, ...rules }, clock, ["Cellar", "cellar.local"], (text) => warnings.push(text))
  const ask = (asked: Asked) => {
    const { from = "192.0.2.9", origin, headers = {} } = asked
    const host = "host" in asked ? asked.host : "192.0.2.1:8080"
    return made.admit(
      { address: from, host, secure: false },
      { ...headers, ...(origin === undefined ? {} : { origin }) },
    )
  }
  /** "in", or the cause and status of a refusal. */
  const verdict = (asked: Asked): string => {
    const answer = ask(asked)
    return "cause" in answer ? `${answer.cause} ${answer.status}` : "in"
  }
  return { clock, warnings, ask, verdict }
}

t.test("the Host must be an address or a name of this server", async (t) => {
  const { verdict, ask } = gate({ hosts: ["Device.example", "Bücher.example"] })
  for (const host of [
    "192.0.2.1",
    "192.0.2.1:8080",
    "[2001:db8::1]:8080",
    "[::1]",
    "localhost:3000",
    "LOCALHOST",
    "app.localhost:3000",
    "cellar",
    "CELLAR:80",
    "cellar.local:8080",
    "device.example:1",
    "device.example",
    "device.example.:80",
    "localhost.",
    "xn--bcher-kva.example",
    "[::ffff:127.0.0.1]:80",
  ])
    t.equal(verdict({ host }), "in", host)
  for (const host of [
    "evil.example",
    "evil.example:8080",
    "cellar.evil.example",
    "localhost.evil.example",
    "evil.example/localhost",
    "127.0.0.1.evil.example:80",
    "user@evil.example",
    "256.1.1.1",
    "127.1",
    "2130706433",
    "127.0.0.1, evil.example",
    "evil.example..",
  ])
    t.equal(verdict({ host }), "host 403", host)
  for (const host of [undefined, "", ":80", "[::1", "[localhost]", "127.0.0.1:http", "[fe80::1%eth0]"]) {
    t.equal(verdict({ host }), "host 400", String(host))
    const answer = ask({ host })
    if ("cause" in answer)
      t.match(
        answer.error.message,
        host === undefined ? /no Host header$/ : `says ${JSON.stringify(host)}, which names`,
      )
  }
  const refused = ask({ host: "evil.example" })
  t.ok("cause" in refused)
  if (!("cause" in refused)) return
  t.equal(refused.error.code, "FORBIDDEN")
  t.match(refused.error.message, /"evil\.example".*hosts: \["evil\.example"\]/)
  const loud = ask({ origin: "http://\u009b2J\u202e\n", host: "192.0.2.1" })
  if ("cause" in loud) t.match(loud.error.message, /^[\x20-\x7e]+$/, "nothing that a terminal would obey")
  t.notMatch(refused.sentence, /cellar/i, "a stranger is told no names")
  t.equal(gate({ hosts: ["*"] }).verdict({ host: "evil.example" }), "in")
})

t.test("the Origin must be of the same host, or listed", async (t) => {
  const { verdict, ask } = gate({
    origins: [
      "https://App.example",
      "capacitor://localhost",
      "https://port.example:8443/",
      "https://usual.example:443",
      "https://Bücher.example",
    ],
  })
  for (const [origin, host] of [
    [undefined, "192.0.2.1"],
    ["http://192.0.2.1", "192.0.2.1:8080"],
    ["http://192.0.2.1:3000", "192.0.2.1:8080"],
    ["https://192.0.2.1", "192.0.2.1"],
    ["http://[2001:DB8::1]:3000", "[2001:db8:0::1]:80"],
    ["http://Cellar.local", "cellar.local:8080"],
    ["http://localhost:5173", "127.0.0.1:8080"],
    ["http://127.0.0.1:5173", "localhost:8080"],
    ["http://[::1]:5173", "127.0.0.1:8080"],
    ["https://app.example", "192.0.2.1"],
    ["capacitor://localhost", "192.0.2.1"],
    ["https://port.example:8443", "192.0.2.1"],
    ["https://usual.example", "192.0.2.1"],
    ["https://xn--bcher-kva.example", "192.0.2.1"],
    ["http://cellar.local.:3000", "cellar.local:8080"],
    ["http://[::ffff:192.0.2.1]", "[::ffff:c000:201]"],
  ] as const)
    t.equal(verdict(origin === undefined ? { host } : { origin, host }), "in", `${origin} at ${host}`)
  for (const [origin, host] of [
    ["null", "192.0.2.1"],
    ["", "192.0.2.1"],
    ["http://evil.example", "192.0.2.1"],
    ["http://192.0.2.2", "192.0.2.1"],
    ["http://localhost", "192.0.2.1"],
    ["http://127.0.0.1", "192.0.2.1"],
    ["http://evil.example", "127.0.0.1"],
    ["http://localhost.evil.example", "127.0.0.1"],
    ["http://192.0.2.1.evil.example", "192.0.2.1"],
    ["http://evil.example/192.0.2.1", "192.0.2.1"],
    ["http://app.example", "192.0.2.1"],
    ["https://port.example", "192.0.2.1"],
    ["file://192.0.2.1", "192.0.2.1"],
    ["chrome-extension://192.0.2.1", "192.0.2.1"],
    ["http://192.0.2.1, http://evil.example", "192.0.2.1"],
    ["http://192.0.2.1 http://evil.example", "192.0.2.1"],
    ["http://user@192.0.2.1", "192.0.2.1"],
    ["http://192.0.2.1:80:80", "192.0.2.1"],
    ["http://192.0.2.1@evil.example", "192.0.2.1"],
    ["http://xn--bcher-kva.example", "192.0.2.1"],
  ] as const)
    t.equal(verdict({ origin, host }), "origin 403", `${origin} at ${host}`)
  const refused = ask({ origin: "http://evil.example" })
  if ("cause" in refused)
    t.match(refused.error.message, /evil\.example.*192\.0\.2\.1:8080.*origins: \["http:\/\/evil\.example"\]/)
  t.equal(gate({ origins: ["null"] }).verdict({ origin: "null" }), "in")
  t.equal(gate({ origins: ["*"] }).verdict({ origin: "http://evil.example" }), "in")
})

t.test("limits: in all, for each address, in a second", async (t) => {
  const few = gate({ maxConnections: 3, maxConnectionsPerAddress: 2 })
  const inside = ["192.0.2.9", "192.0.2.9", "192.0.2.10"].map((from) => few.ask({ from }) as Visitor)
  t.equal(few.verdict({ from: "192.0.2.11" }), "connections 503")
  inside[2]!.leave()
  t.equal(few.verdict({ from: "192.0.2.9" }), "address 429")
  inside[0]!.leave()
  t.equal(few.verdict({ from: "192.0.2.9" }), "in", "who leaves makes room")

  const local = gate({ maxConnectionsPerAddress: 1 })
  for (let i = 0; i < 3; i++) t.equal(local.verdict({ from: "127.0.0.1" }), "in", "loopback is many programs")
  t.equal((local.ask({ from: "127.0.0.1" }) as Visitor).host, undefined)
  t.equal((local.ask({ from: "192.0.2.3" }) as Visitor).host, "192.0.2.3")

  const slow = gate({ upgradesPerSecond: 10 })
  const burst = (): string[] => Array.from({ length: 20 }, () => slow.verdict({}))
  t.strictSame(burst(), [...Array(10).fill("in"), ...Array(10).fill("flood 503")])
  await slow.clock.advance(500)
  t.equal(burst().filter((verdict) => verdict === "in").length, 5, "half of them after half a second")
  await slow.clock.advance(60_000)
  t.equal(burst().filter((verdict) => verdict === "in").length, 10, "and no more after a long time")
  await slow.clock.advance(1000)
  for (let i = 0; i < 50; i++) t.equal(slow.verdict({ origin: "http://evil.example" }), "origin 403")
  t.equal(burst().filter((verdict) => verdict === "in").length, 10, "a hostile page takes nobody's turn")
})

t.test("a proxy's word counts where it is trusted", async (t) => {
  const direct = { address: "10.0.0.2", host: "inner:80", secure: false }
  const seen = (headers: Record<string, string>, trust: boolean | string[]): string => {
    const client = clientOf(direct, headers, trust)
    if (client === undefined) return "contradiction"
    const { address, host, secure } = client
    return `${address} ${host} ${secure ? "secure" : "plain"}`
  }
  const x = { "x-forwarded-for": "203.0.113.7", "x-forwarded-host": "app.example", "x-forwarded-proto": "https" }
  t.equal(seen(x, false), "10.0.0.2 inner:80 plain")
  t.equal(seen(x, true), "203.0.113.7 app.example secure")
  t.equal(seen(x, ["10.0.0.2"]), "203.0.113.7 app.example secure")
  t.equal(seen(x, ["10.0.0.0/8"]), "203.0.113.7 app.example secure")
  t.equal(seen(x, ["10.0.0.3", "10.0.1.0/24", "2001:db8::/32"]), "10.0.0.2 inner:80 plain")
  t.equal(seen({}, true), "10.0.0.2 inner:80 plain")
  t.equal(
    seen({ "x-forwarded-for": "198.51.100.1, 203.0.113.7" }, true),
    "203.0.113.7 inner:80 plain",
    "the first may be made up",
  )
  t.equal(
    seen({ "x-forwarded-for": "198.51.100.1, 203.0.113.7, 10.0.0.9" }, ["10.0.0.0/8"]),
    "203.0.113.7 inner:80 plain",
    "the first that is no proxy of ours",
  )
  t.equal(
    seen({ forwarded: 'for="[2001:DB8::17]:4711";proto=https;host=app.example' }, true),
    "2001:db8::17 app.example secure",
  )
  const both = { ...x, "x-forwarded-host": "other.example" }
  t.equal(
    seen({ forwarded: "for=203.0.113.7;host=app.example", ...both }, true),
    "203.0.113.7 app.example plain",
    "Forwarded goes first",
  )
  for (const forwarded of ["for=203.0.113.8", "for=unknown", "host=app.example;proto=https", "for=203.0.113.7, for=_x"])
    for (const trust of [true, ["10.0.0.0/8"]])
      t.equal(seen({ forwarded, ...x }, trust), "contradiction", `a client behind nginx sends ${forwarded}`)
  t.equal(seen({ forwarded: "for=203.0.113.8", ...x }, false), "10.0.0.2 inner:80 plain", "which nobody reads")
  t.equal(
    seen({ forwarded: "for=unknown;proto=http, For=192.0.2.60; Proto=HTTPS" }, true),
    "192.0.2.60 inner:80 secure",
  )
  t.equal(seen({ forwarded: "for=_hidden" }, true), "10.0.0.2 inner:80 plain", "a hidden name is no address")
  t.equal(seen({ "x-forwarded-for": "::ffff:192.0.2.1" }, true), "192.0.2.1 inner:80 plain")
  t.equal(seen({ "x-forwarded-for": "garbage; <script>" }, true), "10.0.0.2 inner:80 plain")
  for (const good of ["10.0.0.1", "10.0.0.0/8", "::1", "2001:db8::/32", "0.0.0.0/0"]) t.ok(isRange(good), good)
  for (const bad of ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/9", "proxy.example", "::1/129"])
    t.notOk(isRange(bad), bad)
})

t.test("behind a proxy the rules see the client", async (t) => {
  const headers = (from: string, host = "app.example") => ({ "x-forwarded-for": from, "x-forwarded-host": host })
  const { verdict } = gate({ trustProxy: ["10.0.0.2"], hosts: ["app.example"], maxConnectionsPerAddress: 1 })
  t.equal(verdict({ from: "10.0.0.2", headers: headers("203.0.113.1"), origin: "https://app.example" }), "in")
  t.equal(verdict({ from: "10.0.0.2", headers: headers("203.0.113.2") }), "in")
  t.equal(verdict({ from: "10.0.0.2", headers: headers("203.0.113.2") }), "address 429")
  t.equal(verdict({ from: "10.0.0.2", headers: headers("203.0.113.3", "evil.example") }), "host 403")
  t.equal(verdict({ from: "10.0.0.3", headers: headers("203.0.113.4"), origin: "https://app.example" }), "origin 403")
  const forged = { ...headers("203.0.113.2"), forwarded: "for=127.0.0.1" }
  t.equal(verdict({ from: "10.0.0.2", headers: forged }), "forwarded 400", "no way past the limit")
})

t.test("an unknown proxy on a private address lifts the limit for each address, and is told of once", async (t) => {
  const { verdict, ask, warnings } = gate({ maxConnectionsPerAddress: 1 })
  const headers = { "x-forwarded-for": "203.0.113.1" }
  for (let i = 0; i < 3; i++) t.equal(verdict({ from: "10.0.0.2", headers }), "in")
  t.equal((ask({ from: "10.0.0.2", headers }) as Visitor).host, undefined)
  t.equal(warnings.length, 1)
  t.match(warnings[0], /10\.0\.0\.2.*trustProxy: \["10\.0\.0\.2"\]/)
  t.strictSame(
    [verdict({ from: "10.0.0.4" }), verdict({ from: "10.0.0.4" })],
    ["in", "address 429"],
    "not without the headers",
  )
  const abroad = { from: "203.0.113.9", headers }
  t.strictSame([verdict(abroad), verdict(abroad)], ["in", "address 429"], "nor for anybody in the world")
})

t.test("subprotocols: what is offered, chosen and answered", async (t) => {
  t.strictSame(offered(" a,b , ,ZWS2.0/NULL,"), ["a", "b", "ZWS2.0/NULL"])
  t.strictSame(offered(undefined), [])
  t.equal(choose(["ZWS2.0", "ZWS2.0/NULL", "earshot.zmtp3"])?.protocol, "zmtp", "our order, not the client's")
  t.equal(choose(["ZWS2.0", "ZWS2.0/NULL"])?.protocol, "zws")
  t.equal(choose(["x", "ZWS2.0"])?.protocol, "zws-bare")
  for (const names of [[], ["ZWS2.0/CURVE"], ["zws2.0"], ["ZWS2"], ["ZWS2.0.NULL"]])
    t.equal(choose(names), undefined, names.join())
  for (const each of SUBPROTOCOLS) {
    t.match(each.alias, /^[\w.+-]+$/, "a token")
    t.equal(named(each.alias), named(each.name))
  }
  t.equal(named(OFFER[0]!.name)?.protocol, "zws-bare", "a server that takes whatever comes first speaks the bare one")
  t.equal(named("other"), undefined)
})

t.test("addresses", async (t) => {
  const normal = (address: string, side: "bind" | "connect", scheme: "ws" | "wss" = "ws"): string =>
    formatAddress(parseAddress(scheme, address, side))
  for (const [address, side, expected = address] of [
    ["127.0.0.1:8080", "bind"],
    ["127.0.0.1:8080/", "bind", "127.0.0.1:8080"],
    ["127.0.0.1:08080/live", "connect", "127.0.0.1:8080/live"],
    ["*:*", "bind"],
    ["*:0/live", "bind", "*:*/live"],
    ["[0:0::1]:80/a/b", "connect", "[::1]:80/a/b"],
    ["example.org", "connect", "example.org:80"],
    ["example.org/live?room=1&x=%20", "connect", "example.org:80/live?room=1&x=%20"],
    ["bücher.example:1", "connect"],
  ] as const) {
    t.equal(normal(address, side), expected)
    t.equal(normal(expected, side), expected)
  }
  t.equal(normal("example.org/live", "connect", "wss"), "example.org:443/live")
  for (const [address, side] of [
    ["", "bind"],
    [":80", "bind"],
    ["127.0.0.1", "bind"],
    ["127.0.0.1:", "bind"],
    ["127.0.0.1:http", "bind"],
    ["127.0.0.1:65536", "bind"],
    ["127.0.0.256:1", "bind"],
    ["127.1:1", "bind"],
    ["::1:80", "bind"],
    ["[::1", "bind"],
    ["[::g]:80", "bind"],
    ["[127.0.0.1]:80", "bind"],
    ["user@host:80", "bind"],
    ["127.0.0.1:80/live?x", "bind"],
    ["127.0.0.1:80/a b", "connect"],
    ["127.0.0.1:80/a#b", "connect"],
    ["127.0.0.1:80?x", "connect"],
    ["*:80", "connect"],
    ["127.0.0.1:*", "connect"],
    ["127.0.0.1:0", "connect"],
  ] as const)
    t.throws(() => normal(address, side), { code: "EINVAL" }, `${side} ${address}`)
})
