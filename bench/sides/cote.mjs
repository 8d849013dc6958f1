// npm cote. Its discovery shouts over UDP: here to 127.255.255.255, which stays on this machine.
import { ECHO, SUBJECT, Tally, dismissed, published, timed, turn, until } from "../support/pubsub.mjs"
import { missing, play, say } from "../support/role.mjs"

const { default: cote } = await import("cote").catch(() => missing("missing: npm cote is not installed"))

/** Bytes that may wait in a connection: it has no back pressure of its own, so the bench reaches into it. */
const AHEAD = 1 << 20

/** `port`: of UDP, the same for both. */
const quiet = (port) => ({ log: false, broadcast: "127.255.255.255", port, helloInterval: 200, checkInterval: 400 })
const advertisement = (name, more) => ({ name, key: "bench", ...more })

await play({
  async publish({ port, size, total, members }) {
    const publisher = new cote.Publisher(advertisement("publisher", { broadcasts: [SUBJECT] }), quiet(port))
    say({ endpoint: port })
    const { sock } = publisher.sock
    await until(() => sock.socks.length === members)
    const body = Buffer.alloc(size)
    const full = ({ writableLength }) => writableLength > AHEAD
    for (let n = 0; n < total; n++) {
      publisher.publish(SUBJECT, body)
      while (sock.socks.some(full)) await turn()
    }
    await published(total * members)
  },

  async subscribe({ port, ...args }) {
    const tally = new Tally(args)
    for (let n = 0; n < args.members; n++) {
      const subscriber = new cote.Subscriber(advertisement(`subscriber ${n}`, { subscribesTo: [SUBJECT] }), quiet(port))
      subscriber.on(SUBJECT, (data) => tally.take(data.length))
    }
    await tally.finish()
  },

  async reply({ port }) {
    const responder = new cote.Responder(advertisement("responder"), quiet(port))
    responder.on(ECHO, (request, done) => done(null, request.body))
    say({ endpoint: port })
    await dismissed()
  },

  async request({ port, ...args }) {
    const requester = new cote.Requester(advertisement("requester"), quiet(port))
    // It makes JSON of what is asked.
    const body = "x".repeat(args.size)
    await timed(async () => (await requester.send({ type: ECHO, body })).length, args)
  },
})
