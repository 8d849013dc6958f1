/** `Request.request()`: many in flight (SOCKETS, Requests). */
import type { Test } from "tap"
import type { Request, Router } from "../../../lib/index.ts"
import {
  code,
  codeOf,
  drops,
  echo,
  event,
  fence,
  isFull,
  Kit,
  next,
  peers,
  range,
  text,
  until,
  type Subject,
} from "./support.ts"

export function requesting(t: Test, subject: Subject): void {
  t.test("many are in flight, and each gets its own reply, in any order", async (t) => {
    const kit = new Kit(t, subject)
    const [request, router] = [kit.make("Request"), kit.make("Router")]
    await kit.link(router, request)
    const answers = range(0, 200).map((n) => request.request([n, ""]))
    const asked: Buffer[][] = []
    while (asked.length < 200) asked.push(await router.receive())
    t.ok(asked.every((frames) => frames.length === 5 && frames[1]!.length === 4 && frames[2]!.length === 0))
    t.equal(new Set(asked.map((frames) => frames[1]!.toString("hex"))).size, 200)
    for (const frames of asked.toReversed()) await router.send(frames)
    t.strictSame(
      (await Promise.all(answers)).map(text),
      range(0, 200).map((n) => `${n}|`),
    )
    t.strictSame(request.stats().dropped, {})
  })

  t.test("they are spread over the peers", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const replies = range(0, 3).map((n) => {
      const reply = kit.make("Reply")
      reply.onmessage = () => void reply.send(n)
      return reply
    })
    await kit.link(request, ...replies)
    const answers = (await Promise.all(range(0, 30).map(() => request.request("who?")))).map(text)
    for (const n of range(0, 3)) t.equal(answers.filter((answer) => answer === n).length, 10)
  })

  t.test("one that takes too long rejects; its reply is counted as late", async (t) => {
    const kit = new Kit(t, subject)
    const [request, router] = [kit.make("Request"), kit.make("Router")]
    await kit.link(router, request)
    t.equal(await code(request.request("slow", { timeout: 10 })), "TIMEOUT")
    const quick = request.request("quick")
    const slow = await router.receive()
    await router.send(slow)
    await router.send(await router.receive())
    t.equal(text(await quick), "quick")
    t.equal(drops(request, "late"), 1)
    await router.send(slow)
    await fence(router)
    t.equal(drops(request, "late"), 2)
  })

  t.test("one that gives up before it was sent is never sent", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const place = await kit.place()
    void request.connect(place)
    const abort = new AbortController()
    const aborted = request.request("aborted", { signal: abort.signal })
    const late = code(request.request("late", { timeout: 5 }))
    const kept = request.request("kept")
    abort.abort(new Error("no longer wanted"))
    await t.rejects(aborted, { message: "no longer wanted" })
    t.equal(await late, "TIMEOUT")
    await t.rejects(request.request("never", { signal: abort.signal }), { message: "no longer wanted" })
    const reply = kit.make("Reply")
    await reply.bind(place)
    t.equal(await next(reply), "kept")
    await reply.send("yes")
    t.equal(text(await kept), "yes")
    await fence(request)
    t.equal(reply.tryReceive(), undefined)
  })

  t.test("who is asked and lost: rejected, or asked elsewhere while retries last", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const answers = [0, 1, 2].map((retries) => request.request(String(retries), { retries }).then(text, codeOf))
    for (const left of [3, 2]) {
      const lost = kit.make("Router")
      await kit.link(lost, request)
      for (let n = 0; n < left; n++) await lost.receive()
      await request.disconnect(lost.lastEndpoint!)
    }
    const answering = kit.make("Reply")
    echo(answering)
    await kit.link(answering, request)
    t.strictSame(await Promise.all(answers), ["PEER_LOST", "PEER_LOST", "2"])
  })

  t.test("what waits for an endpoint that is given up goes to another", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request", { linger: 10_000 })
    const place = await kit.place()
    void request.connect(place)
    const answer = request.request("anybody")
    const reply = kit.make("Reply")
    echo(reply)
    await kit.link(reply, request)
    await request.disconnect(place)
    t.equal(text(await answer), "anybody")
  })

  t.test("one that has no id and waits for its turn does not hold up those that have", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const endpoint = await kit.bind(request)
    const answers = [false, false, true].map((correlate, n) => request.request(String(n), { correlate }))
    const router = kit.make("Router")
    await router.connect(endpoint)
    const asked = [await router.receive(), await router.receive()]
    t.strictSame(
      asked.map((frames) => String(frames.at(-1))),
      ["0", "2"],
    )
    for (const frames of asked) await router.send(frames)
    await router.send(await router.receive())
    t.strictSame((await Promise.all(answers)).map(text), range(0, 3))
  })

  for (const binds of [true, false])
    t.test(
      `what was not sent yet waits for ${binds ? "another peer" : "its endpoint"} and needs no retries`,
      async (t) => {
        const kit = new Kit(t, subject)
        const request = kit.make("Request", { sendHighWaterMark: 5 })
        const deaf = kit.make("Router", { receiveHighWaterMark: 1 })
        const endpoint = await (binds ? kit.link(request, deaf) : kit.link(deaf, request))
        const all: Promise<string>[] = []
        // More than the connection takes: the last ones wait, some in its queue, some before it.
        for (let n = 0; n < 400; n++)
          all.push(request.request([String(n), Buffer.alloc(20_000)]).then(text as () => string, String))
        await until("a full peer", () => isFull(request.peers[0]!, 5))
        const reply = kit.make("Reply")
        reply.onmessage = ([n]) => void reply.send(n!)
        const left = event(request, "disconnect").then(() => request.stats().sent.count)
        await deaf.close()
        const given = await left
        await (binds ? reply.connect(endpoint) : reply.bind(endpoint))
        const answers = await Promise.all(all)
        const lost = answers.filter((answer) => answer.includes("gone")).length
        t.equal(lost, given, "lost is what the connection had been given")
        t.ok(lost > 0 && lost < 400)
        t.strictSame(answers.slice(lost), range(lost, 400))
      },
    )

  t.test("correlate: false sends no id, and one at a time to each peer", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const routers = [kit.make("Router"), kit.make("Router")] as const
    await kit.link(request, ...routers)
    const answers = range(0, 6).map((n) => request.request(n, { correlate: false }))
    const serve = async (router: Router): Promise<void> => {
      for (let n = 0; n < 3; n++) {
        const frames = await router.receive()
        t.strictSame([frames.length, frames[1]!.length], [3, 0])
        await fence(request)
        t.equal(router.tryReceive(), undefined, "no second one before the first is answered")
        await router.send(frames)
      }
    }
    await Promise.all(routers.map(serve))
    t.strictSame((await Promise.all(answers)).map(text), range(0, 6))
  })

  t.test("only who was asked may answer", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request")
    const [asked, other] = [kit.make("Router"), kit.make("Router")]
    await kit.link(request, asked)
    const answer = request.request("who?")
    const [id, ...frames] = await asked.receive()
    await kit.link(request, other)
    await peers(other, 1)
    await other.send([other.peers[0]!.routingId, ...frames.slice(0, -1), "I"])
    await fence(other)
    t.equal(drops(request, "late"), 1)
    await asked.send([id!, ...frames.slice(0, -1), "the one you asked"])
    t.equal(text(await answer), "the one you asked")
  })

  t.test("send and request() exclude each other", async (t) => {
    const kit = new Kit(t, subject)
    const [request, reply] = [kit.make("Request"), kit.make("Reply")]
    await kit.link(reply, request)
    const answer = request.request("a")
    t.equal(await code(request.send("b")), "EFSM")
    t.equal(await code(request.receive()), "EFSM")
    await reply.send(await reply.receive())
    t.equal(text(await answer), "a")
    await request.send("c")
    t.equal(await code(request.request("d")), "EFSM")
    await reply.send(await reply.receive())
    t.equal(await next(request), "c")
    const last = request.request("e")
    await reply.send(await reply.receive())
    t.equal(text(await last), "e")
  })

  t.test("they end with their socket, and there is a limit to them", async (t) => {
    const kit = new Kit(t, subject)
    const request: Request = kit.make("Request", { maxPending: 2 })
    await kit.bind(request)
    const waiting = [code(request.request("a")), code(request.request("b"))]
    t.equal(await code(request.request("c")), "EAGAIN")
    await request.close()
    t.strictSame(await Promise.all(waiting), ["EBADF", "EBADF"])
    t.equal(await code(request.request("d")), "EBADF")
  })
}
