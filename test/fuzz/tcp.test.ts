// Random and mutated bytes over real TCP, to every socket type, bound and connecting: the connection ends exactly when
// and as it must, and the socket goes on exchanging messages with a good peer.
import t from "tap"
import { Pull } from "../../lib/index.ts"
import { cases, type Chance } from "./support/chance.ts"
import { Ends } from "./support/ends.ts"
import { evilServer, evilTo, type EvilPeer } from "./support/evil-tcp.ts"
import { judge, type Limits } from "./support/model.ts"
import { mutate, stream } from "./support/mutate.ts"
import { checkHeard, makeWorld } from "./support/worlds.ts"
import { greeting, message, ready, typeNames } from "./support/zmtp.ts"

// A pending connect() keeps no process alive.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => clearInterval(alive))

/** Of each type and role: 2,200 in all. */
const CASES = 100
const AT_ONCE = 10
const limits: Limits = { maxMessageSize: 2000, maxMessageParts: 4 }

for (const type of typeNames) {
  for (const role of ["bound", "connecting"] as const)
    t.test(`${type}, ${role}`, async (t) => {
      const world = await makeWorld(type, undefined, limits)
      const { socket } = world
      const ends = new Ends(socket)
      await socket.bind("tcp://127.0.0.1:*")
      const endpoint = socket.lastEndpoint!

      const attack = async (chance: Chance, bytes: Buffer): Promise<() => void> => {
        const verdict = judge(bytes, type, limits)
        const code = type === "PAIR" && verdict.established ? "LIMIT" : verdict.code
        const talk = (peer: EvilPeer): void => {
          // Chunks of their own, as far as TCP keeps them apart.
          peer.say(...chance.split(bytes))
          if (code === undefined) peer.socket.end()
        }
        let address: string
        let done = (): unknown => undefined
        if (role === "bound") {
          const peer = await evilTo(endpoint, false)
          ;({ address } = peer)
          talk(peer)
          done = () => peer.gone()
        } else {
          const server = await evilServer(talk)
          address = server.endpoint
          void socket.connect(address)
          done = async () => {
            await socket.disconnect(address)
            server.close()
          }
        }
        const { event, error } = await ends.next(address)
        await done()
        const joined = verdict.established && code !== "LIMIT"
        const wanted = joined && code === undefined ? undefined : (code ?? "ECONNRESET")
        if (event !== (joined ? "disconnect" : "handshake") || error?.code !== wanted)
          throw new Error(`${event} ${error} and not ${wanted}, of ${bytes.toString("hex")}`)
        if (ends.take(address).length > 0) throw new Error("a second event")
        return () => checkHeard(world, address, verdict.messages)
      }

      await cases(t, CASES / AT_ONCE, async (chance) => {
        const all = Array.from({ length: AT_ONCE }, () => {
          const bytes = stream(chance, type)
          return attack(chance, chance.maybe(0.1) ? bytes : mutate(chance, bytes, type))
        })
        // Meanwhile.
        for (let i = 0; i < 3; i++) await world.exchange(false)
        const checks = await Promise.all(all)
        await world.exchange(true)
        // Only now: what was delivered stays as it is, whatever comes after it.
        for (const check of checks) check()
      })
      t.equal(socket.peers.length, 1, "only the good peer is left")
      await world.close()
    })
}

t.test("frames of all sizes, however cut, arrive as they were and stay so", async (t) => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const pull = new Pull({ receiveHighWaterMark: 3, receiveTimeout: 10_000, linger: 0 })
  t.teardown(() => pull.close())
  await pull.bind("tcp://127.0.0.1:*")
  await cases(t, 60, async (chance) => {
    const size = (): number =>
      chance.maybe(0.3) ? chance.below(400_000) : chance.maybe(0.5) ? chance.size() : chance.below(10_000)
    // Bytes that tell where they belong: of message, frame and place.
    const sent = Array.from({ length: chance.between(1, 12) }, () =>
      Array.from({ length: chance.between(1, 3) }, () => {
        const frame = Buffer.allocUnsafe(size())
        const first = chance.below(251)
        for (let i = 0; i < frame.length; i++) frame[i] = (first + i) % 251
        return frame
      }),
    )
    const bytes = Buffer.concat([greeting(), ready("PUSH"), ...sent.map((frames) => message(...frames))])
    const peer = await evilTo(pull.lastEndpoint!, false)
    const speak = async (): Promise<void> => {
      const most = chance.pick([1000, 5000, 70_000, 300_000])
      for (let at = 0; at < bytes.length;) {
        const end = at + chance.between(1, most)
        peer.say(bytes.subarray(at, end))
        at = end
        if (chance.maybe(0.5)) await turn()
      }
    }
    const speaking = speak()
    const found: Buffer[][] = []
    while (found.length < sent.length) {
      if (chance.maybe(0.3)) await turn()
      found.push(await pull.receive())
    }
    await speaking
    peer.hangUp()
    for (const [i, frames] of sent.entries())
      if (frames.length !== found[i]!.length || frames.some((frame, j) => !frame.equals(found[i]![j]!)))
        throw new Error(`message ${i}, of frames of ${frames.map(({ length }) => length).join()} bytes`)
  })
})
