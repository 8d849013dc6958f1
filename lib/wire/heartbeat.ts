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
  ping(timeToLive: number): void
  /** The verdict. */
  dead(error: EarshotError): void
}

/** A timer so much later than asked for tells of a stopped process. */
const LATE = 1000
/** What a link in the middle of a frame must bring per timeout. */
const TRICKLE = 1024

export class Heartbeat {
  /** When the last byte came, by the clock's `now`. */
  lastHeard: number
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
  /** Where the frame in progress stood, and when. */
  private mark = { at: 0, bytes: 0 }
  /** After a late timer: no verdict before this time. */
  private grace = 0

  constructor(clock: Clock, link: HeartbeatLink, options: HeartbeatOptions) {
    this.clock = clock
    this.link = link
    this.options = options
    this.lastHeard = clock.now()
    this.mark.at = this.lastHeard
    if (options.interval > 0) this.nextPing = this.lastHeard + options.interval
    this.arm()
  }

  heard(bytes: number): void {
    this.lastHeard = this.clock.now()
    this.bytes += bytes
    this.unanswered = undefined
  }

  /** The peer's PING said how long it may be silent before it counts as gone; 0 takes that back. */
  ask(timeToLive: number): void {
    if (this.asked === timeToLive) return
    this.asked = timeToLive
    this.arm()
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = undefined
    this.nextPing = Infinity
    this.asked = 0
  }

  private arm(): void {
    this.timer?.cancel()
    const due = Math.max(this.grace, Math.min(this.nextPing, this.verdictDue()))
    this.due = due
    if (due === Infinity) return
    this.timer = this.clock.timeout(() => this.tick(), Math.max(1, due - this.clock.now()))
  }

  private verdictDue(): number {
    const { interval, timeout } = this.options
    const byTimeToLive = this.asked > 0 ? this.lastHeard + this.asked : Infinity
    if (timeout === 0 || this.unanswered === undefined) return byTimeToLive
    return Math.min(byTimeToLive, timeout > interval ? this.lastHeard + timeout : this.unanswered + timeout)
  }

  private tick(): void {
    const now = this.clock.now()
    if (now - this.due > LATE && this.grace < now) this.grace = now + Math.min(LATE, this.options.timeout || LATE) / 2
    if (this.link.paused) {
      this.lastHeard = now
      this.unanswered = undefined
    }
    if (now >= this.nextPing) {
      this.nextPing = now + this.options.interval
      this.unanswered ??= now
      this.link.ping(this.options.timeToLive)
      if (this.timer === undefined) return
    }
    const error = now >= this.grace ? this.verdict(now) : undefined
    if (error === undefined) return this.arm()
    this.stop()
    this.link.dead(error)
  }

  private verdict(now: number): EarshotError | undefined {
    const { timeout } = this.options
    if (now >= this.verdictDue())
      return new EarshotError("ETIMEDOUT", `nothing heard for ${Math.round(now - this.lastHeard)} ms`)
    if (timeout === 0) return undefined
    if (!this.link.partial || this.link.paused || this.bytes - this.mark.bytes >= TRICKLE) this.mark = { at: now, bytes: this.bytes }
    else if (now - this.mark.at >= timeout) return new EarshotError("ETIMEDOUT", `a frame came too slowly`)
    return undefined
  }
}
