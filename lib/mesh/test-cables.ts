/**
 * The network between the members of a test mesh: links in memory, each known by who dialled whom, that can be cut, slowed
 * down and healed. What is on its way waits at the receiving end, as in a network that sends again until it gets through.
 */
import type { Clock, Timer } from "../clock.ts"
import type { Link, LinkSink, Listener, Transport, TransportOptions } from "../contract.ts"
import { EarshotError, abortError } from "../errors.ts"

/** How long something takes from one member to another: ms, or what gives them anew for each chunk and each dial. */
export type Latency = number | ((from: string, to: string) => number)

/** Bytes that wait in one direction of a link before its writer is asked to wait. */
const HIGH = 192 * 1024

/** One direction between two members. */
interface Cable {
  readonly from: string
  readonly to: string
  latency: Latency
  /** `broken`: nothing passes, and both ends know. `silent`: nothing passes, and nobody says so. */
  state: "whole" | "broken" | "silent"
  /** Who is at `from` can't dial who is at `to`. */
  blocked: "no" | "refused" | "silent"
}

export class Cables {
  private readonly clock: Clock
  private readonly base: Transport
  private readonly cables = new Map<string, Cable>()
  private readonly links = new Set<CableLink>()
  /** Who listens where. */
  private readonly owners = new Map<string, Host>()
  /** Addresses of those whose power is off. */
  private readonly dark = new Set<string>()
  private readonly healing = new Set<() => void>()

  /** `base`: a transport in memory that nobody else uses. */
  constructor(clock: Clock, base: Transport) {
    this.clock = clock
    this.base = base
  }

  /** The network as this member sees it. */
  transport(member: string): Transport {
    const { base } = this
    return {
      scheme: base.scheme,
      check: (address, side) => base.check(address, side),
      dial: (address, options, signal) => this.dial(member, address, options, signal),
      listen: (address, options, onLink) => this.listen(member, address, options, onLink),
    }
  }

  cut(a: string, b: string, silent: boolean): void {
    for (const cable of this.between(a, b)) cable.state = silent ? "silent" : "broken"
    if (!silent) for (const link of this.links) if (link.joins(a, b)) link.destroy(broken())
  }

  block(from: string, to: string, silent: boolean): void {
    this.cable(from, to).blocked = silent ? "silent" : "refused"
  }

  slow(a: string, b: string, latency: Latency): void {
    for (const cable of this.between(a, b)) cable.latency = latency
  }

  /** Between these two, or everywhere. Latencies stay. */
  heal(a?: string, b?: string): void {
    for (const cable of a === undefined || b === undefined ? this.cables.values() : this.between(a, b)) {
      cable.state = "whole"
      cable.blocked = "no"
    }
    for (const wake of [...this.healing]) wake()
    for (const link of this.links) link.look()
  }

  /** May these two reach each other? */
  joined(a: string, b: string): boolean {
    return this.between(a, b).every(({ state }) => state === "whole")
  }

  /** A member's process ends at once, or (`silent`) its machine loses power. */
  unplug(member: string, silent: boolean): void {
    for (const [address, { name }] of this.owners) if (silent && name === member) this.dark.add(address)
    for (const link of this.links)
      if (link.touches(member)) {
        if (silent) link.freeze()
        else link.destroy(broken())
      }
  }

  /** Resolves when the others have noticed that a member was unplugged; with `silent` they don't. */
  async noticed(member: string): Promise<void> {
    while ([...this.links].some((link) => link.touches(member) && !link.frozen))
      await new Promise<void>((resolve) => this.clock.immediate(resolve))
  }

  /** Ends all links. */
  end(): void {
    for (const link of this.links) link.destroy(broken())
  }

  private between(a: string, b: string): [Cable, Cable] {
    return [this.cable(a, b), this.cable(b, a)]
  }

  private cable(from: string, to: string): Cable {
    const key = JSON.stringify([from, to])
    let cable = this.cables.get(key)
    if (cable === undefined) this.cables.set(key, (cable = { from, to, latency: 0, state: "whole", blocked: "no" }))
    return cable
  }

  private async dial(from: string, address: string, options: TransportOptions, signal: AbortSignal): Promise<Link> {
    const target = await this.passage(from, address, signal)
    const entrance = await target.entrance(from)
    const both = AbortSignal.any([signal, target.closing])
    const link = await this.base.dial(entrance, options, both)
    return this.wrap(link, this.cable(target.name, from))
  }

  /** Waits for as long as a connection takes that way. */
  private async passage(from: string, address: string, signal: AbortSignal): Promise<Host> {
    for (;;) {
      if (signal.aborted) throw abortError(signal)
      const host = this.owners.get(address)
      const to = host?.name ?? from
      const [there, back] = this.between(from, to)
      if (there.state === "broken" || back.state === "broken" || there.blocked === "refused") throw broken()
      if (!this.joined(from, to) || there.blocked === "silent" || this.dark.has(address)) {
        await this.rest(signal)
        continue
      }
      const ms = latencyOf(there) + latencyOf(back)
      if (ms > 0) await this.rest(signal, ms)
      if (!this.joined(from, to)) continue
      const found = this.owners.get(address)
      if (found === undefined) throw new EarshotError("ECONNREFUSED", `nobody listens at ${address}`)
      if (found === host) return found
    }
  }

  /** Until `ms` have passed, or, without, until something is healed. */
  private rest(signal: AbortSignal, ms?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        timer?.cancel()
        this.healing.delete(wake)
        signal.removeEventListener("abort", abort)
        settle()
      }
      const wake = (): void => end(resolve)
      const abort = (): void => end(() => reject(abortError(signal)))
      const timer = ms === undefined ? undefined : this.clock.timeout(wake, ms)
      if (ms === undefined) this.healing.add(wake)
      signal.addEventListener("abort", abort)
    })
  }

  private async listen(
    name: string,
    address: string,
    options: TransportOptions,
    onLink: (link: Link) => void,
  ): Promise<Listener> {
    if (this.owners.has(address)) throw new EarshotError("EADDRINUSE", `${address} is in use`)
    const host = new Host(name, (from) =>
      this.base.listen!(
        `${address}<-${from}`,
        options,
        (link) => onLink(this.wrap(link, this.cable(from, name))),
        () => {},
      ),
    )
    this.owners.set(address, host)
    if (this.dark.delete(address)) for (const wake of [...this.healing]) wake()
    return {
      address,
      close: async () => {
        if (this.owners.get(address) === host) this.owners.delete(address)
        await host.close()
      },
    }
  }

  private wrap(link: Link, cable: Cable): Link {
    const wrapped = new CableLink(link, this.clock, cable, () => void this.links.delete(wrapped))
    this.links.add(wrapped)
    return wrapped
  }
}

/** Where a member listens: with an entrance for each who dials it, so that both ends of a link know whose it is. */
class Host {
  readonly name: string
  private readonly open: (from: string) => Promise<Listener>
  private readonly entrances = new Map<string, Promise<Listener>>()
  private readonly controller = new AbortController()

  constructor(name: string, open: (from: string) => Promise<Listener>) {
    this.name = name
    this.open = open
  }

  get closing(): AbortSignal {
    return this.controller.signal
  }

  async entrance(from: string): Promise<string> {
    let entrance = this.entrances.get(from)
    if (entrance === undefined) this.entrances.set(from, (entrance = this.open(from)))
    return (await entrance).address
  }

  async close(): Promise<void> {
    this.controller.abort(new EarshotError("ECONNREFUSED", "the member is gone"))
    for (const entrance of this.entrances.values()) await (await entrance).close()
  }
}

/** Something on its way: bytes, or the end. */
interface Parcel {
  readonly chunk: Uint8Array | undefined
  readonly error?: Error | undefined
  readonly due: number
}

/** One end of a link. What comes to it waits here for as long as its cable says. */
class CableLink implements Link, LinkSink {
  readonly protocol = "zmtp"
  readonly shares: boolean
  readonly remote: string
  readonly host: undefined
  private readonly inner: Link
  private readonly clock: Clock
  /** From the other end to this one. */
  private readonly cable: Cable
  private readonly forget: () => void
  private sink: LinkSink | undefined
  private line: Parcel[] = []
  private bytes = 0
  private timer: Timer | undefined
  private looking = false
  private paused = false
  /** This side ended it. */
  private over = false
  /** The power of one of the two ends is off. */
  frozen = false
  private swallowed = 0

  constructor(inner: Link, clock: Clock, cable: Cable, forget: () => void) {
    this.inner = inner
    this.clock = clock
    this.cable = cable
    this.forget = forget
    this.remote = inner.remote
    this.shares = inner.shares
  }

  get unconfirmed(): number {
    return this.inner.unconfirmed
  }

  touches(member: string): boolean {
    return this.cable.from === member || this.cable.to === member
  }

  joins(a: string, b: string): boolean {
    return this.touches(a) && this.touches(b)
  }

  start(sink: LinkSink): void {
    this.sink = sink
    this.inner.start(this)
  }

  write(chunks: readonly Uint8Array[]): boolean {
    if (!this.frozen) return this.inner.write(chunks)
    for (const { length } of chunks) this.swallowed += length
    return this.swallowed < HIGH
  }

  pause(): void {
    this.paused = true
    this.inner.pause()
  }

  resume(): void {
    this.paused = false
    if (this.bytes < HIGH) this.inner.resume()
    this.look()
  }

  close(): void {
    this.finish(undefined)
    this.inner.close()
  }

  destroy(error?: Error): void {
    this.finish(error)
    this.inner.destroy(error)
  }

  freeze(): void {
    this.frozen = true
  }

  /** Something may pass now that could not before. */
  look(): void {
    if (this.looking || this.line.length === 0) return
    this.looking = true
    this.clock.immediate(() => {
      this.looking = false
      this.pass()
    })
  }

  onData(chunk: Uint8Array): void {
    if (this.over) return
    this.bytes += chunk.length
    this.enqueue(chunk)
    if (this.bytes >= HIGH) this.inner.pause()
  }

  onDrain(): void {
    this.sink!.onDrain()
  }

  onClose(error?: Error): void {
    if (this.over) this.report(error)
    else this.enqueue(undefined, error)
  }

  private enqueue(chunk: Uint8Array | undefined, error?: Error): void {
    const now = this.clock.now()
    const due = Math.max(now + latencyOf(this.cable), this.line.at(-1)?.due ?? 0)
    this.line.push({ chunk, error, due })
    if (this.line.length === 1) this.pass()
  }

  /** Hands over what has arrived. */
  private pass(): void {
    const { line, clock, sink } = this
    this.timer?.cancel()
    this.timer = undefined
    for (let next = line[0]; next !== undefined; next = line[0]) {
      if (this.frozen || this.paused || this.cable.state === "silent") return
      const wait = next.due - clock.now()
      if (wait > 0) {
        this.timer = clock.timeout(() => this.pass(), wait)
        return
      }
      line.shift()
      if (next.chunk === undefined) {
        this.over = true
        return this.report(next.error)
      }
      this.bytes -= next.chunk.length
      sink!.onData(next.chunk)
    }
    if (!this.paused && !this.over) this.inner.resume()
  }

  /** This side wants nothing more of it. */
  private finish(error: Error | undefined): void {
    if (this.over) return
    this.over = true
    this.timer?.cancel()
    // The other side has ended it already, and that was on its way.
    if (this.line.at(-1)?.chunk === undefined && this.line.length > 0) this.clock.immediate(() => this.report(error))
    this.line.length = 0
    this.bytes = 0
    this.inner.resume()
  }

  private report(error: Error | undefined): void {
    this.forget()
    this.sink!.onClose(error)
  }
}

function latencyOf({ latency, from, to }: Cable): number {
  return typeof latency === "number" ? latency : latency(from, to)
}

function broken(): EarshotError {
  return new EarshotError("EHOSTUNREACH", "the test has cut the cable")
}
