/** A socket in a child process: libzmq's, or ours as built. See peers/. */
import { fork, type ChildProcess } from "node:child_process"
import type { Test } from "tap"
import { within } from "./sockets.ts"

export interface Child {
  readonly process: ChildProcess
  ask<T = unknown>(what: string, ...args: unknown[]): Promise<T>
  /** As a crash: without a word. */
  kill(): Promise<void>
}

export async function child(
  t: Test,
  type: string,
  options: object = {},
  whose: "libzmq" | "earshot" = "libzmq",
): Promise<Child> {
  // Without tap's loaders.
  const started = fork(new URL(`peers/${whose}.mjs`, import.meta.url), {
    execArgv: [],
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  })
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
  let count = 0
  const gone = new Promise<void>((resolve) => {
    started.once("exit", () => {
      for (const asked of waiting.values()) asked.reject(new Error("the process is gone"))
      resolve()
    })
  })
  started.on("message", ([id, error, value]: [number, string | undefined, unknown]) => {
    const asked = waiting.get(id)
    waiting.delete(id)
    if (error) asked?.reject(new Error(error))
    else asked?.resolve(value)
  })
  const ask = <T>(what: string, ...args: unknown[]): Promise<T> => {
    const answer = new Promise<unknown>((resolve, reject) => {
      waiting.set(++count, { resolve, reject })
      started.send([count, what, ...args])
    })
    const answered = within(`${type}.${what}`, answer) as Promise<T>
    // Some are never waited for.
    answered.catch(() => {})
    return answered
  }
  const kill = (): Promise<void> => {
    started.kill("SIGKILL")
    return gone
  }
  t.teardown(kill)
  await ask("make", type, options)
  return { process: started, ask, kill }
}
