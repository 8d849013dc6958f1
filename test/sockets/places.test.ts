// Endpoints that no string can tell (`Place`), and what a transport may say of its own: when to dial again, that now is a
// good time for it, and whom it turned away.
import t, { type Test } from "tap"
import { EarshotError, Pull, Push, Subscriber, type Place, type Transport } from "../../lib/index.ts"
import type { Link } from "../../lib/contract.ts"
import { FakeLink } from "../support/fake.ts"
import { events, freshName, outcome, strictClock, thrown, tidy, watch } from "../support/sockets.ts"

type Listen = Parameters<NonNullable<Transport["listen"]>>

/** A transport of the test's own, which nobody has registered. */
class Own implements Transport {
  readonly scheme: string
  readonly redial?: { interval: number; maxInterval: number }
  links: FakeLink[] = []
  dials = 0
  refuses = false
  nudges = new Set<() => void>()
  listeners = new Map<string, Listen>()

  constructor(scheme = "own", redial?: { interval: number; maxInterval: number }) {
    this.scheme = scheme
    if (redial !== undefined) this.redial = redial
  }
  check(address: string): string {
    if (address === "bad") throw new EarshotError("EINVAL", "bad")
    return address.toLowerCase()
  }
  async dial(address: string): Promise<Link> {
    this.dials++
    if (this.refuses) throw new EarshotError("ECONNREFUSED")
    const link = new FakeLink(`${this.scheme}://${address}`)
    this.links.push(link)
    return link
  }
  async listen(...args: Listen) {
    const address = args[0].replace("*", String(this.listeners.size + 1))
    this.listeners.set(address, args)
    return { address, close: async () => void this.listeners.delete(address) }
  }
  onNudge(listener: () => void): () => void {
    this.nudges.add(listener)
    return () => this.nudges.delete(listener)
  }
  nudge(): void {
    for (const listener of [...this.nudges]) listener()
  }
}

const at = (transport: Transport, address = "here"): Place => ({ transport, address })

t.test("bind and unbind a place", async (t) => {
  const clock = strictClock(t)
  const own = new Own()
  const pull = tidy(t, new Pull({ clock }))
  const binds = events(pull, "bind")
  await pull.bind(at(own, "any-*"))
  t.equal(pull.lastEndpoint, "own://any-1")
  t.strictSame(binds, [{ address: "own://any-1" }])
  const [, , onLink] = own.listeners.get("any-1")!
  const link = new FakeLink("own://peer")
  onLink(link)
  link.shake("PUSH")
  await clock.settle()
  t.equal(pull.peers[0]!.address, "own://peer")
  t.equal(
    thrown(() => pull.unbind(at(new Own(), "any-*"))),
    "ENOENT",
    "the same words at another transport are another place",
  )
  t.equal(
    thrown(() => pull.unbind(at(own, "other"))),
    "ENOENT",
  )
  await clock.until(pull.unbind(at(own, "any-*")))
  t.strictSame([own.listeners.size, pull.peers.length], [0, 0])
  t.equal(
    thrown(() => pull.unbind(at(own, "any-*"))),
    "ENOENT",
  )
})

t.test("a place by the name that lastEndpoint told", async (t) => {
  const clock = strictClock(t)
  // Of a scheme that is registered: a string says no more.
  const own = new Own("inproc")
  const [pull, push] = [new Pull({ clock }), new Push({ clock })]
  tidy(t, pull, push)
  await pull.bind(at(own, "named-*"))
  t.equal(pull.lastEndpoint, "inproc://named-1")
  await clock.until(pull.unbind(pull.lastEndpoint!))
  t.equal(own.listeners.size, 0)
  push.connect(at(own, "there")).catch(() => {})
  await clock.settle()
  push.reconnect(push.lastEndpoint!)
  await clock.until(push.disconnect(push.lastEndpoint!))
  t.equal(own.links[0]!.ended, "destroyed")
})

t.test("connect and disconnect a place; one connection for each place where a type has one", async (t) => {
  const clock = strictClock(t)
  const [own, other] = [new Own(), new Own()]
  const subscriber = tidy(t, new Subscriber({ clock }))
  const [first, same, another] = [at(own, "Here"), at(own, "here"), at(other, "here")].map((place) =>
    watch(subscriber.connect(place)),
  )
  await clock.settle()
  t.strictSame([own.dials, other.dials], [1, 1])
  own.links[0]!.shake("PUB")
  await clock.settle()
  t.strictSame([first!.state, same!.state, another!.state], ["done", "done", "pending"])
  t.equal(subscriber.peers[0]!.address, "own://here")
  await clock.until(subscriber.disconnect(at(other, "HERE")))
  t.strictSame([another!.state, other.links[0]!.ended, own.links[0]!.ended], ["ECANCELED", "destroyed", undefined])
  t.equal(
    thrown(() => subscriber.disconnect(at(other))),
    "ENOENT",
  )
  t.equal(
    thrown(() => subscriber.reconnect(at(other))),
    "ENOENT",
  )
  await clock.until(subscriber.disconnect(at(own)))
})

t.test("what is no place is refused", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  for (const bad of [
    null,
    {},
    { transport: null, address: "x" },
    { transport: {}, address: "x" },
    { transport: new Own() },
    { transport: new Own(), address: 1 },
    [],
    5,
  ])
    for (const method of ["bind", "unbind", "connect", "disconnect", "reconnect"] as const) {
      if (method === "reconnect" && bad === undefined) continue
      t.equal(
        thrown(() => pull[method](bad as never)),
        "EINVAL",
        `${method} ${JSON.stringify(bad)}`,
      )
    }
  t.equal(
    thrown(() => pull.bind(at(new Own(), "bad"))),
    "EINVAL",
  )
  t.equal(
    thrown(() => pull.connect(at(new Own(), "bad"))),
    "EINVAL",
  )
  const deaf: Transport = { scheme: "deaf", check: (address) => address, dial: () => Promise.reject(new Error("no")) }
  t.equal(await outcome(pull.bind(at(deaf))), "ENOTSUP")
})

/** ms between the dials of a place that refuses, by what `connect:retry` says. */
async function intervals(t: Test, transport: Own, options: object, seed = 1): Promise<number[]> {
  const clock = strictClock(t, { seed })
  transport.refuses = true
  const push = tidy(t, new Push({ ...options, clock }))
  const retries = events(push, "connect:retry")
  push.connect(at(transport)).catch(() => {})
  await clock.advance(300_000)
  return retries.map(({ interval }) => interval)
}

t.test("a transport's own times to dial again: anything up to an interval that doubles", async (t) => {
  const all: number[][] = []
  for (let seed = 1; seed <= 20; seed++)
    all.push(await intervals(t, new Own("own", { interval: 250, maxInterval: 5000 }), {}, seed))
  for (const [n, most] of [250, 500, 1000, 2000, 4000, 5000, 5000].entries()) {
    const waits = all.map((each) => each[n]!)
    t.ok(
      waits.every((wait) => wait <= most),
      `attempt ${n}: at most ${most}`,
    )
    t.ok(Math.max(...waits) > most * 0.7 && Math.min(...waits) < most * 0.3, `attempt ${n}: all of that`)
  }
})

t.test("the user's word goes before the transport's", async (t) => {
  for (const [options, least, most] of [
    [{ reconnectInterval: 10 }, 10, 20],
    [{ reconnectMaxInterval: 200 }, 100, 200],
  ] as const) {
    const waits = await intervals(t, new Own("own", { interval: 250, maxInterval: 5000 }), options)
    t.ok(waits.length > 100 && waits.every((wait) => wait >= least && wait <= most), JSON.stringify(options))
  }
})

t.test("a nudge makes those dial who wait for it, and only those", async (t) => {
  const clock = strictClock(t)
  const own = new Own()
  own.refuses = true
  const push = tidy(t, new Push({ clock, reconnectInterval: 1_000_000 }))
  const connected = watch(push.connect(at(own)))
  await clock.settle()
  t.equal(own.dials, 1)
  own.refuses = false
  own.nudge()
  own.nudge()
  await clock.settle()
  t.equal(own.dials, 2)
  own.nudge()
  own.links[0]!.shake("PULL")
  await clock.settle()
  t.equal(connected.state, "done")
  own.nudge()
  await clock.settle()
  t.equal(own.dials, 2)
  own.links[0]!.cut()
  own.nudge()
  await clock.settle()
  t.equal(own.dials, 3, "from inside the very end of a link, too")
  await clock.until(push.disconnect(at(own)))
  t.equal(own.nudges.size, 0, "who is gone listens no more")
  t.equal(clock.timers, 0)
})

t.test("whom a listener turned away is counted by cause, and told", async (t) => {
  const clock = strictClock(t)
  const own = new Own()
  const pull = tidy(t, new Pull({ clock }))
  const errors = events(pull, "accept:error")
  await pull.bind(at(own))
  const [, , , , onRefused] = own.listeners.get("here")!
  onRefused!("origin", new Error("http://evil.example is not listed in origins"))
  onRefused!("origin", new EarshotError("LIMIT", "again"))
  onRefused!("path", new Error("/other"))
  const stats = pull.stats()
  t.strictSame(stats.refusedConnections, { origin: 2, path: 1 })
  stats.refusedConnections["path"] = 100
  t.equal(pull.stats().refusedConnections["path"], 1, "what is told is a copy")
  t.match(
    errors.map(({ address, error }) => [address, error.code, error.message]),
    [
      ["own://here", "FORBIDDEN", /evil/],
      ["own://here", "LIMIT", "again"],
      ["own://here", "FORBIDDEN", "/other"],
    ],
  )
})

t.test("places beside strings", async (t) => {
  const clock = strictClock(t)
  const pull = tidy(t, new Pull({ clock }))
  const push = tidy(t, new Push({ clock }))
  const name = freshName()
  await pull.bind(name)
  await pull.bind(at(new Own(), name.slice("inproc://".length)))
  await clock.until(push.connect(name))
  await clock.until(pull.unbind(name))
  await clock.settle()
  t.equal(pull.peers.length, 0)
})
