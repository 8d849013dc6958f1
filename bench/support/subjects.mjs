// Subscriptions of a plant, and what is published there. The same each time.

const LENGTHS = [3, 4, 5, 6]
const words = ["sensors", "line", "state", "alarm", "power", "door", "water", "press", "robot", "lift"]

/** A small generator of numbers (mulberry32): `next(n)` is below n. */
function numbers(seed) {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

/** Of 3 to 6 tokens. The more subscriptions, the more devices, so that a subject matches as many in a large plant as in a small one. */
function tokens(next, subscriptions) {
  const devices = Math.max(10, Math.ceil(subscriptions / 200))
  const all = [
    words[next(words.length)],
    `device-${next(devices)}`,
    words[next(words.length)] + next(3),
    `${next(100)}`,
    words[next(words.length)],
    `unit${next(1000)}`,
  ]
  return all.slice(0, LENGTHS[next(LENGTHS.length)])
}

/** 60 % without wildcards, 25 % with one `*` anywhere, 15 % that end in `>`. */
export function* patternsOf(count, seed = 1) {
  const next = numbers(seed)
  for (let i = 0; i < count; i++) {
    const made = tokens(next, count)
    const kind = next(100)
    if (kind >= 85) made[made.length - 1] = ">"
    else if (kind >= 60) made[next(made.length)] = "*"
    yield made.join(".")
  }
}

/** Half of them subscribed to, wildcards filled in; half made up like these. None twice. */
export function* subjectsOf(count, subscriptions) {
  const next = numbers(3)
  const patterns = [...patternsOf(subscriptions)]
  const made = new Set()
  for (let i = 0; i < count; i++) {
    const pattern = patterns[next(patterns.length)]
    let subject = i % 2 === 0 ? tokens(next, subscriptions).join(".") : pattern.replace(/[*>]/, `x${i}`)
    if (made.has(subject)) subject += `.${i}`
    made.add(subject)
    // A string of its own, as from the network: V8 hasn't hashed it yet.
    yield Buffer.from(subject).toString()
  }
}
