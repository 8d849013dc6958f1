/** What `Mesh.join` takes: options, the environment, defaults; code wins. */
import { systemClock, type Clock } from "../clock.ts"
import type { Place } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Discovery, PayloadCodec, Platform, LogLevel } from "./contract.ts"
import { LEAST_MAX } from "./batches.ts"
import { ENDPOINT } from "./introduction.ts"
import { msgpack } from "./msgpack.ts"
import { checkNames, namesOf, whole } from "./option-checks.ts"

/** The options of `Mesh.join`. Every one has a default. */
export interface MeshOptions {
  /** Shown to others, never an identity. Default: host name and process id; `EARSHOT_NAME`. */
  readonly name?: string | undefined
  /** Only members of one network see each other. Default "default"; `EARSHOT_NETWORK`. */
  readonly network?: string | undefined
  /** Other hosts may reach us, and we them, without any proof. Default false: this host only. */
  readonly open?: boolean | undefined
  /** Endpoints or places to listen at; `[]` makes a leaf. Default on Node `tcp://*:0`, in a browser none; `EARSHOT_LISTEN`, separated by commas. */
  readonly listen?: readonly (string | Place)[] | undefined
  /** Replaces what is announced for the schemes it names. `EARSHOT_ADVERTISE`. */
  readonly advertise?: readonly string[] | undefined
  /** Default on Node: mDNS, and `EARSHOT_SEEDS` and `EARSHOT_DNS` (`name:port`) where they are set. */
  readonly discovery?: readonly Discovery[] | undefined
  /** What others see as `member.meta`: a copy; `setMeta` changes it. Default {}. */
  readonly meta?: Readonly<Record<string, unknown>> | undefined
  /** A file that keeps identity and last good addresses. Default: none is written; `EARSHOT_STATE`. */
  readonly state?: string | undefined
  /**
   * Links with members that listen. Who would be one too many joins as a leaf of one of them (event `denied`, `crowded` in
   * `health()`), and is a full member again when there is room. Give all the same. Default 128.
   */
  readonly maxLinks?: number | undefined
  /**
   * Leaves that this member carries: pages, and members that listen nowhere. One too many is told of another member that has room,
   * where there is one (`denied`, at the leaf). Give all the same. Default 1,024.
   */
  readonly maxLeaves?: number | undefined
  /** ms until publishing begins at the latest. Default 1,000. */
  readonly settle?: number | undefined
  /** Payloads of what is published here. Default `msgpack`. */
  readonly codec?: PayloadCodec | undefined
  /** Further codecs, for what others publish. */
  readonly codecs?: readonly PayloadCodec[] | undefined
  /** Keep what a lost member would have got, for when it is back. Default true. */
  readonly replay?: boolean | undefined
  /**
   * On Node, Bun and Deno: what a handler of `serve` asks by `mesh.request` has no more time than its own asker, ends with it,
   * and carries its trace, by itself (AsyncLocalStorage). Default true; without, only `call.request` and `call.publish` do.
   */
  readonly context?: boolean | undefined
  /** Answer questions about ourselves under `$EARSHOT.`. Default true. */
  readonly observe?: boolean | undefined
  /** Bytes of the largest message taken, from 65,536. Default 16 MiB. */
  readonly maxMessageSize?: number | undefined
  /**
   * µs after each message in which a link looks for the next one without going to sleep, 0 to 1,000,000: round trips take a fraction of
   * the time, for a busy core meanwhile. For programs with a core each; all slow down where they share one. Default 0: off.
   */
  readonly busyPoll?: number | undefined
  /** All time and randomness. Default: the platform's. */
  readonly clock?: Clock | undefined
}

/** Complete and checked. */
export interface MeshSettings {
  readonly name: string
  readonly network: string
  readonly open: boolean
  readonly listen: readonly (string | Place)[]
  readonly advertise: readonly string[]
  readonly discovery: readonly Discovery[]
  readonly meta: Readonly<Record<string, unknown>>
  readonly state: string | undefined
  readonly maxLinks: number
  readonly maxLeaves: number
  readonly settle: number
  readonly codec: PayloadCodec
  readonly codecs: readonly PayloadCodec[]
  readonly replay: boolean
  readonly context: boolean
  readonly observe: boolean
  readonly maxMessageSize: number
  readonly busyPoll: number
  readonly clock: Clock
  /** What is printed on stderr. */
  readonly log: LogLevel | undefined
}

const MiB = 1024 * 1024
const KNOWN = namesOf<MeshOptions>({
  name: true,
  network: true,
  open: true,
  listen: true,
  advertise: true,
  discovery: true,
  meta: true,
  state: true,
  maxLinks: true,
  maxLeaves: true,
  settle: true,
  codec: true,
  codecs: true,
  replay: true,
  context: true,
  observe: true,
  maxMessageSize: true,
  busyPoll: true,
  clock: true,
})
/** Of a later version: saying nothing would be taken for protection. */
const LATER: ReadonlySet<string> = new Set(
  "secret identity allow auth authenticate permissions will signals keep".split(" "),
)

/** Throws EINVAL for what can never work. */
export function readOptions(options: MeshOptions, platform: Platform): MeshSettings {
  for (const name in options)
    if (LATER.has(name)) throw new EarshotError("EINVAL", `${name} is not there yet: this version has no such option`)
  checkNames(options, KNOWN, "a mesh")
  const given = platform.environment()
  const name = options.name ?? given.name
  const network = options.network ?? given.network ?? "default"
  for (const [what, value] of Object.entries({ name, network }))
    if (typeof value !== "string" || value === "" || value.length > 256)
      throw new EarshotError("EINVAL", `${what} must be a string of 1 to 256 characters`)
  for (const flag of ["open", "replay", "context", "observe"] as const)
    if (typeof (options[flag] ?? true) !== "boolean") throw new EarshotError("EINVAL", `${flag} is true or false`)
  for (const list of ["listen", "advertise", "discovery", "codecs"] as const)
    if (!Array.isArray(options[list] ?? [])) throw new EarshotError("EINVAL", `${list} is an array`)
  return {
    name,
    network,
    open: options.open ?? false,
    listen: options.listen ?? given.listen,
    advertise: checkAdvertised(options.advertise ?? given.advertise ?? []),
    discovery: checkDiscovery(options.discovery ?? given.discovery()),
    meta: checkMeta(options.meta ?? {}),
    state: checkState(options.state ?? given.state),
    maxLinks: whole("maxLinks", options.maxLinks ?? 128, 1),
    maxLeaves: whole("maxLeaves", options.maxLeaves ?? 1024, 0),
    settle: whole("settle", options.settle ?? 1000, 0),
    codec: options.codec ?? msgpack,
    codecs: options.codecs ?? [],
    replay: options.replay ?? true,
    context: options.context ?? true,
    observe: options.observe ?? true,
    maxMessageSize: whole("maxMessageSize", options.maxMessageSize ?? 16 * MiB, LEAST_MAX),
    busyPoll: whole("busyPoll", options.busyPoll ?? 0, 0),
    clock: options.clock ?? systemClock,
    log: given.log,
  }
}

/** What others may see must be small, and MessagePack. Returns a copy, as they see it: the user may go on with the original. */
export function checkMeta(meta: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  if (typeof meta !== "object" || (meta as unknown) === null || Array.isArray(meta))
    throw new EarshotError("EINVAL", "meta must be an object")
  let bytes: Uint8Array
  try {
    bytes = msgpack.encode(meta)
  } catch (error) {
    throw new EarshotError("EINVAL", `meta can't travel: ${(error as Error).message}`, error)
  }
  if (bytes.length > 8192) throw new EarshotError("EINVAL", `meta takes ${bytes.length} bytes, more than 8 KiB`)
  return msgpack.decode(bytes) as Readonly<Record<string, unknown>>
}

function checkAdvertised(endpoints: readonly string[]): readonly string[] {
  for (const each of endpoints)
    if (typeof each !== "string" || !ENDPOINT.test(each))
      throw new EarshotError("EINVAL", `an endpoint to advertise is scheme://address, not ${JSON.stringify(each)}`)
  return endpoints
}

function checkDiscovery(all: readonly Discovery[]): readonly Discovery[] {
  for (const each of all as readonly (Partial<Discovery> | null | undefined)[])
    if (typeof each?.start !== "function" || typeof each.stop !== "function")
      throw new EarshotError("EINVAL", "a discovery has start and stop: mdns(), seeds(…), dns(…)")
  return all
}

/** An empty variable is none. */
function checkState(path: string | undefined): string | undefined {
  if (path !== undefined && typeof path !== "string") throw new EarshotError("EINVAL", "state is the path of a file")
  return path === "" ? undefined : path
}
