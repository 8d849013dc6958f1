/** Streams of a well-behaved peer, and what chance can do to them. */
import type { Chance } from "./chance.ts"
import {
  command,
  greeting,
  head,
  message,
  partners,
  ping,
  property,
  ready,
  ascii,
  COMMAND,
  LONG,
  MORE,
  type TypeName,
} from "./zmtp.ts"

/** Everything a peer might send to a socket of this type, from the greeting on. */
export function stream(chance: Chance, type: TypeName): Buffer {
  const own = chance.pick(partners[type])
  const parts = [greeting("NULL", 3, chance.maybe(0.9) ? 1 : 0), handshake(chance, own)]
  for (let i = chance.below(8); i > 0; i--)
    parts.push(chance.maybe(0.3) ? someCommand(chance) : someMessage(chance, type))
  return Buffer.concat(parts)
}

function handshake(chance: Chance, own: string): Buffer {
  const properties: Buffer[] = []
  if (chance.maybe(0.5))
    properties.push(property("Identity", chance.maybe(0.5) ? "" : chance.bytes(chance.between(1, 20))))
  if (chance.maybe(0.2))
    properties.push(property("X-Earshot", "1"), property("X-Earshot-Max", String(chance.below(10_000))))
  if (chance.maybe(0.1)) properties.push(property("socket-type", "PAIR"))
  return ready(chance.maybe(0.95) ? own : undefined, ...properties)
}

function someCommand(chance: Chance): Buffer {
  switch (chance.below(6)) {
    case 0:
      return ping(0, chance.bytes(chance.below(20)))
    case 1:
      return command("PONG", chance.bytes(chance.below(20)))
    case 2:
      return command("SUBSCRIBE", chance.bytes(chance.size()))
    case 3:
      return command("CANCEL", chance.bytes(chance.size()))
    case 4:
      return command("ERROR", Buffer.concat([Buffer.from([3]), ascii("400")]))
    default:
      return command("MADEUP", chance.bytes(chance.size()))
  }
}

function someMessage(chance: Chance, type: TypeName): Buffer {
  const body = Array.from({ length: chance.maybe(0.7) ? 1 : chance.between(2, 5) }, () => chance.bytes(chance.size()))
  if (type === "REQ" || type === "REP") {
    const id = chance.maybe(0.5) ? [chance.bytes(4)] : []
    return message(...id, Buffer.alloc(0), ...body)
  }
  if (type === "PUB" || type === "XPUB") return message(Buffer.concat([Buffer.from([chance.below(2)]), body[0]!]))
  return message(...body)
}

/** One to three changes. `from`: what stays as it is, so that later states are reached. */
export function mutate(chance: Chance, bytes: Buffer, type: TypeName): Buffer {
  const from = chance.maybe(0.2) ? 0 : chance.maybe(0.4) ? 64 : Math.min(bytes.length, 100)
  let result = bytes
  for (let i = chance.between(1, 3); i > 0; i--)
    result = Buffer.concat([result.subarray(0, from), change(chance, result.subarray(from), type)])
  return result
}

function change(chance: Chance, bytes: Buffer, type: TypeName): Buffer {
  const at = chance.below(bytes.length + 1)
  const end = at + chance.below(Math.min(64, bytes.length - at + 1))
  switch (chance.below(10)) {
    case 0: // flipped bits
    case 1: {
      const flipped = Buffer.from(bytes)
      if (flipped.length > 0)
        for (let i = chance.between(1, 4); i > 0; i--) flipped[chance.below(flipped.length)]! ^= 1 << chance.below(8)
      return flipped
    }
    case 2: // the end missing
      return bytes.subarray(0, at)
    case 3: // something in between
      return Buffer.concat([bytes.subarray(0, at), chance.bytes(chance.between(1, 12)), bytes.subarray(at)])
    case 4: // twice the same
      return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)])
    case 5: // something missing
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)])
    case 6: // another length
    case 7:
      return changeLength(chance, bytes)
    case 8: {
      // the end of another stream
      const other = stream(chance, type)
      return Buffer.concat([bytes.subarray(0, at), other.subarray(chance.below(other.length))])
    }
    default: // anything at all
      return Buffer.concat([bytes.subarray(0, at), chance.bytes(chance.below(200))])
  }
}

const CLAIMS = [
  0n,
  1n,
  255n,
  256n,
  65_536n,
  65_537n,
  1n << 20n,
  (1n << 20n) + 1n,
  (1n << 31n) - 1n,
  1n << 32n,
  1n << 53n,
  1n << 63n,
  (1n << 64n) - 1n,
]

/** Follows the frames as far as they go and gives one of them another head. */
function changeLength(chance: Chance, bytes: Buffer): Buffer {
  const heads: number[] = []
  for (let at = 0; at + 9 < bytes.length;) {
    heads.push(at)
    const long = (bytes[at]! & LONG) !== 0
    at += long ? 9 + Number(bytes.readBigUInt64BE(at + 1)) : 2 + bytes[at + 1]!
  }
  if (heads.length === 0) return bytes
  const at = chance.pick(heads)
  const long = (bytes[at]! & LONG) !== 0
  const size = chance.maybe(0.5) ? chance.pick(CLAIMS) : BigInt(chance.below(600))
  const flags = chance.maybe(0.7) ? bytes[at]! & ~LONG : chance.pick([0, MORE, COMMAND, COMMAND | MORE, 8, 0x80])
  return Buffer.concat([bytes.subarray(0, at), head(flags, size), bytes.subarray(at + (long ? 9 : 2))])
}
