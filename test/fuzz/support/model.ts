/**
 * What a socket must make of bytes from a peer, written a second time: slowly, over the whole input, from RFC 37 and the
 * limits. Tests hold lib/wire against it.
 */
import { COMMAND, LONG, MORE, partners, type TypeName } from "./zmtp.ts"

export interface Limits {
  readonly maxMessageSize: number
  readonly maxMessageParts: number
}

/** A command of the handshake, and one in traffic where messages may be smaller still. */
export const MAX_COMMAND = 65_536

export type Item =
  | { readonly kind: "message"; readonly frames: readonly Buffer[] }
  | { readonly kind: "command"; readonly name: string; readonly body: Buffer }

export interface Verdict {
  /** Why the connection must end; undefined: it stays. */
  readonly code: string | undefined
  /** Messages before that. */
  readonly messages: readonly (readonly Buffer[])[]
  readonly established: boolean
}

export class Violation extends Error {
  readonly code: string
  constructor(code: string) {
    super(code)
    this.code = code
  }
}

/** The frames of a stream without greeting. `handshake`: how many commands come before messages may. Throws Violation. */
export function* items(bytes: Buffer, limits: Limits, handshake: { done: boolean }): Generator<Item> {
  let frames: Buffer[] = []
  let sum = 0
  for (let at = 0; ;) {
    if (bytes.length - at < 2) return
    const flags = bytes[at]!
    const long = (flags & LONG) !== 0
    if (long && bytes.length - at < 9) return
    const size = long ? bytes.readBigUInt64BE(at + 1) : BigInt(bytes[at + 1]!)
    if (flags > 7 || ((flags & COMMAND) !== 0 && (flags & MORE) !== 0)) throw new Violation("EPROTO")
    if (!handshake.done) {
      if ((flags & COMMAND) === 0) throw new Violation("EPROTO")
      if (size > MAX_COMMAND) throw new Violation("EMSGSIZE")
    } else if (size >= 1n << 53n) {
      throw new Violation("EMSGSIZE")
    } else if ((flags & COMMAND) !== 0) {
      if (size > Math.max(MAX_COMMAND, limits.maxMessageSize)) throw new Violation("EMSGSIZE")
    } else {
      if (BigInt(sum) + size > limits.maxMessageSize) throw new Violation("EMSGSIZE")
      if (frames.length >= limits.maxMessageParts) throw new Violation("EMSGSIZE")
    }
    at += long ? 9 : 2
    if (size > bytes.length - at) return
    const body = bytes.subarray(at, at + Number(size))
    at += body.length
    if ((flags & COMMAND) !== 0) {
      const length = body[0] ?? 0
      if (length === 0 || body.length < 1 + length) throw new Violation("EPROTO")
      yield { kind: "command", name: body.toString("latin1", 1, 1 + length), body: body.subarray(1 + length) }
      continue
    }
    frames.push(body)
    sum += body.length
    if ((flags & MORE) !== 0) continue
    yield { kind: "message", frames }
    frames = []
    sum = 0
  }
}

/** What a session of a socket of this type must make of everything its peer sent. */
export function judge(bytes: Buffer, type: TypeName, limits: Limits): Verdict {
  const messages: (readonly Buffer[])[] = []
  const handshake = { done: false }
  try {
    const rest = readGreeting(bytes)
    if (rest !== undefined)
      for (const item of items(rest, limits, handshake)) {
        if (!handshake.done) {
          shake(item, type)
          handshake.done = true
        } else if (item.kind === "message") {
          messages.push(item.frames)
          if (type === "REQ" && !isReply(item.frames)) throw new Violation("EPROTO")
        } else if (item.name === "PING" && item.body.length < 2) throw new Violation("EPROTO")
        else if (item.name === "ERROR") throw refusal(item.body)
      }
  } catch (error) {
    if (error instanceof Violation) return { code: error.code, messages, established: handshake.done }
    throw error
  }
  return { code: undefined, messages, established: handshake.done }
}

function readGreeting(bytes: Buffer): Buffer | undefined {
  if (bytes.length > 0 && bytes[0] !== 0xff) {
    // ZMTP 1.0 begins with a short frame: its length, then a zero byte.
    if (bytes[0] !== 0 && bytes.length === 1) return undefined
    throw new Violation(bytes[0] !== 0 && bytes[1] === 0 ? "VERSION" : "EPROTO")
  }
  if (bytes.length > 9 && (bytes[9]! & 1) === 0) throw new Violation("VERSION")
  if (bytes.length > 10 && bytes[10]! < 3) throw new Violation("VERSION")
  if (bytes.length < 64) return undefined
  const field = bytes.toString("latin1", 12, 32)
  const mechanism = field.replace(/\0.*$/s, "")
  if (field !== mechanism.padEnd(20, "\0")) throw new Violation("EPROTO")
  if (mechanism !== "NULL") throw new Violation("MECHANISM")
  return bytes.subarray(64)
}

function shake(item: Item, type: TypeName): void {
  if (item.kind !== "command") throw new Violation("EPROTO")
  if (item.name === "ERROR") throw refusal(item.body)
  if (item.name !== "READY") throw new Violation("EPROTO")
  const properties = new Map<string, Buffer>()
  const { body } = item
  for (let at = 0; at < body.length;) {
    const nameEnd = at + 1 + body[at]!
    if (nameEnd === at + 1 || nameEnd + 4 > body.length) throw new Violation("EPROTO")
    const name = body.toString("latin1", at + 1, nameEnd)
    const end = nameEnd + 4 + body.readUInt32BE(nameEnd)
    if (!/^[A-Za-z0-9\-_.+]+$/.test(name) || end > body.length) throw new Violation("EPROTO")
    properties.set(name, body.subarray(nameEnd + 4, end))
    if (properties.size > 256) throw new Violation("EPROTO")
    at = end
  }
  const find = (name: string): Buffer | undefined =>
    properties.get(name) ?? [...properties].find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1]
  const socketType = find("Socket-Type")?.toString("utf8")
  if (socketType !== undefined && !(partners[type] as readonly string[]).includes(socketType))
    throw new Violation("INCOMPATIBLE")
  const identity = find("Identity")
  if (identity !== undefined && (identity.length > 255 || identity[0] === 0)) throw new Violation("EPROTO")
}

function refusal(body: Buffer): Violation {
  return new Violation(body.length < 1 + (body[0] ?? 0) ? "EPROTO" : "REFUSED")
}

/** The empty delimiter, possibly behind an id of four bytes, and something after it. */
function isReply(frames: readonly Buffer[]): boolean {
  if (frames.length > 1 && frames[0]!.length === 0) return true
  return frames.length > 2 && frames[0]!.length === 4 && frames[1]!.length === 0
}
