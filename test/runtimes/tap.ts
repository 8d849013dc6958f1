// What stands in for tap where tap itself can't run (it needs V8's serializer and call sites: no Bun, no Deno). The test files
// are the same, so this has the part of tap's interface that they use and its meaning: assertions compare by tap's own
// `tcompare`. Assertions are counted; what fails or is skipped is printed, and what runs is known by name.
import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from "node:fs"
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { inspect } from "node:util"

type Compare = (found: unknown, wanted: unknown) => { readonly match: boolean; readonly diff: string }
const require = createRequire(import.meta.url)
const { same, strict, match } = require("tcompare") as Record<"same" | "strict" | "match", Compare>

type Body = (t: Case) => unknown
interface TestOptions {
  readonly skip?: boolean | string | undefined
  readonly timeout?: number
}
type Folder = { readonly [name: string]: string | Folder }

/** ms a test may take, if it doesn't say itself. */
const PATIENCE = 60_000

/** Of the whole file. */
export const counts: { passed: number; failed: number; skipped: number } = { passed: 0, failed: 0, skipped: 0 }

/** Tests that this runtime can't do, by how their titles begin: why, and how many were left out. */
export const left = new Map<string, { readonly reason: string; tests: number }>()

/** One line for the program that runs the files: what happened, of which test, and more about it. */
export function tell(what: string, name: string, more = ""): void {
  const about = more === "" ? [] : more.trimEnd().split("\n")
  process.stdout.write([`${what} - ${name}`, ...about.map((line) => `    ${line}`), ""].join("\n"))
}

/** A test: its assertions, its own tests, what ends with it. */
export class Case {
  readonly name: string
  /** How many of its tests may run at once. */
  jobs = 1
  private patience = PATIENCE
  private readonly path: readonly string[]
  private readonly cleanup: (() => unknown)[] = []
  private readonly line: (() => Promise<void>)[] = []
  private readonly owed = new Set<Promise<unknown>>()
  private running = 0
  private failures = 0
  private over = false

  constructor(path: readonly string[]) {
    this.path = path
    this.name = path.at(-1) ?? "the file"
  }

  test(name: string, ...rest: [Body] | [TestOptions, Body]): Promise<void> {
    const [{ skip = false, timeout }, body] = rest.length === 1 ? [{} as TestOptions, rest[0]] : rest
    const child = new Case([...this.path, name])
    if (timeout !== undefined) child.setTimeout(timeout)
    const why = child.lacking() ?? skip
    if (why !== false) {
      counts.skipped++
      tell("skipped", child.title, typeof why === "string" ? why : "no reason given")
      return Promise.resolve()
    }
    return this.owe(
      new Promise((resolve) => {
        this.line.push(() => child.run(body).then(resolve))
        this.next()
      }),
    )
  }

  /** Runs it, with all its tests, then its teardowns, the last first. */
  async run(body: Body): Promise<void> {
    tell("begins", this.title)
    let timer: ReturnType<typeof setTimeout> | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${this.patience} ms`)), this.patience)
    })
    const work = (async () => {
      await body(this)
      while (this.owed.size > 0) await Promise.all(this.owed)
    })()
    try {
      await Promise.race([work, late])
    } catch (error) {
      this.fail("throws nothing", error)
    }
    clearTimeout(timer)
    await this.finish()
    tell("ended", this.title)
  }

  async finish(): Promise<void> {
    while (this.owed.size > 0) await Promise.all(this.owed)
    for (const undo of this.cleanup.toReversed()) {
      try {
        await undo()
      } catch (error) {
        this.fail("tears down", error)
      }
    }
    this.over = true
  }

  teardown(undo: () => unknown): void {
    this.cleanup.push(undo)
  }

  /** Nothing in it has failed so far. */
  passing(): boolean {
    return this.failures === 0
  }

  setTimeout(patience: number): void {
    this.patience = patience
  }

  testdir(content: Folder = {}): string {
    // Where tap has its own, so that programs in it find the packages.
    mkdirSync(".tap/fixtures", { recursive: true })
    const folder = mkdtempSync(resolve(".tap/fixtures/test-"))
    this.teardown(() => rmSync(folder, { recursive: true, force: true }))
    write(folder, content)
    return folder
  }

  /** Replaces a method for as long as the test lasts. Call what it gives for the calls since the last time. */
  capture<T extends object>(owner: T, name: keyof T): () => { readonly args: unknown[] }[] {
    const before = Object.getOwnPropertyDescriptor(owner, name)!
    const calls: { readonly args: unknown[] }[] = []
    Object.defineProperty(owner, name, { ...before, value: (...args: unknown[]) => void calls.push({ args }) })
    this.teardown(() => Object.defineProperty(owner, name, before))
    return () => calls.splice(0)
  }

  comment(..._words: unknown[]): void {}
  end(): void {}

  pass(_message?: string): true {
    counts.passed++
    return true
  }

  fail(message = "fails", about: unknown = ""): false {
    counts.failed++
    this.failures++
    const why = about instanceof Error ? (about.stack ?? about.message) : String(about)
    const where = new Error("here").stack
      ?.split("\n")
      .find((line) => line.includes(".test.ts") || line.includes("conformance"))
    tell("failed", `${this.title} > ${message}${this.over ? " (after its end)" : ""}`, `${why}\n${where?.trim() ?? ""}`)
    return false
  }

  ok(found: unknown, message = "ok"): boolean {
    return found ? this.pass() : this.fail(message, `${inspect(found)} is not true`)
  }
  notOk(found: unknown, message = "not ok"): boolean {
    return found ? this.fail(message, `${inspect(found)} is not false`) : this.pass()
  }
  equal(found: unknown, wanted: unknown, message = "equal"): boolean {
    return Object.is(found, wanted) || found === wanted ? this.pass() : this.fail(message, strict(found, wanted).diff)
  }
  not(found: unknown, other: unknown, message = "not equal"): boolean {
    return found === other ? this.fail(message, `both are ${String(found)}`) : this.pass()
  }
  same(found: unknown, wanted: unknown, message = "same"): boolean {
    return this.compared(same(found, wanted), message)
  }
  strictSame(found: unknown, wanted: unknown, message = "strictly the same"): boolean {
    return this.compared(strict(found, wanted), message)
  }
  notSame(found: unknown, other: unknown, message = "not the same"): boolean {
    return same(found, other).match ? this.fail(message) : this.pass()
  }
  match(found: unknown, pattern: unknown, message = "matches"): boolean {
    return this.compared(match(found, pattern), message)
  }
  notMatch(found: unknown, pattern: unknown, message = "does not match"): boolean {
    return match(found, pattern).match ? this.fail(message, `${String(found)} matches ${String(pattern)}`) : this.pass()
  }
  type(found: unknown, wanted: string | (new (...args: never[]) => unknown), message = "type"): boolean {
    const is = typeof wanted === "string" ? typeof found === wanted : found instanceof wanted
    return is ? this.pass() : this.fail(message, `${typeof found} where ${String(wanted)} was due`)
  }

  throws(call: () => unknown, ...wanted: [wanted?: unknown, message?: string]): unknown {
    try {
      call()
    } catch (error) {
      return this.thrown(error, wanted)
    }
    return this.fail("throws")
  }
  doesNotThrow(call: () => unknown, message = "does not throw"): boolean {
    try {
      call()
    } catch (error) {
      return this.fail(message, error)
    }
    return this.pass()
  }
  rejects(promise: Promise<unknown> | (() => Promise<unknown>), ...wanted: [unknown?, string?]): Promise<unknown> {
    const asked = (async () => {
      try {
        await (typeof promise === "function" ? promise() : promise)
      } catch (error) {
        return this.thrown(error, wanted)
      }
      return this.fail(wanted.find((each) => typeof each === "string") ?? "rejects")
    })()
    return this.owe(asked)
  }

  private get title(): string {
    return this.path.join(" > ")
  }

  /** Why it is left out. */
  private lacking(): string | undefined {
    for (const [title, about] of left) {
      if (!this.title.startsWith(title)) continue
      about.tests++
      return about.reason
    }
    return undefined
  }

  private thrown(error: unknown, [wanted, message]: [wanted?: unknown, message?: string]): unknown {
    if (wanted === undefined || typeof wanted === "string") return (this.pass(), error)
    const found = wanted instanceof RegExp ? (error as Error).message : error
    const of =
      typeof wanted === "function" ? { match: error instanceof wanted, diff: String(error) } : match(found, wanted)
    return this.compared(of, message ?? "the error") && error
  }

  private compared(result: ReturnType<Compare>, message: string): boolean {
    return result.match ? this.pass() : this.fail(message, result.diff)
  }

  /** The test lasts until this is done, awaited or not. */
  private owe<T>(promise: Promise<T>): Promise<T> {
    const paid = (): void => void this.owed.delete(promise)
    this.owed.add(promise)
    promise.then(paid, paid)
    return promise
  }

  private next(): void {
    if (this.running >= this.jobs || this.line.length === 0) return
    this.running++
    const begin = this.line.shift()!
    // `jobs` may be set behind the first test: what follows joins it.
    void begin().then(() => {
      this.running--
      this.next()
    })
    this.next()
  }
}

function write(folder: string, content: Folder): void {
  for (const [name, what] of Object.entries(content)) {
    const path = join(folder, name)
    if (typeof what === "string") writeFileSync(path, what)
    else {
      mkdirSync(path)
      write(path, what)
    }
  }
}

const root: Case = new Case([])
export default root
export type Test = Case
