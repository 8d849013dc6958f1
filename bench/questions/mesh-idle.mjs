// How much resident memory has a member, above a Node process that holds nothing but a timer? `Mesh.join()` with default
// options, one subscription, and another member linked, in a process of its own; both found each other by mDNS on loopback.
// Once when it has just begun, after forced collections of garbage; and once when it has been idle for a while, as it is.
import { setTimeout as sleep } from "node:timers/promises"
import { needLinux, resident } from "../support/proc.mjs"
import { start } from "../support/sides.mjs"

/** V8 looks for memory to give back up to 12 s after the last work. */
const IDLE = 20_000

/** Of this round: MB by side. */
const measured = new Map()

export function meshIdle({ pairs }) {
  const row = (name, more) => ({
    name,
    ours: "mesh",
    theirs: "net",
    rival: "bare node",
    figure: "mb",
    unit: "MB RSS",
    ...more,
  })
  const contest = (name, garbage, wait, more) => ({
    name,
    rounds: Math.min(3, pairs),
    sides: ["net", "mesh"],
    rows: [row(name, more)],
    begin: () => look(garbage, wait),
    run: (side) => ({ mb: measured.get(side) }),
  })
  return [
    contest("mesh: idle member", [], IDLE, { mark: { on: "more", most: 15 } }),
    contest("mesh: member that has just begun", ["--expose-gc"], 0, {}),
  ]
}

/** Both sides of a round at once: nobody does anything, and each process is looked at by itself. */
async function look(flags, wait) {
  needLinux()
  measured.clear()
  const network = `bench-${process.pid}`
  const children = [start("net", "bare", {}, flags), ...[1, 2].map(() => start("mesh", "idle", { network }, flags))]
  try {
    await Promise.all(children.map((child) => child.answer()))
    await sleep(wait)
    for (const [at, side] of ["net", "mesh"].entries()) measured.set(side, resident(children[at].pid) / 1024)
  } finally {
    await Promise.all(children.map((child) => child.stop()))
  }
}
