/** A built example that runs until it is told to end. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import type { Test } from "tap"
import { within } from "../support/sockets.ts"

export const root: string = fileURLToPath(new URL("../../", import.meta.url))

export interface Program {
  /** The URL in the first line that it prints. */
  readonly url: string
  /** Ends it, by a signal or by the end of its input: the exit code, and what it complained about. */
  end(how: "signal" | "input"): Promise<{ readonly code: number | string | null; readonly errors: string }>
}

export async function program(t: Test, name: string, args: readonly string[] = []): Promise<Program> {
  // Without tap's loaders.
  const env = { PATH: process.env["PATH"], PORT: "0" }
  const child = spawn(process.execPath, [join(root, "dist/examples", `${name}.js`), ...args], { cwd: root, env })
  let errors = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text))
  const ended = once(child, "close") as Promise<[number | null, string | null]>
  t.teardown(() => child.kill("SIGKILL"))
  const line = once(createInterface(child.stdout), "line") as Promise<[string]>
  const gone = ended.then(() => {
    throw new Error(`${name} ended before it said where it is: ${errors}`)
  })
  gone.catch(() => {})
  const [said] = await within(`${name} says where it is`, Promise.race([line, gone]))
  const [url] = /http:\S+/.exec(said) ?? [said]
  return {
    url,
    async end(how) {
      if (how === "signal") child.kill("SIGTERM")
      else child.stdin.end()
      const [code, signal] = await within(`${name} ends`, ended)
      return { code: code ?? signal, errors }
    },
  }
}
