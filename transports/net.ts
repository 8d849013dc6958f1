/** What tcp and ipc share: a link over one of Node's sockets, dialling and listening. */
import net from "node:net"
import type { Link, LinkSink, TransportOptions } from "../lib/contract.ts"
import { EMPTY } from "../lib/bytes.ts"
import type { Clock, Timer } from "../lib/clock.ts"
import { EarshotError, wrap } from "../lib/errors.ts"

/** ms that a socket we have closed may wait for the other side's end, reading and throwing away. Nobody waits for it. */
const FAREWELL = 30_000

export class NetLink implements Link {
  readonly protocol = "zmtp"
  readonly shares = false
  readonly remote: string
  readonly host: string | undefined
  private readonly socket: net.Socket
  private readonly clock: Clock
  private sink: LinkSink | undefined
  /** `write` has returned false and `onDrain` is due. */
  private waiting = false
  private over = false
  private error: Error | undefined
  private farewell: Timer | undefined

  constructor(socket: net.Socket, clock: Clock, remote: string, host: string | undefined) {
    this.socket = socket
    this.clock = clock
    this.remote = remote
    this.host = host
    socket.unref()
    socket.on("error", (error) => (this.error ??= error))
    // Until the first listener for data there is nothing that reads: what comes in waits in the stream.
    socket.once("close", () => this.ended())
  }

  get unconfirmed(): number {
    return this.socket.writableLength
  }

  start(sink: LinkSink): void {
    this.sink = sink
    const { socket } = this
    // One that ended before it was started.
    if (socket.closed) return this.clock.immediate(() => sink.onClose(this.reason()))
    socket.on("data", (chunk: Buffer) => this.sink?.onData(chunk))
    socket.on("drain", () => this.drained())
    // The other side has ended, and all it sent is read: what we could still write, nobody reads.
    socket.on("end", () => socket.destroy())
  }

  write(chunks: readonly Uint8Array[]): boolean {
    const { socket } = this
    if (this.over || socket.destroyed || socket.writableEnded) return true
    let below = true
    if (chunks.length === 1) below = socket.write(chunks[0]!)
    else {
      socket.cork()
      for (let i = 0; i < chunks.length; i++) below = socket.write(chunks[i]!)
      socket.uncork()
    }
    if (socket.writableLength === 0) return true
    this.waiting = true
    // Below the stream's own mark it raises no `drain`: an empty write calls back behind the rest.
    if (below) socket.write(EMPTY, () => this.drained())
    return false
  }

  pause(): void {
    if (!this.over) this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  close(): void {
    if (this.over || this.socket.writableEnded) return
    const { socket } = this
    socket.removeAllListeners("data")
    socket.on("data", () => {})
    socket.resume()
    // Once all is with the system the link is over for its owner. The socket waits for the other side's end, for closing
    // it before, with bytes unread, would make the system take back what has not arrived.
    socket.end(() => {
      this.farewell = this.clock.timeout(() => socket.destroy(), FAREWELL)
      this.finish()
    })
  }

  destroy(error?: Error): void {
    this.error ??= error
    this.socket.destroy()
  }

  private drained(): void {
    if (!this.waiting || this.over || this.socket.writableLength > 0) return
    this.waiting = false
    this.sink?.onDrain()
  }

  private ended(): void {
    this.farewell?.cancel()
    this.finish()
  }

  private finish(): void {
    if (this.over) return
    this.over = true
    this.sink?.onClose(this.reason())
    this.sink = undefined
  }

  private reason(): EarshotError | undefined {
    return this.error === undefined ? undefined : wrap(this.error, "ECONNRESET")
  }
}

/** One attempt to connect. `prepare` sees the socket once it is connected. */
export function dial(
  target: net.NetConnectOpts,
  signal: AbortSignal,
  endpoint: string,
  makeLink: (socket: net.Socket) => Link,
): Promise<Link> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(aborted(signal))
    const socket = net.connect(target)
    socket.unref()
    const leave = (): void => {
      signal.removeEventListener("abort", abort)
      socket.off("error", fail)
      socket.off("connect", succeed)
    }
    const fail = (error: Error): void => {
      leave()
      socket.on("error", () => {})
      socket.destroy()
      reject(wrap(error, "ECONNREFUSED", `${endpoint}: ${error.message || (error as NodeJS.ErrnoException).code || "no connection"}`))
    }
    const succeed = (): void => {
      leave()
      resolve(makeLink(socket))
    }
    const abort = (): void => {
      leave()
      socket.on("error", () => {})
      socket.destroy()
      reject(aborted(signal))
    }
    signal.addEventListener("abort", abort)
    socket.on("error", fail)
    socket.on("connect", succeed)
  })
}

function aborted(signal: AbortSignal): EarshotError {
  return wrap(signal.reason, "ECANCELED")
}

/** A server that listens, unref'd. Rejects with the system's error as ours. */
export function listen(
  target: net.ListenOptions,
  endpoint: string,
  onSocket: (socket: net.Socket) => void,
  onError: (error: Error) => void,
): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer(onSocket)
    server.once("error", (error) => reject(wrap(error, "EADDRNOTAVAIL", `${endpoint}: ${error.message}`)))
    server.listen(target, () => {
      server.removeAllListeners("error")
      server.on("error", onError)
      server.unref()
      resolve(server)
    })
  })
}

export function keepAlive(socket: net.Socket, options: TransportOptions): void {
  socket.setNoDelay(true)
  if (options.keepalive >= 0) socket.setKeepAlive(options.keepalive > 0, options.keepalive)
}
