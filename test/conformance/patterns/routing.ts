/** ROUTER: who is called what, and what becomes of messages to nobody (WIRE 1.12). */
import type { Test } from "tap"
import {
  code,
  drops,
  event,
  fence,
  fill,
  Kit,
  next,
  peers,
  range,
  rest,
  take,
  thrown,
  until,
  type Subject,
} from "./support.ts"

export function routing(t: Test, subject: Subject): void {
  t.test("peers without a name get five bytes, 00 first, each its own", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router")
    const dealers = Array.from({ length: 5 }, () => kit.make("Dealer"))
    await kit.link(router, ...dealers)
    for (const [i, dealer] of dealers.entries()) await dealer.send(String(i))
    const ids = []
    for (let n = 0; n < 5; n++) {
      const [id, body] = await router.receive()
      t.ok(Buffer.isBuffer(id))
      t.strictSame([id!.length, id![0]], [5, 0])
      ids.push(id!.toString("hex"))
      await router.send([id!, "to", body!])
    }
    t.equal(new Set(ids).size, 5)
    t.strictSame(router.peers.map((peer) => peer.routingId.toString("hex")).sort(), ids.sort())
    t.strictSame(await Promise.all(dealers.map((dealer) => next(dealer))), ["to|0", "to|1", "to|2", "to|3", "to|4"])
  })

  t.test("a name that was announced is used, whatever its bytes", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router")
    for (const [i, routingId] of ["A", Buffer.from([255, 0, 1]), Buffer.alloc(255, 7)].entries()) {
      const dealer = kit.make("Dealer", { routingId })
      if (i === 0) await kit.link(router, dealer)
      else await dealer.connect(router.lastEndpoint!)
      await dealer.send("hello")
      const [id] = await router.receive()
      t.strictSame(id, Buffer.from(routingId as string))
      await router.send([routingId, "", "answer", ""])
      t.equal(await next(dealer), "|answer|")
      t.strictSame(router.peers[i]!.routingId, id)
    }
  })

  t.test("names that begin with a zero byte, or are too long, can't be taken", async (t) => {
    const kit = new Kit(t, subject)
    const dealer = kit.make("Dealer")
    t.equal(
      thrown(() => (dealer.routingId = Buffer.from([0, 1, 2, 3, 4]))),
      "EINVAL",
    )
    t.equal(
      thrown(() => (dealer.routingId = "x".repeat(256))),
      "EINVAL",
    )
    t.equal(
      thrown(() => kit.make("Router", { routingId: "\u0000" })),
      "EINVAL",
    )
  })

  t.test("a peer that claims a name of the kind that the Router gives is refused", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router")
    const honest = kit.make("Dealer")
    await kit.link(router, honest)
    const liar = kit.make("Dealer")
    // As no socket of ours lets its user do.
    const { settings } = (liar as unknown as { core: { settings: object } }).core
    Object.defineProperty(settings, "routingId", { value: router.peers[0]!.routingId })
    const refused = event(router, "handshake:error:protocol")
    void liar.connect(router.lastEndpoint!)
    t.equal((await refused).error.code, "EPROTO")
    await honest.send("still me")
    const [id] = await router.receive()
    await router.send([id!, "still you"])
    t.equal(await next(honest), "still you")
    t.equal(router.peers.length, 1)
  })

  t.test("a message to nobody is dropped and counted, or with mandatory rejected", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router")
    const dealer = kit.make("Dealer", { routingId: "D" })
    await kit.link(router, dealer)
    const told = event(router, "drop")
    await router.send(["nobody", "12345"])
    t.strictSame((({ reason, peer, count }) => [reason, peer, count])(await told), ["unroutable", undefined, 1])
    await router.send("only a name that nobody has")
    t.equal(drops(router, "unroutable"), 2)
    router.mandatory = true
    t.equal(await code(router.send(["nobody", "12345"])), "EHOSTUNREACH")
    t.equal(
      thrown(() => router.trySend(["nobody", "12345"])),
      "EHOSTUNREACH",
    )
    await router.send(["D", "still fine"])
    t.equal(await next(dealer), "still fine")
    const left = event(router, "peer:leave")
    await dealer.close()
    await left
    t.equal(await code(router.send(["D", "gone"])), "EHOSTUNREACH")
    t.equal(drops(router, "unroutable"), 2)
  })

  t.test("a message of nothing but the name is swallowed and counted", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router", { mandatory: true })
    const dealer = kit.make("Dealer", { routingId: "D" })
    await kit.link(router, dealer)
    await router.send("D")
    await router.send(["D", ""])
    t.equal(await next(dealer), "")
    t.equal(dealer.tryReceive(), undefined)
    t.equal(drops(router, "malformed"), 1)
  })

  t.test("who claims a name that another has is neither read nor closed, until that one goes", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router")
    const [first, second, third] = ["1", "2", "3"].map(() => kit.make("Dealer", { routingId: "same" }))
    await kit.link(router, first!)
    for (const [i, rival] of [second!, third!].entries()) {
      await rival.connect(router.lastEndpoint!)
      await rival.send(`rival ${i + 2}`)
      await peers(router, i + 2)
    }
    for (let n = 0; n < 20; n++) {
      await first!.send(`first ${n}`)
      t.equal(await next(router), `same|first ${n}`, "the first one alone is heard")
      await router.send(["same", String(n)])
      t.equal(await next(first!), String(n), "and spoken to")
    }
    t.strictSame([rest(second!), rest(third!), router.peers.length], [[], [], 3])
    await first!.close()
    t.equal(await next(router), "same|rival 2")
    await router.send(["same", "you are next"])
    t.equal(await next(second!), "you are next")
    await second!.close()
    t.equal(await next(router), "same|rival 3")
    await router.send(["same", "and you"])
    t.equal(await next(third!), "and you")
  })

  t.test("a rival that leaves is forgotten", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router", { mandatory: true })
    const [first, second] = [kit.make("Dealer", { routingId: "same" }), kit.make("Dealer", { routingId: "same" })]
    await kit.link(router, first)
    await second.connect(router.lastEndpoint!)
    await peers(router, 2)
    await second.close()
    await peers(router, 1)
    await router.send(["same", "still you"])
    t.equal(await next(first), "still you")
    await first.close()
    await peers(router, 0)
    t.equal(await code(router.send(["same", "nobody"])), "EHOSTUNREACH")
  })

  t.test("with handover the newcomer takes the name, and the old one's connection ends", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router", { handover: true })
    const old = kit.make("Dealer", { routingId: "same", reconnectInterval: -1 })
    await kit.link(router, old)
    await old.send("old's last words")
    await until("the last words", () => router.peers[0]!.waiting === 1)
    const ended = event(old, "disconnect")
    const heir = kit.make("Dealer", { routingId: "same" })
    await heir.connect(router.lastEndpoint!)
    await ended
    await heir.send("heir")
    t.strictSame(await take(router, 2), ["same|old's last words", "same|heir"])
    await router.send(["same", "for the heir"])
    t.equal(await next(heir), "for the heir")
    t.strictSame(rest(old), [])
    await peers(router, 1)
  })

  t.test("a name is free again when its owner comes back", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router")
    for (let n = 0; n < 3; n++) {
      const dealer = kit.make("Dealer", { routingId: "again" })
      if (n === 0) await kit.link(router, dealer)
      else await dealer.connect(router.lastEndpoint!)
      await dealer.send(String(n))
      t.equal(await next(router), `again|${n}`)
      await router.send(["again", "hi"])
      t.equal(await next(dealer), "hi")
      await dealer.close()
      await peers(router, 0)
    }
  })

  t.test(
    "a Router that connects knows its peers from the handshake on, and keeps them through an absence",
    async (t) => {
      const kit = new Kit(t, subject)
      const router = kit.make("Router", { mandatory: true })
      const first = kit.make("Dealer", { routingId: "D" })
      const endpoint = await kit.link(first, router)
      await router.send(["D", "1"])
      t.equal(await next(first), "1")
      const left = event(router, "disconnect")
      await first.close()
      await left
      await router.send(["D", "2"])
      const second = kit.make("Dealer", { routingId: "D" })
      await second.bind(endpoint)
      t.equal(await next(second), "2")
      await second.send("3")
      t.equal(await next(router), "D|3")
    },
  )

  t.test("the name that a Router gives one it connects to lasts as long as that", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router", { mandatory: true })
    const first = kit.make("Dealer")
    const endpoint = await kit.link(first, router)
    await first.send("hello")
    const [id] = await router.receive()
    const left = event(router, "disconnect")
    await first.close()
    await left
    await router.send([id!, "for whoever is there"])
    const second = kit.make("Dealer")
    await second.bind(endpoint)
    t.equal(await next(second), "for whoever is there")
    await second.send("me")
    t.strictSame((await router.receive())[0], id)
  })

  t.test("a rival that is away does not take the name over", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router", { mandatory: true })
    const [first, second] = [kit.make("Dealer", { routingId: "same" }), kit.make("Dealer", { routingId: "same" })]
    const endpoint = await kit.link(first, router)
    await kit.link(second, router)
    await second.close()
    await peers(router, 1)
    await router.disconnect(endpoint)
    t.equal(await code(router.send(["same", "anybody?"])), "EHOSTUNREACH")
  })

  t.test("with mandatory, what waits for room for an absent peer keeps its place", async (t) => {
    const kit = new Kit(t, subject)
    const router = kit.make("Router", { mandatory: true, sendHighWaterMark: 4 })
    const first = kit.make("Dealer", { routingId: "D" })
    const endpoint = await kit.link(first, router)
    const left = event(router, "disconnect")
    await first.close()
    await left
    const sent = fill(router, 0, (n) => ["D", String(n)])
    const waits = [router.send(["D", String(sent)]), router.send(["D", String(sent + 1)])]
    const second = kit.make("Dealer", { routingId: "D" })
    await second.bind(endpoint)
    t.strictSame(await take(second, sent + 2), range(0, sent + 2))
    await Promise.all(waits)
  })

  t.test("Routers talk to each other by name", async (t) => {
    const kit = new Kit(t, subject)
    const [a, b] = [kit.make("Router", { routingId: "a" }), kit.make("Router", { routingId: "b" })]
    await kit.link(a, b)
    await a.send(["b", "from a"])
    await b.send(["a", "from b"])
    t.strictSame([await next(b), await next(a)], ["a|from a", "b|from b"])
  })

  t.test("probeRouter lets a Router know of a peer that has not said anything", async (t) => {
    for (const type of ["Dealer", "Router", "Request"] as const)
      for (const binds of [false, true]) {
        const kit = new Kit(t, subject)
        const router = kit.make("Router")
        const peer = kit.make(type, { probeRouter: true, routingId: "prober" })
        await (binds ? kit.link(peer, router) : kit.link(router, peer))
        t.equal(await next(router), "prober|")
        await fence(peer)
        t.equal(router.tryReceive(), undefined, "once")
        if (type !== "Dealer") continue
        await router.send(["prober", "welcome"])
        t.equal(await next(peer as typeof router), "welcome")
      }
  })

  t.test("probeRouter probes again with each connection", async (t) => {
    const kit = new Kit(t, subject)
    const first = kit.make("Router")
    const dealer = kit.make("Dealer", { probeRouter: true, routingId: "prober" })
    const endpoint = await kit.link(first, dealer)
    t.equal(await next(first), "prober|")
    const left = event(dealer, "disconnect")
    await first.close()
    await left
    await dealer.send("queued")
    const second = kit.make("Router")
    await second.bind(endpoint)
    t.strictSame(await take(second, 2), ["prober|", "prober|queued"])
  })
}
