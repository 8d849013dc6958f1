/**
 * Seeded chance for tests that try at random. Every case draws from a seed of its own, made of the run's seed and the
 * case's number, so that a failed one can be run alone: `EARSHOT_SEED=… EARSHOT_CASE=…`.
 */
import { randomInt } from "node:crypto"
import type { Test } from "tap"

/** 0 <= x < 1, the same for the same seed (mulberry32). */
export class Chance {
  private state: number

  constructor(seed: number) {
    this.state = seed | 0
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000
  }

  /** 0 <= n < end */
  below(end: number): number {
    return Math.floor(this.next() * end)
  }

  /** least <= n <= most */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1)
  }

  maybe(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    for (let i = 0; i < length; i++) bytes[i] = this.below(256)
    return bytes
  }

  /** A length that is mostly small and sometimes around one where the framing changes. */
  size(): number {
    if (this.maybe(0.1)) return this.pick([0, 1, 254, 255, 256, 257, 4095, 4096, 4097])
    return this.maybe(0.1) ? this.below(2000) : this.below(24)
  }

  /** The bytes again, in chunks: one, many of one byte, or anything between. */
  split(bytes: Uint8Array): Uint8Array[] {
    const most = this.maybe(0.05) ? 1 : this.pick([bytes.length, 5, 17, 100, 1000])
    if (most >= bytes.length) return bytes.length === 0 ? [] : [bytes]
    const chunks: Uint8Array[] = []
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + this.between(1, most))
      // Memory of its own, as chunks from a link have, so that a read behind the end would show.
      chunks.push(Uint8Array.prototype.slice.call(bytes, at, end))
      at = end
    }
    return chunks
  }
}

const number = (name: string): number | undefined => {
  const text = process.env[name]
  return text === undefined || text === "" ? undefined : Number(text)
}

export const seed: number = number("EARSHOT_SEED") ?? randomInt(2 ** 31)
const only = number("EARSHOT_CASE")

/**
 * Runs `count` cases and says under which seed; the first that throws fails the test and tells how to run it again.
 * `after` is called after every `batch` cases and at the end.
 */
export async function cases(
  t: Test,
  count: number,
  run: (chance: Chance, index: number) => void | Promise<void>,
  batch = Infinity,
  after?: () => Promise<void>,
): Promise<void> {
  const file = process.argv[1]?.replace(`${process.cwd()}/`, "") ?? ""
  const again = `EARSHOT_SEED=${seed} npx tap --disable-coverage ${file}`
  t.comment(`${count} cases from seed ${seed}; again: ${again}`)
  const first = only ?? 0
  const end = only === undefined ? count : only + 1
  for (let index = first; index < end; index++) {
    try {
      const result = run(new Chance(Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)), index)
      if (result !== undefined) await result
      if (after !== undefined && ((index + 1) % batch === 0 || index + 1 === end)) await after()
    } catch (error) {
      t.fail(`case ${index} of seed ${seed}; again, alone: EARSHOT_CASE=${index} ${again}`, {
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
      return
    }
  }
  t.pass(`${end - first} cases`)
}
