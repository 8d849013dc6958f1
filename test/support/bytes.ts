/** Bytes as the RFCs write them, and back. */

/**
 * `bytes("ff 00*8 7f 03 01 'NULL'")`: hex bytes, a byte `*` how often, and text in single quotes. Blanks count for nothing
 * outside of text.
 */
export function bytes(text: string): Buffer {
  const out: number[] = []
  for (const [, quoted, byte, times] of text.matchAll(/'([^']*)'|([0-9a-f]{2})(?:\*(\d+))?|\S/gi)) {
    if (quoted !== undefined) out.push(...Buffer.from(quoted))
    else if (byte === undefined) throw new Error(`not bytes: ${text}`)
    else for (let i = 0; i < Number(times ?? 1); i++) out.push(Number.parseInt(byte, 16))
  }
  return Buffer.from(out)
}

export function hexOf(chunk: Uint8Array): string {
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length).toString("hex")
}

/** Bytes that tell where they come from: `size` of them, different for each `seed`. */
export function pattern(size: number, seed = 0): Buffer {
  const out = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) out[i] = i * 31 + (i >> 8) * 7 + seed * 101
  return out
}

/** A ZMTP frame, written as plainly as RFC 37 says it, to compare with what the library makes. */
export function frame(flags: number, body: Uint8Array): Buffer {
  if (body.length < 256) return Buffer.concat([Buffer.from([flags, body.length]), body])
  const head = Buffer.alloc(9)
  head[0] = flags | 2
  head.writeBigUInt64BE(BigInt(body.length), 1)
  return Buffer.concat([head, body])
}

/** A message of some frames, as ZMTP. */
export function wire(...frames: (Uint8Array | string)[]): Buffer {
  return Buffer.concat(frames.map((part, i) => frame(i < frames.length - 1 ? 1 : 0, Buffer.from(part))))
}

/** A command, as ZMTP. */
export function command(name: string, body: Uint8Array | string = ""): Buffer {
  return frame(4, Buffer.concat([Buffer.from([name.length]), Buffer.from(name), Buffer.from(body)]))
}

/** The body of READY. */
export function metadata(properties: Record<string, Uint8Array | string>): Buffer {
  const parts = Object.entries(properties).map(([name, value]) => {
    const size = Buffer.alloc(4)
    size.writeUInt32BE(Buffer.from(value).length)
    return Buffer.concat([Buffer.from([name.length]), Buffer.from(name), size, Buffer.from(value)])
  })
  return Buffer.concat(parts)
}

/** READY of a peer of some type. */
export function ready(type: string, properties: Record<string, Uint8Array | string> = {}): Buffer {
  return command("READY", metadata({ "Socket-Type": type, ...properties }))
}

export function greeting(minor = 1, mechanism = "NULL", major = 3): Buffer {
  const out = Buffer.alloc(64)
  out.set(bytes("ff 00*7 01 7f"))
  out[10] = major
  out[11] = minor
  out.write(mechanism, 12, "latin1")
  return out
}
