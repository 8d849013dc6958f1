/**
 * `ipc://`: Unix sockets by path, abstract names (`@name`, Linux, Node 22 and newer), named pipes on Windows.
 *
 * A socket is bound under a temporary name and gets its own by a hard link, which fails where something has the name: so
 * nothing is ever bound over, and the name is ours to remove, which we do only while it is still the same file. What is
 * found under the name is dialled: a live one is left alone; a stale one is renamed, looked at once more, and removed.
 */
import fs from "node:fs/promises"
import net from "node:net"
import os from "node:os"
import path from "node:path"
import type { Link, Listener, Transport, TransportOptions } from "../lib/contract.ts"
import { EarshotError, wrap } from "../lib/errors.ts"
import { NetLink, dial, listen } from "./net.ts"

/** What fits into the system's `sun_path`. */
const MAX_PATH = 107

/** What is known of the platform, so that its rules can be tested anywhere. */
export interface IpcPlatform {
  readonly platform: string
  readonly nodeMajor: number
}

const here: IpcPlatform = { platform: process.platform, nodeMajor: Number(process.versions.node.split(".")[0]) }

/** Unix sockets and named pipes for sockets: register it, or import `earshot`, which does. */
export function ipc(): Transport {
  return {
    scheme: "ipc",
    check(address, side) {
      if (address === "*" && side === "bind") return address
      if (address === "*") throw new EarshotError("EINVAL", "ipc://* can be bound only")
      systemPath(address, here)
      return address
    },

    dial(address, options, signal): Promise<Link> {
      return dial({ path: systemPath(address, here) }, signal, `ipc://${address}`, (socket) => makeLink(socket, address, options))
    },

    async listen(address, options, onLink, onError): Promise<Listener> {
      const directory = address === "*" ? await fs.mkdtemp(path.join(os.tmpdir(), "earshot-")) : undefined
      const name = directory === undefined ? address : path.join(directory, "socket")
      const onSocket = (socket: net.Socket): void => onLink(makeLink(socket, name, options))
      const target = systemPath(name, here)
      if (here.platform === "win32" || name.startsWith("@")) {
        const server = await listen({ path: target, backlog: options.backlog }, `ipc://${name}`, onSocket, onError)
        return { address: name, close: () => (server.close(), Promise.resolve()) }
      }
      return bindPath(name, directory, options, onSocket, onError)
    },
  }
}

/** What the system calls an address. Throws EINVAL for one that can't be, ENOTSUP for one that can't be here. */
export function systemPath(address: string, on: IpcPlatform): string {
  if (on.platform === "win32") return address.startsWith("\\\\.\\pipe\\") ? address : `\\\\.\\pipe\\${address.replaceAll("/", "\\")}`
  if (new TextEncoder().encode(address).length > MAX_PATH)
    throw new EarshotError("EINVAL", `ipc path of more than ${MAX_PATH} bytes (ENAMETOOLONG)`)
  if (!address.startsWith("@")) return address
  if (address.length === 1) throw new EarshotError("EINVAL", "an abstract name is not empty")
  if (on.platform !== "linux") throw new EarshotError("ENOTSUP", "abstract names are Linux's")
  if (on.nodeMajor < 22) throw new EarshotError("ENOTSUP", "abstract names need Node 22: older ones pad them, so that no other program finds them")
  return `\0${address.slice(1)}`
}

function makeLink(socket: net.Socket, address: string, options: TransportOptions): Link {
  return new NetLink(socket, options.clock, `ipc://${address}`, undefined)
}

async function bindPath(
  name: string,
  directory: string | undefined,
  options: TransportOptions,
  onSocket: (socket: net.Socket) => void,
  onError: (error: Error) => void,
): Promise<Listener> {
  const temporary = path.join(path.dirname(name), `.${[...options.clock.randomBytes(4)].map((byte) => byte.toString(36)).join("")}`)
  systemPath(temporary, here)
  const server = await listen({ path: temporary, backlog: options.backlog }, `ipc://${name}`, onSocket, onError)
  try {
    await claim(temporary, name)
  } catch (error) {
    server.close()
    throw wrap(error, "EADDRNOTAVAIL")
  }
  const { ino } = await fs.lstat(name)
  await fs.unlink(temporary)
  return {
    address: name,
    async close() {
      if (server.listening) server.close()
      const now = await fs.lstat(name).catch(() => undefined)
      if (now?.ino === ino) await fs.unlink(name).catch(() => {})
      if (directory !== undefined) await fs.rm(directory, { recursive: true, force: true })
    },
  }
}

/** Gives the bound socket its name, clearing away a stale one. */
async function claim(temporary: string, name: string): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fs.link(temporary, name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error
      if (attempt === 3 || !(await clear(name, `${temporary}~`))) throw new EarshotError("EADDRINUSE", `ipc://${name} is in use`, error)
    }
  }
}

/** True when what had the name is gone: it was a socket that nobody listens on. */
async function clear(name: string, aside: string): Promise<boolean> {
  const found = await fs.lstat(name).catch(() => undefined)
  if (found === undefined) return true
  if (!found.isSocket() || (await isLive(name))) return false
  try {
    await fs.rename(name, aside)
  } catch {
    return true
  }
  // Somebody else may have cleared it and bound a new one between our look and our rename: that one gets its name back.
  const moved = await fs.lstat(aside)
  if (moved.ino === found.ino) {
    await fs.unlink(aside)
    return true
  }
  await fs.link(aside, name).catch(() => {})
  await fs.unlink(aside)
  return false
}

function isLive(name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path: name })
    socket.once("connect", () => (socket.destroy(), resolve(true)))
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"))
  })
}
