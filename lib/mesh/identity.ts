/** What members and networks are called on the wire. */
import { encodeText } from "../bytes.ts"
import type { Clock } from "../clock.ts"

/** Who a member is; may change once, when another living member has its id. */
export interface Identity {
  readonly id: string
  readonly epoch: number
  /** Drawn by each boot. */
  readonly nonce: string
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

/** Bytes of an id before they are spelt. */
export const ID_BYTES = 16

/** RFC 4648's base32, in lower case, without padding. */
export function base32(bytes: Uint8Array): string {
  let text = ""
  let bits = 0
  let held = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    for (bits += 8; bits >= 5;) text += ALPHABET[(held >> (bits -= 5)) & 31]
    held &= 31
  }
  return bits > 0 ? text + ALPHABET[(held << (5 - bits)) & 31] : text
}

/** An id for a member without state: 26 characters, of 16 random bytes. */
export function freshId(clock: Clock): string {
  return base32(clock.randomBytes(ID_BYTES))
}

/** Spelt as ids are. Says nothing about whose it is. */
export function isId(text: string): boolean {
  return /^[a-z2-7]{26}$/.test(text)
}

/**
 * A network's name as it is announced: 16 hex characters, FNV-1a of 64 bits over its UTF-8. Nothing secret: whoever knows some
 * names can tell which of them it is.
 */
export function networkHash(name: string): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of encodeText(name)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return hash.toString(16).padStart(16, "0")
}
