// Runs one test file where `tap` means tap.ts beside this; ends with what was counted. Of its tests those are left out whose
// titles begin as the second argument says: [[title, reason], …].
import process from "node:process"
import { pathToFileURL } from "node:url"
import root, { counts, left, tell } from "./tap.ts"

function broken(error: unknown): void {
  root.fail("nothing is thrown where nobody catches it", error)
}
process.on("uncaughtException", broken)
process.on("unhandledRejection", broken)

const [, , file, lacks = "[]"] = process.argv
for (const [title, reason] of JSON.parse(lacks) as [string, string][]) left.set(title, { reason, tests: 0 })

// Nothing that a test merely waits for keeps the process alive.
const hold = setInterval(() => {}, 1000)
try {
  await import(pathToFileURL(file!).href)
} catch (error) {
  broken(error)
}
await root.finish()
clearInterval(hold)
for (const [title, { tests }] of left) if (tests === 0) root.fail(`there is a test "${title}" to leave out`)
tell("counted", JSON.stringify(counts))
process.exit(counts.failed === 0 ? 0 : 1)
