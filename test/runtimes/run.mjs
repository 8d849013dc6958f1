// `npm run test:runtimes`: the tests on Node 20 to 26, Bun and Deno, all from npm. `-- Bun "Node 20"` for some of them,
// `-- mesh` for a part, `-- test/wire/zws.test.ts` for a file.
// Node runs tap (22 by way of transpile.mjs). Bun and Deno can't, and run the same files with tap.ts in its place. Two at a
// time; one line each, a table, what was skipped and why, and the sum.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { obtain, runtimes } from "../support/binaries.mjs"
import { lacks, parts } from "./parts.mjs"

const root = fileURLToPath(new URL("../../", import.meta.url))
/** ms a file may take. */
const PATIENCE = 240_000
const AT_ONCE = 2

const asked = process.argv.slice(2)
const chosen = (list) =>
  list.some((each) => asked.includes(each)) ? list.filter((each) => asked.includes(each)) : list
const known = [...runtimes.map(({ name }) => name), ...Object.keys(parts), ...Object.values(parts).flat()]
const strange = asked.find((word) => !known.includes(word))
if (strange !== undefined) {
  console.error(`${strange} is none of: ${known.join(", ")}`)
  process.exit(2)
}

// Files that are asked for stand for their parts.
const columns = asked.some((word) => word.includes("/"))
  ? Object.keys(parts).filter((part) => files(part).length > 0)
  : chosen(Object.keys(parts))
function files(part) {
  const some = asked.filter((word) => word.includes("/"))
  return parts[part].filter((file) => some.length === 0 || some.includes(file))
}

if (!existsSync(join(root, "dist/lib/index.js"))) {
  console.error("test:runtimes: dist/ is not built (npm run build)")
  process.exit(2)
}

/** Per runtime and part. */
const cells = new Map()
const skipped = new Map()
const rows = []
/** They end with this. */
const running = new Set()
process.on("exit", () => running.forEach(end))
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1))
let failures = 0

for (const runtime of chosen(runtimes.map(({ name }) => name)).map((name) =>
  runtimes.find((each) => each.name === name),
)) {
  try {
    rows.push({ ...runtime, program: obtain(runtime.kind, runtime.version) })
  } catch (error) {
    console.log(`not ok - ${runtime.name}: ${error.message}`)
    failures++
  }
}

const jobs = rows.flatMap((runtime) => columns.flatMap((part) => files(part).map((file) => ({ runtime, part, file }))))
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await run(job)
  }),
)
report()

/** Runs one file on one runtime. */
async function run({ runtime, part, file }) {
  const missing = lacks.filter(
    (lack) => lack.runtime === runtime.name && [lack.file, lack.part].some((of) => of === file || of === part),
  )
  const cell = cellOf(runtime, part)
  const whole = missing.find((lack) => lack.tests === undefined)
  if (whole !== undefined) {
    cell.skipped++
    return note(runtime, file, reason(whole))
  }
  const from = performance.now()
  const { code, output, late } = await play(command(runtime, file, missing))
  const result = runtime.kind === "node" ? ofTap(output) : ofOurs(output)
  if (late) result.failures.push(`not done after ${PATIENCE} ms; under way: ${result.last ?? "nothing yet"}`)
  else if (code !== 0 && result.failures.length === 0) result.failures.push(`exit code ${code}\n${tail(output)}`)
  else if (code === 0 && result.passed === 0 && result.skips.length === 0) result.failures.push("nothing was tested")
  cell.passed += result.passed
  cell.skipped += result.skips.length
  cell.failed += result.failures.length
  for (const skip of result.skips) note(runtime, file, skip)
  const seconds = ((performance.now() - from) / 1000).toFixed(1)
  const bad = result.failures.length > 0
  console.log(`${bad ? "not ok" : "ok"} - ${runtime.name}: ${file} (${result.passed} passed, ${seconds} s)`)
  for (const failure of result.failures) console.log(failure.replace(/^/gm, "    "))
}

function command({ kind, program, version }, file, missing) {
  const left = JSON.stringify(missing.flatMap((lack) => lack.tests.map((test) => [test, reason(lack)])))
  const ours = [join("test", "runtimes", "file.ts"), file, left]
  if (kind === "bun") return [program, ["run", "--tsconfig-override=test/runtimes/bun.json", ...ours]]
  const deno = ["--no-config", "--no-lock", "--node-modules-dir=manual", "--import-map=test/runtimes/deno.json"]
  if (kind === "deno") return [program, ["run", "--allow-all", ...deno, ...ours]]
  // From 24 on Node strips types itself and knows `await using`: a test file with tap in it is a program.
  const major = Number.parseInt(version, 10)
  if (major >= 24) return [program, ["--no-warnings", file]]
  if (major === 22) return [program, ["--import=./test/runtimes/transpile.mjs", "--enable-source-maps", file]]
  const tap = join("node_modules", "tap", "dist", "esm", "run.mjs")
  return [program, [tap, "run", "--disable-coverage", "--reporter=tap", "--jobs=1", file]]
}

function reason({ what, why }) {
  return `${what.replaceAll("`", "")}: ${why.replaceAll("`", "")}`
}

function play([program, args]) {
  return new Promise((resolve) => {
    const env = { ...process.env, DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1", TAP_TIMEOUT: String(PATIENCE / 1000) }
    const detached = process.platform !== "win32"
    const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], detached })
    running.add(child)
    let output = ""
    let late = false
    const timer = setTimeout(() => {
      late = true
      end(child)
    }, PATIENCE)
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text))
    child.on("error", (error) => resolve({ code: error.message, output, late }))
    // A program that a test left behind holds these pipes, too.
    child.on("exit", () => end(child))
    child.on("close", (code, signal) => {
      running.delete(child)
      clearTimeout(timer)
      resolve({ code: code ?? signal, output, late })
    })
  })
}

/** With all that it has started. */
function end(child) {
  try {
    process.kill(-child.pid, "SIGKILL")
  } catch {
    child.kill("SIGKILL")
  }
}

/** What tap.ts told: see there. */
function ofOurs(output) {
  const { passed = 0 } = JSON.parse(/^counted - (.*)$/m.exec(output)?.[1] ?? "{}")
  const told = (what) => [...output.matchAll(new RegExp(`^${what} - (.*(?:\\n    .*)*)`, "gm"))].map(([, more]) => more)
  const skips = told("skipped").map((skip) => skip.replace(/\n\s*/g, ": "))
  const [begun, ended] = [told("begins"), new Set(told("ended"))]
  return { passed, failures: told("failed"), skips, last: begun.findLast((title) => !ended.has(title)) }
}

/** TAP: assertions are the innermost lines; what goes wrong elsewhere, tap makes one of. */
function ofTap(output) {
  const sum = /^# \{ total: \d+(?:, pass: (\d+))?/m.exec(output)
  const skips = [...output.matchAll(/^ *ok \d+ - (.*) # SKIP ?(.*)$/gm)].map(([, title, why]) => `${title}: ${why}`)
  const blocks = [...output.matchAll(/^( *)not ok \d+ - (.*)(\n\1  ---[\s\S]*?\n\1  \.\.\.)?/gm)]
  // A test fails because of what failed in it: only the first told of.
  const failures = blocks
    .filter(([, , title]) => !/ # time=/.test(title))
    .map(([, , title, more = ""]) => `${title}${more}`)
  const whole = failures.length === 0 && blocks.length > 0 ? [blocks[0][0]] : failures
  return { passed: Number(sum?.[1] ?? 0), failures: whole, skips, last: undefined }
}

function tail(output) {
  return output.split("\n").slice(-15).join("\n")
}

function cellOf(runtime, part) {
  const key = `${runtime.name} ${part}`
  if (!cells.has(key)) cells.set(key, { passed: 0, failed: 0, skipped: 0 })
  return cells.get(key)
}

function note(runtime, file, reason) {
  const key = `${file}: ${reason}`
  skipped.set(key, [...(skipped.get(key) ?? []), runtime.name])
}

function report() {
  const text = ({ passed, failed, skipped: left }) =>
    [`${passed}`, ...(failed > 0 ? [`${failed} FAILED`] : []), ...(left > 0 ? [`${left} skipped`] : [])].join(", ")
  const head = ["", ...columns]
  const lines = [
    head,
    ...rows.map((row) => [`${row.name} (${row.version})`].concat(columns.map((part) => text(cellOf(row, part))))),
  ]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  console.log("\nassertions that passed:\n")
  for (const line of lines)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    )
  if (skipped.size > 0) console.log("\nskipped:\n")
  for (const [what, names] of skipped) console.log(`${names.join(", ")}: ${what}`)
  let passed = 0
  for (const cell of cells.values()) {
    passed += cell.passed
    failures += cell.failed
  }
  console.log(`\n${passed} passed, ${failures} failed`)
  process.exitCode = failures === 0 ? 0 : 1
}
