// What people see of an object that they print, or send on as JSON: its facts, in a few lines, and never what stands behind it;
// and of an error what caused it.
import { inspect } from "node:util"
import t from "tap"
import { Pull, Push, Reply, Request } from "../lib/index.ts"
import { testMesh } from "../lib/mesh/testing.ts"

/** Both ways to look at it, and the facts as JSON has them. */
function seen(value: object): { readonly text: string; readonly facts: any } {
  const text = inspect(value, { depth: 10 })
  t.ok(text.split("\n").length < 30, `${text.split("\n").length} lines`)
  return { text, facts: JSON.parse(JSON.stringify(value)) }
}

t.test("a message, its member, a call, a subscription and a mesh", async (t) => {
  const net = await testMesh(["ada", "bob"], { member: { meta: { room: 7 } } })
  const { ada, bob } = net.mesh
  const readings = bob.subscribe("temp.*")
  const calls: { text: string; facts: any }[] = []
  bob.serve("add", ([a, b], call) => {
    calls.push(seen(call))
    return a + b
  })
  await net.settle()
  await ada.publish("temp.hall", { celsius: 21 }, { headers: { unit: "C" } })
  await ada.request("add", [1, 2], { headers: { who: "ada" } })

  const { id } = ada
  for await (const message of readings) {
    const { text, facts } = seen(message)
    t.match(text, /^MeshMessage \{/)
    t.match(text, "celsius: 21")
    t.match(facts, { subject: "temp.hall", data: { celsius: 21 }, headers: { unit: "C" }, from: { id, name: "ada" } })
    const from = seen(message.from)
    t.match(from.text, /^Member \{/)
    t.match(from.facts, { id, name: "ada", meta: { room: 7 }, leaf: false, leaves: 0 })
    t.notOk("pipe" in from.facts, "not its link")
    break
  }
  t.match(calls[0]!.facts, { subject: "add", headers: { who: "ada" }, from: { id } })
  t.match(seen(readings).facts, { pattern: "temp.*", received: 1, handled: 1 })
  t.match(seen(ada).facts, { id, name: "ada", members: 1, closed: false })
  t.strictSame(Object.keys(Object.getPrototypeOf(readings)), [], "nothing new to enumerate")
  await net.close()
})

t.test("who has no printer to lend gets the facts themselves", async (t) => {
  const pull = new Pull() as unknown as Record<symbol, (depth: number, options: object) => unknown>
  const shown = pull[Symbol.for("nodejs.util.inspect.custom")]!(2, {})
  t.strictSame(shown, { lastEndpoint: null, peers: 0, closed: false })
})

t.test("a member goes on as data, by its facts", async (t) => {
  const net = await testMesh(["ada", "bob"])
  const seen = net.mesh.bob.subscribe("seen")
  await net.settle()
  const [member] = net.mesh.ada.members.values()
  await net.mesh.ada.publish("seen", { member })
  for await (const { data } of seen) {
    t.match(data, { member: { id: net.mesh.bob.id, name: "bob", leaf: false } })
    break
  }
  await net.close()
})

t.test("a socket and its peers", async (t) => {
  const pull = new Pull()
  await pull.bind("inproc://*")
  const push = new Push()
  void push.connect(pull.lastEndpoint!)
  await push.send("one")
  await pull.receive()
  const { text, facts } = seen(pull)
  t.match(text, /^Pull \{/)
  t.strictSame(facts, { lastEndpoint: pull.lastEndpoint, peers: 1, closed: false })
  const peer = seen(pull.peers[0]!)
  t.match(peer.facts, { type: "PUSH", online: true, queued: 0, waiting: 0 })
  t.notOk("session" in peer.facts, "not its connection")
  await Promise.all([push.close(), pull.close()])
})

t.test("who waited in vain for a reply learns why nobody was connected", async (t) => {
  const pull = new Pull()
  await pull.bind("tcp://127.0.0.1:*")
  const wrong = new Request({ linger: 0 })
  void wrong.connect(pull.lastEndpoint!)
  const unfit = { code: "REFUSED", message: /a REQ does not fit: only PUSH/ }
  await t.rejects(wrong.request("x", { timeout: 500 }), { code: "TIMEOUT", cause: unfit })

  const reply = new Reply()
  await reply.bind("tcp://127.0.0.1:*")
  const right = new Request()
  void right.connect(reply.lastEndpoint!)
  const error = await right.request("x", { timeout: 500 }).catch((error: unknown) => error)
  t.match(error, { code: "TIMEOUT", cause: undefined }, "nothing was wrong with the connection")
  await Promise.all([wrong, right, reply, pull].map((socket) => socket.close()))
})
