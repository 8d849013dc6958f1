/** Publisher and Subscriber: everybody gets what they asked for. */
import { Publisher, Subscriber } from "earshot"
import { Failure, must, plain, rate, say, type Act, type Part, type Stage } from "./stage.ts"

export const news: Act = {
  name: "news",
  title: "Publisher and Subscriber: tell many at once (tcp and ipc)",
  purpose:
    "Each message goes to all Subscribers whose topic it begins with, and to nobody else. `await subscribe()` says when nothing can be missed any more.",
  run,
  parts: { listener },
}

const TOPICS = ["weather/oslo", "weather/rome", "sport/chess", "music/jazz"]

/** What a subscriber tells: how many it got of each topic. */
type Heard = Record<string, number>

async function run(stage: Stage): Promise<number> {
  // noDrop: a subscriber that is slow slows the publisher down. Without it, it would miss messages, which are counted.
  const publisher = new Publisher({ noDrop: true })
  await publisher.bind("tcp://127.0.0.1:*")
  const tcp = publisher.lastEndpoint
  await publisher.bind("ipc://*")
  const ipc = publisher.lastEndpoint

  const wishes = [
    { topic: "weather/", endpoint: tcp },
    { topic: "sport/", endpoint: ipc },
    { topic: "", endpoint: ipc },
  ]
  const listeners = wishes.map((wish) => ({ topic: wish.topic, child: stage.start("listener", wish) }))
  for (const { child } of listeners) await stage.until(child.hear(), () => `${child.name} does not get subscribed`)

  const total = stage.count(60_000)
  const started = performance.now()
  const publish = async (): Promise<void> => {
    for (let edition = 0; edition < total; edition++)
      for (const topic of TOPICS) await publisher.send([topic, String(edition)])
    await publisher.send("end")
  }
  await stage.until(publish(), () => "the publisher waits for a subscriber that takes nothing")

  let delivered = 0
  for (const { topic, child } of listeners) {
    const heard = await stage.until(child.hear<Heard>(), () => `${child.name} does not hear the end of the news`)
    const wanted = TOPICS.filter((each) => each.startsWith(topic))
    for (const each of TOPICS) {
      const due = wanted.includes(each) ? total : 0
      const got = heard[each] ?? 0
      must(got === due, `${child.name} got ${got} messages about ${each}, and ${due} were for it`)
      delivered += due
    }
    say(
      `asked for ${topic === "" ? "everything" : `${topic}…`}: got ${plain(wanted.length * total)}, in order, and nothing else`,
    )
  }
  const taken = performance.now() - started
  await stage.end()
  await publisher.close()
  say(`${plain(total * TOPICS.length)} published, ${plain(delivered)} delivered: ${rate(delivered, taken)} a second`)
  return delivered
}

async function listener(part: Part): Promise<void> {
  const subscriber = new Subscriber()
  await subscriber.connect(part.get("endpoint"))
  await subscriber.subscribe(part.get("topic"), "end")
  part.tell("subscribed")

  const heard: Heard = {}
  for await (const [topic, edition] of subscriber) {
    const name = String(topic)
    if (name === "end") break
    const count = heard[name] ?? 0
    // In order and once: the editions count from 0.
    if (Number(edition) !== count) throw new Failure(`after ${count} editions of ${name} came number ${edition}`)
    heard[name] = count + 1
  }
  part.tell(heard)
  await subscriber.close()
}
