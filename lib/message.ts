/** What users may send, as frames. */
import { EMPTY, encodeText } from "./bytes.ts"
import type { Message } from "./contract.ts"
import { EarshotError } from "./errors.ts"

/** One frame as users may give it: bytes are taken by reference (never write to them again), text as UTF-8, `null` as empty. */
export type FrameLike = Uint8Array | ArrayBufferView | ArrayBufferLike | string | number | null
/** One message as users may give it: a single frame, or the frames of a multipart message. */
export type MessageLike = FrameLike | readonly FrameLike[]

export function toFrame(value: FrameLike): Uint8Array {
  // An empty one may be one whose memory was given away, which some calls refuse.
  if (value instanceof Uint8Array) return value.length === 0 ? EMPTY : value
  if (typeof value === "string") return encodeText(value)
  if (value === null) return EMPTY
  if (typeof value === "number") return encodeText(String(value))
  try {
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    if (value instanceof ArrayBuffer || ("SharedArrayBuffer" in globalThis && value instanceof SharedArrayBuffer))
      return new Uint8Array(value)
  } catch (error) {
    throw new EarshotError("EINVAL", "the frame's memory has been given away", error)
  }
  throw new EarshotError("EINVAL", `a frame is bytes, a string, a number or null, not ${typeof value}`)
}

/** The array is a new one, which patterns may change. Throws EINVAL for what is no message. */
export function toMessage(value: MessageLike): Message {
  if (value instanceof Uint8Array) return [value.length === 0 ? EMPTY : value]
  if (!Array.isArray(value)) return [toFrame(value as FrameLike)]
  if (value.length === 0) throw new EarshotError("EINVAL", "a message has at least one frame")
  const message: Message = new Array<Uint8Array>(value.length)
  for (let i = 0; i < value.length; i++) message[i] = toFrame(value[i] as FrameLike)
  return message
}
