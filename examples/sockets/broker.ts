/** Router and Dealer once more: a broker between those who ask and those who answer. */
import { Dealer, Reply, Request, Router } from "earshot"
import { Tally, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const broker: Act = {
  name: "broker",
  title: "Router and Dealer between Request and Reply: a broker (ipc in front, tcp behind)",
  purpose:
    "Askers and answerers connect to a broker and may come and go. It passes messages both ways; the frames in front of a question lead the reply back.",
  run,
  parts: { middle, desk },
}

async function run(stage: Stage): Promise<number> {
  const between = stage.start("middle", {})
  const { front, back } = await stage.until(between.hear<{ front: string; back: string }>(), () => "no broker")
  const desks = ["1", "2"].map((name) => stage.start("desk", { name, back }))
  for (const desk of desks) await stage.until(desk.hear(), () => `${desk.name} does not get connected`)

  const total = stage.count(20_000)
  const tally = new Tally("replies")
  const share = new Map<string, number>()
  const askers = [new Request(), new Request()]
  let next = 0
  const ask = async (asker: Request): Promise<void> => {
    while (next < total) {
      const number = next++
      const [name, reply] = await asker.request([String(number)])
      must(Number(reply) === number + 1, `the reply to ${number} was ${reply}`)
      tally.tick(number)
      share.set(String(name), (share.get(String(name)) ?? 0) + 1)
    }
  }
  const started = performance.now()
  for (const asker of askers) await stage.until(asker.connect(front), () => "the broker does not answer")
  const crowd = askers.flatMap((asker) => Array.from({ length: 50 }, () => ask(asker)))
  await stage.until(Promise.all(crowd), () => tally.missing(total))
  const taken = performance.now() - started
  tally.check(total)

  for (const child of [...desks, between]) child.tell("done")
  await stage.end()
  await Promise.all(askers.map((asker) => asker.close()))
  const shares = [...share].map(([name, count]) => `desk ${name} answered ${plain(count)}`)
  say(`2 askers, ${plain(total)} questions, ${shares.join(", ")}: ${rate(total, taken)} a second`)
  return 4 * total
}

async function middle(part: Part): Promise<void> {
  const front = new Router()
  const back = new Dealer()
  await front.bind("ipc://*")
  await back.bind("tcp://127.0.0.1:*")
  part.tell({ front: front.lastEndpoint, back: back.lastEndpoint })
  void part.hear().then(() => Promise.all([front.close(), back.close()]))

  const there = async (): Promise<void> => {
    for await (const question of front) await back.send(question)
  }
  const andBack = async (): Promise<void> => {
    for await (const reply of back) await front.send(reply)
  }
  await Promise.all([there(), andBack()])
}

async function desk(part: Part): Promise<void> {
  const replier = new Reply()
  await replier.connect(part.get("back"))
  part.tell("connected")
  void part.hear().then(() => replier.close())
  for await (const [number] of replier) await replier.send([part.get("name"), String(Number(number) + 1)])
}
