// How many messages a second does one publisher bring to 8 subscribers? Each message counts once per subscriber.
// One process publishes, with `noDrop`, so that every message arrives eight times and can be counted; a second process
// holds the 8 subscriber sockets: as many processes, and as many cores, on every side.
import { start } from "../support/sides.mjs"

const SUBSCRIBERS = 8
const WARM_SECONDS = 0.25

const sizes = [
  { label: "64 B", size: 64, quick: true, mark: { least: 1 } },
  { label: "1 KB", size: 1024, mark: { least: 1 } },
]

export function fanout({ seconds }) {
  return sizes.map(({ label, size, quick, mark }) => {
    const name = `publish to 8, ${label}`
    const row = { name, ours: "earshot", figure: "rate", unit: "delivered/s" }
    return {
      name,
      sides: ["zeromq", "earshot", "libzmq"],
      rows: [
        { ...row, theirs: "libzmq", mark, quick },
        { ...row, theirs: "zeromq" },
      ],
      run: (side, _, total = side === "zeromq" ? 10_000 : 100_000) =>
        fan(side, total, seconds, { size, subscribers: SUBSCRIBERS }),
      size: ({ rate }) => Math.ceil((rate / SUBSCRIBERS) * (seconds + WARM_SECONDS)),
    }
  })
}

/** One run from a publisher to so many `subscribers`, all in one process; `more` arguments for both programs. */
export async function fan(side, total, seconds, { subscribers, ...more }) {
  const warm = Math.ceil((total * WARM_SECONDS) / (seconds + WARM_SECONDS))
  const args = { ...more, warm, total, subscribers }
  const publisher = start(side, "publish", args)
  let audience
  try {
    const { endpoint } = await publisher.answer()
    audience = start(side, "subscribe", { ...args, endpoint })
    const result = await audience.answer(publisher)
    if (result.count !== total * subscribers) throw new Error(`${result.count} of ${total * subscribers} arrived`)
    await Promise.all([publisher.end(), audience.end()])
    return { rate: ((total - warm) * subscribers) / result.seconds }
  } finally {
    await Promise.all([publisher.stop(), audience?.stop()])
  }
}
