/**
 * Our own protocol over WebSockets: a byte stream in binary messages, whose boundaries mean nothing, and credit in text
 * messages, for a receiver that can't pause its reading (a browser hands over whatever comes).
 *
 *   receiver  "+4194304"             at once: from now on you may send me so many bytes, and no more
 *   sender    binary messages        up to 256 KiB each, while credit lasts
 *   receiver  "+1048576"             so much has been read: as many more
 *
 * Who never grants sets no limit: there TCP pushes back.
 */

import { allocate } from "../../lib/bytes.ts"

/** The name of it on the upgrade; a token as RFC 7230 wants it. */
export const EARSHOT = "earshot.zmtp3"
/** RFC 45 without a mechanism, which libzmq, jszmq and browsers share. */
export const ZWS = "ZWS2.0"
/**
 * What a client offers before all else, and nobody serves: a server that picks whatever comes first, as that of npm ws
 * does for jszmq, gives itself away by it, and then speaks what jszmq speaks, bare ZWS.
 */
export const NAIVE = "ZWS2"
/** Bytes of the largest message we send, and we accept. */
export const MAX_SENT = 262_144
export const MAX_TAKEN = 1_048_576
/** The same before the handshake above is done. */
export const MAX_TAKEN_EARLY = 65_536
/** Our handshake ends within so many bytes, and what is gathered with its end may not be larger than that limit. */
export const EARLY: number = 2 * MAX_TAKEN_EARLY
/**
 * Bytes that may be under way to a receiver that grants, and how many it reads before it grants as many more. With a
 * window of 1 MiB frames of 64 KB reached a page in Chromium at three quarters of the speed that raw messages have; and with
 * a grant for each 256 KiB at 0.84 of it, where one for each MiB gives 0.98, since the page's messages cost it most.
 */
export const WINDOW = 4_194_304
export const GRANT = 1_048_576

export function grant(bytes: number): string {
  return `+${bytes}`
}

/** Undefined: no such thing, the other side breaks the protocol. */
export function readGrant(text: string): number | undefined {
  return /^\+[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined
}

/** Chunks as one. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  if (chunks.length === 1) return chunks[0]!
  const all = allocate(chunks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const chunk of chunks) {
    all.set(chunk, at)
    at += chunk.length
  }
  return all
}

/** A chunk, cut to what one message may carry. */
export function pieces(chunk: Uint8Array, most: number = MAX_SENT): Uint8Array[] {
  const cut: Uint8Array[] = []
  for (let at = 0; at < chunk.length; at += most) cut.push(chunk.subarray(at, at + most))
  return cut
}
