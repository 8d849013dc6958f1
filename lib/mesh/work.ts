/**
 * Work for queue groups in which nobody has room: what `onFull: "wait"` has wait, and what came back from a member that was
 * full. Whoever is free again is given one message, then, once it has taken what it got and is still not full, twice as many:
 * so that what one has no room for is not sent to it.
 */
import { sizeOf } from "../bytes.ts"
import type { Timer } from "../clock.ts"
import { Ring } from "../ring.ts"
import type { Context } from "./context.ts"
import type { Posted } from "./member.ts"
import type { Party } from "./routes.ts"

/** Who of a group got it, and what became of it there; or nobody has room, or nobody is in that group. */
export type Given = { readonly party: Party; readonly posted: Posted } | "busy" | "nobody"

/** Messages, and bytes, that wait for one group; for all groups, those that came back among them. */
const MOST = 1000
const MOST_BYTES = 8 * 1024 * 1024
const MOST_OF_ALL = 65_536
const MOST_BYTES_OF_ALL = 64 * 1024 * 1024
/** ms after which a group that had no room is looked at again: who gave something back may never have said to be full. */
const AGAIN = 100
/** ms that work waits for a group of which nobody is left: somebody may be restarting. */
const HOPE = 2000

/** What is to be done by one of a group. */
export interface Task {
  readonly frames: readonly Uint8Array[]
  readonly subject: string
  /** By this number its taker is to confirm it; 0: it needn't. */
  readonly confirm: number
}

/** Who gave it back; `by` undefined: we ourselves. */
export interface GivenBack {
  readonly by: Party
}

type Give = (group: string, task: Task, not: GivenBack | undefined) => Given

interface Job {
  readonly task: Task
  readonly resolve: (posted: Posted) => void
}

interface Line {
  readonly group: string
  readonly jobs: Ring<Job>
  bytes: number
  /** How many may be given before the takers are heard. */
  window: number
  /** Takers are to be heard yet; what they have said meanwhile. */
  asking: boolean
  returned: boolean
  freed: boolean
  timer: Timer | undefined
  /** When it was seen that nobody is in that group. */
  desertedAt: number | undefined
}

export class Work {
  private readonly context: Context
  /** To one of a group, but `not` to that one. */
  private readonly give: Give
  private readonly lines = new Map<string, Line>()
  private bytes = 0
  private count = 0

  constructor(context: Context, give: Give) {
    this.context = context
    this.give = give
  }

  /** Messages that wait. */
  get size(): number {
    return this.count
  }

  /** Resolves when it was handed to somebody. `returned`: it comes back from there. */
  enqueue(group: string, task: Task, returned?: GivenBack): Promise<Posted> {
    if (this.context.closed) {
      this.context.drop("closed", 1, sizeOf(task.frames), { subject: task.subject })
      return Promise.resolve("gone")
    }
    let line = this.lines.get(group)
    if (line === undefined) {
      // Somebody else may have room for what was returned.
      const given = this.give(group, task, returned)
      if (given === "nobody") return this.refuse(task)
      if (given !== "busy" && given.posted !== "full") return Promise.resolve(given.posted)
      line = newLine(group)
    } else if (returned !== undefined) line.returned = true
    const full = returned
      ? this.count >= MOST_OF_ALL || this.bytes >= MOST_BYTES_OF_ALL
      : line.jobs.length >= MOST || line.bytes >= MOST_BYTES || this.bytes >= MOST_BYTES_OF_ALL
    if (full) return this.refuse(task)
    this.lines.set(group, line)
    if (!line.asking) this.again(line)
    const size = sizeOf(task.frames)
    line.bytes += size
    this.bytes += size
    this.count++
    this.context.clock.hold()
    return new Promise((resolve) => line.jobs.push({ task, resolve }))
  }

  /** Somebody of that group has room again. */
  onFree(group: string): void {
    const line = this.lines.get(group)
    if (line === undefined) return
    line.freed = true
    if (line.asking) return
    line.window = 1
    this.go(line)
  }

  close(): void {
    for (const line of this.lines.values()) this.abandon(line, "closed", "gone")
  }

  private go(line: Line): void {
    const takers = new Set<Party>()
    for (let left = line.window; left > 0 && line.jobs.length > 0; left--) {
      const given = this.give(line.group, line.jobs.peek()!.task, undefined)
      if (given === "nobody") return this.hope(line)
      if (given === "busy" || given.posted === "full") return this.again(line)
      line.desertedAt = undefined
      takers.add(given.party)
      this.shift(line).resolve(given.posted)
    }
    if (line.jobs.length === 0) return this.end(line)
    line.asking = true
    line.returned = line.freed = false
    const members = [...takers].filter((party) => party !== undefined)
    // What we gave to ourselves is taken when this turn's callback is done.
    this.context.clock.microtask(() => this.context.syncs.after(members, () => this.heard(line)))
  }

  private heard(line: Line): void {
    line.asking = false
    if (this.lines.get(line.group) !== line) return
    line.window = line.returned ? 1 : line.window * 2
    if (line.returned && !line.freed) this.again(line)
    else this.go(line)
  }

  private hope(line: Line): void {
    const now = this.context.clock.now()
    line.desertedAt ??= now
    if (now - line.desertedAt < HOPE) this.again(line)
    else this.abandon(line, "busy", "full")
  }

  private again(line: Line): void {
    line.timer ??= this.context.clock.timeout(() => {
      line.timer = undefined
      this.onFree(line.group)
    }, AGAIN)
  }

  private abandon(line: Line, reason: "busy" | "closed", posted: Posted): void {
    while (line.jobs.length > 0) {
      const { task, resolve } = this.shift(line)
      this.context.drop(reason, 1, sizeOf(task.frames), { subject: task.subject })
      resolve(posted)
    }
    this.end(line)
  }

  private end(line: Line): void {
    line.timer?.cancel()
    this.lines.delete(line.group)
    this.context.onLess()
  }

  private shift(line: Line): Job {
    const job = line.jobs.shift()!
    const size = sizeOf(job.task.frames)
    line.bytes -= size
    this.bytes -= size
    this.count--
    this.context.clock.release()
    return job
  }

  private refuse({ frames, subject }: Task): Promise<Posted> {
    this.context.drop("busy", 1, sizeOf(frames), { subject })
    return Promise.resolve("full")
  }
}

function newLine(group: string): Line {
  return {
    group,
    jobs: new Ring(),
    bytes: 0,
    window: 1,
    asking: false,
    returned: false,
    freed: false,
    timer: undefined,
    desertedAt: undefined,
  }
}
