// `authenticate` before libzmq's sockets: they wait for a READY that comes late, and understand a no.
import t from "tap"
import { Pull, type AuthRequest } from "../../lib/index.ts"
import { ours, theirs, zmq } from "../support/libzmq.ts"
import { event, text, until, within } from "../support/sockets.ts"

t.test("libzmq is judged, and waits for the word", async (t) => {
  let asked!: (peer: AuthRequest) => void
  const peer = new Promise<AuthRequest>((resolve) => (asked = resolve))
  let say!: (verdict: { userId: string }) => void
  const word = new Promise<{ userId: string }>((resolve) => (say = resolve))
  const us = ours(t, new Pull({ authenticate: (request) => (asked(request), word) }))
  await us.bind("tcp://127.0.0.1:*")
  const them = theirs(t, new zmq.Push())
  them.connect(us.lastEndpoint!)
  const sent = them.send("hello")
  const { token, type } = await within("the question", peer)
  t.strictSame([token, type, us.peers.length], [undefined, "PUSH", 0])
  say({ userId: "somebody" })
  await within("the send", sent)
  const { message, peer: from } = await us.receive({ withPeer: true })
  t.strictSame([text(message), from.userId], ["hello", "somebody"])
})

t.test("a no is libzmq's own 400, after which it does not come back", async (t) => {
  let questions = 0
  const us = ours(t, new Pull({ authenticate: () => (questions++, false) }))
  await us.bind("tcp://127.0.0.1:*")
  const refused = event(us, "handshake:error:auth")
  const them = theirs(t, new zmq.Push({ reconnectInterval: 1 }))
  const told = new Promise<zmq.EventOfType<"handshake:error:auth">>((resolve) => {
    them.events.on("handshake:error:auth", resolve)
  })
  them.connect(us.lastEndpoint!)
  t.equal((await refused).error.code, "REFUSED")
  t.equal((await within("its word", told)).error.status, 400)
  // Others come and are asked, it is not.
  for (let i = 1; i <= 3; i++) {
    const other = theirs(t, new zmq.Push())
    other.connect(us.lastEndpoint!)
    await until("another one", () => questions === 1 + i)
  }
  t.equal(questions, 4)
})
