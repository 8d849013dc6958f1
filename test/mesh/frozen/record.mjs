// Writes <version>.json: all that a member of this version said in a session in which it took part in everything, as
// bytes. test/mesh/protocol.test.ts replays it against the code as it will be. Run once for each minor version, never again:
//
//   npm run build && node test/mesh/frozen/record.mjs
import { writeFileSync } from "node:fs"
import { Mesh, seeds } from "../../../dist/lib/mesh/index.js"
import { Kind, MAJOR, MINOR } from "../../../dist/lib/mesh/wire.js"
import { Pipe } from "../../../dist/lib/pipe.js"

const nameOf = (kind) => Object.keys(Kind).find((name) => Kind[name] === kind)
const said = []
// oxlint-disable-next-line typescript/unbound-method
const { send } = Pipe.prototype
Pipe.prototype.send = function (message) {
  // The member that is recorded is the one that dials.
  if (this.dialled) said.push([nameOf(message[0][0]), ...message.map((frame) => Buffer.from(frame).toString("base64"))])
  return send.call(this, message)
}

const network = "frozen"
const other = await Mesh.join({ name: "other", network, discovery: [], listen: ["tcp://127.0.0.1:0"] })
other.subscribe("now.plain", () => {})
other.subscribe("now.work", { queue: "crew" }, () => {})
other.serve("now.add", ([a, b]) => a + b)
other.serve("now.slow", (_, call) => new Promise((resolve) => call.signal.addEventListener("abort", resolve)))

const frozen = await Mesh.join({
  name: "frozen",
  network,
  listen: ["tcp://127.0.0.1:0"],
  discovery: [seeds(other.endpoints[0])],
  meta: { role: "relic" },
})
let release
frozen.subscribe("frozen.plain.*", () => {})
frozen.subscribe("frozen.work", { queue: "crew", concurrency: 1, prefetch: 0 }, () => new Promise((r) => (release = r)))
// Late enough to be accepted first.
frozen.serve("frozen.add", ([a, b]) => new Promise((resolve) => setTimeout(() => resolve(a + b), 100)))
frozen.serve("frozen.fail", () => {
  throw Object.assign(new Error("as promised"), { code: "E_PROMISED" })
})
await frozen.ready({ members: 1 })
await frozen.flush()

await frozen.publish("now.plain", { n: 1 }, { headers: { via: ["a", "b"] } })
await frozen.publish("now.work", "job")
await frozen.publish("now.plain", new Uint8Array(5000), { confirm: true })
await frozen.request("now.add", [1, 2])
await frozen.request("now.slow", null, { signal: AbortSignal.timeout(200) }).catch(() => {})
await other.publish("frozen.plain.x", 1, { confirm: true })
await other.request("frozen.add", [2, 3])
await other.request("frozen.fail").catch(() => {})
await other.publish("frozen.work", "job")
await new Promise((resolve) => setTimeout(resolve, 200))
release()
frozen.setMeta({ role: "relic", mood: "fine" })
const short = frozen.subscribe("frozen.short", () => {})
await other.flush()
short.unsubscribe()
const samples = []
for (const [by, pattern] of [
  [other, "frozen.sampled"],
  [frozen, "now.sampled"],
]) {
  const sampling = by.sample(pattern)[Symbol.asyncIterator]()
  samples.push(sampling, sampling.next())
}
await Promise.all([frozen.flush(), other.flush()])
await frozen.publish("frozen.sampled", "one of many")
await other.publish("now.sampled", "another")
await samples[1]
await samples[3]
await samples[2].return()
// Until the digest has come.
await new Promise((resolve) => setTimeout(resolve, 12_000))
await frozen.close()
await other.close()

const lines = said.map((message) => `  ${JSON.stringify(message)}`)
writeFileSync(new URL(`${MAJOR}.${MINOR}.json`, import.meta.url), `[\n${lines.join(",\n")}\n]\n`)
