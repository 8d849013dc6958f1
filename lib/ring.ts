/** A first-in first-out queue in a circular array. Empty it owns next to nothing, so that idle peers stay small. */
const KEEP = 1024
const NOTHING: unknown[] = []

export class Ring<T> {
  length = 0
  /** A power of two long, or empty. */
  private items: (T | undefined)[] = NOTHING as T[]
  private head = 0

  push(item: T): void {
    if (this.length === this.items.length) this.grow()
    this.items[(this.head + this.length++) & (this.items.length - 1)] = item
  }

  /** In front of all others. */
  unshift(item: T): void {
    if (this.length === this.items.length) this.grow()
    this.head = (this.head - 1) & (this.items.length - 1)
    this.items[this.head] = item
    this.length++
  }

  peek(): T | undefined {
    return this.length === 0 ? undefined : this.items[this.head]
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.items[this.head]
    this.items[this.head] = undefined
    this.head = (this.head + 1) & (this.items.length - 1)
    if (--this.length === 0 && this.items.length > KEEP) this.clear()
    return item
  }

  /** Takes out one item, wherever it stands. */
  remove(item: T): boolean {
    const mask = this.items.length - 1
    for (let i = 0; i < this.length; i++) {
      if (this.items[(this.head + i) & mask] !== item) continue
      for (let j = i + 1; j < this.length; j++)
        this.items[(this.head + j - 1) & mask] = this.items[(this.head + j) & mask]
      this.items[(this.head + --this.length) & mask] = undefined
      return true
    }
    return false
  }

  toArray(): T[] {
    const all: T[] = []
    for (let i = 0; i < this.length; i++) all.push(this.items[(this.head + i) & (this.items.length - 1)] as T)
    return all
  }

  /** Everything, in order; the ring is empty afterwards. */
  drain(): T[] {
    const all = this.toArray()
    this.clear()
    return all
  }

  clear(): void {
    this.items = NOTHING as T[]
    this.head = 0
    this.length = 0
  }

  private grow(): void {
    const bigger = new Array<T | undefined>(Math.max(4, this.items.length * 2))
    for (let i = 0; i < this.length; i++) bigger[i] = this.items[(this.head + i) & (this.items.length - 1)]
    this.items = bigger
    this.head = 0
  }
}
