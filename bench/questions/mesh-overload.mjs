// Does a subscriber that has stopped, its queue full, slow down another one of the same publisher? Each message is sent back; one
// a millisecond, for 3 s: the stopped one is given up after 6.
import { start } from "../support/sides.mjs"

const name = "mesh: round trip beside a stopped subscriber, 4 KB, p99"

export function meshOverload() {
  return [
    {
      name,
      rounds: 11,
      sides: ["mesh:stuck", "mesh:alone"],
      rows: [
        {
          name,
          ours: "mesh:stuck",
          theirs: "mesh:alone",
          rival: "alone",
          figure: "p99",
          unit: "µs",
          mark: { most: 1.5 },
        },
      ],
      run: (_side, mode) => play(mode === "stuck" ? 1 : 0),
    },
  ]
}

async function play(stuck) {
  const side = "mesh-overload"
  const publisher = start(side, "publish", { stuck, total: 3000, size: 4096 })
  const others = []
  try {
    const { endpoint } = await publisher.answer()
    for (const role of stuck ? ["fast", "stuck"] : ["fast"]) others.push(start(side, role, { endpoint }))
    return await publisher.answer(...others)
  } finally {
    await Promise.all([publisher, ...others].map((each) => each.stop()))
  }
}
