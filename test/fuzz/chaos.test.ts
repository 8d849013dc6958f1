// Peers that send anything, stall, reset and come back, while the user does whatever sockets can do, in any order: nothing
// is thrown but EarshotErrors, everything is accounted for, and when the socket is closed nothing of it is left.
import t from "tap"
import {
  Dealer,
  EarshotError,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "../../lib/index.ts"
import { transports } from "../../lib/defaults.ts"
import type { Socket } from "../../lib/socket.ts"
import { virtualClock } from "../support/virtual-clock.ts"
import { cases, seed, type Chance } from "./support/chance.ts"
import { EvilTransport, type EvilLink } from "./support/evil-transport.ts"
import { mutate, stream } from "./support/mutate.ts"
import { typeNames, type TypeName } from "./support/zmtp.ts"

// A pending connect() keeps no process alive.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => clearInterval(alive))

const CASES = 250
const classes = {
  PAIR: Pair,
  PUB: Publisher,
  XPUB: XPublisher,
  SUB: Subscriber,
  XSUB: XSubscriber,
  PUSH: Push,
  PULL: Pull,
  REQ: Request,
  REP: Reply,
  DEALER: Dealer,
  ROUTER: Router,
} as const

/** All that some sockets can do; a socket does what it can. */
interface Able extends Socket {
  send?(message: string[], options?: object): Promise<void>
  trySend?(message: string[]): boolean
  receive?(options?: object): Promise<Uint8Array[]>
  tryReceive?(): Uint8Array[] | undefined
  receiveMany?(max: number): Promise<Uint8Array[][]>
  request?(message: string, options: object): Promise<Uint8Array[]>
  subscribe?(...topics: string[]): unknown
  unsubscribe?(...topics: string[]): unknown
  pause?(): void
  resume?(): void
  onmessage?: ((message: Uint8Array[]) => void) | undefined
}

class Chaos {
  /** Messages that the user got. */
  taken = 0
  /** Sends that were taken. */
  given = 0
  readonly socket: Able
  private readonly chance: Chance
  private readonly type: TypeName
  private readonly evil: EvilTransport
  /** Links that live, and what their peers have yet to say. */
  private readonly links = new Map<EvilLink, Uint8Array[]>()
  private readonly pending: Promise<unknown>[] = []
  private readonly strangers: unknown[] = []

  constructor(chance: Chance, type: TypeName, socket: Able, evil: EvilTransport) {
    this.chance = chance
    this.type = type
    this.socket = socket
    this.evil = evil
    evil.onDial = (link) => this.meet(link)
  }

  /** Whatever comes of it: only what is ours may go wrong. */
  private attempt(run: () => unknown): void {
    try {
      const result = run()
      if (result instanceof Promise) this.pending.push(result.catch((error: unknown) => this.judge(error)))
    } catch (error) {
      this.judge(error)
    }
  }

  private judge(error: unknown): void {
    if (!(error instanceof EarshotError) && error !== "given up") this.strangers.push(error)
  }

  private meet(link: EvilLink): void {
    const { chance } = this
    const bytes = stream(chance, this.type)
    this.links.set(link, chance.split(chance.maybe(0.5) ? bytes : mutate(chance, bytes, this.type)))
    if (chance.maybe(0.2)) link.room = chance.below(300)
  }

  private talk(): void {
    const { chance } = this
    for (const [link, chunks] of this.links) {
      if (link.ended) {
        link.hangUp()
        this.links.delete(link)
        continue
      }
      const what = chance.next()
      if (what < 0.5) for (let i = chance.below(20); i > 0; i--) link.feed(chunks.shift())
      else if (what < 0.55) link.read()
      else if (what < 0.6) {
        link.hangUp(chance.maybe(0.5) ? new EarshotError("ECONNRESET") : undefined)
        this.links.delete(link)
      }
    }
  }

  private took = (message: Uint8Array[] | undefined): void => {
    if (message !== undefined) this.taken++
  }

  step(): void {
    const { chance, socket } = this
    const word = chance.pick(["", "a", "b", "abc", "\x01a", "\x00a"])
    const message = Array.from({ length: chance.between(1, 3) }, () => word)
    const name = `evil://${chance.below(3)}`
    const signal = chance.maybe(0.3) ? { signal: AbortSignal.abort("given up") } : undefined
    const some = (run: (() => unknown) | undefined): void => run && this.attempt(run)
    switch (chance.below(17)) {
      case 0:
        return this.attempt(() => socket.connect(name, signal))
      case 1:
        return this.attempt(() => socket.disconnect(name))
      case 2:
      case 3:
      case 4:
        return this.attempt(() => this.meet(this.evil.connect("bound")))
      case 5:
      case 6:
        return some(socket.send && (() => socket.send!(message, signal).then(() => this.given++)))
      case 7:
        return some(socket.trySend && (() => (this.given += Number(socket.trySend!(message)))))
      case 8:
      case 9:
        return some(socket.receive && (() => socket.receive!(signal).then(this.took)))
      case 10:
        return some(socket.tryReceive && (() => this.took(socket.tryReceive!())))
      case 11:
        return some(socket.receiveMany && (() => socket.receiveMany!(3).then((all) => all.forEach(this.took))))
      case 12:
        return some(socket.request && (() => socket.request!(word, { timeout: 50, retries: 1 })))
      case 13:
        return some(socket.subscribe && (() => socket.subscribe!(word)))
      case 14:
        return some(socket.unsubscribe && (() => socket.unsubscribe!(word)))
      case 15:
        if (!("onmessage" in socket)) return
        return this.attempt(() => (socket.onmessage = chance.maybe(0.5) ? undefined : this.took))
      default:
        return some(socket.pause && (() => (chance.maybe(0.5) ? socket.pause!() : socket.resume!())))
    }
  }

  turn(): void {
    for (let i = this.chance.between(1, 4); i > 0; i--) this.step()
    this.talk()
  }

  async end(): Promise<void> {
    const closed = this.socket.close()
    for (let i = 0; i < 5; i++) this.talk()
    await closed
    for (const link of this.links.keys()) link.hangUp()
    await Promise.all(this.pending)
    if (this.strangers.length > 0) throw this.strangers[0]
  }
}

/**
 * Where each message that came is either taken or counted as dropped, and each that was given sent or dropped: elsewhere
 * replies are matched, topics filtered, and messages copied.
 */
const exact: ReadonlySet<TypeName> = new Set<TypeName>(["PULL", "DEALER", "ROUTER", "PUSH", "REP"])

for (const type of typeNames)
  t.test(type, async (t) => {
    let messages = 0
    await cases(t, CASES, async (chance, index) => {
      const clock = virtualClock({ seed: seed ^ index })
      const evil = new EvilTransport()
      transports.register(evil)
      const small = { sendHighWaterMark: 3, receiveHighWaterMark: 2, sendTimeout: 100, receiveTimeout: 100 }
      const socket = new classes[type]({
        clock,
        linger: chance.pick([0, 50, 1000]),
        maxMessageSize: 2000,
        reconnectInterval: 10,
      }) as Able
      for (const [name, value] of Object.entries(small)) if (name in socket) Object.assign(socket, { [name]: value })
      if (chance.maybe(0.3)) socket.immediate = true
      if (chance.maybe(0.3)) Object.assign(socket, { heartbeatInterval: 50, heartbeatTimeout: 30 })
      await socket.bind("evil://bound")
      const chaos = new Chaos(chance, type, socket, evil)
      for (let i = chance.between(5, 40); i > 0; i--) {
        chaos.turn()
        if (chance.maybe(0.5)) await clock.settle()
        if (chance.maybe(0.1)) await clock.advance(chance.below(200))
      }
      await clock.until(chaos.end(), 60_000)
      // The patience with a peer that answers no PING.
      await clock.advance(10)
      const { received, dropped, sent } = socket.stats()
      const lost = Object.values(dropped).reduce((sum, { count }) => sum + count, 0)
      // Drops of sent messages are among them.
      if (exact.has(type) && received.count + chaos.given !== chaos.taken + sent.count + lost)
        throw new Error(
          `${received.count} came, ${chaos.taken} were taken; ${chaos.given} given, ${sent.count} sent; ${JSON.stringify(dropped)}`,
        )
      if (clock.holds !== 0) throw new Error(`${clock.holds} holds are left`)
      if (clock.timers !== 0) throw new Error(`${clock.timers} timers are left`)
      if (socket.peers.length > 0) throw new Error("peers are left")
      messages += received.count + sent.count
    })
    t.ok(messages > CASES / 10, `${messages} messages went to and fro`)
  })
