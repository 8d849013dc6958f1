/**
 * What the transports over node:net share: a link over a stream socket, one dial, one listening server.
 *
 * Servers are unref'd from birth, as sockets are. (What Node can't unref is the system call behind a connect or a host
 * name's look-up: a process with nothing else to do waits for its outcome.)
 */
import * as net from "node:net"
import type { Clock } from "../lib/clock.ts"
import type { Link, LinkSink } from "../lib/contract.ts"
import { abortError, EarshotError, wrap, type ErrorCode } from "../lib/errors.ts"
import { SocketLink } from "./link.node.ts"
import { Reader } from "./reading.ts"

/**
 * ms of one turn in which a link may bring one chunk after the other. libuv reads up to 32 times in a row, which is 8 MiB: with a
 * receiver that takes 5 ms for 2 KB no timer ran for 20 s, no other socket was read, and nothing that was said left. Measured: with
 * 10 ms a fast receiver loses a tenth of its throughput, with 40 nothing.
 */
export const SHARE = 40
/** Bytes of a chunk of a flow that goes on. */
export const FLOW = 16_384

export class NetLink extends SocketLink {
  readonly protocol = "zmtp"
  private readonly reader: Reader | undefined
  /** Of this turn, once it has brought much. */
  private shareEnds: number | undefined
  /** It has had its share, and reads on in the next turn. */
  private resting = false
  private flowing = true

  constructor(socket: net.Socket, reader: Reader | undefined, remote: string, host: string | undefined, clock: Clock) {
    super(socket, remote, host, clock)
    this.reader = reader
    if (reader === undefined) socket.on("data", this.takeShare)
    else reader.onChunk = this.takeShare
    socket.on("end", () => this.onPeerEnd())
    socket.on("close", () => this.onGone())
    socket.resume()
  }

  override start(sink: LinkSink): void {
    if (this.reader !== undefined) this.reader.room = () => this.receiver?.room?.()
    super.start(sink)
  }

  protected put(chunks: readonly Uint8Array[]): void {
    const { socket } = this
    const last = chunks.length - 1
    if (last > 0) {
      socket.cork()
      for (let i = 0; i < last; i++) socket.write(chunks[i]!)
    }
    socket.write(chunks[last]!, this.onWritten)
    if (last > 0) socket.uncork()
  }

  protected flow(on: boolean): void {
    this.flowing = on
    if (!on) this.socket.pause()
    else if (!this.resting) this.socket.resume()
  }

  private readonly takeShare = (chunk: Uint8Array): void => {
    if (chunk.length < FLOW) return this.take(chunk)
    const { clock } = this
    if (this.shareEnds === undefined) {
      this.shareEnds = clock.now() + SHARE
      clock.immediate(this.nextTurn)
    }
    this.take(chunk)
    if (clock.now() < this.shareEnds) return
    this.resting = true
    this.socket.pause()
  }

  private readonly nextTurn = (): void => {
    this.shareEnds = undefined
    if (!this.resting) return
    this.resting = false
    if (this.flowing) this.socket.resume()
  }

  protected finish(): void {
    this.socket.end(this.onFlushed)
  }

  protected override onGone(): void {
    this.reader?.close()
    super.onGone()
  }
}

/** One attempt at one address. `make` is called before another event of the socket can come. */
export function dialSocket(
  options: net.NetConnectOpts,
  signal: AbortSignal,
  make: (socket: net.Socket, reader: Reader) => Link,
): Promise<Link> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    const reader = new Reader()
    const socket = net.connect({ ...options, allowHalfOpen: true, onread: reader.onread })
    socket.unref()
    // Stays on a socket that was given up: nobody else would hear its last error.
    const onError = (error: Error): void => {
      signal.removeEventListener("abort", onAbort)
      reject(wrap(recode(error, dialCodes), "EHOSTUNREACH"))
    }
    const onConnect = (): void => {
      signal.removeEventListener("abort", onAbort)
      resolve(make(socket, reader))
      socket.off("error", onError)
      socket.off("connect", onConnect)
    }
    const onAbort = (): void => {
      signal.removeEventListener("abort", onAbort)
      socket.destroy()
      reject(abortError(signal))
    }
    socket.on("error", onError)
    socket.on("connect", onConnect)
    signal.addEventListener("abort", onAbort)
  })
}

const dialCodes: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "ECONNREFUSED", // no such path: nobody listens there
  ENOTSOCK: "ECONNREFUSED",
  ENOTDIR: "ECONNREFUSED",
  EPIPE: "ECONNRESET",
  EPERM: "EACCES",
  EMFILE: "LIMIT",
  ENFILE: "LIMIT",
}

const bindCodes: Readonly<Record<string, ErrorCode>> = {
  EAFNOSUPPORT: "EADDRNOTAVAIL",
  ENOENT: "EADDRNOTAVAIL", // no such directory
  ENOTDIR: "EADDRNOTAVAIL",
  EPERM: "EACCES",
  EROFS: "EACCES",
  EOPNOTSUPP: "ENOTSUP",
  ENOSYS: "ENOTSUP",
  EMFILE: "LIMIT",
  ENFILE: "LIMIT",
}

/** The system's names that the table of codes lacks, or where they mean something else. */
function recode(error: unknown, table: Readonly<Record<string, ErrorCode>>): unknown {
  if (!(error instanceof Error) || error instanceof EarshotError) return error
  const code = table[(error as { code?: string }).code ?? ""]
  return code === undefined ? error : new EarshotError(code, error.message, error)
}

/** Why a bind failed, in our codes. */
export function bindError(error: unknown): EarshotError {
  return wrap(recode(error, bindCodes), "EINVAL")
}

/** Resolves once the server listens; what it meets after that goes to `onError`. */
export function listenServer(
  server: net.Server,
  options: net.ListenOptions,
  onError: (error: Error) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let listening = false
    server.unref()
    server.on("error", (error) => {
      if (listening) onError(bindError(error))
      else reject(bindError(error))
    })
    // exclusive: the workers of a cluster don't share one socket behind our back.
    server.listen({ ...options, exclusive: true }, () => {
      listening = true
      resolve()
    })
  })
}
