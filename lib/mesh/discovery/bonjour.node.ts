/**
 * Multicast DNS (RFC 6762) on one interface, by bonjour-service, which only this file knows; `fault n` below is one of its own
 * or of the multicast-dns under it that would hurt. It has one service at most: when one of two stops, the library
 * takes the records of both away (fault 2).
 */
import Bonjour from "bonjour-service"
import { createSocket, type Socket } from "node:dgram"
import type { Clock, Timer } from "../../clock.ts"
import { type OwnAddress, sameNetwork } from "../interfaces.node.ts"
import { type ResourceRecord, SERVICE, type Sighting, sightings } from "./sighting.node.ts"

/** Where members say what they are (RFC 6762, 3). */
const GROUP = "224.0.0.251"

/** ms that a goodbye may take. */
const GOODBYE = 500

/** Packets that are read: so many a second, and so many at once. A mesh of 200 that answers all together is fewer. */
const PACKETS_PER_SECOND = 2000

/** Bytes of a packet that is read (RFC 6762, 17). */
const MOST_BYTES = 9000

/** Answers that members of one network give to a question for all, about: when they are more, they spread them over 5 ms for each. */
const ENOUGH = 8
const SPREAD = 5
const MOST_SPREAD = 500

/** ms between two answers of ours: who asks in between shares the second one. */
const ANSWER_INTERVAL = 20

/** Instances asked for by name between two questions for all. */
const MOST_COMPLETED = 32

/** Seconds that an address is good for (RFC 6762, 10). */
const ADDRESS_TTL = 120

/** What is announced. */
export interface Advert {
  readonly id: string
  readonly port: number
  /** Keys and values: under 200 bytes in all, for a value over 255 breaks every receiver's decoder (fault 9). */
  readonly text: Readonly<Record<string, string>>
  /** The member's addresses that may be told on this interface. */
  readonly addresses: readonly string[]
}

/** What a speaker reports. */
export interface SpeakerHost {
  readonly clock: Clock
  /** `source`: the address that it came from, which is on this interface's network. */
  seen(sighting: Sighting, source: string): void
  /** Members heard so far, on any interface: when they are many they share the answering. */
  heard(): number
  /** So many packets come that some are not read. */
  flooded(): void
  /** Reading a packet threw, whoever is to blame. */
  upset(error: unknown): void
  /** It is of no more use, and has closed itself. */
  failed(error: Error): void
}

/** Speaks and listens on one interface. */
export interface MulticastSpeaker {
  /** Shows this instead of what was shown; undefined: nothing any more. */
  show(advert: Advert | undefined): void
  /** Asks who is there. */
  ask(): void
  /** Says goodbye, for half a second at most. */
  close(): Promise<void>
}

/** The parts of multicast-dns that are reached for, since bonjour-service leaves them open. */
interface MulticastDns {
  on(event: "error" | "response", listener: (packet: Packet, from: Sender) => void): void
  query(questions: { name: string; type: string }[], done?: (error?: Error | null) => void): void
  respond(packet: Packet | ResourceRecord[], done?: () => void): void
}

interface Packet {
  readonly answers: readonly ResourceRecord[]
  readonly additionals?: readonly ResourceRecord[]
}

interface Sender {
  readonly address: string
  /** Bytes of the packet. */
  readonly size: number
}

/** Opens a socket on `own`; rejects when the port is held by a program that does not share it. */
export async function openSpeaker(own: OwnAddress, port: number, host: SpeakerHost): Promise<MulticastSpeaker> {
  return new OneInterface(await openSocket(own, port), own, port, host)
}

/**
 * A socket of our own, because multicast-dns refs the timer and the socket that it makes, hears nothing on Linux when
 * bound to the interface's address (fault 7), and throws what goes wrong at whoever is there (fault 8).
 */
function openSocket(own: OwnAddress, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: "udp4", reuseAddr: true })
    const fail = (error: Error): void => {
      socket.removeAllListeners()
      socket.on("error", () => {})
      socket.close()
      reject(error)
    }
    socket.once("error", fail)
    socket.bind(port, "0.0.0.0", () => {
      try {
        socket.addMembership(GROUP, own.address)
        socket.setMulticastInterface(own.address)
        socket.setMulticastTTL(255)
        socket.setMulticastLoopback(true)
        socket.unref()
      } catch (error) {
        return fail(error as Error)
      }
      socket.off("error", fail)
      resolve(socket)
    })
  })
}

class OneInterface implements MulticastSpeaker {
  private readonly own: OwnAddress
  private readonly host: SpeakerHost
  private readonly bonjour: Bonjour
  private readonly mdns: MulticastDns
  private service: Bonjour.Service | undefined
  private advert: Advert | undefined
  private closed: Promise<void> | undefined
  /** Instances that were asked for by name since the last `ask`. */
  private readonly completing = new Set<string>()
  private answered = -Infinity
  /** Members of our network that were heard since the last question. */
  private others = 0
  private answering: Timer | undefined
  private budget = PACKETS_PER_SECOND
  private budgeted: number
  /** Sends no goodbye: the service is only being replaced. */
  private replacing = false

  constructor(socket: Socket, own: OwnAddress, port: number, host: SpeakerHost) {
    this.own = own
    this.host = host
    this.budgeted = host.clock.now()
    const options = { socket, port, ip: GROUP, bind: false, multicast: false }
    this.bonjour = new Bonjour(options, () => {})
    this.mdns = (this.bonjour as unknown as { server: { mdns: MulticastDns } }).server.mdns
    socket.on("error", (error) => this.fail(error))
    this.mdns.on("error", () => {})
    this.mdns.on("response", (packet, from) => this.read(packet, from))
    this.guard(socket)
    this.edit()
  }

  show(advert: Advert | undefined): void {
    if (this.closed !== undefined || JSON.stringify(advert) === JSON.stringify(this.advert)) return
    const old = this.service
    this.service = undefined
    if (old !== undefined) {
      this.replacing = advert !== undefined
      old.stop()
      this.replacing = false
    }
    this.advert = advert
    if (advert === undefined) return
    this.service = this.bonjour.publish({
      // A name that is taken would be taken away from its owner (fault 1).
      name: `earshot-${advert.id.slice(0, 6)}`,
      type: "earshot",
      port: advert.port,
      // Not the machine's name: machines made from one image share it, and answer for each other (fault 10).
      host: hostName(advert.id),
      txt: { ...advert.text },
      // 0.75 s, for a clash that can't be.
      probe: false,
    })
  }

  ask(): void {
    this.completing.clear()
    this.query(SERVICE, "PTR")
  }

  close(): Promise<void> {
    this.answering?.cancel()
    return (this.closed ??= new Promise((resolve) => {
      const timer = this.host.clock.timeout(() => end(), GOODBYE)
      const end = (): void => {
        timer.cancel()
        this.bonjour.destroy(() => resolve())
      }
      // `destroy` alone says no goodbye (fault 6).
      if (this.service === undefined) end()
      else this.service.stop(end)
    }))
  }

  private query(name: string, type: string): void {
    if (this.closed !== undefined) return
    this.mdns.query([{ name, type }], (error) => {
      if (error instanceof Error) this.fail(error)
    })
  }

  private fail(error: Error): void {
    if (this.closed !== undefined) return
    void this.close()
    this.host.failed(error)
  }

  /** Reads no packet that isn't for us, and survives those that are, whatever they make the library do (fault 3). */
  private guard(socket: Socket): void {
    const emit = socket.emit.bind(socket) as (event: string | symbol, ...rest: unknown[]) => boolean
    socket.emit = (event: string | symbol, ...rest: unknown[]): boolean => {
      if (event !== "message") return emit(event, ...rest)
      try {
        return this.concerns(rest[1] as Sender) && emit(event, ...rest)
      } catch (error) {
        this.host.upset(error)
        return false
      }
    }
  }

  /** Linux hands what any socket of the machine has joined to all that are bound to the port, whatever the interface. */
  private concerns({ address, size }: Sender): boolean {
    if (size > MOST_BYTES || !sameNetwork(this.own, address)) return false
    const now = this.host.clock.now()
    this.budget = Math.min(PACKETS_PER_SECOND, this.budget + ((now - this.budgeted) * PACKETS_PER_SECOND) / 1000)
    this.budgeted = now
    if (this.budget >= 1) return this.budget-- >= 1
    this.host.flooded()
    return false
  }

  /** Has a look at what the library sends. */
  private edit(): void {
    const respond = this.mdns.respond.bind(this.mdns)
    this.mdns.respond = (packet, done = () => {}) => {
      const records = "answers" in packet ? this.answer(packet) : this.replacing ? [] : packet
      if (records.length > 0) respond(this.cleaned(records), done)
      else this.host.clock.microtask(done)
    }
  }

  private read({ answers, additionals = [] }: Packet, { address }: Sender): void {
    const { seen, incomplete } = sightings([...answers, ...additionals])
    const network = this.advert?.text.net
    for (const sighting of seen) {
      if (sighting.network === network) this.others++
      this.host.seen(sighting, address)
    }
    for (const name of incomplete) this.complete(name)
  }

  /** A name alone is no way to dial it, and nobody says the rest unasked (fault 4). */
  private complete(instance: string): void {
    if (this.completing.size >= MOST_COMPLETED || this.completing.has(instance)) return
    this.completing.add(instance)
    this.query(instance, "ANY")
  }

  /**
   * What to answer now: everything we show, whatever was asked. Who asks within a moment shares the next answer; and where many
   * are, who asks for all gets the answers of those who are quickest by chance: the others hear them and keep still.
   */
  private answer({ answers }: Packet): readonly ResourceRecord[] {
    const { clock } = this.host
    const forAll = answers.some(({ type }) => type === "PTR")
    this.others = forAll ? 0 : -Infinity
    if (this.answering !== undefined || this.service === undefined) return []
    const heard = this.host.heard()
    const spread = forAll && heard > ENOUGH ? Math.min(MOST_SPREAD, heard * SPREAD) : 0
    const wait = Math.max(spread * clock.random(), this.answered + ANSWER_INTERVAL - clock.now())
    if (wait > 0) {
      this.answering = clock.timeout(() => {
        this.answering = undefined
        if (this.others < ENOUGH) this.respond()
      }, wait)
      return []
    }
    this.answered = clock.now()
    return this.service.records()
  }

  private respond(): void {
    if (this.closed !== undefined || this.service === undefined) return
    this.answered = this.host.clock.now()
    this.mdns.respond(this.service.records())
  }

  /** The library names the addresses of every interface of the machine, loopback's never (fault 11). */
  private cleaned(records: readonly ResourceRecord[]): ResourceRecord[] {
    const ttl = records[0]?.ttl ?? 0
    const { id = "", addresses = [] } = this.advert ?? {}
    return [
      // Nor does one member's goodbye end the service type of all.
      ...records.filter(
        ({ type, name }) => type !== "A" && type !== "AAAA" && (ttl > 0 || !name.startsWith("_services.")),
      ),
      ...addresses.map((data) => ({
        name: hostName(id),
        type: data.includes(":") ? "AAAA" : "A",
        ttl: Math.min(ttl, ADDRESS_TTL),
        data,
      })),
    ]
  }
}

function hostName(id: string): string {
  return `earshot-${id}.local`
}
