// Over libp2p: how many messages go through one stream, how long does a request take, against that stream without us; and
// publishing, against gossipsub.
import { fan } from "./fanout.mjs"
import { roundTrips } from "./latency.mjs"
import { stream, WARM_SECONDS } from "./throughput.mjs"

const AT = "libp2p://#bench"

const sizes = [
  { label: "64 B", size: 64, quick: true },
  { label: "1 KB", size: 1024 },
  { label: "64 KB", size: 65_536 },
]

const BATCH = 65_536

const mark = { least: 0.8 }

export function overLibp2p({ seconds, quick }) {
  return [
    ...sizes.map((size) => between(size, seconds)),
    requests(quick ? 6000 : 15_000),
    ...sizes.map((size) => published(size, seconds)),
  ]
}

function between({ label, size, quick }, seconds) {
  const name = `push/pull over libp2p ${label}`
  const row = (mode, theirs, more = {}) => ({
    name: `${name}, ${mode === "await" ? "for await" : mode}`,
    ours: `libp2p:${mode}`,
    theirs: `libp2p-raw:${theirs}`,
    figure: "rate",
    unit: "msg/s",
    ...more,
  })
  return {
    name,
    sides: ["libp2p:await", "libp2p-raw:each", "libp2p:callback", "libp2p-raw:batched"],
    rows: [
      row("callback", "each", { mark, quick }),
      row("await", "each", { mark }),
      // A message of 64 KB is a batch by itself.
      ...(size < BATCH ? [row("callback", "batched", { rival: "raw libp2p stream, batched" })] : []),
    ],
    run: (side, mode, total = guess(side, mode, size)) => stream(side, mode, total, seconds, { size, at: AT }),
    size: ({ rate }) => Math.ceil(rate * (seconds + WARM_SECONDS)),
  }
}

/** Of the first run, which isn't counted. */
function guess(side, mode, size) {
  return Math.ceil(Math.min(side === "libp2p-raw" && mode === "each" ? 20_000 : 200_000, 1e8 / size))
}

function requests(total) {
  const name = "request/reply over libp2p 64 B"
  const row = (figure, more = {}) => ({
    name: `${name}, ${figure}`,
    ours: "libp2p",
    theirs: "libp2p-raw",
    figure,
    unit: "µs",
    ...more,
  })
  return {
    name,
    sides: ["libp2p", "libp2p-raw"],
    rows: [row("p50", { mark: { most: 1.25 }, quick: true }), row("p99")],
    run: (side, _, amount = total) => roundTrips(side, amount, { at: AT }),
    long: 60_000,
  }
}

function published({ label, size, quick }, seconds) {
  const row = (name, ours, theirs, more = {}) => ({
    name: `${name} ${label}`,
    ours,
    theirs: `gossipsub:${theirs}`,
    figure: "rate",
    unit: "delivered/s",
    ...more,
  })
  return {
    name: `publish over libp2p ${label}`,
    sides: ["mesh-gossipsub", "gossipsub:signed", "libp2p", "gossipsub:unsigned"],
    rows: [
      row("publish over libp2p", "libp2p", "signed", { mark, quick }),
      row("publish over libp2p", "libp2p", "unsigned", { rival: "gossipsub, unsigned" }),
      row("mesh over gossipsub: publish", "mesh-gossipsub", "signed", { mark, quick }),
    ],
    run: (side, mode, total = Math.ceil(Math.min(side === "libp2p" ? 200_000 : 2_000, 1e8 / size))) =>
      fan(side, total, seconds, { size, subscribers: 1, at: AT, mode }),
    size: ({ rate }) => Math.ceil(rate * (seconds + WARM_SECONDS)),
  }
}
