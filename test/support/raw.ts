/** The other end of a TCP connection as bare bytes, so that a test can say and see exactly what is on the wire. */
import * as net from "node:net"
import type { Test } from "tap"
import { command, greeting, metadata } from "./bytes.ts"
import { within } from "./sockets.ts"

export interface RawFrame {
  flags: number
  body: Buffer
}

export class RawPeer {
  readonly socket: net.Socket
  /** How the other side ended it. */
  readonly ended: Promise<"end" | "reset">
  private bytes: Buffer = Buffer.alloc(0)
  private over = false
  private wake: () => void = () => {}

  constructor(t: Test, socket: net.Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on("data", (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk])
      this.wake()
    })
    this.ended = new Promise((resolve) => {
      const end = (how: "end" | "reset") => () => {
        this.over = true
        resolve(how)
        this.wake()
      }
      socket.on("end", end("end"))
      socket.on("error", end("reset"))
      socket.on("close", end("end"))
    })
    t.teardown(() => socket.destroy())
  }

  /** Bytes that came and were not read. */
  get waiting(): number {
    return this.bytes.length
  }

  write(...chunks: Uint8Array[]): void {
    this.socket.write(Buffer.concat(chunks))
  }

  async read(size: number): Promise<Buffer> {
    while (this.bytes.length < size) {
      if (this.over) throw new Error(`the other side closed; ${this.bytes.length} of ${size} bytes came`)
      await within(`${size} bytes`, new Promise<void>((resolve) => (this.wake = resolve)))
    }
    const taken = this.bytes.subarray(0, size)
    this.bytes = this.bytes.subarray(size)
    return taken
  }

  async frame(): Promise<RawFrame> {
    const flags = (await this.read(1))[0]!
    const size = flags & 2 ? Number((await this.read(8)).readBigUInt64BE()) : (await this.read(1))[0]!
    return { flags, body: await this.read(size) }
  }

  /** The frames of the next message, as text; commands before it are passed over. */
  async message(): Promise<string[]> {
    const frames: string[] = []
    for (;;) {
      const { flags, body } = await this.frame()
      if (flags & 4) continue
      frames.push(body.toString("latin1"))
      if ((flags & 1) === 0) return frames
    }
  }

  /** The next command of that name; whatever comes before it is passed over. */
  async command(name: string): Promise<Buffer> {
    for (;;) {
      const { flags, body } = await this.frame()
      const length = body[0] ?? 0
      if (flags & 4 && body.toString("latin1", 1, 1 + length) === name) return body.subarray(1 + length)
    }
  }

  /** Greets, says READY and takes what the other side says of it; resolves to the body of its READY. */
  async handshake(
    type: string,
    options: { minor?: number; properties?: Record<string, string> } = {},
  ): Promise<Buffer> {
    this.write(greeting(options.minor ?? 1))
    await this.read(64)
    this.write(command("READY", metadata({ "Socket-Type": type, ...options.properties })))
    return this.command("READY")
  }

  /** Waits until the other side has ended it, and says how. */
  end(): Promise<"end" | "reset"> {
    return within("the other side to close", this.ended)
  }
}

/** Connects to one of our endpoints. */
export async function rawClient(t: Test, endpoint: string): Promise<RawPeer> {
  const { hostname, port } = new URL(endpoint)
  const socket = net.connect({ host: hostname, port: Number(port) })
  await within("the connection", new Promise((resolve) => socket.once("connect", resolve)))
  return new RawPeer(t, socket)
}

export interface RawServer {
  readonly endpoint: string
  /** How many have connected so far. */
  readonly count: number
  /** The next that connects, or has connected and was not asked for. */
  accept(): Promise<RawPeer>
}

export async function rawServer(t: Test): Promise<RawServer> {
  const waiting: RawPeer[] = []
  let count = 0
  let wake = (): void => {}
  const server = net.createServer((socket) => {
    count++
    waiting.push(new RawPeer(t, socket))
    wake()
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  t.teardown(() => server.close())
  return {
    endpoint: `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    get count() {
      return count
    },
    async accept() {
      while (waiting.length === 0) await within("a connection", new Promise<void>((resolve) => (wake = resolve)))
      return waiting.shift()!
    },
  }
}
