/**
 * Two living members with one id: their state was copied with the card it is on. The later boot takes a fresh id for this run
 * and links anew under it; both say so.
 */
import type { Twins } from "./doors.ts"
import type { MemberInfo } from "./events.ts"
import type { Hub } from "./hub.ts"
import { freshId, type Identity } from "./identity.ts"
import type { Introduction } from "./introduction.ts"
import { report } from "./reports.ts"

export class Clash implements Twins {
  private readonly hub: Hub
  /** The boot that was met last: it may be met again and again. */
  private met: string | undefined
  private yielded = false

  constructor(hub: Hub) {
    this.hub = hub
  }

  /** Somebody else has our id. */
  meet(peer: Introduction): void {
    const { hub } = this
    const { id, epoch, nonce } = hub.identity
    if (peer.nonce === this.met) return
    this.met = peer.nonce
    const { name, endpoints, meta, leaf, leaves } = peer
    const member: MemberInfo = { id, name, endpoints, meta, leaf, leaves, rtt: undefined }
    hub.finder.note({ key: "clash", evidence: `another living member (${name}) has our id ${id}` })
    hub.events.emit("clash", { id, member })
    // Whose id was drawn for this run has it from nobody, and nobody takes a second one from us.
    if (hub.settings.state === undefined || this.yielded || hub.closed) return
    if (peer.epoch > epoch || (peer.epoch === epoch && peer.nonce > nonce)) return
    this.yielded = true
    this.rename({ id: freshId(hub.clock), epoch, nonce: freshId(hub.clock) })
    this.seek(endpoints)
  }

  /** Somebody there is taken for us. */
  seek(endpoints: readonly string[]): void {
    this.hub.links.reach.found(undefined, endpoints)
  }

  /** We are somebody else from now on: everybody is told goodbye, and dialled anew. */
  private rename(identity: Identity): void {
    const { hub } = this
    hub.identity = identity
    hub.stopReporting()
    if (hub.settings.observe) hub.stopReporting = report(hub)
    const members = [...hub.links.members.values()]
    hub.links.partFromAll()
    for (const { id, endpoints } of members) hub.links.reach.found(id, endpoints)
    hub.finder.announce()
  }
}
