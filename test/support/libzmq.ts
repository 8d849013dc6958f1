/** Real libzmq, by npm zeromq, as the other end of a test. */
import type { Test } from "tap"
import * as zmq from "zeromq"
import type { Socket } from "../../lib/socket.ts"
import { tidy, until, within } from "./sockets.ts"

export { zmq }

/** ms after which a receive or send of theirs gives up. */
export const PATIENCE = 10_000

/** Closes them when the test ends, so that libzmq's threads hold nothing up. Returns the first. */
export function theirs<S extends zmq.Socket>(t: Test, socket: S, ...more: zmq.Socket[]): S {
  for (const each of [socket, ...more]) {
    each.linger = 0
    if ("receiveTimeout" in each) each.receiveTimeout = PATIENCE
    if ("sendTimeout" in each) each.sendTimeout = PATIENCE
  }
  t.teardown(() => {
    for (const each of [socket, ...more]) if (!each.closed) each.close()
  })
  return socket
}

/** As `tidy`, and no operation waits for ever. */
export function ours<S extends Socket>(t: Test, socket: S, ...more: Socket[]): S {
  for (const each of [socket, ...more]) {
    if ("receiveTimeout" in each) each.receiveTimeout = PATIENCE
    if ("sendTimeout" in each) each.sendTimeout = PATIENCE
  }
  return tidy(t, socket, ...more)
}

export const SIDES = ["we bind", "they bind"] as const
export type Side = (typeof SIDES)[number]

/** Joins the two over TCP and waits for the handshake on our side. Returns the endpoint. */
export async function join(side: Side, us: Socket, them: zmq.Socket): Promise<string> {
  if (side === "we bind") {
    await us.bind("tcp://127.0.0.1:*")
    them.connect(us.lastEndpoint!)
    await until("their handshake", () => us.peers.length > 0)
    return us.lastEndpoint!
  }
  await them.bind("tcp://127.0.0.1:*")
  await within("our handshake", us.connect(them.lastEndpoint!))
  return them.lastEndpoint!
}

/** Takes so many messages whose first frames count from 0; says "all", or where the row breaks. */
export async function inOrder(receive: () => Promise<ArrayLike<Uint8Array>>, total: number): Promise<string> {
  for (let i = 0; i < total; i++) {
    const number = String((await receive())[0])
    if (number !== String(i)) return `${number} where ${i} was due`
  }
  return "all"
}

/**
 * libzmq takes note of new peers, and tells them of its subscriptions, only while it is called: calls it until the promise
 * settles.
 */
export async function poking<T>(them: zmq.Socket, promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => them.readable, 1)
  try {
    return await promise
  } finally {
    clearInterval(timer)
  }
}

/** Binds one of theirs to a port that may still be held by another that was just closed. */
export async function rebind(socket: zmq.Socket, endpoint: string): Promise<void> {
  for (let attempt = 0; ; attempt++)
    try {
      return await socket.bind(endpoint)
    } catch (error) {
      if (attempt > 500) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
}
