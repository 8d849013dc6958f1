// The sides of a contest: ours and the rivals, each a program that plays the same roles.
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Child, Missing } from "./child.mjs"
import { natsVersion } from "./nats-server.mjs"

const bench = fileURLToPath(new URL("..", import.meta.url))

const built = mkdtempSync(join(tmpdir(), "earshot-bench-"))
process.on("exit", () => rmSync(built, { recursive: true, force: true }))

/** Where `--profile` wants one CPU profile per program. */
export const profiling = { directory: undefined }

export const names = {
  earshot: "Earshot",
  libzmq: "libzmq C",
  zeromq: "zeromq.js",
  net: "raw net",
  ws: "ws",
  jszmq: "jszmq",
  socketio: "socket.io",
  libp2p: "Earshot",
  "libp2p-raw": "raw libp2p stream",
  gossipsub: "gossipsub",
  "mesh-gossipsub": "Earshot",
  mesh: "Earshot",
  nats: "nats.js",
  cote: "cote",
  moleculer: "moleculer",
}

let libzmqProblem

/** Starts `role` of a side. `flags`: of Node; `before`: words in front of the command. Throws Missing where the side is not there. */
export function start(side, role, args = {}, flags = [], before = []) {
  const words = [role, ...Object.entries(args).map(([key, value]) => `${key}=${value}`)]
  if (side === "libzmq") {
    if (libzmqProblem !== undefined) throw new Missing(libzmqProblem)
    return new Child(join(built, "libzmq"), words)
  }
  const program = join(bench, "sides", `${side}.mjs`)
  const [command, ...rest] = [...before, process.execPath, ...flags, ...profiler(role), program, ...words]
  return new Child(command, rest)
}

function profiler(role) {
  const { directory } = profiling
  if (directory === undefined) return []
  return ["--cpu-prof", `--cpu-prof-dir=${directory}`, `--cpu-prof-name=${role}.cpuprofile`, "--cpu-prof-interval=250"]
}

/** Gets the rivals ready; returns one line about each. */
export async function prepare() {
  return [prepareLibzmq(), await prepareZeromq(), ...prepareOwn(), natsVersion(), ...ofProject(), `Earshot: ${ours()}`]
}

function ours() {
  const entry = join(bench, "..", "dist", "lib", "index.js")
  return existsSync(entry) ? "dist/lib/index.js" : "not built (npm run build)"
}

function prepareLibzmq() {
  const source = join(bench, "sides", "libzmq.c")
  const made = spawnSync("cc", ["-O2", "-o", join(built, "libzmq"), source, "-lzmq"], { encoding: "utf8" })
  if (made.error !== undefined) libzmqProblem = "missing: no C compiler (cc)"
  else if (/zmq\.h|-lzmq/.test(made.stderr)) libzmqProblem = "missing: no zmq.h (Debian: libzmq3-dev)"
  else if (made.status !== 0) libzmqProblem = `missing: cc failed: ${made.stderr.split("\n")[0]}`
  if (libzmqProblem !== undefined) return `libzmq C: ${libzmqProblem}`
  const { version } = JSON.parse(execFileSync(join(built, "libzmq"), { encoding: "utf8" }))
  return `libzmq C: ${version}, compiled on the spot with cc -O2`
}

async function prepareZeromq() {
  try {
    const child = start("zeromq", "version")
    const { version } = await child.answer()
    await child.end()
    const npm = JSON.parse(readFileSync(join(bench, "..", "node_modules", "zeromq", "package.json"), "utf8")).version
    return `zeromq.js: npm zeromq ${npm} with libzmq ${version}`
  } catch (error) {
    return `zeromq.js: ${error.message.split("\n")[0]}`
  }
}

/** The bench's own dependencies: its first run installs them. */
function prepareOwn() {
  const rivals = Object.entries(JSON.parse(readFileSync(join(bench, "package.json"), "utf8")).dependencies)
  if (rivals.some(([name, version]) => versionIn(bench, name) !== version)) {
    process.stderr.write("bench: first run: installing rivals into bench/node_modules\n")
    const npm = process.platform === "win32" ? "npm.cmd" : "npm"
    const args = ["install", "--prefix", bench, "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    spawnSync(npm, args, { stdio: ["ignore", "ignore", "inherit"], timeout: 120_000 })
  }
  return rivals.map(([name]) => {
    const version = versionIn(bench, name)
    return version === undefined ? `${name}: missing: npm could not install it` : `${name}: npm ${name} ${version}`
  })
}

/** The project's own devDependencies. */
function ofProject() {
  return ["jszmq", "libp2p", "@libp2p/gossipsub"].map((name) => {
    const version = versionIn(join(bench, ".."), name)
    return version === undefined ? `${name}: missing: npm ${name} is not installed` : `${name}: npm ${name} ${version}`
  })
}

/** Of what is installed in a folder. */
function versionIn(folder, name) {
  try {
    return JSON.parse(readFileSync(join(folder, "node_modules", name, "package.json"), "utf8")).version
  } catch {
    return undefined
  }
}
