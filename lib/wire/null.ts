/** NULL: no security. Each side sends READY with its properties at once (RFC 37, WIRE 1.3). */
import { decodeText, encodeText, prefixed } from "../bytes.ts"
import type { Command, Mechanism, Metadata } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { decodeMetadata, encodeMetadata } from "./metadata.ts"

export class NullMechanism implements Mechanism {
  readonly name = "NULL"
  readonly asServer = false
  peer: Metadata | undefined
  private readonly properties: Metadata

  constructor(properties: Metadata) {
    this.properties = properties
  }

  start(): Command {
    return { name: "READY", body: encodeMetadata(this.properties) }
  }

  receive(name: string, body: Uint8Array): undefined {
    if (name === "ERROR") throw refusal(body)
    if (name !== "READY") throw new EarshotError("EPROTO", `the command ${printable(name)} where READY was due`)
    this.peer = decodeMetadata(body)
  }
}

/** libzmq's number for "not authorised" (RFC 27); its clients don't come back after it. */
export const UNAUTHORIZED = "400"

/** An ERROR command as an error: its reason, a length and text, is the cause; libzmq's are "300", "400" and "500". */
export function refusal(body: Uint8Array): EarshotError {
  const length = body[0] ?? 0
  if (body.length < 1 + length) return new EarshotError("EPROTO", "a malformed ERROR command")
  const reason = printable(decodeText(body.subarray(1, 1 + length)))
  return new EarshotError("REFUSED", `the peer refused: ${reason}`, reason)
}

/** The body of an ERROR command; the reason is ASCII and cut to what its length byte can say. */
export function refusalBody(reason: string): Uint8Array {
  const text = encodeText(reason.slice(0, 255))
  return prefixed(text.length, text)
}

/** What a peer wrote, fit for a log: no control characters, at most 200 characters. */
export function printable(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, "?")
  return clean.length > 200 ? `${clean.slice(0, 200)}...` : clean
}
