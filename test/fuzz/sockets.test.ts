// Random and mutated bytes from a peer, at every state of greeting, handshake and traffic, to every socket type, bound and
// connecting, over links in memory: the connection ends exactly when and as it must, with one event and a code, and
// the socket goes on exchanging messages with a good peer.
import t from "tap"
import { transports } from "../../lib/defaults.ts"
import { codes } from "../../lib/index.ts"
import { virtualClock } from "../support/virtual-clock.ts"
import { cases, seed, type Chance } from "./support/chance.ts"
import { Ends } from "./support/ends.ts"
import { EvilTransport, type EvilLink } from "./support/evil-transport.ts"
import { judge, type Limits } from "./support/model.ts"
import { mutate, stream } from "./support/mutate.ts"
import { checkHeard, makeWorld } from "./support/worlds.ts"
import { greeting, ready, typeNames, type TypeName } from "./support/zmtp.ts"

// A pending connect() keeps no process alive.
const alive = setInterval(() => {}, 60_000)
t.teardown(() => clearInterval(alive))

const CASES = 2000
const limits: Limits = { maxMessageSize: 2000, maxMessageParts: 4 }
const evil = new EvilTransport()
transports.register(evil)

function input(chance: Chance, type: TypeName): Buffer {
  if (chance.maybe(0.05)) return chance.bytes(chance.below(300))
  const bytes = stream(chance, type)
  return chance.maybe(0.1) ? bytes : mutate(chance, bytes, type)
}

for (const type of typeNames) {
  for (const role of ["bound", "connecting"] as const)
    t.test(`${type}, ${role}`, async (t) => {
      const clock = virtualClock({ seed })
      const world = await makeWorld(type, clock, limits)
      const { socket } = world
      const ends = new Ends(socket)
      if (role === "bound") await socket.bind("evil://here")

      const open = async (): Promise<EvilLink> => {
        if (role === "bound") return evil.connect("here")
        const dialled = new Promise<EvilLink>((resolve) => (evil.onDial = resolve))
        void socket.connect("evil://there")
        const link = await dialled
        await Promise.resolve()
        return link
      }

      await cases(
        t,
        CASES,
        async (chance, index) => {
          const bytes = input(chance, type)
          const before = socket.stats().received.count
          const link = await open()
          if (chance.maybe(0.2)) link.room = chance.pick([0, 64, 100])
          for (const chunk of chance.split(bytes)) link.feed(chunk)

          const verdict = judge(bytes, type, limits)
          // A Pair has no place for a second peer.
          const code = type === "PAIR" && verdict.established ? "LIMIT" : verdict.code
          const about = (text: string): Error => new Error(`${text}, of ${bytes.toString("hex")}`)
          if (link.ended !== (code !== undefined)) throw about(`${link.ended ? "ended" : "alive"} and not ${code}`)
          if (link.left > 0) throw about("not all was read")
          const received = socket.stats().received.count - before
          const wanted = code === "LIMIT" ? 0 : verdict.messages.length
          if (received !== wanted) throw about(`${received} messages and not ${wanted}`)
          checkHeard(world, role === "bound" ? link.remote : "evil://there", verdict.messages)
          if (code === undefined && index % 50 === 0) await clock.until(world.exchange(false))
          const orderly = !link.ended
          link.hangUp()
          const [end, ...more] = ends.take()
          if (end === undefined || more.length > 0) throw about(`${more.length} more events tell of the end`)
          const { event, error } = end
          const joined = verdict.established && code !== "LIMIT"
          if (event !== (joined ? "disconnect" : "handshake")) throw about(`the event ${event}`)
          if (orderly && joined ? error !== undefined : error?.code !== (code ?? "ECONNRESET"))
            throw about(`the error ${error?.code} and not ${code}`)
          // What isn't ours was not foreseen, whatever code it was given; but a peer's own reason to refuse is a cause, too.
          if (error?.cause !== undefined && error.code !== "REFUSED")
            throw new Error("a fault of our own", { cause: error.cause })
          if (error !== undefined && !(error.code in codes && error.message.length < 500))
            throw about(`the error ${error}`)

          if (role === "connecting") await socket.disconnect("evil://there")
          if (socket.peers.length !== 1) throw about(`${socket.peers.length} peers`)
        },
        100,
        () => clock.until(world.exchange(true)),
      )
      await clock.until(world.close())
      t.equal(clock.holds, 0, "nothing keeps the process alive")
      t.equal(clock.timers, 0, "no timer is left")
    })
}

t.test("a handshake has its time, however its bytes trickle", async (t) => {
  const clock = virtualClock({ seed })
  for (const role of ["bound", "connecting"] as const) {
    const world = await makeWorld("PULL", clock, { handshakeInterval: 10_000 })
    const { socket } = world
    const ends = new Ends(socket)
    const name = `trickle-${role}`
    const links: EvilLink[] = []
    evil.onDial = (link) => void links.push(link)
    if (role === "bound") {
      await socket.bind(`evil://${name}`)
      for (let i = 0; i < 3; i++) links.push(evil.connect(name))
    } else socket.connect(`evil://${name}`).catch(() => {})
    await clock.settle()
    // All of the greeting and some of READY, a byte each time; nothing at all; all but the last byte at once.
    const bytes = Buffer.concat([greeting(), ready("PUSH")])
    links[2]?.feed(bytes.subarray(0, -1))
    for (let ms = 0; ms < 10_000; ms += 125) {
      if (links.some(({ ended }) => ended)) t.fail(`ended after ${ms} ms`)
      links[0]!.feed(bytes.subarray(ms / 125, ms / 125 + 1))
      await clock.advance(125)
    }
    t.strictSame(
      ends.take().map(({ event, error }) => [event, error?.code]),
      links.slice(0, 3).map(() => ["handshake", "ETIMEDOUT"]),
      role,
    )
    t.ok(links.slice(0, 3).every(({ ended }) => ended))
    await clock.until(world.exchange(true))
    await clock.until(world.close())
  }
})
