// How much resident memory does an idle connection cost, on each end?
// One process listens with one socket; the other connects, with one socket as well, or with a socket for each connection.
// Every connection has carried messages before it falls idle, and they come fifty at a time. The figure is the growth from
// 1,000 to 3,000 connections, after forced collections of garbage, divided by 2,000: what a program pays once, such as V8's young generation, is not in it.
import { needLinux, resident } from "../support/proc.mjs"
import { start } from "../support/sides.mjs"

const LISTENING = "listening end"
const CONNECTING = "connecting end"
const FIRST = 1_000
const MORE = 2_000
const AT_ONCE = 50

export function memory({ quick }) {
  const row = (mode, figure, theirs, more = {}) => ({
    name: `idle connection, ${figure}${mode === "crowd" && figure === CONNECTING ? ", a socket each" : ""}`,
    ours: `earshot:${mode}`,
    theirs: `${theirs}${theirs === "net" ? "" : `:${mode}`}`,
    figure,
    unit: "KB RSS",
    ...more,
  })
  const marked = { mark: { on: "ours", most: 20 }, quick: true }
  const rows = (mode, figure) => [
    row(mode, figure, "net", marked),
    row(mode, figure, "zeromq"),
    row(mode, figure, "libzmq"),
  ]
  return [
    {
      name: "idle connection",
      rounds: quick ? 1 : undefined,
      sides: [
        "zeromq:bundle",
        "earshot:bundle",
        "libzmq:bundle",
        "net",
        "zeromq:crowd",
        "earshot:crowd",
        "libzmq:crowd",
      ],
      rows: [...rows("bundle", LISTENING), ...rows("bundle", CONNECTING), ...rows("crowd", CONNECTING)],
      run: measure,
    },
  ]
}

async function measure(side, mode = "crowd") {
  needLinux()
  const listener = start(side, "gather", {}, ["--expose-gc"])
  let other
  try {
    const { endpoint } = await listener.answer()
    other = start(side, mode, { endpoint }, ["--expose-gc"])
    await other.answer()
    let held = 0
    const add = async (count) => {
      held += count
      const messages = mode === "bundle" && count > 0 ? held : count
      listener.order(messages)
      other.order(count)
      await Promise.all([listener.answer(other), other.answer(listener)])
    }
    const grow = async (count) => {
      for (let n = 0; n < count; n += AT_ONCE) await add(AT_ONCE)
      await add(0) // settle, collect garbage
      return { [LISTENING]: resident(listener.pid), [CONNECTING]: resident(other.pid) }
    }
    const before = await grow(FIRST)
    const after = await grow(MORE)
    return Object.fromEntries(Object.keys(after).map((end) => [end, (after[end] - before[end]) / MORE]))
  } finally {
    await Promise.all([listener.stop(), other?.stop()])
  }
}
