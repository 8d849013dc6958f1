/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The user's object. What all sockets have is `Socket`; what those have that receive is `Receiver`, that send `Sender`,
 * both `Duplex`. A socket type is one of these and a pattern, in a file of patterns/.
 */
import { Binding } from "./binding.ts"
import { systemClock, type Clock } from "./clock.ts"
import { Connection } from "./connection.ts"
import type { Frame, Pattern, PeerInfo, Place } from "./contract.ts"
import { Core, type PatternFactory, type SocketStats } from "./core.ts"
import { transports } from "./defaults.ts"
import { locate } from "./endpoint.ts"
import { EarshotError } from "./errors.ts"
import type { Events } from "./events.ts"
import type { MessageHandler, Received } from "./inbox.ts"
import type { MessageLike } from "./message.ts"
import { MessageIterator, quiet, receive, receiveMany, send, tryReceive, trySend, untilAborted } from "./operations.ts"
import {
  setOption,
  receiveOptions,
  sendOptions,
  socketOptions,
  standardSettings,
  type OptionName,
  type ReceiveOptions,
  type SendOptions,
  type SocketOptions,
} from "./options.ts"
import { signalOf, type WaitOptions } from "./waiters.ts"

/** `receive()`'s: with the peer, or until a signal. */
export interface ReceiveCallOptions extends WaitOptions {
  /** Give the peer too. Default false. */
  readonly withPeer?: boolean | undefined
}

/** Duplicate connects to one endpoint are ignored for these, as in libzmq (WIRE 1.13). */
const ONE_PER_ENDPOINT: ReadonlySet<string> = new Set(["DEALER", "SUB", "XSUB", "PUB", "XPUB", "REQ"])

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- the options are defined as accessors from the table
export interface Socket extends Omit<SocketOptions, "clock"> {}

/** What every socket has. */
export abstract class Socket<P extends Pattern = Pattern> {
  /** @internal */
  protected readonly core: Core<P>

  /** @internal */
  protected constructor(makePattern: PatternFactory<P>, options: object) {
    const settings = standardSettings()
    if (typeof options !== "object" || (options as unknown) === null)
      throw new EarshotError("EINVAL", `options are an object, not ${typeof options}`)
    const { clock = systemClock, ...rest } = options as { clock?: Clock }
    if (typeof (clock as Clock | null)?.timeout !== "function")
      throw new EarshotError("EINVAL", "clock must be a Clock")
    for (const [name, value] of Object.entries(rest)) {
      if (value === undefined) continue
      if (!(name in this)) throw new EarshotError("EINVAL", `this socket has no option ${name}`)
      setOption(settings, name as OptionName, value)
    }
    this.core = new Core(clock, transports, settings, makePattern)
  }

  /** What happens on this socket; the only emitter. */
  get events(): Events {
    return this.core.events
  }

  /** True as soon as `close()` has been called. */
  get closed(): boolean {
    return this.core.closed
  }

  /** The endpoint bound or connected last, ports and wildcards resolved; null before. */
  get lastEndpoint(): string | null {
    return this.core.lastEndpoint
  }

  /** The peers connected now. */
  get peers(): readonly PeerInfo[] {
    return [...this.core.pipes].filter((pipe) => pipe.online && !pipe.finishing)
  }

  /** Counters since the socket was made. */
  stats(): SocketStats {
    return this.core.stats()
  }

  /**
   * Listens at an endpoint, such as `tcp://*:5555`, `tcp://127.0.0.1:*`, `ipc:///tmp/a.sock`, `inproc://name`, or at a place
   * that a transport made, such as `ws({ server })`; `lastEndpoint` then tells ports and names. Throws EINVAL, EPROTONOSUPPORT or ENOTSUP at once for a bad endpoint, EBADF on a closed
   * socket; rejects EADDRINUSE, EADDRNOTAVAIL, ENODEV, EACCES, ECANCELED when unbound before, or with the signal's reason.
   */
  bind(endpoint: string | Place, options?: WaitOptions): Promise<void> {
    const { core } = this
    core.checkOpen()
    const { transport, address, name } = locate(endpoint, core.transports)
    transport.check(address, "bind")
    const signal = signalOf(options)
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error)
    const binding = new Binding(core, name, transport)
    const bound = binding.listen(address)
    return signal === undefined ? bound : untilAborted(bound, signal, () => void binding.close(0))
  }

  /**
   * Stops listening at an endpoint (as it was given to `bind`, or as `lastEndpoint` told) and ends the connections that
   * it took, sending what waits for up to `linger` ms. Throws ENOENT for an endpoint that isn't bound.
   */
  unbind(endpoint: string | Place): Promise<void> {
    const { core } = this
    core.checkOpen()
    const { transport, address, name } = locate(endpoint, core.transports)
    transport.check(address, "bind")
    for (const binding of core.bindings)
      if (
        endpoint === name
          ? // Asked for with a wildcard it may be one of many.
            binding.endpoint === name || (binding.asked === name && !/(\*|:0)$/.test(name))
          : binding.transport === transport && (binding.endpoint === name || binding.asked === name)
      )
        return binding.close(core.settings.linger)
    throw new EarshotError("ENOENT", `not bound to ${name}`)
  }

  /**
   * Connects to an endpoint, or a place that a transport made, and stays connected: dials again whenever the connection is lost. Resolves with the first
   * completed handshake; need not be awaited, keeps no process alive and raises no unhandled rejection. Throws EINVAL,
   * EPROTONOSUPPORT or ENOTSUP at once for a bad endpoint, EBADF on a closed socket; rejects ECANCELED when disconnected
   * before, UNAUTHORIZED when the token of `auth` was refused twice, or with the signal's reason, which disconnects too.
   */
  connect(endpoint: string | Place, options?: WaitOptions): Promise<void> {
    const { core } = this
    core.checkOpen()
    const { transport, address, name: asked } = locate(endpoint, core.transports)
    const name = `${transport.scheme}://${transport.check(address, "connect")}`
    const signal = signalOf(options)
    if (signal?.aborted === true) return quiet(Promise.reject(signal.reason as Error))
    core.lastEndpoint = asked
    if (ONE_PER_ENDPOINT.has(core.pattern.type))
      for (const connection of core.connections)
        if (connection.endpoint === name && connection.transport === transport)
          return signal === undefined ? connection.first : quiet(untilAborted(connection.first, signal, () => {}))
    const connection = new Connection(core, name, transport, address)
    core.connections.add(connection)
    if (signal === undefined) return connection.first
    return quiet(untilAborted(connection.first, signal, () => void connection.close(0, signal.reason)))
  }

  /**
   * Ends what `connect` made of an endpoint, sending what waits for up to `linger` ms; resolves when it is gone. Throws
   * ENOENT for an endpoint that isn't connected.
   */
  disconnect(endpoint: string | Place): Promise<void> {
    const { core } = this
    core.checkOpen()
    const ending = this.connectionsTo(endpoint)
    return Promise.all(ending.map((each) => each.close(core.settings.linger))).then(() => {})
  }

  /**
   * Tries again now, whatever connections that are not there wait for: also those that stopped because `auth` gave a
   * token that was refused twice (`unauthorized`). Without an endpoint: all of them. Throws ENOENT as `disconnect` does.
   */
  reconnect(endpoint?: string | Place): void {
    const { core } = this
    core.checkOpen()
    for (const connection of endpoint === undefined ? core.connections : this.connectionsTo(endpoint))
      connection.reconnect()
  }

  /**
   * Closes the socket: takes nothing more, sends what waits for up to `linger` ms, counts and tells what it had to drop,
   * ends everything. Resolves when all is done; pending operations reject EBADF. Idempotent.
   */
  close(): Promise<void> {
    return this.core.close(this.core.settings.linger)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private connectionsTo(endpoint: string | Place): Connection[] {
    const { core } = this
    const { transport, address, name: asked } = locate(endpoint, core.transports)
    const name = `${transport.scheme}://${transport.check(address, "connect")}`
    // A string, as `lastEndpoint` tells it, may mean a place.
    const found = [...core.connections].filter(
      (each) => each.endpoint === name && (endpoint === asked || each.transport === transport),
    )
    if (found.length === 0) throw new EarshotError("ENOENT", `not connected to ${asked}`)
    return found
  }
}

/** What sending sockets have. */
export interface Sending {
  /**
   * Sends a message: one frame, or an array of frames. Resolves when it is taken for sending, which says nothing of its
   * arrival; waits in line while nobody has room (`sendTimeout`, `signal`). Rejects EAGAIN when that takes too long,
   * EMSGSIZE for more than the peer takes, EBADF on a closed socket, EINVAL for what is no message.
   */
  send(message: MessageLike, options?: WaitOptions): Promise<void>
  /** Sends if that is possible at once. False: not taken, nothing kept; also while others wait. Throws as `send` rejects. */
  trySend(message: MessageLike): boolean
}

/** What receiving sockets have. */
export interface Receiving extends AsyncIterable<Frame[]> {
  /**
   * The next message, as its frames. Several may be pending: they are served in order. Rejects EAGAIN after
   * `receiveTimeout`, EBADF when the socket is closed, EBUSY beside `onmessage`, or with the signal's reason.
   */
  receive(options: ReceiveCallOptions & { readonly withPeer: true }): Promise<Received>
  receive(options?: ReceiveCallOptions): Promise<Frame[]>
  /** A message that waits, or undefined. */
  tryReceive(): Frame[] | undefined
  /** Waits for one message, then takes what else is there, `max` in all. */
  receiveMany(max: number, options?: WaitOptions): Promise<Frame[][]>
  /**
   * Called with each message as it comes; excludes `receive` and iteration. Its result is not awaited; what it throws
   * is reported as an uncaught exception, after the messages at hand. `pause()` is its back pressure.
   */
  onmessage: MessageHandler | undefined
  /** No more calls of `onmessage`, and soon no more reading, until `resume()`. */
  pause(): void
  resume(): void
}

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- as above
export interface Sender extends SendOptions {}

export abstract class Sender<P extends Pattern = Pattern> extends Socket<P> implements Sending {
  send(message: MessageLike, options?: WaitOptions): Promise<void> {
    return send(this.core, message, options)
  }
  trySend(message: MessageLike): boolean {
    return trySend(this.core, message)
  }
}

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- as above
export interface Receiver extends ReceiveOptions {}

export abstract class Receiver<P extends Pattern = Pattern> extends Socket<P> implements Receiving {
  receive(options: ReceiveCallOptions & { readonly withPeer: true }): Promise<Received>
  receive(options?: ReceiveCallOptions): Promise<Frame[]>
  receive(options?: ReceiveCallOptions): Promise<Frame[] | Received> {
    return receive(this.core, options)
  }
  tryReceive(): Frame[] | undefined {
    return tryReceive(this.core)
  }
  receiveMany(max: number, options?: WaitOptions): Promise<Frame[][]> {
    return receiveMany(this.core, max, options)
  }
  get onmessage(): MessageHandler | undefined {
    return this.core.inbox.onmessage
  }
  set onmessage(handler: MessageHandler | undefined) {
    if (handler !== undefined) {
      this.core.checkOpen()
      if (typeof handler !== "function") throw new EarshotError("EINVAL", "onmessage is a function or undefined")
    }
    this.core.inbox.onmessage = handler
  }
  pause(): void {
    this.core.inbox.pause()
  }
  resume(): void {
    this.core.inbox.resume()
  }
  [Symbol.asyncIterator](): AsyncIterator<Frame[], undefined> {
    return new MessageIterator(this.core)
  }
}

// oxlint-disable-next-line typescript/no-unsafe-declaration-merging -- as above
export interface Duplex extends SendOptions {}

export abstract class Duplex<P extends Pattern = Pattern> extends Receiver<P> implements Sending {
  send(message: MessageLike, options?: WaitOptions): Promise<void> {
    return send(this.core, message, options)
  }
  trySend(message: MessageLike): boolean {
    return trySend(this.core, message)
  }
}

/** Gives a class its options as properties. */
export function defineOptions(target: { readonly prototype: Socket }, names: readonly OptionName[]): void {
  for (const name of names)
    Object.defineProperty(target.prototype, name, {
      configurable: true,
      enumerable: true,
      get(this: { core: Core }) {
        return (this.core.settings as unknown as Record<string, unknown>)[name]
      },
      set(this: { core: Core }, value: unknown) {
        setOption(this.core.settings, name, value)
      },
    })
}

defineOptions(Socket, socketOptions)
defineOptions(Sender, sendOptions)
defineOptions(Receiver, receiveOptions)
defineOptions(Duplex, sendOptions)
