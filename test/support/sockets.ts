/** For tests of sockets: sockets that end with their test, waiting that has a bound, and what went wrong as a code. */
import type { Test } from "tap"
import type { MessageLike, SocketEvents } from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"
import { virtualClock, type VirtualClock, type VirtualClockOptions } from "./virtual-clock.ts"

/** ms after which nothing will come any more. */
const PATIENCE = 10_000

/** A bound that has nothing to do with the sockets', and keeps the process alive for them. */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), PATIENCE)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
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

/** The next such event. */
export function event<Name extends keyof SocketEvents>(socket: Socket, name: Name): Promise<SocketEvents[Name]> {
  return within(name, new Promise((resolve) => socket.events.once(name, resolve)))
}

/** All such events from now on. */
export function events<Name extends keyof SocketEvents>(socket: Socket, name: Name): SocketEvents[Name][] {
  const all: SocketEvents[Name][] = []
  socket.events.on(name, (event) => all.push(event))
  return all
}

/** Closes each when the test ends, without lingering. Returns the first. */
export function tidy<S extends Socket>(t: Test, socket: S, ...more: Socket[]): S {
  t.teardown(() => {
    for (const each of [socket, ...more]) each.linger = 0
    return within("the sockets' end", Promise.all([socket, ...more].map((each) => each.close())))
  })
  return socket
}

let names = 0
/** An inproc endpoint that nobody has. */
export function freshName(): string {
  return `inproc://test-${++names}`
}

/** Binds the first to a fresh inproc name and connects the others; waits until both sides know of it. Returns the endpoint. */
export async function link(binder: Socket, ...connectors: Socket[]): Promise<string> {
  const endpoint = freshName()
  const before = binder.peers.length
  await within("the bind", binder.bind(endpoint))
  await within("the handshakes", Promise.all(connectors.map((socket) => socket.connect(endpoint))))
  await until("the peers", () => binder.peers.length === before + connectors.length)
  return endpoint
}

/** A virtual clock that takes what users' functions throw, instead of the process. */
export function strictClock(t: Test, options?: VirtualClockOptions): VirtualClock & { readonly thrown: unknown[] } {
  const clock = virtualClock(options)
  const thrown: unknown[] = []
  const immediate = clock.immediate.bind(clock)
  clock.immediate = (callback) =>
    immediate(() => {
      try {
        callback()
      } catch (error) {
        thrown.push(error)
      }
    })
  t.teardown(async () => {
    await clock.settle()
    // An assertion would come too late here.
    if (clock.holds !== 0) throw new Error(`${t.name}: the process is still held ${clock.holds} times`)
  })
  return Object.assign(clock, { thrown })
}

/** A message as text, its frames separated by bars. */
export function text(message: readonly Uint8Array[] | undefined): string | undefined {
  return message?.map((frame) => Buffer.from(frame).toString()).join("|")
}

/** Sends the numbers from `from` on until the socket takes no more; returns the first that it didn't take. */
export function fill(
  socket: { trySend(message: MessageLike): boolean },
  from = 0,
  make: (n: number) => MessageLike = String,
): number {
  let n = from
  while (socket.trySend(make(n))) n++
  return n
}

export function range(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => String(from + i))
}

/** How a promise ends: "done", or the code of what it rejects with. */
export async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return "done"
  } catch (error) {
    return codeOf(error)
  }
}

/** How a call ends: "done", or the code of what it throws. */
export function thrown(call: () => unknown): string {
  try {
    call()
    return "done"
  } catch (error) {
    return codeOf(error)
  }
}

function codeOf(error: unknown): string {
  return (error as { code?: unknown } | undefined)?.code?.toString() ?? String(error)
}

/** Tells whether a promise has settled, without waiting. */
export function watch(promise: Promise<unknown>): { readonly state: string } {
  const seen = { state: "pending" }
  promise.then(
    () => (seen.state = "done"),
    (error: unknown) => (seen.state = codeOf(error)),
  )
  return seen
}
