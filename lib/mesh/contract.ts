/**
 * Every interface between two parts of the mesh, and nothing else: types only. Read it after ../contract.ts.
 *
 * The picture: `mesh.ts` is the user's object. Below it `links` (one live path to each member, with counts and replay),
 * `interest` (who wants which subjects), `routes` (subject -> members), `requests`, `subscriptions`; beside it `discovery`,
 * which reports addresses and decides nothing. PROTOCOL.md says what travels.
 */
import type { Clock } from "../clock.ts"
import type { Events } from "../events.ts"
import type { MeshEvents } from "./events.ts"
import type { Relay, RelayOwner } from "./relay.ts"

/** Names and values that travel with a message. Names keep their case and are compared exactly. */
export type Headers = Readonly<Record<string, string | readonly string[]>>

/**
 * Turns what users publish into bytes and back. `encode` throws for what it can't encode; `decode` throws for bytes that
 * are none of its own, and must be safe on hostile ones. Bytes given to `decode` are a view: keep no reference beyond the value's.
 */
export interface PayloadCodec {
  /** As it travels; `raw`, `msgpack`, `json` and `text` have numbers instead. At most 255 bytes. */
  readonly name: string
  encode(value: unknown): Uint8Array
  decode(bytes: Uint8Array): unknown
}

// ---------------------------------------------------------------------------------------------------------------
// Discovery: finds addresses, decides nothing.

/** Somewhere that a member may be. */
export interface Candidate {
  /** Endpoints to dial, the likeliest first, such as `tcp://10.0.0.5:4101`. */
  readonly endpoints: readonly string[]
  /** The member's id, where the source tells. A dial then expects it. */
  readonly id?: string | undefined
  /** The major version it speaks, where the source tells. */
  readonly version?: number | undefined
  /** `networkHash` of its network, where the source tells; others than ours are for `diagnose()` only. */
  readonly network?: string | undefined
  /** Endpoints that are not on-link or private were left out (multicast reports nothing else). */
  readonly onLink?: boolean | undefined
}

/** What a member shows of itself to discovery: nothing that names or describes it. */
export interface Announcement {
  /** 26 characters. */
  readonly id: string
  /** A hash of the network's name: 16 hex characters. */
  readonly network: string
  /** The protocol's major version. */
  readonly version: number
  /** Dialable endpoints: wildcards resolved. Empty for a leaf. May change: see `Discovery.announce`. */
  readonly endpoints: readonly string[]
  /** Other hosts may reach us: else announce and listen on loopback only. */
  readonly open: boolean
}

/** What a discovery may ask of its mesh. */
export interface DiscoveryHost {
  readonly clock: Clock
  /** As it is now. */
  readonly self: Announcement
  /** Members linked now. None: look harder; some: look less. */
  readonly linked: number
  /** Somebody may be there. Again and again is fine. */
  found(candidate: Candidate): void
  /** A hint that somebody went; the mesh's own links decide. */
  lost?(id: string): void
  /** For EARSHOT_LOG and `diagnose()`: what went wrong or was noticed, coalesced by `key`. */
  note(finding: Finding): void
}

/** Something that `diagnose()` may name. */
export interface Finding {
  /** Stable, machine-readable: "mdns-silent", "seed-unresolved", … */
  readonly key: string
  /** One sentence: what was seen. */
  readonly evidence: string
  /** One sentence: what to do. */
  readonly cure?: string | undefined
}

/** A way to find members: `mdns()`, `seeds()`, `dns()`, or anyone's own. One object serves one mesh. */
export interface Discovery {
  /** In logs and in `diagnose()`. */
  readonly name: string
  /**
   * Begins to look, and to announce where it does that. Resolves when the first round of answers is in (bounded: about a
   * second); a rejection is reported and fatal to nobody. Must hold no process alive.
   */
  start(host: DiscoveryHost): Promise<void>
  /** Look again now: a link was lost, the machine woke up. */
  nudge?(): void
  /** `host.self` has changed. */
  announce?(): void
  /** Says goodbye where it can, bounded to a second, and leaves nothing behind. */
  stop(): Promise<void>
}

// ---------------------------------------------------------------------------------------------------------------
// The platform: what the mesh needs of Node and has not in a browser. Given by the composition root.

export interface Platform {
  /** What options leave open. Throws EINVAL for a variable that this version can't obey. */
  environment(): Environment
  seeds(...endpoints: string[]): Discovery
  /** It leads to this host and no other, or is given by the page's own user: fit for a mesh that is not open. */
  isLocal(endpoint: string): boolean
  /** A bound endpoint, such as `tcp://0.0.0.0:4101`, as others can dial it, the best first. */
  addresses(endpoint: string, open: boolean): string[]
  /** An endpoint to listen at, for a mesh that is not open: `tcp://*:0` becomes `tcp://127.0.0.1:0`. */
  keepLocal(endpoint: string): string
  /** What passes through a member here. */
  relay(owner: RelayOwner): Relay
  /** Keeps identity, boot epoch and last good addresses at `path`. Rejects STATE_IN_USE. */
  openState?(path: string, clock: Clock): Promise<StateStore>
  /** Follows asynchronous work, where the platform can. */
  readonly ambient?: Ambient
  /** Such an endpoint, told by a member of itself or another, is dialled only if `advertise` named it: others may mean nothing here. */
  advertisedOnly?(endpoint: string): boolean
  /** Tells what becomes of the program, until what it returns is called. */
  watch?(fate: Fate): () => void
  /** One line for people: stderr, the console. */
  log(line: string): void
  /** The mesh's events as such lines. */
  logEvents?(events: Events<MeshEvents>, log: (level: LogLevel, text: string) => void): void
}

/** How a member is where its options don't say: by the variables EARSHOT_…, where there are any, and the platform's own ways. */
export interface Environment {
  /** `hostname-pid`, or something alike. */
  readonly name: string
  readonly network?: string | undefined
  /** Empty: it is a leaf. */
  readonly listen: readonly string[]
  readonly advertise?: readonly string[] | undefined
  discovery(): Discovery[]
  readonly state?: string | undefined
  /** What is printed. */
  readonly log?: LogLevel | undefined
}

/** `debug`: what may come often, too. */
export type LogLevel = "info" | "debug"

/** What may become of a program whose life is in other hands: a page's. */
export interface Fate {
  /** It is about to end for good, and nothing runs after this. */
  end(): void
  /** It may have slept, or its network been away. */
  wake(): void
}

/** Remembers a value for everything that a function sets going, through promises and timers (AsyncLocalStorage). */
export interface Ambient {
  /** Of the code that runs now. */
  readonly current: object | undefined
  run<Args extends unknown[], Result>(value: object | undefined, work: (...args: Args) => Result, ...args: Args): Result
}

/** A member's memory between runs. */
export interface StateStore {
  /** 26 characters, base32. */
  readonly id: string
  /** Grows by one with each run. */
  readonly epoch: number
  /** Where members were reached last time. */
  readonly addresses: readonly string[]
  /** What was odd when it was read, or when writing failed: for the `error` event. Set before use. */
  onProblem: ((error: Error) => void) | undefined
  /** To be written at the next opportunity (at most every 10 minutes, and at close). */
  remember(addresses: readonly string[]): void
  close(): Promise<void>
}
