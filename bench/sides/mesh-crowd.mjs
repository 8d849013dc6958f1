// A crowd of members in a few processes, told of one member by a seed. `host` starts the others (`crowd`, by fork), and plays
// one of the scenes; it runs in a network namespace of its own where the bench can make one (questions/mesh-crowd.mjs).
import { execFileSync, fork } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { missing, play, say, settle } from "../support/role.mjs"

const entry = new URL("../../dist/lib/mesh/index.js", import.meta.url)
if (!existsSync(entry)) missing("not built")
const { Mesh, seeds } = await import(entry)

/** Node takes one connection a turn of its loop: the more members share a loop, the longer a storm of them takes. */
const PROCESSES = 4
/** ms for which an idle crowd is looked at, and before that left alone. */
const IDLE = 10_000
const QUIET = 10_000
/** Every tenth of those that stay publishes so often. */
const BEAT = 200
const SHARE = 10
const PATIENCE = 120_000
const SUBJECT = "crowd"

// --- In a process of the crowd ---

class Crowd {
  members = []
  #numbers = new Map()
  #problems = []
  #timer
  #usage

  async join({ count, seed, total }) {
    this.options = { network: "crowd", listen: ["tcp://127.0.0.1:0"], maxLinks: 1000 }
    for (let n = 0; n < count; n++) await this.#add(seed ?? this.members[0]?.endpoints[0])
    this.total = total
    return { endpoint: this.members[0].endpoints[0], ids: this.members.map(({ id }) => id), last: Date.now() }
  }

  async #add(seed) {
    const member = await Mesh.join({ ...this.options, discovery: seed === undefined ? [] : [seeds(seed)] })
    this.members.push(member)
    return member
  }

  async ready() {
    await Promise.all(this.members.map((member) => member.ready({ members: this.total - 1, timeout: PATIENCE })))
    return { at: Date.now() }
  }

  begin() {
    this.#usage = process.cpuUsage()
  }

  async usage() {
    const { user, system } = process.cpuUsage(this.#usage)
    await settle()
    return { ms: (user + system) / 1000, rss: process.memoryUsage().rss }
  }

  /** When the last of us has seen it leave. */
  async gone({ id }) {
    const left = (member) =>
      new Promise((resolve) => {
        member.on("leave", (event) => event.member.id === id && resolve())
        if (!member.members.has(id)) resolve()
      })
    const late = sleep(PATIENCE, undefined, { ref: false }).then(() => Promise.reject(new Error("it stays for ever")))
    await Promise.race([Promise.all(this.members.map(left)), late])
    return { at: Date.now() }
  }

  /** Every member counts what it gets of those that stay; some of them publish a number again and again. */
  async listen({ stay }) {
    const staying = new Set(stay)
    for (const member of this.members) {
      member.on("drop", ({ reason, count }) => this.#problems.push(`${count} dropped: ${reason}`))
      const subscription = member.subscribe(SUBJECT, ({ from, data }) => {
        if (!staying.has(from.id)) return
        const key = `${member.id} ${from.id}`
        const expected = (this.#numbers.get(key) ?? 0) + 1
        if (data !== expected) this.#problems.push(`${data} came where ${expected} was due`)
        this.#numbers.set(key, data)
      })
      await subscription.ready({ timeout: 30_000 })
    }
  }

  load() {
    const speakers = this.members.filter((_, n) => n % SHARE === 0)
    this.sent = 0
    this.#timer = setInterval(() => {
      this.sent++
      for (const speaker of speakers) void speaker.publish(SUBJECT, this.sent, { echo: false })
    }, BEAT)
  }

  async unload() {
    clearInterval(this.#timer)
    await Promise.all(this.members.map((member) => member.flush({ timeout: 30_000 })))
    return { sent: this.sent, speakers: this.members.filter((_, n) => n % SHARE === 0).map(({ id }) => id) }
  }

  /** What is missing of that, with what else was wrong. */
  verdict({ speeches }) {
    for (const { sent, speakers } of speeches)
      for (const speaker of speakers)
        for (const { id } of this.members) {
          const got = this.#numbers.get(`${id} ${speaker}`) ?? 0
          if (id !== speaker && got !== sent) this.#problems.push(`${got} of ${sent} messages came`)
        }
    return { problems: this.#problems }
  }

  /** One after the other goes and comes back as another. */
  async restart({ seed }) {
    const before = this.members
    this.members = []
    for (const member of before) {
      await member.close()
      const back = await this.#add(seed)
      await back.ready({ members: this.total - 1, timeout: PATIENCE })
    }
    return {}
  }
}

async function crowd() {
  const own = new Crowd()
  process.on("disconnect", () => process.exit())
  // Where the host is gone already nobody hears it.
  const tell = (message) => process.send(message, () => {})
  process.on("message", ({ does, ...args }) => {
    Promise.resolve(own[does](args)).then(
      (answer) => tell({ answer: answer ?? {} }),
      (error) => tell({ error: error.message }),
    )
  })
  await new Promise(() => {})
}

// --- In the host ---

/** A process of the crowd, asked one thing at a time. */
class Worker {
  constructor() {
    this.process = fork(fileURLToPath(import.meta.url), ["crowd"], { execArgv: ["--expose-gc"] })
  }

  async ask(does, args = {}) {
    this.process.send({ does, ...args })
    const ended = once(this.process, "exit").then(([code, signal]) => [{ error: `it ended with ${code ?? signal}` }])
    const [{ answer, error }] = await Promise.race([once(this.process, "message"), ended])
    if (error !== undefined) throw new Error(`${does}: ${error}`)
    return answer
  }
}

/** So many members, linked. The first process begins; the figure runs from the last join on. */
async function gather(total, counts) {
  const workers = counts.map(() => new Worker())
  const first = await workers[0].ask("join", { count: 1, total })
  const joined = await Promise.all(
    workers.map((worker, n) =>
      worker.ask("join", { count: counts[n] - (n === 0 ? 1 : 0), seed: first.endpoint, total }),
    ),
  )
  const last = Math.max(...joined.map(({ last }) => last))
  const linked = await Promise.all(workers.map((worker) => worker.ask("ready")))
  return { workers, joined, seed: first.endpoint, linked: Math.max(...linked.map(({ at }) => at)) - last }
}

const evenly = (total, parts = PROCESSES) => Array.from({ length: parts }, (_, n) => Math.floor((total + n) / parts))

const asked = (workers, does, args) => Promise.all(workers.map((worker) => worker.ask(does, args)))

/** Bytes and packets that went over the loopback of this namespace. */
function loopback() {
  const [bytes, packets] = /^\s*lo:\s*(\d+)\s+(\d+)/m.exec(readFileSync("/proc/self/net/dev", "utf8")).slice(1)
  return { bytes: Number(bytes), packets: Number(packets) }
}

const scenes = {
  /** All linked; then nothing happens for a while; then some go and come back under load. */
  async full({ total }) {
    const going = total / 5
    const { workers, joined, seed, linked } = await gather(total, [...evenly(total - going, PROCESSES - 1), going])
    await sleep(QUIET)
    await asked(workers, "begin")
    await sleep(IDLE)
    const used = await asked(workers, "usage")
    const sum = (name) => used.reduce((all, one) => all + one[name], 0)
    return {
      linked,
      cpu: (sum("ms") / IDLE / total) * 100,
      rss: sum("rss") / 2 ** 20 / total,
      restarts: await restarts(workers, joined, seed, going),
    }
  },

  /** What an idle crowd says to itself, a second. */
  async idle({ total, private: own }) {
    if (own !== 1) missing("not measured: needs a network namespace of its own (Linux, root)")
    await gather(total, evenly(total))
    await sleep(QUIET)
    const before = loopback()
    await sleep(IDLE * 2)
    const after = loopback()
    const rate = (name) => (after[name] - before[name]) / ((IDLE * 2) / 1000)
    return { bytes: rate("bytes"), packets: rate("packets") }
  },

  /** One more, in a process of its own, ends without a word: `SIGKILL`, or `SIGSTOP` and the system says nothing. */
  async gone({ total, signal }) {
    const { workers, joined } = await gather(total, [...evenly(total - 1), 1])
    const victim = workers.pop()
    const [id] = joined.at(-1).ids
    const left = asked(workers, "gone", { id })
    await sleep(1000)
    const begun = Date.now()
    victim.process.kill(signal)
    const at = Math.max(...(await left).map((answer) => answer.at))
    victim.process.kill("SIGKILL")
    return { ms: at - begun }
  },
}

/** The members of one process restart in turn; what the others say to each other must all arrive. ms of a restart, all linked. */
async function restarts(workers, joined, seed, count) {
  const last = workers.at(-1)
  const staying = workers.slice(0, -1)
  const stay = joined.slice(0, -1).flatMap(({ ids }) => ids)
  await asked(staying, "listen", { stay })
  await asked(staying, "load")
  const begun = Date.now()
  await last.ask("restart", { seed })
  const ms = Date.now() - begun
  const speeches = await asked(staying, "unload")
  await asked(staying, "unload")
  const problems = (await asked(staying, "verdict", { speeches })).flatMap((verdict) => verdict.problems)
  if (problems.length > 0) throw new Error(`${problems.length} losses between members that stayed: ${problems[0]}`)
  return ms / count
}

await play({
  crowd,
  async host({ scene, ...args }) {
    if (args.private === 1) execFileSync("ip", ["link", "set", "lo", "up"])
    // A scene may take longer than the bench waits for one answer; each step of it is bounded.
    setInterval(() => say({ alive: true }), 10_000)
    say({ ...(await scenes[scene](args)), done: true })
  },
})
