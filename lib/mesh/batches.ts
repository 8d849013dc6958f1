/** Lists of any length, told in messages that every member takes. */

/** The least that `maxMessageSize` may be: what keeps a mesh together fits. */
export const LEAST_MAX = 65_536
/** Bytes of one message, unless a single item has more. */
const MOST = 60_000

/** `weigh`: bytes of one item, at most. */
export function batches<Item>(items: readonly Item[], weigh: (item: Item) => number): Item[][] {
  const all: Item[][] = []
  let size = Infinity
  for (const item of items) {
    const weight = weigh(item)
    if ((size += weight) > MOST) {
      all.push([])
      size = weight
    }
    all.at(-1)!.push(item)
  }
  return all
}
