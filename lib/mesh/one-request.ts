/** One `request`, over as many attempts as it takes. */
import type { Timer } from "../clock.ts"
import { EarshotError } from "../errors.ts"
import { quiet } from "../operations.ts"
import { signalOf } from "../waiters.ts"
import { DEFAULT_TIMEOUT, type Asking, type Pending, type RequestCallOptions, type Server } from "./asking.ts"
import { encodeContent, type Content } from "./content.ts"
import type { Context } from "./context.ts"
import type { MemberInfo } from "./events.ts"
import type { Party } from "./routes.ts"

/** An answer, and whose it is. */
export interface Answer {
  readonly content: Content
  readonly from: MemberInfo
}

/** Resolves to the answer. Throws for a bad subject or option, or what can't be encoded. */
export function request(
  asking: Asking,
  context: Context,
  subject: string,
  data: unknown,
  options: RequestCallOptions = {},
): Promise<Answer> {
  if (context.closed) throw new EarshotError("EBADF", "the mesh is closed")
  const { timeout = DEFAULT_TIMEOUT, headers, codec } = options
  if (!(timeout > 0)) throw new EarshotError("EINVAL", "timeout is a number of milliseconds above 0")
  const signal = signalOf(options)
  context.routes.of(subject)
  const frames = encodeContent(subject, context.codecs.coding(codec), data, headers)
  if (signal?.aborted === true) return quiet(Promise.reject(signal.reason as Error))
  return new Promise((resolve, reject) => {
    new OneRequest(asking, context, subject, frames, options, timeout, resolve, reject).begin()
  })
}

class OneRequest {
  private readonly asking: Asking
  private readonly context: Context
  private readonly subject: string
  private readonly frames: readonly Uint8Array[]
  private readonly options: RequestCallOptions
  private readonly deadline: number
  private readonly resolve: (answer: Answer) => void
  private readonly reject: (error: unknown) => void
  private readonly timer: Timer
  private readonly refused = new Set<Party>()
  private lastError: EarshotError | undefined
  private pending: Pending | undefined
  private stopHoping: (() => void) | undefined
  private waitTimer: Timer | undefined
  private copied = false
  private over = false

  constructor(
    asking: Asking,
    context: Context,
    subject: string,
    frames: readonly Uint8Array[],
    options: RequestCallOptions,
    timeout: number,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ) {
    this.asking = asking
    this.context = context
    this.subject = subject
    this.frames = frames
    this.options = options
    this.resolve = resolve
    this.reject = reject
    this.deadline = context.clock.now() + timeout
    this.timer = context.clock.timeout(
      () => this.fail(new EarshotError("TIMEOUT", `no answer to ${subject} within ${timeout} ms`)),
      timeout,
    )
    context.clock.hold()
    options.signal?.addEventListener("abort", this.abort)
  }

  begin(): void {
    const { context, asking, subject } = this
    if (this.over) return
    if (context.closed) return this.fail(new EarshotError("EBADF", "the mesh is closed"))
    if (!context.settled) return this.hope(() => context.settled)
    if (!this.copied && this.options.to === undefined) asking.copy(subject, this.frames)
    this.copied = true
    this.attempt()
  }

  private readonly abort = (): void => this.fail(this.options.signal!.reason)

  private attempt(): void {
    const { context, asking, options, subject } = this
    const servers = asking.servers(context.routes.of(subject), options.to)
    const left = servers.filter(({ party }) => !this.refused.has(party) && (party === undefined || party.linked))
    const server = choose(context, left)
    if (server === undefined) return this.nobody()
    const remaining = Math.max(1, this.deadline - context.clock.now())
    this.pending = asking.ask(server, subject, this.frames, remaining, options.idempotent === true, {
      resolve: (content, from) => this.end(() => this.resolve({ content, from })),
      reject: (error) => this.fail(error),
      refuse: (error) => {
        this.pending = undefined
        this.lastError = error
        this.refused.add(server.party)
        if (!this.over) this.attempt()
      },
    })
  }

  /** Nobody is there, or everybody has refused. */
  private nobody(): void {
    const { lastError, options, subject, context, asking } = this
    if (lastError?.code === "BUSY") return this.fail(lastError)
    const { wait = 0 } = options
    const give = (): void => this.fail(lastError ?? new EarshotError("NO_RESPONDERS", `nobody answers ${subject}`))
    if (wait <= 0) return give()
    this.waitTimer ??= context.clock.timeout(give, wait)
    this.refused.clear()
    this.hope(() => asking.servers(context.routes.of(subject), options.to).some(({ party }) => party?.linked !== false))
  }

  /** Looks again whenever something has changed. */
  private hope(condition: () => boolean): void {
    this.stopHoping?.()
    this.stopHoping = this.asking.hope(() => {
      if (!condition() && !this.context.closed) return
      this.stopHoping?.()
      this.stopHoping = undefined
      this.begin()
    })
  }

  private fail(error: unknown): void {
    this.end(() => this.reject(error))
  }

  private end(settle: () => void): void {
    if (this.over) return
    this.over = true
    this.timer.cancel()
    this.waitTimer?.cancel()
    this.stopHoping?.()
    this.options.signal?.removeEventListener("abort", this.abort)
    if (this.pending !== undefined) this.asking.takeBack(this.pending)
    this.context.clock.release()
    settle()
  }
}

/** The better of two at random; of those that are not full, if there are any. */
function choose({ groups, clock }: Context, servers: readonly Server[]): Server | undefined {
  const free = servers.filter(({ party, queue }) => groups.open(party, queue))
  const from = free.length > 0 ? free : servers
  if (from.length < 2) return from[0]
  const first = Math.floor(clock.random() * from.length)
  const second = (first + 1 + Math.floor(clock.random() * (from.length - 1))) % from.length
  const a = from[first]!
  const b = from[second]!
  return groups.better(a.party, b.party) === a.party ? a : b
}
