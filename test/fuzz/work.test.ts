// Work in proportion to what came: four times as much takes about four times as long, and not sixteen times.
import t from "tap"
import { Fanout } from "../../lib/fanout.ts"
import { Prefixes } from "../../lib/prefixes.ts"
import { Pull, Router } from "../../lib/index.ts"
import { transports } from "../../lib/defaults.ts"
import type { Peer } from "../../lib/contract.ts"
import { Decoder } from "../../lib/wire/decoder.ts"
import { decodeMetadata } from "../../lib/wire/metadata.ts"
import { virtualClock } from "../support/virtual-clock.ts"
import { EvilTransport } from "./support/evil-transport.ts"
import { frame, greeting, head, message, MORE, property, ready } from "./support/zmtp.ts"

/** Prepares `n` times something, and returns what is to be timed. */
type Work = (n: number) => () => void | Promise<void>

const evil = new EvilTransport()
transports.register(evil)

async function time(work: Work, n: number): Promise<number> {
  const run = work(n)
  // Of this process alone: others may be busy.
  const before = process.cpuUsage()
  await run()
  const { user, system } = process.cpuUsage(before)
  return user + system
}

const nothing = (): void => {}
const sink = { onMessage: nothing, onCommand: nothing }
const limits = { maxMessageSize: 1 << 30, maxMessageParts: 1 << 20 }
const subscriber = { close: nothing, dropped: nothing } as unknown as Peer

const works: Record<string, { n: number; work: Work }> = {
  "a frame that comes byte by byte": {
    n: 100_000,
    work(n) {
      const decoder = new Decoder(sink, limits)
      decoder.receive(head(0, 100_000_000))
      const chunks = Array.from({ length: n }, () => Buffer.alloc(1))
      return () => chunks.forEach((chunk) => decoder.receive(chunk))
    },
  },
  "messages of which each byte is a chunk": {
    n: 50_000,
    work(n) {
      const decoder = new Decoder(sink, limits)
      const bytes = Buffer.alloc(n * 4, message("ab"))
      return () => {
        for (let at = 0; at < bytes.length; at++) decoder.receive(bytes.subarray(at, at + 1))
      }
    },
  },
  "a message of so many frames": {
    n: 50_000,
    work(n) {
      const decoder = new Decoder(sink, limits)
      const bytes = Buffer.alloc(n * 3, frame(MORE, Buffer.alloc(1)))
      return () => decoder.receive(bytes)
    },
  },
  "messages taken one at a time from a decoder that pauses after each": {
    n: 100_000,
    work(n) {
      const decoder = new Decoder({ onMessage: () => (decoder.paused = true), onCommand: nothing }, limits)
      decoder.receive(Buffer.alloc(n * 3, message("x")))
      return () => {
        for (let i = 0; i < n; i++) decoder.resume()
      }
    },
  },
  "chunks held by a decoder that pauses after each message": {
    n: 50_000,
    work(n) {
      const decoder = new Decoder({ onMessage: () => (decoder.paused = true), onCommand: nothing }, limits)
      for (let i = 0; i < n; i++) decoder.receive(message("x"))
      return () => {
        for (let i = 0; i < n; i++) decoder.resume()
      }
    },
  },
  "metadata, as often": {
    n: 50,
    work(n) {
      const bytes = Buffer.concat(Array.from({ length: 256 }, (_, i) => property(`Property-${i}`, Buffer.alloc(200))))
      return () => {
        for (let i = 0; i < n; i++) decodeMetadata(bytes)
      }
    },
  },
  "subscribers with 2,000 topics leave one after another": {
    n: 20,
    work(n) {
      const fanout = new Fanout()
      const peers = Array.from({ length: n }, () => ({ ...subscriber }))
      for (const [i, peer] of peers.entries()) {
        fanout.attach(peer)
        for (let j = 0; j < 2000; j++) fanout.subscribe(peer, Buffer.from(`${j}-${i}`))
      }
      return () => peers.forEach((peer) => fanout.detach(peer, []))
    },
  },
  "subscribers without a topic leave a publisher with many": {
    n: 5000,
    work(n) {
      const fanout = new Fanout()
      const [one, ...peers] = Array.from({ length: n }, () => ({ ...subscriber }))
      fanout.attach(one!)
      for (let j = 0; j < n; j++) fanout.subscribe(one!, Buffer.from(`${j}`))
      for (const peer of peers) fanout.attach(peer)
      return () => peers.forEach((peer) => fanout.detach(peer, []))
    },
  },
  "a topic taken and left in the middle of another, which is longer and longer": {
    n: 500_000,
    work(n) {
      const prefixes = new Prefixes<string>()
      const topic = Buffer.alloc(n, "topic")
      prefixes.add(topic, "A")
      return () => {
        for (let i = 0; i < 5000; i++) {
          const part = topic.subarray(0, 1 + (i % 1000))
          prefixes.add(part, "B")
          prefixes.remove(part, "B")
        }
      }
    },
  },
  "topics, each of which begins with all before": {
    // The bytes of the topics grow with the square.
    n: 1000,
    work(n) {
      const prefixes = new Prefixes<string>()
      const topic = Buffer.alloc(n)
      return () => {
        for (let i = 0; i < n; i++) prefixes.add(topic.subarray(0, i), "A")
        prefixes.removeAll("A")
      }
    },
  },
  "peers that all claim one routing id": {
    n: 250,
    work(n) {
      const clock = virtualClock()
      const router = new Router({ clock, linger: 0, maxHandshakes: 10_000 })
      return async () => {
        await router.bind("evil://router")
        const peers = Array.from({ length: n }, () => {
          const link = evil.connect("router")
          link.feed(Buffer.concat([greeting(), ready("DEALER", property("Identity", "same"))]))
          return link
        })
        for (const peer of peers) peer.hangUp()
        await router.close()
      }
    },
  },
  "connections that come and go": {
    n: 500,
    work(n) {
      const pull = new Pull({ clock: virtualClock(), linger: 0 })
      return async () => {
        await pull.bind("evil://pull")
        for (let i = 0; i < n; i++) {
          const link = evil.connect("pull")
          link.feed(Buffer.concat([greeting(), ready("PUSH"), message("x")]))
          link.hangUp()
        }
        await pull.close()
      }
    },
  },
}

/** Where the bytes themselves grow faster than `n`, and where they don't. */
const allowed = (name: string): number => (name.includes("begins with all") ? 32 : 10)

for (const [name, { n, work }] of Object.entries(works))
  t.test(name, async (t) => {
    await time(work, n)
    let least = Infinity
    for (let i = 0; i < 5 && least > allowed(name); i++) {
      const one = await time(work, n)
      const four = await time(work, n * 4)
      least = Math.min(least, four / Math.max(one, 500))
    }
    t.ok(least <= allowed(name), `four times as much takes ${least.toFixed(1)} times as long`)
  })
