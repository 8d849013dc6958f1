// What a page has to load: all patterns with `ws` and NULL, bundled for browsers, minified and gzipped. Run alone, it
// prints the figure; test/package/check.mjs holds it to LIMIT.
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

/** Bytes. The goal is 15,000; this is what has been reached, rounded up. Only ever lower it. */
export const LIMIT = 29_800

/** The same of `earshot/mesh`, with msgpackr, which is a seventh of it: what has been reached, rounded up. */
export const MESH_LIMIT = 85_500

/** Bytes of the bundle, minified, and of the same gzipped. `entry`: what is imported, from the folder `resolveDir`. */
export async function browserSize(entry, resolveDir) {
  const { outputFiles } = await build({
    stdin: { contents: `export * from ${JSON.stringify(entry)}`, resolveDir },
    bundle: true,
    format: "esm",
    platform: "browser",
    minify: true,
    write: false,
    logLevel: "silent",
  })
  const [{ contents }] = outputFiles
  return { minified: contents.length, gzipped: gzipSync(contents, { level: 9 }).length }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL("../../", import.meta.url))
  for (const [entry, limit, goal] of [
    ["./lib/index.browser.ts", LIMIT, ", goal 15000"],
    ["./lib/mesh/index.browser.ts", MESH_LIMIT, ""],
  ]) {
    const { minified, gzipped } = await browserSize(entry, root)
    console.log(`${entry}: ${minified} bytes minified, ${gzipped} gzipped (limit ${limit}${goal})`)
    if (gzipped > limit) process.exitCode = 1
  }
}
