/** Messages that a member, or a queue group, has no room for: what `onFull` says is done with them. */
import { sizeOf } from "../bytes.ts"
import type { Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import { Ring } from "../ring.ts"
import type { Context } from "./context.ts"
import type { Member, Posted } from "./member.ts"
import { Kind } from "./wire.ts"

/** When a link is full. `wait`: `publish` resolves later. `conflate`: the newest of each subject. */
export type OnFull = "drop" | "wait" | "drop-oldest" | "conflate" | "disconnect"

/** Messages, and bytes, that wait for one member or one group. */
const MOST = 1000
const MOST_BYTES = 8 * 1024 * 1024
/** ms after which a group that had no room is looked at again: who gave something back may never have said to be full. */
const AGAIN = 100

interface Waiter {
  readonly frames: readonly Uint8Array[]
  readonly subject: string
  readonly resolve: (posted: Posted) => void
}

class Line {
  readonly waiters = new Ring<Waiter>()
  bytes = 0
  /** Of a group. */
  timer: Timer | undefined
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

type Give = (group: string, frames: readonly Uint8Array[], subject: string, not?: Member) => Posted | null

export class Waiting {
  private readonly context: Context
  /** To one of a group, but `not` to that one; null where nobody has room. */
  private readonly give: Give
  private readonly members = new Map<Member, Line>()
  private readonly groups = new Map<string, Line>()
  /** Of messages that a newer one may replace. */
  private readonly subjects = new WeakMap<Message, string>()

  constructor(context: Context, give: Give) {
    this.context = context
    this.give = give
  }

  /** Messages that wait. */
  get size(): number {
    let size = 0
    for (const lines of [this.members, this.groups]) for (const { waiters } of lines.values()) size += waiters.length
    return size
  }

  /** A promise only for `wait`. */
  post(member: Member, message: Message, subject: string, onFull: OnFull): Posted | Promise<Posted> {
    if (onFull === "wait" && this.members.has(member)) return this.wait(member, message, subject)
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

  /** For a group in which nobody has room now, or `not` who gave it back. Resolves when it was handed to somebody. */
  enqueue(group: string, frames: readonly Uint8Array[], subject: string, not?: Member): Promise<Posted> {
    return new Promise((resolve) => {
      let line = this.groups.get(group)
      if (line === undefined) {
        // Somebody else may have room for what was returned.
        const posted = this.give(group, frames, subject, not)
        if (posted !== null && posted !== "full") return resolve(posted)
        this.groups.set(group, (line = new Line()))
      }
      if (line.full) {
        this.context.drop("busy", 1, sizeOf(frames), { subject })
        return resolve("full")
      }
      line.push({ frames, subject, resolve })
      this.again(group, line)
    })
  }

  onRoom(member: Member): void {
    const line = this.members.get(member)
    if (line === undefined) return
    while (line.waiters.length > 0) {
      const { frames } = line.waiters.peek()!
      const posted = member.post(frames as Message)
      if (posted === "full") return
      line.shift().resolve(posted)
    }
    this.members.delete(member)
    this.context.onLess()
  }

  onFree(group: string): void {
    const line = this.groups.get(group)
    if (line === undefined) return
    while (line.waiters.length > 0) {
      const { frames, subject } = line.waiters.peek()!
      const posted = this.give(group, frames, subject)
      if (posted === null || posted === "full") return this.again(group, line)
      line.shift().resolve(posted)
    }
    line.timer?.cancel()
    this.groups.delete(group)
    this.context.onLess()
  }

  /** What waits for it is kept for it, or lost, as everything else. */
  onUnlinked(member: Member): void {
    this.onRoom(member)
  }

  close(): void {
    for (const lines of [this.members, this.groups])
      for (const line of lines.values()) {
        line.timer?.cancel()
        for (const { frames, subject, resolve } of line.waiters.drain()) {
          this.context.drop("closed", 1, sizeOf(frames), { subject })
          resolve("gone")
        }
      }
    this.members.clear()
    this.groups.clear()
  }

  private again(group: string, line: Line): void {
    line.timer ??= this.context.clock.timeout(() => {
      line.timer = undefined
      this.onFree(group)
    }, AGAIN)
  }

  private wait(member: Member, message: Message, subject: string): Promise<Posted> {
    let line = this.members.get(member)
    if (line === undefined) this.members.set(member, (line = new Line()))
    if (line.full) {
      this.context.drop("full", 1, sizeOf(message), { member })
      return Promise.resolve("full")
    }
    return new Promise((resolve) => line.push({ frames: message, subject, resolve }))
  }

  /** The oldest make room. Said to the pipe past its marks: once it has refused it wants to be half empty first. */
  private replaceOldest(member: Member, message: Message): Posted {
    const needed = sizeOf(message)
    const oldest: Message[] = []
    let freed = 0
    for (const each of member.pipe?.unsent() ?? []) {
      if (freed >= needed) break
      if (each[0]![0] !== Kind.PUBLISH) continue
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
