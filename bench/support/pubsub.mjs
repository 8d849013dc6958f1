// What the sides that publish by subject have in common: how messages are counted, and when a program may end.
import { createInterface } from "node:readline"
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises"
import { percentiles, say, verify } from "./role.mjs"

export { turn }

export const SUBJECT = "bench.data"
export const ECHO = "bench.echo"

/** Resolves when `met()` is true; asks again every few ms. */
export async function until(met) {
  while (!met()) await sleep(5)
}

/** Counts what all members of a process get, then waits to hear how many were sent, and for those that are still under way. */
export class Tally {
  #count = 0
  #seconds = 0
  #begun = 0
  #first
  #last
  #size

  constructor({ size, warm, total, members }) {
    this.#first = warm * members
    this.#last = total * members
    this.#size = size
  }

  take(length) {
    verify(length, this.#size)
    const count = ++this.#count
    if (count === this.#first) this.#begun = performance.now()
    else if (count === this.#last) this.#seconds = (performance.now() - this.#begun) / 1000
  }

  async finish() {
    const { value: sent } = await lines.next()
    await until(() => this.#count >= Number(sent) && this.#seconds > 0)
    await sleep(50) // for one too many
    say({ count: this.#count, seconds: this.#seconds })
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

/** Says how many were handed over, and lives on until the parent closes our stdin. */
export async function published(sent) {
  say({ sent })
  await lines.next()
}

/** Resolves when the parent closes our stdin. */
export async function dismissed() {
  await lines.next()
}

/** Round trips, one at a time; `ask` resolves to the size of what came back. */
export async function timed(ask, { size, warm, total }) {
  const times = new Float64Array(total - warm)
  for (let n = 0; n < total; n++) {
    const begun = performance.now()
    const length = await ask()
    if (n >= warm) times[n - warm] = performance.now() - begun
    verify(length, size)
  }
  say(percentiles(times))
}
