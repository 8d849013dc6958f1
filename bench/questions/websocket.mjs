// Over WebSockets: how many messages between two processes and from Node to a page, and how long does a request take?
import { visit } from "../support/browser.mjs"
import { start } from "../support/sides.mjs"
import { roundTrips } from "./latency.mjs"
import { stream, WARM_SECONDS } from "./throughput.mjs"

const AT = "ws://127.0.0.1:*"

const sizes = [
  { label: "64 B", size: 64, quick: true, mark: { least: 10 } },
  { label: "1 KB", size: 1024 },
  { label: "64 KB", size: 65_536, quick: true, mark: { least: 0.9 } },
]

export function webSocket({ seconds, quick }) {
  return [...sizes.map((size) => between(size, seconds)), requests(quick ? 15_000 : 30_000), ...toPages(seconds)]
}

/** Node to Node. */
function between({ label, size, mark, quick }, seconds) {
  const name = `push/pull over ws ${label}`
  const row = (mode, theirs, more = {}) => ({
    name: `${name}, ${mode === "await" ? "for await" : mode}`,
    ours: `earshot:${mode}`,
    theirs,
    figure: "rate",
    unit: "msg/s",
    ...more,
  })
  return {
    name,
    sides: ["jszmq", "earshot:await", "ws", "earshot:callback", "socketio"],
    rows: [
      row("callback", "ws", { mark, quick }),
      row("await", "ws", { mark }),
      row("callback", "jszmq"),
      row("callback", "socketio"),
    ],
    run: (side, mode, total = guess(side, size)) =>
      stream(side, mode, total, seconds, { size, ...(side === "earshot" ? { at: AT } : {}) }),
    size: ({ rate }) => Math.ceil(rate * (seconds + WARM_SECONDS)),
  }
}

function requests(total) {
  const name = "request/reply over ws 64 B"
  const row = (figure, more = {}) => ({
    name: `${name}, ${figure}`,
    ours: "earshot",
    theirs: "ws",
    figure,
    unit: "µs",
    ...more,
  })
  return {
    name,
    sides: ["earshot", "ws"],
    rows: [row("p50", { mark: { most: 1.3 }, quick: true }), row("p99")],
    run: (side, _, amount = total) => roundTrips(side, amount, side === "earshot" ? { at: AT } : {}),
    long: 150_000,
  }
}

/** Node to a page in Chromium. */
function toPages(seconds) {
  return sizes.map(({ label, size, mark }) => {
    const name = `publish to a page ${label}`
    return {
      name,
      sides: ["ws", "earshot"],
      rows: [{ name, ours: "earshot", theirs: "ws", figure: "rate", unit: "msg/s", mark }],
      run: (side, _, total = guess("page", size)) => feed(side, size, total, seconds),
      size: ({ rate }) => Math.ceil(rate * (seconds + WARM_SECONDS)),
    }
  })
}

async function feed(side, size, total, seconds) {
  const warm = Math.ceil((total * WARM_SECONDS) / (seconds + WARM_SECONDS))
  const publisher = start(side, "feed", { size, total })
  try {
    const { url } = await publisher.answer()
    const result = await visit(url, { size, warm, total }, publisher)
    if (result.count !== total) throw new Error(`${result.count} messages of ${total} arrived`)
    await publisher.end()
    return { rate: (total - warm) / result.seconds }
  } finally {
    await publisher.stop()
  }
}

/** Of the first run, which isn't counted. */
function guess(side, size) {
  return Math.ceil(Math.min(side === "earshot" ? 500_000 : 20_000, 1e9 / size))
}
