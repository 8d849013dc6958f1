/** What the other processes do. Each is a program of its own; none of them knows where another one is. */
import { setTimeout as sleep } from "node:timers/promises"
import { Mesh, mdns } from "earshot/mesh"
import type { Account, Breakage } from "./cast.ts"

export type PartName = "sensor" | "worker" | "service" | "office"

/** What a part is told: who it is, how many others there will be, and what it shall break. */
interface Role {
  readonly name: string
  readonly others: number
  readonly breakage: Breakage
}

/** Begins a part; what it returns ends it. */
type Part = (mesh: Mesh, role: Role) => End

/** Resolves to what was sent, once all of it has been read by everybody. */
type End = () => Promise<Record<string, number>>

export const parts: Readonly<Record<PartName, Part>> = { sensor, worker, service, office }

/** A member of this mesh: on this machine alone, whatever the environment says. */
export function join(name: string, network: string, role: string): Promise<Mesh> {
  const meta = { role, process: process.pid }
  return Mesh.join({ name, network, meta, listen: ["tcp://127.0.0.1:0"], discovery: [mdns()] })
}

/** One process: a member that plays a part until it is told otherwise. */
export async function play(part: PartName, [name, network, others, breakage]: readonly string[]): Promise<void> {
  process.on("disconnect", () => process.exit(1))
  const mesh = await join(name!, network!, part)
  const problems: string[] = []
  mesh.on("drop", ({ reason, count, subject }) => problems.push(`${count} dropped (${reason}) ${subject ?? ""}`))
  mesh.on("gap", ({ count, member }) => problems.push(`${count} missing between it and ${member.name}`))
  mesh.on("error", ({ error }) => problems.push(error.message))
  // Everybody answers this one, rather than one of all.
  mesh.serve("census", () => ({ name, process: process.pid }), { queue: null })
  const end = parts[part](mesh, { name: name!, others: Number(others), breakage: (breakage || undefined) as Breakage })
  const leave = async (word: unknown): Promise<void> => {
    if (word === "stop") process.send!({ name: name!, sent: await end(), problems } satisfies Account)
    await mesh.drain()
    process.disconnect()
    process.exit(0)
  }
  process.once("message", (word) => void leave(word))
}

/** Says how it goes, for the monitor's table. */
function reporting(mesh: Mesh, name: string, does: () => string): void {
  const timer = setInterval(() => {
    if (mesh.closed) clearInterval(timer)
    else void mesh.publish(`status.${name}`, does())
  }, 500).unref()
}

/** Measures temperature and humidity of its room, 20 times a second. */
function sensor(mesh: Mesh, { name: room, breakage }: Role): End {
  let number = 0
  const over = new AbortController()
  const measuring = (async () => {
    await mesh.ready({ subject: `sensors.${room}.temp`, timeout: 20_000 })
    for (; !over.signal.aborted; number++) {
      const celsius = 20 + 5 * Math.sin((number + room.length * 10) / 20)
      if (breakage !== "lose" || room !== "cellar" || number !== 10)
        await mesh.publish(`sensors.${room}.temp`, { number, celsius })
      if (breakage === "twice" && room === "attic" && number === 10)
        await mesh.publish(`sensors.${room}.temp`, { number, celsius })
      await mesh.publish(`sensors.${room}.humidity`, { number, percent: 40 + (number % 20) })
      await sleep(50)
    }
  })()
  reporting(mesh, room, () => `${number} readings published`)
  return async () => {
    over.abort()
    await measuring
    await mesh.flush()
    return { [`sensors.${room}.temp`]: number, [`sensors.${room}.humidity`]: number }
  }
}

/** One of a queue group: each job goes to one worker, and to one that is not busy while there is one. */
function worker(mesh: Mesh, { name, breakage }: Role): End {
  let done = 0
  const work = async (job: number, ms: number): Promise<void> => {
    if (breakage === "crash" && name === "worker-3" && job > 20) process.exit(3)
    await sleep(ms)
    await mesh.publish(`done.${name}`, { job })
    done++
  }
  // Not before somebody wants the results: the office may be linked sooner than the monitor.
  const working = async (): Promise<void> => {
    await mesh.ready({ subject: `done.${name}`, timeout: 20_000 })
    mesh.subscribe<{ job: number; ms: number }>("jobs.*", { queue: "workers", concurrency: 2 }, ({ data }) =>
      work(data.job, data.ms),
    )
  }
  working().catch((error: unknown) => {
    // Told to leave before there was anything to do.
    if (!mesh.closed) throw error
  })
  reporting(mesh, name, () => `${done} jobs done`)
  return async () => ({})
}

/** Answers; two of them share the requests. */
function service(mesh: Mesh, { name }: Role): End {
  let answered = 0
  mesh.serve<number>("convert.fahrenheit", (celsius) => {
    answered++
    return celsius * 1.8 + 32
  })
  reporting(mesh, name, () => `${answered} requests answered`)
  return async () => ({})
}

/** Gives work to the pool, asks the service, and counts now and then who is there. */
function office(mesh: Mesh, { others }: Role): End {
  const sent = { jobs: 0, requests: 0, census: 0 }
  const over = new AbortController()
  let trips: number[] = []

  const working = (async () => {
    await mesh.ready({ subject: "jobs.resize", timeout: 20_000 })
    while (!over.signal.aborted) {
      // Where every worker is busy this waits for one of them, and so nothing is dropped.
      await mesh.publish("jobs.resize", { job: sent.jobs++, ms: 10 + (sent.jobs % 5) * 20 }, { onFull: "wait" })
      await sleep(20)
    }
  })()
  const asking = (async () => {
    while (!over.signal.aborted) {
      const asked = performance.now()
      // `idempotent`: when the one who was asked is lost, another one may be asked the same.
      const answer = await mesh.request<number>("convert.fahrenheit", 20, {
        wait: 10_000,
        timeout: 10_000,
        idempotent: true,
      })
      if (answer !== 68) throw new Error(`20 °C are not ${answer} °F`)
      trips.push(performance.now() - asked)
      sent.requests++
      await sleep(10)
    }
  })()
  const counting = async (): Promise<number> => {
    let there = 0
    for await (const reply of mesh.requestMany("census", null, { timeout: 2_000 })) if (reply.data !== null) there++
    return there
  }
  reporting(mesh, "office", () => {
    const [middle = 0] = trips.sort((a, b) => a - b).slice(trips.length >> 1)
    trips = []
    return `${sent.jobs} jobs given, ${sent.requests} requests, each ${middle.toFixed(1)} ms`
  })
  return async () => {
    over.abort()
    await Promise.all([working, asking, mesh.ready({ members: others, timeout: 20_000 })])
    sent.census = await counting()
    await mesh.flush()
    return sent
  }
}
