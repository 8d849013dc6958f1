// What do 100 idle connections cost the processor? Wake-ups (voluntary context switches of all threads) and time on a
// core over 10 s, both processes together. Against as many idle raw `net` connections, and two Node processes that hold
// nothing but a timer.
// With default options a PING every 10 s and its PONG wake each end at most three times per connection in that time;
// with `heartbeatInterval: 0` there must be nothing beyond raw `net`.
import { setTimeout as sleep } from "node:timers/promises"
import { activity, needLinux } from "../support/proc.mjs"
import { start } from "../support/sides.mjs"

const CONNECTIONS = 100
/** V8 looks for memory to give back up to 12 s after the last work: that is Node's, not ours. */
const SETTLE = 15_000
const PERIOD = 10_000
const HEARTBEATS = 2 * 3 * CONNECTIONS
const NOTHING = 20

/** Of this round: figures or an error by side. */
let measured = new Map()

export function idle({ pairs }) {
  const row = (figure, theirs, more = {}) => ({
    name: `${CONNECTIONS} idle connections, ${figure} in 10 s`,
    ours: "earshot",
    theirs,
    rival: theirs === "bare" ? "bare node" : undefined,
    figure,
    unit: figure === "wake-ups" ? "wakes" : "ms",
    ...more,
  })
  const silent = { ours: "earshot:silent", name: `${CONNECTIONS} idle connections, no heartbeat, wake-ups in 10 s` }
  return [
    {
      name: `${CONNECTIONS} idle connections`,
      rounds: Math.min(3, pairs),
      sides: ["bare", "earshot", "net", "earshot:silent", "zeromq"],
      rows: [
        row("wake-ups", "net", { mark: { on: "more", most: HEARTBEATS } }),
        row("wake-ups", "net", { ...silent, mark: { on: "more", most: NOTHING } }),
        row("wake-ups", "zeromq"),
        row("processor time", "net"),
        row("processor time", "zeromq"),
        row("processor time", "bare"),
      ],
      begin,
      run,
    },
  ]
}

/** All sides of a round at once: nobody does anything, and each process is looked at by itself. */
async function begin(sides) {
  needLinux()
  measured = new Map()
  const groups = new Map()
  try {
    for (const side of sides) {
      try {
        groups.set(side, await (side === "bare" ? bare() : connected(...side.split(":"))))
      } catch (error) {
        measured.set(side, error)
      }
    }
    await sleep(SETTLE)
    const before = new Map([...groups].map(([side, children]) => [side, sum(children)]))
    await sleep(PERIOD)
    for (const [side, children] of groups) {
      const [first, last] = [before.get(side), sum(children)]
      measured.set(side, { "wake-ups": last.wakes - first.wakes, "processor time": last.ms - first.ms })
    }
  } finally {
    await Promise.all([...groups.values()].flat().map((child) => child.stop()))
  }
}

function run(side, mode) {
  const result = measured.get(mode === undefined ? side : `${side}:${mode}`)
  if (result instanceof Error) throw result
  return result
}

function sum(children) {
  const all = children.map((child) => activity(child.pid))
  return { wakes: all.reduce((total, one) => total + one.wakes, 0), ms: all.reduce((total, one) => total + one.ms, 0) }
}

async function bare() {
  const children = [start("net", "bare"), start("net", "bare")]
  for (const child of children) await child.answer()
  return children
}

async function connected(side, mode) {
  const options = mode === "silent" ? { heartbeat: 0 } : {}
  const listener = start(side, "gather", options)
  try {
    const { endpoint } = await listener.answer()
    const crowd = start(side, "crowd", { endpoint, ...options })
    try {
      await crowd.answer()
      listener.order(CONNECTIONS)
      crowd.order(CONNECTIONS)
      await Promise.all([listener.answer(crowd), crowd.answer(listener)])
      return [listener, crowd]
    } catch (error) {
      await crowd.stop()
      throw error
    }
  } catch (error) {
    await listener.stop()
    throw error
  }
}
