/**
 * Patterns, and who stands under each: a trie with one step per token.
 *
 *   "a.*.c" (1)    root --a--> --*--> --c--> here: 1
 *   "a.*.>" (2)                  rest: 2
 *   "a.b.*" (3)          --b--> --*--> here: 3
 *
 * Takes what `checkPattern` and `checkSubject` take, and so is no deeper than MAX_TOKENS. What a removal leaves empty goes.
 * Where both `*` and a token lead on, a search takes both ways: it visits at most what is stored.
 */
import { excluding, holds, type Holders, including, valuesOf } from "./holders.ts"
import { isReserved } from "./subject.ts"

const ANY = 0x2a // *
const REST = 0x3e // >

/** Each token that leads anywhere is there once, so that steps compare and hash objects instead of strings. */
class Token {
  readonly text: string
  /** Steps that it leads. */
  uses = 0

  constructor(text: string) {
    this.text = text
  }
}

class Node<Value extends {}> {
  /** Of the pattern that ends here. */
  here: Holders<Value> | undefined
  /** Of the pattern that ends in `>` after this. */
  rest: Holders<Value> | undefined
  /** After `*`. */
  any: Node<Value> | undefined
  /** After a token: the only one, which is what most nodes have, or all of several. */
  token: Token | undefined
  only: Node<Value> | undefined
  several: Map<Token, Node<Value>> | undefined

  constructor() {
    this.here = this.rest = this.any = this.token = this.only = this.several = undefined
  }

  get empty(): boolean {
    return (
      this.here === undefined &&
      this.rest === undefined &&
      this.any === undefined &&
      this.only === undefined &&
      this.several === undefined
    )
  }

  child(token: Token): Node<Value> | undefined {
    if (this.several !== undefined) return this.several.get(token)
    return this.token === token ? this.only : undefined
  }

  /** The child after a token, made where it isn't there. */
  reach(token: Token): Node<Value> {
    const found = this.child(token)
    if (found !== undefined) return found
    const node = new Node<Value>()
    token.uses++
    if (this.several !== undefined) this.several.set(token, node)
    else if (this.only === undefined) {
      this.token = token
      this.only = node
    } else {
      this.several = new Map([
        [this.token!, this.only],
        [token, node],
      ])
      this.token = this.only = undefined
    }
    return node
  }

  /** Drops the child after a token. */
  drop(token: Token): void {
    const { several } = this
    token.uses--
    if (several === undefined) {
      this.token = this.only = undefined
      return
    }
    several.delete(token)
    if (several.size === 0) this.several = undefined
  }
}

export class SubjectTrie<Value extends {}> {
  private readonly root = new Node<Value>()
  private readonly dictionary = new Map<string, Token>()
  /** Of the subject that is looked for: its tokens, as far as the search has come, and where the next begins. */
  private subject = ""
  private readonly tokens: (Token | undefined)[] = []
  private known = 0
  private next = 0

  /** False when the value stands under the pattern already. */
  add(pattern: string, value: Value): boolean {
    let node = this.root
    for (let at = 0; ;) {
      const first = pattern.charCodeAt(at)
      if (first === REST) {
        if (node.rest !== undefined && holds(node.rest, value)) return false
        node.rest = including(node.rest, value)
        return true
      }
      const dot = pattern.indexOf(".", at)
      if (first === ANY) node = node.any ??= new Node()
      else node = node.reach(this.token(tokenAt(pattern, at, dot)))
      if (dot === -1) {
        if (node.here !== undefined && holds(node.here, value)) return false
        node.here = including(node.here, value)
        return true
      }
      at = dot + 1
    }
  }

  /** False when the value didn't stand under the pattern. */
  remove(pattern: string, value: Value): boolean {
    return this.removeFrom(this.root, pattern, 0, value)
  }

  /** Adds to `hits` whoever stands under a pattern that matches. */
  match(subject: string, hits: Holders<Value>[]): void {
    this.subject = subject
    this.known = this.next = 0
    const { root } = this
    if (!isReserved(subject)) return this.search(root, 0, hits)
    this.split()
    const token = this.tokens[0]
    const child = token && root.child(token)
    if (child !== undefined) this.search(child, 1, hits)
  }

  /** Every pattern, with all who stand under it. */
  *patterns(): Generator<[pattern: string, values: Value[]]> {
    yield* patternsOf(this.root, "")
  }

  private token(text: string): Token {
    let token = this.dictionary.get(text)
    if (token === undefined) this.dictionary.set(text, (token = new Token(text)))
    return token
  }

  private removeFrom(node: Node<Value>, pattern: string, at: number, value: Value): boolean {
    const first = pattern.charCodeAt(at)
    if (first === REST) {
      if (node.rest === undefined || !holds(node.rest, value)) return false
      node.rest = excluding(node.rest, value)
      return true
    }
    const dot = pattern.indexOf(".", at)
    const token = first === ANY ? undefined : this.dictionary.get(tokenAt(pattern, at, dot))
    const child = first === ANY ? node.any : token && node.child(token)
    if (child === undefined) return false
    if (dot === -1) {
      if (child.here === undefined || !holds(child.here, value)) return false
      child.here = excluding(child.here, value)
    } else if (!this.removeFrom(child, pattern, dot + 1, value)) return false
    if (!child.empty) return true
    if (token === undefined) node.any = undefined
    else {
      node.drop(token)
      if (token.uses === 0) this.dictionary.delete(token.text)
    }
    return true
  }

  private search(node: Node<Value>, depth: number, hits: Holders<Value>[]): void {
    if (depth === this.known && !this.split()) {
      if (node.here !== undefined) hits.push(node.here)
      return
    }
    if (node.rest !== undefined) hits.push(node.rest)
    if (node.any !== undefined) this.search(node.any, depth + 1, hits)
    const token = this.tokens[depth]
    if (token === undefined) return
    const child = node.child(token)
    if (child !== undefined) this.search(child, depth + 1, hits)
  }

  /** Gets one more token; false when there is none. */
  private split(): boolean {
    const { subject, next } = this
    if (next === -1) return false
    const dot = subject.indexOf(".", next)
    this.tokens[this.known++] = this.dictionary.get(tokenAt(subject, next, dot))
    this.next = dot === -1 ? -1 : dot + 1
    return true
  }
}

/** From `start` to the dot, or to the end where there is none: -1. */
function tokenAt(text: string, start: number, dot: number): string {
  return dot === -1 ? text.slice(start) : text.slice(start, dot)
}

function* patternsOf<Value extends {}>(node: Node<Value>, before: string): Generator<[string, Value[]]> {
  if (node.here !== undefined) yield [before.slice(0, -1), valuesOf([node.here])]
  if (node.rest !== undefined) yield [`${before}>`, valuesOf([node.rest])]
  if (node.any !== undefined) yield* patternsOf(node.any, `${before}*.`)
  if (node.only !== undefined) yield* patternsOf(node.only, `${before}${node.token!.text}.`)
  if (node.several !== undefined)
    for (const [token, child] of node.several) yield* patternsOf(child, `${before}${token.text}.`)
}
