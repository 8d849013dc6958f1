/**
 * The memory that small frames are gathered in before they are written: 64 KiB slabs, borrowed while bytes wait and
 * given back when they have left, so that an idle connection owns none.
 */
import { allocate } from "../bytes.ts"

export const SLAB = 65_536
/** 1 MiB: what a process keeps for the next burst. More are made when needed and left to the garbage collector. */
const KEEP = 16

const free: Uint8Array[] = []

export function borrowSlab(): Uint8Array {
  return free.pop() ?? allocate(SLAB)
}

/** Only when nothing refers to its memory any more. */
export function returnSlab(slab: Uint8Array): void {
  if (free.length < KEEP) free.push(slab)
}
