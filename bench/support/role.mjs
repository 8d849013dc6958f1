// What every program on a side of the bench needs: `node side.mjs <role> key=value …` in, one line of JSON out.
import { writeSync } from "node:fs"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"

/** Written at once, so that nothing is lost when the program exits. */
export function say(answer) {
  writeSync(1, `${JSON.stringify(answer)}\n`)
}

/** The parent's lines, each the number of connections to add; 0 means: settle. Ends when the parent closes our stdin. */
export async function* orders() {
  for await (const line of createInterface({ input: process.stdin })) yield Number(line)
}

export const epoch = () => performance.timeOrigin + performance.now()

/** Lets connections settle, then collects garbage where the bench asked for it (`--expose-gc`). */
export async function settle() {
  if (globalThis.gc === undefined) return
  await sleep(300)
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await sleep(50)
  }
}

/** Calls the role named on the command line with its arguments, numbers as numbers. `exit: false`: the program ends by itself. */
export async function play(roles, { exit = true } = {}) {
  const [name, ...pairs] = process.argv.slice(2)
  const args = {}
  for (const pair of pairs) {
    const at = pair.indexOf("=")
    const value = pair.slice(at + 1)
    args[pair.slice(0, at)] = /^\d+$/.test(value) ? Number(value) : value
  }
  if (roles[name] === undefined) throw new Error(`no such role: ${name}`)
  await roles[name](args)
  if (exit) process.exit()
}

/** For a rival or a part of ours that is not there: the row says so. */
export function missing(reason) {
  say({ missing: reason })
  process.exit()
}

/** Every message has the size it was sent with. */
export function verify(length, size) {
  if (length !== size) throw new Error(`a message of ${length} bytes instead of ${size}`)
}

/** Percentiles, in microseconds, of the times in ms. */
export function percentiles(times) {
  times.sort()
  const at = (share) => times[Math.floor(times.length * share)] * 1000
  return { count: times.length, p50: at(0.5), p99: at(0.99) }
}
