/// <reference lib="esnext.disposable" preserve="true" />
/** Members of one mesh in one process, and what may befall them and the network between them. */
import type { Clock } from "../clock.ts"
import type { Transport } from "../contract.ts"
import { Transports } from "../endpoint.ts"
import { EarshotError } from "../errors.ts"
import type { VirtualClock } from "../virtual-clock.ts"
import { Carrier } from "./carrier.ts"
import type { Ambient, Platform } from "./contract.ts"
import { freshId } from "./identity.ts"
import { logEvents } from "./log.ts"
import { Mesh } from "./mesh.ts"
import type { MeshOptions } from "./options.ts"
import { ready } from "./ready.ts"
import { Cables, type Latency } from "./test-cables.ts"
import { Board } from "./test-discovery.ts"
import { TestStates } from "./test-states.ts"

/**
 * Options of one member: those of `Mesh.join`, but for what the net decides. With `state` one that is started anew is the
 * same member again; the net keeps it in memory.
 */
export type TestMemberOptions = Omit<MeshOptions, "name" | "network" | "clock" | "open" | "advertise">

/** What `testMesh` takes. */
export interface TestMeshOptions {
  /** For every member, or for each by name. Default: none. */
  readonly member?: TestMemberOptions | ((name: string) => TestMemberOptions) | undefined
  /** `virtual`: time stands still until the test moves it, by `advance` or `until`. Default: the platform's. */
  readonly clock?: "virtual" | Clock | undefined
  /** Of a virtual clock: the same seed, the same run. Default 1. */
  readonly seed?: number | undefined
  /** Print what the members notice on the console. Default: nothing is printed. */
  readonly log?: "info" | "debug" | undefined
}

/** How a cable is cut or blocked, or a member killed. */
export interface Harm {
  /** Nobody notices until its heartbeats stay unanswered: as behind a firewall that drops, or a machine without power. Default false. */
  readonly silent?: boolean | undefined
}

class TestMember extends Mesh {
  static join(options: MeshOptions, platform: Platform, transports: Transports): Promise<Mesh> {
    return Mesh.start((hub, state) => new TestMember(hub, state), options, platform, transports)
  }

  get leaf(): boolean {
    return this.hub.leaf
  }

  /** Resolves when it is linked with as many as that says then. */
  linked(count: () => number): Promise<void> {
    return ready(this.hub, { members: count })
  }
}

/** A mesh within one process. Made by `testMesh`. */
export class TestMesh<Name extends string = string> {
  /** The members by name, those who were killed or closed among them. */
  readonly mesh: Readonly<Record<Name, Mesh>> = {} as Record<Name, Mesh>
  /** The network's name, drawn at random. */
  readonly network: string
  readonly clock: Clock
  private readonly options: TestMeshOptions
  private readonly ambient: Ambient
  private readonly cables: Cables
  private readonly board = new Board()
  private readonly states = new TestStates()
  private closing: Promise<void> | undefined

  /** @internal */
  constructor(options: TestMeshOptions, clock: Clock, transport: Transport, ambient: Ambient) {
    this.options = options
    this.ambient = ambient
    this.clock = clock
    this.network = `test-${freshId(clock)}`
    this.cables = new Cables(clock, transport)
  }

  /**
   * One more member, or one that was killed or closed, started anew. Resolves when it is linked with all that it can reach.
   * `options` go before those of the net. Rejects EINVAL for the name of one that lives, and what `Mesh.join` rejects with.
   */
  async join(name: string, options?: TestMemberOptions): Promise<Mesh> {
    const member = await this.run(this.add(name, options))
    await this.settle()
    return member
  }

  /**
   * Resolves when all living members that can reach each other are linked, and each knows what the others subscribe to and
   * serve now. Rejects TIMEOUT after 10 s.
   */
  settle(): Promise<void> {
    return this.run(this.link())
  }

  /** Ends the links between two members and lets them make no new one, until `heal`. */
  cut(a: Name | string, b: Name | string, { silent = false }: Harm = {}): void {
    this.cables.cut(this.known(a), this.known(b), silent)
  }

  /** Lets `from` make no new link to `to`, as a firewall in one direction, until `heal`. Links that are there live on. */
  block(from: Name | string, to: Name | string, { silent = false }: Harm = {}): void {
    this.cables.block(this.known(from), this.known(to), silent)
  }

  /**
   * From now on everything between two members takes so long each way: ms, or what a function gives for each chunk and each
   * dial (chunks of a link never overtake each other). 0 is the default.
   */
  slow(a: Name | string, b: Name | string, ms: Latency): void {
    this.cables.slow(this.known(a), this.known(b), ms)
  }

  /** Undoes `cut` and `block` between two members, or everywhere. What a silent cut held back arrives. */
  heal(a?: Name | string, b?: Name | string): void {
    this.cables.heal(a, b)
  }

  /** Ends a member as if its process were killed: without a goodbye. Resolves when nothing of it is left, and its links are ended. */
  kill(name: Name | string, { silent = false }: Harm = {}): Promise<void> {
    const member = this.member(this.known(name))
    this.cables.unplug(name, silent)
    return this.run(member.close().then(() => this.cables.noticed(name)))
  }

  /** Ends all members at once. Nothing stays. Idempotent. */
  close(): Promise<void> {
    return (this.closing ??= this.run(this.end()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** @internal Under a virtual clock its time is moved until it is done. */
  protected run<T>(promise: Promise<T>): Promise<T> {
    return promise
  }

  /** @internal */
  async add(name: string, options?: TestMemberOptions): Promise<Mesh> {
    const { mesh, clock, network } = this
    if (name === "" || (Object.hasOwn(mesh, name) && !this.member(name).closed))
      throw new EarshotError("EINVAL", `a living member's name, or none: ${JSON.stringify(name)}`)
    const { member = {}, log } = this.options
    const transports = new Transports()
    const transport = this.cables.transport(name)
    transports.register(transport)
    const here = `${transport.scheme}://${encodeURIComponent(name)}`
    const joined = await TestMember.join(
      {
        listen: [here],
        discovery: [this.board.discovery()],
        ...(typeof member === "function" ? member(name) : member),
        ...options,
        name,
        network,
        clock,
      },
      { ...platformOf(here, this.states, log), ambient: this.ambient },
      transports,
    )
    return ((mesh as Record<string, Mesh>)[name] = joined)
  }

  private member(name: string): Mesh {
    return (this.mesh as Record<string, Mesh>)[name]!
  }

  private known(name: string): string {
    if (Object.hasOwn(this.mesh, name)) return name
    throw new EarshotError("EINVAL", `this net has no member ${JSON.stringify(name)}`)
  }

  private get living(): [string, TestMember][] {
    return Object.entries(this.mesh as unknown as Record<string, TestMember>).filter(([, { closed }]) => !closed)
  }

  private async link(): Promise<void> {
    const { living, cables } = this
    // A leaf has one link; all others have one to each other. Who gives way (`maxLinks`) is found out meanwhile.
    const linksOf = (name: string, member: TestMember): number => {
      const others = living.filter(([other, each]) => other !== name && !each.leaf && cables.joined(name, other))
      return member.leaf ? Math.min(1, others.length) : others.length
    }
    await Promise.all(living.map(([name, member]) => member.linked(() => linksOf(name, member))))
    await Promise.all(living.map(([, member]) => member.flush()))
  }

  private async end(): Promise<void> {
    const ends = this.living.map(([, member]) => member.close())
    this.cables.end()
    await Promise.all(ends)
  }
}

/** A mesh in virtual time. */
export class VirtualTestMesh<Name extends string = string> extends TestMesh<Name> {
  declare readonly clock: VirtualClock

  /** Moves time on by `ms`. Timers go off in order, each after all that the one before has set going. */
  advance(ms: number): Promise<void> {
    return this.clock.advance(ms)
  }

  /** Moves time on, from timer to timer, until the promise settles, and gives what it gives. Rejects after `limit` virtual ms (default an hour). */
  until<T>(promise: PromiseLike<T>, limit?: number): Promise<T> {
    return this.clock.until(promise, limit)
  }

  /** @internal */
  protected override run<T>(promise: Promise<T>): Promise<T> {
    return this.clock.until(promise)
  }
}

function platformOf(here: string, states: TestStates, log: "info" | "debug" | undefined): Platform {
  return {
    // The machine's own variables concern no test.
    environment: () => ({ name: here, listen: [here], discovery: () => [], log }),
    seeds: (...endpoints) => ({
      name: "seeds",
      start: async (host) => host.found({ endpoints }),
      stop: async () => {},
    }),
    isLocal: () => true,
    addresses: (endpoint) => [endpoint],
    keepLocal: (endpoint) => endpoint,
    relay: (owner) => new Carrier(owner),
    openState: (path, clock) => states.open(path, clock),
    log: (line) => console.error(line),
    logEvents,
  }
}
