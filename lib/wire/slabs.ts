/**
 * The memory that small frames are gathered in before they are written: slabs, borrowed while bytes wait and given back
 * when they have left, so that an idle connection owns none. Small ones for links that send a little now and then: a
 * message to ten thousand subscribers takes 20 MB of them, and would take 640 of large ones.
 */
import { allocate } from "../bytes.ts"

export const SLAB = 65_536
export const SMALL = 2048
/** What a process keeps for the next burst, 1 MiB and 128 KiB. More are made when needed and left to the garbage collector. */
const KEEP = 16
const KEEP_SMALL = 64

const free: Uint8Array[] = []
const freeSmall: Uint8Array[] = []

export function borrowSlab(large: boolean): Uint8Array {
  return large ? (free.pop() ?? allocate(SLAB)) : (freeSmall.pop() ?? allocate(SMALL))
}

/** Only when nothing refers to its memory any more. */
export function returnSlab(slab: Uint8Array): void {
  if (slab.length === SMALL) {
    if (freeSmall.length < KEEP_SMALL) freeSmall.push(slab)
  } else if (free.length < KEEP) free.push(slab)
}
