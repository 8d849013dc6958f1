/**
 * One live link to each member: who is there, who came, who went. Connections come from two sockets without a user
 * (ends.ts), pass the door (doors.ts), and become the link of a member; what travels on it goes to the owner.
 */
import { sizeOf } from "../bytes.ts"
import type { Clock } from "../clock.ts"
import type { Connection } from "../connection.ts"
import type { Message, Place } from "../contract.ts"
import type { Transports } from "../endpoint.ts"
import { EarshotError } from "../errors.ts"
import type { Pipe } from "../pipe.ts"
import { control, isControl } from "./control.ts"
import { Doors, type Crowding, type DoorsOwner, type Outcome, type Standing, type Twins } from "./doors.ts"
import { Ends, type EndSettings, type Bound, type EndsOwner } from "./ends.ts"
import type { MemberInfo } from "./events.ts"
import { Gossip, type GossipOwner, type PeerRecord } from "./gossip.ts"
import { writeIntroduction, type Introduction } from "./introduction.ts"
import type { LinksOwner } from "./links-owner.ts"
import { Lost } from "./lost.ts"
import { Member } from "./member.ts"
import { Parting } from "./parting.ts"
import { Pulse, type PulseOwner } from "./pulse.ts"
import { Reach, type ReachOwner } from "./reach.ts"
import { Roll } from "./roll.ts"
import { Thanks } from "./thanks.ts"
import { Kind, bare, counted, hasStrangeFlags } from "./wire.ts"

export class Links implements EndsOwner, DoorsOwner, ReachOwner, PulseOwner, GossipOwner {
  readonly members: Map<string, Member> = new Map()
  readonly reach: Reach
  readonly owner: LinksOwner
  readonly pulse: Pulse
  readonly gossip: Gossip
  private readonly ends: Ends
  private readonly doors: Doors
  readonly roll: Roll = new Roll()
  private readonly lost: Lost
  readonly thanks: Thanks
  private readonly clock: Clock
  private readonly parting: Parting
  closed = false

  constructor(clock: Clock, transports: Transports, owner: LinksOwner, settings: EndSettings) {
    this.clock = clock
    this.owner = owner
    this.parting = new Parting(clock, this.members)
    this.ends = new Ends(clock, transports, this, settings)
    this.doors = new Doors(clock, this)
    this.reach = new Reach(clock, this)
    this.pulse = new Pulse(clock, this)
    this.gossip = new Gossip(clock, this)
    this.thanks = new Thanks(clock)
    this.lost = new Lost(
      clock,
      (member) => this.leave(member, "lost"),
      (member) => this.forget(member),
    )
    this.pulse.start()
    this.gossip.start()
  }

  // --- For the mesh ---

  listen(endpoint: string | Place): Promise<Bound> {
    return this.ends.listen(endpoint)
  }

  get linkedCount(): number {
    return this.roll.size
  }

  /** Connections that are not links yet. */
  get knocking(): number {
    return this.doors.size
  }

  tellAll(message: Message): void {
    for (const member of this.linked) member.tell(message)
  }

  /** Every link may be dead and not know it: who doesn't answer soon is dialled anew. */
  doubt(): void {
    for (const member of this.linked) this.pulse.probe(member)
    this.reach.nudge()
  }

  /** Our own name, meta or endpoints changed; or how many leaves we carry, which concerns members only. */
  tellUpdate(leavesToo = true): void {
    if (this.closed) return
    const { name, endpoints, advertised, meta, leaves } = this.owner.introduction
    const message = [bare(Kind.UPDATE), writeIntroduction({ name, endpoints, advertised, meta, leaves })]
    for (const member of this.linked) if (leavesToo || !member.leaf) member.tell(message)
  }

  /** Says goodbye to everybody, sends for `linger` ms what waits, and ends. What was not taken by then is told. */
  async close(linger: number): Promise<void> {
    const { clock, owner, parting } = this
    const end = clock.now() + linger
    for (const member of this.linked) {
      member.sayTaken()
      member.tell([bare(Kind.GOODBYE)])
    }
    this.stop()
    await parting.wait(linger)
    const untaken = [...this.members.values()].map((member) => ({ member, lost: parting.watch(member) }))
    await this.ends.close(Math.max(0, end - clock.now()))
    for (const { member, lost } of untaken) {
      const { count, bytes } = lost()
      if (count > 0) owner.onUntaken(member, "closed", count, bytes)
    }
  }

  /** Says goodbye to everybody, to link anew as somebody else. */
  partFromAll(): void {
    for (const member of [...this.members.values()]) {
      member.sayTaken()
      member.tell([bare(Kind.GOODBYE)])
      this.retire(member, "goodbye")
    }
  }

  /** Says goodbye to everybody at once: there won't be another turn. */
  part(): void {
    for (const member of this.linked) {
      member.tell([bare(Kind.GOODBYE)])
      member.pipe?.session?.close()
    }
  }

  private stop(): void {
    this.closed = true
    // Nobody is let in any more, also not who waits for our own dial to end.
    this.doors.close()
    this.reach.stop()
    this.pulse.stop()
    this.gossip.stop()
    this.thanks.stop()
    this.lost.clear()
  }

  // --- Of the sockets ---

  onPipe(pipe: Pipe): void {
    if (this.closed) return pipe.close()
    this.doors.open(pipe)
  }

  onMessage(pipe: Pipe, message: Message): void {
    const member = this.roll.get(pipe)
    if (member === undefined) {
      this.doors.receive(pipe, message)
      return
    }
    if (this.closed) return this.parting.hear(member, message)
    const head = message[0]!
    const kind = head[0]!
    if (counted(kind)) this.thanks.took(member, sizeOf(message))
    try {
      if (head.length < 2) throw new EarshotError("EPROTO", "a mesh message without a head")
      if (hasStrangeFlags(head)) this.owner.onUnknown(1)
      if (isControl(kind)) control(this, member, kind, message)
      else this.owner.onMessage(member, kind, message)
    } catch (error) {
      // A member that breaks the protocol loses its link, nothing else.
      pipe.close(error instanceof EarshotError ? error : new EarshotError("EPROTO", undefined, error))
    }
  }

  onRoom(pipe: Pipe): void {
    const member = this.roll.get(pipe)
    if (member !== undefined) this.owner.onRoom(member)
  }

  onPipeEnd(pipe: Pipe, unsent: readonly Message[]): void {
    this.doors.end(pipe)
    const member = this.roll.get(pipe)
    this.roll.strike(pipe)
    if (member?.pipe !== pipe) return
    // Nothing is kept for who acknowledges nothing.
    const missed = member.features.has("replay") ? 0 : unsent.filter(([head]) => counted(head![0]!)).length
    if (missed > 0) this.owner.onGap(member, "sent", missed)
    this.unlink(member, this.ends.silent.has(pipe))
  }

  onDeaf(error: EarshotError): void {
    this.owner.fail(error)
  }

  // --- At the door ---

  get introduction(): Introduction {
    return this.owner.introduction
  }

  standing(id: string): Standing | undefined {
    return this.members.get(id)
  }

  pair({ id, nonce }: Introduction): Pick<Introduction, "link" | "taken" | "met" | "links" | "dials"> {
    const member = this.members.get(id)
    // An ASK says no epoch, and needs none: each boot draws its nonce.
    const met = member !== undefined && nonce !== "" && member.nonce === nonce
    return { link: (member?.linkNumber ?? 0) + 1, taken: met ? member.taken : 0, met, ...this.crowd.countBut(id) }
  }

  dialling(id: string): boolean {
    return this.reach.dialling(id)
  }

  abandon(id: string): void {
    this.reach.abandon(id)
  }

  whenDialled(id: string, callback: () => void): void {
    this.reach.whenDialled(id, callback)
  }

  onFound(pipe: Pipe, peer: Introduction): boolean {
    // A leaf has one link.
    if (this.introduction.leaf && (this.roll.size > 0 || this.reach.leading)) return false
    return this.members.get(peer.id)?.linked !== true && this.reach.leads(pipe.owner, peer.id)
  }

  onWelcome(pipe: Pipe, peer: Introduction): void {
    const { owner } = this
    let member = this.members.get(peer.id)
    const known = member
    if (known !== undefined && !(peer.met && known.isBoot(peer))) {
      // Another boot of it; or the same, which has forgotten us and begins to count anew.
      this.retire(known, known.isBoot(peer) ? "lost" : "restarted")
      member = undefined
    }
    const resumed = member !== undefined
    const { codecs, settings } = owner
    if (member === undefined) this.members.set(peer.id, (member = new Member(peer, settings.replay, codecs, owner)))
    const old = member.pipe
    this.lost.remove(member)
    member.left = false
    const moved = member.present && member.endpoints.join() !== peer.endpoints.join()
    member.begin(pipe, pipe.dialled, peer)
    this.roll.enter(pipe, member, old)
    if (old !== undefined) {
      old.close(new EarshotError("ECANCELED", "a newer link took its place"))
    }
    if (pipe.dialled) this.reach.over(pipe.owner, "linked", pipe.address)
    this.reach.forget(peer.id)
    if (this.introduction.leaf) this.leaveOthers(member)
    const missing = member.resume(peer.taken)
    if (missing > 0) this.owner.onGap(member, "sent", missing)
    const joins = !member.present
    member.present = true
    this.owner.onLinked(member, resumed)
    this.gossip.onLinked(member, this.roll.size)
    this.pulse.greet(member)
    if (joins) this.owner.onJoin(member)
    else if (moved) this.owner.onUpdate(member)
  }

  onRefused(pipe: Pipe, outcome: Outcome, reason: string, peer: Introduction | undefined): void {
    this.reach.over(pipe.owner, outcome, pipe.address)
    this.owner.onRefused(pipe.address, outcome, reason, peer)
  }

  onTurnedAway(pipe: Pipe, reason: string, peer: Introduction): void {
    this.owner.onTurnedAway(pipe.address, reason, peer)
  }

  get clash(): Twins {
    return this.owner.clash
  }

  get crowd(): Crowding {
    return this.owner.crowd
  }

  onUnknown(count: number): void {
    this.owner.onUnknown(count)
  }

  // --- Dialling ---

  dial(endpoint: string): Connection {
    return this.ends.dial(endpoint)
  }

  settled(id: string): boolean {
    return id === this.owner.identity.id || this.members.get(id)?.linked === true
  }

  allowed(endpoint: string): boolean {
    return this.owner.finder.allowed(endpoint)
  }

  onFailure(endpoint: string, error: unknown): void {
    this.owner.finder.onFailure(endpoint, error)
  }

  onDeserted(id: string): void {
    const member = this.members.get(id)
    if (member !== undefined && !member.linked) this.leave(member, "lost")
  }

  get seeking(): boolean {
    return !this.reach.idle
  }

  onIdle(): void {
    this.gossip.onIdle()
    this.owner.onIdle()
  }

  // --- Alive, and known ---

  get linked(): Iterable<Member> {
    return this.roll.members
  }

  onSuspect(member: Member): void {
    for (const other of this.linked)
      if (other !== member && other.features.has("suspect"))
        other.tell([bare(Kind.SUSPECT), writeIntroduction({ id: member.id })])
  }

  get self(): Introduction {
    return this.introduction
  }

  onRecord(record: PeerRecord): void {
    if (!this.settled(record.id)) this.owner.finder.onRecord(record)
  }

  private unlink(member: Member, silent: boolean): void {
    const { owner } = this
    member.pipe = undefined
    this.pulse.forget(member)
    if (this.closed) return this.parting.look()
    owner.onUnlinked(member)
    if (member.left) {
      this.leave(member, "goodbye")
      return this.forget(member)
    }
    this.lost.add(member, silent, member.leaf || this.introduction.leaf)
    this.reach.again(member.id, member.endpoints)
  }

  private leave(member: Member, reason: "goodbye" | "lost" | "restarted"): void {
    if (!member.present) return
    member.present = false
    this.owner.onLeave(member, reason)
  }

  /** Nothing more is kept for it. */
  private forget(member: Member): void {
    this.lost.remove(member)
    if (this.members.get(member.id) === member) this.members.delete(member.id)
    if (member.left) this.reach.forget(member.id)
    const { untold, bytes } = member.replay
    member.replay.end()
    if (untold > 0)
      member.left ? this.owner.onUntaken(member, "left", untold, bytes) : this.owner.onGap(member, "sent", untold)
    this.owner.onForgotten(member)
  }

  /** A leaf has another carrier: what the old one held for it is lost to it, and nobody can count that. */
  private leaveOthers(carrier: Member): void {
    for (const member of [...this.members.values()]) {
      if (member === carrier || member.linked) continue
      this.leave(member, "lost")
      this.owner.onGap(member, "received", undefined)
      this.reach.forget(member.id)
      this.forget(member)
    }
  }

  /** Another boot of the same member is there, or one that has forgotten us. */
  retire(member: Member, reason: "lost" | "restarted" | "goodbye"): void {
    const { pipe } = member
    if (pipe !== undefined) {
      member.pipe = undefined
      this.roll.strike(pipe)
      this.pulse.forget(member)
      this.owner.onUnlinked(member)
      if (reason === "goodbye") pipe.session?.close()
      else pipe.close(new EarshotError("ECANCELED", "the member has restarted"))
    }
    this.leave(member, reason)
    this.forget(member)
  }

  /** Who is there, as users see them. */
  *present(): Iterable<[string, MemberInfo]> {
    for (const [id, member] of this.members) if (member.present) yield [id, member]
  }
}
