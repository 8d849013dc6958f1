// Requests beyond the first: to many, on behalf of another, and while servers come and go.
import t, { type Test } from "tap"
import { EarshotError, Mesh, seeds, type Call, type MeshOptions, type Reply } from "../../lib/mesh/index.ts"
import { testMesh } from "../../lib/mesh/testing.ts"
import { outcome, thrown, until, within } from "../support/sockets.ts"

t.jobs = 4

/** All replies, by what the members call themselves. */
async function all<Data>(replies: AsyncIterable<Reply<Data>>): Promise<Record<string, Data>> {
  const found: Record<string, Data> = {}
  for await (const { data, from } of replies) found[from.name] = data
  return found
}

const networkOf = (t: Test): string => `requests-${process.pid}-${t.name}`.slice(0, 200)

/** Members over loopback, with all that the platform has; each knows the first. */
async function members(t: Test, names: readonly string[], options: MeshOptions = {}): Promise<Mesh[]> {
  const network = networkOf(t)
  const list: Mesh[] = []
  for (const name of names) {
    const [first] = list
    const discovery = first === undefined ? [] : [seeds(first.endpoints[0]!)]
    list.push(await Mesh.join({ listen: ["tcp://127.0.0.1:0"], network, discovery, settle: 200, ...options, name }))
  }
  t.teardown(() => Promise.all(list.map((mesh) => mesh.close())))
  await Promise.all(list.map((mesh) => mesh.ready({ members: names.length - 1 })))
  return list
}

const hang = (_data: unknown, { signal }: Call): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)))

/** Joins a member's mesh with a discovery whose first round does not end: it settles after `settle` ms, and not before. */
async function unsettled(t: Test, other: Mesh, settle: number): Promise<Mesh> {
  const slow = { name: "slow", start: () => new Promise<void>(() => {}), stop: async () => {} }
  const network = networkOf(t)
  const discovery = [seeds(other.endpoints[0]!), slow]
  const mesh = await Mesh.join({ listen: ["tcp://127.0.0.1:0"], network, discovery, settle, name: "unsettled" })
  t.teardown(() => mesh.close())
  return mesh
}
const settles = (mesh: Mesh): boolean => mesh.health().reasons.includes("settling")

t.test("before the mesh has settled a request goes to who is there, and overtakes no publish", async (t) => {
  const [server] = await members(t, ["server"])
  const got: unknown[] = []
  server!.subscribe("set", ({ data }) => void got.push(data))
  server!.serve("get", () => [...got])
  const mesh = await unsettled(t, server!, 60_000)
  t.strictSame(await within("asked before anybody was there", mesh.request("get")), [])
  await mesh.ready({ subject: "get" })
  t.strictSame(await within("asked after ready", mesh.request("get", null, { to: server!.id })), [])
  t.ok(settles(mesh), "these were not waited for")

  const soon = await unsettled(t, server!, 1500)
  await soon.ready({ subject: "get" })
  void soon.publish("set", 1)
  const answer = soon.request("get")
  t.ok(settles(soon))
  t.strictSame(await within("what waits behind a publish", answer), [1])
})

t.test(
  "before the mesh has settled a request waits where only its own member answers, or who answers is full",
  async (t) => {
    const [server, filler] = await members(t, ["server", "filler"])
    server!.serve("full", hang, { concurrency: 1, queueSize: 1 })
    await filler!.ready({ subject: "full" })
    for (let n = 0; n < 2; n++) void outcome(filler!.request("full"))
    const more = async (): Promise<string> => outcome(filler!.request("full", null, { timeout: 100 }))
    for (let n = 0; n < 50 && (await more()) !== "BUSY"; n++);

    const mesh = await unsettled(t, server!, 1500)
    mesh.serve("own", () => "own")
    const own = mesh.request("own").then((data) => [data, settles(mesh)])
    await mesh.ready({ subject: "full" })
    const full = outcome(mesh.request("full")).then((code) => [code, settles(mesh)])
    t.ok(settles(mesh))
    t.strictSame(await Promise.all([own, full]), [
      ["own", false],
      ["BUSY", false],
    ])
  },
)

t.test("requestMany: one of each group, every server that is in none, and the loop ends", async (t) => {
  await using net = await testMesh(["asker", "a", "b", "c"])
  const { asker, a, b, c } = net.mesh
  const asked: string[] = []
  for (const mesh of [a, b, c]) mesh.serve("who", () => asked.push(mesh.name) && mesh.name, { queue: null })
  for (const mesh of [a, b]) mesh.serve("who", () => asked.push("shared") && "shared", { queue: "g" })
  asker.serve("who", () => "myself", { queue: "own" })
  await net.settle()
  const replies: string[] = []
  for await (const { data } of asker.requestMany<string>("who")) replies.push(data)
  t.strictSame(replies.sort(), ["a", "b", "c", "myself", "shared"])
  t.strictSame(asked.sort(), ["a", "b", "c", "shared"], "each was asked once")
})

t.test("requestMany: nobody answers", async (t) => {
  await using net = await testMesh(["a", "b"])
  net.mesh.b.subscribe(">", () => {})
  await net.settle()
  t.strictSame(await all(net.mesh.a.requestMany("nobody")), {}, "a watcher is no server")
})

t.test("requestMany: headers and data both ways, and one who throws spoils nothing", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  const { a, b, c } = net.mesh
  b.serve("sum", ([x, y]: number[], { headers }) => [x! + y!, headers["unit"]], { queue: null })
  c.serve(
    "sum",
    () => {
      throw Object.assign(new Error("no numbers today"), { code: "CLOSED" })
    },
    { queue: null },
  )
  await net.settle()
  const replies = a.requestMany("sum", [2, 3], { headers: { unit: "m" } })
  t.strictSame(await all(replies), { b: [5, "m"] })
  t.equal(replies.failures.length, 1)
  const { from, error } = replies.failures[0]!
  t.equal(from.id, c.id)
  t.match(error, { code: "REMOTE", remoteCode: "CLOSED", message: "no numbers today" })
})

t.test("requestMany: it ends at max, and takes back what is open", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  const { a, b, c } = net.mesh
  let cancelled: unknown
  b.serve("x", () => "quick", { queue: null })
  c.serve(
    "x",
    async (data, call) => {
      await hang(data, call).catch((error: unknown) => (cancelled = error))
    },
    { queue: null },
  )
  await net.settle()
  t.strictSame(await all(a.requestMany("x", null, { max: 1 })), { b: "quick" })
  await until("the cancel", () => cancelled !== undefined)
  t.match(cancelled, { code: "ECANCELED" })
})

t.test("requestMany: leaving the loop takes back what is open", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  const { a, b, c } = net.mesh
  b.serve("x", () => "quick", { queue: null })
  const cancelled = new Promise((resolve) =>
    c.serve("x", (_data, { signal }) => new Promise(() => signal.addEventListener("abort", resolve)), { queue: null }),
  )
  await net.settle()
  for await (const { data } of a.requestMany("x")) {
    t.equal(data, "quick")
    break
  }
  await within("the cancel", cancelled)
})

t.test("requestMany: timeout and stall end it without an error", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  b.serve("x", () => "quick", { queue: null })
  c.serve("x", hang, { queue: null })
  await net.settle()
  let began = net.clock.now()
  t.strictSame(await net.until(all(a.requestMany("x", null, { timeout: 700 }))), { b: "quick" })
  t.equal(net.clock.now() - began, 700)
  began = net.clock.now()
  t.strictSame(await net.until(all(a.requestMany("x", null, { stall: 30 }))), { b: "quick" })
  t.equal(net.clock.now() - began, 30, "counted from the last reply")
  began = net.clock.now()
  t.strictSame(await net.until(all(a.requestMany("x", null))), { b: "quick" })
  t.equal(net.clock.now() - began, 5000, "the default")
})

t.test("requestMany: an aborted signal throws its reason in the loop", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const controller = new AbortController()
  b.serve("x", (data, call) => (controller.abort(new Error("enough")), hang(data, call)))
  await net.settle()
  await t.rejects(all(a.requestMany("x", null, { signal: controller.signal })), { message: "enough" })
  await t.rejects(all(a.requestMany("x", null, { signal: AbortSignal.abort(new Error("before")) })), {
    message: "before",
  })
})

t.test("requestMany: who is lost is not waited for", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  const { a, b, c } = net.mesh
  b.serve("x", () => "quick", { queue: null })
  c.serve("x", (data, call) => (void net.kill("c"), hang(data, call)), { queue: null })
  await net.settle()
  const replies = a.requestMany("x", null, { timeout: 60_000 })
  t.strictSame(await within("its end", all(replies)), { b: "quick" })
  t.match(replies.failures, [{ from: { name: "c" }, error: { code: "PEER_LOST" } }])
})

t.test("requestMany: a group's full member is passed over for another", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  const { a, b, c } = net.mesh
  let busy = 0
  const slow = (data: unknown, call: Call): Promise<never> => (busy++, hang(data, call))
  b.serve("x", slow, { queue: "g", concurrency: 1, queueSize: 1 })
  await net.settle()
  const held = [a.request("x").catch(() => {}), a.request("x").catch(() => {})]
  await until("b at work", () => busy === 1)
  c.serve("x", () => "c", { queue: "g" })
  await net.settle()
  for (let i = 0; i < 10; i++) t.strictSame(await all(a.requestMany("x")), { c: "c" })
  await net.close()
  await Promise.all(held)
})

t.test("arguments that can't be", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  t.equal(
    thrown(() => a.requestMany("a.*")),
    "INVALID_SUBJECT",
  )
  t.equal(
    thrown(() => a.requestMany("x", null, { max: 0 })),
    "EINVAL",
  )
  t.equal(
    thrown(() => a.requestMany("x", null, { stall: 0 })),
    "EINVAL",
  )
  t.equal(
    thrown(() => a.requestMany("x", Symbol("x"))),
    "ENCODE",
  )
  t.equal(
    thrown(() => a.request("x", null, { timeout: -1 })),
    "EINVAL",
  )
})

t.test("reserved subjects are the mesh's", async (t) => {
  await using net = await testMesh(["a"])
  const { a } = net.mesh
  for (const subject of ["$EARSHOT.x.PING", "$SRV.PING", "$x", "_INBOX.1", "_INBOX"]) {
    t.equal(
      thrown(() => a.publish(subject)),
      "INVALID_SUBJECT",
      subject,
    )
    t.equal(
      thrown(() => a.tryPublish(subject)),
      "INVALID_SUBJECT",
    )
    t.equal(
      thrown(() => a.subscribe(subject)),
      "INVALID_SUBJECT",
    )
    t.equal(
      thrown(() => a.serve(subject, () => 1)),
      "INVALID_SUBJECT",
    )
  }
  for (const subject of ["$x", "_INBOX.1", "$EARSHOT", "$EARSHOTX.a"])
    t.equal(
      thrown(() => void a.request(subject)),
      "INVALID_SUBJECT",
      subject,
    )
  t.equal(await outcome(a.request("$SRV.PING")), "NO_RESPONDERS")
})

t.test("call.request has no more time than its asker, and ends with it", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  let inner: Call | undefined
  let ended: Promise<string> | undefined
  c.serve("inner", (data, call) => ((inner = call), hang(data, call)))
  b.serve("outer", (_data, call) => {
    const asked = call.request("inner", null, { timeout: 60_000 })
    ended = outcome(asked)
    return asked
  })
  await net.settle()
  const controller = new AbortController()
  const outer = outcome(a.request("outer", null, { timeout: 3000, signal: controller.signal }))
  await net.advance(1000)
  t.ok(inner!.remaining <= 2000 && inner!.remaining > 0, "what is left travels on")
  controller.abort(new EarshotError("ECANCELED", "changed my mind"))
  await net.advance(10)
  t.equal(await outer, "ECANCELED")
  t.equal(await ended!, "ECANCELED")
  t.ok(inner!.signal.aborted, "who was asked last is told, too")
  t.equal(await net.until(outcome(a.request("outer", null, { timeout: 500 }))), "TIMEOUT")
  t.match(await net.until(ended!), /TIMEOUT|ECANCELED/)
})

t.test("an asker that is lost ends what is done for it", async (t) => {
  await using net = await testMesh(["a", "b", "c"], { clock: "virtual" })
  const { a, b, c } = net.mesh
  let inner: Call | undefined
  c.serve("inner", (data, call) => ((inner = call), hang(data, call)))
  b.serve("outer", (_data, call) => call.request("inner", null, { timeout: 3_600_000 }))
  await net.settle()
  const asked = outcome(a.request("outer", null, { timeout: 3_600_000 }))
  await net.advance(10)
  t.notOk(inner!.signal.aborted)
  await net.kill("a")
  t.equal(await asked, "EBADF")
  await net.advance(60_000)
  t.ok(inner!.signal.aborted)
})

t.test("the trace goes with what is asked and published on behalf of a call", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const seen: unknown[] = []
  a.subscribe("done", ({ headers }) => seen.push(headers))
  a.serve("inner", (_data, { headers }) => headers)
  b.serve("outer", async (_data, call) => {
    await call.publish("done", null, { headers: { mine: "1" } })
    return [await call.request("inner"), await call.request("inner", null, { headers: { traceparent: "own" } })]
  })
  await net.settle()
  const headers = { traceparent: "00-1-2-01", tracestate: "x=1", other: "no" }
  const [inherited, own] = await a.request("outer", null, { headers })
  t.strictSame(inherited, { traceparent: "00-1-2-01", tracestate: "x=1" })
  t.strictSame(own, { traceparent: "own", tracestate: "x=1" })
  await until("the message", () => seen.length === 1)
  t.strictSame(seen, [{ mine: "1", traceparent: "00-1-2-01", tracestate: "x=1" }])
})

t.test("what is published to a served subject is handled, with nobody to answer and no limit of time", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const seen: unknown[] = []
  const errors: unknown[] = []
  a.serve("helper", (_data, { headers }) => headers["traceparent"])
  b.on("error", ({ error, subject }) => errors.push([error.message, subject]))
  b.serve("x", async (data, call) => {
    if (data === "bad") throw new Error("no")
    seen.push([data, call.from.name, call.remaining, call.signal.aborted, await call.request("helper")])
  })
  await net.settle()
  t.equal((await a.publish("x", 1, { headers: { traceparent: "t" } })).sent, 1)
  await a.publish("x", "bad")
  await until("both", () => seen.length === 1 && errors.length === 1)
  t.strictSame(seen, [[1, "a", Infinity, false, "t"]])
  t.strictSame(errors, [["no", "x"]])
})

t.test("a closing mesh tells its handlers", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  let call: Call | undefined
  b.serve("x", (data, given) => ((call = given), hang(data, given)))
  await net.settle()
  const asked = outcome(a.request("x"))
  await until("the call", () => call !== undefined)
  await b.close()
  t.match(call!.signal.reason, { code: "EBADF" })
  t.equal(await asked, "PEER_LOST")
})

t.test("by themselves: requests inherit through promises and timers", async (t) => {
  const [a, b, c] = await members(t, ["a", "b", "c"])
  let left = Infinity
  let innermost: Call | undefined
  c!.serve("inner", (data, call) => {
    innermost = call
    left = call.remaining
    return data === "hang" ? hang(data, call) : call.headers["traceparent"]
  })
  b!.serve("outer", async (data) => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    return b!.request("inner", data, { timeout: 60_000 })
  })
  b!.serve("many", async () => all(b!.requestMany("inner", null, { timeout: 60_000 })))
  await Promise.all([b, c].map((mesh) => mesh!.flush()))
  t.equal(await a!.request("outer", null, { timeout: 900, headers: { traceparent: "t" } }), "t")
  t.ok(left <= 900, `${left} ms were left`)
  t.strictSame(await a!.request("many", null, { timeout: 900, headers: { traceparent: "u" } }), { c: "u" })
  const controller = new AbortController()
  const cancelled = outcome(a!.request("outer", "hang", { signal: controller.signal }))
  innermost = undefined
  await until("the innermost call", () => innermost !== undefined)
  controller.abort(new EarshotError("ECANCELED"))
  t.equal(await cancelled, "ECANCELED")
  await until("its end", () => innermost!.signal.aborted)
})

t.test("by themselves: not in subscriptions, behind the answer, or with context: false", async (t) => {
  const [a, b] = await members(t, ["a", "b"])
  const [c, d] = await members(t, ["c", "d"], { network: "requests-off", context: false })
  const late: Promise<unknown>[] = []
  let answered!: () => void
  const gate = new Promise<void>((resolve) => (answered = resolve))
  const heard: unknown[] = []
  for (const [asker, server] of [
    [a!, b!],
    [c!, d!],
  ] as const) {
    asker.serve("left", (_data, { remaining, headers }) => [remaining > 10_000, headers["traceparent"]])
    server.subscribe("note", async () => heard.push(await server.request("left", null, { timeout: 60_000 })))
    server.serve("outer", async () => {
      void server.publish("note")
      late.push(gate.then(() => server.request("left", null, { timeout: 60_000 })))
      return server.request("left", null, { timeout: 60_000 })
    })
    await server.flush()
  }
  const options = { timeout: 5000, headers: { traceparent: "t" } }
  t.strictSame(await a!.request("outer", null, options), [false, "t"])
  t.strictSame(await c!.request("outer", null, options), [true, undefined], "context: false")
  answered()
  t.strictSame(await Promise.all(late), [
    [true, undefined],
    [true, undefined],
  ])
  await until("both messages", () => heard.length === 2)
  t.strictSame(heard, [
    [true, undefined],
    [true, undefined],
  ])
})

t.test("rolling deploy: servers are drained and replaced in turn under load, and no request fails", async (t) => {
  const [first, , , ...askers] = await members(t, ["s1", "s2", "s3", "a1", "a2"])
  const network = `requests-${process.pid}-${t.name}`.slice(0, 200)
  const servers = new Map<string, Mesh>()
  const work = async (ms: number, call: Call): Promise<string> => {
    await new Promise((resolve) => setTimeout(resolve, ms))
    return call.subject
  }
  const start = async (name: string, seed: string): Promise<void> => {
    const mesh = await Mesh.join({ listen: ["tcp://127.0.0.1:0"], discovery: [seeds(seed)], network, name })
    t.teardown(() => mesh.close())
    await mesh.ready({ members: 2 })
    mesh.serve("work", work)
    await mesh.flush()
    servers.set(name, mesh)
  }
  for (const name of ["x1", "x2", "x3"]) await start(name, first!.endpoints[0]!)
  let going = true
  let answered = 0
  const failures: unknown[] = []
  const ask = async (asker: Mesh): Promise<void> => {
    while (going)
      await asker.request("work", answered % 7).then(
        () => answered++,
        (error: unknown) => failures.push(error),
      )
  }
  const load = askers.flatMap((asker) => Array.from({ length: 8 }, () => ask(asker)))
  for (const name of ["x1", "x2", "x3"]) {
    const before = answered
    await until("load", () => answered > before + 50)
    const old = servers.get(name)!
    const drained = old.drain()
    t.equal(
      thrown(() => old.subscribe("more")),
      "EBADF",
      "no new work",
    )
    await within("the drain", drained)
    t.ok(old.closed)
    await start(name, first!.endpoints[0]!)
  }
  going = false
  await Promise.all(load)
  t.strictSame(failures, [])
  t.ok(answered > 150, `${answered} requests were answered`)
})

t.test("drain: what was accepted is finished, what was published is read, and nothing new comes", async (t) => {
  await using net = await testMesh(["a", "b", "c"])
  const { a, b, c } = net.mesh
  let proceed!: () => void
  const gate = new Promise<void>((resolve) => (proceed = resolve))
  const done: string[] = []
  b.serve("slow", async (data, call) => {
    await gate
    return [data, await call.request("helper")]
  })
  b.serve("helper", () => "helped")
  c.serve("other", () => "c")
  b.serve("other", () => "b")
  b.subscribe("jobs", { queue: "w", prefetch: 5 }, async ({ data }) => {
    await gate
    done.push(data as string)
  })
  await net.settle()
  const slow = a.request("slow", 1)
  for (const job of ["1", "2", "3"]) t.equal((await a.publish("jobs", job)).sent, 1)
  await a.flush()
  const left = new Promise<string>((resolve) => a.once("leave", ({ reason }) => resolve(reason)))
  const drained = b.drain()
  await until("the word", () => a.members.get(b.id) !== undefined && a.explain("other").servers[0]!.free.length === 1)
  for (let i = 0; i < 20; i++) t.equal(await a.request("other"), "c", "it isn't picked any more")
  t.strictSame(await a.publish("jobs", "4"), { sent: 0, waiting: 0, dropped: 1, reasons: { busy: 1 } })
  proceed()
  t.strictSame(await slow, [1, "helped"])
  await within("the drain", drained)
  t.strictSame(done, ["1", "2", "3"])
  t.equal(await left, "goodbye")
  t.equal(b.drain(), b.drain(), "idempotent")
})

t.test("drain: a message that waits for room is handed over first", async (t) => {
  await using net = await testMesh(["a", "b"])
  const { a, b } = net.mesh
  const gates: (() => void)[] = []
  const done: unknown[] = []
  b.subscribe("jobs", { queue: "w", prefetch: 0 }, async ({ data }) => {
    await new Promise<void>((resolve) => gates.push(resolve))
    done.push(data)
  })
  await net.settle()
  await a.publish("jobs", 1)
  await until("the first job", () => gates.length === 1 && a.explain("jobs").groups[0]!.full.length === 1)
  const second = a.publish("jobs", 2, { onFull: "wait" })
  const drained = a.drain()
  gates[0]!()
  t.strictSame(await second, { sent: 1, waiting: 0, dropped: 0, reasons: {} })
  await within("the drain", drained)
  await until("the second job", () => gates.length === 2)
  gates[1]!()
  await until("both", () => done.length === 2)
  t.strictSame(done, [1, 2])
})

t.test("drain: what can't be finished is told, in time", async (t) => {
  await using net = await testMesh(["a", "b"], { clock: "virtual" })
  const { a, b } = net.mesh
  b.serve("never", hang)
  await net.settle()
  const asked = outcome(a.request("never", null, { timeout: 60_000 }))
  await net.advance(10)
  const began = net.clock.now()
  const drained = b.drain({ timeout: 300 })
  drained.catch(() => {})
  await net.until(t.rejects(drained, { code: "TIMEOUT", message: /1 calls/ }))
  t.ok(b.closed)
  t.ok(net.clock.now() - began >= 300)
  t.equal(await net.until(asked), "PEER_LOST")
})
