/** Request and Reply: ask a service, with many questions on their way at once. */
import { Reply, Request } from "earshot"
import { Tally, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const questions: Act = {
  name: "questions",
  title: "Request and Reply: ask a service (tcp and ipc)",
  purpose:
    "request() resolves to the reply that belongs to it, however many are on their way. With two services the questions are shared out between them.",
  run,
  parts: { service },
}

const IN_FLIGHT = 200

async function run(stage: Stage): Promise<number> {
  const services = ["tcp://127.0.0.1:*", "ipc://*"].map((endpoint) => stage.start("service", { endpoint }))
  const asker = new Request()
  for (const child of services) {
    const endpoint = await stage.until(child.hear<string>(), () => `${child.name} does not open`)
    await stage.until(asker.connect(endpoint), () => `${endpoint} does not answer`)
  }

  const total = stage.count(40_000)
  const tally = new Tally("replies")
  const ask = async (number: number): Promise<void> => {
    const [reply] = await asker.request(`what is twice ${number}?`)
    must(String(reply) === `twice ${number} is ${2 * number}`, `the reply to question ${number} was: ${reply}`)
    tally.tick(number)
  }
  let next = 0
  const askOneAfterAnother = async (until: number): Promise<void> => {
    while (next < until) await ask(next++)
  }

  const alone = total / 10
  const started = performance.now()
  await stage.until(askOneAfterAnother(alone), () => tally.missing(alone))
  const between = performance.now()
  const crowd = Array.from({ length: IN_FLIGHT }, () => askOneAfterAnother(total))
  await stage.until(Promise.all(crowd), () => tally.missing(total))
  const ended = performance.now()

  tally.check(total)
  let answered = 0
  for (const child of services) {
    child.tell("done")
    answered += await stage.until(child.hear<number>(), () => `${child.name} does not say what it did`)
  }
  must(answered === total, `${answered} questions were answered and ${total} asked`)
  await stage.end()
  await asker.close()
  say(`one at a time: ${plain(alone)} questions, ${rate(alone, between - started)} a second`)
  say(`${IN_FLIGHT} at a time: ${plain(total - alone)} questions, ${rate(total - alone, ended - between)} a second`)
  say(`every reply went to its own question`)
  return 2 * total
}

async function service(part: Part): Promise<void> {
  const replier = new Reply()
  await replier.bind(part.get("endpoint"))
  part.tell(replier.lastEndpoint)
  void part.hear().then(() => replier.close())
  let answered = 0
  for await (const [question] of replier) {
    const number = Number(/\d+/.exec(String(question))?.[0])
    await replier.send(`twice ${number} is ${2 * number}`)
    answered++
  }
  part.tell(answered)
}
