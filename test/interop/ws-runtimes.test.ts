// WebSockets on Node, Bun and Deno, with the package as built: each dials sockets on Node, and listens for one. Bun and Deno
// are looked for as BUN_PATH and DENO_PATH, on the PATH, and in .nodes/ (`npm i --prefix .nodes bun deno`).
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import t, { type Test } from "tap"
import { Publisher, Pull, Push, Reply, Request, ws } from "../../lib/index.ts"
import { CERTIFICATE, KEY } from "../support/certificate.ts"
import { range, tidy, within } from "../support/sockets.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))
const MESSAGES = 20_000

function find(name: "bun" | "deno"): string | undefined {
  const named = process.env[`${name.toUpperCase()}_PATH`]
  if (named !== undefined && named !== "") return named
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), join(root, ".nodes/node_modules/.bin")]
  return folders.map((folder) => join(folder, name)).find((file) => existsSync(file))
}

/** A user's project, with what `npm i earshot` brings it. */
const project = mkdtempSync(join(tmpdir(), "earshot-runtimes-"))
t.teardown(() => rmSync(project, { recursive: true, force: true }))
for (const file of ["package.json", "dist"])
  cpSync(join(root, file), join(project, "node_modules/earshot", file), { recursive: true })
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { dependencies: object }
for (const name of Object.keys(dependencies))
  cpSync(join(root, "node_modules", name), join(project, "node_modules", name), { recursive: true })
cpSync(join(root, "test/support/peers/runtime.mjs"), join(project, "runtime.mjs"))

/** Runs the program; resolves to the line it prints. */
function run(t: Test, [file, ...flags]: readonly string[], args: readonly string[]): Promise<unknown> {
  const env = { PATH: process.env["PATH"], HOME: project, DENO_NO_UPDATE_CHECK: "1" }
  const child: ChildProcess = spawn(file!, [...flags, "runtime.mjs", ...args], { cwd: project, env })
  t.teardown(() => child.kill("SIGKILL"))
  let [output, complaints] = ["", ""]
  child.stderr!.on("data", (data: Buffer) => (complaints += data.toString()))
  const line = new Promise<unknown>((resolve, reject) => {
    child.stdout!.on("data", (data: Buffer) => {
      output += data.toString()
      if (output.includes("\n")) resolve(JSON.parse(output))
    })
    child.on("error", reject)
    child.on("close", (code) => reject(new Error(`it ended with ${code}: ${complaints.slice(0, 2000)}`)))
  })
  return within("what it prints", line)
}

for (const [name, command] of [
  ["Node", [process.execPath]],
  ["Bun", [find("bun"), "run"]],
  ["Deno", [find("deno"), "run", "--allow-all", "--no-config", "--node-modules-dir=manual"]],
] as const) {
  const skip = command[0] === undefined ? `no ${name} here` : false

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
    t.strictSame(await run(t, command as readonly string[], ["dial", `ws://127.0.0.1:${port}`, secure, CERTIFICATE]), {
      numbers: MESSAGES,
      large: 3_000_000,
      news: ["news/today", "it works"],
      answer: "it is me",
    })
    await sent
    t.strictSame(numbers, [...range(0, MESSAGES), "3000000 bytes"], "all of it, in order")
  })

  t.test(`${name} listens`, { skip }, async (t) => {
    const endpoints = (await run(t, command as readonly string[], ["listen"])) as string[]
    t.equal(endpoints.length, 2)
    for (const endpoint of endpoints) {
      const request = tidy(t, new Request())
      void request.connect(endpoint)
      const [question, rest] = await within("an answer", request.request("x".repeat(300_000)))
      t.strictSame([question!.length, String(rest)], [300_000, "is the question"], endpoint)
    }
  })
}
