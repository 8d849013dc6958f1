// requestMany while leaves move, links are lost, and members and carriers come, drain, close and die, drawn at random: whoever can be
// reached all the while is asked once and answers or fails once, nobody answers twice, and nothing stays. Seeds as in soak.test.ts.
import t, { type Test } from "tap"
import type { EarshotError } from "../../lib/errors.ts"
import type { Mesh, RequestManyOptions } from "../../lib/mesh/index.ts"
import type { Member } from "../../lib/mesh/member.ts"
import { testMesh, type VirtualTestMesh } from "../../lib/mesh/testing.ts"
import { virtualClock } from "../support/virtual-clock.ts"
import { hubOf } from "../support/mesh-peer.ts"

t.setTimeout(600_000)

const CARRIERS = ["r1", "r2", "r3", "r4"] as const
const LEAVES = ["l1", "l2", "l3", "l4", "l5"] as const
const STEPS = 60
/** ms that a way between two has been as it is before it counts as one that can be relied on. */
const CALM = 3000

interface Life {
  readonly name: string
  readonly mesh: Mesh
  readonly boot: string
  readonly leaf: boolean
  over: boolean
}

/** One question, and what came of it. */
interface Round {
  readonly asker: Life
  readonly began: number
  readonly timeout: number
  /** It may end before all have answered. */
  readonly early: boolean
  /** Who could be reached all the while. */
  steady: readonly Life[]
  readonly handled: Map<string, number>
  readonly answered: Map<string, number>
  readonly failed: string[]
  ended: number
}

interface Passing {
  readonly askers: ReadonlyMap<Member, { readonly passed: ReadonlyMap<number, unknown>; readonly awaited: number }>
}

const pairOf = (a: string, b: string): string => [a, b].toSorted().join("-")
const count = (map: Map<string, number>, key: string): void => void map.set(key, (map.get(key) ?? 0) + 1)

class ManySoak {
  readonly net: VirtualTestMesh
  readonly lives: Life[] = []
  readonly rounds: Round[] = []
  readonly troubles: string[] = []
  readonly story: string[] = []
  private readonly running: Promise<void>[] = []
  /** When a link was last touched, or came to be. */
  private readonly touched = new Map<string, number>()
  private readonly cut = new Set<string>()
  private readonly random: () => number

  constructor(net: VirtualTestMesh, random: () => number) {
    this.net = net
    this.random = random
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

  touch(a: string, b: string): void {
    this.touched.set(pairOf(a, b), this.net.clock.now())
  }

  heal(): void {
    this.net.heal()
    for (const link of this.cut) this.touched.set(link, this.net.clock.now())
    this.cut.clear()
  }

  async join(name: string): Promise<void> {
    const { net } = this
    const leaf = name.startsWith("l")
    const mesh = await net.join(name, {
      observe: false,
      ...(leaf ? { listen: [] } : { maxLeaves: 4 }),
      ...(this.random() < 0.5 ? { state: `state of ${name}` } : {}),
    })
    const { clock } = net
    const boot = hubOf(mesh).identity.nonce
    const life: Life = { name, mesh, boot, leaf, over: false }
    this.lives.push(life)
    for (const other of this.living) this.touch(name, other.name)
    mesh.on("error", ({ error }) => this.troubles.push(`${name}: ${error.stack}`))
    mesh.on("join", ({ member }) => this.touch(name, member.name))
    mesh.on("leave", ({ member }) => this.touch(name, member.name))
    mesh.serve<number>(
      "x",
      async (n, { signal }) => {
        const round = this.rounds[n]!
        count(round.handled, boot)
        const how = this.random()
        if (how > 0.3)
          await new Promise<void>((resolve) => {
            // Some take longer than anybody waits; of these, some leave off when they are told.
            if (how < 0.93) clock.timeout(resolve, this.whole(400))
            signal.addEventListener("abort", () => how < 0.97 || resolve())
            if (how >= 0.93) clock.timeout(resolve, 20_000)
          })
        if (this.random() < 0.2) throw Object.assign(new Error("no"), { code: boot })
        return boot
      },
      { queue: null, concurrency: 1000 },
    )
    mesh.serve("x", () => "crew", { queue: "crew" })
  }

  /** The links between asker and server, as it stands. */
  private wayTo(asker: Life, server: Life): readonly string[] | undefined {
    const carrierOf = (life: Life): Life | undefined => {
      const id = [...hubOf(life.mesh).links.linked][0]?.id
      return this.living.find(({ mesh }) => mesh.id === id)
    }
    const way: Life[] = [asker]
    if (asker.leaf) way.push(carrierOf(asker)!)
    if (server.leaf && server !== asker) way.push(carrierOf(server)!)
    way.push(server)
    if (way.some((life: Life | undefined) => life === undefined)) return undefined
    const links = way.map(({ name }) => pairOf(name, name))
    for (const [i, one] of way.entries()) {
      const next = way[i + 1]
      if (next === undefined || next === one) continue
      const linked = (a: Life, b: Life): boolean => [...hubOf(a.mesh).links.linked].some(({ id }) => id === b.mesh.id)
      if (!linked(one, next) || !linked(next, one)) return undefined
      if (hubOf(next.mesh).draining) return undefined
      const link = pairOf(one.name, next.name)
      if (this.cut.has(link)) return undefined
      links.push(link)
    }
    return links
  }

  /** `calm`: everybody has the time to answer. */
  ask(asker: Life, calm = false): void {
    const { net, rounds } = this
    const n = rounds.length
    const timeout = calm ? 60_000 : 100 + this.whole(8000)
    const how = calm ? 0.5 : this.random()
    const controller = new AbortController()
    const options: RequestManyOptions = {
      timeout,
      ...(how < 0.1 ? { max: 1 + this.whole(6) } : {}),
      ...(how > 0.9 ? { stall: 1 + this.whole(200) } : {}),
      signal: controller.signal,
    }
    const leaves = how > 0.1 && how < 0.2 ? this.whole(6) : Infinity
    if (how > 0.2 && how < 0.3) net.clock.timeout(() => controller.abort(new Error("enough")), this.whole(500))
    const ways = new Map<Life, readonly string[]>()
    for (const server of this.living) {
      const way = this.wayTo(asker, server)
      if (way !== undefined) ways.set(server, way)
    }
    const round: Round = {
      asker,
      began: net.clock.now(),
      timeout,
      early: how < 0.3 || how > 0.9,
      steady: [],
      handled: new Map(),
      answered: new Map(),
      failed: [],
      ended: Infinity,
    }
    rounds.push(round)
    const replies = asker.mesh.requestMany<string>("x", n, options)
    const run = async (): Promise<void> => {
      try {
        let heard = 0
        for await (const { data } of replies) {
          count(round.answered, data)
          if (++heard > leaves) break
        }
      } catch (error) {
        if ((error as Error).message !== "enough" && (error as EarshotError).code !== "EBADF") throw error
      }
      round.ended = net.clock.now()
      const calm = (link: string): boolean => (this.touched.get(link) ?? 0) < round.began - CALM
      round.steady = [...ways].filter(([, way]) => way.every(calm)).map(([server]) => server)
      for (const { error } of replies.failures)
        round.failed.push((error as { remoteCode?: string }).remoteCode ?? error.code)
    }
    this.running.push(run().catch((error: unknown) => void this.troubles.push(String((error as Error).stack))))
  }

  async leave(life: Life): Promise<void> {
    const { net } = this
    life.over = true
    for (const other of this.lives) this.touch(life.name, other.name)
    const how = this.random()
    if (how < 0.4) return net.kill(life.name, { silent: how < 0.2 })
    if (how < 0.6) return net.until(life.mesh.close())
    const drained = life.mesh.drain({ timeout: this.whole(5000) }).catch(() => {})
    for (let i = this.whole(3); i > 0; i--) this.ask(this.one(this.living))
    await net.until(drained)
  }

  async step(): Promise<void> {
    const { net, living } = this
    const [one, other] = [this.one(living), this.one(living)]
    const what = this.random()
    const say = (text: string): void => void this.story.push(text)
    if (what < 0.55) {
      for (let i = 1 + this.whole(4); i > 0; i--) {
        say(`${this.rounds.length}: ${one.name} asks`)
        this.ask(this.random() < 0.5 ? one : this.one(living))
      }
    } else if (what < 0.68 && one !== other) {
      const silent = this.random() < 0.5
      say(`cut ${one.name} ${other.name} ${silent}`)
      this.touch(one.name, other.name)
      this.cut.add(pairOf(one.name, other.name))
      net.cut(one.name, other.name, { silent })
    } else if (what < 0.76) {
      say("heal")
      this.heal()
    } else if (what < 0.84 && one !== other) {
      const ms = this.whole(3) * this.whole(40)
      say(`slow ${one.name} ${other.name} ${ms}`)
      net.slow(one.name, other.name, ms)
    } else if (what < 0.89 && living.filter(({ leaf }) => leaf === one.leaf).length > 2) {
      say(`${one.name} leaves`)
      await this.leave(one)
    } else {
      const free = [...CARRIERS, ...LEAVES].filter((name) => living.every((life) => life.name !== name))
      if (free.length > 0) {
        this.heal()
        await net.advance(8000)
        const name = this.one(free)
        say(`${name} joins`)
        await this.join(name)
      }
    }
    const ms = this.random() < 0.4 ? this.whole(300) : Math.floor(this.random() ** 3 * 15_000)
    say(`+${ms} = ${Math.round(net.clock.now())}`)
    await net.advance(ms)
  }

  /** Everything works again, and what was under way is over. */
  async mend(t: Test): Promise<void> {
    const { net } = this
    this.heal()
    await net.advance(60_000)
    await net.settle()
    await net.until(Promise.all(this.running))
    await net.advance(60_000)
    for (const { mesh, name } of this.living) {
      const { asking, answering, relay } = hubOf(mesh)
      const { askers } = (relay as unknown as { requests: Passing }).requests
      const passed = [...askers.values()].flatMap((each) => [each.passed.size, each.awaited])
      t.strictSame(
        [name, asking.waiting, answering.size, passed.some((each) => each !== 0)],
        [name, 0, 0, false],
        "nothing is under way",
      )
    }
    const { living } = this
    for (const asker of living) this.ask(asker, true)
    await net.advance(60_000)
    for (const { asker, answered, failed } of this.rounds.slice(-living.length)) {
      const all = [...answered.values()].reduce((sum, each) => sum + each, 0) + failed.length
      t.strictSame([asker.name, all], [asker.name, living.length + 1], "in the end all are reached")
    }
  }

  check(t: Test): void {
    t.strictSame(this.troubles.slice(0, 5), [])
    const wrong: string[] = []
    let steady = 0
    for (const [n, round] of this.rounds.entries()) {
      const { asker, began, ended, timeout, early, handled, answered, failed } = round
      if (ended === Infinity) wrong.push(`${n} has no end`)
      if (ended > began + timeout) wrong.push(`${n} ended after ${ended - began} ms, not ${timeout}`)
      steady += round.steady.length
      for (const { boot, name } of round.steady) {
        const here = handled.get(boot) ?? 0
        const said = (answered.get(boot) ?? 0) + failed.filter((each) => each === boot).length
        const late = ended >= began + timeout
        if (here !== 1 && !(early && here === 0)) wrong.push(`${n}: ${asker.name} asked ${name} ${here} times`)
        if (said > 1 || (said === 0 && !late && !early))
          wrong.push(
            `${n}: ${name} said ${said} to ${asker.name} after ${ended - began} of ${timeout}: ${failed.join()}`,
          )
      }
      for (const [boot, times] of answered)
        if (boot !== "crew" && times > 1)
          wrong.push(`${n}: ${this.lives.find((each) => each.boot === boot)!.name} answered ${times} times`)
      if ((answered.get("crew") ?? 0) > 1) wrong.push(`${n}: the crew answered ${answered.get("crew")} times`)
    }
    t.comment(`${this.rounds.length} questions, ${steady} ways that held`)
    t.strictSame(wrong.slice(0, 20), [])
  }
}

const given = Number(process.env["EARSHOT_SOAK_SEED"])
const many = Number(process.env["EARSHOT_SOAK_SEEDS"] ?? 6)
for (const seed of given > 0 ? [given] : Array.from({ length: many }, (_, i) => i + 1)) {
  t.test(`seed ${seed}`, async (t) => {
    const chance = virtualClock({ seed })
    await using net = await testMesh([], { clock: "virtual", seed })
    const soak = new ManySoak(net, () => chance.random())
    for (const name of [...CARRIERS, ...LEAVES]) await soak.join(name)
    await net.settle()
    await net.advance(CALM)
    for (let step = 0; step < STEPS; step++) await soak.step()
    await soak.mend(t)
    await net.close()
    await net.advance(300_000)
    soak.check(t)
    t.strictSame([net.clock.timers, net.clock.holds], [0, 0], "nothing stays")
    if (!t.passing()) t.comment(soak.story.join("; "))
  })
}
