/** The 64 bytes that open every ZMTP 3 connection (RFC 37, WIRE 1.1). */
import { allocate } from "../bytes.ts"
import type { Greeting } from "../contract.ts"
import { EarshotError } from "../errors.ts"

export const GREETING_SIZE = 64
/** We speak 3.1, and 3.0 to those who know no better. */
const MINOR = 1

export function encodeGreeting(mechanism: string, asServer: boolean): Uint8Array {
  const bytes = allocate(GREETING_SIZE).fill(0)
  bytes[0] = 0xff
  bytes[8] = 1
  bytes[9] = 0x7f
  bytes[10] = 3
  bytes[11] = MINOR
  for (let i = 0; i < mechanism.length; i++) bytes[12 + i] = mechanism.charCodeAt(i)
  bytes[32] = asServer ? 1 : 0
  return bytes
}

/**
 * Gathers a greeting, which libzmq sends in three steps with waits between them, and refuses as soon as it can be seen
 * to be none. The padding and as-server bytes mean nothing in practice: libzmq fills the one and never sets the other.
 */
export class GreetingReader {
  private readonly bytes = new Uint8Array(GREETING_SIZE)
  private length = 0

  /** Takes what it needs; returns how many bytes that was. */
  receive(chunk: Uint8Array): number {
    const take = Math.min(chunk.length, GREETING_SIZE - this.length)
    this.bytes.set(chunk.subarray(0, take), this.length)
    this.length += take
    this.check()
    return take
  }

  /** Undefined until all 64 bytes are there. */
  get greeting(): Greeting | undefined {
    if (this.length < GREETING_SIZE) return undefined
    let end = 12
    while (end < 32 && this.bytes[end] !== 0) end++
    let mechanism = ""
    for (let i = 12; i < end; i++) mechanism += String.fromCharCode(this.bytes[i]!)
    for (let i = end; i < 32; i++)
      if (this.bytes[i] !== 0) throw new EarshotError("EPROTO", "a malformed mechanism name")
    return {
      major: this.bytes[10]!,
      // Majors after 3 are treated as 3.1, as libzmq does.
      minor: this.bytes[10]! > 3 ? MINOR : Math.min(MINOR, this.bytes[11]!),
      mechanism,
      asServer: this.bytes[32] === 1,
    }
  }

  private check(): void {
    const { bytes, length } = this
    if (length > 0 && bytes[0] !== 0xff) {
      // A ZMTP 1.0 peer begins with a short frame, its identity: length + 1, then flags 0.
      if (bytes[0] !== 0 && length === 1) return
      if (bytes[0] !== 0 && bytes[1] === 0) throw new EarshotError("VERSION", "peer speaks ZMTP 1.0")
      throw new EarshotError("EPROTO", `not ZMTP: the first byte is 0x${bytes[0]!.toString(16).padStart(2, "0")}`)
    }
    if (length > 9 && (bytes[9]! & 1) === 0) throw new EarshotError("VERSION", "peer speaks ZMTP 1.0")
    if (length > 10 && bytes[10]! < 3)
      throw new EarshotError("VERSION", `peer speaks ZMTP ${bytes[10] === 0 ? "1.0" : "2.0"}`)
  }
}
