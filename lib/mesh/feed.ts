/** What comes for one reader, who takes it with `for await`: a queue of items, bounded by whoever fills it. */
import { Ring } from "../ring.ts"

interface Reader<Item> {
  readonly resolve: (result: IteratorResult<Item, undefined>) => void
  readonly reject: (error: unknown) => void
}

interface Held<Item> {
  readonly item: Item
  readonly size: number
}

/** Iterated once: whoever iterates again gets what is left. */
export class Feed<Item> implements AsyncIterable<Item> {
  /** Bytes that wait. */
  bytes = 0
  private readonly waiting = new Ring<Held<Item>>()
  private readonly readers = new Ring<Reader<Item>>()
  private readonly onStart: () => void
  private readonly onLeave: () => void
  private ended = false
  private error: { readonly reason: unknown } | undefined

  /** `onStart`: somebody reads, called before each item is taken. `onLeave`: the loop was left. */
  constructor(onStart: () => void, onLeave: () => void) {
    this.onStart = onStart
    this.onLeave = onLeave
  }

  /** Items that wait. */
  get length(): number {
    return this.waiting.length
  }

  push(item: Item, size: number): void {
    if (this.ended) return
    const reader = this.readers.shift()
    if (reader !== undefined) return reader.resolve({ value: item, done: false })
    this.waiting.push({ item, size })
    this.bytes += size
  }

  /** Nothing more comes; what waits is still read. */
  end(): void {
    this.ended = true
    for (const { resolve } of this.readers.drain()) resolve({ value: undefined, done: true })
  }

  /** Whoever reads next gets this error, once, instead of what waits. */
  fail(reason: unknown): void {
    if (this.ended) return
    this.ended = true
    this.clear()
    const reader = this.readers.shift()
    if (reader === undefined) this.error = { reason }
    else reader.reject(reason)
    this.end()
  }

  [Symbol.asyncIterator](): AsyncIterator<Item, undefined> {
    return {
      next: () => this.next(),
      return: () => {
        this.onLeave()
        this.clear()
        this.end()
        return Promise.resolve({ value: undefined, done: true })
      },
    }
  }

  private next(): Promise<IteratorResult<Item, undefined>> {
    this.onStart()
    const held = this.waiting.shift()
    if (held !== undefined) {
      this.bytes -= held.size
      return Promise.resolve({ value: held.item, done: false })
    }
    const { error } = this
    if (error !== undefined) {
      this.error = undefined
      return Promise.reject(error.reason)
    }
    if (this.ended) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => this.readers.push({ resolve, reject }))
  }

  private clear(): void {
    this.waiting.clear()
    this.bytes = 0
  }
}
