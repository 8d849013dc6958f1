/**
 * Dialling: from "somebody may be there" to a connection that leads to a member. All addresses of a member are tried in
 * parallel, a little apart, and the first that answers wins; many members at a time. Who could not be reached is tried
 * again, with a pause that grows, and at once when it is heard of again.
 */
import { Backoff } from "../backoff.ts"
import type { Clock, Timer } from "../clock.ts"
import type { Connection } from "../connection.ts"
import { EarshotError } from "../errors.ts"
import type { Outcome } from "./doors.ts"

export interface ReachOwner {
  dial(endpoint: string): Connection
  /** There is a link to it, or it is us. */
  settled(id: string): boolean
  readonly self: { readonly id: string; readonly leaf: boolean }
  /** May this endpoint be dialled: is it near enough for a private mesh? */
  allowed(endpoint: string): boolean
  /** An attempt failed, for `diagnose()`. */
  onFailure(endpoint: string, error: unknown): void
  /** Nobody listens any more at any address of this member: the system says so. */
  onDeserted(id: string): void
  /** The first time that nothing is under way any more. */
  onIdle(): void
}

/** ms between two addresses of one member. */
const STAGGER = 250
/** ms to wait before another attempt: a random time up to the first, doubled with each failure up to the second. */
const FIRST_PAUSE = 100
const LONGEST_PAUSE = 2000
/** The same for a leaf: thousands may have lost one carrier. */
const LEAF_FIRST_PAUSE = 250
const LEAF_LONGEST_PAUSE = 5000
/**
 * Members dialled at a time. Few: where many members of one machine find each other at once, more of them only make each
 * other wait, until none is done in time and all begin anew.
 */
const AT_ONCE = 4
/** With those none of whose addresses has taken a connection within so many ms: perhaps nobody is there. */
const SILENCE = 500
const WITH_SILENT = 64
/** ms for which an address is left alone where somebody else was found. */
const BAN = 60_000
/** ms after which one who was not heard of again is given up. */
const FORGET = 600_000
const MAX_TARGETS = 16_384
const MAX_BANS = 4096
const MAX_ENDPOINTS = 32

interface Target {
  readonly key: string
  readonly id: string | undefined
  endpoints: string[]
  readonly backoff: Backoff
  heard: number
  timer: Timer | undefined
  /** While it is dialled. */
  attempt: Attempt | undefined
}

interface Attempt {
  readonly target: Target
  readonly left: string[]
  readonly open: Set<Connection>
  stagger: Timer | undefined
  /** Until it is looked at whether anybody is there. */
  readonly silence: Timer
  /** Nobody seems to be there. */
  silent: boolean
  /** The connection that leads to a member. */
  winner: Connection | undefined
  /** Who that is. */
  found: string | undefined
  /** Every address so far has refused. */
  deserted: boolean
}

export class Reach {
  private readonly clock: Clock
  private readonly owner: ReachOwner
  private readonly targets = new Map<string, Target>()
  private readonly waiting = new Set<Target>()
  /** The same, of those whose own dial would count: they may come by themselves meanwhile. */
  private readonly expected = new Set<Target>()
  private readonly byConnection = new Map<unknown, Attempt>()
  private readonly byMember = new Map<string, Attempt>()
  private readonly waiters = new Map<string, (() => void)[]>()
  private readonly bans = new Map<string, number>()
  private running = 0
  /** Of those that run. */
  private silent = 0
  private stopped = false

  constructor(clock: Clock, owner: ReachOwner) {
    this.clock = clock
    this.owner = owner
  }

  /** Nobody is being dialled, and nobody is about to be for the first time. */
  get idle(): boolean {
    return this.running === 0 && this.waiting.size === 0 && this.expected.size === 0
  }

  /** Somebody may be there: dial, unless that is under way. Without an id each endpoint is tried once. */
  found(id: string | undefined, endpoints: readonly string[]): void {
    if (this.stopped) return
    const usable = endpoints.filter((endpoint) => this.usable(endpoint)).slice(0, MAX_ENDPOINTS)
    if (id === undefined) for (const endpoint of usable) this.aim(endpoint, undefined, [endpoint])
    else if (usable.length > 0 && !this.owner.settled(id)) this.aim(id, id, usable)
  }

  /** A member that is not linked is to be dialled again, after a short pause. */
  again(id: string, endpoints: readonly string[]): void {
    if (this.stopped) return
    const usable = endpoints.filter((endpoint) => this.usable(endpoint))
    if (usable.length === 0) return
    const target = this.target(id, id, usable)
    if (target.attempt === undefined && target.timer === undefined) this.pause(target)
  }

  /** It said goodbye, or is linked now. */
  forget(id: string): void {
    const target = this.targets.get(id)
    if (target === undefined) return
    target.timer?.cancel()
    this.waiting.delete(target)
    this.expected.delete(target)
    this.targets.delete(id)
  }

  /** A connection leads to somebody, and is not welcome yet. */
  get leading(): boolean {
    return this.byMember.size > 0
  }

  /** Members that a connection leads to and that are not linked yet, but this one. */
  leadingBut(id: string): number {
    let count = 0
    for (const each of this.byMember.keys()) if (each !== id && !this.owner.settled(each)) count++
    return count
  }

  dialling(id: string): boolean {
    return this.byMember.has(id)
  }

  /** Ends our own dial to it, and what it led to. */
  abandon(id: string): void {
    for (const attempt of [this.byMember.get(id), this.targets.get(id)?.attempt]) {
      if (attempt === undefined) continue
      if (attempt.winner !== undefined) this.drop(attempt, attempt.winner)
      this.finish(attempt)
    }
  }

  /** Calls back when our dial to it is over; at once where there is none. */
  whenDialled(id: string, callback: () => void): void {
    if (!this.byMember.has(id)) return callback()
    const waiters = this.waiters.get(id)
    if (waiters === undefined) this.waiters.set(id, [callback])
    else waiters.push(callback)
  }

  /** A connection of ours leads to this member. False: another one of the same attempt was first, or another attempt. */
  leads(connection: unknown, id: string): boolean {
    const attempt = this.byConnection.get(connection)
    if (attempt === undefined || attempt.winner !== undefined || this.byMember.has(id)) return false
    attempt.winner = connection as Connection
    attempt.found = id
    this.byMember.set(id, attempt)
    attempt.stagger?.cancel()
    attempt.left.length = 0
    for (const other of [...attempt.open]) if (other !== connection) this.drop(attempt, other)
    return true
  }

  /** What became of a connection of ours. */
  over(connection: unknown, outcome: Outcome, endpoint: string): void {
    if (
      outcome === "foreign" ||
      outcome === "self" ||
      outcome === "full" ||
      outcome === "leaf" ||
      outcome === "laden"
    ) {
      if (this.bans.size >= MAX_BANS) this.bans.delete(this.bans.keys().next().value!)
      this.bans.set(endpoint, this.clock.now() + BAN)
    }
    const attempt = this.byConnection.get(connection)
    if (attempt === undefined) return
    if (outcome === "linked" || outcome === "duplicate") return this.finish(attempt)
    this.failed(attempt, connection as Connection)
  }

  /** Everybody who waits to be dialled again is dialled now. */
  nudge(): void {
    for (const target of this.targets.values())
      if (target.timer !== undefined) {
        target.timer.cancel()
        target.timer = undefined
        this.start(target)
      }
  }

  stop(): void {
    this.stopped = true
    this.clear()
  }

  /** Gives up everybody, also who is answering just now. */
  clear(): void {
    this.waiting.clear()
    this.expected.clear()
    this.bans.clear()
    for (const target of this.targets.values()) {
      target.timer?.cancel()
      const { attempt } = target
      if (attempt === undefined) continue
      if (attempt.winner !== undefined && !this.stopped) this.drop(attempt, attempt.winner)
      this.finish(attempt)
    }
    this.targets.clear()
  }

  private usable(endpoint: string): boolean {
    const until = this.bans.get(endpoint)
    if (until !== undefined && until > this.clock.now()) return false
    if (until !== undefined) this.bans.delete(endpoint)
    return this.owner.allowed(endpoint)
  }

  private aim(key: string, id: string | undefined, endpoints: string[]): void {
    const target = this.target(key, id, endpoints)
    target.heard = this.clock.now()
    if (target.attempt !== undefined) return
    target.timer?.cancel()
    target.timer = undefined
    this.start(target)
  }

  private target(key: string, id: string | undefined, endpoints: string[]): Target {
    const { clock } = this
    let target = this.targets.get(key)
    if (target === undefined) {
      if (this.targets.size >= MAX_TARGETS) this.makeRoom()
      const backoff = this.owner.self.leaf
        ? new Backoff(clock, LEAF_FIRST_PAUSE, LEAF_LONGEST_PAUSE, true)
        : new Backoff(clock, FIRST_PAUSE, LONGEST_PAUSE, true)
      target = { key, id, endpoints, backoff, heard: clock.now(), timer: undefined, attempt: undefined }
      this.targets.set(key, target)
    } else target.endpoints = [...new Set([...endpoints, ...target.endpoints])].slice(0, MAX_ENDPOINTS)
    return target
  }

  /** Gives up who was heard of first, of those that are not being dialled. */
  private makeRoom(): void {
    for (const [key, target] of this.targets) {
      if (target.attempt !== undefined) continue
      target.timer?.cancel()
      this.waiting.delete(target)
      this.expected.delete(target)
      this.targets.delete(key)
      return
    }
  }

  private get busy(): boolean {
    return this.running - this.silent >= AT_ONCE || this.running >= WITH_SILENT
  }

  private start(target: Target): void {
    if (this.busy) {
      // Where both dial, the dial of the smaller id counts (doors.ts).
      const first = target.id === undefined || target.id > this.owner.self.id
      ;(first ? this.waiting : this.expected).add(target)
      return
    }
    this.running++
    const { clock } = this
    const attempt: Attempt = {
      target,
      left: target.endpoints.filter((endpoint) => this.usable(endpoint)),
      open: new Set(),
      stagger: undefined,
      // What has come in meanwhile is read before that is judged.
      silence: clock.timeout(() => clock.immediate(() => this.listen(attempt)), SILENCE),
      silent: false,
      winner: undefined,
      found: undefined,
      deserted: true,
    }
    target.attempt = attempt
    this.next(attempt)
  }

  /** Nobody there so far: another may be dialled meanwhile. */
  private listen(attempt: Attempt): void {
    if (attempt.target.attempt !== attempt) return
    for (const { pipe } of attempt.open) if (pipe !== undefined) return
    attempt.silent = true
    this.silent++
    this.startNext()
  }

  private startNext(): void {
    const line = this.waiting.size > 0 ? this.waiting : this.expected
    const [next] = line
    if (next === undefined || this.busy) return
    line.delete(next)
    this.start(next)
  }

  private next(attempt: Attempt): void {
    attempt.stagger?.cancel()
    attempt.stagger = undefined
    const endpoint = attempt.left.shift()
    if (endpoint === undefined) {
      if (attempt.open.size === 0) this.giveUp(attempt)
      return
    }
    if (attempt.left.length > 0) attempt.stagger = this.clock.timeout(() => this.next(attempt), STAGGER)
    let connection: Connection
    try {
      connection = this.owner.dial(endpoint)
    } catch (error) {
      this.owner.onFailure(endpoint, error)
      return this.next(attempt)
    }
    attempt.open.add(connection)
    this.byConnection.set(connection, attempt)
    connection.first.catch((error: unknown) => {
      if (this.byConnection.get(connection) !== attempt) return
      this.owner.onFailure(endpoint, error)
      if (!(error instanceof EarshotError && error.code === "ECONNREFUSED")) attempt.deserted = false
      this.failed(attempt, connection)
    })
  }

  private failed(attempt: Attempt, connection: Connection): void {
    this.drop(attempt, connection)
    if (attempt.winner === connection) {
      attempt.deserted = false
      return this.giveUp(attempt)
    }
    this.next(attempt)
  }

  private drop(attempt: Attempt, connection: Connection): void {
    attempt.open.delete(connection)
    this.byConnection.delete(connection)
    void connection.close(0)
  }

  private giveUp(attempt: Attempt): void {
    const { target } = attempt
    this.finish(attempt)
    // Forgotten while it was dialled.
    if (this.targets.get(target.key) !== target) return
    if (target.id !== undefined && attempt.deserted && target.endpoints.length > 0) this.owner.onDeserted(target.id)
    if (target.id === undefined || this.owner.settled(target.id) || this.stopped) this.targets.delete(target.key)
    else if (this.clock.now() - target.heard > FORGET) this.targets.delete(target.key)
    else this.pause(target)
  }

  private pause(target: Target): void {
    target.timer = this.clock.timeout(() => {
      target.timer = undefined
      if (target.id !== undefined && this.owner.settled(target.id)) this.targets.delete(target.key)
      else this.start(target)
    }, target.backoff.next(false))
  }

  /** The attempt is over. A connection that won lives on, if it was welcomed. */
  private finish(attempt: Attempt): void {
    const { target } = attempt
    if (target.attempt !== attempt) return
    target.attempt = undefined
    attempt.stagger?.cancel()
    for (const connection of [...attempt.open])
      if (connection === attempt.winner) this.byConnection.delete(connection)
      else this.drop(attempt, connection)
    if (target.id === undefined) this.targets.delete(target.key)
    if (attempt.found !== undefined) {
      this.byMember.delete(attempt.found)
      const waiters = this.waiters.get(attempt.found)
      this.waiters.delete(attempt.found)
      for (const waiter of waiters ?? []) waiter()
    }
    attempt.silence.cancel()
    this.running--
    if (attempt.silent) this.silent--
    this.startNext()
    if (this.idle) this.owner.onIdle()
  }
}
