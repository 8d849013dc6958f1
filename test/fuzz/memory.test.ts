// What a peer sends, claims, or leaves unread takes a bounded amount of the memory of the process it talks to, which is
// one with a small heap. Each attack says what may stay in use.
import t from "tap"
import { build } from "esbuild"
import { fork, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { evilTo, type EvilPeer } from "./support/evil-tcp.ts"
import type { Order, State } from "./support/victim.ts"
import { command, frame, greeting, head, message, MORE, ping, property, ready } from "./support/zmtp.ts"

const MiB = 1024 * 1024
const hello = (type: string, ...properties: Buffer[]): Buffer => Buffer.concat([greeting(), ready(type, ...properties)])
const repeat = (bytes: Buffer, total: number): Buffer => Buffer.alloc(total - (total % bytes.length), bytes)

class Victim {
  readonly child: ChildProcess
  readonly peers: EvilPeer[] = []
  endpoint = ""
  dead: Promise<never>

  constructor(file: string, heap: number) {
    this.child = fork(file, { execArgv: [`--max-old-space-size=${heap}`, "--expose-gc"] })
    this.dead = once(this.child, "exit").then(([code, signal]) => {
      throw new Error(`the process is gone (${code ?? signal})`)
    })
    this.dead.catch(() => {})
  }

  async order(order: Order): Promise<State> {
    this.child.send(order)
    const [state] = (await Promise.race([once(this.child, "message"), this.dead])) as [State]
    return state
  }

  async make(name: string, options: object = {}): Promise<void> {
    this.endpoint = (await this.order({ do: "make", name, options })).endpoint
  }

  /** A peer that says all this, and doesn't listen unless asked to. */
  async peer(...chunks: Uint8Array[]): Promise<EvilPeer> {
    const peer = await evilTo(this.endpoint, false)
    this.peers.push(peer)
    peer.socket.pause()
    peer.say(...chunks)
    return peer
  }

  /** Asks again and again, as fast as it answers, until the answer holds. */
  async until(holds: (state: State) => boolean, ms = 30_000): Promise<State> {
    const end = Date.now() + ms
    for (;;) {
      const state = await this.order({ do: "state" })
      if (holds(state)) return state
      if (Date.now() > end) throw new Error(`waited in vain; last: ${JSON.stringify(state)}`)
    }
  }

  async leave(): Promise<void> {
    for (const peer of this.peers.splice(0)) peer.hangUp()
    await this.order({ do: "close" })
  }
}

interface Attack {
  readonly name: string
  /** Resolves to how much may be in use more than before, in MiB, and how much is. */
  run(victim: Victim): Promise<{ most: number; state: State }>
}

/** Everything the peer said has been read: a message at the end has come. */
async function flood(victim: Victim, name: string, type: string, bytes: Buffer): Promise<State> {
  await victim.make(name)
  await victim.peer(hello(type), bytes, message("", "the end"))
  return victim.until(({ received }) => received === 1)
}

const attacks: Attack[] = [
  {
    name: "50 peers that claim 120 MiB each",
    async run(victim) {
      await victim.make("Pull")
      for (let i = 0; i < 50; i++) await victim.peer(hello("PUSH"), head(0, 120 * MiB), Buffer.alloc(1000))
      return { most: 5, state: await victim.until(({ peers }) => peers === 50) }
    },
  },
  {
    name: "a frame of 120 MiB of which 8 come",
    async run(victim) {
      await victim.make("Pull")
      const peer = await victim.peer(hello("PUSH"), head(0, 120 * MiB), Buffer.alloc(8 * MiB), Buffer.alloc(0))
      await victim.until(() => peer.socket.writableLength === 0)
      // At most four times what has come.
      return { most: 34, state: await victim.until(({ peers }) => peers === 1) }
    },
  },
  {
    name: "a claimed size before the handshake",
    async run(victim) {
      await victim.make("Pull")
      for (let i = 0; i < 20; i++) await victim.peer(greeting(), head(4, 100 * MiB), Buffer.alloc(MiB))
      const state = await victim.until(({ ends }) => ends.length === 20)
      return { most: 2, state: { ...state, ends: only(state, "EMSGSIZE") } }
    },
  },
  {
    name: "thousands of commands in the handshake",
    async run(victim) {
      await victim.make("Pull")
      await victim.peer(greeting(), repeat(command("NOOP"), 10 * MiB))
      const state = await victim.until(({ ends }) => ends.length === 1)
      return { most: 2, state: { ...state, ends: only(state, "EPROTO") } }
    },
  },
  {
    name: "metadata of 60 KB in 250 properties, of 50 peers",
    async run(victim) {
      const properties = Array.from({ length: 250 }, (_, i) => property(`X-${i}`, Buffer.alloc(240)))
      const all = Buffer.concat([property("Socket-Type", "PUSH"), ...properties])
      await victim.make("Pull")
      for (let i = 0; i < 50; i++) await victim.peer(greeting(), command6("READY", all))
      return { most: 10, state: await victim.until(({ peers }) => peers === 50) }
    },
  },
  {
    name: "metadata of many properties",
    async run(victim) {
      await victim.make("Pull")
      await victim.peer(
        greeting(),
        command6("READY", Buffer.concat(Array.from({ length: 5000 }, (_, i) => property(`${i}`, "")))),
      )
      const state = await victim.until(({ ends }) => ends.length === 1)
      return { most: 2, state: { ...state, ends: only(state, "EPROTO") } }
    },
  },
  {
    name: "a message of empty frames without end",
    async run(victim) {
      await victim.make("Pull")
      await victim.peer(hello("PUSH"), repeat(frame(MORE, Buffer.alloc(0)), 4 * MiB))
      const state = await victim.until(({ ends }) => ends.length === 1)
      return { most: 2, state: { ...state, ends: only(state, "EMSGSIZE") } }
    },
  },
  {
    name: "a million empty messages that nobody reads",
    async run(victim) {
      await victim.make("Pull")
      await victim.peer(hello("PUSH"), repeat(message(""), 2_000_000))
      const state = await victim.until(({ waiting }) => waiting >= 1000)
      return { most: 2, state: { ...state, waiting: exactly(state.waiting, 1000) } }
    },
  },
  {
    name: "messages of 30,000 frames of one byte that nobody reads",
    async run(victim) {
      const parts = Buffer.concat([repeat(frame(MORE, Buffer.alloc(1)), 90_000), message("x")])
      await victim.make("Pull")
      await victim.peer(hello("PUSH"), repeat(parts, 200 * parts.length))
      const state = await victim.until(({ waiting }) => waiting > 2)
      return { most: 20, state: { ...state, waiting: exactly(state.waiting, 3) } }
    },
  },
  {
    name: "small messages between which there are 64 KiB of nothing",
    async run(victim) {
      const nothing = command("NOTHING", Buffer.alloc(200))
      const parts = Buffer.concat([message("x"), repeat(nothing, 65_536)])
      await victim.make("Pull")
      await victim.peer(hello("PUSH"), repeat(parts, 1500 * parts.length))
      const state = await victim.until(({ waiting }) => waiting >= 1000)
      // Each pins the chunk it came in.
      return { most: 72, state: { ...state, waiting: exactly(state.waiting, 1000) } }
    },
  },
  ...(
    [
      ["Pull", "PUSH"],
      ["Dealer", "DEALER"],
      ["Router", "DEALER"],
      ["Reply", "DEALER"],
      ["Pair", "PAIR"],
      ["Subscriber", "PUB"],
      ["XPublisher", "XSUB"],
    ] as const
  ).map(([name, type]): Attack => ({
    name: `messages to a ${name} that nobody reads`,
    async run(victim) {
      await victim.make(name)
      await victim.peer(hello(type), repeat(message("", Buffer.alloc(1000)), 20 * MiB))
      const state = await victim.until(({ waiting }) => waiting >= 1000)
      return { most: 4, state: { ...state, waiting: exactly(state.waiting, 1000) } }
    },
  })),
  {
    name: "large messages that nobody reads",
    async run(victim) {
      await victim.make("Pull")
      await victim.peer(hello("PUSH"), repeat(message(Buffer.alloc(MiB)), 100 * MiB))
      const state = await victim.until(({ waiting }) => waiting >= 64)
      return { most: 72, state: { ...state, waiting: exactly(state.waiting, 64) } }
    },
  },
  {
    name: "peers that come, leave messages and go, again and again",
    async run(victim) {
      await victim.make("Pull", { receiveHighWaterMarkBytes: 4 * MiB })
      const come = (): Promise<EvilPeer> => victim.peer(hello("PUSH"), repeat(message(Buffer.alloc(1000)), 900 * 1009))
      for (let i = 1; i <= 4; i++) {
        const peer = await come()
        await victim.until(({ waiting }) => waiting === 900)
        peer.socket.end()
        await victim.until(({ ends }) => ends.length === i)
      }
      // Nothing is read from the next one.
      await come()
      await victim.until(({ peers }) => peers === 1)
      for (let i = 0; i < 10; i++) exactly((await victim.order({ do: "state" })).waiting, 0)
      const state = await victim.order({ do: "state" })
      // Until the others' messages have been taken.
      await victim.order({ do: "read", count: state.received })
      await victim.until(({ waiting }) => waiting === 900)
      return { most: 8, state }
    },
  },
  {
    name: "PINGs from a peer that never reads",
    run: async (victim) => ({
      most: 3,
      state: await flood(victim, "Pull", "PUSH", repeat(ping(0, "x".repeat(16)), 20 * MiB)),
    }),
  },
  {
    name: "PONGs that nobody asked for",
    run: async (victim) => ({
      most: 2,
      state: await flood(victim, "Pull", "PUSH", repeat(command("PONG", Buffer.alloc(4)), 10 * MiB)),
    }),
  },
  {
    name: "unknown commands",
    run: async (victim) => ({
      most: 2,
      state: await flood(victim, "Pull", "PUSH", repeat(command("x".repeat(255 - 4)), 10 * MiB)),
    }),
  },
  {
    name: "subscriptions taken and left again",
    run: async (victim) => ({
      most: 2,
      state: await flood(
        victim,
        "Publisher",
        "SUB",
        repeat(
          Buffer.concat([command("SUBSCRIBE", Buffer.alloc(100)), command("CANCEL", Buffer.alloc(100))]),
          10 * MiB,
        ),
      ),
    }),
  },
  {
    name: "subscriptions without end",
    async run(victim) {
      await victim.make("Publisher")
      const topics = Array.from({ length: 300_000 }, (_, i) => command("SUBSCRIBE", Buffer.from(`topic-${i}`)))
      await victim.peer(hello("SUB"), Buffer.concat(topics))
      const state = await victim.until(({ ends }) => ends.length === 1)
      return { most: 3, state: { ...state, ends: only(state, "LIMIT") } }
    },
  },
  {
    name: "topics of 10 MB",
    async run(victim) {
      await victim.make("Publisher")
      for (let i = 0; i < 2; i++)
        await victim.peer(hello("SUB"), command6("SUBSCRIBE", Buffer.alloc(10_000_000, i)), message("", "the end"))
      return { most: 36, state: await victim.until(({ received }) => received === 2) }
    },
  },
  {
    name: "one topic of 10 MB after another",
    async run(victim) {
      await victim.make("Publisher")
      for (let i = 0; i < 3; i++) {
        const peer = await victim.peer(
          hello("SUB"),
          command6("SUBSCRIBE", Buffer.alloc(10_000_000, 7)),
          message("", "the end"),
        )
        await victim.until(({ received }) => received === i + 1)
        peer.hangUp()
        await victim.until(({ ends }) => ends.length === i + 1)
      }
      return { most: 2, state: await victim.until(({ peers }) => peers === 0) }
    },
  },
  {
    name: "a subscriber that never reads",
    async run(victim) {
      await victim.make("Publisher", { sendHighWaterMarkBytes: 8 * MiB })
      await victim.peer(hello("SUB"), command("SUBSCRIBE"), message("", "the end"))
      await victim.until(({ received }) => received === 1)
      const state = await victim.order({ do: "publish", count: 1000, size: 100_000 })
      if (state.dropped < 500) throw new Error("most were to be dropped")
      // The queue, and what the system took in this turn.
      return { most: 14, state }
    },
  },
  {
    name: "messages to those who receive none",
    run: async (victim) => ({ most: 2, state: await push(victim) }),
  },
  ...(["Pull", "Router", "Publisher", "XPublisher", "Reply", "Pair"] as const).map((name): Attack => ({
    name: `connections to a ${name} that come and go`,
    async run(victim) {
      const type = { Pull: "PUSH", Router: "DEALER", Publisher: "SUB", XPublisher: "SUB", Reply: "REQ", Pair: "PAIR" }[
        name
      ]
      await victim.make(name)
      // The first ones make what stays.
      let first = 0
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 50; i++) {
          const id = property("Identity", `peer ${round} ${i}`)
          const bytes = Buffer.concat([
            hello(type, id),
            command("SUBSCRIBE", Buffer.from(`topic ${round} ${i}`)),
            ping(),
          ])
          const peer = await victim.peer(bytes.subarray(0, i % 2 === 0 ? bytes.length : (i * 7) % bytes.length))
          peer.socket.end()
        }
        const { growth } = await victim.until(({ ends }) => ends.length === (round + 1) * 50)
        for (const peer of victim.peers.splice(0)) peer.hangUp()
        if (round === 0) first = growth
      }
      const state = await victim.order({ do: "state" })
      if (state.peers > 0) throw new Error(`${state.peers} peers are left`)
      return { most: first + 0.6, state }
    },
  })),
]

async function push(victim: Victim): Promise<State> {
  await victim.make("Push")
  await victim.peer(hello("PULL"), repeat(message("x", "y"), 2 * MiB))
  return victim.until(({ dropped }) => dropped >= (2 * MiB) / 6 - 1)
}

function command6(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from([name.length]), Buffer.from(name), data])
  return Buffer.concat([head(6, body.length), body])
}

function only({ ends }: State, code: string): string[] {
  if (ends.some((end) => end !== code)) throw new Error(`ended with ${ends.join()} and not ${code}`)
  return [...ends]
}

function exactly(found: number, wanted: number): number {
  if (found !== wanted) throw new Error(`${found} wait, and not ${wanted}`)
  return found
}

t.test("memory", async (t) => {
  const outfile = join(t.testdir(), "victim.mjs")
  const entry = fileURLToPath(new URL("support/victim.ts", import.meta.url))
  await build({ entryPoints: [entry], outfile, bundle: true, platform: "node", format: "esm", logLevel: "error" })
  let victim: Victim | undefined
  t.teardown(() => victim?.child.kill())
  for (const attack of attacks) {
    victim ??= new Victim(outfile, 64)
    const begin = Date.now()
    try {
      const { most, state } = await attack.run(victim)
      t.ok(
        state.growth <= most,
        `${attack.name}: ${state.growth.toFixed(1)} of ${most.toFixed(1)} MiB (${Date.now() - begin} ms)`,
      )
      await victim.leave()
    } catch (error) {
      t.fail(attack.name, { error: String(error), of: attack.name })
      victim.child.kill()
      for (const peer of victim.peers) peer.hangUp()
      victim = undefined
    }
  }
})
