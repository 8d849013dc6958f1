/** ZMTP 3.0 and 3.1 over a byte stream (RFC 23, RFC 37): a greeting, then frames. */
import type { Codec, CodecSink, Message } from "../contract.ts"
import { asFrame } from "../bytes.ts"
import { Decoder, type DecoderLimits } from "./decoder.ts"
import { COMMAND, Encoder, commandBody } from "./encoder.ts"
import { GreetingReader, encodeGreeting } from "./greeting.ts"

const SUBSCRIPTION: Record<string, number> = { SUBSCRIBE: 1, CANCEL: 0 }

export class ZmtpCodec extends Encoder implements Codec {
  private readonly sink: CodecSink
  private readonly decoder: Decoder
  private reader: GreetingReader | undefined = new GreetingReader()
  private minor = 1

  constructor(sink: CodecSink, limits: DecoderLimits) {
    super()
    this.sink = sink
    this.decoder = new Decoder(sink, limits)
  }

  greet(mechanism: string, asServer: boolean): void {
    this.raw(encodeGreeting(mechanism, asServer))
  }

  command(name: string, body: Uint8Array): void {
    const subscription = SUBSCRIPTION[name]
    // 3.0 peers know subscriptions as messages that begin with 01 or 00 (WIRE 1.5).
    if (this.minor === 0 && subscription !== undefined) return this.frame(0, prefixed(subscription, body))
    this.frame(COMMAND, commandBody(name, body))
  }

  receive(chunk: Uint8Array): void {
    chunk = asFrame(chunk)
    if (this.reader !== undefined) {
      const taken = this.reader.receive(chunk)
      const greeting = this.reader.greeting
      if (greeting === undefined) return
      this.reader = undefined
      this.minor = greeting.minor
      this.sink.onGreeting(greeting)
      if (taken === chunk.length) return
      chunk = chunk.subarray(taken)
    }
    this.decoder.receive(chunk)
  }

  takeBack(): Message[] {
    const messages: Message[] = []
    const limits = { maxMessageSize: Infinity, maxMessageParts: Infinity }
    const decoder = new Decoder({ onMessage: (message) => messages.push(message), onCommand: () => {} }, limits)
    for (const chunk of this.flush()) decoder.receive(chunk)
    this.forget()
    return messages
  }

  room(): Uint8Array | undefined {
    return this.decoder.room()
  }

  pause(): void {
    this.decoder.paused = true
  }

  resume(): void {
    this.decoder.resume()
  }

  finish(): void {
    this.decoder.finish()
  }

  get paused(): boolean {
    return this.decoder.paused
  }

  get partial(): boolean {
    return this.reader !== undefined || this.decoder.partial
  }
}

function prefixed(first: number, rest: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + rest.length)
  bytes[0] = first
  bytes.set(rest, 1)
  return bytes
}
