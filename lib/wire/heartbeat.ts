/**
 * Is the peer alive? PINGs (RFC 37, WIRE 1.6) and the verdict over silence, by the rules of "Alive or not":
 * any byte is life; a frame in progress must bring 1 KiB per timeout; who has stopped reading judges nobody; and a timer
 * that comes late (a stopped process, a blocked loop) lets the link be read before it judges.
 */
import type { Clock, Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"

export interface HeartbeatOptions {
  /** ms between PINGs; 0 = none. */
  interval: number
  /** ms of silence that end the link; 0 = never. */
  timeout: number
  /** ms after which the peer shall give us up; 0 = it isn't asked to. */
  timeToLive: number
}

export interface HeartbeatLink {
  /** We have stopped reading, so silence proves nothing. */
  readonly paused: boolean
  /** A frame has begun and is not complete. */
  readonly partial: boolean
  /** Bytes written that have not left: where these grow fewer, somebody takes them. */
  readonly unconfirmed: number
  ping(timeToLive: number): void
  /** The verdict. */
  dead(error: EarshotError): void
}

/** A timer so much later than asked for tells of a stopped process. */
const LATE = 1000
/** ms between signs of life while we don't read; less towards a peer that asks more often, down to FASTEST. */
const REST = 1000
const FASTEST = 50
/** What a link in the middle of a frame must bring per timeout. */
const TRICKLE = 1024

export class Heartbeat {
  /** When the last byte came, by the clock's `now`. */
  lastHeard: number
  /** From when on silence counts. */
  private since: number
  private readonly clock: Clock
  private readonly link: HeartbeatLink
  private readonly options: HeartbeatOptions
  private timer: Timer | undefined
  private due = 0
  private nextPing = Infinity
  /** The first PING since the last byte came. */
  private unanswered: number | undefined
  /** What the peer asked for with its PINGs, in ms. */
  private asked = 0
  private bytes = 0
  /** Where the frame in progress stood when it was first seen, or had last brought enough. */
  private mark: { readonly at: number; readonly bytes: number } | undefined
  /** A verdict was due: the link is being read once more. */
  private judging = false
  private doubts: Timer | undefined
  /** After a late timer: no verdict before this time. */
  private grace = 0
  private stopped = false
  private unconfirmed = 0
  /** ms between PINGs while we don't read. */
  private pace = REST
  private lastAsked = -Infinity

  constructor(clock: Clock, link: HeartbeatLink, options: HeartbeatOptions) {
    this.clock = clock
    this.link = link
    this.options = options
    this.lastHeard = this.since = clock.now()
    if (options.interval > 0) this.nextPing = this.since + options.interval
    this.arm()
  }

  heard(bytes: number): void {
    this.lastHeard = this.since = this.clock.now()
    this.bytes += bytes
    this.unanswered = undefined
    this.certain()
    // Complete when the chunk before this one was read: another one than that which was marked.
    if (this.mark !== undefined && !this.link.partial) this.mark = undefined
  }

  /** Silence until now proves nothing: we did not read, or the peer was busy taking what we write. */
  pardon(): void {
    this.since = this.clock.now()
    this.unanswered = undefined
  }

  /** The peer's PING said how long it may be silent before it counts as gone; 0 takes that back. */
  ask(timeToLive: number): void {
    const now = this.clock.now()
    const gap = now - this.lastAsked
    this.lastAsked = now
    // Shorter ones are PINGs that waited, and are read one after another.
    if (gap >= 2 * FASTEST) this.pace = Math.min(REST, gap / 2)
    if (this.asked === timeToLive) return
    this.asked = timeToLive
    this.arm()
  }

  /**
   * There is reason to think that the peer is gone: it is asked, and has `ms` to show that it isn't. Not while reading is
   * paused, when nothing could be heard.
   */
  doubt(ms: number): void {
    const { clock, link } = this
    if (this.stopped || link.paused || this.doubts !== undefined) return
    const { unconfirmed } = link
    // Timers go off before what has come in meanwhile is read.
    const doubts = (this.doubts = clock.timeout(() => clock.immediate(verdict), ms))
    const verdict = (): void => {
      if (this.doubts !== doubts) return
      this.doubts = undefined
      if (link.paused) return
      // A PING behind a message that takes long to leave can't be answered yet.
      if (link.unconfirmed < unconfirmed) return this.doubt(ms)
      this.stop()
      link.dead(new EarshotError("ETIMEDOUT", `nothing heard for ${ms} ms, being asked`))
    }
    link.ping(this.options.timeToLive)
  }

  private certain(): void {
    this.doubts?.cancel()
    this.doubts = undefined
  }

  /**
   * Reading pauses: the peer's PINGs will wait unanswered, so that ours must tell it that we live. Not a peer that may never
   * ask: when it has sent all it had and gone, as libzmq does, a PING would be answered by a reset, and what the system
   * still held of its messages would be lost (measured: 800 of 2,500).
   */
  rest(): void {
    if (this.options.interval === 0 && this.lastAsked === -Infinity) return
    const due = this.clock.now() + this.pace
    if (due >= this.nextPing) return
    this.nextPing = due
    this.arm()
  }

  stop(): void {
    this.timer?.cancel()
    this.certain()
    this.timer = undefined
    this.nextPing = Infinity
    this.asked = 0
    this.stopped = true
  }

  private arm(): void {
    this.timer?.cancel()
    if (this.judging) return
    const due = Math.max(this.grace, Math.min(this.nextPing, this.verdictDue()))
    this.due = due
    if (due === Infinity) return
    this.timer = this.clock.timeout(() => this.tick(), Math.max(1, due - this.clock.now()))
  }

  private verdictDue(): number {
    const { interval, timeout } = this.options
    const byTimeToLive = this.asked > 0 ? this.since + this.asked : Infinity
    if (timeout === 0 || this.unanswered === undefined) return byTimeToLive
    // However close the two are, a PING has an interval, or all of a shorter timeout, to be answered in.
    return Math.min(byTimeToLive, Math.max(this.since + timeout, this.unanswered + Math.min(timeout, interval)))
  }

  private tick(): void {
    const now = this.clock.now()
    if (now - this.due > LATE && this.grace < now) this.grace = now + Math.min(LATE, this.options.timeout || LATE) / 2
    const { unconfirmed } = this.link
    // A PING behind a message that takes long to leave can't be answered yet.
    if (this.link.paused || unconfirmed < this.unconfirmed) this.pardon()
    this.unconfirmed = unconfirmed
    if (now >= this.nextPing) this.ping(now)
    if (this.stopped) return
    if (now < this.grace || this.verdict(now) === undefined) return this.arm()
    // Timers go off before what has come in meanwhile is read.
    this.judging = true
    this.clock.immediate(this.judge)
  }

  private ping(now: number): void {
    const { interval, timeToLive } = this.options
    const { paused } = this.link
    this.nextPing = now + Math.min(interval || Infinity, paused ? this.pace : Infinity)
    if (!paused) {
      if (interval === 0) return
      this.unanswered ??= now
    }
    this.link.ping(timeToLive)
  }

  private readonly judge = (): void => {
    this.judging = false
    if (this.stopped) return
    const error = this.verdict(this.clock.now())
    if (error === undefined) return this.arm()
    this.stop()
    this.link.dead(error)
  }

  private verdict(now: number): EarshotError | undefined {
    const { timeout } = this.options
    if (now >= this.verdictDue())
      return new EarshotError("ETIMEDOUT", `nothing heard for ${Math.round(now - this.since)} ms`)
    if (timeout === 0) return undefined
    if (!this.link.partial || this.link.paused) this.mark = undefined
    else if (this.mark === undefined || this.bytes - this.mark.bytes >= TRICKLE)
      this.mark = { at: now, bytes: this.bytes }
    else if (now - this.mark.at >= timeout) return new EarshotError("ETIMEDOUT", "a frame came too slowly")
    return undefined
  }
}
