// How long does a request of 64 bytes take to come back, between two processes?
import { start } from "../support/sides.mjs"

const SIZE = 64

export function latency({ quick }) {
  const name = "request/reply 64 B"
  const total = quick ? 15_000 : 30_000
  const row = (figure, theirs, more = {}) => ({
    name: `${name}, ${figure}`,
    ours: "earshot",
    theirs,
    figure,
    unit: "µs",
    ...more,
  })
  // Our option that keeps the core awake: `busyPoll: 100` on both ends.
  const polling = (figure, theirs, more) => ({
    ...row(figure, theirs, more),
    name: `${name}, busyPoll, ${figure}`,
    ours: "earshot:polling",
  })
  return [
    {
      name,
      sides: ["zeromq", "earshot", "net", "libzmq", "ws", "earshot:polling"],
      rows: [
        row("p50", "net", { mark: { most: 1.3 }, quick: true }),
        row("p50", "zeromq", { mark: { most: 0.5 }, quick: true }),
        polling("p50", "zeromq", { mark: { most: 0.5 }, quick: true }),
        polling("p50", "net"),
        polling("p99", "net"),
        row("p50", "libzmq"),
        row("p50", "ws"),
        row("p99", "net", { quick: true }),
        row("p99", "zeromq"),
        row("p99", "libzmq"),
      ],
      run: (side, mode, amount = total) => roundTrips(side, amount, mode === "polling" ? { busyPoll: 100 } : {}),
      long: 150_000,
    },
  ]
}

/** So many requests, the first third of them uncounted; `more` arguments for both ends. */
export async function roundTrips(side, total, more = {}) {
  const args = { size: SIZE, warm: Math.floor(total / 3), total, ...more }
  const reply = start(side, "reply", args)
  let request
  try {
    const { endpoint } = await reply.answer()
    request = start(side, "request", { ...args, endpoint })
    const result = await request.answer(reply)
    await Promise.all([request.end(), reply.end()])
    return result
  } finally {
    await Promise.all([request?.stop(), reply.stop()])
  }
}
