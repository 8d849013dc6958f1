// Random and mutated bytes into the codecs: what comes out is what a second, slow reading of the same bytes gives, however
// they are cut into chunks, and the only thing thrown is an EarshotError.
import t from "tap"
import { EarshotError } from "../../lib/errors.ts"
import { Decoder, type DecoderLimits } from "../../lib/wire/decoder.ts"
import { Encoder } from "../../lib/wire/encoder.ts"
import { GreetingReader } from "../../lib/wire/greeting.ts"
import { decodeMetadata } from "../../lib/wire/metadata.ts"
import { ZmtpCodec } from "../../lib/wire/zmtp.ts"
import { cases, type Chance } from "./support/chance.ts"
import { items, Violation, type Item } from "./support/model.ts"
import { mutate, stream } from "./support/mutate.ts"
import { greeting, property, typeNames } from "./support/zmtp.ts"

type Outcome = { items: string[]; code: string | undefined }

/** Runs a decoder over chunks, pausing it at times as a full inbox would. */
function decode(chance: Chance, chunks: Uint8Array[], limits: DecoderLimits): Outcome {
  const outcome: Outcome = { items: [], code: undefined }
  const pausing = chance.maybe(0.3)
  const keep = (item: Item): void => {
    outcome.items.push(describe(item))
    if (pausing && chance.maybe(0.3)) decoder.paused = true
  }
  const decoder = new Decoder(
    {
      onMessage(frames, size) {
        if (size !== frames.reduce((sum, { length }) => sum + length, 0)) throw new Error(`wrong size: ${size}`)
        keep({ kind: "message", frames: frames as Buffer[] })
      },
      onCommand: (name, body) => keep({ kind: "command", name, body: body as Buffer }),
    },
    limits,
  )
  try {
    for (const chunk of chunks) {
      decoder.receive(chunk)
      if (chance.maybe(0.5)) decoder.resume()
    }
    while (decoder.paused) decoder.resume()
  } catch (error) {
    outcome.code = codeOf(error)
  }
  return outcome
}

function expected(bytes: Buffer, limits: DecoderLimits): Outcome {
  const outcome: Outcome = { items: [], code: undefined }
  try {
    for (const item of items(bytes, limits, { done: limits.maxMessageSize >= 0 })) outcome.items.push(describe(item))
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    outcome.code = error.code
  }
  return outcome
}

function describe(item: Item): string {
  if (item.kind === "command") return `${item.name}:${item.body.toString("hex")}`
  return item.frames.map((frame) => frame.toString("hex")).join("|")
}

function codeOf(error: unknown): string {
  if (error instanceof EarshotError) return error.code
  throw error
}

function same(found: Outcome, wanted: Outcome, bytes: Buffer): void {
  if (found.code === wanted.code && found.items.join() === wanted.items.join()) return
  const input = bytes.toString("hex")
  throw new Error(`found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}, for ${input}`)
}

t.test("frames", (t) =>
  cases(t, 40_000, (chance) => {
    const type = chance.pick(typeNames)
    const bytes = mutate(chance, stream(chance, type), type).subarray(64)
    const limits = {
      maxMessageSize: chance.pick([0, 10, 1000, 1 << 20, Infinity, Infinity, -1]),
      maxMessageParts: chance.pick([1, 3, 65_536]),
    }
    same(decode(chance, chance.split(bytes), limits), expected(bytes, limits), bytes)
  }),
)

t.test("what is encoded is decoded again, whatever lies between", (t) =>
  cases(t, 3000, (chance) => {
    const encoder = new Encoder()
    const wanted: string[] = []
    const chunks: Uint8Array[] = []
    for (let i = chance.between(1, 20); i > 0; i--) {
      const frames = Array.from({ length: chance.between(1, 4) }, () => chance.bytes(chance.size()))
      wanted.push(describe({ kind: "message", frames }))
      encoder.message(frames)
      if (chance.maybe(0.3)) chunks.push(...encoder.flush())
    }
    chunks.push(...encoder.flush())
    const bytes = Buffer.concat(chunks)
    const found = decode(chance, chance.split(bytes), { maxMessageSize: Infinity, maxMessageParts: 4 })
    same(found, { items: wanted, code: undefined }, bytes)
  }),
)

t.test("greetings", (t) =>
  cases(t, 10_000, (chance) => {
    const bytes = Buffer.from(
      chance.maybe(0.1) ? chance.bytes(64) : greeting(chance.pick(["NULL", "PLAIN", "", "x".repeat(20)])),
    )
    for (let i = chance.below(4); i > 0; i--) bytes[chance.below(64)] = chance.below(256)
    const reader = new GreetingReader()
    let code: string | undefined
    let taken = 0
    try {
      for (const chunk of chance.split(Buffer.concat([bytes, chance.bytes(chance.below(20))]))) {
        if (reader.greeting !== undefined) break
        taken += reader.receive(chunk)
      }
      if (reader.greeting === undefined || taken !== 64) throw new Error(`took ${taken} bytes of a greeting`)
    } catch (error) {
      code = codeOf(error)
    }
    const field = bytes.toString("latin1", 12, 32)
    const fits = bytes[0] === 0xff && (bytes[9]! & 1) === 1 && bytes[10]! >= 3 && /^[^\0]*\0*$/.test(field)
    if (fits !== (code === undefined)) throw new Error(`${code} for ${bytes.toString("hex")}`)
    if (fits && reader.greeting!.mechanism !== field.replaceAll("\0", "")) throw new Error("another mechanism")
  }),
)

t.test("metadata", (t) =>
  cases(t, 10_000, (chance) => {
    const count = chance.maybe(0.01) ? 300 : chance.below(6)
    const parts = Array.from({ length: count }, (_, i) =>
      property(`${chance.pick(["X-a", "Socket-Type", "b"])}${i}`, chance.bytes(chance.size())),
    )
    let bytes = Buffer.concat(parts)
    const whole = chance.maybe(0.2)
    if (!whole) {
      bytes = chance.maybe(0.3) ? bytes.subarray(0, chance.below(bytes.length + 1)) : Buffer.from(bytes)
      for (let i = chance.below(3); i > 0 && bytes.length > 0; i--)
        bytes[chance.below(bytes.length)] = chance.below(256)
    }
    try {
      const metadata = decodeMetadata(bytes)
      let size = 0
      for (const [name, value] of metadata) size += 5 + name.length + value.length
      if (size > bytes.length) throw new Error("more came out than went in")
      if (whole && (size !== bytes.length || count > 256)) throw new Error("something was lost")
    } catch (error) {
      codeOf(error)
      if (whole && count <= 256) throw new Error("refused", { cause: error })
    }
  }),
)

t.test("the codec as a whole, garbage from the first byte", (t) =>
  cases(t, 10_000, (chance) => {
    const type = chance.pick(typeNames)
    const bytes = chance.maybe(0.5) ? chance.bytes(chance.below(300)) : mutate(chance, stream(chance, type), type)
    const nothing = (): void => {}
    const sink = { onGreeting: nothing, onMessage: nothing, onCommand: nothing }
    const codec = new ZmtpCodec(sink, { maxMessageSize: 1000, maxMessageParts: 10 })
    try {
      for (const chunk of chance.split(bytes)) codec.receive(chunk)
    } catch (error) {
      codeOf(error)
    }
  }),
)
