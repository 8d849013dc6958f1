/** A socket that hears and says what it is told on multicast DNS's group, on loopback and a port of the test's own. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram"
import { once } from "node:events"
import { createRequire } from "node:module"
import type { Test } from "tap"
import { encode, type DnsPacket } from "./dns.ts"

const GROUP = "224.0.0.251"

/** What the decoder that everybody uses makes of a packet: a judge that is not ours. */
export interface Decoded {
  readonly type: "query" | "response"
  readonly questions: readonly { readonly name: string; readonly type: string }[]
  readonly answers: readonly {
    readonly name: string
    readonly type: string
    readonly ttl: number
    readonly data: any
  }[]
  readonly size: number
  readonly from: string
}

/** What that decoder makes of it. Throws as it does. */
export const decode: (packet: Buffer) => Omit<Decoded, "size" | "from"> = decoder()

function decoder(): (packet: Buffer) => Omit<Decoded, "size" | "from"> {
  const service = createRequire(import.meta.url).resolve("bonjour-service")
  const dns = createRequire(service).resolve("multicast-dns")
  return createRequire(dns)("dns-packet").decode
}

/** A UDP port that nobody uses now. */
export async function freePort(): Promise<number> {
  const socket = createSocket("udp4")
  socket.bind(0, "127.0.0.1")
  await once(socket, "listening")
  const { port } = socket.address()
  socket.close()
  await once(socket, "close")
  return port
}

export class Speaker {
  readonly heard: Decoded[] = []
  private readonly socket: Socket
  private readonly port: number

  private constructor(socket: Socket, port: number) {
    this.socket = socket
    this.port = port
    socket.on("message", (packet, { address, size }: RemoteInfo) => {
      this.heard.push({ ...decode(packet), from: address, size })
    })
  }

  /** Speaks from `address`, one of loopback's. */
  static async start(t: Test, port: number, address = "127.0.0.1"): Promise<Speaker> {
    const socket = createSocket({ type: "udp4", reuseAddr: true })
    // Bound to an address it hears no multicast, but is heard.
    socket.bind(port, address === "127.0.0.1" ? "0.0.0.0" : address)
    await once(socket, "listening")
    socket.addMembership(GROUP, "127.0.0.1")
    socket.setMulticastInterface("127.0.0.1")
    t.teardown(() => socket.close())
    return new Speaker(socket, port)
  }

  async say(packet: DnsPacket | Buffer): Promise<void> {
    const bytes = Buffer.isBuffer(packet) ? packet : encode(packet)
    await new Promise<void>((resolve, reject) =>
      this.socket.send(bytes, this.port, GROUP, (error) => (error === null ? resolve() : reject(error))),
    )
  }

  get questions(): Decoded["questions"] {
    return this.heard.filter(({ type }) => type === "query").flatMap(({ questions }) => questions)
  }

  /** Records of all answers, those with a TTL of 0 among them. */
  get records(): Decoded["answers"] {
    return this.heard.filter(({ type }) => type === "response").flatMap(({ answers }) => answers)
  }
}

/** What a member says of itself in full. */
export function announcement(id: string, network: string, port: number, addresses: readonly string[] = []): DnsPacket {
  const instance = `earshot-${id.slice(0, 6)}._earshot._tcp.local`
  const host = `earshot-${id}.local`
  return {
    answers: [
      { name: "_earshot._tcp.local", type: "PTR", data: instance },
      { name: instance, type: "SRV", data: `${host}:${port}` },
      { name: instance, type: "TXT", data: ["v=1", `id=${id}`, `net=${network}`, `tcp=${port}`] },
      ...addresses.map((data) => ({ name: host, type: data.includes(":") ? "AAAA" : "A", data }) as const),
    ],
  }
}
