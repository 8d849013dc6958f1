/**
 * A pool of worker processes: Push hands out jobs, Pull gathers the results.
 *
 *   node dist/examples/work-pool.js
 *
 * Workers may run on other machines as well: start them with the two endpoints as arguments, as `main` does here.
 */
import { spawn } from "node:child_process"
import { Pull, Push } from "earshot"

const WORKERS = 3
const JOBS = 24

async function main(): Promise<void> {
  const jobs = new Push()
  const results = new Pull()
  await jobs.bind("tcp://127.0.0.1:*")
  await results.bind("tcp://127.0.0.1:*")
  const ends = Array.from({ length: WORKERS }, () => {
    const args = [process.argv[1]!, "worker", jobs.lastEndpoint!, results.lastEndpoint!]
    const child = spawn(process.execPath, args, { stdio: "inherit" })
    return new Promise((resolve) => child.once("exit", resolve))
  })
  // Jobs go to whoever is connected: wait for all, or the first worker gets more than its share.
  while (jobs.peers.length < WORKERS) await new Promise((resolve) => jobs.events.once("peer:join", resolve))

  // From now on everything happens by itself: a job waits here when every worker is busy.
  for (let job = 1; job <= JOBS; job++) await jobs.send(JSON.stringify({ job, below: job * 5_000 }))

  const primes = new Map<number, number>()
  for await (const [result] of results) {
    const { job, count } = JSON.parse(String(result)) as { job: number; count: number }
    primes.set(job, count)
    if (primes.size === JOBS) break
  }
  // Closing sends what still waits; the workers see their connection end, and end too.
  await jobs.close()
  await results.close()
  await Promise.all(ends)

  for (const job of [1, 12, JOBS]) console.log(`there are ${primes.get(job)} primes below ${job * 5_000}`)
  console.log(`${primes.size} jobs done by ${WORKERS} processes`)
}

async function worker(jobsAt: string, resultsAt: string): Promise<void> {
  const jobs = new Pull()
  const results = new Push()
  results.connect(resultsAt)
  jobs.connect(jobsAt)
  // A socket dials again whenever its connection is lost. Here the end of the jobs is the end of the work.
  jobs.events.once("disconnect", () => void jobs.close())
  for await (const [text] of jobs) {
    const { job, below } = JSON.parse(String(text)) as { job: number; below: number }
    await results.send(JSON.stringify({ job, count: countPrimes(below) }))
  }
  await results.close()
}

function countPrimes(below: number): number {
  let count = 0
  for (let candidate = 2; candidate < below; candidate++) {
    let divisor = 2
    while (divisor * divisor <= candidate && candidate % divisor > 0) divisor++
    if (divisor * divisor > candidate) count++
  }
  return count
}

const [role, jobsAt, resultsAt] = process.argv.slice(2)
if (role === "worker") await worker(jobsAt!, resultsAt!)
else await main()
