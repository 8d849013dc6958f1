/**
 * The mesh at work, `npm start`: sensors, a pool of workers, a service and an office, each in processes of their own, find each
 * other by mDNS on loopback; this process is the monitor. In the middle one worker leaves and comes back, later one of those
 * who answer is killed. Ends by itself, with exit code 0, or with 1 and the reasons when anything was lost that should not be.
 *
 *   npm start                     15 seconds
 *   npm start -- --for 60         another number of them
 *   npm start -- --break lose     breaks something on purpose (lose, twice, crash), to see that it is noticed
 */
import { setTimeout as sleep } from "node:timers/promises"
import { parseArgs } from "node:util"
import { Cast, type Breakage } from "./main/cast.ts"
import { Monitor } from "./main/monitor.ts"
import { parts, play, type PartName } from "./main/parts.ts"
import { Screen } from "./main/screen.ts"

const ROOMS = ["attic", "cellar", "kitchen"]
const WORKERS = ["worker-1", "worker-2", "worker-3"]
const SERVICES = ["answers-1", "answers-2"]
/** Processes, this one included. */
const ALL = ROOMS.length + WORKERS.length + SERVICES.length + 2

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { for: { type: "string", default: "15" }, break: { type: "string" } } })
  const seconds = Number(values.for)
  if (!(seconds >= 1 && seconds <= 86_400)) {
    console.error(`--for takes a number of seconds, not ${values.for}`)
    return 2
  }
  // No other mesh on this machine sees this one, nor another run of it.
  const network = `npm-start-${process.pid}`
  const cast = new Cast(network, ALL - 1, values.break as Breakage)
  const monitor = await Monitor.join(network)
  const screen = new Screen(seconds, ALL)
  monitor.on((line) => screen.note(line))
  try {
    screen.note(`process ${process.pid} is the monitor; ${ALL - 1} others join it, and nobody tells them where it is`)
    for (const room of ROOMS) cast.start("sensor", room)
    for (const name of WORKERS) cast.start("worker", name)
    for (const name of SERVICES) cast.start("service", name)
    cast.start("office", "office")
    await Promise.race([monitor.complete(ALL - 1), cast.failed])
    await Promise.race([show(seconds, cast, monitor, screen), cast.failed])
  } catch (error) {
    monitor.problem(error instanceof Error ? error.message : String(error))
  }
  cast.kill()
  await monitor.close()
  screen.end(monitor)
  return monitor.problems.length === 0 ? 0 : 1
}

async function show(seconds: number, cast: Cast, monitor: Monitor, screen: Screen): Promise<void> {
  const began = performance.now()
  const until = (part: number): Promise<void> => sleep(Math.max(0, began + seconds * 1000 * part - performance.now()))
  screen.begin(monitor)

  await until(1 / 3)
  screen.note("worker-2 is told to leave: it finishes what it has, then says goodbye")
  await cast.leave("worker-2")
  await until(1 / 2)
  screen.note("worker-2 is started again")
  cast.start("worker", "worker-2")
  await until(2 / 3)
  screen.note("answers-1 is killed, without a word; whoever had asked it asks answers-2")
  await cast.murder("answers-1")
  screen.note("answers-1 is started again")
  cast.start("service", "answers-1")
  await until(1)
  await monitor.complete(ALL - 1)
  screen.note("time is up: the sensors and the office say how much they have sent, then all leave")
  screen.freeze()

  monitor.compare(await cast.stop("office"))
  monitor.expectCensus(ALL)
  for (const room of ROOMS) monitor.compare(await cast.stop(room))
  await monitor.jobsDone()
  for (const name of [...WORKERS, ...SERVICES]) await cast.leave(name)
}

const [command, part, ...rest] = process.argv.slice(2)
if (command === "child" && part !== undefined && part in parts) await play(part as PartName, rest)
else process.exit(await main()) // what a failure has left behind has no end of its own
