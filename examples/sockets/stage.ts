/**
 * What the acts of sockets.ts share: other processes and a line to them that does not depend on Earshot (Node's own
 * channel between parent and child), the check that everything arrived once, and lines for people to read.
 */
import { fork, type ChildProcess } from "node:child_process"
import { setTimeout as sleep } from "node:timers/promises"

/** One pattern at work. The same file holds what the main process does and the parts that its children play. */
export interface Act {
  readonly name: string
  readonly title: string
  /** What the pattern is for, in a sentence or two. */
  readonly purpose: string
  /** Resolves to the number of messages that were checked. */
  run(stage: Stage): Promise<number>
  readonly parts: Readonly<Record<string, (part: Part) => Promise<void>>>
}

/** A message was lost, came twice or went astray; or a child failed. Its text is for people. */
export class Failure extends Error {}

/** What to break on purpose, to see that it is noticed. */
export type Breakage = "lose" | "twice" | "crash" | undefined

/** The main process's side of an act. */
export class Stage {
  private readonly children: Child[] = []
  private readonly act: Act
  private readonly quick: boolean
  readonly breakage: Breakage
  /** Rejects when a child fails. */
  readonly failed: Promise<never>
  private reject!: (error: Failure) => void

  constructor(act: Act, quick: boolean, breakage: Breakage) {
    this.act = act
    this.quick = quick
    this.breakage = breakage
    this.failed = new Promise((_, reject) => (this.reject = reject))
    this.failed.catch(() => {})
  }

  /** So many messages, or a twentieth of it. */
  count(full: number): number {
    return this.quick ? full / 20 : full
  }

  /** Starts another process that plays a part of this act. */
  start(part: string, settings: object): Child {
    const argv = ["child", this.act.name, part, JSON.stringify({ ...settings, breakage: this.breakage })]
    const child = new Child(part, fork(process.argv[1]!, argv), this.reject)
    this.children.push(child)
    return child
  }

  /** So that nobody waits for ever: when it takes too long even for a slow machine, `describe` says what is missing. */
  async until<T>(promise: Promise<T>, describe: () => string): Promise<T> {
    const over = new AbortController()
    const limit = sleep(this.quick ? 5_000 : 60_000, undefined, { signal: over.signal, ref: false }).then(() => {
      throw new Failure(describe())
    })
    try {
      return await Promise.race([promise, limit, this.failed])
    } finally {
      over.abort()
      limit.catch(() => {})
    }
  }

  /** Waits until every child has come to its own end. Nobody ends them: Earshot must not keep them alive. */
  async end(): Promise<void> {
    for (const child of this.children)
      await this.until(child.ended, () => `${child.name} has played its part and does not end`)
  }

  kill(): void {
    for (const child of this.children) child.kill()
  }
}

/** Another process, as the main process sees it. */
export class Child {
  readonly name: string
  /** Exit code 0. */
  readonly ended: Promise<void>
  private readonly process: ChildProcess
  private readonly said: unknown[] = []
  private listener: ((word: unknown) => void) | undefined

  constructor(part: string, process: ChildProcess, fail: (error: Failure) => void) {
    this.process = process
    this.name = `${part} (process ${process.pid})`
    process.on("message", (word) => {
      const { listener } = this
      this.listener = undefined
      if (listener === undefined) this.said.push(word)
      else listener(word)
    })
    process.on("error", (error) => fail(new Failure(`${this.name} could not be started: ${error.message}`)))
    this.ended = new Promise((resolve) => {
      process.on("exit", (code, signal) => {
        if (code !== 0) fail(new Failure(`${this.name} failed: ${signal ?? `exit code ${code}`}`))
        else if (this.listener !== undefined) fail(new Failure(`${this.name} ended before its part was over`))
        else resolve()
      })
    })
  }

  tell(word: unknown): void {
    this.process.send(word as object)
  }

  /** The next that it tells. */
  hear<T>(): Promise<T> {
    return new Promise((resolve) => {
      if (this.said.length > 0) resolve(this.said.shift() as T)
      else this.listener = resolve as (word: unknown) => void
    })
  }

  kill(): void {
    this.process.kill()
  }
}

/** A child's side of an act. */
export class Part {
  readonly settings: Readonly<Record<string, string>>
  private readonly gone = (): void => process.exit(1)

  constructor(settings: Record<string, string>) {
    this.settings = settings
    process.on("disconnect", this.gone)
  }

  /** A setting that the main process gave. */
  get(name: string): string {
    const value = this.settings[name]
    if (value === undefined) throw new Failure(`this part needs to be told ${name}`)
    return value
  }

  tell(word: unknown): void {
    process.send!(word)
  }

  /** The next that the main process tells. */
  hear<T>(): Promise<T> {
    return new Promise((resolve) => process.once("message", (word) => resolve(word as T)))
  }

  /** From here on only Earshot could keep this process alive. */
  over(): void {
    process.off("disconnect", this.gone)
    process.disconnect()
  }
}

/** Ticks numbered messages off: each from 0 on must come, and none twice. */
export class Tally {
  count = 0
  private seen = new Uint8Array(65_536)
  private readonly what: string

  constructor(what: string) {
    this.what = what
  }

  tick(number: number): void {
    if (!Number.isSafeInteger(number) || number < 0) throw new Failure(`${this.what} number ${number} was never sent`)
    if (number >= this.seen.length) {
      const more = new Uint8Array(Math.max(number + 1, this.seen.length * 2))
      more.set(this.seen)
      this.seen = more
    }
    if (this.seen[number] === 1) throw new Failure(`${this.what} number ${number} came twice`)
    this.seen[number] = 1
    this.count++
  }

  /** What is wrong after `total` were sent. */
  missing(total: number): string {
    const lost: number[] = []
    for (let number = 0; number < total && lost.length < 5; number++) if (this.seen[number] !== 1) lost.push(number)
    return `${plain(this.count)} of ${plain(total)} arrived (${this.what}); missing: number ${lost.join(", ")}${lost.length < 5 ? "" : ", …"}`
  }

  check(total: number): void {
    if (this.count < total) throw new Failure(this.missing(total))
    if (this.count > total)
      throw new Failure(`${plain(this.count)} arrived and ${plain(total)} were sent (${this.what})`)
  }
}

export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Failure(otherwise)
}

export function say(line: string): void {
  console.log(`   ${line}`)
}

/** 1234567 as 1,234,567. */
export function plain(number: number): string {
  return Math.round(number).toLocaleString("en-US")
}

/** How many a second. */
export function rate(count: number, milliseconds: number): string {
  return plain((count * 1000) / Math.max(1, milliseconds))
}
