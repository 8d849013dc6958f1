// Sockets in pages of a real Chromium against sockets on Node, over WebSockets.
import t from "tap"
import { Publisher, Pull, Push, Reply, Request, Router, ws } from "../../lib/index.ts"
import { PATIENCE, theirs, zmq } from "../support/libzmq.ts"
import { text, tidy, until, within } from "../support/sockets.ts"
import { launch, noBrowser } from "./support/chromium.ts"
import { bundle, everything, serve, type Earshot } from "./support/site.ts"
import { visit } from "./support/visit.ts"

/** In the page. */
declare const earshot: Earshot

const skip = noBrowser
const browser = noBrowser === false ? await launch(t, ["--host-resolver-rules=MAP *.test 127.0.0.1"]) : undefined!

t.test("a page subscribes and gets 100,000 messages", { skip }, async (t) => {
  const site = await serve(t)
  const publisher = tidy(t, new Publisher({ noDrop: true }))
  await publisher.bind(ws({ server: site.server, path: "/earshot" }))
  const { page, errors } = await visit(t, browser, site.url)
  const count = 100_000
  const got = page.evaluate(
    async ([url, count]) => {
      const subscriber = new earshot.Subscriber()
      void subscriber.connect(url)
      await subscriber.subscribe("n")
      let next = 0
      const decode = (frame?: Uint8Array): string => new TextDecoder().decode(frame)
      for await (const [topic, number] of subscriber) {
        if (decode(topic) !== "n" || decode(number) !== String(next))
          throw new Error(`${decode(topic)} ${decode(number)} instead of n ${next}`)
        if (++next === count) break
      }
      await subscriber.close()
      return next
    },
    [`ws://127.0.0.1:${site.port}/earshot`, count] as const,
  )
  await within("the subscription", publisher.ready({ topic: "n" }))
  for (let n = 0; n < count; n++) {
    await publisher.send(["n", String(n)])
    if (n % 100 === 0) await publisher.send(["other", "not asked for"])
  }
  t.equal(await got, count)
  t.strictSame(errors, [])
})

t.test("requests both ways", { skip }, async (t) => {
  const site = await serve(t)
  const reply = tidy(t, new Reply())
  const request = tidy(t, new Request())
  await reply.bind(ws({ server: site.server, path: "/ask" }))
  await request.bind(ws({ server: site.server, path: "/answer" }))
  void (async () => {
    for await (const [question] of reply) await reply.send(`${String(question)}, says Node`)
  })()
  const { page, errors } = await visit(t, browser, site.url)
  const answers = page.evaluate(async (base) => {
    const decode = (frame: Uint8Array): string => new TextDecoder().decode(frame)
    const request = new earshot.Request()
    void request.connect(`${base}/ask`)
    const reply = new earshot.Reply()
    void reply.connect(`${base}/answer`)
    const answers: string[] = []
    for (let i = 0; i < 100; i++) {
      await request.send(`question ${i}`)
      answers.push(decode((await request.receive())[0]!))
    }
    const [bytes] = await reply.receive()
    if (bytes!.constructor !== Uint8Array) throw new Error("frames of a page are Uint8Arrays")
    await reply.send(`${decode(bytes)}, says the page`)
    return answers
  }, `ws://127.0.0.1:${site.port}`)
  await within("a place for the request", request.send("anybody there?"))
  t.equal(text(await within("the page's answer", request.receive())), "anybody there?, says the page")
  t.strictSame(
    await answers,
    Array.from({ length: 100 }, (_, i) => `question ${i}, says Node`),
  )
  t.strictSame(errors, [])
})

t.test("a Pull in a page shares work with one on Node", { skip }, async (t) => {
  const site = await serve(t)
  const push = tidy(t, new Push())
  const results = tidy(t, new Pull())
  const here = tidy(t, new Pull())
  await push.bind(ws({ server: site.server, path: "/work" }))
  await results.bind(ws({ server: site.server, path: "/done" }))
  await here.connect(ws({ url: `ws://127.0.0.1:${site.port}/work` }))
  const { page, errors } = await visit(t, browser, site.url)
  await page.evaluate(async (base) => {
    const [pull, push] = [new earshot.Pull(), new earshot.Push()]
    await Promise.all([pull.connect(`${base}/work`), push.connect(`${base}/done`)])
    pull.onmessage = ([job]) => void push.send(["page", job!])
  }, `ws://127.0.0.1:${site.port}`)
  await until("both workers", () => push.peers.filter(({ online }) => online).length === 2)
  const total = 2000
  const done = new Map<string, number>()
  here.onmessage = ([job]) => void done.set(String(job), 1)
  results.onmessage = ([who, job]) => {
    if (String(who) === "page") done.set(String(job), 2)
  }
  for (let job = 0; job < total; job++) await push.send(String(job))
  await until("all results", () => done.size === total)
  const byPage = [...done.values()].filter((who) => who === 2).length
  t.ok(byPage > total / 10 && byPage < (total * 9) / 10, `${byPage} of ${total} were done in the page`)
  t.strictSame(errors, [])
})

t.test("10 MB over ZWS, which Chromium sends in many fragments", { skip }, async (t) => {
  const site = await serve(t)
  const pull = tidy(t, new Pull())
  await pull.bind(ws({ server: site.server, path: "/earshot" }))
  const { page } = await visit(t, browser, site.url)
  const size = 10 * 1024 * 1024
  await page.evaluate(
    async ([url, size]) => {
      const socket = new WebSocket(url, "ZWS2.0")
      await new Promise((resolve) => (socket.onopen = resolve))
      socket.send(new Uint8Array(1))
      socket.send(new Uint8Array(1 + size))
    },
    [`ws://127.0.0.1:${site.port}/earshot`, size] as const,
  )
  const [frame] = await within("the message", pull.receive())
  t.equal(frame!.length, size)
})

t.test("messages of 10 MB, both ways", { skip }, async (t) => {
  const site = await serve(t)
  const reply = tidy(t, new Reply())
  await reply.bind(ws({ server: site.server, path: "/earshot" }))
  const { page, errors } = await visit(t, browser, site.url)
  const size = 10 * 1024 * 1024
  const same = page.evaluate(
    async ([url, size]) => {
      const request = new earshot.Request()
      void request.connect(url)
      const sent = new Uint8Array(size)
      for (let i = 0; i < size; i++) sent[i] = (i * 7) % 253
      await request.send(sent.slice())
      const [back] = await request.receive()
      if (back!.length !== size) return `${back!.length} bytes`
      for (let i = 0; i < size; i++) if (back![i] !== 255 - sent[i]!) return `byte ${i} is ${back![i]}`
      return "same"
    },
    [`ws://127.0.0.1:${site.port}/earshot`, size] as const,
  )
  const [large] = await within("it", reply.receive())
  t.equal(large!.length, size)
  await reply.send(Uint8Array.from(large!, (byte) => 255 - byte))
  t.equal(await same, "same")
  t.strictSame(errors, [])
})

t.test("a page that does not read slows no other", { skip }, async (t) => {
  const site = await serve(t)
  const publisher = tidy(t, new Publisher())
  const acknowledged = tidy(t, new Pull())
  await publisher.bind(ws({ server: site.server, path: "/news" }))
  await acknowledged.bind(ws({ server: site.server, path: "/got" }))
  const base = `ws://127.0.0.1:${site.port}`
  const [slow, quick] = [await visit(t, browser, site.url), await visit(t, browser, site.url)]
  await slow.page.evaluate(async (base) => {
    const subscriber = new earshot.Subscriber()
    await subscriber.connect(`${base}/news`)
    await subscriber.subscribe("")
    Object.assign(globalThis, { subscriber })
  }, base)
  await quick.page.evaluate(async (base) => {
    const [subscriber, push] = [new earshot.Subscriber(), new earshot.Push()]
    await Promise.all([subscriber.connect(`${base}/news`), push.connect(`${base}/got`)])
    await subscriber.subscribe("")
    subscriber.onmessage = ([number]) => void push.send(number!)
  }, base)
  await until("both subscribers", () => publisher.peers.length === 2)
  // 60 MB: far more than the slow page's inbox, its credit and the queue for it take together.
  const [rounds, each] = [60, 100]
  let heard = 0
  acknowledged.onmessage = () => void heard++
  const filling = new Uint8Array(10_000)
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < each; i++) await publisher.send([String(round * each + i), filling.slice()])
    await until("the quick page's word", () => heard === (round + 1) * each)
  }
  t.equal(heard, rounds * each, "the quick one has got all")
  t.ok(publisher.stats().dropped.full!.count > 0, "what the slow one did not take was dropped for it alone")
  const waiting = await slow.page.evaluate(() => {
    const { subscriber } = globalThis as unknown as { subscriber: InstanceType<Earshot["Subscriber"]> }
    return subscriber.peers[0]!.waiting
  })
  t.ok(waiting <= 1000, `${waiting} messages wait in the slow page`)
  t.strictSame([...slow.errors, ...quick.errors], [])
})

t.test("a page from elsewhere is refused", { skip }, async (t) => {
  const site = await serve(t)
  const router = tidy(t, new Router())
  await router.bind(ws({ server: site.server, path: "/earshot" }))
  const { page } = await visit(t, browser, `http://evil.test:${site.port}`)
  const attempt = await page.evaluate(async (url) => {
    const dealer = new earshot.Dealer({ reconnectInterval: -1 })
    return dealer.connect(url).then(
      () => "it came in",
      (error: unknown) => (error as { code: string }).code,
    )
  }, `ws://127.0.0.1:${site.port}/earshot`)
  t.equal(attempt, "ECONNREFUSED")
  t.equal(router.peers.length, 0)
})

t.test("a page over http from a name of the network is no secure context, and works", { skip }, async (t) => {
  const site = await serve(t)
  const reply = tidy(t, new Reply())
  await reply.bind(ws({ server: site.server, path: "/earshot", hosts: ["device.test"] }))
  void (async () => {
    for await (const [question] of reply) await reply.send(question!)
  })()
  const { page, errors } = await visit(t, browser, `http://device.test:${site.port}`)
  t.equal(await page.evaluate("isSecureContext"), false)
  t.equal(await page.evaluate("crypto.subtle === undefined && crypto.randomUUID === undefined"), true)
  const answer = await page.evaluate(async (url) => {
    const request = new earshot.Request({ correlate: true })
    await request.connect(url)
    await request.send("hello")
    return new TextDecoder().decode((await request.receive())[0])
  }, `ws://device.test:${site.port}/earshot`)
  t.equal(answer, "hello")
  t.strictSame(errors, [])
})

t.test("libzmq and a page", { skip }, async (t) => {
  const site = await serve(t)
  const [push, pull, publisher] = [new zmq.Push(), new zmq.Pull(), new zmq.Publisher()]
  theirs(t, push, pull, publisher)
  for (const socket of [push, pull, publisher]) await socket.bind("ws://127.0.0.1:*")
  const addresses = [push, pull, publisher].map(({ lastEndpoint }) => lastEndpoint!)
  const { page, errors } = await visit(t, browser, site.url)
  await page.evaluate(async (addresses) => {
    const [pull, push, subscriber] = [new earshot.Pull(), new earshot.Push(), new earshot.Subscriber()]
    void subscriber.subscribe("weather")
    await Promise.all([pull, push, subscriber].map((socket, i) => socket.connect(addresses[i]!)))
    pull.onmessage = (frames) => void push.send(["pulled", ...frames])
    subscriber.onmessage = (frames) => void push.send(["heard", ...frames])
  }, addresses)
  await push.send(["one", Buffer.alloc(100_000, 1)])
  const [how, name, large] = await pull.receive()
  t.strictSame([String(how), String(name), large], ["pulled", "one", Buffer.alloc(100_000, 1)])
  let got: Buffer[] | undefined
  const heard = pull.receive().then((frames) => (got = frames))
  // libzmq does not say when a subscription has come.
  for (const end = performance.now() + PATIENCE; got === undefined && performance.now() < end;) {
    await publisher.send(["news", "none"])
    await publisher.send(["weather", "fine"])
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.equal(text(await heard), "heard|weather|fine")
  t.strictSame(errors, [])
})

t.test("a page from https can't reach a plain ws address", { skip }, async (t) => {
  const context = await browser.newContext()
  t.teardown(() => context.close())
  const script = await bundle(everything)
  await context.route("https://dashboard.test/**", (route) =>
    route.fulfill(
      route.request().url().endsWith(".js")
        ? { contentType: "text/javascript", body: script }
        : { contentType: "text/html", body: `<script type="module" src="/page.js"></script>` },
    ),
  )
  // What newer browsers ask their users for.
  await context.grantPermissions(["local-network-access"]).catch(() => {})
  const page = await context.newPage()
  await page.goto("https://dashboard.test/")
  await page.waitForFunction("globalThis.earshot !== undefined")
  const site = await serve(t)
  const reply = tidy(t, new Reply())
  await reply.bind(ws({ server: site.server, path: "/earshot", origins: ["*"], hosts: ["*"] }))
  const attempt = (host: string): Promise<string[]> =>
    page.evaluate(async (url) => {
      const dealer = new earshot.Dealer({ reconnectInterval: -1 })
      return dealer.connect(url).then(
        () => ["in"],
        (error: unknown) => [(error as { code: string }).code, (error as Error).message],
      )
    }, `ws://${host}:${site.port}/earshot`)
  const [code, message] = await attempt("device.test")
  t.equal(code, "INSECURE_FROM_HTTPS")
  t.match(message, /certificate/)
  t.strictSame(await attempt("127.0.0.1"), ["in"], "this very machine is no danger")
})
