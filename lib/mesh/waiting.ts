/** Messages that a member has no room for: what `onFull` says is done with them. For queue groups see work.ts. */
import { sizeOf } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { Ring } from "../ring.ts"
import type { Context } from "./context.ts"
import type { Member, Posted } from "./member.ts"
import { Kind } from "./wire.ts"

/** When a link is full. `wait`: `publish` resolves later. `conflate`: the newest of each subject. */
export type OnFull = "drop" | "wait" | "drop-oldest" | "conflate" | "disconnect"

const RULES: ReadonlySet<unknown> = new Set<OnFull>(["drop", "wait", "drop-oldest", "conflate", "disconnect"])

/** Throws EINVAL for what is none of them: it would be taken for another. */
export function checkOnFull(onFull: OnFull | undefined): void {
  if (onFull !== undefined && !RULES.has(onFull))
    throw new EarshotError("EINVAL", `onFull is one of ${[...RULES].join(", ")}`)
}

/** Messages, and bytes, that wait for one member. */
const MOST = 1000
const MOST_BYTES = 8 * 1024 * 1024

interface Waiter {
  readonly frames: readonly Uint8Array[]
  readonly subject: string
  readonly resolve: (posted: Posted) => void
}

class Line {
  readonly waiters = new Ring<Waiter>()
  bytes = 0
  get full(): boolean {
    return this.waiters.length >= MOST || this.bytes >= MOST_BYTES
  }
  push(waiter: Waiter): void {
    this.waiters.push(waiter)
    this.bytes += sizeOf(waiter.frames)
  }
  shift(): Waiter {
    const waiter = this.waiters.shift()!
    this.bytes -= sizeOf(waiter.frames)
    return waiter
  }
}

export class Waiting {
  private readonly context: Context
  private readonly members = new Map<Member, Line>()
  /** Of messages that a newer one may replace. */
  private readonly subjects = new WeakMap<Message, string>()

  constructor(context: Context) {
    this.context = context
  }

  /** Messages that wait. */
  get size(): number {
    let size = 0
    for (const { waiters } of this.members.values()) size += waiters.length
    return size
  }

  /** A promise only for `wait`. */
  post(member: Member, message: Message, subject: string, onFull: OnFull): Posted | Promise<Posted> {
    // Nothing overtakes those that wait: while there are some, it is as with `drop`.
    if (this.members.has(member) && onFull !== "disconnect")
      return onFull === "wait" ? this.wait(member, message, subject) : member.post(message)
    if (onFull === "conflate" && this.older(member, subject)) this.subjects.set(message, subject)
    const posted = member.post(message)
    if (onFull === "conflate" && posted === "sent") this.subjects.set(message, subject)
    if (posted !== "full" || onFull === "drop") return posted
    if (onFull === "wait") return this.wait(member, message, subject)
    if (onFull === "disconnect") {
      member.pipe?.close(new EarshotError("LIMIT", "too slow for what it subscribes to"))
      return "full"
    }
    return this.replaceOldest(member, message)
  }

  onRoom(member: Member): void {
    const line = this.members.get(member)
    if (line === undefined) return
    while (line.waiters.length > 0) {
      const { frames } = line.waiters.peek()!
      const posted = member.post(frames as Message)
      if (posted === "full") return
      if (posted === "too-large") this.context.drop(posted, 1, sizeOf(frames), { member })
      line.shift().resolve(posted)
      this.context.clock.release()
    }
    this.members.delete(member)
    this.context.onLess()
  }

  /** What waits for it is kept for it, or lost, as everything else. */
  onUnlinked(member: Member): void {
    this.onRoom(member)
  }

  close(): void {
    for (const line of this.members.values())
      for (const { frames, subject, resolve } of line.waiters.drain()) {
        this.context.drop("closed", 1, sizeOf(frames), { subject })
        resolve("gone")
        this.context.clock.release()
      }
    this.members.clear()
  }

  private wait(member: Member, message: Message, subject: string): Promise<Posted> {
    let line = this.members.get(member)
    if (line === undefined) this.members.set(member, (line = new Line()))
    if (line.full) {
      this.context.drop("full", 1, sizeOf(message), { member })
      return Promise.resolve("full")
    }
    this.context.clock.hold()
    return new Promise((resolve) => line.push({ frames: message, subject, resolve }))
  }

  /** The oldest make room. Said to the pipe past its marks: once it has refused it wants to be half empty first. */
  private replaceOldest(member: Member, message: Message): Posted {
    const needed = sizeOf(message)
    const oldest: Message[] = []
    let freed = 0
    for (const each of member.pipe?.unsent() ?? []) {
      if (freed >= needed) break
      const kind = each[0]![0]
      if (kind !== Kind.PUBLISH && kind !== Kind.BRIEF) continue
      oldest.push(each)
      freed += sizeOf(each)
    }
    if (freed < needed) return "full"
    for (const each of oldest) {
      member.pipe!.recall(each)
      member.replay.recall(each)
      this.context.drop("full", 1, sizeOf(each), { member })
    }
    member.tellCounted(message)
    return "sent"
  }

  /** Takes back an older one of the same subject that has not left yet. */
  private older(member: Member, subject: string): boolean {
    const old = member.pipe?.unsent().find((each) => this.subjects.get(each) === subject)
    if (old === undefined || !member.pipe!.recall(old)) return false
    member.replay.recall(old)
    this.context.drop("conflated", 1, sizeOf(old), { member, subject })
    return true
  }
}
