// How many messages a second does a member publish to 1 and to 8 others, and how long does a request take? Against nats.js
// through its server, and against the others that need none. Each message counts once per subscriber; those are all in one
// process: as many processes, and as many cores, on every side but NATS's, whose server has one more.
import { freePort } from "../support/ports.mjs"
import { withNats } from "../support/nats-server.mjs"
import { start } from "../support/sides.mjs"
import { roundTrips } from "./latency.mjs"
import { WARM_SECONDS } from "./throughput.mjs"

const sizes = [
  { label: "16 B", size: 16, mark: { least: 3 } },
  { label: "1 KB", size: 1024, mark: { least: 1.6, ambition: 2 } },
  { label: "64 KB", size: 65_536, mark: { least: 2.5 } },
]

const modes = { raw: "", msgpack: ", msgpack", awaited: ", msgpack, awaited", polling: ", busyPoll" }

export function mesh({ seconds, quick }) {
  return [...[1, 8].flatMap((members) => sizes.map((size) => pubSub(members, size, seconds))), requests(quick)]
}

function pubSub(members, { label, size, mark }, seconds) {
  const name = `mesh: publish to ${members}, ${label}`
  const row = (mode, theirs, more = {}) => ({
    name: name + modes[mode],
    ours: `mesh:${mode}`,
    theirs,
    figure: "rate",
    unit: "delivered/s",
    ...more,
  })
  return {
    name,
    sides: ["mesh:msgpack", "mesh:raw", "nats", "mesh:awaited", "cote", "moleculer"],
    rows: [
      row("raw", "nats", { mark, quick: members === 1 }),
      row("msgpack", "nats"),
      row("awaited", "nats"),
      row("raw", "cote"),
      row("raw", "moleculer"),
    ],
    run: (side, mode, total = guess(side, members, size)) =>
      settled(side, (place) => deliver(side, total, seconds, { size, members, mode, ...place })),
    size: ({ rate }) => Math.ceil((rate / members) * (seconds + WARM_SECONDS)),
  }
}

/** Of the first run, which isn't counted. */
function guess(side, members, size) {
  return Math.ceil(Math.min(side === "mesh" ? 500_000 : 20_000, 5e8 / size) / members)
}

/** What a side needs around it: a server, a port to meet at. */
async function settled(side, work) {
  if (side === "nats") return await withNats((server) => work({ server }))
  return await work(side === "cote" ? { port: await freePort() } : {})
}

async function deliver(side, total, seconds, { mode = "raw", ...more }) {
  const warm = Math.ceil((total * WARM_SECONDS) / (seconds + WARM_SECONDS))
  const args = { ...more, mode, warm, total }
  const publisher = start(side, "publish", args)
  let subscribers
  try {
    const { endpoint } = await publisher.answer()
    subscribers = start(side, "subscribe", { ...args, endpoint })
    const { sent } = await publisher.answer(subscribers)
    subscribers.order(sent)
    const result = await subscribers.answer(publisher)
    if (result.count !== sent) throw new Error(`${result.count} messages of ${sent} arrived`)
    await Promise.all([publisher.end(), subscribers.end()])
    return { rate: ((total - warm) * args.members) / result.seconds }
  } finally {
    await Promise.all([publisher.stop(), subscribers?.stop()])
  }
}

function requests(quick) {
  const name = "mesh: request/reply 64 B"
  const total = quick ? 9_000 : 30_000
  const row = (mode, figure, theirs, more = {}) => ({
    name: `${name}${modes[mode]}, ${figure}`,
    ours: `mesh:${mode}`,
    theirs,
    figure,
    unit: "µs",
    ...more,
  })
  return {
    name,
    sides: ["mesh:msgpack", "nats", "mesh:raw", "net", "mesh:polling", "cote", "moleculer"],
    rows: [
      row("raw", "p50", "nats", { mark: { most: 0.25 }, quick: true }),
      row("raw", "p50", "net", { mark: { most: 1.6 }, quick: true }),
      row("polling", "p50", "nats", { mark: { most: 0.25 }, quick: true }),
      row("raw", "p50", "cote"),
      row("raw", "p50", "moleculer"),
      row("msgpack", "p50", "nats"),
      row("raw", "p99", "nats"),
      row("raw", "p99", "net"),
      row("raw", "p99", "cote"),
      row("raw", "p99", "moleculer"),
    ],
    run: (side, mode = "raw", amount = total) =>
      settled(side, (place) =>
        roundTrips(side, amount, mode === "polling" ? { mode: "raw", busyPoll: 100 } : { mode, ...place }),
      ),
    long: 150_000,
  }
}
