// Closing at every stage: nothing hangs, nothing holds the process, and every message is accounted for.
import t from "tap"
import { Dealer, Pair, Publisher, Pull, Push, Reply, Request, Router, Subscriber, XPublisher } from "../../lib/index.ts"
import type { SocketEvents } from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { command, greeting, wire } from "../support/bytes.ts"
import { fake, FakeLink } from "../support/fake.ts"
import { events, fill, freshName, outcome, range, strictClock, text, tidy, thrown, watch } from "../support/sockets.ts"
import { virtualClock, type VirtualClock } from "../support/virtual-clock.ts"

type Make = new (options: { clock: VirtualClock; linger?: number; immediate?: boolean }) => Socket & {
  trySend?: (message: string[]) => boolean
  send?: (message: string[]) => Promise<void>
  receive?: () => Promise<unknown>
}
const sockets: readonly { name: string; make: Make; peer: string }[] = [
  { name: "PUSH", make: Push, peer: "PULL" },
  { name: "PULL", make: Pull, peer: "PUSH" },
  { name: "PAIR", make: Pair, peer: "PAIR" },
  { name: "DEALER", make: Dealer, peer: "ROUTER" },
  { name: "ROUTER", make: Router, peer: "DEALER" },
  { name: "REQ", make: Request, peer: "REP" },
  { name: "REP", make: Reply, peer: "REQ" },
  { name: "PUB", make: Publisher, peer: "SUB" },
  { name: "SUB", make: Subscriber, peer: "PUB" },
  { name: "XPUB", make: XPublisher, peer: "SUB" },
]

let names = 0
const dialled = new Map<string, (signal: AbortSignal) => Promise<FakeLink> | FakeLink>()
fake.onDial = (name, signal) => dialled.get(name)!(signal)

const never = (signal: AbortSignal): Promise<FakeLink> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))

/** Everything the sockets of one case were linked to. */
interface Case {
  readonly clock: VirtualClock
  readonly socket: InstanceType<Make>
  readonly links: FakeLink[]
  readonly peer: string
}

/** How far an endpoint has come when the socket is closed. */
const stages: Record<string, (at: Case) => Promise<void>> = {
  "nothing done yet": async () => {},
  "bind under way": async ({ socket }) => void socket.bind(`fake://closing-${++names}`).catch(() => {}),
  bound: async ({ socket }) => socket.bind(`fake://closing-${++names}`),
  "accepted, nothing said": async (at) => void (await accept(at)),
  "accepted, half a greeting": async (at) => void (await accept(at)).feed(greeting().subarray(0, 11)),
  "accepted, greeted": async (at) => void (await accept(at)).feed(greeting()),
  "accepted, in traffic": async (at) => {
    ;(await accept(at)).shake(at.peer)
    await exchange(at)
  },
  "accepted, in traffic, the peer takes nothing": async (at) => {
    const link = (await accept(at)).shake(at.peer)
    await at.clock.settle()
    link.limit(0)
    await exchange(at)
  },
  "accepted, the peer is gone": async (at) => {
    ;(await accept(at)).shake(at.peer)
    await exchange(at)
    at.links[0]!.cut()
  },
  "dial under way": async (at) => dial(at, never),
  "dialled, nothing said": async (at) => dial(at, () => add(at)),
  "dialled, greeted": async (at) => {
    await dial(at, () => add(at))
    at.links[0]!.feed(greeting())
  },
  "dialled, in traffic": async (at) => {
    await dial(at, () => add(at))
    at.links[0]!.shake(at.peer)
    await exchange(at)
  },
  "dialled, in traffic, the peer takes nothing": async (at) => {
    await dial(at, () => add(at))
    at.links[0]!.shake(at.peer)
    await at.clock.settle()
    at.links[0]!.limit(0)
    await exchange(at)
  },
  "dialled, waiting to dial again": async (at) => {
    await dial(at, () => add(at))
    at.links[0]!.shake(at.peer)
    await exchange(at)
    at.links[0]!.cut()
  },
  "refused, waiting to dial again": async (at) => dial(at, () => Promise.reject(new Error("refused"))),
  "another type, waiting to dial again": async (at) => {
    await dial(at, () => add(at))
    at.links[0]!.shake(at.peer === "SUB" ? "PUSH" : "SUB")
  },
}

function add({ links }: Case): FakeLink {
  const link = new FakeLink(`fake://link-${links.length}`)
  links.push(link)
  return link
}

async function accept({ socket, links, clock }: Case): Promise<FakeLink> {
  const name = `closing-${++names}`
  await socket.bind(`fake://${name}`)
  const link = fake.connect(name)
  links.push(link)
  await clock.settle()
  return link
}

async function dial(
  { socket, clock }: Case,
  how: (signal: AbortSignal) => Promise<FakeLink> | FakeLink,
): Promise<void> {
  const name = `closing-${++names}`
  dialled.set(name, how)
  void socket.connect(`fake://${name}`)
  await clock.settle()
}

/** Sends what the type can send, until it takes no more, and lets it have something to receive. */
async function exchange({ socket, links, clock, peer }: Case): Promise<void> {
  await clock.settle()
  const [link] = links as [FakeLink]
  if (peer === "SUB") link.feed(command("SUBSCRIBE"))
  if (peer === "REQ" || peer === "REP") link.say("", "word")
  else if (peer !== "PULL" && peer !== "SUB") for (let n = 0; n < 2000; n++) link.say(`${n}`)
  await clock.settle()
  for (let n = 0; n < 1500; n++) {
    try {
      if (socket.trySend?.(["id", String(n)]) !== true) break
    } catch {
      break
    }
    if (n === 200) await clock.settle()
  }
}

const ways: Record<string, (socket: Socket) => Promise<void>> = {
  once: (socket) => socket.close(),
  "twice at once": async (socket) => void (await Promise.all([socket.close(), socket.close()])),
  "after unbinding and disconnecting": async (socket) => {
    const endpoint = socket.lastEndpoint
    if (endpoint !== null)
      for (const end of ["unbind", "disconnect"] as const) void swallow(() => socket[end](endpoint))
    await socket.close()
  },
  "and again while it lingers": async (socket) => {
    void socket.close()
    await Promise.resolve()
    await socket.close()
  },
}

async function swallow(call: () => Promise<void>): Promise<void> {
  try {
    await call()
  } catch {
    // Not bound, or not connected, there.
  }
}

t.test("at every stage, in every way", async (t) => {
  for (const { name, make, peer } of sockets)
    await t.test(name, async (t) => {
      for (const [stage, reach] of Object.entries(stages))
        for (const [way, close] of Object.entries(ways))
          for (const linger of [0, 500])
            for (const immediate of stage.includes("dial") ? [false, true] : [false]) {
              const what = `${stage}, ${way}, linger ${linger}, immediate ${immediate}`
              const clock = virtualClock()
              const socket = new make({ clock, linger, immediate })
              const at: Case = { clock, socket, links: [], peer }
              const order: string[] = []
              for (const event of ["end", "drop", "disconnect", "peer:leave", "close"] as const)
                socket.events.on(event, () => order.push(event))
              await reach(at)
              const pending = [socket.send?.(["id", "waits"]), socket.receive?.()].map((promise) =>
                promise === undefined ? { state: "EBADF" } : watch(promise),
              )
              const start = clock.now()
              await clock.until(close(socket), 60_000)
              await clock.settle()
              const took = clock.now() - start
              const problems = [
                took > linger && `took ${took} ms`,
                clock.holds !== 0 && `held ${clock.holds} times`,
                at.links.some((link) => link.ended === undefined && !link.gone) && "a link is left",
                socket.peers.length > 0 && "a peer is left",
                pending.some(({ state }) => state === "pending") && "an operation is left waiting",
                order.at(-1) !== "end" && `the last event is ${order.at(-1)}`,
                order.filter((event) => event === "end").length !== 1 && "not one end",
              ].filter((problem) => problem !== false)
              if (problems.length > 0) t.fail(`${what}: ${problems.join("; ")}`)
              // Timers of the drop events' pace may be left; they hold nothing.
              await clock.advance(100_000)
              if (clock.timers !== 0) t.fail(`${what}: ${clock.timers} timers are left`)
            }
      t.pass(`${Object.keys(stages).length} stages, ${Object.keys(ways).length} ways`)
    })
})

const counts = (socket: Socket): Record<string, number> => {
  const { dropped, unconfirmed } = socket.stats()
  const all: Record<string, number> = { unconfirmed: unconfirmed.count }
  for (const [reason, { count }] of Object.entries(dropped)) all[reason] = count
  return all
}

/** A bound PUSH and a peer that takes nothing: ten messages are written, five wait behind them. */
async function stuck(clock: VirtualClock, linger: number): Promise<{ push: Push; link: FakeLink; name: string }> {
  const push = new Push({ clock, linger })
  const name = `closing-${++names}`
  await push.bind(`fake://${name}`)
  const link = fake.connect(name).shake("PULL")
  await clock.settle()
  link.limit(0)
  for (const n of range(0, 10)) push.trySend(n)
  await clock.settle()
  for (const n of range(10, 15)) push.trySend(n)
  return { push, link, name }
}

const numbers = (link: FakeLink): (string | undefined)[] => link.messages.map((message) => text(message))

t.test("linger, to the message", async (t) => {
  await t.test("nobody is there", async (t) => {
    for (const linger of [0, 700, -1]) {
      const clock = strictClock(t)
      const push = new Push({ clock, linger })
      const name = `closing-${++names}`
      dialled.set(name, never)
      void push.connect(`fake://${name}`)
      for (const n of range(0, 10)) push.trySend(n)
      const told = events(push, "drop")
      const start = clock.now()
      const closed = push.close()
      t.equal(
        thrown(() => push.trySend("more")),
        "EBADF",
      )
      t.equal(await outcome(push.send("more")), "EBADF")
      if (linger >= 0) {
        await clock.until(closed)
        t.equal(clock.now() - start, linger)
        t.strictSame(counts(push), { unconfirmed: 0, linger: 10 })
        t.equal(
          told.reduce((sum, { count }) => sum + count, 0),
          10,
        )
        continue
      }
      await clock.advance(1_000_000)
      t.equal(watch(closed).state, "pending", "for ever")
      t.ok(clock.holds > 0)
      const link = new FakeLink("fake://late")
      dialled.set(name, () => {
        setImmediate(() => link.shake("PULL"))
        return link
      })
      await clock.until(closed, 100_000)
      t.strictSame(numbers(link), range(0, 10))
      t.equal(link.ended, "closed")
      t.strictSame(counts(push), { unconfirmed: 0 })
    }
  })

  await t.test("the peer takes nothing", async (t) => {
    for (const linger of [0, 700, -1]) {
      const clock = strictClock(t)
      const { push, link } = await stuck(clock, linger)
      const start = clock.now()
      const closed = push.close()
      if (linger >= 0) {
        await clock.until(closed)
        t.equal(clock.now() - start, linger)
        t.strictSame(counts(push), { unconfirmed: 10, linger: 5 })
        t.equal(link.ended, "destroyed")
        continue
      }
      await clock.advance(1_000_000)
      t.equal(watch(closed).state, "pending")
      link.open()
      await clock.until(closed)
      t.strictSame(numbers(link), range(0, 15))
      t.strictSame(counts(push), { unconfirmed: 0 })
      t.equal(link.ended, "closed")
    }
  })

  await t.test("the peer takes some of it in time", async (t) => {
    const clock = strictClock(t)
    const { push, link } = await stuck(clock, 700)
    const closed = push.close()
    await clock.advance(600)
    // All ten that were written, and the first of the five.
    link.open(10 * 3 + 4)
    await clock.until(closed)
    t.strictSame(numbers(link), range(0, 11))
    t.strictSame(counts(push), { unconfirmed: 5 }, "the other four were written, too, when the ten had left")
  })

  await t.test("encoded in this turn", async (t) => {
    for (const linger of [0, 700]) {
      const clock = strictClock(t)
      const push = new Push({ clock, linger })
      const name = `closing-${++names}`
      await push.bind(`fake://${name}`)
      const link = fake.connect(name).shake("PULL")
      await clock.settle()
      for (const n of range(0, 3)) push.trySend(n)
      const start = clock.now()
      await clock.until(push.close())
      t.equal(clock.now(), start)
      t.strictSame(numbers(link), linger === 0 ? [] : range(0, 3))
      t.strictSame(counts(push), linger === 0 ? { unconfirmed: 0, linger: 3 } : { unconfirmed: 0 })
    }
  })

  await t.test("the peer is lost meanwhile: bound, its messages are dropped", async (t) => {
    const clock = strictClock(t)
    const { push, link } = await stuck(clock, 700)
    const closed = push.close()
    link.cut()
    await clock.until(closed)
    t.strictSame(counts(push), { unconfirmed: 10, disconnected: 5 })
  })

  await t.test("the peer is lost meanwhile: connecting, it comes back for the rest", async (t) => {
    for (const immediate of [false, true]) {
      const clock = strictClock(t)
      const push = new Push({ clock, linger: 5000, immediate })
      const name = `closing-${++names}`
      const links: FakeLink[] = []
      dialled.set(name, () => {
        const link = new FakeLink("fake://peer")
        links.push(link)
        setImmediate(() => link.shake("PULL"))
        return link
      })
      void push.connect(`fake://${name}`)
      await clock.settle()
      links[0]!.limit(0)
      push.trySend("written")
      await clock.settle()
      for (const n of range(0, 5)) push.trySend(n)
      const closed = push.close()
      links[0]!.cut()
      const start = clock.now()
      await clock.until(closed)
      t.ok(clock.now() - start < 1000)
      t.equal(links.length, 2)
      t.strictSame(numbers(links[1]!), range(0, 5))
      t.strictSame(counts(push), { unconfirmed: 1 })
    }
  })
})

t.test("unbind and disconnect while messages wait: the others go on", async (t) => {
  await t.test("unbind", async (t) => {
    const clock = strictClock(t)
    const { push, link, name } = await stuck(clock, 700)
    tidy(t, push)
    const other = `closing-${++names}`
    await push.bind(`fake://${other}`)
    const stays = fake.connect(other).shake("PULL")
    const start = clock.now()
    const gone = push.unbind(`fake://${name}`)
    t.equal(fake.connect(name).ended, "destroyed", "nobody is accepted any more")
    for (const n of range(100, 105)) t.ok(push.trySend(n))
    await clock.settle()
    t.strictSame(numbers(stays), range(100, 105), "nothing more for those who leave")
    await clock.until(gone)
    t.equal(clock.now() - start, 700)
    t.strictSame(counts(push), { unconfirmed: 10, linger: 5 })
    t.equal(link.ended, "destroyed")
    t.equal(push.peers.length, 1)
    t.equal(
      thrown(() => push.unbind(`fake://${name}`)),
      "ENOENT",
    )
    await push.bind(`fake://${name}`)
  })

  await t.test("disconnect", async (t) => {
    const clock = strictClock(t)
    const push = tidy(t, new Push({ clock, linger: 700 }))
    const [away, there] = [`closing-${++names}`, `closing-${++names}`]
    dialled.set(away, never)
    const link = new FakeLink("fake://there")
    dialled.set(there, () => link)
    void push.connect(`fake://${away}`)
    const first = push.connect(`fake://${there}`)
    await clock.settle()
    link.shake("PULL")
    await first
    for (const n of range(0, 10)) t.ok(push.trySend(n))
    const start = clock.now()
    const gone = push.disconnect(`fake://${away}`)
    for (const n of range(10, 13)) t.ok(push.trySend(n))
    await clock.until(gone)
    t.equal(clock.now() - start, 700)
    t.equal(link.messages.length, 8, "its own five, and what came after")
    t.strictSame(counts(push), { unconfirmed: 0, linger: 5 })
    t.equal(
      thrown(() => push.disconnect(`fake://${away}`)),
      "ENOENT",
    )
  })

  await t.test("and close() meanwhile waits for them", async (t) => {
    const clock = strictClock(t)
    const { push, name } = await stuck(clock, 700)
    const gone = watch(push.unbind(`fake://${name}`))
    await clock.advance(300)
    const start = clock.now()
    await clock.until(push.close())
    t.equal(clock.now() - start, 400)
    t.equal(gone.state, "done")
    t.strictSame(counts(push), { unconfirmed: 10, linger: 5 }, "counted once")
  })
})

t.test("closing inside of every event's listener", async (t) => {
  const names: (keyof SocketEvents)[] = [
    "bind",
    "bind:error",
    "accept",
    "accept:error",
    "connect",
    "connect:delay",
    "connect:retry",
    "handshake",
    "handshake:error:protocol",
    "handshake:error:auth",
    "handshake:error:other",
    "disconnect",
    "close",
    "peer:join",
    "peer:leave",
    "drop",
    "end",
  ]
  const seen = new Set<string>()
  for (const name of names)
    for (const who of ["binder", "connector"] as const)
      for (const immediate of [false, true]) {
        const clock = virtualClock()
        const binder = new Dealer({ clock, linger: 1000, sendHighWaterMark: 5, immediate })
        const connector = new Dealer({ clock, linger: 1000, sendHighWaterMark: 5, immediate, reconnectInterval: 50 })
        const victim = who === "binder" ? binder : connector
        let closed: Promise<void> | undefined
        victim.events.on(name, () => {
          seen.add(name)
          closed ??= victim.close()
          for (const socket of [binder, connector]) if (!socket.closed) socket.trySend("from the listener")
        })
        const endpoint = freshName()
        const attempt = async (call: () => Promise<unknown>): Promise<void> => {
          try {
            await call()
          } catch {
            // Closed meanwhile, or meant to fail.
          }
          await clock.settle()
        }
        const refused = `closing-refused-${name}`
        dialled.set(refused, () => {
          const link = new FakeLink(`fake://${refused}`)
          setImmediate(() => {
            if (name === "handshake:error:protocol") link.shake("PUB")
            else if (name === "handshake:error:auth") link.feed(greeting(), command("ERROR", "\x03no!"))
            else link.hangUp()
          })
          return link
        })
        await attempt(() => binder.bind(endpoint))
        await attempt(() => binder.bind(endpoint))
        await attempt(() => connector.bind(endpoint))
        await attempt(async () => void connector.connect(endpoint).catch(() => {}))
        await attempt(async () => void connector.connect(`fake://${refused}`).catch(() => {}))
        await attempt(async () => void binder.connect(`fake://${refused}`).catch(() => {}))
        for (let n = 0; n < 20; n++)
          await attempt(async () => [binder, connector].map((socket) => socket.trySend("x".repeat(n))))
        await clock.advance(200)
        const parting = [swallow(() => binder.unbind(endpoint)), swallow(() => connector.disconnect(endpoint))]
        await clock.advance(200)
        await clock.until(Promise.all([binder.close(), connector.close(), closed, ...parting]), 10_000)
        await clock.advance(100_000)
        if (clock.holds !== 0) t.fail(`${name}, ${who}, immediate ${immediate}: held ${clock.holds} times`)
        if (clock.timers !== 0) t.fail(`${name}, ${who}, immediate ${immediate}: ${clock.timers} timers are left`)
        if (binder.peers.length + connector.peers.length > 0) t.fail(`${name}, ${who}: a peer is left`)
      }
  const unseen = names.filter((name) => !seen.has(name))
  t.strictSame(unseen, ["accept:error"], "every other event came")
})

t.test("closing inside onmessage: what was not handled is counted", async (t) => {
  for (const [make, peer, ...envelope] of [
    [Pull, "PUSH"],
    [Pair, "PAIR"],
    [Dealer, "DEALER"],
    [Router, "DEALER"],
    [Reply, "REQ", ""],
    [Subscriber, "PUB"],
  ] as const) {
    const clock = strictClock(t)
    const socket = new make({ clock })
    await socket.bind(`fake://onmessage-${peer}-${++names}`)
    if (socket instanceof Subscriber) void socket.subscribe()
    const link = fake.connect(`onmessage-${peer}-${names}`).shake(peer)
    await clock.settle()
    let handled = 0
    let closed: Promise<void> | undefined
    socket.onmessage = () => {
      if (socket instanceof Reply) void socket.send("reply")
      if (++handled === 3) closed = socket.close()
    }
    link.feed(Buffer.concat(range(0, 10).map((n) => wire(...envelope, n))))
    await clock.until(closed!)
    t.equal(handled, 3)
    t.equal(socket.stats().received.count, 10)
    t.equal(socket.stats().dropped.unread?.count, 7, peer)
    t.ok(link.gone)
  }
})

t.test("closing a busy inproc link: everything sent was received or is counted", async (t) => {
  for (const linger of [0, 1000])
    for (const first of ["push", "pull", "both"]) {
      const clock = strictClock(t)
      const push = new Push({ clock, linger })
      const pull = new Pull({ clock, linger, receiveHighWaterMark: 50 })
      const endpoint = freshName()
      await pull.bind(endpoint)
      void push.connect(endpoint)
      await clock.settle()
      // Until everything on the way is full.
      const sent = fill(push)
      let got = 0
      for (; got < 20; got++) await pull.receive()
      if (first === "pull") await clock.until(pull.close())
      const closed = push.close()
      if (first === "push") {
        for (; got < sent / 2 && pull.tryReceive() !== undefined; got++) if (got % 25 === 0) await clock.settle()
        await clock.until(closed)
      }
      await clock.until(Promise.all([closed, pull.close()]))
      const here = counts(push)
      const there = pull.stats()
      const what = `${first} first, linger ${linger}: ${sent} sent`
      t.ok(sent > 1000, what)
      t.equal(there.received.count + Object.values(here).reduce((sum, count) => sum + count, 0), sent)
      t.equal(got + (there.dropped.unread?.count ?? 0), there.received.count)
    }
})
