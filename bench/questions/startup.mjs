// How long does a program take that does nothing but `import "earshot"`? Whole processes, from start to exit.
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Missing } from "../support/child.mjs"

const root = fileURLToPath(new URL("../..", import.meta.url))

const programs = { bare: "", earshot: `import "earshot"`, zeromq: `import "zeromq"` }

export function startup({ pairs }) {
  const row = (theirs, rival) => ({
    name: 'import "earshot"',
    ours: "earshot",
    theirs,
    rival,
    figure: "ms",
    unit: "ms",
    quick: true,
  })
  return [
    {
      name: "import",
      rounds: Math.max(9, pairs),
      sides: ["bare", "earshot", "zeromq"],
      rows: [row("bare", "bare node"), row("zeromq", 'import "zeromq"')],
      run: measure,
    },
  ]
}

function measure(side) {
  if (side === "earshot" && !existsSync(`${root}/dist/lib/index.js`)) throw new Missing("not built")
  const begun = performance.now()
  const ran = spawnSync(process.execPath, ["--input-type=module", "--eval", programs[side]], {
    cwd: root,
    encoding: "utf8",
  })
  if (ran.status !== 0) throw new Error(ran.stderr)
  return { ms: performance.now() - begun }
}
