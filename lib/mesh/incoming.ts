/** What others publish and what they want, as it comes in. */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { skimBriefs, type BriefReader } from "./brief.ts"
import { contentIn, decodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import { TheirInterest } from "./interest.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import { returned } from "./outgoing.ts"
import {
  BRIEF_HEAD,
  CONFIRMED,
  COPY,
  GROUPS,
  Kind,
  PLAIN,
  bare,
  groupsOf,
  numberAt,
  numbered,
  spelledOut,
} from "./wire.ts"

export class Incoming implements BriefReader {
  /** Messages published by others that came here. */
  received = 0
  private readonly context: Context
  private readonly interests = new Map<Member, TheirInterest>()

  constructor(context: Context) {
    this.context = context
  }

  onLinked(member: Member, resumed: boolean): void {
    if (!resumed || !this.interests.has(member))
      this.interests.set(member, new TheirInterest(member, this.context.relay))
    skimBriefs(this.context.links, this, member)
  }

  onForgotten(member: Member): void {
    this.interests.get(member)?.clear()
    this.interests.delete(member)
  }

  interestOf(member: Member): TheirInterest | undefined {
    return this.interests.get(member)
  }

  /** What it publishes goes to nobody but us. */
  keeps(member: Member): boolean {
    return !this.context.relay.concerns(member)
  }

  /** The most frequent of all, where it lies. */
  readBrief(member: Member, bytes: Uint8Array, from: number, size: number): void {
    this.deliver(member, contentIn(bytes, from + BRIEF_HEAD, from + size, undefined, member.reading))
  }

  /** The same, as a message. */
  onBrief(member: Member, message: Message): void {
    const content = decodeContent(message, 0, member.reading, BRIEF_HEAD)
    this.deliver(member, content)
    const { relay } = this.context
    if (relay.concerns(member)) relay.pass(member, content, spelledOut(message), false)
  }

  private deliver(member: Member, content: Content): void {
    if (content.subject === "") throw nameless()
    this.received++
    this.context.local.deliver(content, member, false)
  }

  onPublish(member: Member, message: Message): void {
    const head = message[0]!
    const flags = head[1]!
    const content = decodeContent(message, 1, member.reading)
    const { local } = this.context
    if (content.subject === "") throw nameless()
    this.received++
    const { relay } = this.context
    if (flags & PLAIN) {
      local.deliver(content, member, (flags & COPY) !== 0)
      relay.pass(member, content, message, (flags & COPY) !== 0)
    }
    let kept = (flags & PLAIN) !== 0
    if (flags & GROUPS)
      for (const group of groupsOf(head)) {
        // Who can take it back gives it to another, so that nobody waits behind one that is busy.
        const force = !member.features.has("groups") || !member.takes(sizeOf(message))
        const passed = relay.passTo(member, group, content, message)
        if (passed === "passed" || local.deliverTo(group, content, member, force)) kept = true
        else if (force) this.context.drop("busy", 1, content.raw.length, { member, subject: content.subject })
        else member.tellCounted(returned(group, message.slice(1)))
      }
    // What goes back is for another to confirm.
    if (kept && flags & CONFIRMED) member.tell([numbered(Kind.CONFIRM, 0, numberAt(head, 2))])
  }

  /** Returns the wishes that were too many. */
  onInterest(member: Member, message: Message): readonly string[] {
    const interest = this.interests.get(member)
    if (interest === undefined) return []
    const { refused, unknown } = interest.apply(message[0]![1]!, bodyOf(message))
    if (unknown > 0) this.context.onUnknown(unknown)
    if (refused.length > 0) {
      const reason = `${interest.size} wishes of one member are held, and no more`
      const denial = { what: "interest", count: refused.length, subject: refused[0], reason }
      member.tell([bare(Kind.DENIED), msgpack.encode(denial)])
    }
    return refused
  }

  onBarrier(member: Member): void {
    this.interests.get(member)?.onBarrier()
  }

  onDigest(member: Member, message: Message): void {
    if (this.interests.get(member)?.fits(bodyOf(message)) === false) member.tell([bare(Kind.RESEND)])
  }
}

function nameless(): EarshotError {
  return new EarshotError("EPROTO", "a message without a subject")
}

function bodyOf(message: Message): Uint8Array {
  const bytes = message[1]
  if (bytes === undefined) throw new EarshotError("EPROTO", "a mesh message without its body")
  return bytes
}
