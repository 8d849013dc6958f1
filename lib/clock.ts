/**
 * All time, scheduling and randomness. Passed to every socket; no other file touches the platform's own (a test holds
 * it), so that whole meshes can run under a virtual clock and a seed.
 */

export interface Clock {
  /** Monotonic milliseconds, with fractions. */
  now(): number
  /** Milliseconds since 1970, for what people read. */
  wall(): number
  /** Calls back once after `ms`. Never keeps the process alive. */
  timeout(callback: () => void, ms: number): Timer
  /** Calls back in a later turn, after the I/O that is ready now. Keeps the process alive until then. */
  immediate(callback: () => void): void
  /**
   * Calls back when the current callback of the platform and all microtasks behind it are done, still before other I/O.
   * Absent where the platform has no such moment.
   */
  soon?(callback: () => void): void
  /** Calls back when the current stack is done. */
  microtask(callback: () => void): void
  /** 0 <= x < 1 */
  random(): number
  /** So many bytes, fit for ids and keys. */
  randomBytes(length: number): Uint8Array
  /** Keeps the process alive until `release` has been called as often. */
  hold(): void
  /** Takes back one `hold`. */
  release(): void
}

/** What `timeout` gives. */
export interface Timer {
  /** Idempotent; harmless after the call back. */
  cancel(): void
}

type Handle = { ref?(): void; unref?(): void }

/** The platform's time. Sockets use it unless told otherwise. */
export const systemClock: Clock = createSystemClock()

function createSystemClock(): Clock {
  // Reached through the global object: a page's project knows no such name.
  const { setImmediate } = globalThis as { setImmediate?: (callback: () => void) => void }
  const immediate = setImmediate ?? messageChannelImmediate()
  // Node's, Bun's and Deno's; reached through the global object, which may have none.
  const nextTick = (globalThis as { process?: { nextTick?: (callback: () => void) => void } }).process?.nextTick
  let holds = 0
  let anchor: Handle | undefined
  return {
    now: () => performance.now(),
    wall: () => Date.now(),
    timeout(callback, ms) {
      // Longer than the platform can count is as good as never; 2^31 - 1 ms are 24 days.
      const handle = setTimeout(callback, Math.min(ms, 0x7fffffff))
      ;(handle as Handle).unref?.()
      return { cancel: () => clearTimeout(handle) }
    },
    immediate: (callback) => void immediate(callback),
    ...(nextTick === undefined ? {} : { soon: (callback: () => void) => nextTick(callback) }),
    microtask: (callback) => queueMicrotask(callback),
    random: () => Math.random(),
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    // One timer for all sockets, ref'd while anybody holds: cheaper than a ref() on every link, and exact.
    hold() {
      if (holds++ > 0) return
      anchor ??= setInterval(() => {}, 0x7fffffff) as Handle
      anchor.ref?.()
    },
    release() {
      if (--holds === 0) anchor?.unref?.()
    },
  }
}

/** Browsers have no setImmediate; a message to oneself comes back in the next turn without the clamp of timers. */
function messageChannelImmediate(): (callback: () => void) => void {
  const channel = new MessageChannel()
  const queue: (() => void)[] = []
  channel.port1.addEventListener("message", () => queue.shift()?.())
  channel.port1.start()
  return (callback) => {
    queue.push(callback)
    channel.port2.postMessage(0)
  }
}
