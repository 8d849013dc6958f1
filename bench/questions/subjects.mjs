// How fast does the mesh find who wants a subject? Its table alone, with values under 60 % literal patterns, 25 % with a `*`
// and 15 % that end in `>`, of 3 to 6 tokens; and what a subscription costs.
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { Missing } from "../support/child.mjs"
import { start } from "../support/sides.mjs"

const built = fileURLToPath(new URL("../../dist/lib/mesh/subject-table.js", import.meta.url))

const sizes = [
  { label: "1k", count: 1000 },
  {
    label: "100k",
    count: 100_000,
    quick: true,
    marks: {
      cold: { on: "ours", least: 600_000, ambition: 1_000_000 },
      constant: { on: "ours", least: 20_000_000 },
      afresh: { on: "ours", least: 3_000_000 },
    },
  },
  { label: "1M", count: 1_000_000 },
]

const figures = [
  { figure: "cold", what: "cold", unit: "lookups/s" },
  { figure: "constant", what: "cached, constant strings", unit: "lookups/s" },
  { figure: "afresh", what: "cached, subjects built afresh", unit: "lookups/s" },
  { figure: "changing", what: "cached, a change every 1,000", unit: "lookups/s" },
  { figure: "insert", what: "inserts", unit: "inserts/s" },
  { figure: "bytes", what: "memory of one", unit: "B" },
]

export function subjects() {
  return sizes.map(({ label, count, quick, marks }) => ({
    name: `match ${label} subscriptions`,
    sides: ["earshot"],
    rows: figures.map(({ figure, what, unit }) => ({
      name: `match ${label} subscriptions, ${what}`,
      ours: "earshot",
      figure,
      unit,
      mark: marks?.[figure],
      quick: quick === true && marks[figure] !== undefined,
    })),
    run: () => measure(count),
  }))
}

async function measure(count) {
  if (!existsSync(built)) throw new Missing("not built")
  const child = start("subjects", "match", { count }, ["--expose-gc"])
  try {
    return await child.answer()
  } finally {
    await child.stop()
  }
}
