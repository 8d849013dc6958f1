/**
 * What the transports over node:net share: a link over a stream socket, one dial, one listening server.
 *
 * A link's life:   open ──close()──▸ flushing ──our FIN──▸ waiting for the peer's FIN ──▸ gone
 *                  open ──peer's FIN, reported at once──▸ flushing ──▸ gone
 *                  open ──a write fails──▸ reading to the end ──▸ gone      any state ──destroy(), reset──▸ gone
 *
 * Sockets and servers are unref'd from birth: `Clock.hold` keeps the process alive, not they. (What Node can't unref is
 * the system call behind a connect or a host name's look-up: a process with nothing else to do waits for its outcome.)
 */
import * as net from "node:net"
import type { Clock, Timer } from "../lib/clock.ts"
import type { Link, LinkSink } from "../lib/contract.ts"
import { abortError, EarshotError, wrap, type ErrorCode } from "../lib/errors.ts"
import { Reader } from "./reading.ts"

/** ms that an end may take once nothing but the other side's FIN is missing, or once that FIN is there. */
const GRACE = 1000
/**
 * The same for a link that wrote more than SAFE bytes. Its last ones may still be in our kernel, waiting for a peer that
 * has paused; a socket closed too early answers that peer's next byte with a reset, and those bytes are lost while the
 * peer sees an orderly end (measured: 0.2 of 2.6 MB arrived).
 */
const LONG_GRACE = 30_000
/** Bytes that a peer's kernel takes whether or not the peer reads. */
const SAFE = 65_536
/** Bytes read from the system before `start`. */
const EARLY = 65_536

export class NetLink implements Link {
  readonly protocol = "zmtp"
  readonly shares = false
  readonly remote: string
  readonly host: string | undefined
  private readonly socket: net.Socket
  private readonly reader: Reader | undefined
  private readonly clock: Clock
  private sink: LinkSink | undefined
  /** The sink, while chunks go straight to it: after `start` and what came before it, until `close` or `destroy`. */
  private receiver: LinkSink | undefined
  private early: Uint8Array[] = []
  private earlyBytes = 0
  private paused = false
  /** A write returned false, and `left` bytes wait since. */
  private blocked = false
  private left = 0
  private drainedEarly = false
  /** `close` or `destroy` was called: no more `onData`. */
  private deaf = false
  /** We ended it, or the peer did: writes are swallowed. */
  private over = false
  private peerEnded = false
  private destroyed = false
  /** A read or a write failed: the system no longer tells how much of `left` had left. */
  private failed = false
  private gone = false
  private reported = false
  private reason: Error | undefined
  private timer: Timer | undefined

  constructor(socket: net.Socket, reader: Reader | undefined, remote: string, host: string | undefined, clock: Clock) {
    this.socket = socket
    this.reader = reader
    this.remote = remote
    this.host = host
    this.clock = clock
    socket.unref()
    const onChunk = (chunk: Uint8Array): void => {
      if (this.receiver !== undefined) this.receiver.onData(chunk)
      else if (this.deaf) this.discard()
      else this.hold(chunk)
    }
    if (reader === undefined) socket.on("data", onChunk)
    else reader.onChunk = onChunk
    socket.on("end", () => this.onEnd())
    socket.on("error", (error) => this.onError(error))
    socket.on("close", () => this.onGone())
    this.keepReading(socket)
    socket.resume()
  }

  get unconfirmed(): number {
    if (!this.blocked) return 0
    if (this.failed) return this.left
    // What a large write has left shrinks bit by bit, which only the handle tells.
    const { _handle: handle } = this.socket as { _handle?: { writeQueueSize?: number } | null }
    return Math.min(this.left, handle?.writeQueueSize ?? this.left)
  }

  start(sink: LinkSink): void {
    this.sink = sink
    if (this.reader !== undefined) this.reader.room = () => this.receiver?.room?.()
    if (this.early.length > 0 || this.peerEnded || this.gone || this.drainedEarly) this.clock.immediate(this.handOver)
    else if (!this.deaf) this.receiver = sink
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (this.over || this.socket.destroyed) return false
    const { socket } = this
    const last = chunks.length - 1
    if (last < 0) return !this.blocked
    if (last > 0) {
      socket.cork()
      for (let i = 0; i < last; i++) socket.write(chunks[i]!)
    }
    socket.write(chunks[last]!, this.onWritten)
    if (last > 0) socket.uncork()
    // Zero as soon as the system took everything: node:net tries at once. Its own `drain` knows only its own mark.
    const left = socket.writableLength
    // A write that failed at once leaves nothing waiting either: that is not the same as having left.
    if (left === 0) return socket.errored === null
    this.left = left
    this.blocked = true
    return false
  }

  pause(): void {
    if (this.deaf) return
    this.paused = true
    if (this.over && !this.peerEnded) this.timer?.cancel()
    this.socket.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    if (this.over && !this.peerEnded) this.expire(GRACE)
    if (this.early.length === 0) this.socket.resume()
    else if (this.sink !== undefined) this.clock.immediate(this.handOver)
  }

  close(): void {
    if (this.deaf) return
    this.silence()
    // The peer's FIN is behind its unread bytes, and is never seen in front of a paused socket.
    this.socket.resume()
    this.end()
  }

  destroy(error?: Error): void {
    if (this.destroyed || this.gone) return
    this.left = this.unconfirmed
    this.destroyed = this.over = true
    this.reason = error
    this.silence()
    this.socket.destroy()
  }

  /**
   * node:net destroys a socket when a write fails, and with it what came and is not read yet: the last messages of a peer
   * that closed, when a PING to it is answered by a reset. Here a failed write only ends writing.
   */
  private keepReading(socket: net.Socket): void {
    // oxlint-disable no-underscore-dangle -- the names by which node:stream lets a stream's own maker write
    const write = socket._write.bind(socket)
    const writev = socket._writev!.bind(socket)
    let done: (error?: Error | null) => void
    const onDone = (error?: Error | null): void => {
      if (error && !socket.destroyed) this.onBroken(error)
      else done(error)
    }
    socket._write = (chunk, encoding, callback) => {
      done = callback
      write(chunk, encoding, onDone)
    }
    socket._writev = (chunks, callback) => {
      done = callback
      writev(chunks, onDone)
    }
  }

  /** A write failed: nothing more can be written, and reading will come to an end, or to an error of its own. */
  private onBroken(error: Error): void {
    this.over = true
    this.onError(error)
    if (this.deaf) this.socket.destroy()
    else if (!this.paused) this.expire(GRACE)
  }

  /** Something came after `close`: so the peer is there, and has not got to our FIN. */
  private discard(): void {
    if (this.destroyed || this.reported) return
    this.sink?.onAlive?.()
    if (this.timer !== undefined && this.socket.bytesWritten > SAFE) this.expire(LONG_GRACE)
  }

  private silence(): void {
    this.deaf = true
    this.receiver = undefined
    this.early = []
  }

  private end(): void {
    if (this.over) return
    this.over = true
    this.socket.end(this.onFlushed)
  }

  private hold(chunk: Uint8Array): void {
    this.early.push(chunk)
    this.earlyBytes += chunk.length
    if (this.earlyBytes >= EARLY) this.socket.pause()
  }

  /** What happened before `start`, or was held by a pause since, in order. */
  private readonly handOver = (): void => {
    const sink = this.sink!
    while (this.early.length > 0) {
      if (this.paused) return
      sink.onData(this.early.shift()!)
    }
    if (this.drainedEarly && !this.destroyed) {
      this.drainedEarly = false
      sink.onDrain()
    }
    if (this.peerEnded || this.gone) return this.report()
    if (this.deaf) return
    this.receiver = sink
    if (!this.paused) this.socket.resume()
  }

  /** One function for all writes; only a write that had to wait ends in a turn of its own. */
  private readonly onWritten = (error?: Error | null): void => {
    // Node calls back without an error, too, for what a destroyed socket never wrote.
    if (!this.blocked || error || this.reported || this.socket.destroyed || this.socket.writableLength > 0) return
    this.blocked = false
    if (this.receiver !== undefined || (this.deaf && this.sink !== undefined)) this.sink!.onDrain()
    else this.drainedEarly = true
  }

  private readonly onFlushed = (): void => {
    if (!this.peerEnded) this.expire(this.socket.bytesWritten > SAFE ? LONG_GRACE : GRACE)
  }

  private onEnd(): void {
    this.peerEnded = true
    this.end()
    this.expire(GRACE)
    // What is still unsent has nobody to hear it; whoever would write more is told now.
    if (this.sink !== undefined && this.early.length === 0) this.report()
  }

  private onError(error: Error): void {
    this.failed = true
    // Once both sides wanted the end, how the rest of the way was cut matters to nobody.
    if (this.destroyed || this.peerEnded || (this.deaf && !this.blocked)) return
    const { code } = error as { code?: string }
    this.reason ??= code === "EPIPE" ? new EarshotError("ECONNRESET", error.message, error) : wrap(error, "ECONNRESET")
  }

  private onGone(): void {
    this.gone = this.over = true
    this.reader?.close()
    this.timer?.cancel()
    if (this.sink !== undefined && this.early.length === 0 && !this.drainedEarly) this.report()
  }

  private report(): void {
    if (this.reported) return
    this.reported = true
    const sink = this.sink!
    this.silence()
    sink.onClose(this.reason)
  }

  private expire(ms: number): void {
    this.timer?.cancel()
    if (!this.gone) this.timer = this.clock.timeout(() => this.socket.destroy(), ms)
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
