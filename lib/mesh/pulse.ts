/**
 * Who is alive. The side that dialled a link pings it, and a member starts at most five pings a second over all its links,
 * so that the interval stretches as the mesh grows; from then on both sides ping, each in an order of chance, so that
 * somebody asks each member every moment whoever dialled whom. Who gets no answer tells the others, who ask at once. So
 * the bound stays the same at every size. The pings are ZMTP's own (RFC 37), the verdict over a silent dialler is the
 * session's, by the time-to-live in them.
 */
import type { Clock, Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { Member } from "./member.ts"

/** ms between two pings of one link. */
export const INTERVAL = 2000
/** ms after which a silent member is gone. */
export const BOUND = 6000
/** ms between any two pings. */
const PACE = 200
/** ms after which an unanswered ping is told to the others. */
const SUSPICION = 2000
/** ms of further silence once others suspect it too. */
const CORROBORATED = 2000
/** A timer so much later than asked for tells of a stopped process: who was asked gets another chance. */
const LATE = 1000
/** ms between two measurements of the way to one who asks us, and whom we don't. */
const MEASURED_EVERY = 30_000

export interface PulseOwner {
  /** Linked members. */
  readonly linked: Iterable<Member>
  /** Asked, and silent so far: the others should know. */
  onSuspect(member: Member): void
}

/** A ping that is not answered yet. */
interface Asked {
  readonly timer: Timer
  /** When the link ends, if it stays so. */
  readonly ends: number
}

export class Pulse {
  private readonly clock: Clock
  private readonly owner: PulseOwner
  private timer: Timer | undefined
  private readonly asked = new Map<Member, Asked>()
  /** ms for which its session takes our silence for life, as our last ping has said. */
  private readonly told = new WeakMap<Member, number>()
  private line: Member[] = []
  private lap = 0
  private wokeAt = -Infinity
  private measuredAt: number

  constructor(clock: Clock, owner: PulseOwner) {
    this.clock = clock
    this.owner = owner
    this.measuredAt = clock.now()
  }

  start(): void {
    if (this.timer === undefined) this.arm(INTERVAL)
  }

  stop(): void {
    this.timer?.cancel()
    this.timer = undefined
    for (const { timer } of this.asked.values()) timer.cancel()
    this.asked.clear()
  }

  /** A link is new: who dialled asks at once, and the other side learns by that how long silence is life. */
  greet(member: Member): void {
    if (member.dialled) this.probe(member, BOUND - INTERVAL, true)
    else this.measure(member)
  }

  forget(member: Member): void {
    this.asked.get(member)?.timer.cancel()
    this.asked.delete(member)
  }

  /** Asks now, and ends the link after `patience` ms of silence. */
  probe(member: Member, patience: number = CORROBORATED, tell = false): void {
    const { clock } = this
    const session = member.pipe?.session
    if (session === undefined || !session.ready) return
    const since = clock.now()
    // Asked already: what is suspected by others, too, need not be waited for as long.
    if ((this.asked.get(member)?.ends ?? Infinity) <= since + patience) return
    this.forget(member)
    const { timeToLive } = this
    this.told.set(member, timeToLive)
    session.probe(
      patience,
      (_exact, answered) => {
        if (!answered) return
        member.rtt = clock.now() - since
        if (member.pipe?.session === session) this.forget(member)
      },
      timeToLive,
    )
    let told = !tell
    const heard = (): boolean => member.pipe?.session !== session || (session.lastHeard ?? 0) > since
    const look = (due: number): void => {
      const timer = clock.timeout(
        // What has come in meanwhile is read before anybody is judged.
        () => clock.immediate(() => judge(due)),
        due - clock.now(),
      )
      this.asked.set(member, { timer, ends: since + patience })
    }
    const judge = (due: number): void => {
      if (!this.asked.has(member) || member.pipe?.session !== session) return
      if (heard()) return void this.asked.delete(member)
      if (clock.now() - due > LATE) {
        this.asked.delete(member)
        return this.probe(member, patience, tell)
      }
      if (!told) {
        told = true
        this.owner.onSuspect(member)
        return look(since + patience)
      }
      this.asked.delete(member)
      session.end(new EarshotError("ETIMEDOUT", `no answer within ${Math.round(clock.now() - since)} ms`))
    }
    look(since + (told ? patience : Math.min(patience, SUSPICION)))
  }

  /** A ping that nobody is judged by: how long is the way to it? */
  private measure(member: Member): void {
    const session = member.pipe?.session
    const since = this.clock.now()
    session?.probe(BOUND, (_exact, answered) => {
      if (answered && member.pipe?.session === session) member.rtt = this.clock.now() - since
    })
  }

  /** ms of silence that others are to take for life: in laps of chance two pings of one link are less than two intervals apart. */
  private get timeToLive(): number {
    return Math.max(BOUND, 3 * this.interval)
  }

  /** The mesh has grown, and this one's turn comes later than it was told: without a word it would take us for dead. */
  private tell(member: Member): void {
    const { timeToLive } = this
    this.told.set(member, timeToLive)
    member.pipe?.session?.probe(BOUND, () => {}, timeToLive)
  }

  /** ms between two pings of one link, now. */
  get interval(): number {
    return Math.max(INTERVAL, PACE * this.lap)
  }

  private arm(ms: number): void {
    this.timer = this.clock.timeout(() => this.tick(), ms)
  }

  /** One of those whose turn it is in this lap. */
  private draw(): Member | undefined {
    const { line } = this
    const last = line.pop()
    const at = Math.floor(this.clock.random() * (line.length + 1))
    if (last === undefined || at === line.length) return last
    const drawn = line[at]
    line[at] = last
    return drawn
  }

  /** A page may sleep, and its browser answer for it: who is silent is asked by the transport's own means. */
  private wakeLeaves(): void {
    const now = this.clock.now()
    if (now - this.wokeAt < INTERVAL) return
    this.wokeAt = now
    for (const { leaf, dialled, pipe } of this.owner.linked)
      if (leaf && !dialled && now - (pipe?.session?.lastHeard ?? now) >= INTERVAL) pipe?.session?.link.ping?.()
  }

  private tick(): void {
    if (this.line.length === 0) {
      const linked = [...this.owner.linked].filter(({ pipe }) => pipe !== undefined)
      // A page sleeps at times: it asks, and is asked by the transport's means.
      const both = linked.length * PACE > INTERVAL
      this.line = linked.filter(({ dialled, leaf }) => dialled || (both && !leaf))
      this.lap = this.line.length
      for (const member of this.line) if ((this.told.get(member) ?? Infinity) < 2 * this.interval) this.tell(member)
      if (this.clock.now() - this.measuredAt >= MEASURED_EVERY) {
        this.measuredAt = this.clock.now()
        if (!both) for (const member of linked) if (!member.dialled && !member.leaf) this.measure(member)
      }
    }
    const member = this.draw()
    if (member !== undefined) this.probe(member, BOUND - INTERVAL, true)
    this.wakeLeaves()
    this.arm(this.lap === 0 ? INTERVAL : this.interval / this.lap)
  }
}
