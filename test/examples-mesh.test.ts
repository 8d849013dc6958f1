// The mesh's programs in examples/ run to their end, bounded in time, with the output they promise; `npm start` for three
// seconds, also broken on purpose. All as built (dist/), on loopback, with networks of their own.
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { createServer, type AddressInfo } from "node:net"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"
import { parse } from "yaml"
import { NameServer } from "./support/dns.ts"
import { until } from "./support/sockets.ts"

t.setTimeout(180_000)

const root = fileURLToPath(new URL("../", import.meta.url))

interface Outcome {
  readonly code: number | string | null
  readonly out: string
  readonly errors: string
}

/** What the environment says of meshes is not passed on. */
const plain = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("EARSHOT_")))

/** Runs a built example, which must end by itself. */
function run(words: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const [name, ...args] = words
    const child = spawn(process.execPath, [join(root, "dist/examples", `${name}.js`), ...args], {
      cwd: root,
      env: plain,
      timeout: 60_000,
      killSignal: "SIGKILL",
    })
    let out = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
    child.on("close", (code, signal) => resolve({ code: code ?? signal, out, errors }))
  })
}

t.test("the mesh at work, for three seconds", async (t) => {
  const { code, out, errors } = await run(["main", "--for", "3"])
  t.equal(code, 0, "exit code 0", { out, errors })
  t.equal(errors, "", "nothing on the error channel")
  const names = ["attic", "cellar", "kitchen", "worker-1", "worker-2", "worker-3", "answers-1", "answers-2", "office"]
  for (const name of names) t.match(out, `  ${name} has joined\n`)
  t.match(out, /worker-2 is gone \(goodbye\)[^]*worker-2 has joined/, "one worker leaves and comes back")
  t.match(out, /answers-1 is gone \(lost\)[^]*answers-1 has joined/, "one server is killed and replaced")
  t.match(out, /^ +[\d.]+ s {2}\d+ members, [\d,]+ readings, \d+ jobs done; office: \d/m, "lines tell how it goes")
  const [, ...counts] = /All is well: (\d+) readings, (\d+) jobs and (\d+) requests among 10 members;/.exec(out) ?? []
  t.ok(counts.length === 3 && counts.map(Number).every((count) => count >= 10), counts.join(", "))
})

t.test("the mesh at work notices what is broken on purpose", async (t) => {
  const breakages = {
    lose: /^FAILED: sensors\.cellar\.temp: 1 of \d+ are lost$/m,
    twice: /^FAILED: sensors\.attic\.temp: 1 came twice$/m,
    crash: /^FAILED: worker-3 \(process \d+\) failed: exit code 3$/m,
  }
  for (const [breakage, reason] of Object.entries(breakages)) {
    const { code, out, errors } = await run(["main", "--for", "3", "--break", breakage])
    t.equal(code, 1, `${breakage}: exit code 1`, { out, errors })
    t.match(errors, reason, `${breakage}: a clear line says why`)
  }
  t.equal((await run(["main", "--for", "soon"])).code, 2, "and what it can't understand")
})

t.test("every small program of the mesh has its test", async (t) => {
  const files = readdirSync(join(root, "examples")).filter((name) => /^mesh-.*\.ts$/.test(name))
  t.strictSame(files.sort(), ["mesh-alarms.ts", "mesh-service.ts", "mesh-work-pool.ts"])
})

t.test("examples/mesh-alarms.ts", async (t) => {
  const { code, out, errors } = await run(["mesh-alarms"])
  t.equal(code, 0, "ends by itself with exit code 0", { out, errors })
  t.equal(errors, "", "and without complaints")
  t.equal(out, 'alarms.kitchen.hot {"celsius":30}\nalarms.cellar.silent {"reason":"lost"}\n')
})

t.test("examples/mesh-work-pool.ts", async (t) => {
  const { code, out, errors } = await run(["mesh-work-pool"])
  t.equal(code, 0, "ends by itself with exit code 0", { out, errors })
  t.equal(errors, "", "and without complaints")
  t.match(out, "there are 114155 primes below 1500000, and 430 below 3000\n")
  const [, long, most] = /^60 jobs done by 3 processes; who had the long one did (\d+), the busiest (\d+)$/m.exec(out)!
  t.ok(Number(long) <= 10 && Number(most) >= 20, `${long} and ${most}`)
})

/** What a service of examples/compose.yaml says, as far as it is read here. */
interface Service {
  readonly command: readonly [string, ...string[]]
  readonly environment: Readonly<Record<string, string>>
  readonly scale?: number
}

// Docker is not run: its command lines are, with three addresses of this machine for three containers, and a name server that
// knows what Docker's would.
t.test(
  "examples/compose.yaml",
  { skip: process.platform !== "linux" && "127.0.1.1 is an address on Linux alone" },
  async (t) => {
    const { services } = parse(readFileSync(join(root, "examples/compose.yaml"), "utf8")) as {
      services: Record<"service" | "asker", Service>
    }
    t.strictSame(Object.keys(services), ["service", "asker"])
    const addresses = Array.from({ length: services.service.scale! }, (_, at) => `127.0.1.${at + 1}`)
    t.equal(addresses.length, 3)
    const server = await NameServer.start(t)
    const port = await freePort("127.0.1.1")
    server.set("service", addresses)
    const folder = t.testdir({
      "resolver.mjs": `
      import dns from "node:dns/promises"
      import { syncBuiltinESMExports } from "node:module"
      dns.Resolver = class extends dns.Resolver {
        constructor(options) {
          super(options)
          this.setServers(["${server.address}"])
        }
      }
      syncBuiltinESMExports()`,
    })
    const children: ChildProcess[] = []
    t.teardown(() => children.forEach((child) => child.kill("SIGKILL")))

    /** As a container of its own would, but for the address. */
    const start = ({ command, environment }: Service, name: string, address: string, more: readonly string[] = []) => {
      const env = Object.fromEntries(
        Object.entries(environment).map(([key, value]) => [
          key,
          value.replace("4101", `${port}`).replace("*", address),
        ]),
      )
      t.strictSame(Object.keys(env).sort(), ["EARSHOT_DNS", "EARSHOT_LISTEN", "EARSHOT_NETWORK"])
      const [program, ...args] = command
      t.equal(program, "node")
      const child = spawn(process.execPath, ["--import", join(folder, "resolver.mjs"), ...args, ...more], {
        cwd: root,
        // As in Kubernetes: no multicast.
        env: { ...plain, ...env, EARSHOT_NAME: name, KUBERNETES_SERVICE_HOST: "10.0.0.1" },
      })
      children.push(child)
      const said = { out: "", errors: "" }
      child.stdout.setEncoding("utf8").on("data", (text: string) => (said.out += text))
      child.stderr.setEncoding("utf8").on("data", (text: string) => (said.errors += text))
      return { child, said, ended: once(child, "close") }
    }

    const copies = addresses.map((address, at) => start(services.service, `copy-${at + 1}`, address))
    for (const { said } of copies) await until("a copy answers", () => / answers at tcp:/.test(said.out))
    const asker = start(services.asker, "asker", "127.0.1.9", ["12"])
    await asker.ended
    t.equal(asker.child.exitCode, 0, "the asker ends", asker.said)
    t.equal(asker.said.errors, "")
    const answers = asker.said.out.trim().split("\n")
    t.equal(answers.length, 12)
    for (const answer of answers) t.match(answer, /^copy-[123] says: 14 letters$/)
    t.ok(new Set(answers).size > 1, "more than one of them was asked")

    for (const { child, said, ended } of copies) {
      child.kill("SIGTERM")
      await ended
      t.equal(child.exitCode, 0, "SIGTERM: it drains, and ends", said)
      t.equal(said.errors, "")
    }
  },
)

async function freePort(address: string): Promise<number> {
  const server = createServer().listen(0, address)
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}
