/** What both codecs hold what comes against: limits of messages and commands, and the form of a command (RFC 37). */
import { keyOf } from "../bytes.ts"
import type { CodecSink, Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"

export interface DecoderLimits {
  /** Bytes of one message, all frames together; -1 = no message at all may come (yet). May change on the way. */
  maxMessageSize: number
  maxMessageParts: number
}

export type DecoderSink = Pick<CodecSink, "onMessage" | "onCommand">

/** Bytes of a command that may always come, however small messages must be: more than any handshake takes. */
const MAX_COMMAND = 65_536

export function checkCommand({ maxMessageSize }: DecoderLimits, size: number): void {
  const max = Math.max(MAX_COMMAND, maxMessageSize)
  if (size > max || size === Infinity)
    throw new EarshotError("EMSGSIZE", `a command of ${size} bytes, over the limit of ${max}`)
}

/** A frame with which a message is `size` bytes in all. `parts`: those before it. */
export function checkFrame(
  { maxMessageSize, maxMessageParts }: DecoderLimits,
  size: number,
  parts: Message | undefined,
): void {
  if (maxMessageSize < 0) throw new EarshotError("EPROTO", "a message before the handshake was done")
  if (size > maxMessageSize || size === Infinity)
    throw new EarshotError("EMSGSIZE", `a message of ${size} bytes or more, over the limit of ${maxMessageSize}`)
  if (parts !== undefined && parts.length >= maxMessageParts)
    throw new EarshotError("EMSGSIZE", `a message of more than ${maxMessageParts} frames`)
}

/** A command's body begins with its name and the length of that. */
export function tellCommand(sink: DecoderSink, body: Uint8Array): void {
  const length = body[0]
  if (length === undefined || length === 0 || body.length < 1 + length)
    throw new EarshotError("EPROTO", "a command without a name")
  sink.onCommand(keyOf(body.subarray(1, 1 + length)), body.subarray(1 + length))
}
