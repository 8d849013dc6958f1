/**
 * Subjects and patterns: NATS's grammar (MESH.md "Subjects").
 *
 * A subject is tokens between dots: `sensors.kitchen.temp`. In a pattern `*` stands for one token and `>`, last, for the
 * rest, one token or more; each only as a whole token. Case counts. First tokens that begin with `$`, and `_INBOX`,
 * are reserved, and a wildcard in a pattern's first token matches none of them.
 */
import { EarshotError } from "../errors.ts"

/** The longest subject or pattern, in UTF-16 code units: at most three times as many bytes in UTF-8. */
export const MAX_SUBJECT = 1024

/** The most tokens of a subject or pattern. */
export const MAX_TOKENS = 64

const SPACE = 0x20
const DOLLAR = 0x24
const ANY = 0x2a // *
const DOT = 0x2e
const REST = 0x3e // >
const DELETE = 0x7f
const INBOX = "_INBOX"
/** Of what was given, in a message. */
const SHOWN = 100
/** What JSON leaves as it is and a terminal does not: C1 controls, line separators, marks that turn the writing around. */
const UNSEEN = /[\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g

/** For what is published to or requested. Throws INVALID_SUBJECT unless it is a subject: no wildcards. */
export function checkSubject(subject: string): void {
  const problem = problemOf(subject, false)
  if (problem !== undefined) throw new EarshotError("INVALID_SUBJECT", `${quote(subject)} is not a subject: ${problem}`)
}

/** For what is subscribed to. Throws INVALID_SUBJECT unless it is a pattern: a subject, or one with wildcards. */
export function checkPattern(pattern: string): void {
  const problem = problemOf(pattern, true)
  if (problem !== undefined) throw new EarshotError("INVALID_SUBJECT", `${quote(pattern)} is not a pattern: ${problem}`)
}

/** Would `checkSubject` take it? */
export function isSubject(subject: string): boolean {
  return problemOf(subject, false) === undefined
}

/** Is its first token reserved: does it begin with `$`, or is it `_INBOX`? */
export function isReserved(subject: string): boolean {
  if (subject.charCodeAt(0) === DOLLAR) return true
  return subject.startsWith(INBOX) && (subject.length === INBOX.length || subject.charCodeAt(INBOX.length) === DOT)
}

/** Has a pattern, one that `checkPattern` takes, any wildcard? */
export function hasWildcard(pattern: string): boolean {
  return pattern.charCodeAt(pattern.length - 1) === REST || pattern.includes("*")
}

/** Does a pattern match a subject? For such as `checkPattern` and `checkSubject` take; of others it says anything. */
export function matches(pattern: string, subject: string): boolean {
  const first = pattern.charCodeAt(0)
  if ((first === ANY || first === REST) && isReserved(subject)) return false
  let at = 0
  for (let i = 0; i < pattern.length; i++) {
    const code = pattern.charCodeAt(i)
    if (code === REST) return true
    if (code !== ANY) {
      if (code !== subject.charCodeAt(at++)) return false
    } else {
      const dot = subject.indexOf(".", at)
      at = dot === -1 ? subject.length : dot
    }
  }
  return at === subject.length
}

/** What is wrong with a subject or pattern. Looks at no more than MAX_SUBJECT characters. */
function problemOf(text: string, wildcards: boolean): string | undefined {
  if (typeof text !== "string") return `it is a string, not ${typeof text}`
  const { length } = text
  if (length > MAX_SUBJECT) return `it has ${length} characters, and ${MAX_SUBJECT} are the most`
  let tokens = 1
  let start = 0
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code === DOT) {
      if (i === start) break
      start = i + 1
      tokens++
    } else if (code === ANY || code === REST) {
      if (!wildcards) return "wildcards are for subscribing"
      const whole = i === start && (i + 1 === length || text.charCodeAt(i + 1) === DOT)
      if (!whole) return "a wildcard is a whole token"
      if (code === REST && i + 1 < length) return "> comes last"
    } else if (code <= SPACE || (code >= DELETE && isBlank(code))) {
      return `there is whitespace or a control character in token ${tokens}`
    } else if (isSurrogate(code) && !isPair(code, text.charCodeAt(++i))) {
      return `there is half a surrogate pair in token ${tokens}`
    }
  }
  if (start === length || text.charCodeAt(start) === DOT) return `token ${tokens} is empty`
  return tokens > MAX_TOKENS ? `it has ${tokens} tokens, and ${MAX_TOKENS} are the most` : undefined
}

/** Control characters and Unicode's spaces (what `\s` means) from DELETE on. */
function isBlank(code: number): boolean {
  if (code <= 0xa0) return true
  if (code < 0x2000) return code === 0x1680
  if (code <= 0x205f) return code <= 0x200a || code === 0x2028 || code === 0x2029 || code === 0x202f || code === 0x205f
  return code === 0x3000 || code === 0xfeff
}

function isSurrogate(code: number): boolean {
  return (code & 0xf800) === 0xd800
}

function isPair(high: number, low: number): boolean {
  return high < 0xdc00 && low >= 0xdc00 && low < 0xe000
}

/** For messages: printable, and at most SHOWN characters of it. */
function quote(text: string): string {
  if (typeof text !== "string") return "this"
  const shown = JSON.stringify(text.slice(0, SHOWN)).slice(1, -1).replaceAll(UNSEEN, escape)
  return text.length > SHOWN || shown.length > SHOWN ? `"${shown.slice(0, SHOWN - 1)}…"` : `"${shown}"`
}

function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
}
