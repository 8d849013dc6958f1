// Each web server of examples/web-servers carries pages and sockets on one port, as built.
import { readdirSync } from "node:fs"
import { join } from "node:path"
import t from "tap"
import { Subscriber } from "../../lib/index.ts"
import { within } from "../support/sockets.ts"
import { program, root } from "./program.ts"

const servers: Readonly<Record<string, string>> = {
  "node-http": "node:http",
  express: "Express",
  fastify: "Fastify",
}

t.test("every web server has its test", async (t) => {
  const files = readdirSync(join(root, "examples/web-servers")).map((file) => file.replace(/\.ts$/, ""))
  t.strictSame(files.sort(), Object.keys(servers).sort())
})

for (const [name, title] of Object.entries(servers))
  t.test(`examples/web-servers/${name}.ts`, async (t) => {
    const server = await program(t, `web-servers/${name}`)
    const page = async (): Promise<void> => {
      const response = await fetch(server.url)
      t.match(await response.text(), new RegExp(`^${title} serves this page`), "serves its page")
      t.equal((await fetch(new URL("/nothing", server.url))).status, 404, "and says what it doesn't have")
    }
    await page()

    const subscriber = new Subscriber()
    t.teardown(() => subscriber.close())
    void subscriber.connect(`${server.url.replace("http", "ws")}earshot`)
    await within("subscribed", subscriber.subscribe("time"))
    const times: number[] = []
    while (times.length < 3) {
      const [topic, time] = await within("a message", subscriber.receive())
      t.equal(String(topic), "time")
      times.push(Date.parse(String(time)))
    }
    t.ok(times[0]! < times[1]! && times[1]! < times[2]!, "the sockets' messages come in order", { times })
    await page()

    const stranger = new Subscriber({ reconnectInterval: -1 })
    t.teardown(() => stranger.close())
    const elsewhere = stranger.connect(`${server.url.replace("http", "ws")}elsewhere`)
    await t.rejects(within("a refusal", elsewhere), { message: /404/ }, "another path is no socket")

    const { code, errors } = await server.end("signal")
    t.equal(code, 0, "ends with all that it has, on a signal")
    t.match(errors, /^earshot: .*\/elsewhere.*\n$/, "and complained about nothing but the wrong path, once", { errors })
  })
