/** libzmq: the other end is the C++ library that ZeroMQ programs in all languages use, by way of npm zeromq. */
import { Publisher, Pull, Push, Request, Subscriber } from "earshot"
import { Failure, Tally, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const libzmq: Act = {
  name: "libzmq",
  title: "Earshot and libzmq: talk to any ZeroMQ program (tcp)",
  purpose:
    "The wire is libzmq's, so the other end may be written in Python, Go, Rust or C. Here it is libzmq itself, in a process with npm zeromq.",
  run,
  parts: { stranger },
}

async function run(stage: Stage): Promise<number> {
  try {
    import.meta.resolve("zeromq")
  } catch {
    say("npm zeromq is not installed, so there is nobody to talk to: nothing was checked here")
    return 0
  }
  const stranger = stage.start("stranger", {})
  const ends = await stage.until(stranger.hear<Record<string, string>>(), () => `${stranger.name} does not open`)
  if (ends["missing"] !== undefined) {
    say(`npm zeromq is installed and does not load (${ends["missing"]}): nothing was checked here`)
    await stage.end()
    return 0
  }

  const total = stage.count(40_000)
  const push = new Push()
  const pull = new Pull()
  await push.connect(ends["pull"]!)
  await pull.connect(ends["push"]!)
  const tally = new Tally("messages that came back from libzmq")
  const send = async (): Promise<void> => {
    for (let number = 0; number < total; number++) await push.send(["", String(number)])
  }
  const receive = async (): Promise<void> => {
    while (tally.count < total) {
      const [empty, number] = await pull.receive()
      must(empty?.length === 0, "an empty frame did not come back empty")
      tally.tick(Number(number))
    }
  }
  const started = performance.now()
  await stage.until(Promise.all([send(), receive()]), () => tally.missing(total))
  const taken = performance.now() - started
  say(`Push and Pull: ${plain(total)} messages to libzmq and back: ${rate(2 * total, taken)} a second`)

  const request = new Request()
  await request.connect(ends["reply"]!)
  const questions = Array.from({ length: 100 }, (_, index) => String(index))
  const asking = Promise.all(questions.map((question) => request.request(question)))
  const replies = await stage.until(asking, () => "libzmq does not answer")
  must(
    replies.every(([reply], index) => String(reply) === `libzmq heard ${index}`),
    "a wrong reply from libzmq",
  )
  say(`Request: 100 questions at once to libzmq's Reply, every reply at its own question`)

  const publisher = new Publisher()
  const subscriber = new Subscriber()
  await publisher.bind("tcp://127.0.0.1:*")
  await subscriber.connect(ends["publish"]!)
  await subscriber.subscribe("topic")
  stranger.tell(publisher.lastEndpoint)
  await publisher.ready({ topic: "topic" })
  for (const number of ["1", "2", "3"]) await publisher.send([`topic ${number}`])
  for (const number of ["1", "2", "3"]) {
    const [text] = await stage.until(subscriber.receive(), () => "libzmq's Publisher is silent")
    must(String(text) === `topic ${number}`, `libzmq published ${text}`)
  }
  say(`Publisher: three messages to libzmq's Subscriber and back from its Publisher`)
  await stage.end()
  await Promise.all([push, pull, request, publisher, subscriber].map((socket) => socket.close()))
  return 2 * total + 2 * questions.length + 6
}

async function stranger(part: Part): Promise<void> {
  // npm zeromq has the same names, so its types are near enough; it need not be there when this is compiled.
  const name: string = "zeromq"
  let zmq: typeof import("earshot")
  try {
    zmq = (await import(name)) as typeof import("earshot")
  } catch (error) {
    return part.tell({ missing: String(error).split("\n")[0] })
  }
  const pull = new zmq.Pull()
  const push = new zmq.Push()
  const reply = new zmq.Reply()
  const publisher = new zmq.Publisher()
  for (const socket of [pull, push, reply, publisher]) await socket.bind("tcp://127.0.0.1:*")
  part.tell({
    pull: pull.lastEndpoint,
    push: push.lastEndpoint,
    reply: reply.lastEndpoint,
    publish: publisher.lastEndpoint,
  })
  const echo = async (): Promise<void> => {
    for await (const message of pull) await push.send(message)
  }
  const answer = async (): Promise<void> => {
    for await (const [question] of reply) await reply.send(`libzmq heard ${question}`)
  }
  const running = Promise.all([echo(), answer()])

  const endpoint = await part.hear<string>()
  const subscriber = new zmq.Subscriber()
  await subscriber.connect(endpoint)
  void subscriber.subscribe("topic")
  for (let count = 0; count < 3; count++) {
    const [text] = await subscriber.receive()
    if (!String(text).startsWith("topic")) throw new Failure(`libzmq heard ${text}`)
    await publisher.send(text!)
  }
  for (const socket of [pull, push, reply, publisher, subscriber]) await socket.close()
  await running
}
