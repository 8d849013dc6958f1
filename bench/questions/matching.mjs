// How many messages a second can a publisher match against 100,000 subscriptions?
// A subscriber process holds them; the publisher sends near misses, which share all but the end with a subscription,
// so that the figure is the matching and not the network.
import { start } from "../support/sides.mjs"

const TOPICS = 100_000
const WARM_SECONDS = 0.25

export function matching({ seconds }) {
  const name = "matching 100,000 topics"
  return [
    {
      name,
      sides: ["earshot", "libzmq"],
      rows: [{ name, ours: "earshot", theirs: "libzmq", figure: "rate", unit: "matches/s" }],
      run: (side, _, total = TOPICS) => measure(side, total, seconds),
      size: ({ rate }) => Math.ceil(rate * (seconds + WARM_SECONDS)),
    },
  ]
}

async function measure(side, total, seconds) {
  const warm = Math.ceil((total * WARM_SECONDS) / (seconds + WARM_SECONDS))
  const publisher = start(side, "match-publish", { topics: TOPICS, warm, total })
  let subscriber
  try {
    const { endpoint } = await publisher.answer()
    subscriber = start(side, "match-subscribe", { topics: TOPICS, endpoint })
    const result = await publisher.answer(subscriber)
    return { rate: (total - warm) / result.seconds }
  } finally {
    await Promise.all([publisher.stop(), subscriber?.stop()])
  }
}
