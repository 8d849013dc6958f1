/** inproc: the same sockets between two parts of one program. */
import { Publisher, Pull, Push, Subscriber } from "earshot"
import { Tally, must, plain, rate, say, type Act, type Stage } from "./stage.ts"

export const within: Act = {
  name: "within",
  title: "Push, Pull, Publisher, Subscriber inside one process (inproc)",
  purpose:
    "The same code without the network: for parts of one program that may move to processes of their own later, and for tests.",
  run,
  parts: {},
}

async function run(stage: Stage): Promise<number> {
  const total = stage.count(400_000)
  const tally = new Tally("messages")
  const pull = new Pull()
  const push = new Push()
  // Who connects may come first.
  void push.connect("inproc://jobs")
  await pull.bind("inproc://jobs")
  const send = async (): Promise<void> => {
    for (let number = 0; number < total; number++) await push.send(String(number))
    await push.close()
  }
  const receive = async (): Promise<void> => {
    while (tally.count < total) for (const [number] of await pull.receiveMany(1000)) tally.tick(Number(number))
  }
  const started = performance.now()
  await stage.until(Promise.all([send(), receive()]), () => tally.missing(total))
  tally.check(total)
  say(`${plain(total)} messages from Push to Pull: ${rate(total, performance.now() - started)} a second`)
  await pull.close()

  const publisher = new Publisher()
  const subscriber = new Subscriber()
  await publisher.bind("inproc://news")
  await subscriber.connect("inproc://news")
  await subscriber.subscribe("yes")
  // With onmessage nothing is awaited: the quickest way to receive.
  const heard: string[] = []
  const over = new Promise<void>((resolve) => {
    subscriber.onmessage = ([topic, text]) => {
      heard.push(`${topic} ${text}`)
      if (heard.length === 3) resolve()
    }
  })
  for (const text of ["1", "2", "3"]) for (const topic of ["no", "yes"]) await publisher.send([topic, text])
  await stage.until(over, () => `the subscriber heard only ${heard.join(", ")}`)
  must(heard.join() === "yes 1,yes 2,yes 3", `the subscriber heard ${heard.join(", ")}`)
  await Promise.all([publisher.close(), subscriber.close()])
  say(`of six published messages the subscriber heard the three it had asked for`)
  return total + 3
}
