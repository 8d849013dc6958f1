/**
 * Where this member can be reached: what it is bound to, as addresses that others can dial. They are looked at again every
 * 5 s, when a link was lost, and after sleep; when they have changed the others are told, and every link is in doubt.
 */
import type { Clock, Timer } from "../clock.ts"
import type { Platform } from "./contract.ts"
import type { Bound } from "./ends.ts"
import { MAX_ENDPOINTS } from "./introduction.ts"
import type { MeshSettings } from "./options.ts"

export interface WhereaboutsOwner {
  endpoints: readonly string[]
  /** We are to be reached elsewhere, or the machine has slept: links may be dead and not know it. */
  onMoved(endpoints: boolean): void
}

const EVERY = 5000
/** A timer so much later than asked for tells of sleep. */
const SLEPT = 3000

export class Whereabouts {
  private readonly clock: Clock
  private readonly owner: WhereaboutsOwner
  private readonly platform: Platform
  private readonly settings: MeshSettings
  private readonly bound: Bound[] = []
  private timer: Timer | undefined

  constructor(settings: MeshSettings, platform: Platform, owner: WhereaboutsOwner) {
    this.clock = settings.clock
    this.settings = settings
    this.platform = platform
    this.owner = owner
  }

  add(bound: Bound): void {
    this.bound.push(bound)
    this.owner.endpoints = this.find()
  }

  start(): void {
    const due = this.clock.now() + EVERY
    this.timer = this.clock.timeout(() => {
      this.start()
      this.look(this.clock.now() - due > SLEPT)
    }, EVERY)
  }

  /** Something happened that may have come of a change. */
  look(slept = false): void {
    const found = this.find()
    const { owner } = this
    const same = found.length === owner.endpoints.length && found.every((each, i) => each === owner.endpoints[i])
    if (!same) owner.endpoints = found
    if (!same || slept) owner.onMoved(!same)
  }

  stop(): void {
    this.timer?.cancel()
  }

  /** What was told to be announced takes the place of what was bound, scheme by scheme. */
  private find(): string[] {
    const { platform, settings, bound } = this
    if (bound.length === 0) return []
    const replaced = new Set(settings.advertise.map(schemeOf))
    const own = bound
      .flatMap((place) => place.endpoints())
      .flatMap((endpoint) => platform.addresses(endpoint, settings.open))
      .filter((endpoint) => !replaced.has(schemeOf(endpoint)))
    return [...new Set([...settings.advertise, ...own])].slice(0, MAX_ENDPOINTS)
  }
}

const schemeOf = (endpoint: string): string => endpoint.slice(0, endpoint.indexOf(":"))
