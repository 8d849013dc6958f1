// After close() nothing is left of a socket on a real transport, whatever its connections were doing: no descriptor, no hold.
import { once } from "node:events"
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import t from "tap"
import { Dealer, Pull, Push, systemClock, type Clock } from "../../lib/index.ts"
import { greeting, ready, wire } from "../support/bytes.ts"
import { fill, until, within } from "../support/sockets.ts"

/** Sockets of this process, as the system counts them. */
function descriptors(): number {
  const isSocket = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")
    } catch {
      return false
    }
  }
  return readdirSync("/proc/self/fd").filter(isSocket).length
}

interface Place {
  /** To bind. */
  readonly any: () => string
  /** The other end, as bare bytes. */
  readonly dial: (endpoint: string) => net.Socket
  readonly serve: (server: net.Server) => Promise<string>
}

const folder = mkdtempSync(join(tmpdir(), "earshot-"))
t.teardown(() => rmSync(folder, { recursive: true }))
let names = 0
const places: Record<string, Place> = {
  tcp: {
    any: () => "tcp://127.0.0.1:*",
    dial: (endpoint) => net.connect(Number(endpoint.split(":").at(-1)), "127.0.0.1"),
    async serve(server) {
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      return `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`
    },
  },
  ipc: {
    any: () => `ipc://${folder}/${++names}`,
    dial: (endpoint) => net.connect(endpoint.slice("ipc://".length)),
    async serve(server) {
      const path = `${folder}/${++names}`
      server.listen(path)
      await once(server, "listening")
      return `ipc://${path}`
    },
  },
}

/** One case: a socket that is about to be closed, and what else there is, to be ended by the test afterwards. */
interface Case {
  readonly place: Place
  readonly clock: Clock
  readonly linger: number
  readonly others: (() => void)[]
}

const HELLO = Buffer.concat([greeting(), ready("DEALER")])

async function peer({ place, others }: Case, endpoint: string, ...bytes: Uint8Array[]): Promise<net.Socket> {
  const socket = place.dial(endpoint)
  socket.on("error", () => {})
  others.push(() => socket.destroy())
  await once(socket, "connect")
  for (const chunk of bytes) socket.write(chunk)
  return socket
}

async function server({ place, others }: Case, onSocket: (socket: net.Socket) => void): Promise<string> {
  const sockets: net.Socket[] = []
  const server = net.createServer((socket) => {
    sockets.push(socket)
    socket.on("error", () => {})
    onSocket(socket)
  })
  others.push(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return place.serve(server)
}

function dealer({ clock, linger }: Case): Dealer {
  return new Dealer({ clock, linger, sendHighWaterMarkBytes: 0, reconnectInterval: 10 })
}

const stages: Record<string, (at: Case) => Promise<Dealer>> = {
  async "a bind under way"(at) {
    const socket = dealer(at)
    void socket.bind(at.place.any()).catch(() => {})
    return socket
  },
  async bound(at) {
    const socket = dealer(at)
    await socket.bind(at.place.any())
    return socket
  },
  async "a dial under way"(at) {
    const socket = dealer(at)
    void socket.connect(await server(at, () => {}))
    return socket
  },
  async "a dial that is refused, again and again"(at) {
    const socket = dealer(at)
    const listening = new Dealer()
    await listening.bind(at.place.any())
    const endpoint = listening.lastEndpoint!
    await listening.close()
    void socket.connect(endpoint)
    let retries = 0
    socket.events.on("connect:retry", () => retries++)
    await until("a few attempts", () => retries > 2)
    return socket
  },
  async "a server that says nothing"(at) {
    const socket = dealer(at)
    let accepted = false
    void socket.connect(await server(at, () => (accepted = true)))
    await until("a connection", () => accepted)
    return socket
  },
  async "a client that says nothing"(at) {
    const socket = dealer(at)
    await socket.bind(at.place.any())
    await peer(at, socket.lastEndpoint!)
    return socket
  },
  async "half a greeting"(at) {
    const socket = dealer(at)
    await socket.bind(at.place.any())
    await peer(at, socket.lastEndpoint!, HELLO.subarray(0, 30))
    return socket
  },
  async traffic(at) {
    const socket = dealer(at)
    await socket.bind(at.place.any())
    ;(await peer(at, socket.lastEndpoint!, HELLO)).resume()
    await until("the peer", () => socket.peers.length === 1)
    for (let n = 0; n < 100; n++) socket.trySend("x")
    return socket
  },
  async "a peer that never reads"(at) {
    const socket = dealer(at)
    await socket.bind(at.place.any())
    await peer(at, socket.lastEndpoint!, HELLO)
    await until("the peer", () => socket.peers.length === 1)
    fill(socket, 0, () => Buffer.alloc(100_000))
    return socket
  },
  async "a peer whose messages nobody takes"(at) {
    const socket = dealer(at)
    await socket.bind(at.place.any())
    const rest = Buffer.concat(Array.from({ length: 5000 }, () => wire(Buffer.alloc(1000))))
    await peer(at, socket.lastEndpoint!, HELLO, rest)
    await until("a full inbox", () => socket.peers[0]?.waiting === 1000)
    return socket
  },
  async "a peer that has just gone, with its messages unread"(at) {
    const socket = dealer(at)
    await socket.bind(at.place.any())
    const rest = Buffer.concat(Array.from({ length: 5000 }, () => wire(Buffer.alloc(1000))))
    const gone = await peer(at, socket.lastEndpoint!, HELLO, rest)
    await until("a full inbox", () => socket.peers[0]?.waiting === 1000)
    gone.destroy()
    socket.trySend("to somebody who is gone")
    return socket
  },
  async "a connection lost, another to come"(at) {
    const socket = dealer(at)
    let lost = false
    socket.events.on("disconnect", () => (lost = true))
    void socket.connect(
      await server(at, (peer) => {
        peer.write(HELLO)
        peer.once("data", () => setImmediate(() => peer.destroy()))
      }),
    )
    await until("a loss", () => lost)
    socket.trySend("waits for it")
    return socket
  },
}

for (const [scheme, place] of Object.entries(places))
  t.test(scheme, { skip: process.platform !== "linux" && "needs /proc" }, async (t) => {
    for (const [stage, reach] of Object.entries(stages))
      for (const linger of [0, 60]) {
        const what = `${stage}, linger ${linger}`
        let holds = 0
        const clock: Clock = { ...systemClock, hold: () => holds++, release: () => holds-- }
        const before = descriptors()
        const at: Case = { place, clock, linger, others: [] }
        const socket = await reach(at)
        const pending = [socket.receive(), socket.receive()].map((promise) => promise.catch(() => {}))
        await within(`the end of ${what}`, socket.close())
        await Promise.all(pending)
        if (holds !== 0) t.fail(`${what}: still held ${holds} times`)
        for (const end of at.others) end()
        await until(`the last descriptor of ${what}`, () => descriptors() <= before)
      }
    t.pass(`${Object.keys(stages).length} stages`)
  })

t.test("two hundred sockets, opened and closed at once in the midst of their traffic", async (t) => {
  const before = process.platform === "linux" ? descriptors() : 0
  const pulls = Array.from({ length: 20 }, () => new Pull({ linger: 0 }))
  await Promise.all(pulls.map((pull) => pull.bind("tcp://127.0.0.1:*")))
  const pushes = Array.from({ length: 200 }, () => new Push({ linger: 0 }))
  const connected = pushes.map((push, n) => push.connect(pulls[n % pulls.length]!.lastEndpoint!))
  for (const push of pushes) for (let n = 0; n < 50; n++) push.trySend(Buffer.alloc(1000))
  for (const pull of pulls) pull.onmessage = () => {}
  await Promise.race(connected)
  await within("the end of all", Promise.all([...pulls, ...pushes].map((socket) => socket.close())))
  const outcomes = await Promise.allSettled(connected)
  t.equal(outcomes.length, 200)
  if (process.platform === "linux") await until("the last descriptor", () => descriptors() <= before)
})
