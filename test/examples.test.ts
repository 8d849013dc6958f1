// Every program in examples/ runs to its end, bounded in time, with exit code 0 and the output it promises; so do the
// sockets at work, with a twentieth of their messages, and notice what is broken on purpose. They run as built (dist/), as
// users run them: `npm test` builds first. The mesh's are in test/examples-mesh.test.ts.
import { spawn } from "node:child_process"
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"

// Some thirty processes, one after another.
t.setTimeout(150_000)

const root = fileURLToPath(new URL("../", import.meta.url))

interface Outcome {
  readonly code: number | string | null
  readonly out: string
  readonly errors: string
}

/** Runs a built example, with `limit` seconds to end by itself. */
function run(words: readonly string[], { folder = root, limit = 40 } = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const [name, ...args] = words
    const child = spawn(process.execPath, [join(folder, "dist/examples", `${name}.js`), ...args], {
      cwd: folder,
      timeout: limit * 1000,
      killSignal: "SIGKILL",
    })
    let out = ""
    let errors = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
    child.on("close", (code, signal) => resolve({ code: code ?? signal, out, errors }))
  })
}

/** What each small program prints, line by line where the order is certain. */
const programs: Readonly<Record<string, readonly (string | RegExp)[]>> = {
  "work-pool": ["there are 669 primes below 5000", "there are 6057 primes below 60000", "24 jobs done by 3 processes"],
  sensors: [
    "a sensor has joined, 3 in all",
    "temperature/attic: 25.4 degrees",
    "temperature/cellar: 12.4 degrees",
    "temperature/kitchen: 21.4 degrees",
    "15 readings, and none about humidity, which nobody asked for",
  ],
  service: [
    "in this order: ironing done, washing done, cooking done",
    "too slow: TIMEOUT",
    "called off: never mind",
    "in spite of a breakdown: a done, b done",
  ],
  broker: ["300 of 300 replies are right", "every worker has worked: yes"],
  "other-languages": ["libzmq says: HELLO FROM THE OTHER SIDE"],
}

t.test("every small program has its test", async (t) => {
  const files = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts") && !name.startsWith("mesh-"))
  t.strictSame(files.sort(), [...Object.keys(programs), "main", "sockets"].map((name) => `${name}.ts`).sort())
})

for (const [name, lines] of Object.entries(programs))
  t.test(`examples/${name}.ts`, async (t) => {
    const { code, out, errors } = await run([name])
    t.equal(code, 0, "ends by itself with exit code 0", { out, errors })
    t.equal(errors, "", "and without complaints")
    const printed = out.split("\n")
    t.strictSame(
      lines.filter((line) => !printed.includes(String(line))),
      [],
      "prints what it should",
      { out },
    )
  })

t.test("the sockets at work, shortened", async (t) => {
  const { code, out, errors } = await run(["sockets", "--quick"], { limit: 55 })
  t.equal(code, 0, "exit code 0", { out, errors })
  t.equal(errors, "", "nothing on the error channel")
  const titles = [...out.matchAll(/^\d+\. (.*)$/gm)].map(([, title]) => title!)
  for (const words of [
    ["Push and Pull"],
    ["Publisher and Subscriber"],
    ["XSubscriber and XPublisher"],
    ["Request and Reply"],
    ["Router and Dealer"],
    ["Pair"],
    ["tcp"],
    ["ipc"],
    ["inproc"],
    ["WebSockets", "ws"],
    ["libzmq"],
  ])
    t.ok(
      titles.some((title) => words.every((word) => title.includes(word))),
      `an act about ${words.join()}`,
    )
  t.match(out, /: [\d,]+ jobs a second/, "tells a rate")
  t.match(out, /\nAll is well: [\d,]{6,} messages in [\d.]+ s, each arrived once and where it should\.\n$/)
})

t.test("the sockets at work notice what goes wrong", async (t) => {
  const breakages = {
    lose: "14,999 of 15,000 arrived (results); missing: number 1000",
    twice: "results number 1000 came twice",
    crash: /^worker \(process \d+\) failed: exit code 3$/,
  }
  await Promise.all(
    Object.entries(breakages).map(async ([breakage, reason]) => {
      const { code, out, errors } = await run(["sockets", "--quick", "--only", "work", "--break", breakage])
      t.equal(code, 1, `${breakage}: exit code 1`, { out, errors })
      const said = errors.split("\n").find((line) => line.startsWith("FAILED"))
      t.match(said?.replace(/^FAILED in ".*": /, ""), reason, `${breakage}: a clear line says why`, { errors })
    }),
  )
})

t.test("the sockets at work without npm zeromq", async (t) => {
  // Away from this repository's node_modules.
  const folder = mkdtempSync(join(tmpdir(), "earshot-examples-"))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(root, "package.json"), join(folder, "package.json"))
  cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true })
  const [main, other] = await Promise.all([
    run(["sockets", "--quick", "--only", "libzmq"], { folder }),
    run(["other-languages"], { folder }),
  ])
  t.equal(main.code, 0, "exit code 0", main)
  t.match(main.out, "npm zeromq is not installed", "it says so")
  t.equal(other.code, 0, "exit code 0", other)
  t.match(other.out, "npm zeromq is not installed", "so does the example")
})
