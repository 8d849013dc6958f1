/**
 * From a new connection to a link, or to its end. One link per pair of members, and the listener alone decides: it asks
 * first on every connection, the dialler answers with its hello, and nothing else travels before the welcome (PROTOCOL.md).
 */
import type { Clock, Timer } from "../clock.ts"
import type { Message } from "../contract.ts"
import { EarshotError } from "../errors.ts"
import type { Pipe } from "../pipe.ts"
import type { Candidate } from "./contract.ts"
import { insist } from "./ends.ts"
import {
  endpointsOf,
  isMemberId,
  readIntroduction,
  readMap,
  writeIntroduction,
  type Introduction,
} from "./introduction.ts"
import { printable } from "./printable.ts"
import { Kind, MAJOR, bare } from "./wire.ts"

/** How an attempt to link ended, for whoever dialled. */
export type Outcome =
  | "linked"
  | "duplicate"
  | "self"
  | "foreign"
  | "clash"
  | "full"
  | "crowded"
  | "yields"
  | "leaf"
  | "laden"
  | "failed"

/** What is known of the live link of a pair, for the listener's decision. */
export interface Standing {
  readonly epoch: number
  readonly nonce: string
  readonly endpoints: readonly string[]
  readonly linkNumber: number
  readonly linked: boolean
}

/** Living members with our id. */
export interface Twins {
  meet(peer: Introduction): void
  /** Somebody there is taken for us. */
  seek(endpoints: readonly string[]): void
}

/** What becomes of a pair when there are more members than may be linked. */
export interface Crowding {
  /** Links with members that listen, and those that we are making, but that with this one. */
  countBut(id: string): Pick<Introduction, "links" | "dials">
  /** Who is to give way, where a link of the pair would be one too many. */
  judge(peer: Introduction): "we" | "they" | undefined
  /** We carry as many leaves as we may, and this would be one more. */
  readonly laden: boolean
  /** Somebody else, who has room for a leaf. */
  spareFor(leaf: string): Candidate | undefined
  /** Who is to carry this one; where we have given way ourselves, who carries us. */
  carrierOf(leaf: string): Candidate | undefined
  /** We are to give way to it: its refusal of our dial names a carrier. */
  ask(peer: Introduction): void
  /** We were refused as one too many, and named a carrier. */
  giveWay(to: Candidate | undefined, refuser: Candidate, reason: string): void
  /** Who was asked takes nobody in, but this one may. */
  redirect(to: Candidate): void
}

export interface DoorsOwner {
  /** What we say of ourselves, but for what belongs to one pair. */
  readonly introduction: Introduction
  standing(id: string): Standing | undefined
  /** What a hello or a welcome to this boot says of the pair: the number of a new link, how much was taken, and whether we remember it. */
  pair(peer: Introduction): Pick<Introduction, "link" | "taken" | "met" | "links" | "dials">
  /** An own dial to that member is under way. */
  dialling(id: string): boolean
  /** Gives up the own dial to it: it has come to us. */
  abandon(id: string): void
  /** Calls back once, when our own dial to it is over. */
  whenDialled(id: string, callback: () => void): void
  /** A dialled connection leads to this member. False: it isn't wanted (any more). */
  onFound(pipe: Pipe, peer: Introduction): boolean
  /** The link stands. */
  onWelcome(pipe: Pipe, peer: Introduction): void
  /** A dialled connection came to nothing. `reason`: for people. */
  onRefused(pipe: Pipe, outcome: Outcome, reason: string, peer: Introduction | undefined): void
  /** Somebody who knocked was turned away. */
  onTurnedAway(pipe: Pipe, reason: string, peer: Introduction): void
  readonly clash: Twins
  readonly crowd: Crowding
  /** Things that were skipped: of a later version, or nonsense. */
  onUnknown(count: number): void
}

interface Door {
  readonly pipe: Pipe
  readonly timer: Timer
  /** Who is on the other side, once told. */
  peer?: Introduction
  /** Who we said to be. */
  as?: string
}

/** ms that everything before the welcome may take. */
const PATIENCE = 5000
/** ms that a hello waits for our own dial to the same member. */
const HOLD = 2000
/** Connections that are through their handshake and not welcome yet. */
const MAX_DOORS = 4096
const ASK = bare(Kind.ASK)
const HELLO = bare(Kind.HELLO)
const WELCOME = bare(Kind.WELCOME)
const REFUSE = bare(Kind.REFUSE)
/** What a refusal means for whoever dialled; any other reason may pass. */
const OUTCOMES: ReadonlyMap<unknown, Outcome> = new Map<unknown, Outcome>([
  ["duplicate", "duplicate"],
  ["network", "foreign"],
  ["version", "foreign"],
  ["clash", "clash"],
  ["full", "crowded"],
  ["yields", "yields"],
  ["leaf", "leaf"],
  ["laden", "laden"],
])

export class Doors {
  private readonly clock: Clock
  private readonly owner: DoorsOwner
  private readonly doors = new Map<Pipe, Door>()

  constructor(clock: Clock, owner: DoorsOwner) {
    this.clock = clock
    this.owner = owner
  }

  get size(): number {
    return this.doors.size
  }

  /** A connection is through its handshake. */
  open(pipe: Pipe): void {
    if (this.doors.size >= MAX_DOORS) return pipe.close(new EarshotError("LIMIT", "too many at the door"))
    const timer = this.clock.timeout(() => this.fail(pipe, "no introduction in time"), PATIENCE)
    this.doors.set(pipe, { pipe, timer })
    if (pipe.dialled) return
    const { id, nonce, network, version, features } = this.owner.introduction
    insist(pipe, [ASK, writeIntroduction({ id, nonce, network, version, features })])
  }

  /** True: it was still at the door, and the message was for us. */
  receive(pipe: Pipe, message: Message): boolean {
    const door = this.doors.get(pipe)
    if (door === undefined) return false
    try {
      const kind = message[0]![0]
      if (pipe.dialled) {
        if (kind === Kind.ASK) this.asked(door, this.read(message))
        else if (kind === Kind.WELCOME) this.welcomed(door, this.read(message))
        else if (kind === Kind.REFUSE) this.refused(door, message)
        else this.owner.onUnknown(1)
      } else if (kind === Kind.HELLO) this.greeted(door, this.read(message))
      // Whatever else comes early is of a later version, or nonsense: neither is ours to answer.
      else this.owner.onUnknown(1)
    } catch (error) {
      this.fail(pipe, (error as Error).message)
    }
    return true
  }

  /** The connection has ended. */
  end(pipe: Pipe): void {
    const door = this.leave(pipe)
    if (door !== undefined && pipe.dialled) this.owner.onRefused(pipe, "failed", "the connection ended", door.peer)
  }

  /** Ends a connection that is still at the door, without a word to the owner. */
  shut(pipe: Pipe): void {
    if (this.leave(pipe) !== undefined) pipe.close(new EarshotError("ECANCELED", "no longer wanted"))
  }

  close(): void {
    for (const pipe of [...this.doors.keys()]) this.shut(pipe)
  }

  private get wall(): number {
    return Math.max(0, Math.round(this.clock.wall()))
  }

  private read(message: Message): Introduction {
    const peer = readIntroduction(message[1], (count) => this.owner.onUnknown(count))
    return peer.wall === undefined ? peer : { ...peer, ahead: peer.wall - this.clock.wall() }
  }

  private asked(door: Door, peer: Introduction): void {
    const { owner } = this
    const { id, nonce } = owner.introduction
    if (door.peer !== undefined) return
    door.peer = peer
    if (peer.id === id && peer.nonce === nonce) return this.turnBack(door, "self", "it is this member itself")
    const misfit = this.misfit(peer)
    if (misfit !== undefined) return this.turnBack(door, "foreign", misfit.reason)
    door.as = id
    // Who knows the feature decides by our hello.
    if (!owner.introduction.leaf && !peer.features.includes("crowd") && owner.crowd.judge(peer) !== undefined)
      return this.turnBack(door, "full", "we have as many links as we may have (maxLinks)")
    // Whoever has our id is told by our hello which boot of it we are, and we by its refusal.
    if (peer.id !== id && !owner.onFound(door.pipe, peer))
      return this.turnBack(door, "duplicate", "there is a link already")
    insist(door.pipe, [HELLO, writeIntroduction({ ...owner.introduction, ...owner.pair(peer), wall: this.wall })])
  }

  private welcomed(door: Door, peer: Introduction): void {
    if (door.peer === undefined || peer.id !== door.peer.id || door.as !== this.owner.introduction.id)
      throw new EarshotError("EPROTO", "a welcome nobody asked for")
    this.leave(door.pipe)
    this.owner.onWelcome(door.pipe, peer)
  }

  private refused(door: Door, message: Message): void {
    const { owner } = this
    const { id, reason, text, endpoints } = readMap(message[1])
    const outcome = OUTCOMES.get(reason) ?? "failed"
    const why = typeof text === "string" ? printable(text, 200) : "it was refused"
    const twin = outcome === "clash" ? this.read(message) : undefined
    this.turnBack(door, outcome, why)
    const place = isMemberId(id) ? { id, endpoints: endpointsOf(endpoints) } : undefined
    if (outcome === "crowded" && door.peer !== undefined)
      owner.crowd.giveWay(place, { id: door.peer.id, endpoints: [door.pipe.address] }, why)
    else if ((outcome === "leaf" || outcome === "laden") && place !== undefined) owner.crowd.redirect(place)
    if (twin?.id === owner.introduction.id && twin.id === door.as) owner.clash.meet(twin)
    if (reason === "stale" && door.as === owner.introduction.id) owner.clash.seek(endpointsOf(endpoints))
  }

  private greeted(door: Door, peer: Introduction): void {
    const { owner } = this
    if (door.peer !== undefined) return
    door.peer = peer
    if (this.turnsAway(door, peer)) return
    if (!owner.dialling(peer.id)) return this.welcome(door)
    if (peer.id < owner.introduction.id) {
      owner.abandon(peer.id)
      return this.welcome(door)
    }
    let decided = false
    const decide = (): void => {
      if (decided) return
      decided = true
      hold.cancel()
      if (this.doors.get(door.pipe) !== door) return
      if (owner.standing(peer.id)?.linked === true) this.turnAway(door, "duplicate", "there is a link already")
      else if (!this.turnsAway(door, peer)) this.welcome(door)
    }
    const hold = this.clock.timeout(decide, HOLD)
    owner.whenDialled(peer.id, decide)
  }

  /** True: this one doesn't come in, and has been told why. */
  private turnsAway(door: Door, peer: Introduction): boolean {
    const { owner } = this
    const { id, leaf } = owner.introduction
    const refuse = (code: string, reason: string, more?: Partial<Introduction>): true => {
      this.turnAway(door, code, reason, more)
      return true
    }
    const misfit = this.misfit(peer)
    if (misfit !== undefined) return refuse(misfit.code, misfit.reason)
    if (peer.id === id) {
      refuse("clash", "that id is mine", owner.introduction)
      owner.clash.meet(peer)
      return true
    }
    if (leaf) return refuse("leaf", "it is a leaf, and takes nobody in", named(owner.crowd.carrierOf(peer.id)))
    const standing = owner.standing(peer.id)
    if (standing !== undefined) {
      const { endpoints } = standing
      if (peer.epoch < standing.epoch) return refuse("stale", "a later boot of that member is known", { endpoints })
      if (standing.linked && peer.epoch === standing.epoch && peer.nonce !== standing.nonce)
        return refuse("stale", "another member of that id is linked", { endpoints })
      if (standing.linked && peer.epoch === standing.epoch && peer.link <= standing.linkNumber)
        return refuse("duplicate", "there is a link already")
      if (standing.linked) return false
    }
    if (peer.leaf && owner.crowd.laden)
      return refuse("laden", "it carries as many leaves as it may (maxLeaves)", named(owner.crowd.spareFor(peer.id)))
    const yielding = peer.leaf ? undefined : owner.crowd.judge(peer)
    if (yielding === undefined) return false
    const reason = "there are as many links as there may be (maxLinks)"
    if (yielding === "they") return refuse("full", reason, named(owner.crowd.carrierOf(peer.id)))
    refuse("yields", `it gives way, for ${reason}`)
    owner.crowd.ask(peer)
    return true
  }

  private welcome(door: Door): void {
    const { owner } = this
    const peer = door.peer!
    this.leave(door.pipe)
    const pair = owner.pair(peer)
    insist(door.pipe, [
      WELCOME,
      writeIntroduction({ ...owner.introduction, ...pair, link: peer.link, wall: this.wall }),
    ])
    owner.onWelcome(door.pipe, peer)
  }

  private misfit({ version, network }: Introduction): { readonly reason: string; readonly code: string } | undefined {
    const own = this.owner.introduction
    if (version[0] !== MAJOR)
      return { reason: `it speaks version ${version[0]} of the mesh protocol, we ${MAJOR}`, code: "version" }
    if (network !== own.network) return { reason: "it belongs to another network", code: "network" }
    return undefined
  }

  private turnAway(door: Door, code: string, reason: string, more: Partial<Introduction> = {}): void {
    this.leave(door.pipe)
    insist(door.pipe, [REFUSE, writeIntroduction({ ...more, reason: code, text: reason } as object)])
    door.pipe.session?.close()
    this.owner.onTurnedAway(door.pipe, reason, door.peer!)
  }

  private turnBack(door: Door, outcome: Outcome, reason: string): void {
    this.leave(door.pipe)
    door.pipe.session?.close()
    this.owner.onRefused(door.pipe, outcome, reason, door.peer)
  }

  private fail(pipe: Pipe, reason: string): void {
    const door = this.leave(pipe)
    if (door === undefined) return
    pipe.close(new EarshotError("EPROTO", reason))
    if (pipe.dialled) this.owner.onRefused(pipe, "failed", reason, door.peer)
  }

  private leave(pipe: Pipe): Door | undefined {
    const door = this.doors.get(pipe)
    door?.timer.cancel()
    this.doors.delete(pipe)
    return door
  }
}

/** As a refusal tells it. */
function named(candidate: Candidate | undefined): Partial<Introduction> {
  return candidate?.id === undefined ? {} : { id: candidate.id, endpoints: candidate.endpoints }
}
