/** Push and Pull: jobs for many workers, and one place where the results come together. */
import { Pull, Push } from "earshot"
import { Failure, Tally, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const work: Act = {
  name: "work",
  title: "Push and Pull: share out work (tcp), gather results (ipc)",
  purpose:
    "A Push hands each message to one of the Pulls it is connected to, in turn. While all are busy, send() waits. A Pull takes from everybody.",
  run,
  parts: { worker },
}

async function run(stage: Stage): Promise<number> {
  const jobs = new Push()
  const results = new Pull()
  await jobs.bind("tcp://127.0.0.1:*")
  await results.bind("ipc://*")

  const workers = ["1", "2"].map((name) =>
    stage.start("worker", { name, jobs: jobs.lastEndpoint, results: results.lastEndpoint }),
  )
  const connected = async (): Promise<void> => {
    while (jobs.peers.length < workers.length) await new Promise((resolve) => jobs.events.once("peer:join", resolve))
  }
  await stage.until(connected(), () => `only ${jobs.peers.length} of ${workers.length} workers get connected`)

  const tally = new Tally("results")
  const share = new Map<string, number>()
  const total = stage.count(300_000)
  const started = performance.now()
  const gather = async (): Promise<void> => {
    for await (const [name, job, result] of results) {
      if (Number(result) !== Number(job) ** 2) throw new Failure(`${job} squared is not ${result}`)
      tally.tick(Number(job))
      share.set(String(name), (share.get(String(name)) ?? 0) + 1)
      if (tally.count === total) break
    }
  }
  const handOut = async (): Promise<void> => {
    for (let job = 0; job < total; job++) await jobs.send(String(job))
  }
  await stage.until(Promise.all([handOut(), gather()]), () => tally.missing(total))
  const taken = performance.now() - started

  for (const worker of workers) worker.tell("done")
  await stage.end()
  // What nobody expected would be waiting here.
  for (let extra = results.tryReceive(); extra !== undefined; extra = results.tryReceive()) tally.tick(Number(extra[1]))
  tally.check(total)
  await Promise.all([jobs.close(), results.close()])

  for (const [name, count] of share) say(`worker ${name} did ${plain(count)} jobs`)
  say(`${plain(total)} jobs, ${plain(tally.count)} results, each once: ${rate(total, taken)} jobs a second`)
  return 2 * total
}

async function worker(part: Part): Promise<void> {
  const jobs = new Pull()
  const results = new Push()
  await Promise.all([jobs.connect(part.get("jobs")), results.connect(part.get("results"))])
  void part.hear().then(() => jobs.close())

  for await (const [job] of jobs) {
    const number = Number(job)
    if (number === 1000 && part.settings["breakage"] === "crash") process.exit(3)
    if (number === 1000 && part.settings["breakage"] === "lose") continue
    const result = [part.get("name"), job!, String(number ** 2)]
    await results.send(result)
    if (number === 1000 && part.settings["breakage"] === "twice") await results.send(result)
  }
  await results.close()
}
