/** XSubscriber and XPublisher: a relay between publishers and subscribers that don't know each other's addresses. */
import { Publisher, Subscriber, XPublisher, XSubscriber } from "earshot"
import { Failure, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const relay: Act = {
  name: "relay",
  title: "XSubscriber and XPublisher: a relay in the middle (tcp)",
  purpose:
    "Publishers and subscribers all connect to one process that passes messages one way and subscriptions the other, so nobody needs anybody's address.",
  run,
  parts: { proxy, station, listener },
}

const TOPICS = ["a", "b"]

async function run(stage: Stage): Promise<number> {
  const middle = stage.start("proxy", {})
  const { front, back } = await stage.until(middle.hear<{ front: string; back: string }>(), () => "no relay")
  const ears = stage.start("listener", { back })
  await stage.until(ears.hear(), () => `${ears.name} does not get subscribed`)

  const total = stage.count(60_000)
  const other = stage.start("station", { front, name: "north", total: String(total) })
  const started = performance.now()
  await stage.until(broadcast(front, "south", total), () => "the relay takes nothing")
  const heard = await stage.until(ears.hear<Record<string, number>>(), () => "the end did not come through the relay")
  const taken = performance.now() - started

  for (const name of ["south", "north"])
    for (const topic of TOPICS) {
      const count = heard[`${topic}/${name}`]
      must(count === total, `of station ${name} ${count} of ${total} messages about ${topic} arrived`)
    }
  must(Object.keys(heard).length === 4, `more came than was asked for: ${Object.keys(heard).join(", ")}`)
  middle.tell("done")
  await stage.end()
  const delivered = 4 * total
  say(`two stations (one is ${other.name}) sent ${plain(total)} messages on each of two topics`)
  say(`${plain(delivered)} went through the relay to two subscribers: ${rate(delivered, taken)} a second`)
  return delivered
}

async function proxy(part: Part): Promise<void> {
  const front = new XSubscriber()
  const back = new XPublisher({ noDrop: true })
  await front.bind("tcp://127.0.0.1:*")
  await back.bind("tcp://127.0.0.1:*")
  part.tell({ front: front.lastEndpoint, back: back.lastEndpoint })
  void part.hear().then(() => Promise.all([front.close(), back.close()]))

  // Messages go from the front to the back, subscriptions from the back to the front: that is all a proxy does.
  const messages = async (): Promise<void> => {
    for await (const message of front) await back.send(message)
  }
  const subscriptions = async (): Promise<void> => {
    for await (const subscription of back) await front.send(subscription)
  }
  await Promise.all([messages(), subscriptions()])
}

/** One publisher, which connects to the relay and waits until the subscriptions have come through it. */
async function broadcast(front: string, name: string, total: number): Promise<void> {
  const publisher = new Publisher({ noDrop: true })
  await publisher.connect(front)
  for (const topic of [...TOPICS, "end"]) await publisher.ready({ topic })
  for (let number = 0; number < total; number++)
    for (const topic of [...TOPICS, "unwanted"]) await publisher.send([topic, name, String(number)])
  await publisher.send("end")
  await publisher.close()
}

function station(part: Part): Promise<void> {
  return broadcast(part.get("front"), part.get("name"), Number(part.get("total")))
}

/** Two subscribers, one for each topic. */
async function listener(part: Part): Promise<void> {
  const heard: Record<string, number> = {}
  const listen = async (wanted: string, subscriber: Subscriber): Promise<void> => {
    let ends = 0
    for await (const [topic, name, number] of subscriber) {
      if (String(topic) === "end") {
        if (++ends === 2) break
        continue
      }
      const key = `${topic}/${name}`
      const count = heard[key] ?? 0
      if (String(topic) !== wanted) throw new Failure(`a message about ${topic} for the subscriber of ${wanted}`)
      if (Number(number) !== count) throw new Failure(`after ${count} messages of ${key} came number ${number}`)
      heard[key] = count + 1
    }
    await subscriber.close()
  }
  const subscribers = TOPICS.map((topic) => ({ topic, subscriber: new Subscriber() }))
  for (const { topic, subscriber } of subscribers) {
    await subscriber.connect(part.get("back"))
    await subscriber.subscribe(topic, "end")
  }
  part.tell("subscribed")
  await Promise.all(subscribers.map(({ topic, subscriber }) => listen(topic, subscriber)))
  part.tell(heard)
}
