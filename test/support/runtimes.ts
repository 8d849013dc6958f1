// Bun and Deno beside Node, where they are found (binaries.mjs), and a user's project for them, with the package as built.
import { spawn, type ChildProcess } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Test } from "tap"
import { find } from "./binaries.mjs"
import { within } from "./sockets.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))

/** A runtime: how it runs a program, or why it can't here. */
export interface Runtime {
  readonly name: string
  readonly command: readonly string[]
  readonly skip: string | false
}

export const runtimes: readonly Runtime[] = (
  [
    ["Node", [process.execPath]],
    ["Bun", [find("bun"), "run"]],
    ["Deno", [find("deno"), "run", "--allow-all", "--no-config", "--node-modules-dir=manual"]],
  ] as const
).map(([name, [file, ...flags]]) => ({
  name,
  command: [file ?? "", ...flags],
  skip: file === undefined ? `no ${name} here (npm run test:runtimes brings it)` : false,
}))

/** A user's project, with what `npm i earshot` brings it, and one program. */
export class Project {
  private readonly folder = mkdtempSync(join(tmpdir(), "earshot-runtimes-"))
  private readonly program: string

  /** `program`: a file of test/support/peers. */
  constructor(t: Test, program: string) {
    this.program = program
    t.teardown(() => rmSync(this.folder, { recursive: true, force: true }))
    for (const file of ["package.json", "dist"])
      cpSync(join(root, file), join(this.folder, "node_modules/earshot", file), { recursive: true })
    this.install(new Set(), join(root, "package.json"))
    cpSync(join(root, "test/support/peers", program), join(this.folder, program))
  }

  /** Runs the program; resolves to the line it prints. */
  run(t: Test, { command: [file, ...flags] }: Runtime, args: readonly string[]): Promise<unknown> {
    const env = { PATH: process.env["PATH"], HOME: this.folder, DENO_NO_UPDATE_CHECK: "1" }
    const child: ChildProcess = spawn(file!, [...flags, this.program, ...args], { cwd: this.folder, env })
    t.teardown(() => child.kill("SIGKILL"))
    let [output, complaints] = ["", ""]
    child.stderr!.on("data", (data: Buffer) => (complaints += data.toString()))
    const line = new Promise<unknown>((resolve, reject) => {
      child.stdout!.on("data", (data: Buffer) => {
        output += data.toString()
        if (output.includes("\n")) resolve(JSON.parse(output))
      })
      child.on("error", reject)
      child.on("close", (code) => reject(new Error(`it ended with ${code}: ${complaints.slice(0, 2000)}`)))
    })
    return within("what it prints", line)
  }

  private install(done: Set<string>, manifest: string): void {
    const { dependencies = {} } = JSON.parse(readFileSync(manifest, "utf8")) as { dependencies?: object }
    for (const name of Object.keys(dependencies)) {
      if (done.has(name)) continue
      done.add(name)
      const from = join(root, "node_modules", name)
      cpSync(from, join(this.folder, "node_modules", name), { recursive: true })
      this.install(done, join(from, "package.json"))
    }
  }
}
