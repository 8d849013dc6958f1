/** What a test of a transport works with: both ends of what it dials, and a program that has nothing to do. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemClock } from "../../lib/clock.ts"
import type { Link, Listener, Transport, TransportOptions } from "../../lib/contract.ts"
import { End, waitFor } from "./recorder.ts"

export const options: TransportOptions = { clock: systemClock, keepalive: -1, backlog: 100 }

/** Both transports of a case, a listener, and whatever comes to it. */
export class Bench {
  readonly accepted: Link[] = []
  readonly ends: End[] = []
  readonly errors: Error[] = []
  readonly dialler: Transport
  readonly server: Transport
  readonly listeners: Listener[] = []
  private readonly options: TransportOptions
  private readonly hooks = new Set<() => void>()

  constructor(dialler: Transport, server: Transport = dialler, own: Partial<TransportOptions> = {}) {
    this.dialler = dialler
    this.server = server
    this.options = { ...options, ...own }
  }

  async listen(address: string): Promise<Listener> {
    const listener = await this.server.listen!(
      address,
      this.options,
      (link) => {
        this.accepted.push(link)
        for (const look of this.hooks) look()
      },
      (error) => this.errors.push(error),
    )
    this.listeners.push(listener)
    return listener
  }

  dial(address: string, signal: AbortSignal = new AbortController().signal): Promise<Link> {
    return this.dialler.dial(address, this.options, signal)
  }

  /** The next link that the listeners take. */
  async take(): Promise<Link> {
    await waitFor("a link", () => this.accepted.length > 0, this.hooks)
    return this.accepted.shift()!
  }

  async acceptedAtLeast(count: number): Promise<void> {
    await waitFor(`${count} links`, () => this.accepted.length >= count, this.hooks)
  }

  /** Who it is, is known: limits for strangers are tested where there are any. */
  end(link: Link): End {
    link.admit?.()
    const end = new End(link)
    this.ends.push(end)
    return end
  }

  async unstarted(address: string): Promise<[End, End]> {
    const near = this.end(await this.dial(address))
    return [near, this.end(await this.take())]
  }

  /** Two ends of one link, both started. */
  async pair(address: string): Promise<[End, End]> {
    const [near, far] = await this.unstarted(address)
    return [near.start(), far.start()]
  }

  async dispose(): Promise<void> {
    for (const { link } of this.ends) link.destroy()
    for (const link of this.accepted) link.destroy()
    for (const listener of this.listeners) await listener.close()
  }
}

/** Runs idle.ts with the transport of a module. Resolves to how it ended and what it said. */
export async function runIdle(
  { url, factory }: { readonly url: URL; readonly factory: string },
  address: string,
): Promise<{ status: unknown; output: string }> {
  const program = new URL("idle.ts", import.meta.url)
  // It ends without closing anything, and so leaves what its wildcard made.
  const TMPDIR = mkdtempSync(join(tmpdir(), "idle-"))
  const child = spawn(process.execPath, [...process.execArgv, program.pathname, url.href, factory, address], {
    env: { ...process.env, TMPDIR },
  })
  const killer = setTimeout(() => child.kill("SIGKILL"), 20_000)
  let output = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()))
  const status = await once(child, "close")
  clearTimeout(killer)
  rmSync(TMPDIR, { recursive: true })
  return { status, output }
}
