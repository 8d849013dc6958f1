// What do 100 idle connections cost the processor? Wake-ups (voluntary context switches of all threads) and time on a
// core over 10 s, both processes together. Against as many idle raw `net` connections (Node itself wakes up now and then
// after work) and two Node processes that hold nothing but a timer.
// With default options a PING every 10 s and its PONG wake each end at most three times per connection in that time;
// with `heartbeatInterval: 0` there must be nothing beyond raw `net`.
import { setTimeout as sleep } from "node:timers/promises"
import { activity, needLinux } from "../support/proc.mjs"
import { start } from "../support/sides.mjs"

const CONNECTIONS = 100
const SETTLE = 4_000
const PERIOD = 10_000
const HEARTBEATS = 2 * 3 * CONNECTIONS
const NOTHING = 40

export function idle({ quick }) {
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
      rounds: quick ? 1 : 3,
      sides: ["bare", "earshot", "net", "earshot:silent", "zeromq"],
      rows: [
        row("wake-ups", "net", { mark: { on: "more", most: HEARTBEATS }, quick: true }),
        row("wake-ups", "net", { ...silent, mark: { on: "more", most: NOTHING } }),
        row("wake-ups", "zeromq"),
        row("processor time", "net", { quick: true }),
        row("processor time", "zeromq"),
        row("processor time", "bare"),
      ],
      run: measure,
    },
  ]
}

async function measure(side, mode) {
  needLinux()
  const children = side === "bare" ? await bare() : await connected(side, mode === "silent" ? { heartbeat: 0 } : {})
  try {
    await sleep(SETTLE)
    const before = children.map((child) => activity(child.pid))
    await sleep(PERIOD)
    const after = children.map((child) => activity(child.pid))
    const sum = (key) => after.reduce((total, one, i) => total + one[key] - before[i][key], 0)
    return { "wake-ups": sum("wakes"), "processor time": sum("ms") }
  } finally {
    await Promise.all(children.map((child) => child.stop()))
  }
}

async function bare() {
  const children = [start("net", "bare"), start("net", "bare")]
  for (const child of children) await child.answer()
  return children
}

async function connected(side, options) {
  const listener = start(side, "gather", options)
  const { endpoint } = await listener.answer()
  const crowd = start(side, "crowd", { endpoint, ...options })
  await crowd.answer()
  listener.order(CONNECTIONS)
  crowd.order(CONNECTIONS)
  await Promise.all([listener.answer(crowd), crowd.answer(listener)])
  return [listener, crowd]
}
