/** The mesh's events, by name. */
import type { EarshotError } from "../errors.ts"
import type { EventNames } from "../events.ts"

/** Another member, as users see it. Live: reading a property again may give something else. */
export interface MemberInfo {
  /** 26 characters; unique for ever, or for the life of its process where it keeps no state. */
  readonly id: string
  /** What it calls itself; never an identity. */
  readonly name: string
  /** Where it listens; empty for a leaf. */
  readonly endpoints: readonly string[]
  /** What it says of itself (`meta` in `join`, `setMeta`). */
  readonly meta: Readonly<Record<string, unknown>>
  /** Who it has proven to be, where its link's transport proves anything: over libp2p its peer id. Undefined while there is no link. */
  readonly userId?: string | undefined
  /** ms of the last round trip; undefined before the first. */
  readonly rtt: number | undefined
  /** It listens nowhere and reaches the mesh through others. */
  readonly leaf: boolean
  /** How many leaves it carries. */
  readonly leaves: number
}

/** Every event of a mesh, by name. */
export interface MeshEvents {
  /** Somebody is linked. */
  join: { readonly member: MemberInfo }
  /** Somebody said goodbye, or was not heard of for 6 s. */
  leave: { readonly member: MemberInfo; readonly reason: "goodbye" | "lost" | "restarted" }
  /** Its name, meta or endpoints changed. */
  update: { readonly member: MemberInfo }
  /** A subscription's queue (subject: its pattern) or the link to a member is full, or has room again. */
  slow: { readonly subject?: string; readonly member?: MemberInfo; readonly full: boolean }
  /** Messages were dropped: the first at once, then at most every 100 ms for each cause, exact in sum. */
  drop: {
    readonly reason: MeshDropReason
    /** What they were about, or the pattern of the subscription that did not take them; undefined where a link did not. */
    readonly subject: string | undefined
    /** Who did not get them, or sent or handed on what is malformed or can't be decoded, where that is one member. */
    readonly member: MemberInfo | undefined
    readonly count: number
    readonly bytes: number
  }
  /** Messages between this member and us that are missing for good after a loss of the link; undefined: nobody can count them. */
  gap: {
    readonly member: MemberInfo
    readonly direction: "sent" | "received"
    readonly count: number | undefined
  }
  /**
   * Something was refused: a subscription or a sample beyond a limit, a link of another network, or one beyond `maxLinks` (then we are
   * a leaf instead) or `maxLeaves` (then another may carry us). The first at once, then at most one a second for each cause and member; `count` is exact in sum.
   */
  denied: {
    readonly what: "interest" | "sample" | "link"
    readonly subject?: string
    readonly member?: string
    readonly reason: string
    readonly count: number
  }
  /** Another living member has our id. */
  clash: { readonly id: string; readonly member: MemberInfo }
  /** What a handler threw, or what went wrong behind the scenes. Without a listener the first throw is printed, the rest only counted. */
  error: { readonly error: Error | EarshotError; readonly subject?: string }
}

/** Of `MeshEvents`. */
export const meshEvents: EventNames<MeshEvents> = {
  join: true,
  leave: true,
  update: true,
  slow: true,
  drop: true,
  gap: true,
  denied: true,
  clash: true,
  error: true,
}

/** Why a message was dropped. */
export type MeshDropReason =
  | "full" //        the link to the member, or the subscription's queue, was full
  | "conflated" //   replaced by a newer one of its subject, as asked
  | "too-large" //   over what the member takes
  | "early" //       more waited for the mesh to settle than may
  | "closed" //      the mesh or the subscription was closed with messages waiting, or on their way
  | "expired" //     its deadline had passed
  | "undecodable" // nobody here has its codec, or its bytes are none of it
  | "busy" //        every member of the queue group was full
  | "left" //        the member said goodbye before it had taken it
  | "alone" //       over pubsub: no connected node of the network was given it
  | "refused" //     over pubsub: the engine would not have it; the event "error" says why
  | "malformed" //   over pubsub: what a peer handed on was no message
