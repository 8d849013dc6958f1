// `--profile <row>`: our side of one row under Node's sampling profiler; which functions the time went to.
import { mkdtempSync, readdirSync, readFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { Child } from "./child.mjs"
import { profiling } from "./sides.mjs"

const TOP = 25

export async function profile(contest, side) {
  const directory = mkdtempSync(join(tmpdir(), "earshot-profile-"))
  const [program, mode] = side.split(":")
  const first = await contest.run(program, mode)
  profiling.directory = directory
  Child.grace = 5_000
  const result = await contest.run(program, mode, contest.size === undefined ? contest.long : contest.size(first) * 3)
  console.log(`\n${contest.name}, ${side}:`, result, "(slower than without the profiler)")
  for (const file of readdirSync(directory).sort()) report(join(directory, file))
  console.log(`\nProfiles for Chrome's or VS Code's viewer: ${directory}`)
}

function report(path) {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(path, "utf8"))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const self = new Map()
  const files = new Map()
  let busy = 0
  let idle = 0
  for (const [i, id] of samples.entries()) {
    const { functionName, url, lineNumber } = byId.get(id).callFrame
    const file = url === "" ? "" : basename(url)
    if (functionName === "(idle)") {
      idle += timeDeltas[i]
      continue
    }
    busy += timeDeltas[i]
    add(files, file || "(native, gc)", timeDeltas[i])
    add(self, `${functionName || "(anonymous)"}${file === "" ? "" : `  ${file}:${lineNumber + 1}`}`, timeDeltas[i])
  }
  const seconds = (us) => `${(us / 1e6).toFixed(2)} s`
  console.log(
    `\n== ${basename(path, ".cpuprofile")}: ${seconds(busy)} busy, ${seconds(idle)} idle; self time of the busy part:`,
  )
  print(self, busy, TOP)
  console.log("-- by file:")
  print(files, busy, 12)
}

function add(map, key, value) {
  map.set(key, (map.get(key) ?? 0) + value)
}

function print(map, total, count) {
  for (const [key, value] of [...map].sort((a, b) => b[1] - a[1]).slice(0, count)) {
    console.log(
      `${((value / total) * 100).toFixed(1).padStart(6)} %  ${(value / 1000).toFixed(0).padStart(6)} ms  ${key}`,
    )
  }
}
