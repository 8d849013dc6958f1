// Sockets in a program of whatever runtime runs it, over WebSockets. `dial <url> <secure url> <certificate>` talks to
// sockets bound there and prints what came; `listen` prints where it listens and answers until it is killed.
import { once } from "node:events"
import { createServer } from "node:http"
import process from "node:process"
import { Pull, Push, Reply, Request, Subscriber, ws } from "earshot"

const [what, url, secureUrl, ca] = process.argv.slice(2)
const MESSAGES = 20_000
// No socket keeps a process alive while it waits for nothing.
setInterval(() => {}, 1000)

async function dial() {
  const came = {}
  const push = new Push()
  await push.connect(`${url}/pull`)
  for (let n = 0; n < MESSAGES; n++) await push.send(String(n))
  await push.send(new Uint8Array(3_000_000).fill(7))
  const pull = new Pull()
  await pull.connect(`${url}/push`)
  let next = 0
  for await (const [frame] of pull) {
    if (String(frame) !== String(next)) throw new Error(`${frame} where ${next} was due`)
    if (++next === MESSAGES) break
  }
  came.numbers = next
  came.large = (await pull.receive())[0].length
  const subscriber = new Subscriber()
  await subscriber.connect(`${url}/publisher`)
  await subscriber.subscribe("news/")
  came.news = (await subscriber.receive()).map(String)
  const request = new Request()
  await request.connect(ws({ url: `${secureUrl}/reply`, tls: { ca } }))
  came.answer = String(await request.request("who is there?"))
  await Promise.all([push, pull, subscriber, request].map((socket) => socket.close()))
  return came
}

async function listen() {
  const server = createServer((_request, response) => response.end("a page")).listen(0, "127.0.0.1")
  await once(server, "listening")
  const places = ["ws://127.0.0.1:*/own", ws({ server, path: "/server" })]
  const endpoints = []
  for (const place of places) {
    const reply = new Reply()
    reply.onmessage = ([question]) => void reply.send([question, "is the question"])
    await reply.bind(place)
    endpoints.push(reply.lastEndpoint)
  }
  return endpoints
}

try {
  console.log(JSON.stringify(await { dial, listen }[what]()))
  if (what === "dial") process.exit(0)
} catch (error) {
  console.error(error)
  process.exit(1)
}
