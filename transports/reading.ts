/**
 * Where the bytes of a socket are read to. Node by itself makes 64 KiB of new memory for every read, then cuts it down to
 * what came. Here small reads go through one buffer for the whole process and are copied out; a socket in full flow reads
 * into memory of its own, which is handed on as it is; and the bytes of a large frame go straight to where the frame is
 * gathered (`LinkSink.room`), so that they are never copied by us.
 */
import * as net from "node:net"

/** What one read may bring at first, but into a frame. */
const SIZE = 65_536
/** What it may bring later. Measured: messages of 1 KB arrive 1.2 times as fast as with 64 KiB, of 64 KB 1.7 times; more is no better. */
const LARGEST = 262_144
/** A read of so much tells of a flow that goes on. */
const FLOW = 16_384
/** A read that fills less than this part of its buffer is copied rather than have it pinned. */
const PART = 4
/** A frame's remaining room below this isn't worth a read of its own. */
const WORTH = 4096

/** Bytes that buffers of sockets' own may take in all: a socket keeps its own when its flow stops. */
const MAX_OWN = 8 * 1024 * 1024

let owned = 0

/** Of all sockets: a read ends, and is copied, before the next one begins. */
const common = Buffer.allocUnsafeSlow(SIZE)

export class Reader {
  /** Takes what came. */
  onChunk: ((chunk: Uint8Array) => void) | undefined
  /** Where the next bytes would best go. */
  room: (() => Uint8Array | undefined) | undefined
  /** Node's option of that name (net.connect, new net.Socket). */
  readonly onread: net.OnReadOpts
  /** What Node reads into: the common buffer, one of our own, or the room of a frame. */
  private target: Uint8Array = common
  private own: Uint8Array | undefined
  /** Of the next buffer of its own. */
  private size = SIZE

  constructor() {
    this.onread = {
      buffer: () => this.target,
      callback: (length, buffer) => {
        this.took(length, buffer)
        return true
      },
    }
  }

  /** The socket is gone. */
  close(): void {
    this.aim(common)
  }

  private took(length: number, buffer: Uint8Array): void {
    const given = buffer !== common && (buffer !== this.own || length * PART >= buffer.length)
    // Small copies share Buffer's pool: better to pin 8 KiB than all of it.
    this.onChunk?.(given ? buffer.subarray(0, length) : Buffer.from(buffer.subarray(0, length)))
    const room = this.room?.()
    if (buffer === this.own) this.adapt(length, buffer.length)
    if (room !== undefined && room.length >= WORTH) this.aim(room)
    else if (length >= FLOW && owned - (this.own?.length ?? 0) + this.size <= MAX_OWN) this.renew()
    else this.aim(common)
  }

  /** The next buffer: larger while reads fill it, so that large frames lie in it whole and there are fewer reads. */
  private adapt(length: number, size: number): void {
    if (length === size) this.size = Math.min(LARGEST, 2 * size)
    else if (2 * length < size) this.size = Math.max(SIZE, size / 2)
  }

  private renew(): void {
    this.aim(Buffer.allocUnsafeSlow(this.size))
    this.own = this.target
    owned += this.size
  }

  private aim(target: Uint8Array): void {
    owned -= this.own?.length ?? 0
    this.own = undefined
    this.target = target
  }
}

interface Handle {
  useUserBuffer?: unknown
}

/**
 * An accepted socket (of a server with `pauseOnConnect`) that reads through a Reader. Node lets only those who dial choose
 * where to read to, so the connection is moved to a socket made with that choice; where it can't be, it stays as it is.
 */
export function adopt(accepted: net.Socket): { socket: net.Socket; reader: Reader | undefined } {
  // oxlint-disable no-underscore-dangle -- Node has no public name for it
  const shell = accepted as unknown as { _handle: Handle | null }
  const handle = shell._handle
  if (typeof handle?.useUserBuffer !== "function") return { socket: accepted, reader: undefined }
  shell._handle = null
  // oxlint-enable no-underscore-dangle
  accepted.on("error", () => {})
  accepted.destroy()
  const reader = new Reader()
  const options = { handle, onread: reader.onread, allowHalfOpen: true, manualStart: true }
  return { socket: new net.Socket(options), reader }
}
