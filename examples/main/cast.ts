/** The other processes, and a line to them that does not depend on Earshot: Node's own between parent and child. */
import { fork, type ChildProcess } from "node:child_process"
import type { PartName } from "./parts.ts"

/** What to break on purpose, to see that it is noticed. */
export type Breakage = "lose" | "twice" | "crash" | undefined

/** What a part says it has sent, at the end. */
export interface Account {
  readonly name: string
  /** By what was sent, how often. */
  readonly sent: Readonly<Record<string, number>>
  readonly problems: readonly string[]
}

/** ms that a process may take to leave. */
const PATIENCE = 20_000

export class Cast {
  /** Rejects when a process fails that nobody has killed. */
  readonly failed: Promise<never>
  private readonly network: string
  private readonly others: number
  private readonly breakage: Breakage
  private readonly processes = new Map<string, ChildProcess>()
  private fail!: (error: Error) => void

  /** `others`: members that each of them will see. */
  constructor(network: string, others: number, breakage: Breakage) {
    this.network = network
    this.others = others
    this.breakage = breakage
    this.failed = new Promise((_, reject) => (this.fail = reject))
    this.failed.catch(() => {})
  }

  start(part: PartName, name: string): void {
    const child = fork(process.argv[1]!, ["child", part, name, this.network, `${this.others}`, this.breakage ?? ""])
    this.processes.set(name, child)
    child.once("error", (error) => this.fail(error))
    child.once("exit", (code, signal) => {
      if (this.processes.get(name) !== child) return
      this.processes.delete(name)
      if (code !== 0) this.fail(new Error(`${name} (process ${child.pid}) failed: ${signal ?? `exit code ${code}`}`))
    })
  }

  /** It sends nothing more, says how much it has sent, and leaves. */
  async stop(name: string): Promise<Account> {
    const account = this.ask(name, "message") as Promise<Account>
    this.processes.get(name)?.send("stop")
    return account
  }

  /** It finishes what it has and ends. */
  async leave(name: string): Promise<void> {
    const ended = this.ask(name, "exit")
    this.processes.get(name)?.send("leave")
    await ended
  }

  /** It ends at once, without a word. */
  async murder(name: string): Promise<void> {
    const child = this.processes.get(name)
    if (child === undefined) return
    this.processes.delete(name)
    const ended = new Promise((resolve) => child.once("exit", resolve))
    child.kill("SIGKILL")
    await ended
  }

  kill(): void {
    for (const child of this.processes.values()) child.kill("SIGKILL")
    this.processes.clear()
  }

  private ask(name: string, event: "message" | "exit"): Promise<unknown> {
    const child = this.processes.get(name)
    if (child === undefined) return Promise.reject(new Error(`${name} has ended before its time`))
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${name} does not react`)), PATIENCE)
      child.once(event, (said: unknown) => {
        clearTimeout(late)
        resolve(said)
      })
    })
  }
}
