/** What keeps a link and the mesh itself: each kind to the part of `Links` that it concerns. For all else see dispatch.ts. */
import type { Message } from "../contract.ts"
import { readMap, readUpdate } from "./introduction.ts"
import type { Links } from "./links.ts"
import type { Member } from "./member.ts"
import { unwrap } from "./replay.ts"
import { Kind, numberAt } from "./wire.ts"

export const isControl = (kind: number): boolean => kind >= Kind.CENSUS || kind === Kind.TAKEN || kind === Kind.GAP

/** Throws EPROTO for what breaks the protocol. */
export function control(links: Links, member: Member, kind: number, message: Message): void {
  const head = message[0]!
  const body = message[1]
  const { owner, gossip } = links
  switch (kind) {
    case Kind.TAKEN:
      return member.replay.acknowledge(unwrap(numberAt(head, 2), member.replay.sent))
    case Kind.GAP: {
      const count = numberAt(head, 2)
      member.taken += count
      return owner.onGap(member, "received", count)
    }
    case Kind.CENSUS:
      return gossip.onCensus(member, body)
    case Kind.MEMBERS:
      return gossip.onMembers(member, head[1]!, body)
    case Kind.RECORDS:
      return gossip.onRecords(member, body)
    case Kind.UPDATE:
      member.revise(readUpdate(member, body, (count) => owner.onUnknown(count)))
      links.roll.review(member)
      return owner.onUpdate(member)
    case Kind.DRAINING:
      member.draining = true
      return owner.onUpdate(member)
    case Kind.GOODBYE:
      member.left = true
      return member.sayTaken()
    case Kind.SUSPECT: {
      const suspect = links.members.get(String(readMap(body)["id"]))
      if (suspect?.linked === true) links.pulse.probe(suspect)
      return
    }
    default:
      owner.onUnknown(1)
  }
}
