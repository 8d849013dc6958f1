// The package check itself is `npm run check:package`; here is proof that its search of an installed tree finds things.
import { readFileSync } from "node:fs"
import t from "tap"
import { nativeParts, sizeBelow } from "./package/tree.mjs"

t.test("what would build or run at install time is found, however deep", async (t) => {
  const folder = t.testdir({
    clean: { "package.json": `{ "name": "clean", "scripts": { "prepare": "x", "test": "x" } }`, "index.js": "" },
    pre: { "package.json": `{ "scripts": { "preinstall": "x" } }` },
    install: { node_modules: { deep: { "package.json": `{ "scripts": { "install": "x", "postinstall": "x" } }` } } },
    gyp: { "package.json": `{ "gypfile": true }`, "binding.gyp": "{}" },
    addon: { prebuilds: { "addon.node": "12345" } },
  })
  t.strictSame(
    nativeParts(folder)
      .map((line) => line.replaceAll("\\", "/"))
      .sort(),
    [
      "addon/prebuilds/addon.node",
      "gyp/binding.gyp",
      "gyp/package.json: gypfile",
      "install/node_modules/deep/package.json: install script",
      "install/node_modules/deep/package.json: postinstall script",
      "pre/package.json: preinstall script",
    ],
  )
  t.strictSame(nativeParts(`${folder}/clean`), [])
  t.equal(sizeBelow(`${folder}/addon`), 5)
})

t.test("nothing that users get runs at install, nor brings a native part", async (t) => {
  type Entry = { dev?: boolean; devOptional?: boolean; hasInstallScript?: boolean; os?: string[]; cpu?: string[] }
  const lock = readFileSync(new URL("../package-lock.json", import.meta.url), "utf8")
  const { packages } = JSON.parse(lock) as { packages: Record<string, Entry> }
  const theirs = Object.entries(packages).filter(([, entry]) => entry.dev !== true && entry.devOptional !== true)
  t.ok(theirs.some(([path]) => path === "node_modules/msgpackr"))
  t.strictSame(
    theirs.filter(([, entry]) => entry.hasInstallScript === true || entry.os !== undefined || entry.cpu !== undefined),
    [],
  )
})
