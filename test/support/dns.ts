/** DNS packets (RFC 1035, 4), written by hand so that they can be as wrong as a test wants, and a name server on loopback. */
import { createSocket, type Socket } from "node:dgram"
import { once } from "node:events"
import { isIPv4 } from "node:net"
import type { Test } from "tap"

const types = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, ANY: 255 } as const
export type RecordType = keyof typeof types

export interface DnsRecord {
  readonly name: string
  readonly type: RecordType
  /** An address, a name, `host:port`, or the strings of a TXT; or bytes as they stand. */
  readonly data: string | readonly (string | Buffer)[] | Buffer
  readonly ttl?: number
}

export interface DnsPacket {
  readonly id?: number
  readonly response?: boolean
  readonly questions?: readonly { readonly name: string; readonly type: RecordType }[]
  readonly answers?: readonly DnsRecord[]
  readonly additionals?: readonly DnsRecord[]
}

export function encode({ id = 0, response = true, questions = [], answers = [], additionals = [] }: DnsPacket): Buffer {
  const counts = [questions.length, answers.length, 0, additionals.length]
  const header = numbers(id, response ? 0x8400 : 0, ...counts)
  const asked = questions.map(({ name, type }) => Buffer.concat([encodeName(name), numbers(types[type], 1)]))
  return Buffer.concat([header, ...asked, ...[...answers, ...additionals].map(encodeRecord)])
}

function encodeRecord({ name, type, data, ttl = 120 }: DnsRecord): Buffer {
  const bytes = encodeData(type, data)
  return Buffer.concat([encodeName(name), numbers(types[type], 1, ttl >>> 16, ttl & 0xffff, bytes.length), bytes])
}

function encodeData(type: RecordType, data: DnsRecord["data"]): Buffer {
  if (Buffer.isBuffer(data)) return data
  if (typeof data !== "string")
    return Buffer.concat(data.map((item) => Buffer.concat([Buffer.from([item.length]), Buffer.from(item)])))
  if (type === "A") return Buffer.from(data.split(".").map(Number))
  if (type === "AAAA") return encodeIpv6(data)
  if (type !== "SRV") return encodeName(data)
  const [host = "", port] = data.split(":")
  return Buffer.concat([numbers(0, 0, Number(port)), encodeName(host)])
}

function encodeIpv6(address: string): Buffer {
  const [head = "", tail] = address.split("::").map((half) => half.split(":").filter((group) => group !== ""))
  const start = Array.isArray(head) ? head : []
  const zeros = tail === undefined ? 0 : 8 - start.length - tail.length
  return numbers(
    ...[...start, ...Array<string>(zeros).fill("0"), ...(tail ?? [])].map((group) => Number.parseInt(group, 16)),
  )
}

function encodeName(name: string): Buffer {
  const labels = name.split(".").filter((label) => label !== "")
  return Buffer.concat([...labels.map((label) => Buffer.from([label.length, ...Buffer.from(label)])), Buffer.from([0])])
}

function numbers(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2)
  for (const [at, value] of values.entries()) bytes.writeUInt16BE(value, at * 2)
  return bytes
}

/** The first question of a packet. */
export function decodeQuestion(packet: Buffer): { id: number; name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = packet[at]!; length > 0; length = packet[at]!) {
    labels.push(packet.toString("latin1", at + 1, at + 1 + length))
    at += 1 + length
  }
  return { id: packet.readUInt16BE(0), name: labels.join("."), type: packet.readUInt16BE(at + 1), end: at + 5 }
}

/** Answers with what `records` holds at the time; a name without any is said not to exist. */
export class NameServer {
  records: DnsRecord[] = []
  /** Says nothing at all. */
  mute = false
  /** Questions heard: `type name`. */
  readonly asked: string[] = []
  private readonly socket: Socket

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on("message", (packet, { port, address }) => {
      const { id, name, type, end } = decodeQuestion(packet)
      const known = Object.entries(types).find(([, number]) => number === type)?.[0] as RecordType | undefined
      this.asked.push(`${known} ${name}`)
      if (this.mute) return
      const named = this.records.filter((record) => record.name === name.toLowerCase())
      const answers = named.filter((record) => record.type === known)
      const reply = encode({ id, answers })
      const question = packet.subarray(12, end)
      // NXDOMAIN, or an empty answer; and recursion is available.
      reply.writeUInt16BE(0x8580 | (named.length === 0 ? 3 : 0), 2)
      reply.writeUInt16BE(1, 4)
      socket.send(Buffer.concat([reply.subarray(0, 12), question, reply.subarray(12)]), port, address)
    })
  }

  static async start(t: Test): Promise<NameServer> {
    const socket = createSocket("udp4")
    socket.bind(0, "127.0.0.1")
    await once(socket, "listening")
    t.teardown(() => socket.close())
    return new NameServer(socket)
  }

  get address(): string {
    return `127.0.0.1:${this.socket.address().port}`
  }

  /** The name now has these addresses and no others. */
  set(name: string, addresses: readonly string[]): void {
    const others = this.records.filter((record) => record.name !== name)
    const own = addresses.map((data): DnsRecord => ({ name, type: isIPv4(data) ? "A" : "AAAA", data }))
    this.records = [...others, ...own]
  }
}
