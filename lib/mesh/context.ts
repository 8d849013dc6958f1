/** What the parts of one mesh share. */
import type { Clock } from "../clock.ts"
import type { Asking } from "./asking.ts"
import type { Calls } from "./calls.ts"
import type { Codecs } from "./codecs.ts"
import type { ContentContext } from "./content.ts"
import type { MemberInfo, MeshDropReason } from "./events.ts"
import type { Groups } from "./groups.ts"
import type { OwnInterest } from "./interest.ts"
import type { Links } from "./links.ts"
import type { Local } from "./local.ts"
import type { Member } from "./member.ts"
import type { Outgoing } from "./outgoing.ts"
import type { Relay } from "./relay.ts"
import type { Routes } from "./routes.ts"
import type { Sampling } from "./sample.ts"
import type { Syncs } from "./syncs.ts"

export interface Context {
  readonly clock: Clock
  readonly links: Links
  readonly routes: Routes
  readonly interest: OwnInterest
  readonly local: Local
  readonly relay: Relay
  readonly groups: Groups
  readonly asking: Asking
  readonly outgoing: Outgoing
  readonly calls: Calls
  readonly sampling: Sampling
  readonly syncs: Syncs
  readonly codecs: Codecs
  /** For contents that we made ourselves. */
  readonly reading: ContentContext
  /** Ourselves, as subscribers see us. */
  readonly self: MemberInfo
  /** Members found at first are linked: until then what is sent waits. */
  readonly settled: boolean
  readonly closed: boolean
  /** The likeliest reason why nobody is there, for an error's message. */
  readonly hint: string | undefined
  /** Counts a loss and tells of it. */
  drop(reason: MeshDropReason, count: number, bytes: number, where?: { member?: Member; subject?: string }): void
  /** Things that were skipped: of a later version of the protocol, or nonsense. */
  onUnknown(count: number): void
  /** Something that was under way may be the last: `drain` waits for that. */
  onLess(): void
  /** What went wrong behind the scenes. */
  fail(error: unknown, subject?: string): void
}
