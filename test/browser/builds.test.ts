// The browser build as pages get it: from bundlers, as a plain module, in workers, under a content security policy, and
// on a server that renders pages. The first part needs no browser.
import { execFile } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { build } from "esbuild"
import t from "tap"
import ts from "typescript"
import { build as viteBuild } from "vite"
import { Reply, ws } from "../../lib/index.ts"
import { tidy, within } from "../support/sockets.ts"
import { launch, noBrowser } from "./support/chromium.ts"
import { bundle, serve, type Earshot, type Site } from "./support/site.ts"
import { visit } from "./support/visit.ts"
import type { Test } from "tap"

/** In the page. */
declare const earshot: Earshot

const skip = noBrowser
const root = fileURLToPath(new URL("../../", import.meta.url))
const browser = noBrowser === false ? await launch(t) : undefined!

/** A user's project with Earshot installed as it is packed, and nothing else: no npm ws, no types of Node. */
const project = mkdtempSync(join(tmpdir(), "earshot-page-"))
t.teardown(() => rmSync(project, { recursive: true, force: true }))
const installed = join(project, "node_modules/earshot")
mkdirSync(installed, { recursive: true })
cpSync(join(root, "package.json"), join(installed, "package.json"))
symlinkSync(join(root, "dist"), join(installed, "dist"), "junction")
// Packed with it.
mkdirSync(join(installed, "node_modules"))
symlinkSync(join(root, "node_modules/msgpackr"), join(installed, "node_modules/msgpackr"), "junction")
writeFileSync(join(project, "package.json"), `{ "type": "module" }`)
writeFileSync(
  join(project, "main.ts"),
  `import { Request, type Frame } from "earshot"
import { ws } from "earshot/transports/ws"
import { Mesh, type MeshMessage } from "earshot/mesh"

export const member: Promise<Mesh> = Mesh.join({ name: "page" })
export const heard: MeshMessage[] = []
const request = new Request()
void request.connect(ws({ url: \`ws://\${location.host}/earshot\` }))
const frame: Frame = new Uint8Array([1])
export const answer: Promise<string> = request
  .send(["hello", frame])
  .then(() => request.receive())
  .then(([first]) => (document.title = new TextDecoder().decode(first)))
`,
)
writeFileSync(join(project, "index.html"), `<!doctype html><script type="module" src="/main.ts"></script>`)

/** What says that something of Node got in. */
const node = /\bnode:|\brequire\(|\bprocess\.|from ?"ws"/

async function answering(t: Test, site: Site): Promise<void> {
  const reply = tidy(t, new Reply())
  await reply.bind(ws({ server: site.server, path: "/earshot" }))
  void (async () => {
    for await (const [question] of reply) await reply.send(`${String(question)} to you`)
  })()
}

t.test("a project as Vite makes it type-checks", async (t) => {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    moduleDetection: ts.ModuleDetectionKind.Force,
    lib: ["lib.es2022.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
    types: [],
    allowImportingTsExtensions: true,
    verbatimModuleSyntax: true,
    strict: true,
    noEmit: true,
    preserveSymlinks: true,
  }
  let before: ts.Program | undefined
  // From the strict one on, so that the DOM's declarations are read once.
  for (const skipLibCheck of [true, false]) {
    const program = ts.createProgram([join(project, "main.ts")], { ...options, skipLibCheck }, undefined, before)
    before = program
    const problems = ts
      .getPreEmitDiagnostics(program)
      .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`)
    t.strictSame(problems, [], `skipLibCheck ${skipLibCheck}`)
  }
})

t.test("imported where pages are rendered, it touches no window", async (t) => {
  // Whatever a page has and a server lacks, touched at import, throws here.
  const program = `
    for (const name of ["window", "document", "location", "origin", "WebSocket", "addEventListener", "self"])
      Object.defineProperty(globalThis, name, { get() { throw new Error(name + " was touched") }, configurable: true })
    const { Request } = await import("earshot")
    const { ws } = await import("earshot/transports/ws")
    const { seeds } = await import("earshot/mesh")
    new Request()
    seeds("wss://device.example/earshot")
    console.log(ws({ url: "ws://device.example/x" }).address)`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=browser", "--input-type=module", "--preserve-symlinks", "-e", program],
    { cwd: project, timeout: 20_000, env: { ...process.env, NODE_OPTIONS: "" } },
  )
  t.equal(stdout.trim(), "device.example:80/x")
})

/** A bundle of the project's main.ts works in a page. */
async function works(t: Test, code: string): Promise<void> {
  t.notMatch(code, node, "nothing of Node is in it")
  // msgpackr looks whether there is a Buffer, and does without; nobody may bring one along.
  t.notMatch(code, /TYPED_ARRAY_SUPPORT|poolSize/, "no shim of Buffer is in it")
  if (skip !== false) return
  const site = await serve(t, { "/page.js": `${code}\nglobalThis.earshot = "here"` })
  await answering(t, site)
  const { page, errors } = await visit(t, browser, site.url)
  await page.waitForFunction("document.title === 'hello to you'")
  t.strictSame(errors, [])
}

t.test("bundled by esbuild", async (t) => {
  const { outputFiles, warnings } = await build({
    absWorkingDir: project,
    entryPoints: ["main.ts"],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    write: false,
    logLevel: "silent",
  })
  t.strictSame(warnings, [])
  await works(t, outputFiles[0]!.text)
})

t.test("bundled by Vite", async (t) => {
  const made = await viteBuild({
    root: project,
    configFile: false,
    logLevel: "silent",
    build: { write: false, modulePreload: false },
  })
  const { output } = (Array.isArray(made) ? made[0] : made) as { output: { type: string; code?: string }[] }
  const scripts = output.filter(({ type }) => type === "chunk")
  t.equal(scripts.length, 1)
  await works(t, scripts[0]!.code!)
})

const ask = `
  globalThis.ask = async (earshot, url) => {
    const request = new earshot.Request()
    await request.connect(url)
    await request.send("hello")
    const [frame] = await request.receive()
    await request.close()
    return new TextDecoder().decode(frame)
  }`

t.test("a plain module, without a bundler of its own, under script-src 'self'", { skip }, async (t) => {
  const files = {
    "/": `<!doctype html><script type="module" src="/main.js"></script>`,
    "/earshot.js": await bundle(`export * from "earshot"`),
    "/main.js": `import * as earshot from "/earshot.js"; ${ask}; globalThis.earshot = earshot`,
  }
  const headers = { "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'" }
  const site = await serve(t, files, { headers })
  await answering(t, site)
  const { page, errors } = await visit(t, browser, site.url)
  const answer = await page.evaluate(
    (url) => (globalThis as unknown as { ask: (library: unknown, url: string) => unknown }).ask(earshot, url),
    `ws://127.0.0.1:${site.port}/earshot`,
  )
  t.equal(answer, "hello to you")
  t.strictSame(errors, [])
})

t.test("in a Web Worker and in a SharedWorker", { skip }, async (t) => {
  const worker = await bundle(`
    import * as earshot from "earshot"
    ${ask}
    const answer = (port) => async ({ data }) => {
      try { port.postMessage(await globalThis.ask(earshot, data)) }
      catch (error) { port.postMessage(String(error)) }
    }
    if ("onconnect" in globalThis)
      globalThis.onconnect = ({ ports: [port] }) => (port.onmessage = answer(port))
    else globalThis.onmessage = answer(globalThis)`)
  const site = await serve(t, { "/worker.js": worker })
  await answering(t, site)
  const { page, errors } = await visit(t, browser, site.url)
  const url = `ws://127.0.0.1:${site.port}/earshot`
  const asked = (kind: "Worker" | "SharedWorker"): Promise<unknown> =>
    page.evaluate(`new Promise((resolve, reject) => {
      const worker = new ${kind}("/worker.js", { type: "module" })
      worker.onerror = () => reject(new Error("it does not start"))
      const port = worker.port ?? worker
      port.onmessage = ({ data }) => resolve(data)
      port.postMessage("${url}")
    })`)
  t.equal(await within("the worker", asked("Worker")), "hello to you")
  t.equal(await within("the shared worker", asked("SharedWorker")), "hello to you")
  t.strictSame(errors, [])
})
