/**
 * Hosts and cables on one machine: network namespaces, each with loopback and whatever cables it is given, and bridges in
 * namespaces of their own, so that nothing of the machine's own network is touched. Needs root and `ip`, on Linux.
 *
 *   const lan = await Lan.create(t)
 *   const a = await lan.host("10.77.0.1/24")
 *   const program = a.run(new URL("peers/discovery.mjs", import.meta.url), ["{}"])
 *   await a.cut(); await a.mend()
 *
 * All of it goes with the test, with the process, or, after a SIGKILL, with the next process that makes some.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import type { Test } from "tap"

const run = promisify(execFile)

/** What all names of ours begin with; the pid of their process comes next. */
const MARK = "earshot-"

/** Why tests can make no namespaces here; false where they can. For tap's `skip`. */
export const noNamespaces: string | false = reason()

function reason(): string | false {
  if (process.platform !== "linux") return "network namespaces are Linux's"
  if (process.getuid?.() !== 0) return "network namespaces need root"
  const probe = `${MARK}${process.pid}-probe`
  try {
    execFileSync("ip", ["netns", "add", probe], { stdio: "ignore" })
    execFileSync("ip", ["netns", "del", probe], { stdio: "ignore" })
    return false
  } catch {
    return "`ip netns` is missing or may not be used here"
  }
}

let names = 0
const namespaces = new Set<string>()

async function ip(...args: string[]): Promise<string> {
  return (await run("ip", args)).stdout
}

async function addNamespace(t: Test): Promise<string> {
  if (namespaces.size === 0) {
    process.once("exit", () => {
      for (const name of namespaces) deleteNow(name)
    })
    sweep()
  }
  const name = `${MARK}${process.pid}-${++names}`
  namespaces.add(name)
  t.teardown(async () => {
    await ip("netns", "del", name)
    namespaces.delete(name)
  })
  await ip("netns", "add", name)
  await ip("-n", name, "link", "set", "lo", "up")
  return name
}

/** What processes left behind that could not clean up. */
function sweep(): void {
  const list = execFileSync("ip", ["netns", "list"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
  for (const line of list.split("\n")) {
    const [, name = "", pid = ""] = /^(earshot-(\d+)-\w+)/.exec(line) ?? []
    if (pid !== "" && !lives(Number(pid))) deleteNow(name)
  }
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function deleteNow(name: string): void {
  try {
    execFileSync("ip", ["netns", "del", name], { stdio: "ignore" })
  } catch {}
}

/** A switch, and the hosts on it. */
export class Lan {
  private readonly t: Test
  private readonly namespace: string
  private ports = 0

  private constructor(t: Test, namespace: string) {
    this.t = t
    this.namespace = namespace
  }

  static async create(t: Test): Promise<Lan> {
    const namespace = await addNamespace(t)
    await ip("-n", namespace, "link", "add", "switch", "type", "bridge")
    await ip("-n", namespace, "link", "set", "switch", "up")
    return new Lan(t, namespace)
  }

  /** A new host that is plugged in as `eth0`. `address` is IPv4 with its prefix: `10.77.0.1/24`. */
  async host(address: string): Promise<Host> {
    const host = new Host(this.t, await addNamespace(this.t))
    await this.plug(host, address)
    return host
  }

  /** A cable from a host to this LAN, as its next `eth`, or by another name. Resolves to the name. */
  async plug(host: Host, address: string, name: string = `eth${host.cables++}`): Promise<string> {
    const port = `port${++this.ports}`
    const other = ["type", "veth", "peer", "name", name, "netns", host.namespace]
    await ip("-n", this.namespace, "link", "add", port, ...other)
    await ip("-n", this.namespace, "link", "set", port, "master", "switch", "up")
    await ip("-n", host.namespace, "address", "add", address, "dev", name)
    await ip("-n", host.namespace, "link", "set", name, "up")
    return name
  }
}

/** A host. Its programs end with the test. */
export class Host {
  readonly namespace: string
  /** How many were plugged in. */
  cables = 0
  private readonly t: Test

  /** Made by `Lan.host`. */
  constructor(t: Test, namespace: string) {
    this.t = t
    this.namespace = namespace
  }

  /** Takes the cable out. Connections stay as they are, and hear nothing any more. */
  async cut(name = "eth0"): Promise<void> {
    await this.ip("link", "set", name, "down")
  }

  /** Puts it in again. */
  async mend(name = "eth0"): Promise<void> {
    await this.ip("link", "set", name, "up")
  }

  /** Another address, as from another DHCP server: the old one is gone first. */
  async readdress(address: string, name = "eth0"): Promise<void> {
    await this.ip("address", "flush", "dev", name)
    await this.ip("address", "add", address, "dev", name)
  }

  /** `ip` with these arguments, on this host. */
  ip(...args: string[]): Promise<string> {
    return ip("-n", this.namespace, ...args)
  }

  /** Runs a program of Node's on this host. What it says on stderr is shown. */
  run(program: URL, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Program {
    const all = ["netns", "exec", this.namespace, process.execPath, fileURLToPath(program), ...args]
    const child = spawn("ip", all, { env: { PATH: process.env["PATH"], ...env }, stdio: ["pipe", "pipe", "inherit"] })
    const started = new Program(child)
    this.t.teardown(() => started.kill())
    return started
  }
}

/** A program that says JSON, one value a line. `ip netns exec` becomes it, so that a signal reaches the program itself. */
export class Program {
  readonly process: ChildProcess
  /** What it has said. */
  readonly said: unknown[] = []
  private rest = ""

  constructor(process: ChildProcess) {
    this.process = process
    process.on("error", (error) => this.said.push({ failed: error.message }))
    process.stdin?.on("error", () => {})
    process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.rest + text).split("\n")
      this.rest = lines.pop()!
      for (const line of lines) this.said.push(parsed(line))
    })
  }

  /** As a crash: without a word. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const exit = once(this.process, "exit")
    this.process.kill(signal)
    await exit
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return line
  }
}
