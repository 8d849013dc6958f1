// Other runtimes than the one that runs this: which versions the tests mean, where their programs are, and how they get here.
// All are npm packages. They are kept in .nodes/, one folder each, which git ignores; package.json knows nothing of them.
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))
const { platform, arch } = process
const ending = platform === "win32" ? ".exe" : ""

/** What `npm run test:runtimes` runs on. */
export const runtimes = [
  { name: "Node 20", kind: "node", version: "20.20.2" },
  { name: "Node 22", kind: "node", version: "22.23.3" },
  { name: "Node 24", kind: "node", version: "24.21.0" },
  { name: "Node 26", kind: "node", version: "26.10.0" },
  { name: "Bun", kind: "bun", version: "1.4.5" },
  { name: "Deno", kind: "deno", version: "2.9.6" },
]

/** Bun or Deno for the ordinary tests, which install nothing: BUN_PATH or DENO_PATH, the PATH, then what was installed here. */
export function find(kind) {
  const named = process.env[`${kind.toUpperCase()}_PATH`]
  if (named !== undefined && named !== "") return named
  const paths = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, kind + ending))
  const { version } = runtimes.find((runtime) => runtime.kind === kind)
  return [...paths, ...installed(kind, version)].find((file) => existsSync(file))
}

/** The program of one version, installed if need be. Throws an Error of one line where it can't be had. */
export function obtain(kind, version) {
  const works = () => installed(kind, version).find(runs)
  const before = works()
  if (before !== undefined) return before
  // The packages `node`, `bun` and `deno` fetch their program by a script; the platform's own package has it inside.
  const name = kind === "node" ? `node-${platform === "win32" ? "win" : platform}-${arch}` : kind
  let why = "its program does not run here"
  try {
    mkdirSync(folderOf(kind, version), { recursive: true })
    const flags = ["--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
    npm(["install", "--prefix", folderOf(kind, version), ...flags, `${name}@${version}`])
  } catch (error) {
    const lines = `${error.stderr ?? ""}\n${error.message}`.split("\n").map((line) => line.trim())
    why = lines.find((line) => /^npm error \S/.test(line)) ?? lines.find((line) => line !== "")
  }
  const after = works()
  if (after === undefined) throw new Error(`${name}@${version} cannot be had here (${why})`)
  return after
}

function folderOf(kind, version) {
  return join(root, ".nodes", kind === "node" ? version : `${kind}-${version}`)
}

/** Where the packages have their programs. */
function installed(kind, version) {
  const modules = join(folderOf(kind, version), "node_modules")
  const below = (folder) => (existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [])
  if (kind === "node") return below(modules).map((folder) => join(folder, ending === "" ? "bin/node" : "bin/node.exe"))
  if (kind === "bun") return below(join(modules, "@oven")).map((folder) => join(folder, "bin", `bun${ending}`))
  return below(join(modules, "@deno")).map((folder) => join(folder, `deno${ending}`))
}

function runs(file) {
  try {
    execFileSync(file, ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

// npm says where it is to the scripts it runs; a direct run finds it on the PATH.
function npm(args) {
  const options = { stdio: ["ignore", "ignore", "pipe"], encoding: "utf8", timeout: 180_000 }
  const { npm_execpath: path } = process.env
  if (path === undefined) execFileSync("npm", args, options)
  else execFileSync(process.execPath, [path, ...args], options)
}
