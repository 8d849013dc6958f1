/**
 * A service that answers many questions at once, and a client that bounds how long it waits.
 *
 *   node dist/examples/service.js
 *
 * A Reply answers one question after another. This service uses a Router instead: it starts on each question as it comes
 * and answers in whatever order they are done. The client cannot tell the difference.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { EarshotError, Request, Router } from "earshot"

async function service(router: Router): Promise<void> {
  for await (const message of router) {
    // What a Router gets: who asks, what leads the reply back (up to an empty frame), and the question.
    const question = message.pop()!
    void answer(String(question)).then((reply) => router.trySend([...message, reply]))
  }
}

/** Some questions take longer than others. */
async function answer(question: string): Promise<string> {
  const [verb, milliseconds] = question.split(" ")
  await sleep(Number(milliseconds), undefined, { ref: false })
  return `${verb} done`
}

/** A second service of the same kind, which breaks down over the first question it gets. */
async function weakService(router: Router): Promise<void> {
  await router.receive()
  await router.close()
}

const router = new Router()
await router.bind("tcp://127.0.0.1:*")
const running = service(router)

const client = new Request()
client.connect(router.lastEndpoint!)

// Three at once: each reply finds its own question, in the order in which they are done.
const order: string[] = []
const ask = async (question: string): Promise<void> => {
  const [reply] = await client.request(question)
  order.push(String(reply))
}
await Promise.all([ask("cooking 300"), ask("washing 150"), ask("ironing 1")])
console.log(`in this order: ${order.join(", ")}`)

// No longer than 50 ms.
const late = await client.request("sleeping 60000", { timeout: 50 }).catch((error: unknown) => error)
console.log(`too slow: ${late instanceof EarshotError ? late.code : String(late)}`)

// Until the user has had enough.
const enough = new AbortController()
const aborted = client.request("sleeping 60000", { signal: enough.signal }).catch((error: unknown) => error)
enough.abort(new Error("never mind"))
console.log(`called off: ${((await aborted) as Error).message}`)

// Somebody else answers when the one that was asked is lost. (Only for questions that may be asked twice.)
const weak = new Router()
await weak.bind("tcp://127.0.0.1:*")
const breaking = weakService(weak)
await client.connect(weak.lastEndpoint!)
const replies = await Promise.all(["a", "b"].map((name) => client.request(`${name} 1`, { retries: 1 })))
console.log(`in spite of a breakdown: ${replies.map(String).join(", ")}`)
await breaking

await client.close()
await router.close()
await running
