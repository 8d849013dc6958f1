// Random and mutated bytes over real TCP, to every socket type, bound and connecting: the connection ends exactly when
// and as it must, and the socket goes on exchanging messages with a good peer.
import t from "tap"
import { cases, type Chance } from "./support/chance.ts"
import { Ends } from "./support/ends.ts"
import { evilServer, evilTo, type EvilPeer } from "./support/evil-tcp.ts"
import { judge, type Limits } from "./support/model.ts"
import { mutate, stream } from "./support/mutate.ts"
import { makeWorld } from "./support/worlds.ts"
import { typeNames } from "./support/zmtp.ts"

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

      const attack = async (chance: Chance, bytes: Buffer): Promise<void> => {
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
      }

      await cases(t, CASES / AT_ONCE, async (chance) => {
        const all = Array.from({ length: AT_ONCE }, () => {
          const bytes = stream(chance, type)
          return attack(chance, chance.maybe(0.1) ? bytes : mutate(chance, bytes, type))
        })
        // Meanwhile.
        for (let i = 0; i < 3; i++) await world.exchange(false)
        await Promise.all(all)
        await world.exchange(true)
      })
      t.equal(socket.peers.length, 1, "only the good peer is left")
      await world.close()
    })
}
