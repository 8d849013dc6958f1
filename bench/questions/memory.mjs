// How much resident memory does an idle connection cost, on each end?
// One process listens with one socket, the other opens one socket per connection; every connection has carried a message
// before it falls idle. The figure is the growth from 200 to 2,200 connections, after a forced collection of garbage,
// divided by 2,000: what a program pays once is not in it.
import { setTimeout as sleep } from "node:timers/promises"
import { needLinux, resident } from "../support/proc.mjs"
import { start } from "../support/sides.mjs"

const FIRST = 200
const MORE = 2_000

export function memory({ quick }) {
  const row = (figure, theirs, more = {}) => ({
    name: `idle connection, ${figure}`,
    ours: "earshot",
    theirs,
    figure,
    unit: "KB RSS",
    ...more,
  })
  const ends = ["listening end", "connecting end"]
  return [
    {
      name: "idle connection",
      rounds: quick ? 1 : undefined,
      sides: ["zeromq", "earshot", "net", "libzmq"],
      rows: ends.flatMap((end) => [
        row(end, "net", { mark: { on: "ours", most: 20 }, quick: true }),
        row(end, "zeromq"),
        row(end, "libzmq"),
      ]),
      run: measure,
    },
  ]
}

async function measure(side) {
  needLinux()
  const listener = start(side, "gather", {}, ["--expose-gc"])
  let crowd
  try {
    const { endpoint } = await listener.answer()
    crowd = start(side, "crowd", { endpoint }, ["--expose-gc"])
    await crowd.answer()
    const before = await grow(listener, crowd, FIRST)
    const after = await grow(listener, crowd, MORE)
    const each = (end) => (after[end] - before[end]) / MORE
    return { "listening end": each("listener"), "connecting end": each("crowd") }
  } finally {
    await Promise.all([listener.stop(), crowd?.stop()])
  }
}

async function grow(listener, crowd, count) {
  listener.order(count)
  crowd.order(count)
  await Promise.all([listener.answer(crowd), crowd.answer(listener)])
  await sleep(200)
  return { listener: resident(listener.pid), crowd: resident(crowd.pid) }
}
