/** An endpoint the user connected: its dialer, and its pipe, which (without `immediate`) outlives every link. */
import type { Core } from "./core.ts"
import type { Link, Transport } from "./contract.ts"
import { Dialer } from "./dialer.ts"
import { EarshotError } from "./errors.ts"
import { finish } from "./linger.ts"
import { Pipe, type PipeOwner } from "./pipe.ts"
import type { Session } from "./wire/session.ts"

export class Connection implements PipeOwner {
  readonly endpoint: string
  /** The first completed handshake. Never an unhandled rejection. */
  readonly first: Promise<void>
  /** The first handshake is done, or will never be. */
  settled = false
  pipe: Pipe | undefined
  private readonly core: Core
  private readonly dialer: Dialer
  private readonly lasting: boolean
  private resolveFirst!: () => void
  private rejectFirst!: (error: unknown) => void
  private closing: Promise<void> | undefined

  constructor(core: Core, endpoint: string, transport: Transport, address: string) {
    const { settings, clock } = core
    this.core = core
    this.endpoint = endpoint
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
        transportOptions: { clock, keepalive: settings.tcpKeepalive, backlog: settings.backlog },
        reconnectInterval: settings.reconnectInterval,
        reconnectMaxInterval: settings.reconnectMaxInterval,
        connectTimeout: settings.connectTimeout,
      },
      this,
    )
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

  online(): void {
    this.dialer.succeeded()
    this.settled = true
    this.resolveFirst()
  }

  offline(pipe: Pipe, _session: Session, error: EarshotError | undefined): void {
    const comesBack = !pipe.finishing || (pipe.onGone !== undefined && pipe.queued > 0)
    if (pipe.onGone !== undefined) pipe.onGone()
    else if (!this.lasting) this.pipe = undefined
    if (comesBack) this.dialer.ended(error)
  }

  onLink(link: Link): void {
    const { core } = this
    core.emit("connect", { address: this.endpoint })
    // A listener may just have closed it all.
    if (this.closing === undefined && this.pipe === undefined) this.makePipe()
    if (this.pipe === undefined || !core.pipes.has(this.pipe)) return link.destroy()
    core.open(this.pipe, link)
  }

  onRetry(interval: number, error: EarshotError | undefined): void {
    if (error !== undefined) this.core.emit("connect:delay", { address: this.endpoint, error })
    this.core.emit("connect:retry", { address: this.endpoint, interval: Math.round(interval), error })
  }

  onGiveUp(error: EarshotError): void {
    void this.close(0, error)
  }

  private makePipe(): void {
    this.pipe = new Pipe(this.core, this, this.endpoint, { dialled: true, lasting: this.lasting })
    this.core.pipes.add(this.pipe)
  }

  private async end(linger: number, reason: unknown): Promise<void> {
    const { core } = this
    core.connections.delete(this)
    if (this.pipe !== undefined) await core.ending([finish(core, this.pipe, linger)])
    this.dialer.stop()
    this.settled = true
    this.rejectFirst(
      reason ?? new EarshotError("ECANCELED", `${this.endpoint} was disconnected before its first handshake`),
    )
    core.emit("close", { address: this.endpoint })
    core.changed()
  }
}
