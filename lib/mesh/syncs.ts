/** "Have you read all that I sent before?", asked of every linked member at once. */
import type { Clock, Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { Links } from "./links.ts"
import type { Member } from "./member.ts"
import { Kind, numberAt, numbered } from "./wire.ts"

interface Sync {
  readonly awaited: Set<Member>
  readonly timer: Timer | undefined
  readonly resolve: () => void
}

export class Syncs {
  private readonly clock: Clock
  private readonly links: Links
  private readonly open = new Map<number, Sync>()
  private last = 0

  constructor(clock: Clock, links: Links) {
    this.clock = clock
    this.links = links
  }

  /** Resolves when all have answered; who is lost meanwhile is not waited for. Rejects TIMEOUT after `timeout` ms. */
  all(timeout: number): Promise<void> {
    const awaited = new Set(this.links.linked)
    if (awaited.size === 0) return Promise.resolve()
    const id = (this.last = (this.last % 0xffff_fffe) + 1)
    this.clock.hold()
    return new Promise<void>((resolve, reject) => {
      const timer = this.clock.timeout(() => {
        this.open.delete(id)
        reject(new EarshotError("TIMEOUT", `${awaited.size} members have not confirmed within ${timeout} ms`))
      }, timeout)
      this.open.set(id, { awaited, timer, resolve })
      for (const member of awaited) member.tell([numbered(Kind.SYNC, 0, id)])
    }).finally(() => this.clock.release())
  }

  /** Calls back when these have read all that was sent to them before, or are lost, or the mesh is closed. */
  after(members: readonly Member[], callback: () => void): void {
    const awaited = new Set(members.filter(({ linked }) => linked))
    if (awaited.size === 0) return callback()
    const id = (this.last = (this.last % 0xffff_fffe) + 1)
    this.open.set(id, { awaited, timer: undefined, resolve: callback })
    for (const member of awaited) member.tell([numbered(Kind.SYNC, 0, id)])
  }

  onSync(member: Member, head: Uint8Array): void {
    member.tell([numbered(Kind.SYNCED, 0, numberAt(head, 2))])
  }

  onSynced(member: Member, head: Uint8Array): void {
    const id = numberAt(head, 2)
    const sync = this.open.get(id)
    if (sync !== undefined) this.leave(id, sync, member)
  }

  onUnlinked(member: Member): void {
    for (const [id, sync] of this.open) this.leave(id, sync, member)
  }

  close(): void {
    for (const { timer, resolve } of this.open.values()) {
      timer?.cancel()
      resolve()
    }
    this.open.clear()
  }

  private leave(id: number, { awaited, timer, resolve }: Sync, member: Member): void {
    if (!awaited.delete(member) || awaited.size > 0) return
    this.open.delete(id)
    timer?.cancel()
    resolve()
  }
}
