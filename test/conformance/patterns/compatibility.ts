/** Who may talk to whom (WIRE 1.4). */
import type { Test } from "tap"
import type {
  Dealer,
  EarshotError,
  Publisher,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "../../../lib/index.ts"
import type { Socket } from "../../../lib/socket.ts"
import { event, Kit, next, peers, type Receives, type Sends, type SocketName, type Subject } from "./support.ts"

const types: Record<SocketName, string> = {
  Pair: "PAIR",
  Push: "PUSH",
  Pull: "PULL",
  Publisher: "PUB",
  Subscriber: "SUB",
  XPublisher: "XPUB",
  XSubscriber: "XSUB",
  Request: "REQ",
  Reply: "REP",
  Dealer: "DEALER",
  Router: "ROUTER",
}

const table: Record<string, readonly string[]> = {
  PAIR: ["PAIR"],
  PUSH: ["PULL"],
  PULL: ["PUSH"],
  PUB: ["SUB", "XSUB"],
  XPUB: ["SUB", "XSUB"],
  SUB: ["PUB", "XPUB"],
  XSUB: ["PUB", "XPUB"],
  REQ: ["REP", "ROUTER"],
  REP: ["REQ", "DEALER"],
  DEALER: ["REP", "DEALER", "ROUTER"],
  ROUTER: ["REQ", "DEALER", "ROUTER"],
}

async function passOn(from: Sends, to: Receives): Promise<string[]> {
  await from.send(["hello", "you"])
  return [await next(to)]
}

async function publish(from: Publisher | XPublisher, to: Socket & Receives): Promise<string[]> {
  if ("subscribe" in to) await (to as Subscriber).subscribe("hel")
  else await (to as XSubscriber).send("\u0001hel")
  await from.ready({ topic: "hello" })
  return passOn(from, to)
}

/** One question and its answer. */
async function ask(
  asker: Request | Dealer,
  answerer: Reply | Router,
  question: string[],
  back: number,
): Promise<string[]> {
  await asker.send(question)
  const asked = await answerer.receive()
  await answerer.send([...asked.slice(0, back), "answer"])
  return [asked.slice(back).map(String).join("|"), await next(asker)]
}

/** How two types exchange messages, and what is to arrive. */
const talks: Record<string, [talk: (from: never, to: never) => Promise<string[]>, result: string[]]> = {
  "PAIR PAIR": [passOn, ["hello|you"]],
  "PUSH PULL": [passOn, ["hello|you"]],
  "DEALER DEALER": [passOn, ["hello|you"]],
  "PUB SUB": [publish, ["hello|you"]],
  "PUB XSUB": [publish, ["hello|you"]],
  "XPUB SUB": [publish, ["hello|you"]],
  "XPUB XSUB": [publish, ["hello|you"]],
  "REQ REP": [(q: Request, p: Reply) => ask(q, p, ["question"], 0), ["question", "answer"]],
  "REQ ROUTER": [(q: Request, p: Router) => ask(q, p, ["question"], 2), ["question", "answer"]],
  "DEALER REP": [(q: Dealer, p: Reply) => ask(q, p, ["", "question"], 0), ["question", "|answer"]],
  "DEALER ROUTER": [(q: Dealer, p: Router) => ask(q, p, ["question"], 1), ["question", "answer"]],
  "ROUTER ROUTER": [
    async (a: Router, b: Router) => {
      await a.send(["connector", "hello"])
      const [id, body] = await b.receive()
      await b.send([id!, "answer"])
      return [String(body), await next(a)]
    },
    ["hello", "connector|answer"],
  ],
}

/** Why the next handshake of a socket fails: of the two, who is quicker may tell the other by an ERROR command. */
async function refusal(socket: Socket): Promise<EarshotError> {
  const events = [event(socket, "handshake:error:protocol"), event(socket, "handshake:error:auth")]
  for (const each of events) each.catch(() => {})
  return (await Promise.race(events)).error
}

export function compatibility(t: Test, subject: Subject): void {
  const names = Object.keys(types) as SocketName[]

  t.test("types that fit exchange messages, whoever binds", async (t) => {
    for (const binding of names)
      for (const connecting of names.filter((name) => table[types[binding]]!.includes(types[name]))) {
        const kit = new Kit(t, subject)
        const binder = kit.make(binding) as Socket
        const connector = kit.make(connecting, connecting === "Router" ? { routingId: "connector" } : {}) as Socket
        await kit.link(binder, connector)
        const [there, back] = [`${types[binding]} ${types[connecting]}`, `${types[connecting]} ${types[binding]}`]
        const [talk, result] = talks[there] ?? talks[back]!
        const [from, to] = there in talks ? [binder, connector] : [connector, binder]
        t.strictSame(await talk(from as never, to as never), result, there)
        t.equal(binder.peers[0]!.type, types[connecting])
        t.equal(connector.peers[0]!.type, types[binding])
      }
  })

  t.test("types that do not fit refuse each other, with an event on both sides", async (t) => {
    const kit = new Kit(t, subject)
    for (const binding of names) {
      const binder = kit.make(binding) as Socket
      const endpoint = await kit.bind(binder)
      for (const connecting of names.filter((name) => !table[types[binding]]!.includes(types[name]))) {
        const connector = kit.make(connecting) as Socket
        const met = Promise.all([refusal(binder), refusal(connector)])
        connector.events.on("handshake", () => t.fail(`${connecting} joined ${binding}`))
        void connector.connect(endpoint)
        const [here, there] = await met
        t.ok([here.code, there.code].includes("INCOMPATIBLE"), `${binding}, bound, and ${connecting}`)
        if (here.code === "INCOMPATIBLE") t.match(here.message, `a ${types[connecting]} does not fit`)
        else t.match([here.code, here.message], ["REFUSED", `a ${types[binding]} does not fit`])
        if (there.code === "INCOMPATIBLE") t.match(there.message, `a ${types[binding]} does not fit`)
        else t.match([there.code, there.message], ["REFUSED", `a ${types[connecting]} does not fit`])
        await connector.close()
      }
      await peers(binder, 0)
    }
  })
}
