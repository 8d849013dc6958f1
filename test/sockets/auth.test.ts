// Options `auth`, `insecureAuth` and `authenticate`: who is asked what and when, what a stranger hears of us, and what
// becomes of a token that is refused.
import { inspect } from "node:util"
import t, { type Test } from "tap"
import { Pull, Push, Reply, Request, Router, type AuthAttempt, type AuthRequest } from "../../lib/index.ts"
import type { SocketOptions } from "../../lib/index.ts"
import { command, greeting, metadata, wire } from "../support/bytes.ts"
import { fake, FakeLink, type FakeOptions } from "../support/fake.ts"
import { event, events, freshName, outcome, strictClock, text, tidy, until, watch, within } from "../support/sockets.ts"

let names = 0
const TOKEN = "X-Earshot-Auth"
const GREETING = 64
const REFUSAL = "\x03400"

/** A promise and what settles it. */
function promised<T>() {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]))
  return { promise, resolve, reject }
}

/** A bound PULL with a judge whose words the test speaks, and the first peer's link. */
async function judged(t: Test, options: Partial<SocketOptions> = {}) {
  const clock = strictClock(t)
  const asked: AuthRequest[] = []
  const words: ReturnType<typeof promised<unknown>>[] = []
  const pull = tidy(
    t,
    new Pull({
      clock,
      authenticate(peer) {
        asked.push(peer)
        const word = promised<unknown>()
        words.push(word)
        return word.promise as Promise<boolean>
      },
      ...options,
    }),
  )
  const name = `judged-${++names}`
  await pull.bind(`fake://${name}`)
  const errors = events(pull, "handshake:error:auth")
  const others = events(pull, "handshake:error:other")
  const broken = events(pull, "handshake:error:protocol")
  const connect = (fakeOptions?: FakeOptions): FakeLink => fake.connect(name, fakeOptions)
  return { clock, pull, asked, words, errors, others, broken, connect }
}

t.test("until the judge has said yes a peer hears nothing but the greeting", async (t) => {
  const { clock, pull, asked, words, connect } = await judged(t)
  const joins = events(pull, "peer:join")
  const link = connect({ identity: { claims: { url: "/chat" } } }).shake("PUSH", {
    "x-earshot-auth": "sésame",
    "X-Name": "bob",
  })
  link.say("one")
  link.say("two", "parts")
  await clock.advance(9000)
  t.equal(link.written, GREETING)
  t.strictSame(link.commands, [])
  t.strictSame(pull.peers, [])
  t.match(asked, [{ token: "sésame", type: "PUSH", remote: link.remote, request: { url: "/chat" } }])
  t.strictSame([...asked[0]!.metadata.keys()], ["Socket-Type", "X-Name"], "the token is told once")
  words[0]!.resolve({ userId: "bob" })
  await clock.settle()
  t.equal(link.named("READY").length, 1)
  t.equal(text(pull.tryReceive()), "one")
  t.equal(text(pull.tryReceive()), "two|parts")
  t.match(joins, [{ peer: { userId: "bob" } }])
  t.strictSame(
    [...pull.peers[0]!.metadata.keys()],
    ["Socket-Type", "X-Name"],
    "nor do those who list peers see the token",
  )
  t.equal(pull.peers[0]!.userId, "bob")
  await clock.advance(60_000)
  t.equal(link.ended, undefined, "the time for the handshake is over and done with")
})

t.test("a plain true leaves who it is to the transport", async (t) => {
  const { clock, pull, words, asked, connect } = await judged(t)
  connect({ identity: { userId: "by-certificate" } }).shake("PUSH")
  await clock.settle()
  t.equal(asked[0]!.token, undefined)
  words[0]!.resolve(true)
  await clock.settle()
  t.equal(pull.peers[0]!.userId, "by-certificate")
})

t.test("whom the judge refuses gets ERROR 400 and an orderly end", async (t) => {
  const { clock, pull, words, errors, connect } = await judged(t)
  const joins = events(pull, "peer:join")
  const link = connect().shake("PUSH", { [TOKEN]: "secret" })
  link.say("never read")
  await clock.settle()
  words[0]!.resolve(false)
  await clock.settle()
  t.strictSame(
    link.commands.map(({ name, body }) => [name, String(body)]),
    [["ERROR", REFUSAL]],
  )
  t.equal(link.ended, "closed")
  t.match(errors, [{ error: { code: "REFUSED" } }])
  t.notMatch(errors[0]!.error.message, "secret")
  t.strictSame([joins, pull.peers, pull.stats().received.count], [[], [], 0])
})

t.test("a judge that fails ends the connection, plainly", async (t) => {
  const ways: Record<string, SocketOptions["authenticate"]> = {
    throws: () => {
      throw new Error("no database")
    },
    rejects: () => Promise.reject(new Error("no database")),
    "says nothing": (() => {}) as never,
    "says null": (() => null) as never,
    "says yes in words": (() => "yes") as never,
    "says 1": (() => 1) as never,
    "names nobody": (() => ({ userId: 7 })) as never,
  }
  for (const [way, authenticate] of Object.entries(ways)) {
    const { clock, pull, errors, connect } = await judged(t, { authenticate: authenticate! })
    const link = connect().shake("PUSH", { [TOKEN]: "secret" })
    link.say("never read")
    await clock.settle()
    t.equal(link.ended, "destroyed", way)
    t.equal(link.written, GREETING, "no ERROR: the peer may try again")
    t.match(errors, [{ error: { code: "AUTH_FAILED" } }])
    t.notMatch(errors[0]!.error.message, "secret")
    t.strictSame(pull.peers, [])
    t.strictSame(clock.thrown, [])
  }
})

t.test("a judge has as long as a handshake; a word that comes later is not heard", async (t) => {
  for (const word of [true, false, new Error("late")]) {
    const { clock, pull, words, others, errors, connect } = await judged(t, { handshakeInterval: 500 })
    const link = connect().shake("PUSH")
    await clock.advance(499)
    t.equal(link.ended, undefined)
    await clock.advance(1)
    t.equal(link.ended, "destroyed")
    t.match(others, [{ error: { code: "ETIMEDOUT" } }])
    if (word instanceof Error) words[0]!.reject(word)
    else words[0]!.resolve(word)
    await clock.settle()
    t.equal(link.written, GREETING)
    t.strictSame([errors, pull.peers], [[], []])
  }
})

t.test("a peer that goes while it is judged", async (t) => {
  const { clock, pull, words, errors, connect } = await judged(t)
  const [went, stays] = [connect().shake("PUSH"), connect().shake("PUSH")]
  await clock.settle()
  went.cut()
  words[0]!.resolve(true)
  words[1]!.resolve(true)
  await clock.settle()
  t.equal(went.written, GREETING)
  t.equal(pull.peers.length, 1)
  t.equal(stays.ended, undefined)
  t.strictSame(errors, [])
})

t.test("a socket that closes does not wait for its judge", async (t) => {
  const { clock, pull, words, connect } = await judged(t)
  const link = connect().shake("PUSH")
  await clock.settle()
  await clock.until(pull.close(), 1)
  t.equal(link.ended, "destroyed")
  words[0]!.resolve(true)
  await clock.settle()
  t.equal(link.written, GREETING)
  t.equal(clock.timers, 0)
})

t.test("one word for one peer, however often it introduces itself", async (t) => {
  const { clock, pull, asked, words, connect } = await judged(t)
  const link = connect().shake("PUSH", { [TOKEN]: "good" })
  link.feed(
    command("READY", metadata({ "Socket-Type": "PUSH", [TOKEN]: "other" })),
    command("SUBSCRIBE", "x"),
    wire("hello"),
  )
  await clock.settle()
  t.equal(asked.length, 1)
  words[0]!.resolve({ userId: "one" })
  await clock.settle()
  t.equal(asked.length, 1)
  t.equal(link.named("READY").length, 1)
  t.equal(pull.peers[0]!.userId, "one")
  t.equal(text(pull.tryReceive()), "hello")
})

t.test("what a stranger sends meanwhile waits, within bounds", async (t) => {
  const { clock, pull, words, broken, connect } = await judged(t)
  const link = connect().shake("PUSH")
  link.feed(wire(Buffer.alloc(60_000)))
  t.ok(link.paused, "one chunk is held, then the link is no longer read")
  words[0]!.resolve(true)
  await clock.settle()
  t.notOk(link.paused)
  t.equal(pull.tryReceive()![0]!.length, 60_000)

  const flood = connect().shake("PUSH")
  flood.feed(wire(Buffer.alloc(70_000)))
  t.equal(flood.ended, "destroyed", "a link that can't pause its reading gains nothing by it")
  t.match(broken, [{ error: { code: "EPROTO" } }])
})

t.test("a peer that does not fit is told so once it may know", async (t) => {
  const { clock, words, errors, broken, connect } = await judged(t)
  const [stranger, friend] = [connect().shake("SUB"), connect().shake("SUB")]
  await clock.settle()
  t.equal(stranger.written, GREETING)
  words[0]!.resolve(false)
  words[1]!.resolve(true)
  await clock.settle()
  t.strictSame(
    stranger.commands.map(({ body }) => String(body)),
    [REFUSAL],
  )
  t.match(
    friend.commands.map(({ name, body }) => `${name} ${String(body)}`),
    [/^ERROR .a SUB does not fit/s],
  )
  t.equal(errors.length, 1)
  t.match(broken, [{ error: { code: "INCOMPATIBLE" } }])
})

t.test("a token is at most 4 KiB, and no error repeats it", async (t) => {
  const { clock, asked, broken, connect } = await judged(t)
  const most = connect().shake("PUSH", { [TOKEN]: "x".repeat(4096) })
  const more = connect().shake("PUSH", { [TOKEN]: "x".repeat(4097) })
  await clock.settle()
  t.equal(asked.length, 1)
  t.equal(asked[0]!.token!.length, 4096)
  t.equal(most.ended, undefined)
  t.equal(more.ended, "destroyed")
  t.match(broken, [{ error: { code: "EPROTO" } }])
  t.notMatch(broken[0]!.error.message, "xx")
})

t.test("whoever logs a socket, its peers or its counters does not log its token", async (t) => {
  const [reply, request] = [
    tidy(t, new Reply({ authenticate: () => ({ userId: "ann" }) })),
    tidy(t, new Request({ auth: () => "top-secret" })),
  ]
  await reply.bind("tcp://127.0.0.1:*")
  await within("the handshake", request.connect(reply.lastEndpoint!))
  const logged = [request, reply, request.peers, reply.peers, request.stats(), reply.stats()]
    .map((each) => inspect(each, { depth: 3, maxArrayLength: null }))
    .join("\n")
  const bytes = Buffer.from("top-secret")
  for (const spelt of ["top-secret", inspect(bytes).slice(8, -1), [...bytes].join(", ")]) t.notMatch(logged, spelt)
})

t.test("who is let in and not to be read is not read", async (t) => {
  const clock = strictClock(t)
  const word = promised<boolean>()
  const router = tidy(t, new Router({ clock, authenticate: () => word.promise }))
  await router.bind("fake://rivals")
  const [first, rival] = [1, 2].map(() => fake.connect("rivals").shake("DEALER", { Identity: "same" }))
  first!.say("of the first")
  rival!.say("of the rival")
  await clock.settle()
  word.resolve(true)
  await clock.settle()
  t.equal(text(router.tryReceive()), "same|of the first")
  t.equal(router.tryReceive(), undefined)
  first!.cut()
  await clock.settle()
  t.equal(text(router.tryReceive()), "same|of the rival")
})

t.test("without a token to show, authenticate still decides; with auth and no judge, nobody looks", async (t) => {
  const clock = strictClock(t)
  const [pull, strict] = [new Pull({ clock }), new Pull({ clock, authenticate: ({ token }) => token === "yes" })]
  const [shows, none] = [new Push({ clock, auth: () => "yes" }), new Push({ clock })]
  tidy(t, pull, strict, shows, none)
  const [open, closed] = [freshName(), freshName()]
  await pull.bind(open)
  await strict.bind(closed)
  await clock.until(shows.connect(open), 1)
  await clock.until(shows.connect(closed), 1)
  const refused = event(none, "handshake:error:auth")
  const waits = watch(none.connect(closed))
  t.equal((await clock.until(refused, 1)).error.code, "REFUSED")
  t.equal(waits.state, "pending", "who has no token tries on, slowly")
  t.equal(strict.peers.length, 1)
})

// --- The side that shows a token ---

interface Dials {
  /** What becomes of the next attempts; afterwards the peer is silent. */
  plan: ("refuse" | "yes" | "400" | "other")[]
  readonly links: FakeLink[]
}

/** A PUSH towards a peer that does as planned. */
function asking(t: Test, options: Partial<SocketOptions> = {}, link: FakeOptions = {}) {
  const clock = strictClock(t)
  const attempts: AuthAttempt[] = []
  const dials: Dials = { plan: [], links: [] }
  fake.onDial = (name) => {
    const step = dials.plan.shift()
    if (step === "refuse") throw Object.assign(new Error("nobody"), { code: "ECONNREFUSED" })
    const made = new FakeLink(`fake://${name}`, link)
    dials.links.push(made)
    setImmediate(() => {
      if (step === "yes") made.shake("PULL")
      if (step !== "400" && step !== "other") return
      made.feed(greeting())
      made.onReady = () => made.feed(command("ERROR", step === "400" ? REFUSAL : "\x05sorry"))
    })
    return made
  }
  const push = tidy(
    t,
    new Push({
      clock,
      auth(attempt) {
        attempts.push(attempt)
        return `token-${attempts.length}`
      },
      ...options,
    }),
  )
  const delays = events(push, "connect:delay")
  const unauthorized = events(push, "unauthorized")
  const reasons = (): string[] => attempts.map(({ reason }) => reason)
  return { clock, push, attempts, dials, delays, unauthorized, reasons }
}

const tokenOf = (link: FakeLink): string | undefined =>
  /X-Earshot-Auth.{4}(.*)$/s.exec(String(link.named("READY")[0] ?? ""))?.[1]

t.test("auth is asked before every attempt, with the reason", async (t) => {
  const { clock, push, attempts, dials, reasons } = asking(t, { reconnectInterval: 10 })
  dials.plan = ["refuse", "yes", "refuse", "yes"]
  await clock.until(push.connect("fake://server"))
  t.strictSame(attempts, [
    { reason: "connect", address: "fake://server" },
    { reason: "connect", address: "fake://server" },
  ])
  t.equal(tokenOf(dials.links[0]!), "token-2")
  dials.links[0]!.cut()
  await clock.advance(100)
  t.strictSame(reasons(), ["connect", "connect", "reconnect", "reconnect"])
  t.equal(tokenOf(dials.links[1]!), "token-4")
  t.equal(push.peers.length, 1)
  push.auth = undefined
  dials.plan = ["yes"]
  dials.links[1]!.cut()
  await clock.advance(100)
  t.equal(attempts.length, 4)
  t.equal(tokenOf(dials.links[2]!), undefined, "an option taken away is not remembered")
})

t.test("no token where others can read it", async (t) => {
  const far = { host: "10.0.0.9" }
  const cases: [string, FakeOptions, Partial<SocketOptions>, boolean][] = [
    ["in the open", far, {}, false],
    ["over TLS", { ...far, secure: true }, {}, true],
    ["on this machine", {}, {}, true],
    ["as the user allows", far, { insecureAuth: true }, true],
    ["none to show", far, { auth: undefined }, true],
  ]
  for (const [name, link, options, goes] of cases) {
    const { clock, push, dials, delays } = asking(t, options, link)
    dials.plan = ["yes"]
    const connected = watch(push.connect("fake://far"))
    await clock.advance(1000)
    t.equal(connected.state, goes ? "done" : "pending", name)
    if (goes) continue
    t.equal(dials.links[0]!.ended, "destroyed")
    t.equal(dials.links[0]!.written, 0)
    t.match(delays, [{ error: { code: "INSECURE_AUTH", message: /insecureAuth/ } }])
    t.notMatch(delays[0]!.error.message, "token-1")
    t.equal(dials.links.length, 1, "trying again soon would meet the same")
    push.insecureAuth = true
    dials.plan = ["yes"]
    push.reconnect()
    await clock.settle()
    t.equal(connected.state, "done")
  }
})

t.test("a refused token is asked for once more, then never until reconnect()", async (t) => {
  const { clock, push, dials, unauthorized, reasons } = asking(t)
  dials.plan = ["400", "400"]
  const connected = watch(push.connect("fake://server"))
  await clock.settle()
  t.strictSame(reasons(), ["connect", "refused"], "at once")
  t.strictSame(dials.links.map(tokenOf), ["token-1", "token-2"])
  t.equal(connected.state, "UNAUTHORIZED")
  t.match(unauthorized, [{ address: "fake://server", error: { code: "UNAUTHORIZED", cause: { code: "REFUSED" } } }])
  t.notMatch(JSON.stringify([unauthorized[0]!.error.message, String(unauthorized[0]!.error.cause)]), "token-")
  await clock.advance(24 * 3_600_000)
  t.equal(dials.links.length, 2)
  t.equal(clock.timers, 0)

  dials.plan = ["400", "yes"]
  push.reconnect("fake://server")
  push.reconnect()
  await clock.settle()
  t.strictSame(reasons().slice(2), ["reconnect", "refused"])
  t.equal(push.peers.length, 1)
  t.equal(unauthorized.length, 1)

  dials.plan = ["400", "yes"]
  dials.links.at(-1)!.cut()
  await clock.advance(1000)
  t.strictSame(reasons().slice(4), ["reconnect", "refused"], "an expired token is renewed")
  t.equal(push.peers.length, 1)
})

t.test("another refusal, and one in the midst of traffic, are losses like any other", async (t) => {
  const { clock, push, dials, unauthorized, reasons } = asking(t, { reconnectInterval: 10 })
  dials.plan = ["other", "other", "yes", "yes"]
  const connected = watch(push.connect("fake://server"))
  await clock.advance(60_000)
  t.equal(connected.state, "done")
  t.strictSame(reasons(), ["connect", "connect", "connect"])
  dials.links[2]!.feed(command("ERROR", REFUSAL))
  await clock.advance(60_000)
  t.equal(reasons()[3], "reconnect")
  t.equal(push.peers.length, 1)
  t.strictSame(unauthorized, [])

  const without = asking(t, { auth: undefined })
  without.dials.plan = ["400", "400", "400", "yes"]
  const patient = watch(without.push.connect("fake://server"))
  await without.clock.advance(600_000)
  t.equal(patient.state, "done", "without a token to renew it is tried on, slowly")
  t.strictSame(without.unauthorized, [])
})

t.test("an auth that fails makes the attempt fail, and is asked again", async (t) => {
  const ways: Record<string, SocketOptions["auth"]> = {
    throws: () => {
      throw new Error("token-server down")
    },
    rejects: () => Promise.reject(new Error("token-server down")),
    "gives nothing": (() => {}) as never,
    "gives a number": (() => 5) as never,
    "gives too much": () => "x".repeat(4097),
    "gives too much in UTF-8": () => "é".repeat(2049),
  }
  for (const [way, auth] of Object.entries(ways)) {
    let calls = 0
    const { clock, push, dials, delays } = asking(t, { auth: (attempt) => (calls++, auth!(attempt)) })
    const connected = watch(push.connect("fake://server"))
    await clock.advance(1000)
    t.ok(calls >= 5 && calls <= 11, `${way}: ${calls} calls`)
    t.equal(dials.links.length, 0)
    t.equal(delays[0]!.error.code, "AUTH_FAILED")
    t.notMatch(delays[0]!.error.message, "xx")
    push.auth = async () => Buffer.from("good")
    dials.plan = ["yes"]
    await clock.advance(1000)
    t.equal(connected.state, "done")
    t.equal(tokenOf(dials.links[0]!), "good")
  }
})

t.test("an auth that hangs is given up as a dial is; what it gives later is not taken", async (t) => {
  const words: ReturnType<typeof promised<string>>[] = []
  const { clock, push, dials, delays } = asking(t, {
    connectTimeout: 1000,
    reconnectInterval: 1,
    auth() {
      const word = promised<string>()
      words.push(word)
      return word.promise
    },
  })
  const connected = watch(push.connect("fake://server"))
  await clock.advance(1010)
  t.match(delays, [{ error: { code: "ETIMEDOUT" } }])
  t.equal(words.length, 2)
  dials.plan = ["yes"]
  words[1]!.resolve("second")
  words[0]!.resolve("first")
  await clock.settle()
  t.equal(connected.state, "done")
  t.strictSame(dials.links.map(tokenOf), ["second"])
})

for (const end of ["disconnect", "close"] as const)
  t.test(`${end}() while auth is asked`, async (t) => {
    const word = promised<string>()
    const { clock, push, dials } = asking(t, { auth: () => word.promise })
    const connected = watch(push.connect("fake://server"))
    await clock.settle()
    await clock.until(end === "close" ? push.close() : push.disconnect("fake://server"), 1)
    t.equal(connected.state, "ECANCELED")
    word.resolve("too late")
    await clock.settle()
    t.equal(dials.links.length, 0)
    t.equal(clock.timers, 0)
  })

t.test("an auth that closes the socket", async (t) => {
  let closed: Promise<void> | undefined
  const { clock, push, dials } = asking(t, { auth: () => ((closed = push.close()), "x") })
  const connected = watch(push.connect("fake://server"))
  await clock.settle()
  await clock.until(closed!, 1)
  t.equal(connected.state, "ECANCELED")
  t.ok(dials.links.every(({ ended, written }) => ended === "destroyed" && written === 0))
  t.equal(clock.timers, 0)
})

t.test("what waits for an endpoint that is unauthorized does not keep close() waiting", async (t) => {
  const before = asking(t, { linger: -1 })
  before.dials.plan = ["400", "400"]
  before.push.connect("fake://server").catch(() => {})
  await before.push.send("unsent")
  await before.clock.settle()
  t.equal(before.unauthorized.length, 1)
  await before.clock.until(before.push.close(), 1)
  t.strictSame(before.push.stats().dropped, { linger: { count: 1, bytes: 6 } })

  const during = asking(t, { linger: -1 })
  during.dials.plan = ["refuse", "400", "400"]
  during.push.connect("fake://server").catch(() => {})
  await during.push.send("unsent")
  await during.clock.settle()
  await during.clock.until(during.push.close(), 1000)
  t.strictSame(during.push.stats().dropped, { linger: { count: 1, bytes: 6 } })

  const once = asking(t, { linger: -1, reconnectInterval: -1, auth: undefined })
  once.push.connect("fake://server").catch(() => {})
  await once.push.send("unsent")
  await once.clock.settle()
  const closed = once.push.close()
  once.dials.links[0]!.cut()
  await once.clock.until(closed, 1)
  t.strictSame(once.push.stats().dropped, { linger: { count: 1, bytes: 6 } }, "nor where nobody dials again")
})

t.test("reconnect(): now, where it waits; nothing, where it needs none", async (t) => {
  const { clock, push, dials } = asking(t, { reconnectInterval: 100_000 })
  dials.plan = ["refuse"]
  const connected = watch(push.connect("fake://server"))
  await clock.settle()
  push.reconnect()
  push.reconnect()
  await clock.settle()
  t.equal(dials.links.length, 1)
  push.reconnect()
  await clock.settle()
  t.equal(dials.links.length, 1, "the handshake is under way")
  dials.links[0]!.shake("PULL")
  await clock.settle()
  t.equal(connected.state, "done")
  push.reconnect("fake://server")
  await clock.settle()
  t.equal(dials.links.length, 1, "it is connected")
  t.throws(() => push.reconnect("fake://nowhere"), { code: "ENOENT" })
  await clock.until(push.close())
  t.throws(() => push.reconnect(), { code: "EBADF" })
})

for (const endpoint of ["tcp://127.0.0.1:*", freshName()])
  t.test(`tokens and judges over ${endpoint}`, async (t) => {
    const reply = tidy(
      t,
      new Reply({ authenticate: async ({ token }) => (token === "open sesame" ? { userId: "ali" } : false) }),
    )
    await reply.bind(endpoint)
    reply.onmessage = (message, peer) => void reply.send(`${String(message[0])}, ${peer.userId}`)
    let token = "wrong"
    const request = tidy(t, new Request({ auth: () => token }))
    const refused = event(request, "unauthorized")
    t.equal(await outcome(within("the end", request.connect(reply.lastEndpoint!))), "UNAUTHORIZED")
    await refused
    token = "open sesame"
    request.reconnect()
    t.equal(text(await within("a reply", request.request("hello"))), "hello, ali")
    await until("the peer", () => reply.peers.length === 1)
  })
