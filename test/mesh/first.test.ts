// The first mesh program of README.md, taken from there: two files of two lines each, run as real processes that find each
// other by mDNS on loopback, started up to a second apart in either order. A hundred times, and none may fail.
import { spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t from "tap"

t.setTimeout(240_000)

/** In each order; ms between the two starts at most; pairs of processes at a time; ms that the one who asks may take. */
const RUNS = 50
const APART = 1000
const AT_ONCE = 4
const PATIENCE = 15_000

const readme = readFileSync(fileURLToPath(new URL("../../README.md", import.meta.url)), "utf8")
const files = Object.fromEntries(
  [...readme.matchAll(/^`(\w+\.mjs)`:\n\n```js\n([\s\S]*?)^```$/gm)].map(([, name, code]) => [name!, code!]),
)
const [, prints] = /^\$ node asks\.mjs\n([\s\S]*?)^```$/m.exec(readme) ?? []

/** Members of one pair see nobody else, whatever the environment of this test says. */
function environment(network: string): NodeJS.ProcessEnv {
  const plain = Object.entries(process.env).filter(([name]) => !/^(EARSHOT|TAP|NODE)_/.test(name))
  return { ...Object.fromEntries(plain), EARSHOT_NETWORK: network }
}

const waited = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

t.test("the README has both files, of two lines each", async (t) => {
  t.strictSame(Object.keys(files), ["answers.mjs", "asks.mjs"])
  for (const [name, code] of Object.entries(files)) t.equal(code.trim().split("\n").length, 2, name)
  t.match(prints, /\S/, "and what is printed")
})

t.test(`${RUNS} times in each order, up to ${APART} ms apart`, async (t) => {
  const folder = t.testdir(files)
  const alive = new Set<ChildProcess>()
  t.teardown(() => alive.forEach((child) => child.kill("SIGKILL")))

  const start = (name: string, network: string): { child: ChildProcess; said: { out: string; errors: string } } => {
    const child = spawn(process.execPath, [join(folder, name)], { env: environment(network) })
    const said = { out: "", errors: "" }
    child.stdout.setEncoding("utf8").on("data", (text: string) => (said.out += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said.errors += text))
    alive.add(child)
    child.once("exit", () => alive.delete(child))
    return { child, said }
  }

  /** Undefined, or what went wrong. */
  const run = async (order: readonly [string, string], number: number): Promise<string | undefined> => {
    const network = `first-${process.pid}-${order[0]}-${number}`
    const apart = Math.round((number * APART) / (RUNS - 1))
    const first = start(order[0], network)
    await waited(apart)
    const second = start(order[1], network)
    const [asks, answers] = order[0] === "asks.mjs" ? [first, second] : [second, first]
    const late = setTimeout(() => asks.child.kill("SIGKILL"), PATIENCE)
    // "close": all that it printed has been read.
    if (asks.child.exitCode === null && asks.child.signalCode === null) await once(asks.child, "close")
    clearTimeout(late)
    const { exitCode, signalCode } = asks.child
    const still = answers.child.exitCode === null && answers.child.signalCode === null
    answers.child.kill("SIGKILL")
    const errors = asks.said.errors + answers.said.errors
    if (exitCode === 0 && asks.said.out === prints && still && errors === "") return undefined
    return `${order[0]} first, ${apart} ms apart: ${exitCode ?? signalCode}, ${JSON.stringify(asks.said.out)}, ${errors}`
  }

  const orders = [
    ["answers.mjs", "asks.mjs"],
    ["asks.mjs", "answers.mjs"],
  ] as const
  const queue = Array.from({ length: RUNS }, (_, number) => orders.map((order) => () => run(order, number))).flat()
  const problems: string[] = []
  const line = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const problem = await next()
      if (problem !== undefined) problems.push(problem)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, line))
  t.strictSame(problems, [])
})
