/** What REQ's options change: `relaxed`, `correlate` (WIRE 1.12). */
import type { Test } from "tap"
import { code, drops, echo, fence, Kit, next, range, text, until, type Subject } from "./support.ts"

export function relaxing(t: Test, subject: Subject): void {
  t.test("relaxed: a new request takes the place of the old one, whose reply nobody gets", async (t) => {
    for (const correlate of [false, true]) {
      const kit = new Kit(t, subject)
      const request = kit.make("Request", { relaxed: true, correlate })
      const reply = kit.make("Reply")
      await kit.link(reply, request)
      for (let n = 0; n < 5; n++) {
        await request.send(`old ${n}`)
        t.equal(await next(reply), `old ${n}`)
        await request.send(`new ${n}`)
        // What the new request goes by may be a new connection, which must not depend on our answer.
        await reply.send(`to old ${n}`)
        t.equal(await next(reply), `new ${n}`)
        await reply.send(`to new ${n}`)
        t.equal(await next(request), `to new ${n}`)
      }
      await fence(request)
      t.equal(await code(request.receive()), "EFSM")
      if (correlate) t.equal(drops(request, "late"), 5)
    }
  })

  t.test("relaxed: a request that was not sent yet never will be, once a new one takes its place", async (t) => {
    for (const correlate of [false, true]) {
      const kit = new Kit(t, subject)
      const request = kit.make("Request", { relaxed: true, correlate })
      const place = await kit.place()
      void request.connect(place)
      for (const n of range(0, 5)) t.ok(request.trySend(n))
      const reply = kit.make("Reply")
      await reply.bind(place)
      t.equal(await next(reply), "4")
      await reply.send("four")
      t.equal(await next(request), "four")
      // Now that there is a connection: several in one turn, of which some may be on their way.
      for (const n of range(5, 8)) t.ok(request.trySend(n))
      const answer = request.receive()
      let last = ""
      while (last !== "7") {
        last = await next(reply)
        await reply.send(`to ${last}`)
      }
      t.equal(text(await answer), "to 7")
      await fence(request)
      t.equal(reply.tryReceive(), undefined)
      t.equal(await code(request.receive()), "EFSM")
    }
  })

  t.test("relaxed: replies that came already are forgotten too", async (t) => {
    const kit = new Kit(t, subject)
    const request = kit.make("Request", { relaxed: true, correlate: true })
    const reply = kit.make("Reply")
    await kit.link(reply, request)
    echo(reply)
    await request.send("1")
    await until("the first reply", () => request.peers[0]!.waiting === 1)
    await request.send("2")
    t.equal(await next(request), "2")
    t.equal(drops(request, "late"), 1)
  })

  t.test("a Router sees the id of correlate, four bytes that change, and the delimiter", async (t) => {
    const kit = new Kit(t, subject)
    const [request, router] = [kit.make("Request", { correlate: true, routingId: "me" }), kit.make("Router")]
    await kit.link(router, request)
    const ids: string[] = []
    for (let n = 0; n < 3; n++) {
      await request.send(["hello", String(n)])
      const [who, id, empty, ...body] = await router.receive()
      t.strictSame([String(who), id!.length, empty!.length, text(body)], ["me", 4, 0, `hello|${n}`])
      ids.push(id!.toString("hex"))
      await router.send([who!, Buffer.from([1, 2, 3, 4]), "", "another's"])
      await router.send([who!, "", "without id"])
      await router.send([who!, id!, "", "right"])
      t.equal(await next(request), "right")
    }
    t.equal(new Set(ids).size, 3)
    t.equal(drops(request, "late"), 6)
  })
}
