// Whatever befalls a mesh, drawn at random, step by step: the sums add up, the order is kept, nothing comes twice, nothing is
// stuck once all is healed, and nothing stays. EARSHOT_SOAK_SEED=7 runs one seed, EARSHOT_SOAK_SEEDS=100 so many of them.
import t, { type Test } from "tap"
import type { EarshotError } from "../../lib/errors.ts"
import type { Mesh, MeshEvents, Receipt } from "../../lib/mesh/index.ts"
import type { Hub } from "../../lib/mesh/hub.ts"
import type { Member } from "../../lib/mesh/member.ts"
import { testMesh, type VirtualTestMesh } from "../../lib/mesh/testing.ts"
import { virtualClock } from "../support/virtual-clock.ts"

t.setTimeout(600_000)

const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"] as const
/** So many live at any time. */
const LEAST = 3
const STEPS = 120
const RULES = ["drop", "drop", "drop-oldest", "conflate", "wait"] as const
/** What a request may fail with where members come and go. */
const FAILURES = new Set(["NO_RESPONDERS", "TIMEOUT", "BUSY", "PEER_LOST", "EBADF"])

interface Numbered {
  /** Who published it: which boot. */
  readonly by: string
  readonly n: number
  readonly pad: string
}

/** What one boot sent to another, and what it says became of it. */
interface Pair {
  expected: number
  received: number
  last: number
  /** Told by the sender: dropped, or missing for good. */
  told: number
}

/** One life of one member. */
interface Life {
  readonly name: string
  readonly mesh: Mesh
  readonly hub: Hub
  /** Tells boots of one member apart. */
  readonly boot: string
  published: number
  /** Killed, or closed. */
  over: boolean
}

const hubOf = (mesh: Mesh): Hub => (mesh as unknown as { hub: Hub }).hub

class Soak {
  readonly net: VirtualTestMesh
  readonly lives: Life[] = []
  readonly pairs = new Map<string, Pair>()
  readonly troubles: string[] = []
  readonly receipts: Promise<Receipt>[] = []
  readonly questions: Promise<void>[] = []
  /** Of jobs: how often each was done. */
  readonly done = new Map<number, number>()
  readonly story: string[] = []
  jobs = 0
  /** Jobs that somebody told to have dropped. */
  dropped = 0
  /** What was told to be lost, and may have been jobs. */
  unnamed = 0
  /** Work, and not only messages to all. */
  readonly work: boolean
  /** Nobody leaves or dies, and no cut is long. */
  readonly gentle: boolean
  private readonly random: () => number

  constructor(net: VirtualTestMesh, random: () => number, kind: { readonly work: boolean; readonly gentle: boolean }) {
    this.net = net
    this.random = random
    this.work = kind.work
    this.gentle = kind.gentle
    for (const [name, mesh] of Object.entries<Mesh>(net.mesh)) this.begin(name, mesh)
  }

  get living(): Life[] {
    return this.lives.filter(({ over }) => !over)
  }

  whole(below: number): number {
    return Math.floor(this.random() * below)
  }

  one<T>(of: readonly T[]): T {
    return of[this.whole(of.length)]!
  }

  pair(from: string, to: string): Pair {
    const key = `${from} ${to}`
    let pair = this.pairs.get(key)
    if (pair === undefined) this.pairs.set(key, (pair = { expected: 0, received: 0, last: 0, told: 0 }))
    return pair
  }

  begin(name: string, mesh: Mesh): void {
    const hub = hubOf(mesh)
    const boot = hub.identity.nonce
    const life: Life = { name, mesh, hub, boot, published: 0, over: false }
    this.lives.push(life)
    const told = ({ member, count }: MeshEvents["drop"] | MeshEvents["gap"]): void => {
      if (member !== undefined) this.pair(boot, (member as Member).nonce).told += count ?? NaN
    }
    mesh.on("drop", (event) => {
      if (event.subject === "job") this.dropped += event.count
      else if (event.subject === undefined) this.unnamed += event.count
      told(event)
    })
    mesh.on("gap", (event) => {
      if (event.direction === "received") return
      this.unnamed += event.count ?? NaN
      told(event)
    })
    mesh.on("error", ({ error }) => this.troubles.push(`${name}: ${error.stack}`))
    mesh.on("clash", () => this.troubles.push(`${name}: clash`))
    mesh.subscribe<Numbered>("all", { queueSize: Infinity, queueBytes: Infinity }, ({ data: { by, n } }) => {
      const pair = this.pair(by, boot)
      pair.received++
      if (n <= pair.last) this.troubles.push(`${n} came to ${name} behind ${pair.last}`)
      pair.last = n
    })
    if (this.work) this.employ(mesh)
  }

  /** It takes jobs, and answers. */
  private employ(mesh: Mesh): void {
    const rest = (): Promise<void> => new Promise((resolve) => this.net.clock.timeout(resolve, this.whole(50)))
    mesh.subscribe<number>("job", { queue: "crew", concurrency: 2, prefetch: this.whole(4) }, ({ data }) => {
      this.done.set(data, (this.done.get(data) ?? 0) + 1)
      return rest()
    })
    mesh.serve("ask", async (n: number) => {
      await rest()
      return n + 1
    })
  }

  // --- What happens ---

  publish(life: Life, count: number, size: number, onFull: (typeof RULES)[number], confirm: boolean): void {
    for (let i = 0; i < count; i++) {
      const { hub, mesh, boot } = life
      for (const member of hub.routes.of("all").plain) this.pair(boot, member.nonce).expected++
      this.pair(boot, boot).expected++
      const data: Numbered = { by: boot, n: ++life.published, pad: "p".repeat(size) }
      if (onFull === "wait" || confirm) this.receipts.push(mesh.publish("all", data, { onFull, confirm }))
      else mesh.tryPublish("all", data, onFull === "drop" ? undefined : { onFull })
    }
  }

  hire({ mesh }: Life, count: number, wait: boolean, confirm: boolean): void {
    for (let i = 0; i < count; i++)
      this.receipts.push(mesh.publish("job", ++this.jobs, { onFull: wait ? "wait" : "drop", confirm }))
  }

  ask({ mesh, name }: Life, count: number): void {
    for (let i = 0; i < count; i++)
      this.questions.push(
        mesh.request<number>("ask", i, { timeout: 1 + this.whole(5000), idempotent: this.random() < 0.5 }).then(
          (answer) => void (answer === i + 1 || this.troubles.push(`${name} was told ${answer}, not ${i + 1}`)),
          (error: EarshotError) => void (FAILURES.has(error.code) || this.troubles.push(`${name}: ${error.stack}`)),
        ),
      )
  }

  async leave(life: Life): Promise<void> {
    life.over = true
    const how = this.random()
    const { net } = this
    if (how < 0.4) return net.kill(life.name, { silent: how < 0.2 })
    if (how < 0.7) return net.until(life.mesh.close())
    await net.until(life.mesh.drain({ timeout: this.whole(5000) }).catch(() => {}))
  }

  async join(): Promise<void> {
    const { net } = this
    const free = NAMES.filter((name) => this.living.every((life) => life.name !== name))
    if (free.length === 0) return
    const name = this.one(free)
    // Some are the same member again.
    this.begin(name, await net.join(name, this.random() < 0.5 ? { state: `state of ${name}` } : {}))
  }

  async step(): Promise<void> {
    const { net, living, gentle } = this
    const [one, other] = [this.one(living), this.one(living)]
    const what = this.random()
    const say = (text: string): void => void this.story.push(text)
    if (what < 0.3) {
      const count = 1 + Math.floor(this.random() ** 4 * (this.work ? 100 : 3000))
      say(`${one.name} publishes ${count}`)
      const size = Math.floor(this.random() ** 4 * 3000)
      this.publish(one, count, size, this.one(RULES), this.random() < 0.1)
    } else if (what < 0.45 && this.work) {
      say(`${one.name} hires`)
      this.hire(one, 1 + Math.floor(this.random() ** 3 * 60), this.random() < 0.5, this.random() < 0.3)
    } else if (what < 0.55 && this.work) {
      say(`${one.name} asks`)
      this.ask(one, 1 + Math.floor(this.random() ** 3 * 100))
    } else if (what < 0.68 && one !== other) {
      const silent = this.random() < 0.5
      say(`cut ${one.name} ${other.name} ${silent}`)
      net.cut(one.name, other.name, { silent })
    } else if (what < 0.78) {
      say("heal")
      net.heal()
    } else if (what < 0.86 && one !== other) {
      const ms = this.whole(3) * this.whole(40)
      say(`slow ${one.name} ${other.name} ${ms}`)
      net.slow(one.name, other.name, ms)
    } else if (what < 0.91 && !gentle && living.length > LEAST) {
      say(`${one.name} leaves`)
      await this.leave(one)
    } else if (what < 0.97) {
      say("join")
      await this.join()
    }
    const ms = Math.floor(this.random() ** 4 * (gentle ? 4000 : 40_000))
    say(`+${ms} = ${Math.round(net.clock.now())}`)
    await net.advance(ms)
  }

  /** No cut is long enough for anything to be lost. */
  async steps(): Promise<void> {
    let healed = 0
    for (let step = 0; step < STEPS; step++) {
      await this.step()
      if (this.gentle && this.net.clock.now() - healed > 5000) {
        this.net.heal()
        await this.net.advance(5000)
        healed = this.net.clock.now()
      }
    }
  }

  /** Everything works again, and what was under way is over. */
  async mend(t: Test): Promise<void> {
    const { net, living } = this
    net.heal()
    for (const a of living) for (const b of living) if (a !== b) net.slow(a.name, b.name, 0)
    await net.advance(30_000)
    await net.settle()
    await net.until(Promise.all([...this.receipts, ...this.questions]))
    for (const { mesh } of living) await net.until(mesh.flush())
    await net.advance(30_000)
    for (const { hub, name } of living) {
      const { asking, answering, outgoing } = hub
      t.strictSame([name, outgoing.held, asking.waiting, answering.size], [name, 0, 0, 0], "nothing is under way")
      t.equal(hub.links.linkedCount, living.length - 1)
    }
    for (const life of living) this.publish(life, 1, 0, "drop", false)
    for (const { mesh } of living) {
      t.match(await net.until(mesh.publish("all", { by: "", n: NaN }, { confirm: true })), {
        sent: living.length,
        confirmed: living.length,
      })
      if (!this.work) continue
      t.match(await net.until(mesh.publish("job", ++this.jobs, { onFull: "wait", confirm: true })), { confirmed: 1 })
      t.equal(await net.until(mesh.request("ask", 5)), 6)
    }
    await net.advance(1000)
  }

  check(t: Test): void {
    const { lives, troubles } = this
    t.strictSame(troubles.slice(0, 10), [], "in order, none twice, no errors")
    const wrong: unknown[] = []
    for (const from of lives)
      for (const to of lives) {
        const { expected, received, told } = this.pair(from.boot, to.boot)
        // Of who is gone nobody can say what it has had last; and where there is work, more is told of than what is for all.
        const exact = !from.over && !to.over && !this.work
        const fine = received <= expected && (exact ? received + told === expected : received + told >= expected)
        if (!fine) wrong.push({ from: from.name, to: to.name, expected, received, told, over: [from.over, to.over] })
      }
    t.strictSame(wrong, [], "each message came, or was told of")
    for (const { boot, over } of lives) {
      const { expected, received, told } = this.pair(boot, boot)
      if (!over) t.strictSame([received, told], [expected, 0], "our own")
    }
    const twice = [...this.done].filter(([, times]) => times > 1)
    t.strictSame(twice.slice(0, 10), [], "no work is done twice")
    const { jobs, done, dropped, unnamed } = this
    const lost = jobs - done.size - dropped
    t.ok(
      lost >= 0 && lost <= unnamed,
      `${done.size} of ${jobs} jobs were done, ${dropped} dropped, ${unnamed} may be so`,
    )
  }
}

const given = Number(process.env["EARSHOT_SOAK_SEED"])
const many = Number(process.env["EARSHOT_SOAK_SEEDS"] ?? 8)
for (const seed of given > 0 ? [given] : Array.from({ length: many }, (_, i) => i + 1)) {
  const kind = { work: seed % 2 === 0, gentle: seed % 5 < 2 }
  t.test(`seed ${seed}: ${kind.work ? "with work" : "to all"}, ${kind.gentle ? "gently" : "roughly"}`, async (t) => {
    const chance = virtualClock({ seed })
    await using net = await testMesh(["a", "b", "c", "d", "e"], { clock: "virtual", seed })
    const soak = new Soak(net, () => chance.random(), kind)
    await net.settle()
    await soak.steps()
    await soak.mend(t)
    await net.close()
    await net.advance(300_000)
    soak.check(t)
    t.strictSame([net.clock.timers, net.clock.holds], [0, 0], "nothing stays")
    if (!t.passing()) t.comment(soak.story.join("; "))
  })
}
