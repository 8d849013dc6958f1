// The mesh's table of subjects by itself, no network. `node --expose-gc sides/subjects.mjs match count=100000` in, figures out.
import { SubjectTable } from "../../dist/lib/mesh/subject-table.js"
import { play, say } from "../support/role.mjs"
import { patternsOf, subjectsOf } from "../support/subjects.mjs"

const WARM = 100_000
const COLD = 400_000
const CACHED = 5_000_000
const HOT = 100

const perSecond = (count, work) => {
  const begun = performance.now()
  work(count)
  return (count / (performance.now() - begun)) * 1000
}

const newTable = () => new SubjectTable((matched) => matched)

await play({
  match({ count }) {
    const [bytes, table] = memory(count)
    say({ bytes, insert: inserts(count), ...lookups(table, count) })
  },
})

/** What a subscription takes of the heap, its pattern's string included. */
function memory(count) {
  const used = () => {
    globalThis.gc()
    return process.memoryUsage().heapUsed
  }
  const before = used()
  const table = newTable()
  let value = 0
  for (const pattern of patternsOf(count)) table.add(pattern, value++)
  return [(used() - before) / count, table]
}

/** Into an empty table, which then goes. */
function inserts(count) {
  const patterns = [...patternsOf(count)]
  const rounds = Math.ceil(WARM / count)
  const insert = () => {
    const table = newTable()
    for (let i = 0; i < count; i++) table.add(patterns[i], i)
  }
  // A large table has warmed up already, while its memory was measured.
  for (let i = 0; i < rounds && count < WARM; i++) insert()
  return perSecond(count * rounds, () => {
    for (let i = 0; i < rounds; i++) insert()
  })
}

function lookups(table, count) {
  let found = 0
  const each = (subjects) => (times) => {
    for (let i = 0; i < times; i++) found += table.lookup(subjects[i % subjects.length]).length
  }
  const twice = (times, work) => {
    work(times / 5)
    return perSecond(times, work)
  }
  // No subject twice, so that nothing is in the cache.
  const subjects = [...subjectsOf(WARM + COLD, count)]
  each(subjects.slice(0, WARM))(WARM)
  found = 0
  const cold = perSecond(COLD, each(subjects.slice(WARM)))
  const matches = found / COLD

  const constant = twice(CACHED, each(subjects.slice(0, 16)))
  const afresh = twice(CACHED, (times) => {
    for (let i = 0; i < times; i++) found += table.lookup("sensors." + (i % 1000) + ".temp").length
  })
  const changing = twice(CACHED / 5, changes(table, subjects.slice(0, HOT), [...patternsOf(1000, 2)]))
  return { cold, matches, constant, afresh, changing }
}

/** A subscription comes or goes with every 1,000 lookups of hot subjects. */
function changes(table, subjects, patterns) {
  return (times) => {
    for (let i = 0; i < times; i++) {
      if (i % 1000 === 0) {
        const pattern = patterns[(i / 1000) % patterns.length]
        if (!table.remove(pattern, "changing")) table.add(pattern, "changing")
      }
      table.lookup(subjects[i % subjects.length])
    }
  }
}
