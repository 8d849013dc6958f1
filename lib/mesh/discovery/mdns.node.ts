/**
 * Members on the same LAN and the same host, by multicast DNS. A hint that starts the mesh and no more: what it hears is
 * reported, by whom it is heard decides nothing, and whoever has a link asks no more.
 */
import type { Timer } from "../../clock.ts"
import { EarshotError } from "../../errors.ts"
import type { Discovery, DiscoveryHost, Finding } from "../contract.ts"
import { inUrl, onlyVirtual, type OwnAddress, ownAddresses, sameNetwork } from "../interfaces.node.ts"
import { type Advert, type MulticastSpeaker, openSpeaker, type SpeakerHost } from "./bonjour.node.ts"
import type { Sighting } from "./sighting.node.ts"

/** Options of `mdns()`. */
export interface MdnsOptions {
  /**
   * The interfaces to speak on, by name or address, beside loopback. Default: the environment's EARSHOT_INTERFACES, separated
   * by commas; else all that are up and not virtual (docker0 and the like), else all. None but loopback unless the mesh is open.
   */
  readonly interfaces?: readonly string[]
  /** The UDP port. Default: 5353, mDNS's own; on another one only members that say the same are found. */
  readonly port?: number
}

const MDNS_PORT = 5353

/** ms between two looks at the machine's interfaces; and until the next one after one of them failed. */
const LOOK = 5000
const AFTER_ERROR = 1000

/** ms between questions: the first, the second, …; the last for as long as nobody is linked. */
const QUESTIONS = [1000, 2000, 4000, 8000]

/** ms between two questions that were asked for (RFC 6762, 5.2). */
const SOON = 1000

/** ms of the first round, when nobody answers; and after the last one who did. */
const FIRST_ROUND = 1000
const QUIET = 200

/** Members that are remembered, and ms for which what one interface heard is told along with what another hears. */
const MOST_MEMBERS = 1024
const FRESH = 30_000

/** Bytes of all keys and values of what is announced. */
const MOST_TEXT = 200

const onlyVirtualFound: Finding = {
  key: "mdns-virtual",
  evidence: "all network interfaces but loopback are virtual, as in a container: multicast does not leave it",
  cure: "use dns() or seeds()",
}

/**
 * Finds members by multicast DNS, and lets them find us: on loopback, and if the mesh is open on the LAN. Throws EINVAL for
 * options that can't be.
 */
export function mdns(options: MdnsOptions = {}): Discovery {
  const { interfaces, port = MDNS_PORT } = options
  if (interfaces !== undefined && !(Array.isArray(interfaces) && interfaces.every((name) => typeof name === "string")))
    throw new EarshotError("EINVAL", "interfaces is a list of names or addresses")
  if (!(Number.isInteger(port) && port >= 1 && port <= 65_535)) throw new EarshotError("EINVAL", `${port} is no port`)
  return new Mdns(interfaces, port)
}

/** A member: by interface, what was heard there last. */
type Heard = Map<string, { readonly endpoints: readonly string[]; readonly at: number }>

class Mdns implements Discovery {
  readonly name = "mdns"
  private readonly interfaces: readonly string[] | undefined
  private readonly port: number
  private host: DiscoveryHost | undefined
  private readonly speakers = new Map<string, MulticastSpeaker | undefined>()
  private own: readonly OwnAddress[] = []
  private readonly members = new Map<string, Heard>()
  private asked = 0
  private askedAt = -Infinity
  private heardOwn = false
  private question: Timer | undefined
  private look: Timer | undefined
  /** Ends the first round; later undefined. */
  private heardNew: (() => void) | undefined

  constructor(interfaces: readonly string[] | undefined, port: number) {
    this.interfaces = interfaces
    this.port = port
  }

  async start(host: DiscoveryHost): Promise<void> {
    this.host = host
    await this.enumerate()
    // Stopped meanwhile.
    if ((this.host as DiscoveryHost | undefined) === undefined) return
    const round = this.firstRound(host)
    this.askOn()
    await round
  }

  nudge(): void {
    const { host } = this
    if (host === undefined) return
    this.asked = 0
    void this.enumerate()
    const wait = this.askedAt + SOON - host.clock.now()
    if (wait <= 0) return this.askOn()
    this.question?.cancel()
    this.question = host.clock.timeout(() => this.askOn(), wait)
  }

  announce(): void {
    void this.enumerate()
    for (const own of this.own) this.speakers.get(keyOf(own))?.show(this.advert(own))
  }

  async stop(): Promise<void> {
    this.host = undefined
    this.question?.cancel()
    this.look?.cancel()
    this.heardNew?.()
    const speakers = [...this.speakers.values()].filter((speaker) => speaker !== undefined)
    this.speakers.clear()
    await Promise.all(speakers.map((speaker) => speaker.close()))
  }

  // --- Interfaces ---

  /** Speaks on the interfaces that are there now, and no longer on those that are not. */
  private async enumerate(): Promise<void> {
    const { host } = this
    if (host === undefined) return
    this.lookIn(LOOK)
    const all = ownAddresses(this.interfaces).filter(({ family }) => family === 4)
    this.own = host.self.open ? all : all.filter(({ loopback }) => loopback)
    if (host.self.open && this.interfaces === undefined && onlyVirtual()) host.note(onlyVirtualFound)
    const wanted = new Map(this.own.map((own) => [keyOf(own), own]))
    for (const [key, speaker] of this.speakers) {
      if (wanted.has(key)) continue
      this.speakers.delete(key)
      void speaker?.close()
    }
    const added = [...wanted].filter(([key]) => !this.speakers.has(key))
    await Promise.all(added.map(([key, own]) => this.open(key, own)))
  }

  private lookIn(ms: number): void {
    this.look?.cancel()
    this.look = this.host?.clock.timeout(() => void this.enumerate(), ms)
  }

  private async open(key: string, own: OwnAddress): Promise<void> {
    const { host } = this
    if (host === undefined) return
    this.speakers.set(key, undefined)
    const where = `${own.interface} (${own.address})`
    const failed = (error: Error): void => {
      this.speakers.delete(key)
      host.note({
        key: "mdns-interface",
        evidence: `multicast DNS does not work on ${where}: ${error.message}`,
        cure: "use seeds() or dns(), or let the program that holds the UDP port share it",
      })
    }
    const speakerHost: SpeakerHost = {
      clock: host.clock,
      seen: (sighting, source) => this.seen(own, sighting, source),
      heard: () => this.members.size,
      flooded: () => host.note({ key: "mdns-flood", evidence: `more mDNS packets on ${where} than are read` }),
      upset: (error) =>
        host.note({ key: "mdns-packet", evidence: `a packet on ${where} led to an error: ${String(error)}` }),
      failed: (error) => {
        failed(error)
        this.lookIn(AFTER_ERROR)
      },
    }
    try {
      const speaker = await openSpeaker(own, this.port, speakerHost)
      if (!this.speakers.has(key)) return void speaker.close()
      this.speakers.set(key, speaker)
      speaker.show(this.advert(own))
      if (this.asked > 0) speaker.ask()
    } catch (error) {
      failed(error as Error)
    }
  }

  /** What to say of ourselves there: the endpoints that lead to that interface; on loopback any will do. */
  private advert(own: OwnAddress): Advert | undefined {
    const { id, network, version, endpoints } = this.host!.self
    const parsed = endpoints.flatMap((endpoint) => {
      const [, scheme = "", host = "", place = ""] =
        /^(tcp|ws):\/\/\[?([\d.:a-f]+)\]?:(\d+(?:\/.*)?)$/.exec(endpoint) ?? []
      return scheme === "" ? [] : [{ scheme, host, place }]
    })
    const here = parsed.filter(({ host }) => sameNetwork(own, host))
    const usable = here.length > 0 || !own.loopback ? here : parsed
    const first = (scheme: string): string => usable.find((endpoint) => endpoint.scheme === scheme)?.place ?? ""
    const text: Record<string, string> = { v: String(version), id, net: network }
    for (const scheme of ["tcp", "ws"]) {
      const place = first(scheme).replace(/\/$/, "")
      if (place !== "" && size({ ...text, [scheme]: place }) < MOST_TEXT) text[scheme] = place
    }
    const port = Number.parseInt(text.tcp ?? text.ws ?? "", 10)
    if (!(port > 0)) return undefined
    return { id, port, text, addresses: [...new Set(usable.map(({ host }) => host))] }
  }

  // --- Questions ---

  private askOn(): void {
    const { host } = this
    if (host === undefined) return
    this.question?.cancel()
    if (this.asked === QUESTIONS.length && host.linked === 0 && this.members.size === 0) host.note(this.silence())
    if (host.linked === 0 || this.asked === 0) {
      this.askedAt = host.clock.now()
      for (const speaker of this.speakers.values()) speaker?.ask()
    }
    const wait = QUESTIONS[Math.min(this.asked++, QUESTIONS.length - 1)]!
    this.question = host.clock.timeout(() => this.askOn(), wait * (1 + host.clock.random() / 10))
  }

  private silence(): Finding {
    return {
      key: "mdns-silent",
      evidence: `no other member was heard by multicast DNS on ${this.own.map(({ interface: name }) => name).join(", ")}${this.heardOwn ? "" : ", nor did our own packets come back"}`,
      cure: "access points that isolate their guests, IGMP snooping and firewalls (UDP port 5353) stop multicast: give a seed, or use dns()",
    }
  }

  // --- Answers ---

  private firstRound({ clock }: DiscoveryHost): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.heardNew = undefined
        whole.cancel()
        quiet?.cancel()
        resolve()
      }
      const whole = clock.timeout(end, FIRST_ROUND)
      let quiet: Timer | undefined
      this.heardNew = () => {
        quiet?.cancel()
        if (this.host === undefined) end()
        else quiet = clock.timeout(end, QUIET)
      }
    })
  }

  private seen(own: OwnAddress, sighting: Sighting, source: string): void {
    const { host } = this
    const { id, network, version, gone } = sighting
    if (host === undefined) return
    if (id === host.self.id) {
      this.heardOwn = true
      // Not where we are: somebody else, with a copy of our state.
      const elsewhere = this.endpointsOf(sighting, source).filter((each) => !host.self.endpoints.includes(each))
      if (!gone && elsewhere.length > 0) host.found({ endpoints: elsewhere, id, version, network, onLink: true })
      return
    }
    if (gone) {
      if (this.members.delete(id)) host.lost?.(id)
      return
    }
    const endpoints = this.endpointsOf(sighting, source)
    if (endpoints.length === 0) return
    const now = host.clock.now()
    const known = this.members.get(id)
    const heard: Heard = known ?? new Map()
    heard.set(keyOf(own), { endpoints, at: now })
    this.remember(id, heard)
    // Answers of one member on several interfaces are one candidate (fault 12).
    const fresh = [...heard.values()].filter(({ at }) => now - at < FRESH).flatMap(({ endpoints }) => endpoints)
    host.found({ endpoints: [...new Set(fresh)], id, version, network, onLink: true })
    if (known === undefined && network === host.self.network) this.heardNew?.()
  }

  /** The address that it was heard from first: its records may name interfaces that lead elsewhere (fault 11). */
  private endpointsOf({ tcp, ws, addresses }: Sighting, source: string): string[] {
    const near = addresses.filter((address) => this.own.some((own) => sameNetwork(own, address)))
    const places = [...(tcp === undefined ? [] : [["tcp", tcp]]), ...(ws === undefined ? [] : [["ws", ws]])]
    return [...new Set([source, ...near])].flatMap((address) =>
      places.map(([scheme, place]) => `${scheme}://${inUrl(address)}${place}`),
    )
  }

  /** The oldest are forgotten first. */
  private remember(id: string, heard: Heard): void {
    this.members.delete(id)
    this.members.set(id, heard)
    if (this.members.size <= MOST_MEMBERS) return
    for (const oldest of this.members.keys()) return void this.members.delete(oldest)
  }
}

function keyOf({ interface: name, address, prefix }: OwnAddress): string {
  return `${name} ${address}/${prefix}`
}

function size(text: Readonly<Record<string, string>>): number {
  return Object.entries(text).reduce((sum, [key, value]) => sum + key.length + value.length + 2, 0)
}
