/**
 * The mesh's two sockets without a user: one that listens (ROUTER), one that dials (DEALER). Handshake, framing, limits and
 * queues are the sockets' own; a pipe that is through its handshake goes to the doors (doors.ts).
 */
import type { Clock } from "../clock.ts"
import { Binding } from "../binding.ts"
import { Connection } from "../connection.ts"
import type { Message, Pattern, Peer, Place, SocketType } from "../contract.ts"
import { Core } from "../core.ts"
import { locate, type Transports } from "../endpoint.ts"
import { EarshotError } from "../errors.ts"
import { setOption, standardSettings, type Settings } from "../options.ts"
import type { Pipe } from "../pipe.ts"

/** What comes of pipes. All synchronous; a pipe comes online once, and goes offline once, last. */
export interface EndsOwner {
  onPipe(pipe: Pipe): void
  onMessage(pipe: Pipe, message: Message): void
  onRoom(pipe: Pipe): void
  /** `unsent`: what waited on it, and goes nowhere. */
  onPipeEnd(pipe: Pipe, unsent: readonly Message[]): void
  /** Something where we listen went wrong for good: nobody can come that way any more. */
  onDeaf(error: EarshotError): void
}

/** Where the mesh listens. */
export interface Bound {
  /** What leads there now, the best first; ports resolved, wildcards not. */
  endpoints(): readonly string[]
}

/** What a user may choose. */
export interface EndSettings {
  readonly maxMessageSize: number
  readonly busyPoll: number
}

/** Messages, and bytes, that wait on a link for its member to take them. */
const MARK = 8192
const MARK_BYTES = 16 * 1024 * 1024
/** Bytes that wait before even answers give way. */
export const STUFFED: number = 2 * MARK_BYTES
/** Messages, and bytes, that wait on a link whose member reads nothing, though none may be dropped: then it ends. */
const MOST = 131_072
const MOST_BYTES = 4 * MARK_BYTES
/** ms that one attempt to dial may take, and a handshake with somebody who has come. */
const PATIENCE = 5000
/** ms that the handshake with a listener may take: many may have come to it at once, and each who gives up comes again. */
const QUEUEING = 20_000
/** Connections that wait to be accepted: all members of a mesh may begin at once. */
const BACKLOG = 4096

class EndPattern implements Pattern {
  readonly type: SocketType
  readonly accepts: readonly SocketType[]
  private readonly owner: EndsOwner

  constructor(type: SocketType, accepts: SocketType, owner: EndsOwner) {
    this.type = type
    this.accepts = [accepts]
    this.owner = owner
  }

  attach(): void {}
  online(peer: Peer): void {
    this.owner.onPipe(peer as Pipe)
  }
  detach(peer: Peer, unsent: Message[]): void {
    this.owner.onPipeEnd(peer as Pipe, unsent)
  }
  onMessage(peer: Peer, message: Message): void {
    this.owner.onMessage(peer as Pipe, message)
  }
  onWritable(peer: Peer): void {
    this.owner.onRoom(peer as Pipe)
  }
}

export class Ends {
  readonly listening: Core
  readonly dialling: Core
  /** Pipes that ended because nothing was heard from them any more. */
  readonly silent: WeakSet<object> = new WeakSet()
  private readonly transports: Transports

  constructor(clock: Clock, transports: Transports, owner: EndsOwner, given: EndSettings) {
    this.transports = transports
    const make = (type: SocketType, accepts: SocketType, handshake: number): Core =>
      new Core(clock, transports, settingsOf(given, handshake), () => new EndPattern(type, accepts, owner))
    this.listening = make("ROUTER", "DEALER", PATIENCE)
    this.dialling = make("DEALER", "ROUTER", QUEUEING)
    this.listening.events.on("accept:error", ({ error }) => error.code === "EADDRNOTAVAIL" && owner.onDeaf(error))
    for (const core of [this.listening, this.dialling])
      core.events.on("peer:leave", ({ peer, error }) => error?.code === "ETIMEDOUT" && this.silent.add(peer))
  }

  /** Resolves once it is bound. */
  async listen(endpoint: string | Place): Promise<Bound> {
    const { transport, address, name } = locate(endpoint, this.transports)
    transport.check(address, "bind")
    const binding = new Binding(this.listening, name, transport)
    await binding.listen(address)
    const listener = binding.listener!
    const addresses = (): readonly string[] => listener.addresses?.() ?? [listener.address]
    return { endpoints: () => addresses().map((each) => `${transport.scheme}://${each}`) }
  }

  /** One attempt. Throws for an endpoint that can never work. */
  dial(endpoint: string): Connection {
    const { transport, address } = locate(endpoint, this.transports)
    const name = `${transport.scheme}://${transport.check(address, "connect")}`
    const connection = new Connection(this.dialling, name, transport, address)
    this.dialling.connections.add(connection)
    return connection
  }

  /** Ends everything, sending for `linger` ms what waits. */
  async close(linger: number): Promise<void> {
    await Promise.all([this.listening.close(linger), this.dialling.close(linger)])
  }
}

function settingsOf({ maxMessageSize, busyPoll }: EndSettings, handshake: number): Settings {
  const settings = standardSettings()
  setOption(settings, "immediate", true)
  setOption(settings, "reconnectInterval", -1)
  setOption(settings, "connectTimeout", PATIENCE)
  setOption(settings, "handshakeInterval", handshake)
  setOption(settings, "backlog", BACKLOG)
  // Who is alive is the mesh's to ask (pulse.ts); who was asked knows from the PING's time-to-live.
  setOption(settings, "heartbeatInterval", 0)
  setOption(settings, "sendHighWaterMark", MARK)
  setOption(settings, "sendHighWaterMarkBytes", MARK_BYTES)
  setOption(settings, "maxMessageSize", maxMessageSize)
  setOption(settings, "busyPoll", busyPoll)
  setOption(settings, "maxHandshakes", 4096)
  return settings
}

/** Whatever the marks say: control messages are few. Where they are not, since nobody reads them, the link ends. */
export function insist(pipe: Pipe, message: Message): void {
  if (!pipe.online) return
  try {
    if (pipe.send(message)) return
    if (pipe.queued >= MOST || pipe.queuedBytes >= MOST_BYTES)
      throw new EarshotError("LIMIT", "it reads too little of what is sent to it")
    pipe.inherit(message)
  } catch (error) {
    pipe.close(error instanceof EarshotError ? error : undefined)
  }
}
