// One contest: rounds in which every side runs once, in a fixed order, so that ours and theirs alternate.
import { Missing } from "./child.mjs"
import { names } from "./sides.mjs"
import { summary } from "./stats.mjs"

/**
 * A contest has
 * - `name`, and `sides` in the order of a round: `libzmq`, `earshot:callback`, … (a rival or ours, and its mode);
 * - `begin?(sides)`: before each round, where sides are measured together;
 * - `run(side, mode, amount)`: one measurement, an object of figures. `amount` is what `size` made of the round before;
 * - `size?(figures)`: how much the next run of this side should do, where that depends on its speed. A contest that has
 *   it begins with a round that is not counted;
 * - `long?`: the amount of a run that is profiled, where `size` doesn't say;
 * - `rounds?`: how many, where it is not the number of pairs asked for;
 * - `rows`: what to print: `name`, `figure`, `ours`, `theirs?` (sides), `unit`, and `mark?`, on the ratio ours/theirs or,
 *   `on: "ours"`, on our figure, `on: "more"`, on ours minus theirs: `least` or `most`, and maybe an `ambition` beyond it. `quick`: also under --quick.
 */
export async function hold(contest, { pairs, progress }) {
  const rounds = contest.rounds ?? pairs
  const wanted = contest.sides.filter((side) => contest.rows.some((row) => row.ours === side || row.theirs === side))
  const figures = new Map(wanted.map((side) => [side, []]))
  const problems = new Map()
  const amounts = new Map()
  for (let round = contest.size === undefined ? 0 : -1; round < rounds; round++) {
    await contest.begin?.(wanted)
    for (const side of wanted) {
      if (problems.has(side)) continue
      progress(`${contest.name}: ${round < 0 ? "warm-up" : `${round + 1} of ${rounds}`}: ${side}`)
      try {
        const [program, mode] = side.split(":")
        const result = await contest.run(program, mode, amounts.get(side))
        if (contest.size !== undefined) amounts.set(side, contest.size(result))
        if (round >= 0) figures.get(side).push(result)
      } catch (error) {
        problems.set(side, { missing: error instanceof Missing, text: error.message.split("\n")[0] })
      }
    }
  }
  return contest.rows.map((row) => judge(row, figures, problems))
}

function judge(row, figures, problems) {
  const of = (side) => (figures.get(side) ?? []).map((result) => result[row.figure])
  const [ours, theirs] = [of(row.ours), of(row.theirs)]
  const ratios = ours.slice(0, theirs.length).map((value, i) => value / theirs[i])
  const rival = row.theirs === undefined ? undefined : (row.rival ?? names[row.theirs.split(":")[0]])
  const judged = { name: row.name, unit: row.unit, rival, mark: row.mark, problems: [] }
  for (const side of [row.ours, row.theirs]) {
    if (problems.has(side)) judged.problems.push({ side: names[side.split(":")[0]], ...problems.get(side) })
  }
  if (ours.length > 0) judged.ours = summary(ours)
  if (theirs.length > 0) judged.theirs = summary(theirs)
  if (ratios.length > 0 && ratios.every(Number.isFinite)) judged.ratio = summary(ratios)
  judged.reached = reached(row.mark, judged)
  return judged
}

function reached(mark, { ours, theirs, ratio }) {
  const judgedBy = { ours: () => ours?.median, more: () => ours && theirs && ours.median - theirs.median }
  const value = (judgedBy[mark?.on] ?? (() => ratio?.median))()
  if (mark === undefined || value === undefined) return undefined
  return mark.least === undefined ? value <= mark.most : value >= mark.least
}
