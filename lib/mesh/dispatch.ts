/** What travels between members, but for what keeps the link itself: each kind to whom it concerns. */
import type { Message } from "../contract.ts"
import type { Hub } from "./hub.ts"
import { readMap } from "./introduction.ts"
import type { Member } from "./member.ts"
import { printable } from "./printable.ts"
import { FULL, Kind, nameAt } from "./wire.ts"

/** Groups of one member that are remembered to be full. */
const MAX_FULL = 4096

/** Throws EPROTO for what breaks the protocol. */
export function dispatch(hub: Hub, member: Member, kind: number, message: Message): void {
  const head = message[0]!
  switch (kind) {
    case Kind.BRIEF:
      return hub.incoming.onBrief(member, message)
    case Kind.PUBLISH:
      return hub.incoming.onPublish(member, message)
    case Kind.REQUEST:
      return hub.answering.onRequest(member, message)
    case Kind.REPLY:
      return hub.asking.onReply(member, message)
    case Kind.ACCEPT:
      return hub.asking.onAccept(member, head)
    case Kind.CANCEL:
      return hub.answering.onCancel(member, head)
    case Kind.CONFIRM:
      return hub.outgoing.onConfirm(member, head)
    case Kind.RETURN:
      return hub.outgoing.onReturn(member, message)
    case Kind.SYNC:
      return hub.syncs.onSync(member, head)
    case Kind.SYNCED:
      return hub.syncs.onSynced(member, head)
    case Kind.LOAD:
      return onLoad(hub, member, head)
    case Kind.INTEREST: {
      const refused = hub.incoming.onInterest(member, message)
      const [subject] = refused
      if (subject !== undefined) {
        const about = { what: "interest", member: member.id, subject, count: refused.length } as const
        hub.denials.add({ ...about, reason: "it has too many subscriptions" })
      }
      return hub.asking.onChange()
    }
    case Kind.BARRIER:
      hub.incoming.onBarrier(member)
      member.known = true
      hub.asking.onChange()
      return hub.onIdle()
    case Kind.DIGEST:
      return hub.incoming.onDigest(member, message)
    case Kind.RESEND:
      return member.leaf ? hub.relay.resend(member) : hub.interest.resend(member)
    case Kind.SAMPLE:
      return hub.sampling.onSample(member, message)
    case Kind.SAMPLED:
      return hub.sampling.onSampled(member, message)
    case Kind.DENIED:
      return onDenied(hub, member, message)
    default:
      hub.onUnknown(1)
  }
}

/** It takes no more of our subscriptions, or of our samples. */
function onDenied(hub: Hub, member: Member, message: Message): void {
  const { what, count, subject, reason } = readMap(message[1])
  hub.denials.add({
    what: what === "sample" ? what : "interest",
    member: member.id,
    ...(typeof subject === "string" && { subject: printable(subject) }),
    reason: typeof reason === "string" ? printable(reason, 200) : "it takes no more subscriptions",
    count: Number.isSafeInteger(count) && (count as number) > 0 ? (count as number) : 1,
  })
}

/** A group is full there, or free again. */
function onLoad(hub: Hub, member: Member, head: Uint8Array): void {
  const group = nameAt(head, 2)
  const full = (head[1]! & FULL) !== 0
  if (!full) member.full.delete(group)
  else if (member.full.size < MAX_FULL) member.full.add(group)
  hub.load(group)
  if (!full) hub.outgoing.onFree(group)
}
