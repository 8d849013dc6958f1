/**
 * The Chromium that the tests drive: CHROMIUM_PATH, else one on the PATH, else the one of the package
 * @sparticuz/chromium, unpacked once into node_modules/.cache. No test of ours downloads one.
 */
import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { chromium, type Browser } from "playwright-core"
import type { Test } from "tap"

const cache = fileURLToPath(new URL("../../../node_modules/.cache/", import.meta.url))

interface Program {
  readonly file: string
  readonly env: Record<string, string>
}

/** Undefined where there is none: say so as the reason of a skip. */
async function find(): Promise<Program | undefined> {
  const named = process.env["CHROMIUM_PATH"]
  if (named !== undefined && named !== "") return { file: named, env: {} }
  for (const folder of (process.env["PATH"] ?? "").split(delimiter))
    for (const name of ["chromium", "google-chrome"]) {
      const file = join(folder, name)
      if (runs(file)) return { file, env: {} }
    }
  if (process.platform !== "linux" || process.arch !== "x64") return undefined
  return packaged()
}

function runs(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Unpacked beside its place and moved there, since several tests may begin at once. */
async function packaged(): Promise<Program> {
  const { version } = createRequire(import.meta.url)("../../../node_modules/@sparticuz/chromium/package.json") as {
    version: string
  }
  const folder = join(cache, `chromium-${version}`)
  if (!existsSync(folder)) {
    const unpacking = `${folder}.${process.pid}`
    mkdirSync(unpacking, { recursive: true })
    const before = { TMPDIR: process.env["TMPDIR"], AWS_EXECUTION_ENV: process.env["AWS_EXECUTION_ENV"] }
    process.env["TMPDIR"] = unpacking
    // Makes it unpack the libraries (NSS) that many systems lack; read when the package is imported.
    process.env["AWS_EXECUTION_ENV"] = "AWS_Lambda_nodejs22.x"
    const { default: packed } = await import("@sparticuz/chromium")
    await packed.executablePath()
    for (const [name, value] of Object.entries(before))
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    try {
      renameSync(unpacking, folder)
    } catch {
      rmSync(unpacking, { recursive: true, force: true })
    }
  }
  return {
    file: join(folder, "chromium"),
    // Its own list of fonts only where the system has none: the folders in it are those of its makers.
    env: {
      LD_LIBRARY_PATH: join(folder, "al2023", "lib"),
      ...(existsSync("/etc/fonts/fonts.conf") ? {} : { FONTCONFIG_PATH: join(folder, "fonts") }),
    },
  }
}

const program: Program | undefined = await find()

/** For tap's `skip`: false, or why there can be no such test here. */
export const noBrowser: false | string =
  program === undefined ? "no Chromium here: set CHROMIUM_PATH, or put one on the PATH" : false

/** A browser that ends with the test. `without`: arguments that Playwright would give it. */
export async function launch(t: Test, args: readonly string[] = [], without: readonly string[] = []): Promise<Browser> {
  mkdirSync(cache, { recursive: true })
  const { file, env } = program!
  const browser = await chromium.launch({
    executablePath: file,
    chromiumSandbox: false,
    args: ["--no-sandbox", "--disable-gpu", ...args],
    ignoreDefaultArgs: [...without],
    env: { ...(process.env as Record<string, string>), ...env, TMPDIR: cache },
    timeout: 60_000,
  })
  t.teardown(() => browser.close())
  return browser
}
