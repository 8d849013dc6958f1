// A nats-server of our own, on a free port of 127.0.0.1, for as long as a run takes.
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Child, Missing } from "./child.mjs"

/** Debian puts it where only root looks. */
const env = { ...process.env, PATH: [process.env.PATH, "/usr/sbin"].join(delimiter) }
const STARTS_MS = 10_000

/** One line about it. */
export function natsVersion() {
  try {
    return `nats-server: ${execFileSync("nats-server", ["--version"], { env, encoding: "utf8" }).trim()}`
  } catch {
    return "nats-server: missing: not on the PATH (Debian: nats-server)"
  }
}

/** Calls `work` with its URL. A subscriber may be far behind before the server gives it up: 512 MB instead of 64. */
export async function withNats(work) {
  if (natsVersion().includes("missing")) throw new Missing("missing: no nats-server on the PATH (Debian: nats-server)")
  const folder = mkdtempSync(join(tmpdir(), "earshot-nats-"))
  const config = join(folder, "nats.conf")
  writeFileSync(config, `listen: "127.0.0.1:-1"\nports_file_dir: "${folder}"\nmax_pending: 512MB\n`)
  const server = new Child("nats-server", ["--config", config], { env })
  try {
    return await work(await urlOf(folder, server))
  } finally {
    server.kill()
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function urlOf(folder, server) {
  for (const late = Date.now() + STARTS_MS; Date.now() < late; await sleep(20)) {
    if (server.code !== undefined) throw new Error(`nats-server ended with ${server.code}`)
    const file = readdirSync(folder).find((name) => name.endsWith(".ports"))
    const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8")
    if (text.endsWith("}")) return JSON.parse(text).nats[0]
  }
  throw new Error(`nats-server has told no port within ${STARTS_MS / 1000} s`)
}
