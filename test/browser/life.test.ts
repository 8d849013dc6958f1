// What happens to pages: reloads, restarted servers, frozen tabs, a network that goes away, tokens that expire. In a real
// Chromium, through its debugging protocol.
import t from "tap"
import { Publisher, Reply, Router, ws } from "../../lib/index.ts"
import { Proxy } from "../support/proxy.ts"
import { events, text, tidy, until, within } from "../support/sockets.ts"
import { launch, noBrowser } from "./support/chromium.ts"
import { serve, stop, type Earshot } from "./support/site.ts"
import { openTab } from "./support/tab.ts"
import { visit } from "./support/visit.ts"
import type { Page } from "playwright-core"

/** In the page. */
declare const earshot: Earshot
/** What `follow` leaves there. */
declare const got: string[]

const skip = noBrowser
const browser = noBrowser === false ? await launch(t, ["--host-resolver-rules=MAP *.test 127.0.0.1"]) : undefined!

/** The page subscribes to everything and keeps it in `got`. */
function follow(page: Page, url: string): Promise<void> {
  return page.evaluate(async (url) => {
    const subscriber = new earshot.Subscriber()
    const got: string[] = []
    Object.assign(globalThis, { subscriber, got })
    subscriber.onmessage = ([frame]) => void got.push(new TextDecoder().decode(frame))
    await subscriber.connect(url)
    await subscriber.subscribe("")
  }, url)
}

const has = (page: Page, message: string): Promise<unknown> =>
  page.waitForFunction((message) => got.includes(message), message)

t.test("a page is reloaded", { skip }, async (t) => {
  const site = await serve(t)
  const publisher = tidy(t, new Publisher())
  await publisher.bind(ws({ server: site.server, path: "/earshot" }))
  const url = `ws://127.0.0.1:${site.port}/earshot`
  const { page, errors } = await visit(t, browser, site.url)
  await follow(page, url)
  await publisher.send("before")
  await has(page, "before")
  await page.reload()
  await until("the old page's end", () => publisher.peers.length === 0)
  await page.waitForFunction("globalThis.earshot !== undefined")
  await follow(page, url)
  await publisher.send("after")
  await has(page, "after")
  t.equal(publisher.peers.length, 1)
  t.strictSame(errors, [])
})

t.test("the server is restarted", { skip }, async (t) => {
  const site = await serve(t)
  const first = tidy(t, new Publisher())
  await first.bind(ws({ server: site.server, path: "/earshot" }))
  const { page, errors } = await visit(t, browser, site.url)
  await follow(page, `ws://127.0.0.1:${site.port}/earshot`)
  await first.send("from the first")
  await has(page, "from the first")
  await first.close()
  await stop(site.server)
  await page.waitForFunction("subscriber.peers.every(({ online }) => !online)")
  const again = await serve(t, {}, { port: site.port })
  const second = tidy(t, new Publisher())
  await second.bind(ws({ server: again.server, path: "/earshot" }))
  await within("the page, with its subscription", second.ready({ topic: "" }))
  await second.send("from the second")
  await has(page, "from the second")
  t.strictSame(errors, [])
})

t.test("a frozen tab keeps its connection", { skip }, async (t) => {
  const site = await serve(t)
  const publisher = tidy(t, new Publisher({ heartbeatInterval: 100, heartbeatTimeout: 400 }))
  await publisher.bind(ws({ server: site.server, path: "/earshot" }))
  const accepted = events(publisher, "accept")
  const lost = events(publisher, "disconnect")
  const tab = await openTab(t, browser, site.url)
  await tab.evaluate(`new Promise(async (resolve, reject) => {
    while (globalThis.earshot === undefined) await new Promise((next) => setTimeout(next, 1))
    globalThis.subscriber = new earshot.Subscriber()
    await subscriber.connect("ws://127.0.0.1:${site.port}/earshot")
    await subscriber.subscribe("")
    let last = performance.now()
    globalThis.longest = 0
    setInterval(() => {
      const now = performance.now()
      longest = Math.max(longest, now - last)
      last = now
    }, 20)
    resolve()
  })`)
  await tab.send("Page.setWebLifecycleState", { state: "frozen" })
  const [peer] = publisher.peers
  const frozen = performance.now()
  // Five times as long as one that answers nothing would have.
  await until("signs of life", () => lost.length > 0 || peer!.lastHeard! > frozen + 2000)
  t.strictSame(lost, [])
  await publisher.send("while it was frozen")
  await tab.send("Page.setWebLifecycleState", { state: "active" })
  const taken = tab.evaluate("subscriber.receive().then(([frame]) => new TextDecoder().decode(frame))")
  let received: unknown
  void taken.then((message) => (received = message))
  await until("the message, or another connection", () => received !== undefined || accepted.length === 2)
  // Chromium 156 keeps the connection of a frozen tab, and ends it when the tab wakes to something that came meanwhile.
  if (received === undefined) {
    await publisher.ready({ topic: "" })
    await publisher.send("while it was frozen")
  } else t.equal(accepted.length, 1, "all on one connection")
  t.equal(await taken, "while it was frozen")
  const longest = (await tab.evaluate("longest")) as number
  t.ok(longest > 1500, `nothing ran in it for ${longest} ms`)
})

t.test("a page is left, and comes back from the back-forward cache", { skip }, async (t) => {
  const own = await launch(t, [], ["--disable-back-forward-cache"])
  const site = await serve(t, { "/other": "<!doctype html><title>another page</title>" })
  const publisher = tidy(t, new Publisher())
  await publisher.bind(ws({ server: site.server, path: "/earshot" }))
  const tab = await openTab(t, own, site.url)
  /** Asked again while there is no page to answer. */
  const there = async (holds: string): Promise<void> => {
    let is: unknown = false
    void (async () => {
      while (is !== true) is = await tab.evaluate(holds).catch(() => false)
    })()
    await until(holds, () => is === true)
  }
  await there("globalThis.earshot !== undefined")
  await tab.evaluate(`new Promise(async (resolve) => {
    const shown = (globalThis.shown = [])
    for (const type of ["pagehide", "pageshow"])
      addEventListener(type, ({ persisted }) => shown.push(persisted ? type : type + " for good"))
    globalThis.subscriber = new earshot.Subscriber()
    await subscriber.connect("ws://127.0.0.1:${site.port}/earshot")
    await subscriber.subscribe("")
    resolve()
  })`)
  await tab.send("Page.navigate", { url: `${site.url}/other` })
  await until("the connection's end", () => publisher.peers.length === 0)
  await there(`location.pathname === "/other"`)
  const { entries } = (await tab.send("Page.getNavigationHistory")) as { entries: { id: number }[] }
  const from = performance.now()
  await tab.send("Page.navigateToHistoryEntry", { entryId: entries.at(-2)!.id })
  await there(`location.pathname === "/" && globalThis.earshot !== undefined`)
  const shown = (await tab.evaluate("globalThis.shown")) as string[] | undefined
  if (shown === undefined)
    return void t.pass("loaded anew", { skip: "this Chromium (a headless shell) keeps no page; a full one would" })
  await until("the connection", () => publisher.peers.length === 1)
  t.comment(`${Math.round(performance.now() - from)} ms`)
  t.strictSame(shown, ["pagehide", "pageshow"], "the very same page")
  await publisher.ready({ topic: "" })
  await publisher.send("welcome back")
  t.equal(await tab.evaluate("subscriber.receive().then(([frame]) => new TextDecoder().decode(frame))"), "welcome back")
})

t.test("the network goes away, and with it the connection, which nobody hears of", { skip }, async (t) => {
  const site = await serve(t)
  const publisher = tidy(t, new Publisher())
  await publisher.bind(ws({ server: site.server, path: "/earshot" }))
  const proxy = await Proxy.start(t, `tcp://127.0.0.1:${site.port}`)
  const { page, context, errors } = await visit(t, browser, site.url)
  await follow(page, `${proxy.endpoint.replace("tcp:", "ws:")}/earshot`)
  t.equal(proxy.connections, 1)
  proxy.cut()
  await context.setOffline(true)
  await page.waitForFunction("!navigator.onLine")
  const back = performance.now()
  await context.setOffline(false)
  await until("another connection", () => publisher.peers.length === 2)
  const took = performance.now() - back
  t.ok(took > 1900 && took < 9000, `replaced ${took} ms after the network was back`)
  let seen = false
  void has(page, "once more").then(() => (seen = true))
  // Its subscription comes behind its handshake, and the lost connection has the same one.
  await until("the message", () => {
    publisher.trySend("once more")
    return seen
  })
  t.equal(proxy.connections, 2)
  t.strictSame(errors, [])
})

t.test("a token expires", { skip }, async (t) => {
  const site = await serve(t)
  let valid = "first"
  const reply = tidy(
    t,
    new Reply({ authenticate: ({ token }) => token !== undefined && token === valid && { userId: "ann" } }),
  )
  const place = ws({ server: site.server, path: "/earshot" })
  await reply.bind(place)
  const { page, errors } = await visit(t, browser, site.url)
  const expire = async (next: string): Promise<void> => {
    valid = next
    await reply.unbind(place)
    await reply.bind(place)
  }
  await page.evaluate(async (url) => {
    const [reasons, unauthorized] = [[] as string[], [] as string[]]
    const tokens = ["first", "first", "second", "second", "wrong", "third"]
    const request = new earshot.Request({
      auth: async ({ reason }) => {
        reasons.push(reason)
        return tokens.shift()!
      },
    })
    request.events.on("unauthorized", ({ error }) => unauthorized.push(error.code))
    Object.assign(globalThis, { request, reasons, unauthorized })
    await request.connect(url)
  }, `ws://127.0.0.1:${site.port}/earshot`)
  const ask = async (question: string): Promise<void> => {
    const sent = page.evaluate(async (question) => {
      const { request } = globalThis as unknown as { request: InstanceType<Earshot["Request"]> }
      await request.send(question)
      return new TextDecoder().decode((await request.receive())[0])
    }, question)
    t.equal(text(await within("a question", reply.receive())), question)
    t.equal(reply.peers[0]!.userId, "ann")
    await reply.send("yes")
    t.equal(await sent, "yes")
  }
  await ask("with the first token?")
  await expire("second")
  await page.waitForFunction("reasons.length === 3")
  await ask("with the second?")
  t.strictSame(await page.evaluate("reasons"), ["connect", "reconnect", "refused"])
  await expire("third")
  await page.waitForFunction("unauthorized.length === 1")
  t.strictSame(await page.evaluate("[reasons.slice(3), unauthorized]"), [["reconnect", "refused"], ["UNAUTHORIZED"]])
  t.equal(reply.peers.length, 0)
  await page.evaluate("request.reconnect()")
  await ask("with the third?")
  t.equal(await page.evaluate("reasons.length"), 6, "asked no oftener than that")
  t.strictSame(errors, [])
})

t.test("no token goes where others can read it", { skip }, async (t) => {
  const site = await serve(t)
  const router = tidy(t, new Router({ authenticate: ({ token }) => token === "secret" }))
  await router.bind(ws({ server: site.server, path: "/earshot", hosts: ["device.test"] }))
  const { page, errors } = await visit(t, browser, `http://device.test:${site.port}`)
  const attempt = (insecureAuth: boolean): Promise<string> =>
    page.evaluate(
      async ([url, insecureAuth]) => {
        const dealer = new earshot.Dealer({ auth: () => "secret", insecureAuth, reconnectInterval: -1 })
        return dealer.connect(url).then(
          () => "in",
          (error: unknown) => (error as { code: string }).code,
        )
      },
      [`ws://device.test:${site.port}/earshot`, insecureAuth] as const,
    )
  t.equal(await attempt(false), "INSECURE_AUTH")
  t.equal(await attempt(true), "in")
  t.strictSame(errors, [])
})

t.test("over TLS it may", { skip }, async (t) => {
  const site = await serve(t, {}, { secure: true })
  const reply = tidy(t, new Reply({ authenticate: ({ token }) => token === "secret" && { userId: "ann" } }))
  await reply.bind(ws({ server: site.server, path: "/earshot", hosts: ["device.test"] }))
  void (async () => {
    for await (const [question] of reply) await reply.send(`${String(question)}, ${reply.peers[0]!.userId}`)
  })()
  const { page, errors } = await visit(t, browser, `https://device.test:${site.port}`)
  const answer = await page.evaluate(async (url) => {
    const request = new earshot.Request({ auth: () => "secret" })
    await request.connect(url)
    await request.send("hello")
    return new TextDecoder().decode((await request.receive())[0])
  }, `wss://device.test:${site.port}/earshot`)
  t.equal(answer, "hello, ann")
  t.strictSame(errors, [])
})
