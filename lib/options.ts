/**
 * Every socket option: name, default, unit and what it accepts, in one table. Names are zeromq.js's where it has one.
 * Options can be given to the constructor and set as properties; a change concerns endpoints and peers made after it.
 */
import type { Clock } from "./clock.ts"
import { encodeText } from "./bytes.ts"
import type { Metadata, SocketType } from "./contract.ts"
import { EarshotError } from "./errors.ts"

/** Options of every socket. */
export interface SocketOptions {
  /** ms that `close()` and `disconnect()` wait for unsent messages; 0 = not at all, -1 = for ever. Default 30,000. */
  linger: number
  /** ms before the first attempt to dial again, to which up to as much is added at random; -1 = never dial again. Default 100. */
  reconnectInterval: number
  /** ms up to which the interval doubles with each failure; 0 = it doesn't. Default 0. */
  reconnectMaxInterval: number
  /** ms an attempt to connect may take; 0 = as long as the system tries. Default 30,000. */
  connectTimeout: number
  /** ms from a connection to the end of its handshake. Default 10,000. */
  handshakeInterval: number
  /** ms between PINGs; 0 = none; -1 = Earshot's own rule: 10 s, only towards Earshot peers. Default -1. */
  heartbeatInterval: number
  /** ms of silence after which a peer is given up; 0 = never; -1 = as `heartbeatInterval`, or 30 s by Earshot's own rule. Default -1. */
  heartbeatTimeout: number
  /** ms of silence after which a peer shall give us up (over 65,500 is as good as that); 0 = it isn't asked to. Default 0. */
  heartbeatTimeToLive: number
  /** Bytes of the largest message taken, all frames together; larger ones end the connection. -1 = no limit. Default 128 MiB. */
  maxMessageSize: number
  /** Frames a message may have. Default 65,536. */
  maxMessageParts: number
  /** Connections the system may hold before they are accepted. Default 511. */
  backlog: number
  /** Idle ms before TCP probes a silent connection; 0 = off, -1 = as the system is set. Default 15,000. */
  tcpKeepalive: number
  /** Inbound connections of one listener whose handshake is not done. Default 256. */
  maxHandshakes: number
  /** Operations of one kind that may wait. Default 65,536. */
  maxPending: number
  /**
   * µs after each message in which the program looks for the next one without going to sleep: round trips take a fraction of
   * the time, for a busy core meanwhile. For programs with a core each: where they share one it makes all of them slower. 0 = off. Default 0.
   */
  busyPoll: number
  /** Send only to peers that are connected now, so that nothing is queued for one that isn't there. Default false. */
  immediate: boolean
  /**
   * Gives the token that shows who we are, at most 4 KiB; asked before every attempt to connect, with the reason. Sent inside
   * the handshake, and only where nobody else can read it: over TLS, on this machine, or with `insecureAuth`. Default none.
   */
  auth: Auth | undefined
  /** Send the token of `auth` over connections that others can read, too. Default false. */
  insecureAuth: boolean
  /**
   * Judges every peer that a listener of this socket takes, before that hears more of us than a greeting. False: it
   * is refused. What this throws, and no word within `handshakeInterval`, only ends the connection, and the peer tries again.
   * Without it all may come in. Default none.
   */
  authenticate: Authenticate | undefined
  /** Time, scheduling and randomness. Default: the platform's. Only given to the constructor. */
  clock: Clock
}

/** Why `auth` is asked: a first connection, another one, or because the last token was refused. */
export interface AuthAttempt {
  /** The first attempt, one after a loss, or once more at once because the last token was refused. */
  readonly reason: "connect" | "reconnect" | "refused"
  /** The endpoint to be connected to. */
  readonly address: string
}
/** Option `auth`. */
export type Auth = (attempt: AuthAttempt) => string | Uint8Array | Promise<string | Uint8Array>

/** A peer that wants to come in. */
export interface AuthRequest {
  /** What its `auth` gave, as text; undefined for one that has none. */
  readonly token: string | undefined
  /** Where it comes from, as an endpoint. */
  readonly remote: string
  /** Undefined for a peer that does not say (bare ZWS 2.0). */
  readonly type: SocketType | undefined
  /** As announced; empty: none. */
  readonly routingId: Uint8Array
  /** The properties it announced, by name; the token is not among them. */
  readonly metadata: Metadata
  /** Who the transport has proven it to be: over `libp2p`, its peer id. It is `peer.userId`, unless the verdict says otherwise. */
  readonly userId: string | undefined
  /** What the transport knows of it: over `ws`, the HTTP request of its upgrade. */
  readonly request: unknown
}
/** Who it is: `peer.userId` from then on. */
export interface AuthVerdict {
  /** As `peer.userId`. Default: whom the transport has proven it to be. */
  readonly userId?: string | undefined
}
/** Option `authenticate`. */
export type Authenticate = (peer: AuthRequest) => AuthVerdict | boolean | Promise<AuthVerdict | boolean>

/** Options of sockets that send. */
export interface SendOptions {
  /** Messages that may wait for one peer; 0 = no limit. Default 1,000. */
  sendHighWaterMark: number
  /** Bytes that may wait for one peer (an empty queue takes one larger message); 0 = no limit. Default 64 MiB. */
  sendHighWaterMarkBytes: number
  /** ms that `send` waits for room; 0 = not at all, -1 = for ever. Default -1. */
  sendTimeout: number
}

/** Options of sockets that receive. */
export interface ReceiveOptions {
  /** Messages of one peer that may wait for the user; 0 = no limit. Default 1,000. */
  receiveHighWaterMark: number
  /** Bytes of one peer that may wait for the user (an empty queue takes one larger message); 0 = no limit. Default 64 MiB. */
  receiveHighWaterMarkBytes: number
  /** ms that `receive` waits; 0 = not at all, -1 = for ever. Default -1. */
  receiveTimeout: number
}

/** Options of single socket types. Each class says which it has. */
export interface PatternOptions {
  /** The name this socket announces to its peers, 1 to 255 bytes, the first not zero; empty = none. Default: none. */
  routingId: Uint8Array | string
  /** Keep only the newest message of each queue. For messages of one frame. Default false. */
  conflate: boolean
  /** Throw EHOSTUNREACH for an unknown peer, and wait for a full one, instead of dropping. Default false. */
  mandatory: boolean
  /** A new peer takes over the routing id of an old one. Default false. */
  handover: boolean
  /** Send one empty message to each new peer, so that a Router knows of us. Default false. */
  probeRouter: boolean
  /** Put an id before each request and drop replies with another. Default false. */
  correlate: boolean
  /** A new request may be sent before the old one is answered. Default false. */
  relaxed: boolean
  /** Wait, instead of dropping, while any matching subscriber is full. Default false. */
  noDrop: boolean
  /** Subscriptions only concern the user, who calls `subscribe` for the peer whose message was received last. Default false. */
  manual: boolean
  /** Which subscription messages `receive()` gives: "new" first and last of a topic, "subscriptions" all subscribes, "all" all of both. Default "new". */
  verbosity: "new" | "subscriptions" | "all"
  /** Sent to each new subscriber. Default: none. */
  welcomeMessage: Uint8Array | string
  /** Messages go to those whose subscriptions do not match. On both sides. Default false. */
  invertMatching: boolean
}

export type AllOptions = SocketOptions & SendOptions & ReceiveOptions & PatternOptions
export type OptionName = keyof AllOptions

type Rule = { standard: unknown; must: string; take: (value: unknown) => unknown }

/** `take` gives the value as it is kept, or undefined for one that must be otherwise; the `standard` one is always taken. */
const rule = (standard: unknown, must: string, take: (value: unknown) => unknown): Rule => ({ standard, must, take })
const integer = (standard: number, least: number, most: number = Number.MAX_SAFE_INTEGER): Rule =>
  rule(standard, `an integer from ${least} to ${most}`, (value) => {
    if (value === Infinity && least < 0) return -1
    return Number.isInteger(value) && (value as number) >= least && (value as number) <= most ? value : undefined
  })
const flag: Rule = rule(false, "true or false", (value) => (typeof value === "boolean" ? value : undefined))
const bytes = (what: string, fits: (bytes: Uint8Array) => boolean): Rule =>
  rule(new Uint8Array(0), what, (value) => {
    const given = typeof value === "string" ? encodeText(value) : value === null ? new Uint8Array(0) : value
    return given instanceof Uint8Array && fits(given) ? given : undefined
  })
const callback: Rule = rule(undefined, "a function", (value) => (typeof value === "function" ? value : undefined))
const MiB = 1024 * 1024

type Rules<Options> = { readonly [Name in keyof Options]: Rule }

const ofAll: Rules<Omit<SocketOptions, "clock">> = {
  linger: integer(30_000, -1),
  reconnectInterval: integer(100, -1),
  reconnectMaxInterval: integer(0, 0),
  connectTimeout: integer(30_000, 0),
  handshakeInterval: integer(10_000, 1),
  heartbeatInterval: integer(-1, -1),
  heartbeatTimeout: integer(-1, -1),
  heartbeatTimeToLive: integer(0, 0),
  maxMessageSize: integer(128 * MiB, -1),
  maxMessageParts: integer(65_536, 1),
  backlog: integer(511, 1),
  tcpKeepalive: integer(15_000, -1),
  maxHandshakes: integer(256, 1),
  maxPending: integer(65_536, 1),
  busyPoll: integer(0, 0, 1_000_000),
  immediate: flag,
  auth: callback,
  insecureAuth: flag,
  authenticate: callback,
}
const ofSenders: Rules<SendOptions> = {
  sendHighWaterMark: integer(1000, 0),
  sendHighWaterMarkBytes: integer(64 * MiB, 0),
  sendTimeout: integer(-1, -1),
}
const ofReceivers: Rules<ReceiveOptions> = {
  receiveHighWaterMark: integer(1000, 0),
  receiveHighWaterMarkBytes: integer(64 * MiB, 0),
  receiveTimeout: integer(-1, -1),
}
const ofSome: Rules<PatternOptions> = {
  routingId: bytes("a string or bytes, at most 255, the first not zero", (id) => id.length < 256 && id[0] !== 0),
  conflate: flag,
  mandatory: flag,
  handover: flag,
  probeRouter: flag,
  correlate: flag,
  relaxed: flag,
  noDrop: flag,
  manual: flag,
  verbosity: rule("new", `"new", "subscriptions" or "all"`, (value) =>
    value === "subscriptions" || value === "all" ? value : undefined,
  ),
  welcomeMessage: bytes("a string or bytes", () => true),
  invertMatching: flag,
}
const table: Rules<Omit<AllOptions, "clock">> = { ...ofAll, ...ofSenders, ...ofReceivers, ...ofSome }

export const socketOptions: readonly OptionName[] = namesOf(ofAll)
export const sendOptions: readonly OptionName[] = namesOf(ofSenders)
export const receiveOptions: readonly OptionName[] = namesOf(ofReceivers)

function namesOf(rules: object): readonly OptionName[] {
  return Object.keys(rules) as OptionName[]
}

/** The options as the library reads them: complete and checked. */
export type Settings = Omit<AllOptions, "clock" | "routingId" | "welcomeMessage"> & {
  routingId: Uint8Array
  welcomeMessage: Uint8Array
}

const standard: Record<string, unknown> = {}
for (const [name, rule] of Object.entries(table)) standard[name] = rule.standard

/** All at their defaults. What is set lies over them, so that a socket pays only for what it changes. */
export function standardSettings(): Settings {
  return Object.create(standard) as Settings
}

/** Sets one option of a socket, checked. */
export function setOption(settings: Settings, name: OptionName, value: unknown): void {
  if (!Object.hasOwn(table, name)) throw new EarshotError("EINVAL", `this socket has no option ${name}`)
  const { standard, must, take } = table[name as keyof typeof table]
  const taken = value === standard ? value : take(value)
  if (taken === undefined && value !== standard)
    throw new EarshotError("EINVAL", `${name} must be ${must}, not ${show(value)}`)
  ;(settings as Record<string, unknown>)[name] = taken
}

function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 100))
  return typeof value === "number" || typeof value === "boolean" ? String(value) : `a value of type ${typeof value}`
}
