// The example of pages that talk by WebRTC, in a real Chromium on loopback. Its packages are its own and installed here, once, into
// node_modules/.cache; where that can't be done in time the test is skipped and says why.
import { execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { build } from "esbuild"
import t from "tap"
import { launch, noBrowser } from "../browser/support/chromium.ts"
import { within } from "../support/sockets.ts"
import { root } from "./program.ts"

t.setTimeout(240_000)

const example = join(root, "examples/libp2p-webrtc")
const folder = join(root, "node_modules/.cache/libp2p-webrtc")
const PATIENCE = 120_000

/** Why the example's packages are not there; false when they are. For tap's `skip`. */
async function install(): Promise<string | false> {
  const wanted = readFileSync(join(example, "package.json"))
  const done = join(folder, "installed.json")
  if (!existsSync(done) || !readFileSync(done).equals(wanted)) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    for (const name of ["package.json", ".npmrc"]) copyFileSync(join(example, name), join(folder, name))
    try {
      const args = ["install", "--no-audit", "--no-fund", "--prefer-offline"]
      await promisify(execFile)("npm", args, { cwd: folder, timeout: PATIENCE, killSignal: "SIGKILL" })
    } catch (error) {
      return `its packages can't be installed: ${(error as Error).message.split("\n")[0]}`
    }
    copyFileSync(join(folder, "package.json"), done)
  }
  for (const name of ["main.mjs", "page.mjs"]) copyFileSync(join(example, name), join(folder, name))
  rmSync(join(folder, "node_modules/earshot"), { force: true })
  symlinkSync(root, join(folder, "node_modules/earshot"), "junction")
  return false
}

t.test("the transport and the discovery bundle for a page, with nothing of Node", async (t) => {
  const contents = `export * from "earshot/transports/libp2p"; export * from "earshot/mesh/libp2p"`
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root },
    bundle: true,
    format: "esm",
    platform: "browser",
    write: false,
    logLevel: "silent",
  })
  t.notMatch(outputFiles[0]!.text, /["']node:/)
  t.match(outputFiles[0]!.text, "in a browser libp2p needs a node of yours")
})

const missing = noBrowser === false ? await install() : noBrowser

t.test("two pages talk by WebRTC, also when nothing else of the mesh is left", { skip: missing }, async (t) => {
  const env = { PATH: process.env["PATH"], PORT: "0" }
  const server = spawn(process.execPath, [join(folder, "main.mjs")], { env, stdio: ["ignore", "pipe", "pipe"] })
  t.teardown(() => server.kill("SIGKILL"))
  let errors = ""
  server.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
  const ended = once(server, "close")
  const [line] = await within("the server", Promise.race([once(createInterface(server.stdout), "line"), ended]))
  const [url] = /http:\S+/.exec(String(line)) ?? [t.fail(errors)]

  // Addresses as they are, not as names that are asked for by multicast.
  const browser = await launch(t, [
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--allow-loopback-in-peer-connection",
  ])
  const complaints: string[] = []
  const open = async () => {
    const page = await browser.newPage()
    page.setDefaultTimeout(30_000)
    page.on("pageerror", (error) => complaints.push(String(error)))
    await page.goto(String(url))
    await page.locator("#members li", { hasText: "relay, over WebSocket" }).waitFor()
    return page
  }
  const [one, two] = [await open(), await open()]
  const [first, second] = [await one.locator("#name").innerText(), await two.locator("#name").innerText()]
  await one.locator("#members li", { hasText: `${second}, over WebRTC` }).waitFor()
  await two.locator("#members li", { hasText: `${first}, over WebRTC` }).waitFor()

  server.kill("SIGTERM")
  t.strictSame(await within("the server's end", ended), [0, null], errors)
  for (const page of [one, two]) await page.locator("#members li", { hasText: "relay" }).waitFor({ state: "detached" })
  await one.locator("input").fill("good morning")
  await one.locator("button").click()
  for (const page of [one, two]) await page.locator("#said li", { hasText: `${first}: good morning` }).waitFor()
  await one.close()
  await two.locator("#members li").waitFor({ state: "detached" })
  t.strictSame(complaints, [])
})
