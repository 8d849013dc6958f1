/** A peer with nothing but a TCP socket: it says what it is told to, and hears everything. */
import net from "node:net"
import { once } from "node:events"

export class EvilPeer {
  readonly socket: net.Socket
  /** What came, as long as anybody is to look at it. */
  received = Buffer.alloc(0)
  /** How much came. */
  heard = 0
  closed = false
  /** As the socket under test sees it. */
  readonly address: string
  private readonly waiting = new Set<() => void>()

  constructor(socket: net.Socket, keep = true) {
    this.socket = socket
    this.address = `tcp://127.0.0.1:${socket.localPort}`
    // It is cut off again and again, in every way there is.
    socket.on("error", () => {})
    socket.on("close", () => {
      this.closed = true
      this.wake()
    })
    socket.on("data", (chunk) => {
      this.heard += chunk.length
      if (keep) this.received = Buffer.concat([this.received, chunk])
      this.wake()
    })
  }

  say(...chunks: Uint8Array[]): void {
    for (const chunk of chunks) if (this.socket.writable) this.socket.write(chunk)
  }

  /** Resolves when the connection is gone; at the latest after `ms`, to false. */
  gone(ms = 10_000): Promise<boolean> {
    return this.until(() => this.closed, ms)
  }

  /** Resolves when what has come holds; to false when it can't any more, or after `ms`. */
  hears(holds: (received: Buffer) => boolean, ms = 10_000): Promise<boolean> {
    return this.until(() => holds(this.received), ms)
  }

  hangUp(): void {
    this.socket.destroy()
  }

  private until(holds: () => boolean, ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds() && !this.closed && Date.now() < end) return
        clearTimeout(timer)
        this.waiting.delete(look)
        resolve(holds())
      }
      const end = Date.now() + ms
      const timer = setTimeout(look, ms + 1)
      this.waiting.add(look)
      look()
    })
  }

  private wake(): void {
    for (const look of this.waiting) look()
  }
}

/** Connects to where a socket is bound. */
export async function evilTo(endpoint: string, keep = true): Promise<EvilPeer> {
  const socket = net.connect({ host: "127.0.0.1", port: Number(endpoint.split(":").at(-1)), noDelay: true })
  await once(socket, "connect")
  return new EvilPeer(socket, keep)
}

/** Waits for a socket to connect. */
export async function evilServer(onPeer: (peer: EvilPeer) => void): Promise<{ endpoint: string; close(): void }> {
  const peers = new Set<EvilPeer>()
  const server = net.createServer({ noDelay: true }, (socket) => {
    const peer = new EvilPeer(socket)
    peers.add(peer)
    socket.on("close", () => peers.delete(peer))
    onPeer(peer)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    endpoint: `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    close() {
      server.close()
      for (const peer of peers) peer.hangUp()
    },
  }
}
