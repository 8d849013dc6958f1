// Many messages between Earshot and libzmq, whoever binds: none is lost, none out of order, nobody is outrun.
import t, { type Test } from "tap"
import { Dealer, Publisher, Pull, Push, Request, Router, Subscriber } from "../../lib/index.ts"
import { pattern } from "../support/bytes.ts"
import { SIDES, inOrder, join, ours, poking, theirs, zmq } from "../support/libzmq.ts"
import { text } from "../support/sockets.ts"

const MANY = 100_000
/** Where the ways differ only in what others have seen with many. */
const SOME = 20_000

async function send(send: (message: string) => Promise<void>, total: number): Promise<void> {
  for (let i = 0; i < total; i++) await send(String(i))
}

t.test("100,000 small messages to libzmq, by awaited sends", async (t) => {
  for (const [side, total] of [
    ["we bind", MANY],
    ["they bind", SOME],
  ] as const) {
    const [push, pull] = [ours(t, new Push()), theirs(t, new zmq.Pull())]
    await join(side, push, pull)
    const [result] = await Promise.all([inOrder(() => pull.receive(), total), send((text) => push.send(text), total)])
    t.equal(result, "all", side)
  }
})

t.test("20,000 small messages to libzmq, by trySend", async (t) => {
  const [push, pull] = [ours(t, new Push()), theirs(t, new zmq.Pull())]
  await join("we bind", push, pull)
  const sending = (async () => {
    for (let i = 0; i < SOME;) {
      while (i < SOME && push.trySend(String(i))) i++
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  t.equal(await inOrder(() => pull.receive(), SOME), "all")
  await sending
})

t.test("100,000 small messages from libzmq, by iteration", async (t) => {
  for (const [side, total] of [
    ["they bind", MANY],
    ["we bind", SOME],
  ] as const) {
    const [pull, push] = [ours(t, new Pull()), theirs(t, new zmq.Push())]
    await join(side, pull, push)
    const iterator = pull[Symbol.asyncIterator]()
    const receive = async (): Promise<Uint8Array[]> => (await iterator.next()).value!
    const [result] = await Promise.all([inOrder(receive, total), send((text) => push.send(text), total)])
    t.equal(result, "all", side)
    await iterator.return!()
  }
})

t.test("20,000 small messages from libzmq, by onmessage with pauses", async (t) => {
  const [pull, push] = [ours(t, new Pull()), theirs(t, new zmq.Push())]
  await join("we bind", pull, push)
  let next = 0
  const done = new Promise<void>((resolve) => {
    pull.onmessage = ([frame]) => {
      if (String(frame) !== String(next)) t.fail(`${String(frame)} where ${next} was due`)
      next++
      if (next === SOME) resolve()
      if (next % 1000 > 0) return
      pull.pause()
      setImmediate(() => pull.resume())
    }
  })
  await Promise.all([send((text) => push.send(text), SOME), done])
  t.equal(next, SOME)
})

t.test("20,000 both ways at once, DEALER and DEALER", async (t) => {
  const [us, them] = [ours(t, new Dealer()), theirs(t, new zmq.Dealer())]
  await join("they bind", us, them)
  const [there, here] = await Promise.all([
    inOrder(() => them.receive(), SOME),
    inOrder(() => us.receive(), SOME),
    send((text) => us.send(text), SOME),
    send((text) => them.send(text), SOME),
  ])
  t.equal(there, "all")
  t.equal(here, "all")
})

t.test("20,000 through ROUTER and back, many under way", async (t) => {
  const total = 20_000
  const [router, dealer] = [ours(t, new Router()), theirs(t, new zmq.Dealer())]
  await join("we bind", router, dealer)
  router.onmessage = (message) => void router.send(message)
  const [result] = await Promise.all([inOrder(() => dealer.receive(), total), send((text) => dealer.send(text), total)])
  t.equal(result, "all")
  t.strictSame(router.stats().dropped, {})
})

t.test("1,000 requests to libzmq one by one, and 1,000 at once", async (t) => {
  const [req, rep] = [ours(t, new Request()), theirs(t, new zmq.Reply())]
  await join("they bind", req, rep)
  const answering = (async () => {
    for (let i = 0; i < 2000; i++) await rep.send(await rep.receive())
  })()
  for (let i = 0; i < 1000; i++) {
    await req.send(String(i))
    if (text(await req.receive()) !== String(i)) t.fail(`no reply to ${i}`)
  }
  const replies = await Promise.all(Array.from({ length: 1000 }, (_, i) => req.request(String(i))))
  t.ok(replies.every((reply, i) => text(reply) === String(i)))
  await answering
})

t.test("20,000 published and filtered, each way", async (t: Test) => {
  {
    const [pub, sub] = [ours(t, new Publisher({ noDrop: true })), theirs(t, new zmq.Subscriber())]
    sub.subscribe("")
    await join("we bind", pub, sub)
    await poking(sub, pub.ready())
    const [result] = await Promise.all([inOrder(() => sub.receive(), SOME), send((text) => pub.send(text), SOME)])
    t.equal(result, "all", "ours, which waits with noDrop")
  }
  const [sub, pub] = [ours(t, new Subscriber()), theirs(t, new zmq.Publisher({ sendHighWaterMark: 0 }))]
  await join("they bind", sub, pub)
  await sub.subscribe("")
  const [result] = await Promise.all([inOrder(() => sub.receive(), SOME), send((text) => pub.send(text), SOME)])
  t.equal(result, "all", "theirs")
})

t.test("sizes of all kinds, mixed, in order and unchanged", async (t) => {
  const sizes = [0, 1, 23, 24, 25, 254, 255, 256, 4095, 4096, 4097, 10_000, 65_535, 65_536, 65_537, 300_000, 1 << 20]
  const bodies = new Map(sizes.map((size) => [size, pattern(size, 5)]))
  const sizeOf = (i: number): number => sizes[(i * 7 + (i >> 4)) % sizes.length]!
  const total = 340
  const make = (i: number): Buffer[] => [Buffer.from(String(i)), bodies.get(sizeOf(i))!, bodies.get(sizeOf(i + 1))!]
  const check = async (receive: () => Promise<Uint8Array[]>): Promise<string> => {
    for (let i = 0; i < total; i++) {
      const frames = await receive()
      const expected = make(i)
      const same = frames.length === 3 && frames.every((frame, at) => Buffer.compare(frame, expected[at]!) === 0)
      if (!same) return `message ${i} is not what was sent`
    }
    return "all as sent"
  }
  for (const side of SIDES) {
    const [push, pull] = [ours(t, new Push()), theirs(t, new zmq.Pull())]
    await join(side, push, pull)
    const sending = (async () => {
      for (let i = 0; i < total; i++) await push.send(make(i))
    })()
    t.equal(await check(() => pull.receive()), "all as sent", `to them, ${side}`)
    await sending
    const [ourPull, theirPush] = [ours(t, new Pull()), theirs(t, new zmq.Push())]
    await join(side, ourPull, theirPush)
    const theirSending = (async () => {
      for (let i = 0; i < total; i++) await theirPush.send(make(i))
    })()
    t.equal(await check(() => ourPull.receive()), "all as sent", `to us, ${side}`)
    await theirSending
  }
})

t.test("one message of 64 MiB each way", async (t) => {
  const large = pattern(64 << 20)
  const [push, pull] = [ours(t, new Push()), theirs(t, new zmq.Pull())]
  await join("we bind", push, pull)
  const [[got]] = await Promise.all([pull.receive(), push.send(large)])
  t.equal(Buffer.compare(got!, large), 0)
  const [ourPull, theirPush] = [ours(t, new Pull()), theirs(t, new zmq.Push())]
  await join("they bind", ourPull, theirPush)
  const [[back]] = await Promise.all([ourPull.receive(), theirPush.send(large)])
  t.equal(Buffer.compare(back!, large), 0)
})
