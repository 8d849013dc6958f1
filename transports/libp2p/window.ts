/**
 * How much may be under way to us over one stream of Yamux. It opens a stream's window to 16 MiB within a few messages: a paused
 * stream keeps all of that, which would make a joke of high-water marks, and every other stream of the connection waits behind
 * it, a request for a tenth of a second.
 */
import { isNear } from "./address.ts"
import type { Libp2pConnection, Libp2pStream } from "./node.ts"

/** Bytes for all streams of a connection together. */
const MOST = 1024 * 1024
/** Bytes for each, however many they are: Yamux begins with as much. */
const LEAST = 256 * 1024
/** Bytes for each ms to another host and back: 32 MB a second, up to MOST. */
const PER_MS = 32 * 1024

export class Window {
  private readonly stream: Libp2pStream
  private readonly connection: Libp2pConnection
  /** What the node's owner allows, and no more than MOST. */
  private readonly most: number
  private readonly near: boolean
  /** ms to the other side and back. Yamux asks twice a minute; what takes longer than it did once, is busy and not further away. */
  private away = Infinity

  constructor(stream: Libp2pStream, connection: Libp2pConnection) {
    this.stream = stream
    this.connection = connection
    this.most = Math.min(MOST, stream.maxStreamWindowSize ?? MOST)
    this.near = isNear(connection.remoteAddr.toString())
    this.fit()
  }

  /** No reports until `open`: the sender stops when the window is full. What is under way still comes. */
  shut(): void {
    if (this.stream.remoteWriteStatus !== "closed") this.stream.sendPause!()
  }

  /** Reports what has come meanwhile. */
  open(): void {
    // Streams come and go.
    this.fit()
    if (this.stream.remoteWriteStatus !== "closed") this.stream.sendResume!()
  }

  private fit(): void {
    const share = Math.floor(MOST / Math.max(1, this.connection.streams.length))
    this.stream.maxStreamWindowSize = Math.min(this.most, Math.max(LEAST, share, this.distance))
  }

  private get distance(): number {
    const ms = this.near ? 0 : (this.stream.getRTT?.() ?? -1)
    if (ms >= 0 && ms < this.away) this.away = ms
    return this.away === Infinity ? 0 : this.away * PER_MS
  }
}

/** Undefined for other muxers, which have windows of their own. */
export function windowOf(stream: Libp2pStream, connection: Libp2pConnection): Window | undefined {
  const whole = "maxStreamWindowSize" in stream && "sendPause" in stream && "sendResume" in stream
  return whole ? new Window(stream, connection) : undefined
}
