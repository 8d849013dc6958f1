/**
 * The first frame of everything that travels on a link: its kind, its flags, and a few fixed fields. PROTOCOL.md is the
 * specification; a number here never changes its meaning.
 */
import { EMPTY, View, allocate, decodeText, encodeText } from "../bytes.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"

/** The version this code speaks. The same major always links. */
export const MAJOR = 1
export const MINOR = 0

export const Kind = {
  // Before a link is welcome.
  ASK: 1,
  HELLO: 2,
  WELCOME: 3,
  REFUSE: 4,
  // Who wants what.
  INTEREST: 8,
  BARRIER: 9,
  DIGEST: 10,
  RESEND: 11,
  DENIED: 12,
  SAMPLE: 13,
  // Traffic. BRIEF, PUBLISH, REPLY and RETURN are counted, acknowledged and replayed.
  BRIEF: 14,
  PUBLISH: 16,
  REPLY: 17,
  REQUEST: 18,
  ACCEPT: 19,
  CANCEL: 20,
  CONFIRM: 21,
  LOAD: 22,
  TAKEN: 23,
  GAP: 24,
  SYNC: 25,
  SYNCED: 26,
  RETURN: 27,
  SAMPLED: 30,
  // The mesh about itself.
  CENSUS: 32,
  MEMBERS: 33,
  RECORDS: 34,
  UPDATE: 35,
  DRAINING: 36,
  GOODBYE: 37,
  SUSPECT: 38,
} as const

/** Of PUBLISH: for subscribers that are in no queue group. */
export const PLAIN = 1
/** Of PUBLISH: for the queue groups that the head names. */
export const GROUPS = 2
/** Of PUBLISH: the head has a number, to be answered with CONFIRM. */
export const CONFIRMED = 4
/** Of PUBLISH: a copy of a request, for those who don't answer. */
export const COPY = 8
/** Of REPLY: the content is an error. */
export const FAILED = 1
/** Of REPLY to a REQUEST with MANY: another one follows. */
export const PART = 2
/** Of REPLY to a REQUEST with MANY: that was all; nothing is behind the head. */
export const LAST = 4
/** Of REQUEST: the head names a queue group. */
export const GROUP = 1
/** Of REQUEST: all that are in no group are to answer; for who carries leaves, or is our carrier. */
export const MANY = 8
/** Of REQUEST: the head names the member that is to answer; for who carries leaves, or is our carrier. */
export const TO = 4
/** Of INTEREST: a whole table begins, and takes the place of the one before at the BARRIER. */
export const RESET = 1
/** Of LOAD: no room in that group; without it, room again. */
export const FULL = 1
/** Of SAMPLE: no more of it. */
export const END = 1
/** Of MEMBERS: the other is to send its own list in return. */
export const ANSWER = 1

/** Every flag that this version knows, by the name of its kind. */
export const FLAGS: Partial<Record<keyof typeof Kind, Readonly<Record<string, number>>>> = {
  PUBLISH: { PLAIN, GROUPS, CONFIRMED, COPY },
  REPLY: { FAILED, PART, LAST },
  REQUEST: { GROUP, TO, MANY },
  INTEREST: { RESET },
  LOAD: { FULL },
  MEMBERS: { ANSWER },
  SAMPLE: { END },
}

/** By kind: the flags that this version doesn't know. None for a kind that it doesn't know either. */
const STRANGE = new Uint8Array(256)
for (const [name, kind] of Object.entries(Kind))
  STRANGE[kind] = ~Object.values(FLAGS[name as keyof typeof Kind] ?? {}).reduce((all, flag) => all | flag, 0)

/** Has it flags of a later version? They are skipped, and counted. */
export const hasStrangeFlags = (head: Uint8Array): boolean => (head[1]! & STRANGE[head[0]!]!) !== 0

/** Longest name of a queue group, in bytes. */
export const MAX_GROUP = 255

export const counted = (kind: number): boolean =>
  kind === Kind.BRIEF || kind === Kind.PUBLISH || kind === Kind.REPLY || kind === Kind.RETURN

/** A head without fields. */
export function bare(kind: number, flags = 0): Uint8Array {
  const head = allocate(2)
  head[0] = kind
  head[1] = flags
  return head
}

/** A head with one number, as ACCEPT, CANCEL, CONFIRM, TAKEN, GAP, SYNC and SYNCED have. */
export function numbered(kind: number, flags: number, number: number): Uint8Array {
  const head = allocate(6)
  head[0] = kind
  head[1] = flags
  writeNumber(head, 2, number)
  return head
}

/** For subscribers that are in no queue group: the most frequent of all heads. */
export const PLAIN_HEAD: Uint8Array = bare(Kind.PUBLISH, PLAIN)
/** Bytes of the head of a BRIEF, behind which the content stands in the same frame. */
export const BRIEF_HEAD = 2

/** Makes of the frames of a content, with BRIEF_HEAD bytes free in front, a message to those who want its subject and are in no group. */
export function brief(frames: Uint8Array[]): Message {
  const first = frames[0]!
  first[0] = Kind.BRIEF
  first[1] = 0
  return frames
}

/** The same as a PUBLISH with PLAIN. */
export function spelledOut([first, ...rest]: Message): Message {
  const { buffer, byteOffset, length } = first!
  return [PLAIN_HEAD, new View(buffer, byteOffset + BRIEF_HEAD, length - BRIEF_HEAD), ...rest]
}

/** For those who watch requests go by. */
export const COPY_HEAD: Uint8Array = bare(Kind.PUBLISH, PLAIN | COPY)

/** Of a PUBLISH: `groups`, at most 65,535, were picked for this member; `confirm` is what it is to answer with, 0 for nothing. */
export function publishHead(plain: boolean, groups: readonly string[], confirm: number): Uint8Array {
  const names = groups.map(groupName)
  const size =
    2 + (confirm > 0 ? 4 : 0) + (names.length > 0 ? names.reduce((sum, { length }) => sum + 1 + length, 2) : 0)
  const head = allocate(size)
  head[0] = Kind.PUBLISH
  head[1] = (plain ? PLAIN : 0) | (names.length > 0 ? GROUPS : 0) | (confirm > 0 ? CONFIRMED : 0)
  let at = 2
  if (confirm > 0) {
    writeNumber(head, at, confirm)
    at += 4
  }
  if (names.length > 0) {
    head[at++] = names.length >>> 8
    head[at++] = names.length
    for (const name of names) at = writeName(head, at, name)
  }
  return head
}

/** `timeout`: ms that are left, 0 for no limit. `group`: undefined for a server that is in none. `to`: nobody else is to answer. */
export function requestHead(id: number, timeout: number, group?: string, to?: string, many?: boolean): Uint8Array {
  const name = group === undefined ? EMPTY : groupName(group)
  const target = to === undefined ? EMPTY : encodeText(to)
  const end = 10 + (group === undefined ? 0 : 1 + name.length)
  const head = allocate(end + (to === undefined ? 0 : 1 + target.length))
  head[0] = Kind.REQUEST
  head[1] = (group === undefined ? 0 : GROUP) | (to === undefined ? 0 : TO) | (many === true ? MANY : 0)
  writeNumber(head, 2, id)
  writeNumber(head, 6, Math.min(0xffff_ffff, Math.ceil(timeout)))
  if (group !== undefined) writeName(head, 10, name)
  if (to !== undefined) writeName(head, end, target)
  return head
}

/** Who is to answer a REQUEST. */
export interface RequestFields {
  readonly group: string | undefined
  readonly to: string | undefined
  readonly many: boolean
}

export function requestOf(head: Uint8Array): RequestFields {
  const flags = head[1]!
  const group = flags & GROUP ? nameAt(head, 10) : undefined
  const to = flags & TO ? nameAt(head, flags & GROUP ? 11 + head[10]! : 10) : undefined
  return { group, to, many: (flags & (GROUP | TO | MANY)) === MANY }
}

/** Of a SAMPLED: `skipped` messages were left out since the one before. */
export function sampledHead(id: number, skipped: number): Uint8Array {
  const head = allocate(10)
  head[0] = Kind.SAMPLED
  head[1] = 0
  writeNumber(head, 2, id)
  writeNumber(head, 6, Math.min(skipped, 0xffff_ffff))
  return head
}

/** LOAD and RETURN. */
export function groupHead(kind: number, flags: number, group: string): Uint8Array {
  const name = groupName(group)
  const head = allocate(3 + name.length)
  head[0] = kind
  head[1] = flags
  writeName(head, 2, name)
  return head
}

/** The number behind the first two bytes. Throws EPROTO where there is none. */
export function numberAt(head: Uint8Array, at: number): number {
  if (head.length < at + 4) throw malformed()
  return ((head[at]! << 24) | (head[at + 1]! << 16) | (head[at + 2]! << 8) | head[at + 3]!) >>> 0
}

/** The name at `at`. */
export function nameAt(head: Uint8Array, at: number): string {
  const end = at + 1 + (head[at] ?? 0)
  if (at >= head.length || end > head.length) throw malformed()
  return decodeText(head.subarray(at + 1, end))
}

/** What the takers of a PUBLISH are to answer with; 0 for nothing. */
export const confirmOf = (head: Uint8Array): number => (head[1]! & CONFIRMED ? numberAt(head, 2) : 0)

/** The groups of a PUBLISH. */
export function groupsOf(head: Uint8Array): string[] {
  let at = 2 + (head[1]! & CONFIRMED ? 4 : 0)
  if (head.length < at + 2) throw malformed()
  const groups: string[] = []
  let left = (head[at]! << 8) | head[at + 1]!
  for (at += 2; left > 0; left--) {
    groups.push(nameAt(head, at))
    at += 1 + head[at]!
  }
  return groups
}

function groupName(group: string): Uint8Array {
  const name = encodeText(group)
  if (name.length > MAX_GROUP) throw new EarshotError("EINVAL", "the name of a queue group is over 255 bytes")
  return name
}

function writeName(head: Uint8Array, at: number, name: Uint8Array): number {
  head[at] = name.length
  head.set(name, at + 1)
  return at + 1 + name.length
}

function writeNumber(head: Uint8Array, at: number, number: number): void {
  head[at] = number >>> 24
  head[at + 1] = number >>> 16
  head[at + 2] = number >>> 8
  head[at + 3] = number
}

function malformed(): EarshotError {
  return new EarshotError("EPROTO", "the head of a mesh message is too short")
}
