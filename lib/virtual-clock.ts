/**
 * A clock whose time stands still until a test moves it, with seeded chance, so that timed things are tested without
 * waiting and come out the same each time. Immediates go to the platform's, in the order they were asked for: they cost
 * no virtual time, and a test need not drive them.
 */
import { systemClock, type Clock, type Timer } from "./clock.ts"

/** Time that a test moves. Part of `earshot/testing`. */
export interface VirtualClock extends Clock {
  /** Moves time on by `ms`; timers go off in order, each after all that the one before set going. */
  advance(ms: number): Promise<void>
  /** Lets immediates and microtasks run until no more come. */
  settle(): Promise<void>
  /** Moves time on, from timer to timer, until the promise settles; throws when that takes more than `limit` ms. */
  until<T>(promise: PromiseLike<T>, limit?: number): Promise<T>
  /** `hold` less `release`. */
  readonly holds: number
  /** Timers that have not gone off and were not cancelled. */
  readonly timers: number
}

/** What `virtualClock` takes. */
export interface VirtualClockOptions {
  /** What its chance begins with: the same seed, the same run. Default 1. */
  readonly seed?: number
  /** What `now()` begins with: not 0, which is too easily taken for "never". Default 1,000. */
  readonly start?: number
  /** What `wall()` begins with. Default 1 January 2030. */
  readonly wall?: number
}

interface Pending {
  readonly due: number
  /** Undefined: it was cancelled. */
  callback: (() => void) | undefined
}

/** Cancelled timers that stay in line at least: they are taken out many at a time. */
const LEFT_OVER = 64

/** More turns than anything that comes to rest takes. */
const RESTLESS = 100_000

/** What `wall()` begins with: 1 January 2030. */
const WALL = 1_893_456_000_000

const turn = (): Promise<void> => new Promise((resolve) => systemClock.immediate(resolve))

/** A clock of its own time and chance, for tests. */
export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  const { seed = 1, start = 1000, wall = WALL } = options
  const random = generator(seed)
  /** By `due`, and in the order of asking where that is the same; those that were cancelled among them. */
  let pending: Pending[] = []
  let timers = 0
  let time = start
  let immediates = 0
  let holds = 0
  let moving = false

  const settle = async (): Promise<void> => {
    for (let turns = 0; turns < RESTLESS; turns++) {
      await turn()
      if (immediates > 0) continue
      // One more, for what a promise of the last turn has asked for.
      await turn()
      if (immediates === 0) return
    }
    throw new Error("the clock never comes to rest: immediates ask for immediates")
  }

  /** The next timer goes off, if it is due by `end`. */
  const step = async (end: number): Promise<boolean> => {
    await settle()
    const first = pending.findIndex(({ callback }) => callback !== undefined)
    const next = pending[first]
    if (next === undefined || next.due > end) return false
    pending.splice(0, first + 1)
    time = Math.max(time, next.due)
    const callback = next.callback!
    next.callback = undefined
    timers--
    callback()
    return true
  }

  const insert = (timer: Pending): void => {
    let [from, to] = [0, pending.length]
    while (from < to) {
      const middle = (from + to) >>> 1
      if (pending[middle]!.due > timer.due) to = middle
      else from = middle + 1
    }
    pending.splice(from, 0, timer)
    timers++
  }

  const cancel = (timer: Pending): void => {
    if (timer.callback === undefined) return
    timer.callback = undefined
    timers--
    if (pending.length > 2 * timers + LEFT_OVER) pending = pending.filter(({ callback }) => callback !== undefined)
  }

  const move = async <T>(work: () => Promise<T>): Promise<T> => {
    if (moving) throw new Error("the clock is being moved already")
    moving = true
    try {
      return await work()
    } finally {
      moving = false
    }
  }

  return {
    now: () => time,
    wall: () => wall + time - start,
    timeout(callback, ms): Timer {
      const timer: Pending = { due: time + Math.max(0, ms || 0), callback }
      insert(timer)
      return { cancel: () => cancel(timer) }
    },
    immediate(callback) {
      immediates++
      systemClock.immediate(() => {
        immediates--
        callback()
      })
    },
    microtask: (callback) => systemClock.microtask(callback),
    random,
    randomBytes: (length) => Uint8Array.from({ length }, () => random() * 256),
    hold: () => void holds++,
    release() {
      if (holds-- === 0) throw new Error("released more often than held")
    },
    get holds() {
      return holds
    },
    get timers() {
      return timers
    },
    settle,
    advance: (ms) =>
      move(async () => {
        const end = time + ms
        while (await step(end));
        time = end
      }),
    until: (promise, limit = 3_600_000) =>
      move(async () => {
        let settled = false
        const done = (): void => void (settled = true)
        promise.then(done, done)
        const end = time + limit
        for (;;) {
          await settle()
          // oxlint-disable-next-line typescript/no-unnecessary-condition -- the promise sets it
          if (settled) return promise
          if (!(await step(end))) break
        }
        throw new Error(`not settled within ${limit} virtual ms (${timers} timers left)`)
      }),
  }
}

/** sfc32: 0 <= x < 1, the same for the same seed. */
function generator(seed: number): () => number {
  let [a, b, c, d] = [0x9e3779b9, 0x243f6a88, 0xb7e15162, seed | 0]
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return (t >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 12; i++) next()
  return next
}
