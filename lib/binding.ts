/** An endpoint the user bound: its acceptor, and the pipes of the links it took. */
import { Acceptor } from "./acceptor.ts"
import type { Core } from "./core.ts"
import type { Link, Listener, Transport } from "./contract.ts"
import { wrap, type EarshotError } from "./errors.ts"
import { finish } from "./linger.ts"
import { Pipe, type PipeOwner } from "./pipe.ts"
import type { Session } from "./wire/session.ts"

export class Binding implements PipeOwner {
  /** As the user wrote it. */
  readonly asked: string
  /** As bound: ports and wildcards resolved. */
  endpoint: string
  readonly transport: Transport
  /** Once it is bound. */
  listener: Listener | undefined
  private readonly core: Core
  private readonly acceptor: Acceptor
  private readonly pipes = new Set<Pipe>()
  private closing: Promise<void> | undefined

  constructor(core: Core, asked: string, transport: Transport) {
    this.core = core
    this.transport = transport
    this.asked = this.endpoint = asked
    this.acceptor = new Acceptor(core.clock, core.settings.maxHandshakes, this)
  }

  async listen(address: string): Promise<void> {
    const { core, transport } = this
    core.bindings.add(this)
    core.clock.hold()
    try {
      this.listener = await this.acceptor.listen(transport, address, core.transportOptions)
      this.endpoint = core.lastEndpoint = `${transport.scheme}://${this.listener.address}`
      core.emit("bind", { address: this.endpoint })
    } catch (cause) {
      core.bindings.delete(this)
      const error = wrap(cause, "EINVAL")
      core.emit("bind:error", { address: this.asked, error })
      throw error
    } finally {
      core.clock.release()
    }
  }

  /** Stops listening and ends what was accepted, sending for `linger` ms what waits. The first call counts. */
  close(linger: number): Promise<void> {
    return (this.closing ??= this.end(linger))
  }

  onLink(link: Link): Session | undefined {
    const { core } = this
    core.emit("accept", { address: this.endpoint, remote: link.remote })
    // A listener may just have closed it all.
    if (this.closing !== undefined) {
      link.destroy()
      return undefined
    }
    const pipe = new Pipe(core, this, link.remote, { dialled: false, lasting: false })
    core.pipes.add(pipe)
    this.pipes.add(pipe)
    return core.open(pipe, link, { judged: true })
  }

  onError(error: EarshotError): void {
    this.core.emit("accept:error", { address: this.endpoint, error })
  }

  online(pipe: Pipe): void {
    this.acceptor.settled(pipe.session!)
  }

  onRefused(): void {
    this.core.refusedHandshakes++
  }

  onForbidden(cause: string, error: EarshotError): void {
    const { refusedConnections } = this.core
    refusedConnections[cause] = (refusedConnections[cause] ?? 0) + 1
    this.onError(error)
  }

  offline(pipe: Pipe, session: Session): void {
    this.acceptor.settled(session)
    this.pipes.delete(pipe)
    pipe.onGone?.()
  }

  private async end(linger: number): Promise<void> {
    const { core } = this
    core.bindings.delete(this)
    await core.ending([this.acceptor.close(), ...[...this.pipes].map((pipe) => finish(core, pipe, linger))])
    core.emit("close", { address: this.endpoint })
  }
}
