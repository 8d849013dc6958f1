/** What stands behind a mesh: it puts the parts together, and each thing that happens goes through it to those it concerns. */
import type { Clock } from "../clock.ts"
import type { Message } from "../contract.ts"
import type { Transports } from "../endpoint.ts"
import { EarshotError } from "../errors.ts"
import { Events } from "../events.ts"
import { Answering, failureOf } from "./answering.ts"
import { Asking } from "./asking.ts"
import { Calls } from "./calls.ts"
import { Clash } from "./clash.ts"
import { Codecs } from "./codecs.ts"
import type { Content, ContentContext } from "./content.ts"
import type { Context } from "./context.ts"
import type { Platform } from "./contract.ts"
import { Counters } from "./counters.ts"
import { Crowd } from "./crowd.ts"
import { Denials } from "./denials.ts"
import { hintOf } from "./diagnose.ts"
import { dispatch } from "./dispatch.ts"
import type { Outcome } from "./doors.ts"
import { meshEvents, type MemberInfo, type MeshDropReason, type MeshEvents } from "./events.ts"
import { Finder } from "./finder.ts"
import { Groups, type OwnLoad } from "./groups.ts"
import type { Identity } from "./identity.ts"
import { Incoming } from "./incoming.ts"
import { OwnInterest } from "./interest.ts"
import { FEATURES, VERSION, type Introduction } from "./introduction.ts"
import { Links } from "./links.ts"
import type { LinksOwner } from "./links-owner.ts"
import { Local } from "./local.ts"
import { LoopWatch } from "./loop-watch.ts"
import { Loads } from "./loads.ts"
import type { Member } from "./member.ts"
import type { MeshSettings } from "./options.ts"
import { Outgoing } from "./outgoing.ts"
import { keepLocal } from "./peers.ts"
import type { Relay } from "./relay.ts"
import { report } from "./reports.ts"
import { Routes } from "./routes.ts"
import { Sampling } from "./sample.ts"
import { Settling, type SettlingOwner } from "./settling.ts"
import { Whereabouts, type WhereaboutsOwner } from "./whereabouts.ts"
import { SubjectCache } from "./subject-bytes.ts"
import { Subscriptions } from "./subscriptions.ts"
import { Syncs } from "./syncs.ts"
import { Kind, bare } from "./wire.ts"

/** As `maxLinks` travels where there is no limit. */
const MOST_LINKS = 0xffff_ffff
const NOWHERE: readonly string[] = []

export class Hub implements Context, LinksOwner, SettlingOwner, WhereaboutsOwner, OwnLoad {
  readonly clock: Clock
  readonly settings: MeshSettings
  readonly events: Events<MeshEvents>
  readonly counters: Counters
  readonly denials: Denials
  readonly codecs: Codecs
  readonly reading: ContentContext
  readonly routes: Routes = new Routes()
  readonly local: Local = new Local()
  readonly subscriptions: Subscriptions
  readonly relay: Relay
  readonly loads: Loads
  readonly links: Links
  readonly interest: OwnInterest
  readonly groups: Groups
  readonly incoming: Incoming
  readonly outgoing: Outgoing
  readonly answering: Answering
  readonly asking: Asking
  readonly calls: Calls
  readonly sampling: Sampling
  readonly loop: LoopWatch
  /** When it came to be, on the clock. */
  readonly began: number
  readonly syncs: Syncs
  readonly finder: Finder
  readonly whereabouts: Whereabouts
  readonly clash: Clash = new Clash(this)
  readonly crowd: Crowd = new Crowd(this)
  identity: Identity
  endpoints: readonly string[] = []
  meta: Readonly<Record<string, unknown>>
  closed = false
  draining = false
  onLess: () => void = () => {}
  outstanding = 0
  latency = 0
  measured = 0
  private introduced: Introduction | undefined
  private settling: Settling | undefined
  stopReporting: () => void = () => {}
  private readonly platform: Platform
  private unwatch: (() => void) | undefined

  constructor(settings: MeshSettings, platform: Platform, transports: Transports, identity: Identity) {
    const { clock } = settings
    this.clock = clock
    this.settings = settings
    this.identity = identity
    this.meta = settings.meta
    this.events = new Events(clock, meshEvents)
    this.counters = new Counters(clock, this.events)
    this.denials = new Denials(clock, this.events)
    this.codecs = new Codecs(settings.codec, settings.codecs)
    this.reading = {
      codecs: this.codecs,
      subjects: new SubjectCache(),
      onUndecodable: (content) => this.onUndecodable(undefined, content),
    }
    this.links = new Links(clock, transports, this, settings)
    this.relay = platform.relay(this)
    this.loads = new Loads(this)
    this.interest = new OwnInterest(clock, this.relay, (message) => this.tellMembers(message))
    this.groups = new Groups(clock, this)
    this.subscriptions = new Subscriptions(this)
    this.incoming = new Incoming(this)
    this.outgoing = new Outgoing(this)
    this.answering = new Answering(this)
    this.asking = new Asking(this, this.outgoing, this.answering)
    this.calls = new Calls(settings.context ? platform.ambient : undefined)
    this.sampling = new Sampling(this)
    this.loop = new LoopWatch(clock)
    this.began = clock.now()
    this.syncs = new Syncs(clock, this.links)
    this.finder = new Finder(this, platform)
    this.platform = platform
    this.whereabouts = new Whereabouts(settings, platform, this)
  }

  /** Listens, and begins to look for others. */
  async open(known: readonly string[]): Promise<void> {
    const { settings, platform, links, whereabouts } = this
    for (const endpoint of settings.listen) {
      whereabouts.add(await links.listen(settings.open ? endpoint : keepLocal(endpoint, platform)))
    }
    whereabouts.start()
    if (settings.observe) this.stopReporting = report(this)
    this.unwatch = platform.watch?.({ end: () => links.part(), wake: () => this.onMoved(false) })
    this.finder.start(known)
    this.settling = new Settling(this.clock, this, this.finder.rounds, settings.settle)
  }

  checkOpen(): void {
    if (this.closed) throw new EarshotError("EBADF", "the mesh is closed")
  }

  /** The same for what takes new work. */
  checkTaking(): void {
    this.checkOpen()
    if (this.draining) throw new EarshotError("EBADF", "the mesh is draining")
  }

  get settled(): boolean {
    return this.settling?.settled === true
  }

  get whenSettled(): Promise<void> {
    return this.settling!.done
  }

  get self(): MemberInfo {
    const { identity, settings, endpoints, meta } = this
    return { id: identity.id, name: settings.name, endpoints, meta, rtt: 0, leaf: this.leaf, leaves: 0 }
  }

  /** We listen nowhere, or have given way and take nobody in. */
  get leaf(): boolean {
    return this.settings.listen.length === 0 || this.crowd.leaf
  }

  /** Where others may dial us. */
  get shown(): readonly string[] {
    return this.leaf ? NOWHERE : this.endpoints
  }

  /** Made anew when something of it has changed: it is asked for again and again. */
  get introduction(): Introduction {
    const { identity, settings, shown: endpoints, meta, leaf, relay, introduced } = this
    const { size: leaves } = relay
    const advertised = leaf ? 0 : settings.advertise.length
    if (introduced?.endpoints === endpoints && introduced.meta === meta && introduced.leaves === leaves)
      if (introduced.leaf === leaf && introduced.id === identity.id) return introduced
    const { name, network } = settings
    const pair = {
      link: 0,
      taken: 0,
      met: false,
      links: 0,
      dials: 0,
      maxLinks: Math.min(settings.maxLinks, MOST_LINKS),
    }
    const about = { name, network, endpoints, advertised, meta, leaf, leaves }
    return (this.introduced = { ...identity, ...about, ...pair, version: VERSION, features: FEATURES })
  }

  // --- Settling, groups, losses ---

  get calm(): boolean {
    if (this.crowd.seeking || !this.links.reach.idle || this.links.knocking > 0) return false
    for (const member of this.links.linked) if (!member.known) return false
    return true
  }

  onSettled(): void {
    this.outgoing.settle()
    this.asking.onChange()
  }

  onIdle(): void {
    this.settling?.look()
  }

  full(group: string): boolean {
    return this.draining || this.local.full(group)
  }

  drop(reason: MeshDropReason, count: number, bytes: number, where: { member?: Member; subject?: string } = {}): void {
    this.counters.drop(reason, count, bytes, where.member, where.subject)
  }

  fail(error: unknown, subject?: string): void {
    this.counters.errors++
    const wrapped = error instanceof Error ? error : new Error(failureOf(error).text)
    this.events.emit("error", subject === undefined ? { error: wrapped } : { error: wrapped, subject })
  }

  get hint(): string | undefined {
    return hintOf(this)
  }

  load(queue: string): void {
    this.loads.change(queue)
    if (!this.full(queue)) this.outgoing.onFree(queue)
  }

  /** Leaves are told by the relay. */
  private tellMembers(message: Message): void {
    for (const member of this.links.linked) if (!member.leaf) member.tell(message)
  }

  /** Resolves when every linked member has read what was sent to it. Rejects TIMEOUT, EBADF. */
  async confirmed(timeout: number): Promise<void> {
    this.checkOpen()
    if (this.interest.dirty) this.interest.flush()
    return this.syncs.all(timeout)
  }

  // --- Links ---

  onMoved(endpoints: boolean): void {
    if (endpoints) {
      this.links.tellUpdate()
      this.finder.announce()
    }
    this.links.doubt()
    this.finder.nudge()
  }

  onLinked(member: Member, resumed: boolean): void {
    this.incoming.onLinked(member, resumed)
    if (this.draining) member.tell([bare(Kind.DRAINING)])
    if (member.leaf) this.relay.greet(member)
    else this.interest.greet(member)
    if (member.leaf) this.links.tellUpdate(false)
    this.sampling.greet(member)
    this.loads.greet(member)
    this.crowd.onLinked()
    this.onRoom(member)
  }

  onUnlinked(member: Member): void {
    // What it would get is kept, and no longer refused.
    member.slowed(false)
    this.syncs.onUnlinked(member)
    this.relay.onUnlinked(member)
    this.sampling.onUnlinked(member)
    this.outgoing.onUnlinked(member)
    this.asking.onUnlinked(member)
    if (this.crowd.leaf) this.crowd.onAlone()
    else if (this.leaf) this.finder.onAlone()
    this.whereabouts.look()
    this.finder.nudge()
    this.settling?.look()
  }

  onJoin(member: Member): void {
    this.finder.onJoin(member)
    this.events.emit("join", { member })
  }

  onLeave(member: Member, reason: "goodbye" | "lost" | "restarted"): void {
    this.asking.onGone(member)
    this.answering.onGone(member)
    this.events.emit("leave", { member, reason })
  }

  onForgotten(member: Member): void {
    this.incoming.onForgotten(member)
    this.relay.onForgotten(member)
    if (member.leaf && !this.closed) this.links.tellUpdate(false)
    this.answering.onGone(member)
    this.asking.onGone(member)
    this.outgoing.onForgotten(member)
    // What was found for subjects would keep it in memory.
    this.routes.table.forget()
    this.asking.onChange()
  }

  onUpdate(member: Member): void {
    this.events.emit("update", { member })
    this.asking.onChange()
  }

  onLinkSlow(member: Member, full: boolean): void {
    this.events.emit("slow", { member, full })
  }

  onUndecodable(member: Member | undefined, { subject, raw }: Content): void {
    // Answers have no subject.
    this.counters.drop("undecodable", 1, raw.length, member, subject || undefined)
  }

  onRoom(member: Member): void {
    member.slowed(false)
    this.outgoing.onRoom(member)
  }

  onUntaken(member: Member, reason: "left" | "closed", count: number, bytes: number): void {
    this.drop(reason, count, bytes, { member })
  }

  onGap(member: Member, direction: "sent" | "received", count: number | undefined): void {
    this.counters.gap(direction, count ?? 0)
    this.events.emit("gap", { member, direction, count })
  }

  onRefused(endpoint: string, outcome: Outcome, reason: string, peer: Introduction | undefined): void {
    this.finder.onRefused(endpoint, outcome, reason, peer)
    this.settling?.look()
  }

  onTurnedAway(remote: string, reason: string, peer: Introduction): void {
    this.finder.onTurnedAway(remote, reason, peer)
    this.settling?.look()
  }

  onUnknown(count: number): void {
    this.counters.unknown += count
  }

  onMessage(member: Member, kind: number, message: Message): void {
    dispatch(this, member, kind, message)
  }

  async close(linger: number): Promise<void> {
    this.closed = true
    this.clock.hold()
    this.unwatch?.()
    this.subscriptions.end()
    this.stopReporting()
    this.sampling.close()
    this.loop.stop()
    this.outgoing.close()
    this.asking.close()
    this.answering.close()
    this.syncs.close()
    this.settling?.settle()
    this.interest.close()
    this.relay.close()
    this.whereabouts.stop()
    this.crowd.close()
    await Promise.all([this.finder.stop(), this.links.close(linger)])
    this.counters.close()
    this.denials.close()
    this.clock.release()
  }
}
