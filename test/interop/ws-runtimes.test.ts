// WebSockets on Node, Bun and Deno, with the package as built: each dials sockets on Node, and listens for one.
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import t from "tap"
import { Publisher, Pull, Push, Reply, Request, ws } from "../../lib/index.ts"
import { CERTIFICATE, KEY } from "../support/certificate.ts"
import { Project, runtimes } from "../support/runtimes.ts"
import { range, tidy, within } from "../support/sockets.ts"

const MESSAGES = 20_000
const project = new Project(t, "runtime.mjs")

for (const runtime of runtimes) {
  const { name, skip } = runtime

  t.test(`${name} dials`, { skip }, async (t) => {
    const server = createServer()
    const [pull, push, publisher] = [new Pull(), new Push(), new Publisher()]
    tidy(t, pull, push, publisher)
    const places = { "/pull": pull, "/push": push, "/publisher": publisher }
    for (const [path, socket] of Object.entries(places)) await socket.bind(ws({ server, path }))
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    t.teardown(() => server.close())
    const reply = tidy(t, new Reply())
    await reply.bind(ws({ url: "wss://127.0.0.1:*/reply", tls: { cert: CERTIFICATE, key: KEY } }))
    reply.onmessage = () => void reply.send("it is me")
    const numbers: string[] = []
    pull.onmessage = ([frame]) => void numbers.push(frame!.length > 9 ? `${frame!.length} bytes` : String(frame))
    const sent = (async () => {
      for (let n = 0; n < MESSAGES; n++) await push.send(String(n))
      await push.send(new Uint8Array(3_000_000))
      await publisher.ready({ topic: "news/" })
      await publisher.send(["news/today", "it works"])
    })()
    const port = (server.address() as AddressInfo).port
    const secure = reply.lastEndpoint!.replace("127.0.0.1", "localhost").replace("/reply", "")
    t.strictSame(await project.run(t, runtime, ["dial", `ws://127.0.0.1:${port}`, secure, CERTIFICATE]), {
      numbers: MESSAGES,
      large: 3_000_000,
      news: ["news/today", "it works"],
      answer: "it is me",
    })
    await sent
    t.strictSame(numbers, [...range(0, MESSAGES), "3000000 bytes"], "all of it, in order")
  })

  t.test(`${name} listens`, { skip }, async (t) => {
    const endpoints = (await project.run(t, runtime, ["listen"])) as string[]
    t.equal(endpoints.length, 2)
    for (const endpoint of endpoints) {
      const request = tidy(t, new Request())
      void request.connect(endpoint)
      const [question, rest] = await within("an answer", request.request("x".repeat(300_000)))
      t.strictSame([question!.length, String(rest)], [300_000, "is the question"], endpoint)
    }
  })
}
