/** What messages may look like, and every way to receive them. */
import type { Test } from "tap"
import type { Frame, MessageLike, PeerInfo, Receiving } from "../../../lib/index.ts"
import type { Socket } from "../../../lib/socket.ts"
import {
  code,
  fence,
  Kit,
  next,
  peers,
  range,
  rest,
  take,
  text,
  thrown,
  until,
  type Receives,
  type Sends,
  type SocketName,
  type Subject,
} from "./support.ts"

/** Every type that receives, with one that sends to it and what it then gives for a message. */
const receivers: [SocketName, SocketName, (n: string) => string, (n: string) => MessageLike][] = [
  ["Pull", "Push", (n) => n, (n) => n],
  ["Pair", "Pair", (n) => n, (n) => n],
  ["Dealer", "Dealer", (n) => n, (n) => n],
  ["Router", "Dealer", (n) => `me|${n}`, (n) => n],
  ["Subscriber", "Publisher", (n) => n, (n) => n],
  ["XSubscriber", "XPublisher", (n) => n, (n) => n],
  ["XPublisher", "XSubscriber", (n) => n, (n) => n],
  ["Reply", "Dealer", (n) => n, (n) => ["", n]],
]

type Receiver = Socket & Receives & Receiving & { send?: (message: MessageLike) => Promise<void> }

export function messages(t: Test, subject: Subject): void {
  for (const [receiving, sending, expected, make] of receivers)
    t.test(`${receiving}: receive, receiveMany, tryReceive, for await and onmessage give the same`, async (t) => {
      const kit = new Kit(t, subject)
      const receiver = kit.make(receiving) as Receiver
      const sender = kit.make(sending, sending === "Dealer" ? { routingId: "me" } : {}) as Socket & Sends
      await kit.link(receiver, sender)
      if (receiving === "Subscriber") await (receiver as unknown as { subscribe(): Promise<void> }).subscribe()
      if (receiving === "XSubscriber") {
        await receiver.send!("\u0001")
        await (sender as unknown as { ready(): Promise<void> }).ready()
      }
      // A Reply must answer before it takes the next.
      const answer = receiving === "Reply" ? () => receiver.send!("ok") : () => undefined
      let sent = 0
      const five = async (): Promise<string[]> => {
        const all = range(sent, (sent += 5))
        for (const n of all) await sender.send(make(n))
        await until("five messages that wait", () => receiver.peers[0]!.waiting === 5)
        return all.map(expected)
      }

      const due = await five()
      for (const each of due) {
        const { message, peer } = await (receiver as Receiving).receive({ withPeer: true })
        t.equal(text(message), each)
        t.ok(message.every((frame) => Buffer.isBuffer(frame)))
        t.equal(peer, receiver.peers[0])
        await answer()
      }

      for (const each of await five()) {
        t.equal(text(receiver.tryReceive()), each)
        await answer()
      }
      if (receiving !== "Reply") t.equal(receiver.tryReceive(), undefined)

      const many = (await five()).slice()
      while (many.length > 0) {
        const got = (await receiver.receiveMany(3)).map(text)
        t.strictSame(got, many.splice(0, receiving === "Reply" ? 1 : 3))
        await answer()
      }

      const iterated = await five()
      for await (const message of receiver as Receiving) {
        t.equal(text(message), iterated.shift())
        await answer()
        if (iterated.length === 0) break
      }
      t.notOk(receiver.closed, "and leaving the loop leaves it open")

      const called: [Frame[], PeerInfo][] = []
      const waiting = await five()
      receiver.onmessage = (message, peer) => {
        called.push([message, peer])
        void answer()
      }
      t.strictSame(
        called.map(([message]) => text(message)),
        waiting,
        "what waits is handed over at once",
      )
      for (let n = sent; n < sent + 5; n++) await sender.send(make(String(n)))
      await until("five more", () => called.length === 10)
      t.strictSame(
        called.slice(5).map(([message]) => text(message)),
        range(sent, sent + 5).map(expected),
      )
      t.ok(called.every(([, peer]) => peer === receiver.peers[0]))
      t.equal(await code(receiver.receive()), "EBUSY")
      t.equal(
        thrown(() => receiver.tryReceive()),
        "EBUSY",
      )
      receiver.onmessage = undefined
      await sender.send(make("last"))
      t.equal(await next(receiver), expected("last"))
    })

  t.test("Reply with onmessage gets the next request when it has answered, however late", async (t) => {
    const kit = new Kit(t, subject)
    const reply = kit.make("Reply")
    const requests = Array.from({ length: 5 }, () => kit.make("Request"))
    await kit.link(reply, ...requests)
    let busy = 0
    reply.onmessage = async (message) => {
      t.equal(++busy, 1, "one at a time")
      await fence(reply)
      busy--
      await reply.send(message)
    }
    for (const [i, request] of requests.entries()) await request.send(String(i))
    t.strictSame(await Promise.all(requests.map((request) => next(request))), range(0, 5))
  })

  t.test("Request: every way to receive gives the reply", async (t) => {
    const kit = new Kit(t, subject)
    const [request, reply] = [kit.make("Request"), kit.make("Reply")]
    await kit.link(reply, request)
    reply.onmessage = (message) => void reply.send(message)
    await request.send("receive")
    t.equal(await next(request), "receive")
    await request.send("tryReceive")
    await until("a reply", () => request.peers[0]!.waiting === 1)
    t.equal(text(request.tryReceive()), "tryReceive")
    await request.send("receiveMany")
    t.strictSame((await request.receiveMany(5)).map(text), ["receiveMany"])
    await request.send("for await")
    for await (const message of request) {
      t.equal(text(message), "for await")
      break
    }
    const called: (string | undefined)[] = []
    request.onmessage = (message) => {
      called.push(text(message))
      if (called.length < 3) void request.send(String(called.length))
    }
    await request.send("0")
    await until("three replies", () => called.length === 3)
    t.strictSame(called, range(0, 3))
  })

  t.test("a closed socket ends its loops and rejects its waiting receives", async (t) => {
    const kit = new Kit(t, subject)
    const [pull, other] = [kit.make("Pull"), kit.make("Pull")]
    const waiting = [code(pull.receive()), code(pull.receiveMany(2))]
    const loop = (async () => {
      for await (const message of other) t.fail(text(message)!)
      return "ended"
    })()
    await Promise.all([pull.close(), other.close()])
    t.strictSame(await Promise.all(waiting), ["EBADF", "EBADF"])
    t.equal(await loop, "ended")
    t.equal(
      thrown(() => pull.tryReceive()),
      "EBADF",
    )
  })

  t.test("pause() holds onmessage, resume() lets go, in order", async (t) => {
    const kit = new Kit(t, subject)
    const [push, pull] = [kit.make("Push"), kit.make("Pull", { receiveHighWaterMark: 5 })]
    await kit.link(pull, push)
    const got: (string | undefined)[] = []
    pull.onmessage = (message) => {
      got.push(text(message))
      if (got.length % 10 === 0) pull.pause()
    }
    for (const n of range(0, 100)) await push.send(n)
    for (let n = 1; n <= 10; n++) {
      await until(
        "ten messages, and some that wait",
        () => got.length === 10 * n && (n === 10 || pull.peers[0]!.waiting > 2),
      )
      t.ok(pull.peers[0]!.waiting <= 5)
      pull.resume()
    }
    t.strictSame(got, range(0, 100))
  })

  t.test("frames of every size around the wire's limits", async (t) => {
    const kit = new Kit(t, subject)
    const [a, b] = [kit.make("Pair"), kit.make("Pair")]
    await kit.link(a, b)
    const sizes = [
      0, 1, 23, 24, 25, 254, 255, 256, 257, 4095, 4096, 4097, 65_526, 65_535, 65_536, 65_537, 1_000_000, 5_000_000,
    ]
    const make = (size: number): Buffer => Buffer.alloc(size, (size % 251) + 1)
    for (const size of sizes) await a.send(make(size))
    await a.send(sizes.map(make))
    for (const size of sizes) {
      const message = await b.receive()
      t.ok(message.length === 1 && message[0]!.equals(make(size)), `${size} bytes`)
    }
    const all = await b.receive()
    t.ok(
      all.length === sizes.length && all.every((frame, i) => frame.equals(make(sizes[i]!))),
      "and all in one message",
    )
  })

  t.test("big and small messages, single and multipart, mixed, stay whole and in order", async (t) => {
    const kit = new Kit(t, subject)
    const [push, pull] = [kit.make("Push"), kit.make("Pull", { receiveHighWaterMark: 20 })]
    await kit.link(pull, push)
    let seed = 1
    const chance = (below: number): number => (seed = (seed * 48_271) % 0x7fff_ffff) % below
    const shapes = Array.from({ length: 400 }, () =>
      Array.from({ length: 1 + chance(6) }, () =>
        chance(10) === 0 ? chance(200_000) : chance(3) === 0 ? 0 : chance(600),
      ),
    )
    const sending = (async () => {
      for (const [n, shape] of shapes.entries())
        await push.send([String(n), ...shape.map((size) => Buffer.alloc(size, n))])
    })()
    for (const [n, shape] of shapes.entries()) {
      const [count, ...frames] = await pull.receive()
      const whole =
        frames.length === shape.length && frames.every((frame, i) => frame.equals(Buffer.alloc(shape[i]!, n)))
      if (String(count) !== String(n) || !whole) t.fail(`message ${n} is not what was sent`)
    }
    await sending
    t.strictSame(rest(pull), [])
  })

  t.test("65,536 frames are a message, 65,537 are refused", async (t) => {
    const kit = new Kit(t, subject)
    const [push, pull] = [kit.make("Push"), kit.make("Pull")]
    await kit.link(pull, push)
    const frames = range(0, 65_536)
    await push.send(frames)
    t.equal(text(await pull.receive()), frames.join("|"))
    const refused = until("a message refused", () => pull.stats().received.count === 1 && pull.peers.length === 0)
    await push.send([...frames, "one more"])
    await refused
    await peers(pull, 1)
    await push.send("and on")
    t.equal(await next(pull), "and on", "the next connection is as good as new")
  })

  t.test("many empty frames and messages", async (t) => {
    const kit = new Kit(t, subject)
    const [push, pull] = [kit.make("Push"), kit.make("Pull")]
    await kit.link(pull, push)
    await push.send(Array.from({ length: 1000 }, () => ""))
    for (let n = 0; n < 500; n++) await push.send("")
    t.equal((await pull.receive()).length, 1000)
    t.strictSame(
      await take(pull, 500),
      range(0, 500).map(() => ""),
    )
  })

  t.test("everything that can be a frame", async (t) => {
    const kit = new Kit(t, subject)
    const [push, pull] = [kit.make("Push"), kit.make("Pull")]
    await kit.link(pull, push)
    const bytes = Uint8Array.from([104, 105])
    for (const frame of [
      "hi",
      bytes,
      Buffer.from("hi"),
      bytes.buffer,
      new DataView(bytes.buffer),
      new Uint16Array(bytes.buffer),
    ])
      await push.send(frame)
    t.strictSame(
      await take(pull, 6),
      range(0, 6).map(() => "hi"),
    )
    await push.send([null, 12, "ü", new Uint8Array([0, 104, 105, 0]).subarray(1, 3)])
    t.equal(await next(pull), "|12|ü|hi")
    for (const wrong of [undefined, {}, [], [undefined], [["nested"]], true])
      t.equal(await code(push.send(wrong as never)), "EINVAL")
    await fence(push)
    t.strictSame(rest(pull), [])
  })
}
