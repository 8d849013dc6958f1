/**
 * A member's memory between runs, in one file of JSON:
 *
 *   { "earshot": "state", "seed": …, "epoch": …, "addresses": […], "check": … }
 *
 * `seed` makes the Ed25519 key whose hash is the member's id; `check` is a hash of the line without it. A file is never written
 * to: a whole new one takes its place. Members of ours that we don't know, of a later version, are kept.
 */
import { createHash, createPrivateKey, createPublicKey } from "node:crypto"
import { mkdir, open, readFile, realpath, rename, stat } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import type { Clock, Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import type { StateStore } from "./contract.ts"
import { base32, ID_BYTES } from "./identity.ts"
import { lock, type Lock } from "./lock.node.ts"

/** ms between two writes: flash memory wears out. */
const INTERVAL = 600_000
/** Addresses that are kept, and characters of each. */
const MOST_ADDRESSES = 64
const MOST_LENGTH = 1024
/** Bytes of a file that may be ours. */
const MOST_BYTES = 256 * 1024

const SEED_BYTES = 32
/** RFC 8410, 7: what stands before the seed in a PKCS #8 key. */
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex")

interface Content {
  readonly seed: string
  readonly epoch: number
  readonly addresses: readonly string[]
}

/**
 * Opens the state at `path`: a file that need not exist, or a folder, in which it is then `earshot.json`. Rejects STATE_IN_USE
 * while another process, or another member of this one, has it open. Whatever else is wrong is told to `onProblem` and the member lives without:
 * a torn or foreign file is renamed to `….broken` and begun anew, what can't be read is left alone, what can't be
 * written is not.
 */
export async function openState(path: string, clock: Clock): Promise<StateStore> {
  const problems: Error[] = []
  const file = await fileOf(path, problems)
  let held: Lock | undefined
  try {
    held = await lock(file, clock)
    if (held === undefined) throw new EarshotError("STATE_IN_USE", `the state ${file} is in use by another member`)
  } catch (error) {
    if (error instanceof EarshotError) throw error
    problems.push(problem(`the state ${file} can't be locked`, error))
  }
  const found = await read(file, problems)
  const state = new State(file, clock, held, found, problems)
  await state.boot()
  return state
}

class State implements StateStore {
  readonly id: string
  epoch: number
  addresses: readonly string[]
  private readonly file: string
  private readonly clock: Clock
  private readonly lock: Lock | undefined
  private readonly problems: Error[]
  private content: Content
  private readonly writable: boolean
  private listener: ((error: Error) => void) | undefined
  private timer: Timer | undefined
  private written = -Infinity
  private dirty = false
  private failing = false
  private writing: Promise<boolean> | undefined
  private closing: Promise<void> | undefined

  constructor(file: string, clock: Clock, lock: Lock | undefined, found: Found, problems: Error[]) {
    this.file = file
    this.clock = clock
    this.lock = lock
    this.problems = problems
    this.writable = found.writable
    const seed = () => Buffer.from(clock.randomBytes(SEED_BYTES)).toString("base64url")
    const content = found.content ?? { seed: seed(), epoch: 0, addresses: [] }
    this.epoch = content.epoch + 1
    this.content = { ...content, epoch: this.epoch }
    this.id = idOf(Buffer.from(content.seed, "base64url"))
    this.addresses = content.addresses
  }

  get onProblem(): ((error: Error) => void) | undefined {
    return this.listener
  }

  set onProblem(listener: ((error: Error) => void) | undefined) {
    this.listener = listener
    this.clock.microtask(() => {
      if (this.listener !== undefined) for (const error of this.problems.splice(0)) this.listener(error)
    })
  }

  /** An epoch must be written before anybody hears of it: who comes back with the same one is taken for a ghost. */
  async boot(): Promise<void> {
    if (await this.write()) return
    // Nor may it stand still where nothing can be written; the wall clock goes on meanwhile.
    this.epoch += Math.floor(this.clock.wall() / 1000)
  }

  remember(addresses: readonly string[]): void {
    const kept = [...new Set(addresses)].filter((address) => address.length <= MOST_LENGTH).slice(0, MOST_ADDRESSES)
    if (this.closing !== undefined || same(kept, this.content.addresses)) return
    this.content = { ...this.content, addresses: kept }
    this.addresses = kept
    this.later()
  }

  private later(): void {
    this.dirty = true
    const wait = Math.max(0, this.written + INTERVAL - this.clock.now())
    if (this.closing === undefined) this.timer ??= this.clock.timeout(() => void this.write(), wait)
  }

  close(): Promise<void> {
    return (this.closing ??= this.end())
  }

  private async end(): Promise<void> {
    await this.writing
    if (this.dirty) await this.write()
    this.timer?.cancel()
    await this.lock?.release()
  }

  private write(): Promise<boolean> {
    this.timer?.cancel()
    this.timer = undefined
    this.written = this.clock.now()
    this.dirty = false
    return (this.writing = this.replace())
  }

  private async replace(): Promise<boolean> {
    if (!this.writable) return false
    try {
      await replace(this.file, encode(this.content))
      this.failing = false
      return true
    } catch (error) {
      if (!this.failing) this.report(problem(`the state ${this.file} can't be written`, error))
      this.failing = true
      this.later()
      return false
    }
  }

  private report(error: Error): void {
    if (this.listener === undefined) this.problems.push(error)
    else this.listener(error)
  }
}

// --- The file ---

interface Found {
  readonly content: Content | undefined
  /** Nothing of worth would be written over. */
  readonly writable: boolean
}

/** The same file has one name, so that it has one lock. */
async function fileOf(path: string, problems: Error[]): Promise<string> {
  const wanted = resolve(path)
  try {
    if ((await stat(wanted).catch(() => undefined))?.isDirectory()) return join(await realpath(wanted), "earshot.json")
    await mkdir(dirname(wanted), { recursive: true })
    return await realpath(wanted).catch(async () => join(await realpath(dirname(wanted)), basename(wanted)))
  } catch (error) {
    problems.push(problem(`there is no folder for the state ${wanted}`, error))
    return wanted
  }
}

async function read(file: string, problems: Error[]): Promise<Found> {
  try {
    const found = await stat(file)
    if (!found.isFile()) throw new Error("it is no file")
    const content = found.size <= MOST_BYTES ? decode(await readFile(file, "utf8")) : undefined
    if (content !== undefined) return { content, writable: true }
    await rename(file, `${file}.broken`)
    const message = `the state ${file} is torn or none of ours: it is now ${file}.broken, and this member a new one`
    problems.push(new EarshotError("DECODE", message))
    return { content: undefined, writable: true }
  } catch (error) {
    const absent = (error as NodeJS.ErrnoException).code === "ENOENT"
    if (!absent) problems.push(problem(`the state ${file} can't be read, and is left alone`, error))
    return { content: undefined, writable: absent }
  }
}

async function replace(file: string, text: string): Promise<void> {
  const passing = `${file}.tmp`
  // Whoever has the seed is this member.
  const handle = await open(passing, "w", 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(passing, file)
  // The new name, too, where a folder can be synced.
  const folder = await open(dirname(file), "r").catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}

function encode(content: Content): string {
  const { earshot: _, check: _old, ...rest } = content as Content & { earshot?: unknown; check?: unknown }
  const plain = { earshot: "state", ...rest }
  return JSON.stringify({ ...plain, check: hash(JSON.stringify(plain)) })
}

function decode(text: string): Content | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const { check, ...plain } = Object(value) as Content & { earshot?: unknown; check?: unknown }
  if (plain.earshot !== "state" || check !== hash(JSON.stringify(plain))) return undefined
  const { seed, epoch, addresses } = plain as { seed?: unknown; epoch?: unknown; addresses?: unknown }
  const isSeed = typeof seed === "string" && Buffer.from(seed, "base64url").length === SEED_BYTES
  const areAddresses = Array.isArray(addresses) && addresses.every((address) => typeof address === "string")
  return isSeed && Number.isSafeInteger(epoch) && Number(epoch) >= 0 && areAddresses ? plain : undefined
}

function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 32)
}

/** Base32 of the first 16 bytes of SHA-256 of the public key. */
function idOf(seed: Uint8Array): string {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" })
  const publicKey = Buffer.from(createPublicKey(key).export({ format: "jwk" }).x!, "base64url")
  return base32(createHash("sha256").update(publicKey).digest().subarray(0, ID_BYTES))
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, at) => value === b[at])
}

function problem(message: string, cause: unknown): EarshotError {
  return new EarshotError("EACCES", `${message}: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
}
