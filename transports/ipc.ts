/**
 * Unix sockets by path, abstract names (`@name`, Linux with Node 22), and named pipes on Windows.
 *
 * A path is a name that outlives its owner, so binding must tell a dead owner's from a living one's, and nobody may take
 * a living one's while two do so at once:
 *   1. We bind and listen under a passing name beside the path, then link() it to the path. That fails where something is
 *      there already: nothing is ever bound over, and whoever finds the path finds a socket that listens.
 *   2. If something is there, we link() it to a second passing name that is the same for everybody who wants this path.
 *      That fails if another one is at it. So there is one at a time, and what we look at can't be swapped meanwhile.
 *   3. We dial that second name. Refused: nobody listens, and the path is unlinked. Else the address is in use.
 * rename() over the path, or unlink() after a look at the path itself, would each let the second of two racers take away
 * what the first has just bound.
 */
import { lstat, link, mkdtemp, rmdir, stat, unlink } from "node:fs/promises"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { basename, dirname, join, resolve } from "node:path"
import type { Clock } from "../lib/clock.ts"
import type { Link, Listener, Transport, TransportOptions } from "../lib/contract.ts"
import { abortError, EarshotError } from "../lib/errors.ts"
import { bindError, dialSocket, listenServer, NetLink } from "./net.ts"
import { adopt } from "./reading.ts"

/** What decides how an address is spelt for the system. */
export interface Platform {
  readonly system: string
  readonly nodeMajor: number
}

const here: Platform = {
  system: process.platform,
  nodeMajor: Number.parseInt(process.versions.node, 10),
}

/** The transport `ipc`. */
export function ipc(): Transport {
  return {
    scheme: "ipc",
    check(address, side) {
      if (address !== "*") systemPath(address, here)
      else if (side === "connect") throw new EarshotError("EINVAL", "ipc://* is for binding; say where to connect to")
      return address
    },
    dial,
    listen,
  }
}

// --- Addresses ---

/** The name for the system. Throws EarshotError `EINVAL` for what can't be one, `ENOTSUP` for what this platform lacks. */
export function systemPath(address: string, { system, nodeMajor }: Platform): string {
  if (address === "" || address.includes("\0")) throw invalid(address, "it is no path")
  if (system === "win32") {
    if (/^\\\\[.?]\\pipe\\./i.test(address)) return address
    // A pipe's name may be any characters but backslashes, 256 with what stands before them.
    if (address.length > 247) throw invalid(address, "ENAMETOOLONG: the name of a pipe ends at 247 characters")
    return `\\\\.\\pipe\\${address.replaceAll("\\", "/")}`
  }
  const limit = pathLimit(system)
  const size = Buffer.byteLength(address)
  if (size > limit) throw invalid(address, `ENAMETOOLONG: ${size} bytes, and ${limit} are the limit`)
  if (!address.startsWith("@")) {
    if (/(^|\/)\.{0,2}$/.test(address)) throw invalid(address, "it names a directory")
    return address
  }
  if (address === "@") throw invalid(address, "the name behind @ is missing")
  if (system !== "linux") throw new EarshotError("ENOTSUP", `ipc://${address}: only Linux has abstract names`)
  // Older ones pad the name with zeros to its full length, so that no other program would find it.
  if (nodeMajor < 22) throw new EarshotError("ENOTSUP", `ipc://${address}: abstract names need Node 22`)
  return `\0${address.slice(1)}`
}

/** Bytes of sockaddr_un.sun_path without its final zero. */
function pathLimit(system: string): number {
  return system === "linux" ? 107 : 103
}

function invalid(address: string, why: string): EarshotError {
  return new EarshotError("EINVAL", `bad address ipc://${address}: ${why}`)
}

// --- Dialling ---

/** ms that a dial waits for a listener that is there and has its backlog full. TCP waits longer, in the system. */
const PATIENCE = 10_000

async function dial(address: string, { clock }: TransportOptions, signal: AbortSignal): Promise<Link> {
  const path = systemPath(address, here)
  const give = clock.now() + PATIENCE
  for (;;) {
    try {
      const remote = `ipc://${address}`
      const link = await dialSocket(
        { path },
        signal,
        (socket, reader) => new NetLink(socket, reader, remote, undefined, clock),
      )
      if (!signal.aborted) return link
      link.destroy()
      throw abortError(signal)
    } catch (error) {
      if (codeOf(error) !== "EAGAIN" || clock.now() > give) throw error
    }
    await pause(clock, signal)
  }
}

/** Resolves a little later, or as soon as the signal aborts. */
function pause(clock: Clock, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel()
      signal?.removeEventListener("abort", done)
      resolve()
    }
    const timer = clock.timeout(done, 5 + clock.random() * 10)
    signal?.addEventListener("abort", done)
  })
}

// --- Listening ---

async function listen(
  address: string,
  options: TransportOptions,
  onLink: (link: Link) => void,
  onError: (error: Error) => void,
): Promise<Listener> {
  // A directory of its own (mode 0700) keeps others out, whatever the umask.
  const directory =
    address === "*" && here.system !== "win32" ? await mkdtemp(join(tmpdir(), "earshot-")).catch(rethrow) : undefined
  const name = address !== "*" ? address : directory !== undefined ? join(directory, "socket") : uniqueName(options)
  const path = systemPath(name, here)
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (accepted) => {
    const { socket, reader } = adopt(accepted)
    onLink(new NetLink(socket, reader, `ipc://${name}`, undefined, options.clock))
  })
  const open = (path: string): Promise<void> => listenServer(server, { path, backlog: options.backlog }, onError)
  if (here.system === "win32" || name.startsWith("@")) {
    await open(path)
    return { address: name, close: async () => void server.close() }
  }
  let release: () => Promise<void>
  try {
    release = await bindPath(path, open, options)
  } catch (error) {
    server.close()
    if (directory !== undefined) await rmdir(directory).catch(() => {})
    throw bindError(error)
  }
  const close = async (): Promise<void> => {
    // In this order: while we listen nobody takes the path for a dead one's.
    await release()
    server.close()
    if (directory !== undefined) await rmdir(directory).catch(() => {})
  }
  let closed: Promise<void> | undefined
  return { address: name, close: () => (closed ??= close()) }
}

function rethrow(error: unknown): never {
  throw bindError(error)
}

function uniqueName({ clock }: TransportOptions): string {
  return `earshot-${Buffer.from(clock.randomBytes(8)).toString("hex")}`
}

/** Length of the passing names: as long as most sockets', so that the limit on paths is rarely theirs. */
const PASSING = 6
/** ms after which whoever was clearing a path has certainly died over it. */
const ABANDONED = 5000

/** Resolves to what gives the path back. */
async function bindPath(
  path: string,
  open: (path: string) => Promise<void>,
  options: TransportOptions,
): Promise<() => Promise<void>> {
  const own = beside(path, Buffer.from(options.clock.randomBytes(PASSING)).toString("base64url"))
  // A relative path may be the only one that is short enough; but the program may change its directory later.
  const [passing, lasting] = [resolve(own), resolve(path)]
  // Node says EACCES where there is no such directory.
  await stat(dirname(passing))
  await open(own)
  try {
    const { dev, ino } = await lstat(passing)
    await linkTo(own, path, options)
    return async () => {
      const found = await lstat(lasting).catch(() => undefined)
      if (found?.dev === dev && found.ino === ino) await unlink(lasting).catch(() => {})
    }
  } finally {
    await unlink(passing).catch(() => {})
  }
}

/** `path` with another last part, which fits where the path's own did. */
function beside(path: string, name: string): string {
  const other = join(dirname(path), `~${name.slice(0, PASSING - 1)}`)
  if (Buffer.byteLength(other) > pathLimit(here.system))
    throw invalid(path, "ENAMETOOLONG: no room beside it for a passing name")
  return other
}

async function linkTo(from: string, to: string, options: TransportOptions): Promise<void> {
  for (let attempt = 0; attempt < 50; attempt++) {
    try {
      return await link(from, to)
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error
    }
    if ((await clear(to, options)) === "busy") await pause(options.clock)
  }
  throw inUse(to)
}

/** Frees the path if its owner is dead; `busy` while somebody else is at it. Throws EADDRINUSE for a living owner's. */
async function clear(path: string, { clock }: TransportOptions): Promise<"again" | "busy"> {
  const claim = beside(
    path,
    Buffer.from(basename(path))
      .toString("base64url")
      .slice(-(PASSING - 1)),
  )
  try {
    await link(path, claim)
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "again"
    if (codeOf(error) !== "EEXIST") throw inUse(path, error)
    const found = await lstat(claim).catch(() => undefined)
    if (found !== undefined && clock.wall() - found.ctimeMs > ABANDONED) await unlink(claim).catch(() => {})
    return "busy"
  }
  try {
    if (!(await lstat(claim)).isSocket() || (await isLive(claim))) throw inUse(path)
    await unlink(path)
    return "again"
  } finally {
    await unlink(claim).catch(() => {})
  }
}

function isLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path })
    socket.unref()
    socket.on("connect", () => {
      socket.destroy()
      resolve(true)
    })
    // A full backlog or a missing permission: somebody is there.
    socket.on("error", (error) => resolve(codeOf(error) !== "ECONNREFUSED"))
  })
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code
}

function inUse(path: string, cause?: unknown): EarshotError {
  return new EarshotError("EADDRINUSE", `ipc://${path} is in use`, cause)
}
