// A program where none of libp2p's packages is installed: all else is there, and the first use says what is missing.
import { register } from "node:module"

const hook = `export async function resolve(name, context, next) {
  if (!/^(libp2p$|@libp2p\\/|@multiformats\\/)/.test(name)) return next(name, context)
  throw Object.assign(new Error("not here: " + name), { code: "ERR_MODULE_NOT_FOUND" })
}`
register(`data:text/javascript,${encodeURIComponent(hook)}`)

const { Pull, Push, transports } = await import("../../../dist/lib/index.js")
const { libp2p } = await import("../../../dist/transports/libp2p.js")
const { systemClock: clock } = await import("../../../dist/lib/clock.js")
transports.register(libp2p({ listen: ["/ip4/127.0.0.1/tcp/0"] }))
const [pull, push] = [new Pull(), new Push()]
const said = { bind: "done", dial: "done" }
await pull.bind("libp2p://#a").catch((error) => (said.bind = `${error.code} ${error.message}`))
const peer = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
await libp2p()
  .dial(`/ip4/127.0.0.1/tcp/1/p2p/${peer}#a`, { clock, keepalive: -1, backlog: 1 }, new AbortController().signal)
  .catch((error) => (said.dial = error.code))
await pull.bind("tcp://127.0.0.1:*")
void push.connect(pull.lastEndpoint)
await push.send("over tcp")
said.tcp = (await pull.receive()).toString()
await Promise.all([push.close(), pull.close()])
console.log(JSON.stringify(said))
