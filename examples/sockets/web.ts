/** WebSockets: sockets beside pages, on the one port of a web server. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Pull, Push, Reply, Request, ws } from "earshot"
import { Failure, Tally, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const web: Act = {
  name: "web",
  title: "WebSockets: Push, Pull, Request and Reply beside pages, on one port (ws)",
  purpose:
    "Where only a web server can be reached, and for pages in browsers: the same sockets, the same protocol, within WebSockets. Many messages share one WebSocket message.",
  run,
  parts: { visitor },
}

async function run(stage: Stage): Promise<number> {
  // Any server of Node's does, so any framework that stands on one. A path for each socket.
  const server = createServer((_, response) => response.end("a page"))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const at = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const [jobs, results, reply] = [new Push(), new Pull(), new Reply()]
  await jobs.bind(ws({ server, path: "/jobs" }))
  await results.bind(ws({ server, path: "/results" }))
  await reply.bind(ws({ server, path: "/questions" }))

  const visitor = stage.start("visitor", { at })
  const answering = (async () => {
    for await (const [question] of reply) await reply.send(`${question} it is`)
  })()
  const tally = new Tally("results")
  const total = stage.count(200_000)
  const started = performance.now()
  const handOut = async (): Promise<void> => {
    for (let job = 0; job < total; job++) await jobs.send(String(job))
  }
  const gather = async (): Promise<void> => {
    for await (const [job, result] of results) {
      if (Number(result) !== Number(job) ** 2) throw new Failure(`${job} squared is not ${result}`)
      tally.tick(Number(job))
      if (tally.count === total) break
    }
  }
  await stage.until(Promise.all([handOut(), gather()]), () => tally.missing(total))
  const taken = performance.now() - started
  tally.check(total)

  visitor.tell("done")
  const questions = await stage.until(visitor.hear<number>(), () => `${visitor.name} waits for replies`)
  const page = await fetch(`http://${at}/`)
  must((await page.text()) === "a page", "the server no longer serves its page")
  await stage.end()
  await Promise.all([jobs.close(), results.close(), reply.close()])
  await answering
  server.close()

  say(`${plain(total)} jobs there and ${plain(total)} results back: ${rate(2 * total, taken)} messages a second`)
  say(`${plain(questions)} questions answered, and a page served, on the same port`)
  return 2 * total + 2 * questions
}

async function visitor(part: Part): Promise<void> {
  const at = part.get("at")
  const [jobs, results, request] = [new Pull(), new Push(), new Request()]
  await Promise.all([
    jobs.connect(`ws://${at}/jobs`),
    results.connect(`ws://${at}/results`),
    request.connect(`ws://${at}/questions`),
  ])
  void part.hear().then(() => jobs.close())

  let questions = 0
  for await (const [job] of jobs) {
    const number = Number(job)
    await results.send([job!, String(number ** 2)])
    if (number % 1000 !== 0) continue
    const [answer] = await request.request(String(number))
    must(String(answer) === `${number} it is`, `asked for ${number} and heard ${answer}`)
    questions++
  }
  part.tell(questions)
  await Promise.all([results.close(), request.close()])
}
