// The package check itself is `npm run check:package`; here is proof that its search of an installed tree finds things.
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
