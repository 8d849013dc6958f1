// The life of links with libzmq: heartbeats, peers that stop, crash and come back, peers that don't read, messages too large,
// ends with messages under way.
import t from "tap"
import { Dealer, Publisher, Pull, Push, Request, Router, Subscriber } from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { pattern } from "../support/bytes.ts"
import { child } from "../support/child.ts"
import { SIDES, inOrder, join, ours, poking, rebind, theirs, zmq } from "../support/libzmq.ts"
import { rawServer } from "../support/raw.ts"
import { scaledClock } from "../support/scaled-clock.ts"
import { event, events, outcome, range, text, until, within } from "../support/sockets.ts"

const TCP = "tcp://127.0.0.1:*"

/** Waits until something was heard from the one peer so many times. */
async function heard(us: Socket, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const last = us.peers[0]?.lastHeard
    await until("a sign of life", () => us.peers[0]?.lastHeard !== last)
  }
}

t.test("libzmq's heartbeats are answered", async (t) => {
  for (const side of SIDES) {
    const them = theirs(t, new zmq.Dealer({ heartbeatInterval: 20, heartbeatTimeout: 2000, heartbeatTimeToLive: 5000 }))
    const us = ours(t, new Dealer())
    await join(side, us, them)
    const gone = events(us, "disconnect")
    await heard(us, 10)
    await them.send("still here")
    t.equal(text(await us.receive()), "still here", side)
    await us.send("so am I")
    t.equal(text(await them.receive()), "so am I")
    t.strictSame(gone, [])
  }
})

t.test("our heartbeats are answered by libzmq", async (t) => {
  for (const side of SIDES) {
    const them = theirs(t, new zmq.Dealer())
    const us = ours(t, new Dealer({ heartbeatInterval: 20, heartbeatTimeout: 2000, heartbeatTimeToLive: 5000 }))
    await join(side, us, them)
    const gone = events(us, "disconnect")
    await heard(us, 10)
    await us.send("still here")
    t.equal(text(await them.receive()), "still here", side)
    t.strictSame(gone, [])
  }
})

t.test("heartbeats of both at once, in the middle of traffic", async (t) => {
  const times = { heartbeatInterval: 10, heartbeatTimeout: 2000, heartbeatTimeToLive: 3000 }
  const [us, them] = [ours(t, new Dealer(times)), theirs(t, new zmq.Dealer(times))]
  await join("we bind", us, them)
  const gone = events(us, "disconnect")
  const body = pattern(100_000)
  const sending = (async () => {
    for (let i = 0; i < 500; i++) {
      await us.send([String(i), body])
      await them.send([String(i), body])
    }
  })()
  for (let i = 0; i < 500; i++) {
    const [here, there] = await Promise.all([us.receive(), them.receive()])
    const same = [here, there].every(([n, rest]) => String(n) === String(i) && Buffer.compare(rest!, body) === 0)
    if (!same) t.fail(`message ${i}`)
  }
  await sending
  t.strictSame(gone, [])
})

t.test("a libzmq process that stops is given up, by our timeout or its own time-to-live, and comes back", async (t) => {
  const quick = { heartbeatInterval: 20, heartbeatTimeout: 800 }
  for (const [what, mine, its] of [
    ["our timeout", quick, {}],
    ["its time-to-live", {}, { heartbeatInterval: 20, heartbeatTimeout: 60_000, heartbeatTimeToLive: 800 }],
  ] as const) {
    const us = ours(t, new Router(mine))
    await us.bind(TCP)
    const them = await child(t, "Dealer", { routingId: "d", reconnectInterval: 10, ...its })
    const joined = event(us, "peer:join")
    await them.ask("connect", us.lastEndpoint!)
    await joined
    await heard(us, 2)
    const gone = event(us, "disconnect")
    them.process.kill("SIGSTOP")
    const { error } = await gone
    t.equal(error?.code, "ETIMEDOUT", what)
    const back = event(us, "peer:join")
    them.process.kill("SIGCONT")
    await back
    await us.send(["d", "welcome back"])
    t.strictSame(await them.ask("receive"), ["welcome back"])
  }
})

t.test("a libzmq PULL that isn't read stays connected, whatever waits for it, and loses nothing", async (t) => {
  // What two Earshot sockets hold each other to by default, 30 s of silence, in a sixtieth of the time.
  const clock = scaledClock(60)
  for (const side of SIDES) {
    const push = ours(t, new Push({ clock, sendHighWaterMark: 10_000 }))
    const pull = theirs(t, new zmq.Pull())
    await join(side, push, pull)
    const gone = events(push, "disconnect")
    const body = pattern(1024)
    const before = push.peers[0]!.lastHeard
    for (let i = 0; i < 5000; i++) if (!push.trySend([String(i), body])) t.fail(`message ${i}`)
    await within("three timeouts", new Promise<void>((resolve) => clock.timeout(resolve, 90_000)))
    t.strictSame(gone, [], side)
    t.equal(push.peers[0]!.lastHeard, before, "and it has not said a word")
    t.equal(await inOrder(() => pull.receive(), 5000), "all")
    t.strictSame(push.stats().dropped, {})
  }
})

t.test("a PULL of ours that isn't read holds libzmq back, and loses nothing", async (t) => {
  const pull = ours(t, new Pull({ receiveHighWaterMark: 10 }))
  const push = theirs(t, new zmq.Push({ sendHighWaterMark: 20_000 }))
  await join("we bind", pull, push)
  const body = pattern(1024)
  for (let i = 0; i < 15_000; i++) await push.send([String(i), body])
  await until("a full queue", () => (pull.peers[0]?.waiting ?? 0) >= 10)
  t.equal(pull.peers[0]!.waiting, 10)
  t.equal(await inOrder(() => pull.receive(), 15_000), "all")
})

t.test("libzmq's own heartbeats don't end the link to a PULL of ours that isn't read", async (t) => {
  // A tenth of the time: what goes out every second there goes out every 100 ms here.
  const clock = scaledClock(10)
  for (const side of SIDES) {
    const pull = ours(t, new Pull({ clock, receiveHighWaterMark: 10 }))
    const push = theirs(
      t,
      new zmq.Push({ sendHighWaterMark: 30_000, heartbeatInterval: 200, heartbeatTimeout: 600, reconnectInterval: 10 }),
    )
    await join(side, pull, push)
    const gone = events(pull, "disconnect")
    const joined = events(pull, "peer:join")
    // Only a peer that is known to ask is told: see Heartbeat.rest.
    const since = pull.peers[0]!.lastHeard!
    await until("its first PING", () => pull.peers[0]!.lastHeard! > since)
    const body = pattern(1024)
    for (let i = 0; i < 15_000; i++) await push.send([String(i), body])
    await within("three of its timeouts", new Promise<void>((resolve) => clock.timeout(resolve, 18_000)))
    t.equal(await inOrder(() => pull.receive(), 15_000), "all")
    t.strictSame([gone.length, joined.length], [0, 0], side)
  }
})

// ---------------------------------------------------------------------------------------------------------------

t.test("a libzmq peer with a small maxMessageSize: a message too large costs one message, not a loop", async (t) => {
  for (const size of [2000, 100_000, 5 << 20]) {
    const push = ours(t, new Push({ reconnectInterval: 5 }))
    const pull = theirs(t, new zmq.Pull({ maxMessageSize: 1000 }))
    await join("they bind", push, pull)
    const gone = events(push, "disconnect")
    const joined = events(push, "peer:join")
    await push.send("before")
    t.equal(text(await pull.receive()), "before")
    await push.send(pattern(size))
    await until("the end", () => gone.length > 0)
    await push.send("after")
    t.equal(text(await pull.receive()), "after", `${size} bytes`)
    await push.send("again")
    t.equal(text(await pull.receive()), "again")
    t.equal(gone.length, 1)
    t.equal(joined.length, 1)
  }
})

t.test("what waits behind a message too large for libzmq goes out on the next link", async (t) => {
  const push = ours(t, new Push({ reconnectInterval: 5 }))
  const pull = theirs(t, new zmq.Pull({ maxMessageSize: 1000 }))
  await join("they bind", push, pull)
  const gone = events(push, "disconnect")
  push.trySend(pattern(20 << 20))
  for (let i = 0; i < 500; i++) push.trySend(String(i))
  t.equal(await inOrder(() => pull.receive(), 500), "all")
  t.equal(gone.length, 1)
  t.ok(gone[0]!.unconfirmed >= 1, "the one that was being written is told as unconfirmed")
  t.equal(push.stats().unconfirmed.count, gone[0]!.unconfirmed)
})

t.test("a message too large from libzmq ends the link, and says so", async (t) => {
  const pull = ours(t, new Pull({ maxMessageSize: 1000 }))
  const push = theirs(t, new zmq.Push())
  await join("we bind", pull, push)
  const gone = event(pull, "disconnect")
  await push.send(pattern(1000))
  t.equal((await pull.receive())[0]!.length, 1000)
  await push.send([pattern(600), pattern(600)])
  t.equal((await gone).error?.code, "EMSGSIZE")
})

// ---------------------------------------------------------------------------------------------------------------

t.test("a libzmq publisher is killed and started again: every subscription is there again", async (t) => {
  const topics = range(0, 100).map((n) => `topic ${n}.`)
  const first = await child(t, "Publisher")
  const endpoint = await first.ask<string>("bind", TCP)
  const sub = ours(t, new Subscriber({ reconnectInterval: 10 }))
  void sub.connect(endpoint)
  await within("the subscriptions", sub.subscribe(...topics))
  void first.ask("publish", ...topics, "not asked for").catch(() => {})
  const all = async (): Promise<void> => {
    const seen = new Set<string>()
    while (seen.size < topics.length) seen.add(String((await sub.receive())[0]))
    t.strictSame(
      [...seen].filter((topic) => !topics.includes(topic)),
      [],
    )
  }
  await all()
  const gone = event(sub, "disconnect")
  await first.kill()
  await gone
  while (sub.tryReceive() !== undefined);
  const second = await child(t, "Publisher")
  const joined = event(sub, "peer:join")
  await second.ask("bind", endpoint)
  await joined
  void second.ask("publish", ...topics, "not asked for").catch(() => {})
  await all()
})

t.test(
  "a libzmq PULL is killed in the middle of a stream and started again: order holds, nothing comes twice",
  async (t) => {
    const first = await child(t, "Pull")
    const endpoint = await first.ask<string>("bind", TCP)
    const push = ours(t, new Push({ reconnectInterval: 10 }))
    void push.connect(endpoint)
    const last = 60_000
    const sending = (async () => {
      for (let i = 0; i <= last; i++) await push.send([String(i), pattern(100)])
    })()
    const begun = await first.ask<number[]>("numbers", 2000)
    t.strictSame(begun, range(0, 2001).map(Number))
    const gone = event(push, "disconnect")
    await first.kill()
    await gone
    const second = await child(t, "Pull")
    await second.ask("bind", endpoint)
    const numbers = await second.ask<number[]>("numbers", last)
    await sending
    const start = numbers[0]!
    t.ok(start > 2000, `what the system had taken is lost: it goes on with ${start}`)
    t.ok(
      numbers.every((n, i) => n === start + i),
      "from there on everything, in order",
    )
  },
)

t.test("what is sent while libzmq isn't there yet, or is away, is sent when it is", async (t) => {
  const pull = theirs(t, new zmq.Pull())
  await pull.bind(TCP)
  const endpoint = pull.lastEndpoint!
  const push = ours(t, new Push({ reconnectInterval: 10, sendHighWaterMark: 5000 }))
  void push.connect(endpoint)
  const round = async (from: zmq.Pull): Promise<void> => {
    t.equal(await inOrder(() => from.receive(), 3000), "all")
  }
  await until("a peer", () => push.peers.length > 0)
  const gone = event(push, "disconnect")
  pull.close()
  await gone
  for (let i = 0; i < 3000; i++) if (!push.trySend(String(i))) t.fail(`message ${i}`)
  const next = theirs(t, new zmq.Pull())
  await rebind(next, endpoint)
  await round(next)
})

t.test("a libzmq REP dies over a request: it is told, or asked elsewhere", async (t) => {
  const first = await child(t, "Reply")
  const endpoint = await first.ask<string>("bind", TCP)
  const req = ours(t, new Request({ reconnectInterval: 10 }))
  void req.connect(endpoint)
  const lost = outcome(req.request("lost"))
  await first.ask("receive")
  const again = req.request("again", { retries: 1 })
  await first.kill()
  t.equal(await within("the loss", lost), "PEER_LOST")
  const second = await child(t, "Reply")
  await second.ask("bind", endpoint)
  // Whether it was asked before or not: the one who asks cannot know.
  t.strictSame(await second.ask("receive"), ["again"])
  await second.ask("send", "at last")
  t.equal(text(await within("the reply", again)), "at last")
})

t.test("we go and come back at the same address: libzmq finds us and subscribes again", async (t) => {
  const sub = theirs(t, new zmq.Subscriber({ reconnectInterval: 10 }))
  sub.subscribe("A")
  let endpoint = TCP
  for (let round = 0; round < 3; round++) {
    const pub = ours(t, new Publisher({ linger: 0 }))
    await pub.bind(endpoint)
    endpoint = pub.lastEndpoint!
    if (round === 0) sub.connect(endpoint)
    await poking(sub, pub.ready({ topic: "A" }))
    await pub.send(`A${round}`)
    t.equal(text(await sub.receive()), `A${round}`)
    await pub.close()
  }
})

t.test("close() and disconnect() let libzmq have everything first", async (t) => {
  for (const how of ["close", "disconnect", "unbind"] as const) {
    const side = how === "unbind" ? "we bind" : "they bind"
    const push = ours(t, new Push({ sendHighWaterMark: 0, sendHighWaterMarkBytes: 0 }))
    const pull = theirs(t, new zmq.Pull())
    const endpoint = await join(side, push, pull)
    const body = pattern(5000)
    for (let i = 0; i < 5000; i++) if (!push.trySend([String(i), body])) t.fail(`message ${i}`)
    const ended =
      how === "close" ? push.close() : how === "disconnect" ? push.disconnect(endpoint) : push.unbind(endpoint)
    t.equal(await inOrder(() => pull.receive(), 5000), "all")
    await within(how, ended)
    t.strictSame(push.stats().dropped, {}, how)
  }
})

t.test("libzmq closes with everything sent: we get all of it, read or not", async (t) => {
  for (const side of SIDES) {
    const pull = ours(t, new Pull({ receiveHighWaterMark: 10 }))
    const push = theirs(t, new zmq.Push({ sendHighWaterMark: 0 }))
    await join(side, pull, push)
    for (let i = 0; i < 5000; i++) await push.send(String(i))
    push.linger = 30_000
    push.close()
    t.equal(await inOrder(() => pull.receive(), 5000), "all")
    t.pass(side)
  }
})

t.test("libzmq's own probes of us: stray connections are no trouble", async (t) => {
  // A bound libzmq that goes away while we are greeting, again and again.
  const server = await rawServer(t)
  const pull = ours(t, new Pull({ reconnectInterval: 1 }))
  void pull.connect(server.endpoint)
  for (let i = 0; i < 20; i++) (await server.accept()).socket.destroy()
  const peer = await server.accept()
  await peer.handshake("PUSH")
  t.equal(pull.stats().received.count, 0)
})
