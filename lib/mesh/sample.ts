/**
 * Samples: some of what is published and asked under a pattern, at a rate that the publishers keep to and what they leave out
 * counted, so that watching costs no more than it says. A sample is no subscription: no receipt and no NO_RESPONDERS
 * knows of it, nothing waits for it, and it gives way wherever a link is busy.
 */
import type { Clock } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import { signalOf } from "../waiters.ts"
import { decodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { Headers } from "./contract.ts"
import type { MemberInfo } from "./events.ts"
import { Feed } from "./feed.ts"
import { readMap } from "./introduction.ts"
import type { Member } from "./member.ts"
import { msgpack } from "./msgpack.ts"
import { checkNames, namesOf } from "./option-checks.ts"
import { SamplePassing, askSample, endSample } from "./sample-passing.ts"
import { checkPattern } from "./subject.ts"
import { SubjectTable } from "./subject-table.ts"
import type { Message } from "../contract.ts"
import { END, Kind, bare, numberAt, sampledHead } from "./wire.ts"

/** How a sample is taken. */
export interface SampleOptions {
  /** Messages a second, at most: from each publisher, and in all. 0.01 to 10,000; default 10. */
  readonly perSecond?: number | undefined
  /** Ends the loop, without an error. */
  readonly signal?: AbortSignal | undefined
}

const NAMES = namesOf<SampleOptions>({ perSecond: true, signal: true })

/** One message of a sample. */
export interface Sample<Data = any> {
  /** As published: never with wildcards. */
  readonly subject: string
  /** Undefined where nobody here has its codec, or its bytes are none of it. */
  readonly data: Data
  /** Names and values that came with it. */
  readonly headers: Headers
  /** Who published or asked; for what comes by way of a carrier: that one. */
  readonly from: MemberInfo
  /** This is a sample, not all there is. */
  readonly sampled: true
  /** Messages left out since the sample before, as far as the publishers have told. */
  readonly skipped: number
}

/** Samples that one member takes here, and all. */
const MOST_PROBES = 64
const MOST_IN_ALL = 4096
const LEAST_RATE = 0.01
const MOST_RATE = 10_000
/** Samples, and bytes, that wait to be read. */
const MOST = 1000
const MOST_BYTES = 8 * 1024 * 1024
const NONE: readonly Probe[] = []

/** So many a second, and a tenth of that at once. */
class Rate {
  private readonly clock: Clock
  private readonly perMs: number
  private readonly burst: number
  private level: number
  private at: number

  constructor(clock: Clock, perSecond: number) {
    this.clock = clock
    this.perMs = perSecond / 1000
    this.burst = Math.max(1, perSecond / 10)
    this.level = this.burst
    this.at = clock.now()
  }

  take(): boolean {
    const now = this.clock.now()
    this.level = Math.min(this.burst, this.level + (now - this.at) * this.perMs)
    this.at = now
    if (this.level < 1) return false
    this.level--
    return true
  }
}

/** A sample that somebody takes of what we publish; `member` undefined: we ourselves. */
interface Probe {
  readonly member: Member | undefined
  readonly id: number
  readonly pattern: string
  readonly rate: Rate
  /** Under which others are asked for it, too. */
  readonly number: number
  skipped: number
}

/** A sample that we take. */
interface Taking {
  readonly pattern: string
  readonly perSecond: number
  readonly feed: Feed<Sample>
  readonly rate: Rate
  readonly onEnd: () => void
  skipped: number
}

export class Sampling {
  /** Sent to those who sample us, and left out. */
  readonly tallies: { sent: number; skipped: number } = { sent: 0, skipped: 0 }
  private readonly context: Context
  private readonly probes = new SubjectTable<Probe, readonly Probe[]>((probes) => probes)
  private readonly byMember = new Map<Member | undefined, Map<number, Probe>>()
  private readonly takings = new Map<number, Taking>()
  private readonly passing: SamplePassing
  private last = 0

  constructor(context: Context) {
    this.context = context
    this.passing = new SamplePassing(context.links)
  }

  /** Somebody samples us: asked before each message. */
  get watched(): boolean {
    return this.probes.size > 0
  }

  // --- What we take ---

  /** Throws INVALID_SUBJECT, EINVAL, LIMIT; the loop throws LIMIT, too, when others began before it. */
  take(pattern: string, options: SampleOptions): AsyncIterable<Sample> {
    const { context, takings } = this
    checkNames(options, NAMES, "sample")
    const { perSecond = 10 } = options
    const signal = signalOf({ signal: options.signal })
    if (typeof perSecond !== "number" || !(perSecond >= LEAST_RATE && perSecond <= MOST_RATE))
      throw new EarshotError("EINVAL", `perSecond is a number from ${LEAST_RATE} to ${MOST_RATE}`)
    if (takings.size >= MOST_PROBES) throw tooMany()
    let id = 0
    const leave = (): void => this.leave(id)
    const feed = new Feed<Sample>(() => {
      if (id === 0) begin()
    }, leave)
    const begin = (): void => {
      if (context.closed || signal?.aborted === true) return feed.end()
      // Several may have been made before the first of them began.
      if (takings.size >= MOST_PROBES) return feed.fail(tooMany())
      id = ++this.last
      const rate = new Rate(context.clock, perSecond)
      const onEnd = (): void => signal?.removeEventListener("abort", leave)
      const taking: Taking = { pattern, perSecond, feed, rate, onEnd, skipped: 0 }
      takings.set(id, taking)
      context.clock.hold()
      signal?.addEventListener("abort", leave)
      this.add(undefined, id, pattern, perSecond)
      for (const member of context.links.linked) askSample(member, id, taking)
    }
    return feed
  }

  /** A link is new. */
  greet(member: Member): void {
    for (const [id, taking] of this.takings) askSample(member, id, taking)
    this.passing.greet(member)
  }

  onSampled(member: Member, message: Message): void {
    const head = message[0]!
    const [number, skipped] = [numberAt(head, 2), numberAt(head, 6)]
    // What is none ends the link of who sent it, and no other.
    const content = decodeContent(message, 1, member.reading)
    const taking = this.takings.get(number)
    if (taking === undefined) return this.passing.onSampled(number, message.slice(1), skipped)
    taking.skipped += skipped
    this.receive(taking, content, member)
  }

  close(): void {
    for (const id of [...this.takings.keys()]) this.leave(id)
  }

  private leave(id: number): void {
    const taking = this.takings.get(id)
    if (taking === undefined) return
    this.takings.delete(id)
    this.remove(undefined, id)
    for (const member of this.context.links.linked) endSample(member, id)
    taking.onEnd()
    taking.feed.end()
    this.context.clock.release()
  }

  private receive(taking: Taking, content: Content, from: MemberInfo): void {
    const { feed, skipped } = taking
    const size = content.raw.length
    if (!taking.rate.take() || feed.length >= MOST || (feed.length > 0 && feed.bytes + size > MOST_BYTES)) {
      taking.skipped++
      return
    }
    const { subject, data, headers } = content
    taking.skipped = 0
    feed.push({ subject, data, headers, from, sampled: true, skipped }, size)
  }

  // --- What others take of us ---

  onSample(member: Member, message: Message): void {
    const head = message[0]!
    const id = numberAt(head, 2)
    this.remove(member, id)
    if (head[1]! & END) return
    const { pattern, perSecond } = readMap(message[1])
    if (typeof pattern !== "string" || typeof perSecond !== "number" || !(perSecond >= LEAST_RATE)) return
    try {
      checkPattern(pattern)
    } catch {
      return
    }
    const { size = 0 } = this.byMember.get(member) ?? {}
    if (size >= MOST_PROBES || this.probes.size >= MOST_IN_ALL) {
      const denial = { what: "sample", count: 1, subject: pattern, reason: "it gives no more samples" }
      return void member.tell([bare(Kind.DENIED), msgpack.encode(denial)])
    }
    const rate = Math.min(perSecond, MOST_RATE)
    const probe = this.add(member, id, pattern, rate)
    const pass = (frames: readonly Uint8Array[], skipped: number): void => {
      probe.skipped += skipped
      if (isFree(probe) && probe.rate.take()) this.send([probe], frames)
      else this.skip(probe)
    }
    this.passing.begin(probe.number, { asker: member, pattern, perSecond: rate, pass })
  }

  onUnlinked(member: Member): void {
    for (const id of [...(this.byMember.get(member)?.keys() ?? [])]) this.remove(member, id)
  }

  /** Who gets this message; for the others it is counted. */
  choose(subject: string): readonly Probe[] {
    const probes = this.probes.lookup(subject)
    if (probes.length === 0) return NONE
    return probes.filter((probe) => {
      if (isFree(probe) && probe.rate.take()) return true
      this.skip(probe)
      return false
    })
  }

  send(probes: readonly Probe[], frames: readonly Uint8Array[]): void {
    for (const probe of probes) {
      const { member, id, skipped } = probe
      if (member === undefined) {
        const taking = this.takings.get(id)
        if (taking === undefined) continue
        taking.skipped += skipped
        const { clock, reading, self } = this.context
        clock.microtask(() => this.receive(taking, decodeContent(frames, 0, reading), self))
      } else if (!posted(member, [sampledHead(id, skipped), ...frames])) {
        this.skip(probe)
        continue
      }
      probe.skipped = 0
      this.tallies.sent++
    }
  }

  private skip(probe: Probe): void {
    probe.skipped++
    this.tallies.skipped++
  }

  private add(member: Member | undefined, id: number, pattern: string, perSecond: number): Probe {
    const rate = new Rate(this.context.clock, perSecond)
    const probe: Probe = { member, id, pattern, rate, number: member === undefined ? id : ++this.last, skipped: 0 }
    let known = this.byMember.get(member)
    if (known === undefined) this.byMember.set(member, (known = new Map()))
    known.set(id, probe)
    this.probes.add(pattern, probe)
    return probe
  }

  private remove(member: Member | undefined, id: number): void {
    const known = this.byMember.get(member)
    const probe = known?.get(id)
    if (probe === undefined) return
    known!.delete(id)
    if (known!.size === 0) this.byMember.delete(member)
    this.probes.remove(probe.pattern, probe)
    if (member !== undefined) this.passing.end(probe.number)
  }
}

/** A link that is busy has no room for what nobody needs. */
const isFree = ({ member }: Probe): boolean => member === undefined || member.pipe?.queued === 0

function tooMany(): EarshotError {
  return new EarshotError("LIMIT", `${MOST_PROBES} samples are taken already`)
}

/** Neither counted nor kept, and never beyond what the link or the member takes. */
function posted(member: Member, message: Message): boolean {
  try {
    return member.pipe?.send(message) === true
  } catch {
    return false
  }
}
