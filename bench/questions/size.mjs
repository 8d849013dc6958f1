// How large is the package, packed and installed? Theirs: the installed folder of npm zeromq, with its binaries for all platforms.
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Missing } from "../support/child.mjs"

const root = fileURLToPath(new URL("../..", import.meta.url))

export function size() {
  const row = { ours: "earshot", unit: "KB", quick: true }
  return [
    {
      name: "package",
      rounds: 1,
      sides: ["earshot", "zeromq"],
      rows: [
        { ...row, name: "package, packed", figure: "packed" },
        { ...row, name: "package, installed", figure: "installed", theirs: "zeromq" },
      ],
      run: measure,
    },
  ]
}

function measure(side) {
  if (side === "zeromq") return { installed: folder(join(root, "node_modules", "zeromq")) / 1024 }
  if (!existsSync(join(root, "dist", "lib", "index.js"))) throw new Missing("not built")
  const npm = process.platform === "win32" ? "npm.cmd" : "npm"
  // Without its scripts: they would build anew under a running bench.
  const args = ["pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=error"]
  const [pack] = JSON.parse(execFileSync(npm, args, { cwd: root, encoding: "utf8" }))
  return { packed: pack.size / 1024, installed: pack.unpackedSize / 1024 }
}

function folder(path) {
  if (!existsSync(path)) throw new Missing("missing: npm zeromq is not installed")
  const sizes = readdirSync(path, { withFileTypes: true }).map((entry) =>
    entry.isDirectory() ? folder(join(path, entry.name)) : statSync(join(path, entry.name)).size,
  )
  return sizes.reduce((sum, one) => sum + one, 0)
}
