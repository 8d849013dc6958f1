/**
 * A socket of each type with a good peer, an Earshot socket over inproc, and a way to show that messages go between the
 * two. What evil peers send comes to the same socket, and is read and thrown away.
 */
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
  type Clock,
  type Frame,
  type MessageHandler,
} from "../../../lib/index.ts"
import type { Socket } from "../../../lib/socket.ts"
import type { TypeName } from "./zmtp.ts"

export interface World {
  readonly type: TypeName
  /** By address: what evil peers sent that was delivered, where all of it must be. */
  readonly heard: Map<string, Frame[][]> | undefined
  readonly socket: Socket
  readonly good: Socket
  /** Messages go both ways where the types allow; `alone`: no other peer might take what the socket sends. */
  exchange(alone: boolean): Promise<void>
  close(): Promise<void>
}

type Make = (options: object) => {
  socket: Socket
  good: Socket
  exchange: (token: string, alone: boolean) => Promise<unknown>
  /** Before the first exchange. */
  begin?: () => Promise<unknown>
  ears?: Ears
}

/** Reads everything, tells of what begins with `good`, and keeps, as it is, what others sent. */
class Ears {
  readonly others = new Map<string, Frame[][]>()
  private readonly awaited = new Map<string, () => void>()
  constructor(socket: { onmessage: MessageHandler | undefined }) {
    socket.onmessage = (message, { address }) => {
      const token = message.at(-1)!.toString()
      if (token.startsWith("good-")) {
        this.awaited.get(token)?.()
        this.awaited.delete(token)
      } else if (this.others.get(address)?.push(message) === undefined) this.others.set(address, [message])
    }
  }
  hear(token: string): Promise<void> {
    return new Promise((resolve) => this.awaited.set(token, resolve))
  }
}

const makers: Record<TypeName, Make> = {
  PAIR(options) {
    const socket = new Pair(options)
    const good = new Pair(options)
    return { socket, good, exchange: bothWays(socket, good) }
  },
  DEALER(options) {
    const socket = new Dealer(options)
    const good = new Dealer(options)
    const ears = new Ears(socket)
    return { socket, good, exchange: bothWays(socket, good, ears), ears }
  },
  ROUTER(options) {
    const socket = new Router(options)
    const good = new Dealer({ ...options, routingId: "good" })
    const ears = new Ears(socket)
    const goodEars = new Ears(good)
    const exchange = async (token: string): Promise<void> => {
      await Promise.all([good.send(token), ears.hear(token)])
      await Promise.all([socket.send(["good", token]), goodEars.hear(token)])
    }
    return { socket, good, exchange, ears }
  },
  REQ(options) {
    const socket = new Request(options)
    const good = new Reply(options)
    good.onmessage = (message) => void good.send(message)
    return { socket, good, exchange: async (token, alone) => (alone ? socket.request(token) : undefined) }
  },
  REP(options) {
    const socket = new Reply(options)
    const good = new Request(options)
    // Whether an evil peer takes its answer is its own affair.
    socket.onmessage = (message) => void socket.send(message).catch(() => {})
    return { socket, good, exchange: (token) => good.request(token) }
  },
  PUSH(options) {
    const socket = new Push(options)
    const good = new Pull(options)
    const ears = new Ears(good)
    return {
      socket,
      good,
      exchange: async (token, alone) => alone && Promise.all([socket.send(token), ears.hear(token)]),
    }
  },
  PULL(options) {
    const socket = new Pull(options)
    const good = new Push(options)
    const ears = new Ears(socket)
    return { socket, good, exchange: (token) => Promise.all([good.send(token), ears.hear(token)]), ears }
  },
  PUB: (options) => publishing(new Publisher(options), options),
  XPUB(options) {
    const socket = new XPublisher(options)
    socket.onmessage = () => {}
    return publishing(socket, options)
  },
  SUB(options) {
    const socket = new Subscriber(options)
    const good = new Publisher(options)
    return { socket, good, exchange: published(good, new Ears(socket)), begin: () => socket.subscribe("good") }
  },
  XSUB(options) {
    const socket = new XSubscriber(options)
    const good = new Publisher(options)
    return {
      socket,
      good,
      exchange: published(good, new Ears(socket)),
      async begin() {
        await socket.send("\x01good")
        await good.ready({ topic: "good" })
      },
    }
  },
}

function bothWays(socket: Pair | Dealer, good: Pair | Dealer, ears: Ears = new Ears(socket)) {
  const goodEars = new Ears(good)
  return async (token: string, alone: boolean): Promise<void> => {
    await Promise.all([good.send(token), ears.hear(token)])
    if (alone) await Promise.all([socket.send(token), goodEars.hear(token)])
  }
}

function published(publisher: Publisher | XPublisher, ears: Ears) {
  return (token: string): Promise<unknown> => Promise.all([publisher.send(token), ears.hear(token)])
}

function publishing(socket: Publisher | XPublisher, options: object) {
  const good = new Subscriber(options)
  return { socket, good, exchange: published(socket, new Ears(good)), begin: () => good.subscribe("good") }
}

let count = 0

/** Resolves when the condition holds, which a peer's coming can bring about. */
export function until(socket: Socket, condition: () => boolean): Promise<void> {
  if (condition()) return Promise.resolve()
  return new Promise((resolve) => {
    const off = socket.events.on("peer:join", () => {
      if (!condition()) return
      off()
      resolve()
    })
  })
}

/** The socket is bound to, and connected from, nothing but the good peer. */
export async function makeWorld(type: TypeName, clock: Clock | undefined, options: object = {}): Promise<World> {
  const common = { linger: 0, ...(clock === undefined ? {} : { clock }) }
  const { socket, good, exchange, begin, ears } = makers[type](common)
  Object.assign(socket, options)
  await socket.bind("inproc://*")
  await good.connect(socket.lastEndpoint!)
  await until(socket, () => socket.peers.length === 1)
  await begin?.()
  return {
    type,
    heard: ears?.others,
    socket,
    good,
    async exchange(alone) {
      await exchange(`good-${++count}`, alone)
    },
    async close() {
      await Promise.all([socket.close(), good.close()])
    },
  }
}

/** Throws unless what was delivered from an address is what was sent. */
export function checkHeard({ type, heard }: World, address: string, sent: readonly (readonly Buffer[])[]): void {
  if (heard === undefined) return
  const found = (heard.get(address) ?? []).map((message) => (type === "ROUTER" ? message.slice(1) : message))
  heard.delete(address)
  const text = (messages: readonly (readonly Uint8Array[])[]): string =>
    messages.map((message) => message.map((frame) => Buffer.from(frame).toString("hex")).join("|")).join("\n")
  if (text(found) !== text(sent)) throw new Error(`${text(found)}\nwas delivered, and not\n${text(sent)}`)
}
