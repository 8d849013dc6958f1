/** ZMTP 3.0 and 3.1 over a byte stream (RFC 23, RFC 37): a greeting, then frames. */
import type { Codec, CodecSink, Message, Skim } from "../contract.ts"
import { asFrame } from "../bytes.ts"
import { Decoder, type DecoderLimits } from "./decoder.ts"
import { COMMAND, Encoder, commandBody, subscriptionMessage } from "./encoder.ts"
import { GreetingReader, encodeGreeting } from "./greeting.ts"

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
    const subscription = this.minor === 0 ? subscriptionMessage(name, body) : undefined
    if (subscription !== undefined) return this.frame(0, subscription)
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

  set skim(skim: Skim | undefined) {
    this.decoder.skim = skim
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
