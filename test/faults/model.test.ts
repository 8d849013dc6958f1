// Links that die at random: every message is delivered once, or counted; never twice, never silently lost.
import { randomInt } from "node:crypto"
import * as fc from "fast-check"
import t from "tap"
import { Dealer, Pair, Push } from "../../lib/index.ts"
import { fake, FakeLink } from "../support/fake.ts"
import { events } from "../support/sockets.ts"
import { virtualClock, type VirtualClock } from "../support/virtual-clock.ts"

const seed = Number(process.env["EARSHOT_SEED"] ?? randomInt(2 ** 31))

type Step =
  | { readonly kind: "send"; readonly count: number; readonly size: number }
  | { readonly kind: "limit" | "open"; readonly at: number; readonly bytes: number }
  | { readonly kind: "cut" | "hang up" | "join" | "leave"; readonly at: number }
  | { readonly kind: "turn" }
  | { readonly kind: "wait"; readonly ms: number }

const at = fc.nat({ max: 7 })
const size = fc.oneof(
  { weight: 8, arbitrary: fc.nat({ max: 40 }) },
  { weight: 2, arbitrary: fc.nat({ max: 9000 }) },
  { weight: 1, arbitrary: fc.nat({ max: 300_000 }) },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("send" as const), count: fc.integer({ min: 1, max: 60 }), size }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("limit" as const, "open" as const), at, bytes: size }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("cut" as const, "hang up" as const), at }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("join" as const), at }) },
  { weight: 3, arbitrary: fc.constant({ kind: "turn" as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.nat({ max: 400 }) }) },
)

const sockets = [
  { name: "PUSH", make: Push, peer: "PULL", most: 4 },
  { name: "DEALER", make: Dealer, peer: "DEALER", most: 4 },
  { name: "PAIR", make: Pair, peer: "PAIR", most: 1 },
] as const
const sides = ["bound", "connecting", "immediate"] as const

let names = 0

/** One run: the socket, its peers, and what each was given. */
class World {
  readonly clock: VirtualClock
  readonly socket: Push | Dealer | Pair
  /** By endpoint, or one after another where the socket is bound. */
  readonly hosts: FakeLink[][] = []
  private readonly bound: string | undefined
  private readonly peer: string
  private readonly most: number
  taken = 0

  constructor(about: (typeof sockets)[number], side: (typeof sides)[number], peers: number) {
    this.clock = virtualClock()
    this.socket = new about.make({
      clock: this.clock,
      immediate: side === "immediate",
      sendHighWaterMark: 30,
      reconnectInterval: 100,
    })
    this.peer = about.peer
    this.most = about.most
    fake.onDial = (name) => {
      const link = new FakeLink(`fake://${name}`)
      this.hosts[Number(name.split("/")[1])]!.push(link)
      setImmediate(() => link.shake(this.peer))
      return link
    }
    const prefix = `model-${++names}`
    if (side === "bound") this.bound = prefix
    else
      for (let i = 0; i < Math.min(peers, about.most); i++) {
        this.hosts.push([])
        void this.socket.connect(`fake://${prefix}/${i}`)
      }
  }

  async start(): Promise<void> {
    if (this.bound !== undefined) await this.socket.bind(`fake://${this.bound}`)
    await this.clock.settle()
  }

  get links(): FakeLink[] {
    return this.hosts.flat().filter((link) => !link.gone)
  }

  join(): void {
    if (this.bound === undefined || this.links.length >= this.most) return
    this.hosts.push([fake.connect(this.bound).shake(this.peer)])
  }

  send(count: number, size: number): void {
    for (let i = 0; i < count; i++) {
      const message = Buffer.alloc(4 + size)
      message.writeUInt32BE(this.taken)
      if (!this.socket.trySend(message)) return
      this.taken++
    }
  }

  async step(step: Step): Promise<void> {
    const { links } = this
    const link = "at" in step ? links[step.at % links.length] : undefined
    if (step.kind === "send") this.send(step.count, step.size)
    else if (step.kind === "turn") await this.clock.settle()
    else if (step.kind === "wait") await this.clock.advance(step.ms)
    else if (step.kind === "join") this.join()
    else if (step.kind === "limit") link?.limit(step.bytes)
    else if (step.kind === "open") link?.open(step.bytes)
    else if (step.kind === "cut") link?.cut()
    else link?.hangUp()
  }
}

const run = async (about: (typeof sockets)[number], side: (typeof sides)[number], peers: number, steps: Step[]) => {
  const world = new World(about, side, peers)
  const { clock, socket } = world
  const disconnects = events(socket, "disconnect")
  await world.start()
  for (const step of steps) await world.step(step)

  // Everything works again: what waits goes out.
  for (let round = 0; round < 50 && (round < 2 || socket.peers.some(({ queued }) => queued > 0)); round++) {
    world.join()
    await clock.advance(300)
    for (const link of world.links) link.open()
    await clock.settle()
  }
  const closed = socket.close()
  await clock.until(closed)

  const delivered = world.hosts.map((links) =>
    links.flatMap(({ messages }) => messages.map(([frame]) => Buffer.from(frame!).readUInt32BE())),
  )
  const all = delivered.flat()
  const distinct = new Set(all)
  if (distinct.size !== all.length) throw new Error("a message was delivered twice")
  if (side === "connecting")
    for (const own of delivered)
      if (own.some((n, i) => i > 0 && n < own[i - 1]!)) throw new Error(`out of order: ${own.join(" ")}`)
  const stats = socket.stats()
  const dropped = Object.values(stats.dropped).reduce((sum, { count }) => sum + count, 0)
  // Those that arrived and whose socket can't know, and those that did not arrive.
  const arrived = world.hosts.flat().reduce((sum, link) => sum + link.messages.length - link.confirmed, 0)
  const missing = world.taken - all.length
  if (stats.unconfirmed.count !== arrived + missing - dropped)
    throw new Error(
      `of ${world.taken} messages ${all.length} were delivered, ${arrived} of them unconfirmed, and ${dropped} dropped; ` +
        `but ${stats.unconfirmed.count} are counted as unconfirmed`,
    )
  const told = disconnects.reduce((sum, { unconfirmed }) => sum + unconfirmed, 0)
  if (told !== stats.unconfirmed.count) throw new Error(`the events tell of ${told} unconfirmed messages`)
  if (dropped > 0) throw new Error("dropped, though there was somebody to take it")
  if (clock.holds !== 0) throw new Error("the process is still held")
  if (clock.timers !== 0) throw new Error("timers are left")
  return all.length
}

t.comment(`again: EARSHOT_SEED=${seed} npx tap --disable-coverage test/faults/model.test.ts`)
for (const about of sockets)
  for (const side of sides)
    t.test(`${about.name}, ${side}`, async (t) => {
      let delivered = 0
      const property = fc.asyncProperty(
        fc.integer({ min: 1, max: about.most }),
        fc.array(step, { minLength: 5, maxLength: 60 }),
        async (peers, steps) => {
          delivered += await run(about, side, peers, steps)
        },
      )
      await fc.assert(property, { seed, numRuns: 300 })
      t.ok(delivered > 1000, `${delivered} messages delivered`)
    })
