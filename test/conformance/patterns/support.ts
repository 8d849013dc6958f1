/** What the families of the pattern suite share: sockets that end with their test, and waiting that has a bound. */
import type { Test } from "tap"
import { confirmed } from "../../../lib/confirm.ts"
import type { Core } from "../../../lib/core.ts"
import * as earshot from "../../../lib/index.ts"
import type { MessageLike, SocketEvents } from "../../../lib/index.ts"
import type { Socket } from "../../../lib/socket.ts"

/** What the suite runs on. */
export interface Subject {
  readonly name: string
  /** Something to bind that nobody is bound to: a new one each time, or a wildcard. */
  endpoint(): string
  /** What `bind` takes for a name of its own choice; left out where there is no such thing. */
  readonly wildcard?: string
  /** Another library's sockets in place of ours. */
  readonly sockets?: Sockets
}

export type Sockets = Pick<typeof earshot, SocketName>
export type SocketName =
  | "Pair"
  | "Push"
  | "Pull"
  | "Publisher"
  | "Subscriber"
  | "XPublisher"
  | "XSubscriber"
  | "Request"
  | "Reply"
  | "Dealer"
  | "Router"

export interface Receives {
  receive(): Promise<Uint8Array[]>
  tryReceive(): Uint8Array[] | undefined
}
export interface Sends {
  send(message: MessageLike): Promise<void>
  trySend(message: MessageLike): boolean
}

type Options<Name extends SocketName> = ConstructorParameters<Sockets[Name]>[0]
type Made<Name extends SocketName> = InstanceType<Sockets[Name]>

/** ms after which nothing will come any more. */
const PATIENCE = 10_000

/** Makes the sockets of one test, which are closed when it ends. */
export class Kit {
  readonly subject: Subject
  private readonly sockets: Sockets
  private readonly made: Socket[] = []
  /** An awaited `connect()` doesn't keep the process alive. */
  private readonly hold = setInterval(() => {}, PATIENCE)

  constructor(t: Test, subject: Subject) {
    this.subject = subject
    this.sockets = subject.sockets ?? earshot
    t.teardown(() => this.close())
  }

  make<Name extends SocketName>(name: Name, options: Options<Name> = {}): Made<Name> {
    const Class = this.sockets[name] as unknown as new (options: object) => Made<Name>
    const bounds: Record<string, number> = { linger: 0, reconnectInterval: 10 }
    for (const bound of ["sendTimeout", "receiveTimeout"]) if (bound in Class.prototype) bounds[bound] = PATIENCE
    const socket = new Class({ ...bounds, ...options })
    this.made.push(socket)
    return socket
  }

  /** Binds to a fresh endpoint and tells which it became. */
  async bind(socket: Socket): Promise<string> {
    await socket.bind(this.subject.endpoint())
    return socket.lastEndpoint!
  }

  /** Binds the first, connects the others to it, and waits until both sides know. Returns the endpoint. */
  async link(binder: Socket, ...connectors: Socket[]): Promise<string> {
    const before = binder.peers.length
    const endpoint = await this.bind(binder)
    await Promise.all(connectors.map((socket) => socket.connect(endpoint)))
    await peers(binder, before + connectors.length)
    return endpoint
  }

  /** An endpoint that was free a moment ago. */
  async place(): Promise<string> {
    const socket = this.make("Pull")
    const endpoint = await this.bind(socket)
    await socket.unbind(endpoint)
    return endpoint
  }

  private async close(): Promise<void> {
    for (const socket of this.made) if (!socket.closed) socket.linger = 0
    await Promise.all(this.made.map((socket) => socket.close()))
    clearInterval(this.hold)
  }
}

/** Waits, turn by turn, until something is so. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE
  while (!holds()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

/** As `promise`, unless it takes too long. */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE).unref()
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The next such event. */
export function event<Name extends keyof SocketEvents>(socket: Socket, name: Name): Promise<SocketEvents[Name]> {
  return within(name, new Promise((resolve) => socket.events.once(name, resolve)))
}

export function peers(socket: Socket, count: number): Promise<void> {
  return until(`${count} peers`, () => socket.peers.length === count)
}

/** All that the socket and its peers have sent each other until now has been dealt with on the other side. */
export function fence(socket: Socket): Promise<void> {
  return confirmed((socket as unknown as { core: Core }).core)
}

/** A message as text, its frames separated by bars. Fails to show text where a frame is not of the platform's kind. */
export function text(message: readonly Uint8Array[] | undefined): string | undefined {
  return message?.map(String).join("|")
}

/** The next message, as text. */
export async function next(socket: Receives): Promise<string> {
  return text(await socket.receive())!
}

/** The next so many messages, as text. */
export async function take(socket: Receives, count: number): Promise<string[]> {
  const all: string[] = []
  while (all.length < count) all.push(await next(socket))
  return all
}

/** What waits now, as text. */
export function rest(socket: Receives): string[] {
  const all: string[] = []
  for (let message = socket.tryReceive(); message !== undefined; message = socket.tryReceive()) all.push(text(message)!)
  return all
}

/** Sends the numbers from `from` on until the socket takes no more; returns the first that it didn't take. */
export function fill(socket: Sends, from: number, make: (n: number) => MessageLike = String): number {
  let n = from
  while (socket.trySend(make(n))) n++
  return n
}

/** It was at its mark, and has not drained so far that it takes more. Exactly how full it is, is the system's business. */
export function isFull(peer: earshot.PeerInfo, mark: number): boolean {
  return peer.queued > mark >> 1
}

export function range(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i))
}

/** In order: by number where they are numbers. */
export function sorted(all: readonly (string | undefined)[]): (string | undefined)[] {
  return [...all].sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }))
}

/** The code of an error. */
export function codeOf(error: unknown): string {
  return (error as { code?: string }).code ?? String(error)
}

/** With what code a promise rejects. */
export async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return "none"
  } catch (error) {
    return codeOf(error)
  }
}

/** The code of what a call throws. */
export function thrown(call: () => unknown): string {
  try {
    call()
    return "none"
  } catch (error) {
    return codeOf(error)
  }
}

/** Answers each request with itself. */
export function echo(reply: earshot.Reply): void {
  reply.onmessage = (message) => void reply.send(message)
}

/** How much of one reason the socket has dropped. */
export function drops(socket: Socket, reason: earshot.DropReason): number {
  return socket.stats().dropped[reason]?.count ?? 0
}
