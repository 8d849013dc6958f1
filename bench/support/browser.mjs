// A page in a real browser, for the bench.
import { existsSync, mkdirSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Missing } from "./child.mjs"

const bench = fileURLToPath(new URL("..", import.meta.url))

/** Opens a page in a browser of its own and waits for what its script puts into `globalThis.result`. */
export async function visit(url, args, partner) {
  const browser = await launch()
  try {
    const page = await browser.newPage()
    const failed = new Promise((_, reject) => {
      page.on("pageerror", reject)
      page.on("crash", () => reject(new Error("the page has crashed")))
    })
    failed.catch(() => {})
    await page.goto(`${url}?${new URLSearchParams(args)}`)
    const result = page.waitForFunction(() => globalThis.result, undefined, { timeout: 60_000, polling: 100 })
    return await (await Promise.race([result, failed, partner.failed])).jsonValue()
  } finally {
    await browser.close()
  }
}

/** `CHROMIUM_PATH`, else one on the PATH, else that of npm @sparticuz/chromium. */
async function launch() {
  const playwright = await import("playwright-core").catch(() => {
    throw new Missing("missing: npm playwright-core is not installed")
  })
  const cache = join(bench, "..", "node_modules", ".cache", "chromium")
  mkdirSync(cache, { recursive: true })
  process.env.TMPDIR = cache
  const executablePath = process.env.CHROMIUM_PATH ?? onPath() ?? (await packed())
  return await playwright.chromium.launch({
    executablePath,
    chromiumSandbox: false,
    args: ["--no-sandbox", "--disable-gpu"],
  })
}

function onPath() {
  const folders = (process.env.PATH ?? "").split(delimiter)
  return ["chromium", "google-chrome"]
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find((path) => existsSync(path))
}

async function packed() {
  // So that it unpacks the libraries a bare system lacks.
  process.env.AWS_EXECUTION_ENV ??= "AWS_Lambda_nodejs22.x"
  const { default: chromium } = await import("@sparticuz/chromium").catch(() => {
    throw new Missing("missing: no Chromium (CHROMIUM_PATH names one)")
  })
  return await chromium.executablePath()
}
