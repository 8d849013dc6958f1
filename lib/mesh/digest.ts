/**
 * A set of texts as two numbers, whatever their order: how many there are, and the sum, modulo 2^32, of the FNV-1a (32 bits) of
 * each one's UTF-8. Two members compare what they hold by it (PROTOCOL.md).
 */
import { encodeText } from "../bytes.ts"

export class Digest {
  count = 0
  hash = 0

  change(text: string, by: 1 | -1): void {
    this.add(fnv1a(text), by)
  }

  /** One text more or less, by its FNV-1a. */
  add(hash: number, by: 1 | -1): void {
    this.count += by
    this.hash = (this.hash + by * hash) >>> 0
  }

  clear(): void {
    this.count = this.hash = 0
  }

  /** As it travels. */
  get pair(): readonly [count: number, hash: number] {
    return [this.count, this.hash]
  }

  /** Does what came say the same? */
  fits(pair: readonly unknown[]): boolean {
    return pair[0] === this.count && pair[1] === this.hash
  }
}

/** FNV-1a, 32 bits, over a text's UTF-8. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return hashOf(encodeText(text))
    hash = Math.imul(hash ^ code, 0x01000193)
  }
  return hash >>> 0
}

function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
