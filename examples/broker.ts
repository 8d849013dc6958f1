/**
 * A broker that gives each question to the worker that has been idle longest.
 *
 *   node dist/examples/broker.js
 *
 * A Dealer in the broker's back would hand questions out in turn, whether or not a worker is busy. With a Router there,
 * the broker picks: a worker says when it is free, and gets its next question only then. A worker that goes away costs
 * the one question it was working on, and the asker hears of that by its own time limit.
 */
import { Dealer, Request, Router } from "earshot"

async function broker(front: Router, back: Router): Promise<void> {
  const idle: Buffer[] = []
  const waiting: Buffer[][] = []
  const match = async (): Promise<void> => {
    while (idle.length > 0 && waiting.length > 0) await back.send([idle.shift()!, ...waiting.shift()!])
  }
  back.events.on("peer:leave", ({ peer }) => {
    const index = idle.findIndex((id) => id.equals(peer.routingId))
    if (index >= 0) idle.splice(index, 1)
  })
  const askers = async (): Promise<void> => {
    for await (const question of front) {
      waiting.push(question)
      await match()
    }
  }
  const workers = async (): Promise<void> => {
    for await (const [worker, ...reply] of back) {
      // Every word of a worker says that it is free; all but the first carry a reply with its way back.
      if (reply.length > 1) await front.send(reply)
      idle.push(worker!)
      await match()
    }
  }
  await Promise.all([askers(), workers()])
}

async function worker(name: string, endpoint: string, until: AbortSignal): Promise<number> {
  const dealer = new Dealer({ routingId: name })
  dealer.connect(endpoint)
  await dealer.send("free")
  let done = 0
  until.addEventListener("abort", () => void dealer.close())
  for await (const message of dealer) {
    const question = message.pop()!
    await dealer.send([...message, `${name} read ${question.length} letters`])
    done++
  }
  return done
}

const front = new Router()
const back = new Router({ mandatory: true })
await front.bind("tcp://127.0.0.1:*")
await back.bind("inproc://workers")
const brokering = broker(front, back)
const closing = new AbortController()
const working = ["ann", "bob", "cid"].map((name) => worker(name, "inproc://workers", closing.signal))

const client = new Request()
client.connect(front.lastEndpoint!)
const words = ["one", "three", "eleven", "thirteen"]
const questions = Array.from({ length: 300 }, (_, index) => words[index % words.length]!)
const replies = await Promise.all(questions.map((question) => client.request(question)))
const right = replies.filter(([reply], index) => String(reply).endsWith(`read ${questions[index]!.length} letters`))
console.log(`${right.length} of ${questions.length} replies are right`)

await client.close()
closing.abort()
const shares = await Promise.all(working)
console.log(`every worker has worked: ${shares.every((done) => done > 0) ? "yes" : "no"}`)
await Promise.all([front.close(), back.close()])
await brokering
