// `npm run check:package`: packs Earshot, inspects the tarball and installs it the way a user does. One line for each
// check; exits 1 if one failed. A check that cannot run here says why and does not count.
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { browserSize, LIMIT, MESH_LIMIT } from "./browser.mjs"
import { obtain } from "../support/binaries.mjs"
import { filesBelow, nativeParts, sizeBelow } from "./tree.mjs"

const root = fileURLToPath(new URL("../../", import.meta.url))
const temp = mkdtempSync(join(tmpdir(), "earshot-package-"))
const user = join(temp, "user")
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
const entries = Object.keys(manifest.exports)
  .filter((path) => path !== "./package.json")
  .map((path) => path.replace(/^\./, manifest.name))
const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`
let failed = 0
process.on("exit", () => rmSync(temp, { recursive: true, force: true }))

/** Runs a program without a shell and returns what it printed; throws with all of it when it fails. */
function run(file, args, options = {}) {
  try {
    return execFileSync(file, args, {
      cwd: user,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
    }).trim()
  } catch (error) {
    throw new Error([error.message, error.stdout, error.stderr].filter(Boolean).join("\n"), { cause: error })
  }
}

// npm says where it is to the scripts it runs; a direct run finds it on the PATH.
const npm = (args, options) =>
  process.env.npm_execpath === undefined
    ? run("npm", args, options)
    : run(process.execPath, [process.env.npm_execpath, ...args], options)

/** A development tool, from our own node_modules. */
function tool(name, args) {
  const { bin } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"))
  const file = typeof bin === "string" ? bin : Object.values(bin)[0]
  return run(process.execPath, [join(root, "node_modules", name, file), ...args])
}

/** msgpackr is packed with us, and a stand-in for its native part: test/package/no-native. */
const belongs =
  /^(dist\/(lib|transports|patterns)\/|node_modules\/msgpackr(-extract)?\/|package\.json$|README\.md$|LICENSE$)/

class Skip extends Error {}

async function check(title, body) {
  try {
    const note = await body()
    console.log(`ok - ${title}${note === undefined ? "" : `: ${note}`}`)
  } catch (error) {
    if (error instanceof Skip) return console.log(`skipped - ${title}: ${error.message}`)
    failed++
    console.log(`not ok - ${title}\n${String(error?.message ?? error).replace(/^/gm, "    ")}`)
  }
}

/** Another Node, from the npm registry, kept in .nodes/ for the next run. */
function otherNode(version) {
  try {
    return obtain("node", version)
  } catch (error) {
    throw new Skip(error.message)
  }
}

const imports = `for (const name of ${JSON.stringify(entries)}) await import(name)`
const requires = `for (const name of ${JSON.stringify(entries)}) require(name)`

mkdirSync(user)
writeFileSync(join(user, "package.json"), `{ "private": true }\n`)
let tarball = ""

await check("npm pack", () => {
  const [packed] = JSON.parse(
    npm(["pack", "--json", "--silent", "--pack-destination", temp], { cwd: root }).replace(/^[^[]*/, ""),
  )
  tarball = join(temp, packed.filename)
  const strays = packed.files.map(({ path }) => path).filter((path) => !belongs.test(path))
  if (strays.length > 0) throw new Error(`does not belong in the package: ${strays.join(", ")}`)
  return `${packed.files.length} files, ${kB(statSync(tarball).size)} packed, ${kB(packed.unpackedSize)} unpacked`
})
// Nothing else can be asked of a package that isn't there.
if (tarball === "") process.exit(1)
await check("publint", () => void tool("publint", ["run", tarball, "--strict"]))
await check(
  "attw",
  () => void tool("@arethetypeswrong/cli", [tarball, "--profile", "esm-only", "--no-color", "--no-emoji"]),
)
await check("installs into an empty folder", () => {
  npm(["install", "--no-audit", "--no-fund", "--ignore-scripts", tarball])
  return `${filesBelow(join(user, "node_modules")).length} files, ${kB(sizeBelow(join(user, "node_modules")))} in all`
})
await check("no install script, gypfile or native addon in the tree", () => {
  const found = nativeParts(join(user, "node_modules"))
  if (found.length > 0) throw new Error(found.join("\n"))
})
await check(
  `import on Node ${process.versions.node}`,
  () => void run(process.execPath, ["--input-type=module", "-e", imports]),
)
await check(`require on Node ${process.versions.node}`, () => void run(process.execPath, ["-e", requires]))
await check("import and require on Node 20.19.0, the oldest", () => {
  const node = otherNode("20.19.0")
  run(node, ["--input-type=module", "-e", imports])
  run(node, ["-e", requires])
})
await check("Node 18 is refused with one sentence", () => {
  const node = otherNode("18.20.8")
  const said = run(node, [
    "-e",
    `import("earshot").then(() => console.log("it ran"), (error) => console.log(error.message))`,
  ])
  if (said !== "Earshot needs Node 20.19 or newer, and this is Node 18.20.8.") throw new Error(said)
})
await check("bundles, minified for Node", async () => {
  const { build } = await import("esbuild")
  const size = async (contents) => {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: user },
      bundle: true,
      format: "esm",
      platform: "node",
      minify: true,
      write: false,
      logLevel: "silent",
    })
    const [{ contents: code }] = outputFiles
    return `${kB(code.length)} (${kB(gzipSync(code).length)} gzipped)`
  }
  return size(`export * from "earshot"`)
})
await check("bundles, minified for browsers", async () => {
  const sizes = []
  for (const [entry, limit] of [
    ["earshot", LIMIT],
    ["earshot/mesh", MESH_LIMIT],
  ]) {
    const { minified, gzipped } = await browserSize(entry, user)
    if (gzipped > limit) throw new Error(`${entry}: ${kB(gzipped)} gzipped, over ${kB(limit)}`)
    sizes.push(`${entry} ${kB(minified)} (${kB(gzipped)} gzipped)`)
  }
  return sizes.join(", ")
})

process.exitCode = failed > 0 ? 1 : 0
