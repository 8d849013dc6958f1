// The mesh's programs in examples/ run to their end, bounded in time, with the output they promise; `npm start` for three
// seconds, also broken on purpose. All as built (dist/), on loopback, with networks of their own.
import { spawn } from "node:child_process"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"

t.setTimeout(180_000)

const root = fileURLToPath(new URL("../", import.meta.url))

interface Outcome {
  readonly code: number | string | null
  readonly out: string
  readonly errors: string
}

/** Runs a built example, with `limit` seconds to end by itself. What the environment says of meshes is not passed on. */
function run(words: readonly string[], env: Readonly<Record<string, string>> = {}, limit = 60): Promise<Outcome> {
  return new Promise((resolve) => {
    const [name, ...args] = words
    const plain = Object.entries(process.env).filter(([key]) => !key.startsWith("EARSHOT_"))
    const child = spawn(process.execPath, [join(root, "dist/examples", `${name}.js`), ...args], {
      cwd: root,
      env: { ...Object.fromEntries(plain), ...env },
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
