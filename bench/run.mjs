// `npm run bench`: every figure against its rivals, in one run and one table. See README.md.
import { writeFileSync } from "node:fs"
import { arch, cpus, loadavg, platform, release, totalmem } from "node:os"
import { parseArgs } from "node:util"
import { fanout } from "./questions/fanout.mjs"
import { idle } from "./questions/idle.mjs"
import { latency } from "./questions/latency.mjs"
import { overLibp2p } from "./questions/libp2p.mjs"
import { matching } from "./questions/matching.mjs"
import { memory } from "./questions/memory.mjs"
import { meshCrowd } from "./questions/mesh-crowd.mjs"
import { meshOverload } from "./questions/mesh-overload.mjs"
import { meshIdle } from "./questions/mesh-idle.mjs"
import { mesh } from "./questions/mesh.mjs"
import { size } from "./questions/size.mjs"
import { startup } from "./questions/startup.mjs"
import { storm } from "./questions/storm.mjs"
import { subjects } from "./questions/subjects.mjs"
import { throughput } from "./questions/throughput.mjs"
import { webSocket } from "./questions/websocket.mjs"
import { hold } from "./support/contest.mjs"
import { profile } from "./support/profile.mjs"
import { prepare } from "./support/sides.mjs"
import { table } from "./support/table.mjs"

const usage = `npm run bench -- [options]
  --quick            the main rows in two minutes
  --only <pattern>   rows whose "name rival" matches this regular expression
  --pairs <n>        rounds of alternating runs (7; under --quick 3)
  --seconds <s>      length of one throughput run (1; under --quick 0.5)
  --json <file>      every single figure, as JSON
  --list             the names of the rows
  --profile <row>    our side of the first row that matches, under the profiler`

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    pairs: { type: "string" },
    seconds: { type: "string" },
    json: { type: "string" },
    list: { type: "boolean", default: false },
    profile: { type: "string" },
    help: { type: "boolean", default: false },
  },
})

const quick = options.quick
const pairs = Number(options.pairs ?? (quick ? 3 : 7))
const seconds = Number(options.seconds ?? (quick ? 0.5 : 1))
const questions = [
  throughput,
  latency,
  fanout,
  webSocket,
  overLibp2p,
  mesh,
  meshIdle,
  meshCrowd,
  meshOverload,
  matching,
  subjects,
  storm,
  memory,
  idle,
  startup,
  size,
]
const contests = questions.flatMap((question) => question({ quick, seconds, pairs }))

const title = (row) => `${row.name} ${row.theirs ?? ""}`
const matches = (pattern) => (row) => new RegExp(pattern, "i").test(title(row))

function chosen(contest) {
  const wanted = options.only === undefined ? (row) => !quick || row.quick === true : matches(options.only)
  return { ...contest, rows: contest.rows.filter(wanted) }
}

function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

async function main() {
  if (options.help) return console.log(usage)
  if (options.list) return console.log(contests.flatMap((contest) => contest.rows.map(title)).join("\n"))
  if (options.profile !== undefined) return await profiled(matches(options.profile))

  const began = new Date()
  const machine = `${cpus().length} cores, ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GB, ${platform()} ${arch()} ${release()}, Node ${process.version}, ${began.toISOString().slice(0, 16)}Z`
  console.log(machine)
  const load = loadavg()[0]
  if (load > 0.5) console.log(`load average ${load.toFixed(1)}: something else is running, the figures will suffer`)
  const sides = await prepare()
  for (const side of sides) console.log(side)

  const rows = []
  for (const contest of contests.map(chosen)) {
    if (contest.rows.length > 0) rows.push(...(await hold(contest, { pairs, progress })))
  }
  progress("")
  if (rows.length === 0) return console.log("no row matches")

  console.log("\nmedian (min..max) of alternating runs; a ratio is the median of the ratios of the pairs\n")
  console.log(table(rows))
  const failures = failuresOf(rows)
  if (failures.length > 0) console.log(`\nFailed:\n${failures.join("\n")}`)
  const marked = rows.filter((row) => row.mark !== undefined)
  const minutes = ((Date.now() - began.getTime()) / 60_000).toFixed(1)
  console.log(
    `\n${marked.filter((row) => row.reached).length} of ${marked.length} marks reached, in ${minutes} minutes`,
  )
  if (options.json !== undefined)
    writeFileSync(options.json, JSON.stringify({ machine, load, sides, pairs, seconds, quick, rows }, undefined, 1))
  if (failures.length > 0) process.exitCode = 1
}

/** Each failure once, with the first row that it spoilt. */
function failuresOf(rows) {
  const found = new Map()
  for (const { name, problems } of rows) {
    for (const { side, text, missing } of problems) {
      if (!missing && !found.has(text)) found.set(text, `${name}: ${side}: ${text}`)
    }
  }
  return [...found.values()]
}

async function profiled(wanted) {
  for (const contest of contests) {
    const row = contest.rows.find(wanted)
    if (row !== undefined) return await profile(contest, row.ours)
  }
  console.log("no row matches; --list names them")
}

await main()
