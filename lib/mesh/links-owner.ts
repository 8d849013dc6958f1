/** What comes of links: who is there, and what they send. All synchronous. */
import type { Message } from "../contract.ts"
import type { Codecs } from "./codecs.ts"
import type { Content } from "./content.ts"
import type { Crowding, Outcome, Twins } from "./doors.ts"
import type { Introduction } from "./introduction.ts"
import type { GossipOwner } from "./gossip.ts"
import type { Member } from "./member.ts"
import type { MeshSettings } from "./options.ts"
import type { ReachOwner } from "./reach.ts"

export interface LinksOwner {
  readonly identity: Pick<Introduction, "id">
  /** As it is now; what belongs to one pair is left 0. */
  readonly introduction: Introduction
  readonly codecs: Codecs
  readonly settings: Pick<MeshSettings, "replay">
  /** A member is linked. `resumed`: the same boot as before, whose interest is still known. */
  onLinked(member: Member, resumed: boolean): void
  /** Its link is lost, and may come back. */
  onUnlinked(member: Member): void
  onJoin(member: Member): void
  onLeave(member: Member, reason: "goodbye" | "lost" | "restarted"): void
  /** Nothing is kept for it any more. */
  onForgotten(member: Member): void
  onUpdate(member: Member): void
  onMessage(member: Member, kind: number, message: Message): void
  onRoom(member: Member): void
  /** The queue of the link to it is full, or has room again. */
  onLinkSlow(member: Member, full: boolean): void
  /** What came from it, or from ourselves, can't be decoded here. */
  onUndecodable(member: Member | undefined, content: Content): void
  /** It, or we, said goodbye before it had taken so many messages; `bytes` of those that were kept. */
  onUntaken(member: Member, reason: "left" | "closed", count: number, bytes: number): void
  /** `count` undefined: nobody can count them. */
  onGap(member: Member, direction: "sent" | "received", count: number | undefined): void
  /** For `diagnose()` and the log. */
  onRefused(endpoint: string, outcome: Outcome, reason: string, peer: Introduction | undefined): void
  onTurnedAway(remote: string, reason: string, peer: Introduction): void
  /** For the event `error`. */
  fail(error: unknown): void
  /** Who decides whom to dial, and hears what came of it. */
  readonly finder: Pick<ReachOwner, "allowed" | "onFailure"> & Pick<GossipOwner, "onRecord">
  readonly clash: Twins
  readonly crowd: Crowding
  /** Things that were skipped: of a later version of the protocol, or nonsense. */
  onUnknown(count: number): void
  /** Nothing is being dialled any more. */
  onIdle(): void
}
