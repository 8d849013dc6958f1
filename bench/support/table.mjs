// The one table.
import { short } from "./stats.mjs"

const header = ["what", "unit", "Earshot", "rival", "theirs", "ours/theirs", "mark", "reached", "pairs"]

export function table(rows) {
  const lines = [header, ...rows.map(cells)]
  const widths = header.map((_, i) => Math.max(...lines.map((line) => line[i].length)))
  const text = lines.map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]))
      .join(" | ")
      .trimEnd(),
  )
  text.splice(1, 0, widths.map((width) => "-".repeat(width)).join("-|-"))
  return text.join("\n")
}

function cells(row) {
  const problem = (ours) => row.problems.find((one) => (one.side === "Earshot") === ours)
  return [
    row.name,
    row.unit,
    figure(row.ours, problem(true)),
    row.rival ?? "",
    row.rival === undefined ? "" : figure(row.theirs, problem(false)),
    row.ratio === undefined ? "" : spread(row.ratio, (value) => value.toFixed(2)),
    mark(row.mark),
    row.mark === undefined ? "" : row.reached === undefined ? "not measured" : row.reached ? "yes" : "NO",
    String((row.ratio ?? row.ours ?? row.theirs)?.values.length ?? 0),
  ]
}

function figure(summary, problem) {
  const value = summary === undefined ? "" : spread(summary, short)
  if (problem === undefined) return value
  return `${value} ${problem.missing ? problem.text : "FAILED, see below"}`.trim()
}

function spread({ median, min, max, values }, format) {
  return values.length === 1 ? format(median) : `${format(median)} (${format(min)}..${format(max)})`
}

function mark(mark) {
  if (mark === undefined) return ""
  const bound = mark.least === undefined ? `<= ${mark.most}` : `>= ${mark.least}`
  const on = { ours: "ours ", more: "ours - theirs " }[mark.on] ?? ""
  return `${on}${bound}${mark.ambition === undefined ? "" : `, ambition ${mark.ambition}`}`
}
