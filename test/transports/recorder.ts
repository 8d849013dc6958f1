/** A sink that keeps what a link tells it and notes every breach of the contract's order; and links held by one. */
import type { Link, LinkSink } from "../../lib/contract.ts"

/** ms that a test waits for what must come. */
const BOUND = 15_000

export class Recorder implements LinkSink {
  readonly chunks: Uint8Array[] = []
  bytes = 0
  drains = 0
  closes = 0
  error: Error | undefined
  /** What the link did that it must not do. */
  readonly breaches: string[] = []
  /** Called for each chunk, from inside `onData`. */
  onChunk: ((chunk: Uint8Array) => void) | undefined
  /** `LinkSink.room`, where a test has one. */
  room: () => Uint8Array | undefined = () => undefined
  private inside: string | undefined
  private readonly waiting = new Set<() => void>()

  onData(chunk: Uint8Array): void {
    this.note("onData")
    this.chunks.push(chunk)
    this.bytes += chunk.length
    this.onChunk?.(chunk)
    this.wake()
  }

  onDrain(): void {
    this.note("onDrain")
    this.drains++
    this.wake()
  }

  onClose(error?: Error): void {
    this.note("onClose")
    this.closes++
    this.error = error
    this.wake()
  }

  get data(): Buffer {
    return Buffer.concat(this.chunks)
  }

  /** Runs a call into the link, during which the link must not call us. */
  during<T>(what: string, call: () => T): T {
    const before = this.inside
    this.inside = what
    try {
      return call()
    } finally {
      this.inside = before
    }
  }

  /** Resolves as soon as, after something came, the condition holds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    await waitFor(`${what}; so far ${this.describe()}`, condition, this.waiting)
  }

  private describe(): string {
    return `${this.bytes} bytes, ${this.drains} drains, ${this.closes} closes`
  }

  private note(call: string): void {
    if (this.inside !== undefined) this.breaches.push(`${call} from inside ${this.inside}`)
    if (this.closes > 0) this.breaches.push(`${call} after onClose`)
  }

  private wake(): void {
    for (const look of this.waiting) look()
  }
}

/** Waits for a condition that is looked at whenever one of `hooks` is called. The bound's timer keeps the process alive. */
export function waitFor(what: string, condition: () => boolean, hooks: Set<() => void>): Promise<void> {
  if (condition()) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const end = (): void => {
      clearTimeout(timer)
      hooks.delete(look)
    }
    const look = (): void => {
      if (!condition()) return
      end()
      resolve()
    }
    const timer = setTimeout(() => {
      end()
      reject(new Error(`waited in vain for ${what}`))
    }, BOUND)
    hooks.add(look)
  })
}

/** Turns of the event loop, for what must not happen. Real I/O has had its chance in each. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** One end: a link and its sink. */
export class End {
  readonly link: Link
  readonly sink: Recorder = new Recorder()

  constructor(link: Link) {
    this.link = link
  }

  start(): this {
    this.sink.during("start", () => this.link.start(this.sink))
    return this
  }

  write(...chunks: Uint8Array[]): boolean {
    return this.sink.during("write", () => this.link.write(chunks))
  }

  /** In pieces, each as soon as the one before has been taken. */
  async writeAll(pieces: Iterable<Uint8Array[]>): Promise<void> {
    for (const piece of pieces) {
      const { drains } = this.sink
      if (!this.write(...piece)) await this.sink.until("onDrain", () => this.sink.drains > drains)
    }
  }

  /** Writes until a write returns false. Resolves to the bytes written. */
  fill(chunk: Uint8Array, limit = 64 * 1024 * 1024): number {
    for (let written = 0; written < limit;) {
      written += chunk.length
      if (!this.write(chunk)) return written
    }
    throw new Error(`the link takes ${limit} bytes without asking to wait`)
  }

  got(bytes: number): Promise<void> {
    return this.sink.until(`${bytes} bytes`, () => this.sink.bytes >= bytes)
  }

  closed(): Promise<void> {
    return this.sink.until("onClose", () => this.sink.closes > 0)
  }
}

/** Numbers 0 <= x < n, the same ones for the same seed. */
export function dice(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

export function randomBytes(size: number, roll: (n: number) => number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = roll(256)
  return bytes
}

/** The bytes cut at random places, in random handfuls. */
export function* splits(bytes: Buffer, largest: number, roll: (n: number) => number): Generator<Buffer[]> {
  for (let at = 0; at < bytes.length;) {
    const handful: Buffer[] = []
    for (let count = 1 + roll(6); count > 0 && at < bytes.length; count--) {
      const size = roll(10) === 0 ? 0 : 1 + roll(roll(3) === 0 ? 20 : largest)
      handful.push(bytes.subarray(at, at + size))
      at = Math.min(bytes.length, at + size)
    }
    yield handful
  }
}
