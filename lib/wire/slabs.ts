/**
 * The memory that small frames are gathered in before they are written: slabs, borrowed while bytes wait and given back
 * when they have left, so that an idle connection owns none. Smaller ones for links that send a little now and then: a
 * message to ten thousand subscribers takes 2.5 or 20 MB of them, and would take 640 of the largest.
 */
import { allocate } from "../bytes.ts"

export const SLAB = 65_536
/** What a process keeps of each size for the next burst. More are made when needed and left to the garbage collector. */
const shelves = [
  { size: 256, keep: 64, free: [] as Uint8Array[] },
  { size: 2048, keep: 64, free: [] as Uint8Array[] },
  { size: SLAB, keep: 16, free: [] as Uint8Array[] },
] as const

/** One that takes so many bytes. */
export function borrowSlab(bytes: number): Uint8Array {
  const shelf = bytes <= shelves[0].size ? shelves[0] : bytes <= shelves[1].size ? shelves[1] : shelves[2]
  return shelf.free.pop() ?? allocate(shelf.size)
}

/** Only when nothing refers to its memory any more. */
export function returnSlab(slab: Uint8Array): void {
  for (const { size, keep, free } of shelves) if (slab.length === size && free.length < keep) free.push(slab)
}
