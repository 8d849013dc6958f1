/** An endpoint the user connected: its dialer, and its pipe, which (without `immediate`) outlives every link. */
import { Backoff } from "./backoff.ts"
import { encodeText } from "./bytes.ts"
import type { Core } from "./core.ts"
import type { Link, Transport } from "./contract.ts"
import { Dialer } from "./dialer.ts"
import { EarshotError } from "./errors.ts"
import type { Auth, AuthAttempt } from "./options.ts"
import { finish, giveUp } from "./linger.ts"
import { Pipe, type PipeOwner } from "./pipe.ts"
import { MAX_TOKEN, UNAUTHORIZED, type Session } from "./wire/session.ts"

export class Connection implements PipeOwner {
  readonly endpoint: string
  readonly transport: Transport
  /** The first completed handshake. Never an unhandled rejection. */
  readonly first: Promise<void>
  /** The first handshake is done, or will never be. */
  settled = false
  pipe: Pipe | undefined
  private readonly core: Core
  private readonly dialer: Dialer
  private readonly lasting: boolean
  private readonly forgetNudges: (() => void) | undefined
  /** For the attempt that runs. */
  private token: Uint8Array | undefined
  private reason: AuthAttempt["reason"] = "connect"
  /** The token was refused twice. */
  private unauthorized = false
  private resolveFirst!: () => void
  private rejectFirst!: (error: unknown) => void
  private closing: Promise<void> | undefined

  constructor(core: Core, endpoint: string, transport: Transport, address: string) {
    const { settings, clock } = core
    this.core = core
    this.endpoint = endpoint
    this.transport = transport
    this.lasting = !settings.immediate
    this.first = new Promise((resolve, reject) => {
      this.resolveFirst = resolve
      this.rejectFirst = reject
    })
    this.first.catch(() => {})
    this.dialer = new Dialer(
      {
        transport,
        address,
        clock,
        transportOptions: core.transportOptions,
        backoff: backoffOf(core, transport),
        persistent: settings.reconnectInterval !== -1,
        connectTimeout: settings.connectTimeout,
      },
      this,
    )
    this.forgetNudges = transport.onNudge?.(() => this.dialer.nudge())
    if (this.lasting) {
      this.makePipe()
      core.attach(this.pipe!)
    }
    this.dialer.dial()
  }

  /** Stops dialling and ends what there is, sending for `linger` ms what waits. The first call counts. */
  close(linger: number, reason?: unknown): Promise<void> {
    return (this.closing ??= this.end(linger, reason))
  }

  /** The user wants an attempt now: whatever it waited for. */
  reconnect(): void {
    if (this.closing !== undefined) return
    if (!this.unauthorized) return this.dialer.nudge()
    this.unauthorized = false
    this.reason = "reconnect"
    this.dialer.dial()
  }

  online(): void {
    this.reason = "reconnect"
    // Who looks at a socket shall not come upon it.
    this.token = undefined
    this.dialer.succeeded()
    this.settled = true
    this.core.trouble = undefined
    this.resolveFirst()
  }

  offline(pipe: Pipe, session: Session, error: EarshotError | undefined): void {
    const comesBack = !pipe.finishing || (pipe.onGone !== undefined && pipe.queued > 0)
    if (pipe.onGone !== undefined) pipe.onGone()
    else if (!this.lasting) this.pipe = undefined
    if (!comesBack) return
    const refused = error?.cause === UNAUTHORIZED && !session.established && this.token !== undefined
    if (!refused) return this.dialer.ended(error)
    if (this.reason === "refused") return this.giveIn(error)
    this.reason = "refused"
    this.dialer.dial()
  }

  onAttempt(signal: AbortSignal): Promise<void> | undefined {
    this.token = undefined
    const { auth } = this.core.settings
    return auth === undefined ? undefined : this.ask(auth, signal)
  }

  onLink(link: Link): void {
    const { core } = this
    if (this.token !== undefined && link.secure !== true && link.host !== undefined && !core.settings.insecureAuth) {
      link.destroy()
      return this.dialer.ended(
        new EarshotError("INSECURE_AUTH", `no token over ${this.endpoint}: use TLS, or allow it by insecureAuth`),
      )
    }
    core.emit("connect", { address: this.endpoint })
    // A listener may just have closed it all.
    if (this.closing === undefined && this.pipe === undefined) this.makePipe()
    if (this.pipe === undefined || !core.pipes.has(this.pipe)) return link.destroy()
    core.open(this.pipe, link, { token: this.token })
  }

  onRetry(interval: number, error: EarshotError | undefined): void {
    const { core, endpoint: address } = this
    if (error !== undefined) core.emit("connect:delay", { address, error: (core.trouble = error) })
    core.emit("connect:retry", { address, interval: Math.round(interval), error })
  }

  onGiveUp(error: EarshotError): void {
    void this.close(0, error)
    if (this.pipe !== undefined) giveUp(this.pipe)
  }

  private async ask(auth: Auth, signal: AbortSignal): Promise<void> {
    // Never from inside a call of ours: it may well close the socket.
    await Promise.resolve()
    if (signal.aborted) return
    let token: unknown
    try {
      token = await auth({ reason: this.reason, address: this.endpoint })
    } catch (error) {
      throw new EarshotError("AUTH_FAILED", undefined, error)
    }
    if (typeof token === "string") token = encodeText(token)
    if (!(token instanceof Uint8Array) || token.length > MAX_TOKEN)
      throw new EarshotError("AUTH_FAILED", `auth must give a string or bytes, at most ${MAX_TOKEN}`)
    // Too late, it would belong to another attempt.
    // oxlint-disable-next-line typescript/no-unnecessary-condition -- time has passed since it was looked at
    if (!signal.aborted) this.token = token
  }

  private giveIn(cause: EarshotError): void {
    this.unauthorized = this.settled = true
    const error = new EarshotError("UNAUTHORIZED", undefined, cause)
    this.rejectFirst(error)
    this.core.emit("unauthorized", { address: this.endpoint, error })
    if (this.pipe !== undefined) giveUp(this.pipe)
  }

  private makePipe(): void {
    this.pipe = new Pipe(this.core, this, this.endpoint, { dialled: true, lasting: this.lasting })
    this.core.pipes.add(this.pipe)
  }

  private async end(linger: number, reason: unknown): Promise<void> {
    const { core } = this
    core.connections.delete(this)
    if (this.pipe !== undefined) await core.ending([finish(core, this.pipe, this.unauthorized ? 0 : linger)])
    this.dialer.stop()
    this.forgetNudges?.()
    this.settled = true
    this.rejectFirst(
      reason ?? new EarshotError("ECANCELED", `${this.endpoint} was disconnected before its first handshake`),
    )
    core.emit("close", { address: this.endpoint })
    core.changed()
  }
}

/** The user's word first, then the transport's, then what is usual. */
function backoffOf({ clock, settings }: Core, { redial }: Transport): Backoff {
  const { reconnectInterval, reconnectMaxInterval } = settings
  const set = Object.hasOwn(settings, "reconnectInterval") || Object.hasOwn(settings, "reconnectMaxInterval")
  return redial === undefined || set
    ? new Backoff(clock, Math.max(0, reconnectInterval), reconnectMaxInterval)
    : new Backoff(clock, redial.interval, redial.maxInterval, true)
}
