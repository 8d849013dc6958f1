// SOCKETS.md, "Limits", and every other option: its default, what it takes, what it refuses, and which sockets have it.
import t from "tap"
import {
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
} from "../../lib/index.ts"
import type { Socket } from "../../lib/socket.ts"

type Class = new (options?: object) => Socket
const all = [
  Dealer,
  Pair,
  Publisher,
  Pull,
  Push,
  Reply,
  Request,
  Router,
  Subscriber,
  XPublisher,
  XSubscriber,
] as unknown[] as Class[]
const named = (names: string): Class[] => names.split(" ").map((name) => all.find((each) => each.name === name)!)
const sending = named("Push Publisher Dealer Pair Reply Request Router XPublisher XSubscriber")
const receiving = named("Pull Subscriber Dealer Pair Reply Request Router XPublisher XSubscriber")

interface Row {
  readonly of: readonly Class[]
  readonly standard: unknown
  readonly good: readonly unknown[]
  readonly bad: readonly unknown[]
}
const noNumber = [NaN, -Infinity, 1.5, "1", null, true, [], {}, 1n, 2 ** 53, new Date(0)]
const integer = (of: readonly Class[], standard: number, least: number, most?: number): Row => ({
  of,
  standard,
  good: [least, least + 1, 1_000_000],
  bad: [least - 1, ...noNumber, ...(least < 0 ? [] : [Infinity]), ...(most === undefined ? [] : [most + 1])],
})
const flag = (names: string): Row => ({
  of: named(names),
  standard: false,
  good: [true, false],
  bad: [0, 1, "true", null, {}, []],
})
const callback: Row = {
  of: all,
  standard: undefined,
  good: [() => "token", async () => ({ userId: "me" })],
  bad: ["token", 1, true, null, {}, [], Buffer.from("token")],
}
const MiB = 1024 * 1024

const options: Record<string, Row> = {
  linger: integer(all, 30_000, -1),
  reconnectInterval: integer(all, 100, -1),
  reconnectMaxInterval: integer(all, 0, 0),
  connectTimeout: integer(all, 30_000, 0),
  handshakeInterval: integer(all, 10_000, 1),
  heartbeatInterval: integer(all, -1, -1),
  heartbeatTimeout: integer(all, -1, -1),
  heartbeatTimeToLive: integer(all, 0, 0),
  maxMessageSize: integer(all, 128 * MiB, -1),
  maxMessageParts: integer(all, 65_536, 1),
  backlog: integer(all, 511, 1),
  tcpKeepalive: integer(all, 15_000, -1),
  maxHandshakes: integer(all, 256, 1),
  busyPoll: integer(all, 0, 0, 1_000_000),
  maxPending: integer(all, 65_536, 1),
  immediate: { ...flag(""), of: all },
  auth: callback,
  insecureAuth: { ...flag(""), of: all },
  authenticate: callback,
  sendHighWaterMark: integer(sending, 1000, 0),
  sendHighWaterMarkBytes: integer(sending, 64 * MiB, 0),
  sendTimeout: integer(sending, -1, -1),
  receiveHighWaterMark: integer(receiving, 1000, 0),
  receiveHighWaterMarkBytes: integer(receiving, 64 * MiB, 0),
  receiveTimeout: integer(receiving, -1, -1),
  routingId: {
    of: named("Dealer Request Router"),
    standard: new Uint8Array(0),
    good: [Buffer.from("id"), new Uint8Array(255).fill(1)],
    bad: [
      5,
      true,
      [1],
      {},
      "\0id",
      Buffer.from([0, 1]),
      new Uint8Array(256).fill(1),
      "x".repeat(256),
      new ArrayBuffer(3),
    ],
  },
  conflate: flag("Dealer Pull Push Publisher Subscriber"),
  mandatory: flag("Router"),
  handover: flag("Router"),
  probeRouter: flag("Dealer Request Router"),
  correlate: flag("Request"),
  relaxed: flag("Request"),
  noDrop: flag("Publisher XPublisher"),
  manual: flag("XPublisher"),
  verbosity: {
    of: named("XPublisher"),
    standard: "new",
    good: ["subscriptions", "all", "new"],
    bad: ["", "allSubs", "New", 0, null, true],
  },
  welcomeMessage: {
    of: named("XPublisher"),
    standard: new Uint8Array(0),
    good: [Buffer.from("hello"), new Uint8Array(100_000)],
    bad: [5, true, {}, [1]],
  },
  invertMatching: flag("Publisher Subscriber XPublisher"),
}

const get = (socket: Socket, name: string): unknown => (socket as unknown as Record<string, unknown>)[name]
const set = (socket: Socket, name: string, value: unknown): void => {
  ;(socket as unknown as Record<string, unknown>)[name] = value
}

/** What a call throws, when it isn't an EINVAL that begins with the option's name. */
function unlessRefused(name: string, call: () => unknown): string | undefined {
  try {
    call()
    return "nothing thrown"
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    return code === "EINVAL" && message.startsWith(`${name} must `) ? undefined : message
  }
}

for (const [name, { of, standard, good, bad }] of Object.entries(options))
  t.test(name, async (t) => {
    for (const Class of of) {
      const socket = new Class()
      t.strictSame(get(socket, name), standard, `${Class.name}: its default`)
      for (const value of good) {
        set(socket, name, value)
        t.strictSame(get(socket, name), value, "set as a property")
        t.strictSame(get(new Class({ [name]: value }), name), value, "given to the constructor")
      }
      const before = get(socket, name)
      // What may be absent may be taken away again.
      const taken = [...bad, ...(standard === undefined ? [] : [undefined])].flatMap((value) => {
        const problems = [unlessRefused(name, () => set(socket, name, value))]
        if (value !== undefined) problems.push(unlessRefused(name, () => new Class({ [name]: value })))
        return problems.filter((problem) => problem !== undefined).map((problem) => `${typeof value}: ${problem}`)
      })
      t.strictSame(taken, [], `${Class.name}: what is refused`)
      t.strictSame(get(socket, name), before, "what is refused changes nothing")
      t.strictSame(get(new Class({ [name]: undefined }), name), standard, "undefined given is not given")
      t.strictSame(get(new Class(), name), standard, "one socket's is not another's")
    }
    for (const Class of all.filter((each) => !of.includes(each))) {
      t.notOk(name in new Class(), `${Class.name} has none`)
      t.throws(() => new Class({ [name]: good[0] }), { code: "EINVAL", message: new RegExp(name) })
    }
  })

t.test("-1, for ever, may be written Infinity, as zeromq.js's users do not", async (t) => {
  const push = new Push({ linger: Infinity })
  t.equal(push.linger, -1)
  push.sendTimeout = Infinity
  t.equal(push.sendTimeout, -1)
})

t.test("text is taken where bytes are", async (t) => {
  t.strictSame(new Dealer({ routingId: "détour" }).routingId, Buffer.from("détour"))
  t.strictSame(new XPublisher({ welcomeMessage: "hello" }).welcomeMessage, Buffer.from("hello"))
  const dealer = new Dealer({ routingId: "x" })
  dealer.routingId = null as never
  t.strictSame(dealer.routingId, new Uint8Array(0), "null is none, as with zeromq.js")
})

t.test("what is no option is refused by name", async (t) => {
  for (const name of [
    "sendHighWatermark",
    "ipv6",
    "events",
    "closed",
    "send",
    "toString",
    "constructor",
    "__proto__x",
    "",
  ])
    t.throws(() => new Push({ [name]: 1 }), { code: "EINVAL", message: new RegExp(name) }, name)
  t.throws(() => new Push({ linger: -2 }), { code: "EINVAL", message: /linger must .* not -2/ })
})

t.test("the table has every option there is", async (t) => {
  for (const Class of all) {
    const names = new Set<string>()
    for (
      let proto: object = Class.prototype as object;
      proto !== Object.prototype;
      proto = Object.getPrototypeOf(proto) as object
    )
      for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(proto)))
        if (property.set !== undefined) names.add(name)
    names.delete("onmessage")
    const due = Object.keys(options).filter((name) => options[name]!.of.includes(Class))
    t.strictSame([...names].sort(), due.sort(), Class.name)
  }
})
