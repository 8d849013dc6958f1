/**
 * Sensors publish what they measure; a dashboard subscribes to the part it shows.
 *
 *   node dist/examples/sensors.js
 *
 * Here the dashboard binds and the sensors connect, so that sensors may come and go. The other way round works as well.
 * Everything is in one process to be read at one go; each function could be a program on a machine of its own.
 */
import { Publisher, Subscriber } from "earshot"

const READINGS = 5

async function dashboard(subscriber: Subscriber, sensors: number): Promise<void> {
  subscriber.events.on("peer:join", () => console.log(`a sensor has joined, ${subscriber.peers.length} in all`))
  subscriber.events.on("peer:leave", () => console.log("a sensor has left"))

  const latest = new Map<string, number>()
  let count = 0
  for await (const [topic, reading] of subscriber) {
    // Small frames are views of a larger chunk: turn them into what you keep.
    latest.set(String(topic), reading!.readDoubleLE())
    if (++count === sensors * READINGS) break
  }
  for (const [topic, celsius] of [...latest].sort(([a], [b]) => a.localeCompare(b)))
    console.log(`${topic}: ${celsius.toFixed(1)} degrees`)
  console.log(`${count} readings, and none about humidity, which nobody asked for`)
}

async function sensor(room: string, base: number, endpoint: string): Promise<void> {
  // A sensor would rather drop a reading than wait for a slow dashboard; it counts what it dropped.
  const publisher = new Publisher({ sendHighWaterMark: 100 })
  publisher.events.on("drop", ({ reason, count }) => console.log(`${room}: ${count} dropped (${reason})`))
  publisher.connect(endpoint)
  // Without this the first readings could go out before anybody has asked for them.
  await publisher.ready({ topic: `temperature/${room}` })
  for (let reading = 0; reading < READINGS; reading++) {
    const value = Buffer.alloc(8)
    value.writeDoubleLE(base + reading / 10)
    await publisher.send([`temperature/${room}`, value])
    await publisher.send([`humidity/${room}`, "55 %"])
  }
  await publisher.close()
}

const subscriber = new Subscriber()
await subscriber.bind("tcp://127.0.0.1:*")
await subscriber.subscribe("temperature/")
const endpoint = subscriber.lastEndpoint!
await Promise.all([
  dashboard(subscriber, 3),
  sensor("kitchen", 21, endpoint),
  sensor("cellar", 12, endpoint),
  sensor("attic", 25, endpoint),
])
await subscriber.close()
