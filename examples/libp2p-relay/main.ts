/**
 * Members that nobody can dial, in one mesh by way of a relay: three processes on this machine, for a few seconds.
 *
 *   node dist/examples/libp2p-relay/main.js
 */
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

/** Starts a program of this folder; `onLine` gets each line it prints. */
function start(name: string, args: readonly string[], onLine: (line: string) => void): ChildProcess {
  const program = fileURLToPath(new URL(`${name}.js`, import.meta.url))
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] })
  createInterface(child.stdout).on("line", onLine)
  return child
}

let relay!: ChildProcess
const endpoint = await new Promise<string>((resolve) => (relay = start("relay", [], resolve)))
console.log(`the relay is at ${endpoint}`)

// Each has greeted the other: all is said.
const greeted = new Set<string>()
const members: ChildProcess[] = []
await new Promise<void>((resolve) => {
  for (const name of ["ada", "bob"])
    members.push(
      start("member", [endpoint, name], (line) => {
        console.log(line)
        if (line.startsWith("hello")) greeted.add(name)
        if (greeted.size === 2) resolve()
      }),
    )
})
for (const child of [...members, relay]) {
  child.kill("SIGTERM")
  await once(child, "exit")
}
