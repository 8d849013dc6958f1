/**
 * A transport whose other end is the test: `fake://name`. The test speaks ZMTP by hand, as any peer that is not ours might,
 * and says which address it comes from and how much it takes.
 */
import type { Link, LinkSink, Listener, Message, Transport } from "../../lib/contract.ts"
import { transports } from "../../lib/defaults.ts"
import { ZmtpCodec } from "../../lib/wire/zmtp.ts"
import { command, greeting, ready, wire } from "./bytes.ts"

export interface FakeOptions {
  /** What counts as its address. */
  readonly host?: string
  /** Bytes it takes before `write` says wait. */
  readonly room?: number
  /** What the transport has proven. */
  readonly identity?: Link["identity"]
  /** Nobody can read it on the way. */
  readonly secure?: boolean
}

/** One link: the socket's end is a `Link`, the methods below are the peer's. */
export class FakeLink implements Link {
  readonly protocol = "zmtp"
  readonly shares = false
  readonly remote: string
  readonly host: string | undefined
  readonly identity: Link["identity"]
  readonly secure: boolean | undefined
  /** What the socket sent, decoded. */
  readonly messages: Message[] = []
  readonly commands: { name: string; body: Buffer }[] = []
  /** How the socket ended it. */
  ended: "closed" | "destroyed" | undefined
  paused = false
  /** Bytes that the socket wrote, taken or not. */
  written = 0
  /** Answers PINGs. */
  polite = true
  /** The socket's READY has come. */
  onReady: (() => void) | undefined
  /** Of `messages`, those that came when all that was written had been taken, so that the socket knows of them. */
  confirmed = 0
  private room: number
  private held: Uint8Array[] = []
  private heldBytes = 0
  private sink: LinkSink | undefined
  private over = false
  private readonly codec: ZmtpCodec

  constructor(remote: string, { host, room = Infinity, identity, secure }: FakeOptions = {}) {
    this.remote = remote
    this.host = host
    this.identity = identity
    this.secure = secure
    this.room = room
    this.codec = new ZmtpCodec(
      {
        onGreeting: () => {},
        onMessage: (message) => this.messages.push(message),
        onCommand: (name, body) => {
          this.commands.push({ name, body: Buffer.from(body) })
          if (name === "READY" && this.onReady !== undefined) queueMicrotask(this.onReady)
          if (name === "PING" && this.polite) setImmediate(() => this.feed(command("PONG", body.subarray(2))))
        },
      },
      { maxMessageSize: Infinity, maxMessageParts: Infinity },
    )
  }

  get unconfirmed(): number {
    return this.heldBytes
  }

  /** It has ended. */
  get gone(): boolean {
    return this.over
  }

  start(sink: LinkSink): void {
    this.sink = sink
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.over) return false
    if (this.heldBytes === 0) this.confirmed = this.messages.length
    for (const chunk of chunks) {
      this.held.push(Uint8Array.from(chunk))
      this.heldBytes += chunk.length
      this.written += chunk.length
    }
    return this.take()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  close(): void {
    this.ended ??= "closed"
    if (this.heldBytes === 0) this.hangUp()
  }

  destroy(error?: Error): void {
    this.ended ??= "destroyed"
    this.hangUp(error)
  }

  /** The peer sends. */
  feed(...chunks: Uint8Array[]): void {
    for (const chunk of chunks) if (!this.over) this.sink!.onData(Buffer.from(chunk))
  }

  /** The peer's half of the handshake. */
  shake(type: string, properties: Record<string, Uint8Array | string> = {}, minor = 1): this {
    this.feed(greeting(minor), ready(type, properties))
    return this
  }

  say(...frames: (Uint8Array | string)[]): void {
    this.feed(wire(...frames))
  }

  /** From now on it takes so many bytes, and then says wait. */
  limit(bytes = 0): void {
    this.room = bytes
  }

  /** The peer takes so many bytes more. */
  open(bytes = Infinity): void {
    if (this.over) return
    const blocked = this.heldBytes > 0
    this.room += bytes
    if (!this.take() || !blocked) return
    if (this.ended === "closed") this.hangUp()
    else this.sink!.onDrain()
  }

  /** It ends, whoever wanted it. */
  hangUp(error?: Error): void {
    if (this.over) return
    this.over = true
    setImmediate(() => this.sink?.onClose(error))
  }

  /** It is gone at once: what it has not taken is lost. For calls that come from no socket's method. */
  cut(error?: Error): void {
    if (this.over) return
    this.over = true
    this.sink!.onClose(error)
  }

  named(name: string): Buffer[] {
    return this.commands.filter((command) => command.name === name).map(({ body }) => body)
  }

  private take(): boolean {
    while (this.heldBytes > 0 && this.room > 0) {
      const chunk = this.held.shift()!
      const taken = chunk.subarray(0, Math.min(chunk.length, this.room))
      if (taken.length < chunk.length) this.held.unshift(chunk.subarray(taken.length))
      this.room -= taken.length
      this.heldBytes -= taken.length
      this.codec.receive(taken)
    }
    if (this.heldBytes === 0) this.confirmed = this.messages.length
    return this.heldBytes === 0
  }
}

class FakeTransport implements Transport {
  readonly scheme = "fake"
  /** Makes the links that sockets dial; a rejection refuses. */
  onDial: (name: string, signal: AbortSignal) => Promise<FakeLink> | FakeLink = (name) => new FakeLink(`fake://${name}`)
  private readonly names = new Map<string, (link: Link) => void>()
  private count = 0

  check(address: string): string {
    return address
  }

  async dial(address: string, _options: unknown, signal: AbortSignal): Promise<Link> {
    return this.onDial(address, signal)
  }

  listen(address: string, _options: unknown, onLink: (link: Link) => void): Promise<Listener> {
    this.names.set(address, onLink)
    return Promise.resolve({ address, close: () => Promise.resolve(void this.names.delete(address)) })
  }

  /** A peer connects to a socket that is bound to the name. */
  connect(name: string, options?: FakeOptions): FakeLink {
    const link = new FakeLink(`fake://${options?.host ?? "peer"}-${++this.count}`, options)
    this.names.get(name)!(link)
    return link
  }
}

/** The one that the sockets of this process know. */
export const fake: FakeTransport = new FakeTransport()
transports.register(fake)
