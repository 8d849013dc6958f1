/**
 * A pool of workers: each job goes to one of them, and to one that is not busy while there is one.
 *
 *   node dist/examples/mesh-work-pool.js             everything, in processes of this machine
 *   node dist/examples/mesh-work-pool.js worker      one more worker: start as many as you like, whenever you like
 *
 * Compare work-pool.ts, the same with sockets: there somebody has to know where the jobs come from.
 */
import { spawn } from "node:child_process"
import { Mesh } from "earshot/mesh"

const WORKERS = 3
const JOBS = 60

interface Job {
  readonly job: number
  readonly below: number
}

async function worker(mesh: Mesh): Promise<void> {
  // One job at a time, and one more may wait here: a worker that has as many is busy, and the others are preferred.
  const jobs = mesh.subscribe<Job>("jobs.primes", { queue: "workers", concurrency: 1, prefetch: 1 })
  // SIGTERM: nothing new; what is here is finished. (A shell's Ctrl+C sends SIGINT, which ends it at once.)
  process.once("SIGTERM", () => void mesh.drain())
  for await (const { data } of jobs)
    await mesh.publish("results.primes", { job: data.job, by: mesh.name, primes: await countPrimes(data.below) })
}

async function main(): Promise<void> {
  const network = `work-pool-${process.pid}`
  const mesh = await Mesh.join({ name: "boss", network })
  const workers = Array.from({ length: WORKERS }, (_, number) =>
    spawn(process.execPath, [process.argv[1]!, "worker"], {
      env: { ...process.env, EARSHOT_NETWORK: network, EARSHOT_NAME: `worker-${number + 1}` },
      stdio: "inherit",
    }),
  )
  const ends = workers.map((child) => new Promise((resolve) => child.once("exit", resolve)))

  const primes = new Map<number, number>()
  const done = new Map<string, number>()
  const all = (async () => {
    const results = mesh.subscribe<{ job: number; by: string; primes: number }>("results.primes")
    for await (const { data } of results) {
      primes.set(data.job, data.primes)
      done.set(data.by, (done.get(data.by) ?? 0) + 1)
      if (primes.size === JOBS) break
    }
  })()

  // Whoever comes first may begin; here all of them shall have their share.
  await mesh.ready({ members: WORKERS, subject: "jobs.primes" })
  for (let job = 1; job <= JOBS; job++) {
    // The first takes a thousand times as long: the one that came right behind waits for it, and no other.
    const below = job === 1 ? 1_500_000 : 3_000
    // With every worker busy this waits until one is free. Without `onFull` such a job would be dropped, and counted.
    const receipt = await mesh.publish("jobs.primes", { job, below }, { onFull: "wait" })
    if (receipt.sent !== 1) throw new Error(`job ${job} went nowhere: ${JSON.stringify(receipt)}`)
  }
  await all
  for (const child of workers) child.kill("SIGTERM")
  await Promise.all(ends)
  await mesh.close()

  console.log(`there are ${primes.get(1)} primes below 1500000, and ${primes.get(2)} below 3000`)
  const [most = 0, , least = 0] = [...done.values()].sort((a, b) => b - a)
  console.log(
    `${primes.size} jobs done by ${done.size} processes; who had the long one did ${least}, the busiest ${most}`,
  )
}

async function countPrimes(below: number): Promise<number> {
  let count = 0
  for (let candidate = 2; candidate < below; candidate++) {
    let divisor = 2
    while (divisor * divisor <= candidate && candidate % divisor > 0) divisor++
    if (divisor * divisor > candidate) count++
    // A blocked event loop could not even say that it is busy. Work that takes longer belongs into a worker thread.
    if (candidate % 2_000 === 0) await new Promise(setImmediate)
  }
  return count
}

if (process.argv[2] === "worker") await worker(await Mesh.join())
else await main()
