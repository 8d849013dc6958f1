/**
 * ZWS 2.0 (RFC 45, WIRE 1.10), libzmq's own way over WebSockets: no greeting, and one frame in each chunk, a byte of
 * flags before its body. `bare` is the protocol without a mechanism: the first chunk each way is the routing id, which
 * stands here for READY, so that the session above needs no rule of its own.
 */
import { EMPTY, asFrame, prefixed } from "../bytes.ts"
import type { Codec, CodecSink, Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { commandBody, subscriptionMessage } from "./encoder.ts"
import { checkCommand, checkFrame, tellCommand, type DecoderLimits } from "./limits.ts"
import { decodeMetadata, encodeMetadata, property } from "./metadata.ts"

const MORE = 1
const COMMAND = 2
/** Bytes that are written at once. */
const DUE = 65_536

export class ZwsCodec implements Codec {
  pending = 0
  paused = false
  private readonly sink: CodecSink
  private readonly limits: DecoderLimits
  private readonly bare: boolean
  /** The bare peer's routing id has come. */
  private met = false
  private chunks: Uint8Array[] = []
  /** What of `chunks` is messages, for `takeBack`. */
  private messages: Message[] = []
  private parts: Message | undefined
  private size = 0
  private held: Uint8Array[] = []
  private receiving = false

  constructor(sink: CodecSink, limits: DecoderLimits, bare: boolean) {
    this.sink = sink
    this.limits = limits
    this.bare = bare
  }

  /** There is none to send; libzmq's side of it is known beforehand. No PING: libzmq answers none over ZWS. */
  greet(mechanism: string, asServer: boolean): void {
    this.sink.onGreeting({ major: 3, minor: 0, mechanism, asServer: !asServer })
  }

  message(message: Message): void {
    this.messages.push(message)
    const last = message.length - 1
    for (let i = 0; i < last; i++) this.chunk(MORE, message[i]!)
    this.chunk(0, message[last]!)
  }

  command(name: string, body: Uint8Array): void {
    // libzmq ignores SUBSCRIBE as a command here.
    const subscription = subscriptionMessage(name, body)
    if (subscription !== undefined) return this.chunk(0, subscription)
    if (!this.bare) return this.chunk(COMMAND, commandBody(name, body))
    if (name === "READY") this.chunk(0, property(decodeMetadata(body), "Identity") ?? EMPTY)
  }

  flush(): readonly Uint8Array[] {
    const { chunks } = this
    this.chunks = []
    this.messages = []
    this.pending = 0
    return chunks
  }

  release(): void {}

  takeBack(): Message[] {
    const { messages } = this
    this.flush()
    return messages
  }

  receive(chunk: Uint8Array): void {
    this.held.push(asFrame(chunk))
    this.resumeIf()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.resumeIf()
  }

  finish(): void {
    while (this.held.length > 0 && !this.receiving) this.resume()
  }

  get due(): boolean {
    return this.pending >= DUE
  }

  get partial(): boolean {
    return this.parts !== undefined
  }

  private resumeIf(): void {
    // Inside a sink's call the loop that made it goes on by itself.
    if (this.receiving) return
    this.receiving = true
    try {
      while (!this.paused && this.held.length > 0) this.decode(this.held.shift()!)
    } finally {
      this.receiving = false
    }
  }

  private decode(chunk: Uint8Array): void {
    const flags = chunk[0]
    if (flags === undefined || flags > COMMAND)
      throw new EarshotError("EPROTO", flags === undefined ? "a chunk without flags" : `a frame with flags ${flags}`)
    const frame = chunk.subarray(1)
    if (this.bare && !this.met) return this.meet(flags, frame)
    if (flags === COMMAND) {
      checkCommand(this.limits, frame.length)
      return tellCommand(this.sink, frame)
    }
    checkFrame(this.limits, this.size + frame.length, this.parts)
    const parts = (this.parts ??= [])
    parts.push(frame)
    this.size += frame.length
    if (flags === MORE) return
    const { size } = this
    this.parts = undefined
    this.size = 0
    this.sink.onMessage(parts, size)
  }

  private meet(flags: number, routingId: Uint8Array): void {
    if (flags !== 0 || routingId.length > 255) throw new EarshotError("EPROTO", "not a routing id")
    this.met = true
    this.sink.onCommand("READY", encodeMetadata(new Map([["Identity", routingId]])))
  }

  private chunk(flags: number, body: Uint8Array): void {
    const chunk = prefixed(flags, body)
    this.chunks.push(chunk)
    this.pending += chunk.length
  }
}
