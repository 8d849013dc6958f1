/** The adapter of npm ws: the only file that knows the package, and the one place that looks behind its public face. */
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import * as ws from "ws"
import type { ClientOptions, Server } from "ws"

const library: typeof ws = own()

/**
 * npm ws itself. Bun has a `ws` of its own in its place, whose links push back on nobody (1.4): there it is asked for by
 * the path of its file.
 */
function own(): typeof ws {
  if (process.versions["bun"] === undefined) return ws
  const require = createRequire(import.meta.url)
  try {
    return require(join(dirname(require.resolve("ws/package.json")), "index.js")) as typeof ws
  } catch {
    // Bundled: theirs is better than none.
    return ws
  }
}

/** A WebSocket that tells when its end begins; npm ws itself tells only when all is over. */
export class Wire extends library.WebSocket {
  /** The other side's close frame has come, or it broke the protocol (then `error` follows at once). */
  onEnding: ((code: number, reason: string) => void) | undefined

  /** What npm ws calls by itself. Ours is `finish`. */
  override close(code?: number, reason?: string | Buffer): void {
    this.finish(code, reason)
    this.onEnding?.(code ?? 1005, String(reason ?? ""))
  }

  /** Sends a close frame behind what was sent. */
  finish(code?: number, reason?: string | Buffer): void {
    super.close(code, reason)
    // Its timer would keep the process alive; who made the link has one of the clock.
    const { _closeTimer: timer } = this as unknown as { _closeTimer?: { unref?(): void } | null }
    timer?.unref?.()
  }

  // oxlint-disable no-underscore-dangle -- npm ws has no public name for it
  /** Bytes of the largest message from now on. False: it can't be changed any more. */
  limit(bytes: number): boolean {
    const { _receiver: receiver } = this as unknown as { _receiver?: { _maxPayload?: unknown } | null }
    if (typeof receiver?._maxPayload !== "number") return false
    receiver._maxPayload = bytes
    return true
  }
  // oxlint-enable no-underscore-dangle
}

/** Of both sides. */
const common = {
  perMessageDeflate: false,
  skipUTF8Validation: true,
  // The link answers: npm ws ends a connection when 60 of its answers wait, as they do behind a reader that has paused.
  autoPong: false,
  // Beyond what a clock counts: whoever made the link bounds its end.
  closeTimeout: 0x7fffffff,
} as const

/**
 * Options of npm ws for links whose messages have at most so many bytes; 0 = no limit. Pieces count, too, since an empty
 * one costs memory. A large message may come in packets of 1,400 bytes and less, and from Chromium, in 800 fragments.
 */
function limits(maxPayload: number): { maxPayload: number; maxBufferedChunks: number; maxFragments: number } {
  const pieces = maxPayload === 0 ? 0 : Math.max(4096, Math.ceil(maxPayload / 512))
  return { maxPayload, maxBufferedChunks: pieces, maxFragments: pieces === 0 ? 16_384 : Math.ceil(pieces / 16) }
}

/** What makes Wires of upgrades. */
export type Upgrader = Server<typeof Wire>

/** A server without a port. */
export function createUpgrader(maxPayload: number): Upgrader {
  return new library.WebSocketServer({
    ...common,
    ...limits(maxPayload),
    noServer: true,
    clientTracking: false,
    WebSocket: Wire,
  })
}

/** Begins an upgrade. */
export function openWire(url: string, protocols: string[], maxPayload: number, options: ClientOptions): Wire {
  return new Wire(url, protocols, { ...common, ...limits(maxPayload), ...options })
}
