/** BRIEFs, the most frequent of all, are read where they lie in the memory that they came in: no frames are made of them. */
import { EarshotError } from "../errors.ts"
import type { Links } from "./links.ts"
import type { Member } from "./member.ts"
import { BRIEF_HEAD, Kind } from "./wire.ts"

export interface BriefReader {
  /** What this member publishes goes to nobody but us. */
  keeps(member: Member): boolean
  /** The BRIEF in these bytes. Throws EPROTO. */
  readBrief(member: Member, bytes: Uint8Array, from: number, size: number): void
}

/** From now on, on the live link of this member. What is left goes the way of all messages: what must be passed on, errors, ends. */
export function skimBriefs(links: Links, reader: BriefReader, member: Member): void {
  const { thanks } = links
  const { pipe } = member
  if (pipe?.session === undefined) return
  pipe.session.codec.skim = (bytes, from, size) => {
    if (bytes[from] !== Kind.BRIEF || bytes[from + 1] !== 0 || size < BRIEF_HEAD) return false
    if (member.pipe !== pipe || links.closed || pipe.finishing || !reader.keeps(member)) return false
    pipe.received++
    pipe.receivedBytes += size
    thanks.took(member, size)
    try {
      reader.readBrief(member, bytes, from, size)
    } catch (error) {
      // A member that breaks the protocol loses its link, nothing else.
      pipe.close(error instanceof EarshotError ? error : new EarshotError("EPROTO", undefined, error))
    }
    return true
  }
}
