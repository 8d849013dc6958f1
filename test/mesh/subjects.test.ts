// Subjects, and the table of who wants them, against a naive matcher.
import * as fc from "fast-check"
import { deepStrictEqual, equal } from "node:assert"
import t from "tap"
import { EarshotError } from "../../lib/errors.ts"
import { excluding, type Holders, holds, including, valuesOf } from "../../lib/mesh/holders.ts"
import { RouteCache } from "../../lib/mesh/route-cache.ts"
import { KnownSubject } from "../../lib/mesh/subject-bytes.ts"
import { SubjectTable } from "../../lib/mesh/subject-table.ts"
import {
  checkPattern,
  checkSubject,
  hasWildcard,
  isReserved,
  isSubject,
  matches,
  MAX_SUBJECT,
  MAX_TOKENS,
} from "../../lib/mesh/subject.ts"

/** What MESH.md says, as plainly as it can be written. */
function naive(pattern: string, subject: string): boolean {
  const wanted = pattern.split(".")
  const given = subject.split(".")
  const reserved = given[0]!.startsWith("$") || given[0] === "_INBOX"
  if (reserved && (wanted[0] === "*" || wanted[0] === ">")) return false
  const rest = wanted.at(-1) === ">"
  if (rest ? given.length < wanted.length : given.length !== wanted.length) return false
  return wanted.every((token, i) => token === "*" || token === ">" || token === given[i])
}

function refusal(work: () => void): string {
  try {
    work()
  } catch (error) {
    if (error instanceof EarshotError && error.code === "INVALID_SUBJECT") return error.message
    throw error
  }
  return ""
}

// Few tokens, of which some are prefixes of others, and all that is reserved.
const token = fc.constantFrom("a", "a", "b", "aa", "$", "_INBOX", "_INBOXES")
const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."))
const pattern = fc
  .tuple(
    fc.array(fc.oneof({ weight: 3, arbitrary: token }, fc.constant("*")), { maxLength: 3 }),
    fc.oneof({ weight: 2, arbitrary: token }, fc.constantFrom("*", ">")),
  )
  .map(([tokens, last]) => [...tokens, last].join("."))

t.test("the grammar", async (t) => {
  const subjects = ["a", "a.b", "sensors.kitchen.temp", "A-b_c/d:e", "größe.日本.🎧", "$SRV.PING", "_INBOX.x", "\"'\\<"]
  for (const good of subjects) {
    t.equal(
      refusal(() => checkSubject(good)),
      "",
      good,
    )
    t.equal(
      refusal(() => checkPattern(good)),
      "",
      good,
    )
    t.ok(isSubject(good), good)
    t.notOk(hasWildcard(good), good)
  }
  for (const good of ["*", ">", "*.*", "a.*", "*.b", "a.>", "*.>", "a.*.c", "$SRV.>"]) {
    t.equal(
      refusal(() => checkPattern(good)),
      "",
      good,
    )
    t.match(
      refusal(() => checkSubject(good)),
      "wildcards are for subscribing",
      good,
    )
    t.ok(hasWildcard(good), good)
  }
  const bad: [text: string, why: string][] = [
    ["", "token 1 is empty"],
    [".", "token 1 is empty"],
    [".a", "token 1 is empty"],
    ["a.", "token 2 is empty"],
    ["a..b", "token 2 is empty"],
    ["a.b..", "token 3 is empty"],
    ["\u{d83c}", "half a surrogate pair in token 1"],
    ["a.\u{d83c}.b", "half a surrogate pair in token 2"],
    ["a.\u{dfa7}", "half a surrogate pair in token 2"],
    ["\u{dfa7}\u{d83c}", "half a surrogate pair"],
    ["\u{d83c}\u{d83c}\u{dfa7}", "half a surrogate pair"],
  ]
  for (let code = 0; code < 0x10000; code++) {
    const character = String.fromCharCode(code)
    if (/[\s\p{Cc}]/u.test(character)) bad.push([`a.b${character}c`, "whitespace or a control character in token 2"])
    else if (code < 0xd800 && !".*>".includes(character) && refusal(() => checkPattern(character)) !== "")
      t.fail(`U+${code.toString(16)} is refused`)
  }
  for (const [text, why] of bad) {
    const name = Array.from(text, (character) => character.codePointAt(0)!.toString(16)).join(" ")
    t.match(
      refusal(() => checkSubject(text)),
      why,
      `code points ${name}`,
    )
    t.match(
      refusal(() => checkPattern(text)),
      why,
      `code points ${name}`,
    )
    t.notOk(isSubject(text), `code points ${name}`)
  }
  for (const half of ["a*", "*a", "**", "a>", ">a", ">>", "*>", "a.b*.c", "a.>b", "*\u{d83c}"])
    t.match(
      refusal(() => checkPattern(half)),
      "a wildcard is a whole token",
      half,
    )
  for (const early of [">.a", "a.>.b", ">.>", ">.", ">.*"])
    t.match(
      refusal(() => checkPattern(early)),
      "> comes last",
      early,
    )

  for (const [text, reserved] of Object.entries({
    $: true,
    "$SRV.PING": true,
    _INBOX: true,
    "_INBOX.a": true,
    _INBOXES: false,
    "_INBOXES.a": false,
    "_inbox.a": false,
    "a.$b": false,
    "a._INBOX": false,
  }))
    t.equal(isReserved(text), reserved, text)

  const notText = 5 as unknown as string
  t.match(
    refusal(() => checkSubject(notText)),
    "a string, not number",
  )
  t.match(
    refusal(() => checkPattern(undefined as unknown as string)),
    "a string, not undefined",
  )
})

t.test("limits, and what a message shows of bad input", async (t) => {
  const long = "x".repeat(MAX_SUBJECT)
  t.equal(
    refusal(() => checkSubject(long)),
    "",
  )
  t.match(
    refusal(() => checkSubject(`${long}x`)),
    `it has ${MAX_SUBJECT + 1} characters, and ${MAX_SUBJECT} are the most`,
  )
  const many = Array<string>(MAX_TOKENS).fill("a").join(".")
  t.equal(
    refusal(() => checkSubject(many)),
    "",
  )
  t.match(
    refusal(() => checkPattern(`${many}.>`)),
    `it has ${MAX_TOKENS + 1} tokens`,
  )

  const hostile = {
    "10 MB": "x".repeat(10_000_000),
    "10 MB of pieces": `${"ab".repeat(2_500_000)}${"cd".repeat(2_500_000)}`,
    "10,000 tokens": "a.".repeat(10_000),
    "1,024 NULs": "\0".repeat(1024),
    "escape sequences": "\u{9b}31m\u{1b}[2J\u{202e}",
    surrogates: "\u{d83c}".repeat(1000),
  }
  for (const [name, text] of Object.entries(hostile)) {
    const begun = process.hrtime.bigint()
    const message = refusal(() => checkSubject(text))
    refusal(() => checkPattern(text))
    const ms = Number(process.hrtime.bigint() - begun) / 1e6
    t.ok(ms < 500, `${name}: refused in ${ms} ms`)
    const shown = /^"(.*)" is not a subject/.exec(message)?.[1]
    t.ok(shown !== undefined && shown.length > 0 && shown.length <= 100, `${name}: ${message}`)
    t.notMatch(message, /[\p{Cc}\p{Cs}\u{202e}]/u, `${name}: printable`)
  }

  const table = new SubjectTable<string, readonly string[]>((matched) => matched)
  table.add(">", "all")
  for (const [name, text] of Object.entries(hostile)) {
    const begun = process.hrtime.bigint()
    for (let n = 0; n < 100; n++) table.lookup(text)
    const ms = Number(process.hrtime.bigint() - begun) / 1e6
    t.ok(ms < 500, `${name}: looked up 100 times in ${ms} ms`)
  }
  t.same(table.match(hostile["10 MB"]), [], "too long to match anything")
  t.same(table.match(5 as unknown as string), [], "no text, no match")
})

t.test("matches() does what the naive matcher does", async (t) => {
  const pairs: [pattern: string, subject: string, matches: boolean][] = [
    ["a.>", "a.b", true],
    ["a.>", "a.b.c", true],
    ["a.>", "a", false],
    [">", "a", true],
    ["*", "a.b", false],
    ["*.*", "a", false],
    ["a", "a.b", false],
    ["a.b", "a", false],
    ["a.*.c", "a.b.c", true],
    ["a.*", "ab.c", false],
    ["a.b", "A.b", false],
    [">", "$SRV.PING", false],
    ["*.PING", "$SRV.PING", false],
    ["$SRV.>", "$SRV.PING", true],
    [">", "_INBOX.1", false],
    ["_INBOX.*", "_INBOX.1", true],
    [">", "_INBOXES.1", true],
    ["a.*", "a.$b", true],
  ]
  for (const [pattern, subject, expected] of pairs) {
    t.equal(matches(pattern, subject), expected, `${pattern} on ${subject}`)
    t.equal(naive(pattern, subject), expected, `${pattern} on ${subject}, naively`)
  }
  fc.assert(
    fc.property(pattern, subject, (pattern, subject) => {
      checkPattern(pattern)
      checkSubject(subject)
      return matches(pattern, subject) === naive(pattern, subject)
    }),
    { numRuns: 20_000 },
  )
})

t.test("the table finds what a search through all patterns finds, and never anything stale", async (t) => {
  const value = fc.constantFrom("A", "B", "C", "D")
  const change = fc.record({ pattern, value, what: fc.constantFrom("add" as const, "add" as const, "remove" as const) })
  const lookup = fc.record({ subject, what: fc.constant("lookup" as const) })
  const again = fc.record({ pick: fc.nat(), what: fc.constantFrom("again" as const, "undo" as const) })
  fc.assert(
    fc.property(
      fc.array(fc.oneof(change, lookup, again), { maxLength: 150, size: "max" }),
      fc.constantFrom(0, 2, 6, 4096),
      (steps, cache) => {
        const table = new SubjectTable<string, string>((matched, subject) => `${subject}: ${sorted(matched)}`, {
          cache,
        })
        const model = new Map<string, { pattern: string; value: string }>()
        const asked: string[] = []
        const look = (subject: string): void => {
          asked.push(subject)
          const expected = [...model.values()]
            .filter(({ pattern }) => naive(pattern, subject))
            .map(({ value }) => value)
          same(table.lookup(subject), `${subject}: ${sorted(new Set(expected))}`)
          same(sorted(table.match(subject)), sorted(new Set(expected)))
        }
        for (const step of steps) {
          if ("subject" in step) look(step.subject)
          else if (step.what === "again") {
            if (asked.length > 0) look(asked[step.pick % asked.length]!)
          } else {
            const what = step.what === "add" ? "add" : "remove"
            const pair = "pick" in step ? [...model.values()][step.pick % Math.max(1, model.size)] : step
            if (pair === undefined) continue
            const key = `${pair.pattern} ${pair.value}`
            same(table[what](pair.pattern, pair.value), (what === "add") !== model.has(key))
            if (what === "add") model.set(key, pair)
            else model.delete(key)
          }
          same(table.size, model.size)
          if (table.cached > cache) throw new Error(`${table.cached} are cached, and ${cache} may be`)
        }
        for (const subject of asked.splice(0)) look(subject)
        const listed = [...table.patterns()].flatMap(([pattern, values]) =>
          values.map((value) => `${pattern} ${value}`),
        )
        same(sorted(listed), sorted(model.keys()))
        for (const { pattern, value } of model.values()) table.remove(pattern, value)
        same(contents(table), contents(new SubjectTable(() => "")))
      },
    ),
    { numRuns: 600 },
  )
  t.pass("600 histories")
})

t.test("a stored pair is stored once, and removed once", async (t) => {
  const table = new SubjectTable<number, readonly number[]>((matched) => matched)
  for (const pattern of ["a.b", "a.*", "a.>", ">"]) {
    t.ok(table.add(pattern, 1))
    t.notOk(table.add(pattern, 1), "there already")
    t.ok(table.add(pattern, 2))
  }
  t.equal(table.size, 8)
  t.same(sorted(table.lookup("a.b")), sorted([1, 2]), "each value once, whatever patterns it stands under")
  for (const pattern of ["a.b", "a.*", "a.>"]) {
    t.ok(table.remove(pattern, 1))
    t.notOk(table.remove(pattern, 1), "gone already")
    t.notOk(table.remove(`${pattern}.x`, 2), "never was there")
  }
  t.same(sorted(table.lookup("a.b")), sorted([1, 2]), "one is left")
  t.ok(table.remove(">", 1))
  t.same(table.lookup("a.b"), [2])
})

t.test("what is left with a subject that comes again holds for its table, until a pattern comes or goes", async (t) => {
  const [one, other] = [1, 2].map(() => new SubjectTable<number, readonly number[]>((matched) => matched))
  const known = new KnownSubject("a.b", Buffer.from("a.b"))
  const shared = new KnownSubject("x.y", Buffer.from("x.y"))
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.boolean(), fc.constantFrom("a.b", "a.*", ">", "b.c"), fc.nat({ max: 2 }))),
      (steps) => {
        for (const [first, add, pattern, value] of steps) {
          const table = first ? one! : other!
          const before = one!.recall(known)
          if (add) table.add(pattern, value)
          else table.remove(pattern, value)
          deepStrictEqual(sorted(one!.recall(known)), sorted(one!.match("a.b")))
          if (!first) equal(one!.recall(known), before)
          for (const each of [one!, other!]) deepStrictEqual(sorted(each.recall(shared)), sorted(each.match("x.y")))
        }
      },
    ),
  )
  one!.add("a.b", 7)
  const found = one!.recall(known)
  one!.forget()
  t.not(one!.recall(known), found, "made anew")
})

t.test("a million come and go, and leave nothing", async (t) => {
  const table = new SubjectTable<number, number>((matched) => matched.length)
  const patternOf = (n: number): string =>
    [`plant.${n}.temp`, `plant.*.${n}.x`, `plant.${n}.>`, `*.${n}`, "plant.all"][n % 5]!
  for (let round = 0; round < 10; round++) {
    for (let n = 0; n < 100_000; n++) table.add(patternOf(n), n)
    if (table.size !== 100_000) t.fail(`${table.size} are there`)
    t.equal(table.lookup("plant.all"), 20_000)
    t.equal(table.lookup("plant.2.temp"), 1)
    for (let n = 99_999; n >= 0; n--) if (!table.remove(patternOf(n), n)) t.fail(`${n} was not there`)
    t.equal(table.lookup("plant.all"), 0)
  }
  table.forget()
  t.same(contents(table), contents(new SubjectTable(() => 0)), "as if it were new")
})

t.test("300,000 under one pattern, and under two", async (t) => {
  const count = 300_000
  const table = new SubjectTable<number, number>((matched) => matched.length)
  for (let n = 0; n < count; n++) table.add("a.*", n)
  t.equal(table.lookup("a.b"), count)
  for (let n = 0; n < count; n++) table.add("a.>", n)
  table.add("a.b", 5)
  t.equal(table.lookup("a.b"), count)
  for (let n = 0; n < count; n++) if (!table.remove("a.*", (n + 7) % count)) t.fail(`${n} was not there`)
  t.equal(table.lookup("a.b"), count)
  t.equal(table.size, count + 1)
})

t.test("the cache", async (t) => {
  t.test("is used, bounded in subjects and in characters, and keeps what is in use", async (t) => {
    let made = 0
    const table = new SubjectTable<number, number>(() => ++made, { cache: 100 })
    table.add("hot.>", 1)
    const hot = table.lookup("hot.one")
    for (let n = 0; n < 10_000; n++) {
      table.lookup(`cold.${n}`)
      if (n % 20 === 0 && table.lookup("hot.one") !== hot) t.fail("what is in use was forgotten")
      if (table.cached > 100) t.fail(`${table.cached} are kept`)
    }
    t.equal(made, 10_001)

    const cache = new RouteCache<number>(100)
    for (let n = 0; n < 1000; n++) cache.set(`${n}`.padStart(256, "x"), n)
    t.ok(cache.size * 256 <= 100 * 64 + 2 * 256, `${cache.size} long ones are kept`)
    t.ok(cache.size > 20)
    cache.set("y".repeat(257), 1)
    t.equal(cache.get("y".repeat(257)), undefined, "too long to be kept")
  })

  t.test("keeps what no change touched, across few changes and many", async (t) => {
    let made = 0
    const table = new SubjectTable<number, readonly number[]>((matched) => (made++, matched))
    table.add("a.*", 1)
    const kept = table.lookup("a.b")
    const changes = (count: number): void => {
      for (let n = 0; n < count; n++) table.add(`other.${n}.*`, 1)
      for (let n = 0; n < count; n++) table.remove(`other.${n}.*`, 1)
    }
    changes(8)
    t.equal(table.lookup("a.b"), kept)
    table.add("a.c", 2)
    table.remove("c", 2)
    t.equal(table.lookup("a.b"), kept)
    t.equal(made, 1)
    changes(100)
    t.same(table.lookup("a.b"), kept)
    t.equal(made, 2, "after many changes it is made anew")
    for (let others = 0; others < 20; others++) {
      table.add("a.>", 3)
      for (let n = 0; n < others; n++) table.add(`${n}.*`, others)
      t.same(sorted(table.lookup("a.b")), sorted([1, 3]), `seen behind ${others} other changes`)
      table.remove("a.>", 3)
      for (let n = 0; n < others; n++) table.remove(`${n}.*`, others)
      t.same(table.lookup("a.b"), [1])
    }
    table.add("a.b", 2)
    t.same(sorted(table.lookup("a.b")), sorted([1, 2]))
    table.remove("a.*", 1)
    t.same(table.lookup("a.b"), [2])
  })

  t.test("forgets when told", async (t) => {
    let made = 0
    const table = new SubjectTable<number, number>(() => ++made)
    t.equal(table.lookup("a"), table.lookup("a"))
    table.forget()
    t.equal(table.lookup("a"), 2)
  })

  t.test("takes undefined for a result like any other", async (t) => {
    let made = 0
    const table = new SubjectTable<number, undefined>(() => void made++)
    table.lookup("a")
    table.lookup("a")
    t.equal(made, 1)
  })
})

t.test("holders do what a set does, few or many", async (t) => {
  const step = fc.record({ value: fc.nat(40), add: fc.boolean() })
  const steps = fc.array(step, { maxLength: 200, size: "max" })
  const play = (
    steps: readonly { value: number; add: boolean }[],
    check: boolean,
  ): [Holders<number>[], Set<number>] => {
    let holders: Holders<number> | undefined
    const model = new Set<number>()
    for (const { value, add } of steps) {
      if (check) same(holders !== undefined && holds(holders, value), model.has(value))
      if (add && !model.has(value)) holders = including(holders, value)
      else if (!add && holders !== undefined && model.has(value)) holders = excluding(holders, value)
      if (add) model.add(value)
      else model.delete(value)
      if (check) same(sorted(holders === undefined ? [] : valuesOf([holders])), sorted(model))
    }
    return [holders === undefined ? [] : [holders], model]
  }
  fc.assert(
    fc.property(steps, fc.array(steps, { maxLength: 6 }), (first, others) => {
      const [all, model] = play(first, true)
      let union = model
      for (const steps of others) {
        const [more, values] = play(steps, false)
        all.push(...more)
        union = new Set([...union, ...values])
      }
      const before = sorted(all.flatMap((holders) => valuesOf([holders])))
      same(sorted(valuesOf(all)), sorted(union))
      same(sorted(all.flatMap((holders) => valuesOf([holders]))), before)
    }),
    { numRuns: 200 },
  )
  t.pass("200 histories")
})

/** What a table holds on to, apart from its cache. */
function contents(table: object): unknown {
  const { literals, wild, size } = table as {
    literals: Map<string, unknown>
    wild: { root: object; dictionary: object }
    size: number
  }
  return {
    literals: literals.size,
    root: { ...wild.root },
    dictionary: JSON.stringify([...(wild.dictionary as Map<string, unknown>)]),
    size,
  }
}

function sorted(values: Iterable<unknown>): string {
  return [...values].map(String).sort().join(", ")
}

function same(found: unknown, expected: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(expected))
    throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(expected)}`)
}
