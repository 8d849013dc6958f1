/**
 * One process at a time, without anything that a killed one leaves behind: a listening socket is the lock, and the kernel closes it
 * with its process, whatever ends that. A file with a pid in it would not do: pids are used again, and are counted anew in each
 * container, where a volume may be shared.
 *
 * Each process makes a socket of a name that nobody used before, beside what it locks, and *then* dials those of all others. One
 * that accepts is alive: withdraw. One that refuses is dead, or has not begun to listen, and is removed; in the second case
 * it will look after us, see that we listen, and withdraw. So of two that come together at most one stays. None may: who withdraws
 * tries again, after a random time.
 */
import { createHash } from "node:crypto"
import { open, readdir, unlink, type FileHandle } from "node:fs/promises"
import { connect, createServer, type Server } from "node:net"
import { basename, dirname, join } from "node:path"
import { base32 } from "./identity.ts"
import type { Clock } from "../clock.ts"

const ATTEMPTS = 4
/** ms between two attempts, at most. */
const PAUSE = 100
/** Bytes of a path that all systems take for a socket. */
const MOST_PATH = 100
/** Random bytes in a name. */
const NAME_BYTES = 5

/** Held by this process; the process is not kept alive by it. */
export interface Lock {
  release(): Promise<void>
}

/** Locks `path`, which need not exist. Undefined: somebody else has it. Rejects where no lock can be made: a read-only disk. */
export async function lock(path: string, clock: Clock): Promise<Lock | undefined> {
  if (process.platform === "win32") return lockPipe(path)
  for (let left = ATTEMPTS; ; left--) {
    const taken = await attempt(path, clock)
    if (taken !== undefined || left === 1) return taken
    clock.hold()
    await new Promise<void>((resolve) => clock.timeout(resolve, clock.random() * PAUSE))
    clock.release()
  }
}

async function attempt(path: string, clock: Clock): Promise<Lock | undefined> {
  const own = `${basename(path)}.${base32(clock.randomBytes(NAME_BYTES))}.lock`
  const folder = await folderOf(dirname(path), own.length)
  const server = await listen(join(folder.path, own)).catch(async (error: unknown) => {
    await folder.close()
    throw error
  })
  const release = async (): Promise<void> => {
    await new Promise<void>((resolve) => server.close(() => resolve()))
    await folder.close()
  }
  try {
    const others = (await readdir(folder.path)).filter((name) => name !== own && isLockOf(path, name))
    for (const other of others) {
      if (await lives(join(folder.path, other))) {
        await release()
        return undefined
      }
      await unlink(join(folder.path, other)).catch(() => {})
    }
  } catch (error) {
    await release()
    throw error
  }
  return { release }
}

function isLockOf(path: string, name: string): boolean {
  const start = `${basename(path)}.`
  return name.startsWith(start) && /^[a-z2-7]{8}\.lock$/.test(name.slice(start.length))
}

/** A path of a socket ends at some 100 bytes; Linux has a short name for every folder that is open. */
async function folderOf(folder: string, length: number): Promise<{ path: string; close(): Promise<void> }> {
  if (Buffer.byteLength(folder) + 1 + length <= MOST_PATH || process.platform !== "linux")
    return { path: folder, close: async () => {} }
  const handle: FileHandle = await open(folder, "r")
  return { path: `/proc/self/fd/${handle.fd}`, close: () => handle.close() }
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once("error", reject)
    server.listen(path, () => {
      server.off("error", reject)
      server.on("error", () => {})
      server.unref()
      resolve(server)
    })
  })
}

/** What answers neither way is taken to be alive. */
function lives(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code !== "ECONNREFUSED" && code !== "ENOENT"))
  })
}

/** Windows lets one process have a pipe's name, and takes it back by itself. */
async function lockPipe(path: string): Promise<Lock | undefined> {
  const name = createHash("sha256").update(path.toLowerCase()).digest("hex").slice(0, 32)
  try {
    const server = await listen(`\\\\.\\pipe\\earshot-state-${name}`)
    return { release: () => new Promise((resolve) => server.close(() => resolve())) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") return undefined
    throw error
  }
}
