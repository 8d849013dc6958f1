// 100,000 topics with long common beginnings, and near misses that leave the trie only at the last step.
const topic = (i, end) => `plant/${i % 100}/line/${Math.floor(i / 100) % 100}/sensor/${end}${Math.floor(i / 10000)}`

export function topics(count) {
  return Array.from({ length: count }, (_, i) => topic(i, ""))
}

export function nearMisses(count) {
  return Array.from({ length: count }, (_, i) => Buffer.from(topic(i, "x")))
}
