// Random chunks into the codec of ZWS 2.0: it tells what a plain reading of the same chunks tells, however often it is
// paused, and throws nothing but EarshotErrors. And what one codec makes another understands.
import t from "tap"
import { EarshotError } from "../../lib/errors.ts"
import { ZwsCodec } from "../../lib/wire/zws.ts"
import { cases, type Chance } from "./support/chance.ts"

interface Limits {
  maxMessageSize: number
  maxMessageParts: number
}
interface Outcome {
  told: string[]
  code: string | undefined
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** RFC 45, as plainly as it is written. */
function expected(chunks: Buffer[], { maxMessageSize, maxMessageParts }: Limits): Outcome {
  const told: string[] = []
  let parts: Buffer[] = []
  for (const chunk of chunks) {
    const body = chunk.subarray(1)
    if (chunk.length === 0 || chunk[0]! > 2) return { told, code: "EPROTO" }
    if (chunk[0] === 2) {
      const name = body.subarray(1, 1 + (body[0] ?? 0))
      if (name.length === 0 || name.length !== body[0]) return { told, code: "EPROTO" }
      if (body.length > Math.max(65_536, maxMessageSize)) return { told, code: "EMSGSIZE" }
      told.push(`command ${hex(name)} ${hex(body.subarray(1 + name.length))}`)
      continue
    }
    if (maxMessageSize < 0) return { told, code: "EPROTO" }
    parts.push(body)
    if (Buffer.concat(parts).length > maxMessageSize) return { told, code: "EMSGSIZE" }
    if (parts.length > maxMessageParts) return { told, code: "EMSGSIZE" }
    if (chunk[0] === 1) continue
    told.push(parts.map(hex).join("|"))
    parts = []
  }
  return { told, code: undefined }
}

function found(chance: Chance, chunks: Buffer[], limits: Limits): Outcome {
  const told: string[] = []
  const keep = (text: string): void => {
    told.push(text)
    if (chance.maybe(0.2)) codec.pause()
  }
  const codec = new ZwsCodec(
    {
      onGreeting: () => {},
      onMessage(message, size) {
        if (size !== Buffer.concat(message).length) throw new Error(`wrong size: ${size}`)
        keep(message.map(hex).join("|"))
      },
      onCommand: (name, body) => keep(`command ${hex(Buffer.from(name, "latin1"))} ${hex(body)}`),
    },
    limits,
    false,
  )
  try {
    for (const chunk of chunks) {
      codec.receive(chunk)
      if (chance.maybe(0.5)) codec.resume()
    }
    codec.finish()
  } catch (error) {
    if (!(error instanceof EarshotError)) throw error
    return { told, code: error.code }
  }
  return { told, code: undefined }
}

function chunk(chance: Chance): Buffer {
  const body = chance.maybe(0.2)
    ? Buffer.concat([Buffer.from([chance.between(0, 6)]), Buffer.from("READY\x01topic")])
    : chance.bytes(chance.pick([0, 1, 5, 20, 300]))
  if (chance.maybe(0.02)) return chance.maybe(0.5) ? Buffer.alloc(0) : chance.bytes(chance.below(10))
  return Buffer.concat([Buffer.from([chance.pick([0, 0, 0, 1, 1, 2])]), body])
}

t.test("chunks", (t) =>
  cases(t, 20_000, (chance) => {
    const chunks = Array.from({ length: chance.below(20) }, () => chunk(chance))
    const limits = {
      maxMessageSize: chance.pick([-1, 0, 10, 300, 1000, Infinity, Infinity]),
      maxMessageParts: chance.pick([1, 3, 65_536]),
    }
    const [is, due] = [JSON.stringify(found(chance, chunks, limits)), JSON.stringify(expected(chunks, limits))]
    if (is !== due) throw new Error(`found ${is}, wanted ${due}, for ${chunks.map(hex).join()}`)
  }),
)

t.test("what is encoded is decoded again", (t) =>
  cases(t, 3000, (chance) => {
    const silent = { onGreeting: () => {}, onMessage: () => {}, onCommand: () => {} }
    const limits = { maxMessageSize: Infinity, maxMessageParts: Infinity }
    const codec = new ZwsCodec(silent, limits, chance.maybe(0.5))
    const wanted: string[] = []
    const chunks: Buffer[] = []
    for (let i = chance.between(1, 20); i > 0; i--) {
      const frames = Array.from({ length: chance.between(1, 4) }, () => chance.bytes(chance.size()))
      if (chance.maybe(0.1)) {
        codec.command("SUBSCRIBE", frames[0]!)
        wanted.push(`01${hex(frames[0]!)}`)
      } else {
        codec.message(frames)
        wanted.push(frames.map(hex).join("|"))
      }
      if (chance.maybe(0.3)) chunks.push(...codec.flush().map((each) => Buffer.from(each)))
    }
    chunks.push(...codec.flush().map((each) => Buffer.from(each)))
    const { told, code } = found(chance, chunks, limits)
    if (code !== undefined || told.join() !== wanted.join())
      throw new Error(`${code}: ${told.join()}, not ${wanted.join()}`)
  }),
)

t.test("bare: garbage from the first chunk", (t) =>
  cases(t, 5000, (chance) => {
    const silent = { onGreeting: () => {}, onMessage: () => {}, onCommand: () => {} }
    const codec = new ZwsCodec(silent, { maxMessageSize: 1000, maxMessageParts: 10 }, true)
    try {
      for (let i = chance.below(10); i > 0; i--) codec.receive(chunk(chance))
    } catch (error) {
      if (!(error instanceof EarshotError)) throw error
    }
  }),
)
