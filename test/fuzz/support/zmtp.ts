/** ZMTP 3.1 spelt by hand, right or wrong as asked, with nothing of lib/wire in it: what peers of a test put on the wire. */

export const MORE = 1
export const LONG = 2
export const COMMAND = 4

export function ascii(text: string): Buffer {
  return Buffer.from(text, "latin1")
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function greeting(mechanism = "NULL", major = 3, minor = 1, asServer = 0): Buffer {
  const bytes = Buffer.alloc(64)
  bytes[0] = 0xff
  bytes[8] = 1
  bytes[9] = 0x7f
  bytes[10] = major
  bytes[11] = minor
  bytes.write(mechanism, 12, 20, "latin1")
  bytes[32] = asServer
  return bytes
}

/** The head of a frame; `size` may be any claim. */
export function head(flags: number, size: number | bigint): Buffer {
  if (size < 256 && (flags & LONG) === 0) return Buffer.from([flags, Number(size)])
  const bytes = Buffer.alloc(9)
  bytes[0] = flags | LONG
  bytes.writeBigUInt64BE(BigInt(size), 1)
  return bytes
}

export function frame(flags: number, body: Uint8Array): Buffer {
  return Buffer.concat([head(flags, body.length), body])
}

export function message(...frames: (Uint8Array | string)[]): Buffer {
  return Buffer.concat(
    frames.map((body, i) => frame(i < frames.length - 1 ? MORE : 0, typeof body === "string" ? ascii(body) : body)),
  )
}

export function command(name: string, data: Uint8Array = Buffer.alloc(0)): Buffer {
  return frame(COMMAND, Buffer.concat([Buffer.from([name.length]), ascii(name), data]))
}

export function property(name: string, value: Uint8Array | string): Buffer {
  const bytes = typeof value === "string" ? ascii(value) : value
  return Buffer.concat([Buffer.from([name.length]), ascii(name), u32(bytes.length), bytes])
}

export function ready(type: string | undefined, ...properties: Buffer[]): Buffer {
  return command(
    "READY",
    Buffer.concat([...(type === undefined ? [] : [property("Socket-Type", type)]), ...properties]),
  )
}

export function ping(tenths = 0, context: Uint8Array | string = ""): Buffer {
  const bytes = typeof context === "string" ? ascii(context) : context
  return command("PING", Buffer.concat([Buffer.from([tenths >> 8, tenths & 255]), bytes]))
}

/** What each type's peers may be. */
export const partners = {
  PAIR: ["PAIR"],
  PUB: ["SUB", "XSUB"],
  XPUB: ["SUB", "XSUB"],
  SUB: ["PUB", "XPUB"],
  XSUB: ["PUB", "XPUB"],
  PUSH: ["PULL"],
  PULL: ["PUSH"],
  REQ: ["REP", "ROUTER"],
  REP: ["REQ", "DEALER"],
  DEALER: ["REP", "DEALER", "ROUTER"],
  ROUTER: ["REQ", "DEALER", "ROUTER"],
} as const

export type TypeName = keyof typeof partners
export const typeNames = Object.keys(partners) as TypeName[]
