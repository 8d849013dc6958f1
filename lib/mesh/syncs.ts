/** "Have you read all that I sent before?", asked of every linked member at once. */
import type { Clock, Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { Links } from "./links.ts"
import type { Member } from "./member.ts"
import { Kind, numberAt, numbered } from "./wire.ts"

interface Sync {
  readonly awaited: Set<Member>
  readonly timer: Timer
  readonly resolve: () => void
  /** The mesh is closed. */
  readonly fail: (error: EarshotError) => void
}

/** ms after which `after` waits no longer for members that live and don't answer. */
const PATIENCE = 2000

export class Syncs {
  private readonly clock: Clock
  private readonly links: Links
  private readonly open = new Map<number, Sync>()
  private last = 0

  constructor(clock: Clock, links: Links) {
    this.clock = clock
    this.links = links
  }

  /** Resolves when all have answered; who is lost meanwhile is not waited for. Rejects TIMEOUT after `timeout` ms, EBADF when the mesh is closed. */
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
      this.open.set(id, { awaited, timer, resolve, fail: reject })
      for (const member of awaited) member.tell([numbered(Kind.SYNC, 0, id)])
    }).finally(() => this.clock.release())
  }

  /** Calls back when these have read all that was sent to them before, or are lost, or don't answer; never when the mesh is closed. */
  after(members: readonly Member[], callback: () => void): void {
    const awaited = new Set(members.filter(({ linked }) => linked))
    if (awaited.size === 0) return callback()
    const id = (this.last = (this.last % 0xffff_fffe) + 1)
    const timer = this.clock.timeout(() => {
      this.open.delete(id)
      callback()
    }, PATIENCE)
    this.open.set(id, { awaited, timer, resolve: callback, fail: () => {} })
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
    const error = new EarshotError("EBADF", "the mesh was closed")
    for (const { timer, fail } of this.open.values()) {
      timer.cancel()
      fail(error)
    }
    this.open.clear()
  }

  private leave(id: number, { awaited, timer, resolve }: Sync, member: Member): void {
    if (!awaited.delete(member) || awaited.size > 0) return
    this.open.delete(id)
    timer.cancel()
    resolve()
  }
}
