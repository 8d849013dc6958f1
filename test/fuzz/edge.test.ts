// Whatever a user passes where an endpoint, a message, a topic, an option or a listener belongs: it works, or an
// EarshotError says why not. Nothing else is thrown, then or later.
import t from "tap"
import vm from "node:vm"
import {
  codes,
  Dealer,
  EarshotError,
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
  type ErrorCode,
} from "../../lib/index.ts"
import { transports } from "../../lib/defaults.ts"
import { parseEndpoint } from "../../lib/endpoint.ts"
import { virtualClock } from "../support/virtual-clock.ts"
import { cases, type Chance } from "./support/chance.ts"

const classes = [
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
] as const
type Loose = Record<string, (...args: unknown[]) => unknown>

function detached(): ArrayBuffer {
  const buffer = new ArrayBuffer(8)
  structuredClone(buffer, { transfer: [buffer] })
  return buffer
}
function gone<View>(Class: new (buffer: ArrayBuffer) => View): View {
  const buffer = new ArrayBuffer(8)
  const view = new Class(buffer)
  structuredClone(buffer, { transfer: [buffer] })
  return view
}

/** Every type there is, and some of the odder values of each. */
const things: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  0,
  -0,
  1,
  -1,
  1.5,
  NaN,
  Infinity,
  -Infinity,
  2 ** 31,
  2 ** 53,
  1e308,
  0n,
  10n ** 30n,
  "",
  "text",
  "\0",
  "\ud800",
  "0",
  "-1",
  "true",
  "é".repeat(300),
  Symbol("s"),
  Symbol.iterator,
  {},
  [],
  Object.create(null),
  { length: 3 },
  { toString: () => "x" },
  { valueOf: () => 5 },
  () => "x",
  class {
    x = 1
  },
  function* () {},
  async () => {},
  new Date(),
  new Date(NaN),
  /x/,
  new Error("x"),
  new Map(),
  new Set(["x"]),
  new WeakMap(),
  Promise.resolve("x"),
  new Proxy({}, {}),
  new Proxy([], {}),
  new Proxy(() => {}, {}),
  globalThis,
  Math,
  JSON,
  Object("boxed"),
  Object(5),
  Object(Symbol("s")),
  new Uint8Array(3),
  new Uint8Array(0),
  Buffer.from("x"),
  new Float64Array(2),
  new DataView(new ArrayBuffer(4), 1),
  new ArrayBuffer(5),
  new SharedArrayBuffer(5),
  new Uint8Array(new SharedArrayBuffer(5)),
  new BigInt64Array(1),
  detached(),
  gone(Uint8Array),
  gone(Float64Array),
  gone(DataView),
  vm.runInNewContext("new Uint8Array([1, 2])"),
  vm.runInNewContext("['x', 'y']"),
  vm.runInNewContext("new ArrayBuffer(3)"),
  [[]],
  [undefined],
  [null],
  ["x", {}],
  ["x", ["y"]],
  new Array(3),
  [1, 2, "three"],
  Object.assign([], { length: 2 ** 32 - 1 }),
  new AbortController(),
  AbortSignal.abort(),
  new EventTarget(),
]

function name(value: unknown): string {
  try {
    // Fit for the test's output.
    const text = String(value)
      .slice(0, 30)
      .replace(/[^ -~]/g, "?")
    return `${typeof value} ${Object.prototype.toString.call(value)} ${text}`
  } catch {
    return typeof value
  }
}

/** Runs it and tells its code; `ok` without an error. Throws for an error that is not ours. */
async function outcome(run: () => unknown): Promise<ErrorCode | "ok"> {
  try {
    await run()
    return "ok"
  } catch (error) {
    if (error instanceof EarshotError && Object.hasOwn(codes, error.code) && error.message.length < 2000)
      return error.code
    throw error
  }
}

const surprises: string[] = []
process.on("unhandledRejection", (reason) => surprises.push(`unhandled rejection: ${String(reason)}`))
process.on("uncaughtException", (error) => surprises.push(`uncaught exception: ${error.stack}`))

t.test("endpoints of any type", async (t) => {
  const socket = new Pair()
  const given = { signal: AbortSignal.abort(new EarshotError("ECANCELED")) }
  for (const value of things)
    for (const method of ["bind", "connect", "unbind", "disconnect"]) {
      const code = await outcome(() => (socket as unknown as Loose)[method]!(value, given))
      t.equal(code, "EINVAL", `${method}(${name(value)})`)
    }
  await socket.close()
})

t.test("endpoints of any characters", async (t) => {
  const socket = new Pair()
  // Checked, and not gone on with: nothing is dialled or bound.
  const given = { signal: AbortSignal.abort(new EarshotError("ECANCELED")) }
  const counts: Record<string, number> = {}
  await cases(t, 5000, async (chance) => {
    const endpoint = someEndpoint(chance)
    for (const method of ["bind", "connect", "unbind", "disconnect"]) {
      const code = await outcome(() => (socket as unknown as Loose)[method]!(endpoint, given))
      if (
        ![
          "EINVAL",
          "EPROTONOSUPPORT",
          "ENOTSUP",
          method.includes("un") || method.startsWith("dis") ? "ENOENT" : "ECANCELED",
        ].includes(code)
      )
        throw new Error(`${method}(${JSON.stringify(endpoint)}): ${code}`)
      counts[code] = (counts[code] ?? 0) + 1
      if (code !== "ECANCELED") continue
      // What is normal stays as it is.
      const { scheme, address } = parseEndpoint(endpoint)
      const side = method as "bind" | "connect"
      const normal = transports.get(scheme).check(address, side)
      const again = transports.get(scheme).check(normal, side)
      if (again !== normal) throw new Error(`${side} ${endpoint}: ${normal}, then ${again}`)
    }
  })
  for (const code of ["EINVAL", "EPROTONOSUPPORT", "ECANCELED", "ENOENT"])
    t.ok(counts[code]! > 100, `${counts[code]} times ${code}`)
  await socket.close()
})

function someEndpoint(chance: Chance): string {
  const scheme = chance.pick([
    "tcp",
    "tcp",
    "tcp",
    "ipc",
    "inproc",
    "udp",
    "ws",
    "TCP",
    "",
    "t p",
    "ipc+x",
    "__proto__",
    "constructor",
  ])
  const colon = chance.maybe(0.95) ? "://" : chance.pick([":", ":/", "//", ":///", ""])
  const hosts = [
    "127.0.0.1",
    "localhost",
    "*",
    "[::1]",
    "[::]",
    "[fe80::1%eth0]",
    "[fe80::1%]",
    "::1",
    "[::1",
    "[]",
    "256.1.1.1",
    "1.2.3",
    "0x7f.1",
    "-",
    "a-.b",
    "é.example",
    "_x",
    "a..b",
    "lo",
    "x".repeat(300),
    "user@host",
    "[::ffff:1.2.3.4]",
    "[1.2.3.4]",
  ]
  const ports = [
    "5555",
    "*",
    "0",
    "1",
    "65535",
    "65536",
    "99999",
    "-1",
    "",
    " 5",
    "5 ",
    "0x10",
    "1e3",
    "5.5",
    "٣",
    "00080",
    "*5",
  ]
  const place = (): string => `${chance.pick(hosts)}${chance.maybe(0.95) ? ":" : ""}${chance.pick(ports)}`
  let address =
    scheme === "tcp"
      ? place()
      : chance.pick([
          "name",
          "/tmp/x",
          "@abstract",
          "@",
          "*",
          "",
          "x".repeat(200),
          "a\0b",
          "ü",
          "../x",
          "C:\\pipe",
          " ",
        ])
  if (chance.maybe(0.2)) address = `${place()};${address}`
  let endpoint = `${scheme}${colon}${address}`
  while (chance.maybe(0.3)) {
    const at = chance.below(endpoint.length + 1)
    const what = chance.pick([
      "",
      ":",
      "/",
      "[",
      "]",
      "%",
      ";",
      "*",
      "@",
      "\n",
      "\0",
      "\ud800",
      "💥",
      " ",
      "x".repeat(1000),
      String.fromCharCode(chance.below(0xffff)),
    ])
    endpoint = endpoint.slice(0, at) + what + endpoint.slice(at + chance.below(3))
  }
  return endpoint
}

t.test("messages of any type", async (t) => {
  for (const Class of [Push, Pair, Publisher, Dealer, Router, Request, Reply, XPublisher, XSubscriber]) {
    const clock = virtualClock()
    const socket = new Class({ clock, sendTimeout: 0 }) as unknown as Loose & { close(): Promise<void> }
    for (const value of things) {
      const tried = await outcome(() => socket.trySend!(value))
      const sent = await outcome(() => socket.send!(value))
      if (!["ok", "EINVAL", "EFSM", "EAGAIN"].includes(tried) || !["ok", "EINVAL", "EFSM", "EAGAIN"].includes(sent))
        t.fail(`${Class.name} ${name(value)}: ${tried} ${sent}`)
      // Whether it is a message doesn't hang on who is there.
      t.equal(tried === "EINVAL", sent === "EINVAL", `${Class.name}: ${name(value)}: ${sent}`)
      if ("request" in socket) {
        const asked = await outcome(() => clock.until(socket.request!(value, { timeout: 10 }) as Promise<unknown>))
        t.match(asked, /^(EINVAL|TIMEOUT)$/, `request(${name(value)})`)
      }
    }
    await clock.until(socket.close())
    t.equal(clock.holds, 0)
  }
})

t.test("messages arrive as what they were", async (t) => {
  const [push, pull] = [new Push(), new Pull()]
  await push.bind("inproc://edge")
  pull.connect("inproc://edge").catch(() => {})
  const text = (value: unknown): string => JSON.stringify(value)
  const given: [unknown, string[]][] = [
    ["é", ["é"]],
    [5, ["5"]],
    [null, [""]],
    [
      ["a", null, 1.5, Buffer.from("b")],
      ["a", "", "1.5", "b"],
    ],
    [new Uint16Array([0x4141, 0x4242]).subarray(1), ["BB"]],
    [new DataView(Buffer.from("abcd").buffer.slice(0, 0)), [""]],
    [vm.runInNewContext("['x', new Uint8Array([65])]"), ["x", "A"]],
    [gone(Uint8Array), [""]],
  ]
  for (const [value, frames] of given) {
    await push.send(value as string)
    t.strictSame((await pull.receive()).map(String), frames, text(frames))
  }
  await Promise.all([push.close(), pull.close()])
})

t.test("topics of any type", async (t) => {
  const [sub, pub, xpub] = [new Subscriber(), new Publisher(), new XPublisher({ manual: true })]
  for (const value of things) {
    const codes = [
      await outcome(() => (sub as unknown as Loose).subscribe!(value)),
      await outcome(() => (sub as unknown as Loose).unsubscribe!(value)),
      value === undefined ? "EINVAL" : await outcome(() => (pub as unknown as Loose).subscribers!(value)),
    ]
    t.equal(new Set(codes).size, 1, `${name(value)}: ${codes.join()}`)
    t.match(await outcome(() => (xpub as unknown as Loose).subscribe!(value)), /^(EINVAL|EHOSTUNREACH)$/)
  }
  await Promise.all([sub.close(), pub.close(), xpub.close()])
})

t.test("options of any value", async (t) => {
  for (const Class of classes) {
    const probe = new Class()
    const names: string[] = []
    for (let at: object = probe; at !== Object.prototype; at = Object.getPrototypeOf(at) as object)
      for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(at)))
        if (property.set !== undefined && name !== "onmessage") names.push(name)
    t.ok(names.length >= 15, `${Class.name} has ${names.length} options`)
    for (const option of names) {
      for (const value of things) {
        const set = await outcome(() => Object.assign(probe, { [option]: value }))
        const made = await outcome(() => new Class({ [option]: value }))
        const about = `${Class.name} ${option} = ${name(value)}`
        // Given to the constructor, undefined is as good as not given; a property takes it only where that is the default.
        const unset = option === "auth" || option === "authenticate" ? "ok" : "EINVAL"
        if (set !== (value === undefined ? unset : made)) t.fail(`${about}: ${set} and ${made}`)
        if (set !== "ok" && set !== "EINVAL") t.fail(`${about}: ${set}`)
      }
    }
    for (const strange of [
      "",
      "__proto__",
      "constructor",
      "toString",
      "send",
      "close",
      "core",
      "Linger",
      "clock2",
      "onmessage",
      "events",
      "closed",
    ])
      t.equal(
        await outcome(() => new Class(Object.fromEntries([[strange, 1]]))),
        "EINVAL",
        `${Class.name}: no option ${strange}`,
      )
    for (const value of things) {
      t.match(await outcome(() => new Class(value as object)), /^(ok|EINVAL)$/, `new ${Class.name}(${name(value)})`)
      if (value !== undefined)
        t.equal(await outcome(() => new Class({ clock: value as never })), "EINVAL", `the clock ${name(value)}`)
    }
    await probe.close()
  }
})

t.test("listeners and handlers of any type", async (t) => {
  const pull = new Pull()
  for (const value of things) {
    const fits = typeof value === "function"
    t.equal(await outcome(() => pull.events.on("bind", value as never)), fits ? "ok" : "EINVAL", `on(${name(value)})`)
    t.equal(
      await outcome(() => pull.events.once("bind", value as never)),
      fits ? "ok" : "EINVAL",
      `once(${name(value)})`,
    )
    if (fits) pull.events.off("bind", value as never)
    const set = await outcome(() => (pull.onmessage = value as never))
    t.equal(set, fits || value === undefined ? "ok" : "EINVAL", `onmessage = ${name(value)}`)
    pull.onmessage = undefined
    t.equal(await outcome(() => pull.events.on(value as never, () => {})), "EINVAL", `on(${name(value)}, …)`)
  }
  await pull.close()
})

t.test("what calls take besides, of any type", async (t) => {
  const clock = virtualClock()
  const options = { clock, sendTimeout: 5, receiveTimeout: 5, linger: 0 }
  const [pair, request, pub] = [new Pair(options), new Request(options), new Publisher({ clock })]
  const plain = pair as unknown as Loose
  const later =
    (run: () => unknown): (() => unknown) =>
    async () =>
      clock.until(Promise.resolve(run()), 60_000)
  for (const value of things) {
    const signal = { signal: value }
    const about = name(value)
    for (const [call, run] of [
      ["send", () => plain.send!("x", signal)],
      ["receive", () => plain.receive!(signal)],
      ["receiveMany", () => plain.receiveMany!(2, signal)],
      ["request", () => (request as unknown as Loose).request!("x", { ...signal, timeout: 5 })],
      ["bind", () => plain.bind!("inproc://*", signal)],
    ] as const) {
      if (value instanceof AbortSignal) continue
      const wanted = value === undefined || value === null ? /^(EAGAIN|TIMEOUT|ok)$/ : /^EINVAL$/
      t.match(await outcome(later(run)), wanted, `${call}, the signal ${about}`)
    }
    t.match(await outcome(later(() => plain.receiveMany!(value))), /^(EINVAL|EAGAIN)$/, `receiveMany(${about})`)
    // For ever, where that is what it means.
    if (value === Infinity || value === -Infinity || (typeof value === "number" && (value < 0 || value > 1e9))) continue
    for (const [call, run] of [
      ["request", () => (request as unknown as Loose).request!("x", { timeout: value })],
      ["ready", () => (pub as unknown as Loose).ready!({ timeout: value })],
    ] as const) {
      const wanted =
        typeof value === "number" && !Number.isNaN(value) ? /^TIMEOUT$/ : value === undefined ? /^TIMEOUT$/ : /^EINVAL$/
      t.match(await outcome(later(run)), wanted, `${call}, the timeout ${about}`)
    }
    t.match(
      await outcome(later(() => (request as unknown as Loose).request!("x", { timeout: 5, retries: value }))),
      /^(TIMEOUT|EINVAL)$/,
    )
  }
  await clock.until(Promise.all([pair.close(), request.close(), pub.close()]))
  t.equal(clock.holds, 0, "nothing keeps the process alive")
  t.equal(clock.timers, 0, "no timer is left")
})

t.test("nothing came up later", async (t) => {
  await new Promise((resolve) => setImmediate(resolve))
  t.strictSame(surprises, [])
})
