/** Pair: exactly two, both ways. */
import { Pair } from "earshot"
import { Tally, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const pair: Act = {
  name: "pair",
  title: "Pair: two processes, both ways (ipc)",
  purpose: "Two sockets that belong together, say a program and its helper. A third is turned away.",
  run,
  parts: { partner },
}

const KINDS = { small: 16, large: 1024 * 1024 }

async function run(stage: Stage): Promise<number> {
  const here = new Pair()
  await here.bind("ipc://*")
  const there = stage.start("partner", { endpoint: here.lastEndpoint })
  await stage.until(there.hear(), () => `${there.name} does not get connected`)

  const trips = stage.count(10_000)
  const times: number[] = []
  const pingPong = async (): Promise<void> => {
    for (let number = 0; number < trips; number++) {
      const before = performance.now()
      await here.send(String(number))
      const [back] = await here.receive()
      times.push(performance.now() - before)
      must(Number(back) === number, `${number} came back as ${back}`)
    }
  }
  await stage.until(pingPong(), () => `only ${times.length} of ${trips} came back`)
  times.sort((a, b) => a - b)
  const median = times[times.length >> 1]!
  say(`${plain(trips)} round trips, half of them in less than ${plain(median * 1000)} microseconds`)

  let checked = 2 * trips
  for (const [kind, size] of Object.entries(KINDS)) {
    const total = stage.count(kind === "small" ? 200_000 : 200)
    const tally = new Tally(`${kind} messages`)
    const body = Buffer.alloc(size, kind)
    const send = async (): Promise<void> => {
      for (let number = 0; number < total; number++) await here.send([String(number), body])
    }
    const receive = async (): Promise<void> => {
      while (tally.count < total) {
        const [number, same] = await here.receive()
        must(body.equals(same!), `a ${kind} message came back changed`)
        tally.tick(Number(number))
      }
    }
    const started = performance.now()
    await stage.until(Promise.all([send(), receive()]), () => tally.missing(total))
    const taken = performance.now() - started
    checked += 2 * total
    const megabytes = (2 * total * size) / 1e6
    say(
      kind === "small"
        ? `${plain(total)} messages of ${size} bytes there and back at once: ${rate(2 * total, taken)} a second`
        : `${plain(total)} messages of 1 MiB there and back at once: ${rate(megabytes, taken)} MB a second`,
    )
  }
  there.tell("done")
  await stage.end()
  await here.close()
  return checked
}

async function partner(part: Part): Promise<void> {
  const pair = new Pair()
  await pair.connect(part.get("endpoint"))
  part.tell("connected")
  void part.hear().then(() => pair.close())
  for await (const message of pair) await pair.send(message)
}
