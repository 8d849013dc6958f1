// A member of a mesh, as built, in a process of its own. Its argument: { join, seeds, mdns, subscribe, serve, publish: { subject,
// every } }. Takes commands as lines of JSON, and says what happens as lines of JSON.
import { createInterface } from "node:readline"
import { Mesh, mdns, seeds } from "../../../dist/lib/mesh/index.js"

const {
  join = {},
  seeds: places = [],
  multicast = false,
  subscribe = [],
  serve = [],
  publish,
  size = 0,
} = JSON.parse(process.argv[2])
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`)
const mesh = await Mesh.join({
  ...join,
  discovery: [...(places.length > 0 ? [seeds(...places)] : []), ...(multicast ? [mdns()] : [])],
})
const at = () => Math.round(performance.now())
for (const name of ["join", "leave", "update"])
  mesh.on(name, ({ member, reason }) => say({ [name]: member.name, reason, endpoints: member.endpoints, at: at() }))
mesh.on("gap", ({ member, direction, count }) => say({ gap: member.name, direction, count, at: at() }))
mesh.on("clash", ({ id, member }) => say({ clash: id, with: member.name, now: mesh.id }))
mesh.on("error", ({ error }) => say({ error: error.message }))
mesh.on("denied", ({ what, reason }) => say({ denied: what, reason }))

/** Of each publisher: numbers in the order in which they came. */
const got = new Map()
for (const pattern of subscribe)
  mesh.subscribe(pattern, { queueSize: 100_000 }, ({ subject, data }) => {
    let seen = got.get(subject)
    if (seen === undefined) got.set(subject, (seen = { count: 0, last: data.n - 1, wrong: 0, missing: 0 }))
    seen.count++
    // Behind or twice; ahead is a hole.
    if (data.n <= seen.last) seen.wrong++
    else seen.missing += data.n - seen.last - 1
    seen.last = Math.max(seen.last, data.n)
    seen.at = at()
  })
for (const subject of serve) mesh.serve(subject, () => mesh.name)

let published = 0
let timer
const filler = "x".repeat(size)
const begin = ({ subject, every }) => {
  const began = performance.now()
  const from = published
  timer = setInterval(() => {
    while (published - from < (performance.now() - began) / every) mesh.tryPublish(subject, { n: published++, filler })
  }, every)
}
if (publish !== undefined) begin(publish)

const commands = {
  publish: begin,
  stop: () => {
    clearInterval(timer)
    say({ published })
  },
  report: () => say({ report: Object.fromEntries(got) }),
  members: () => say({ members: [...mesh.members.values()].map(({ name }) => name).sort(), at: at() }),
  ask: async ({ subject, timeout = 3000 }) => {
    const began = at()
    try {
      say({ asked: subject, answer: await mesh.request(subject, null, { timeout }), took: at() - began })
    } catch (error) {
      say({ asked: subject, failed: error.code, message: error.message, took: at() - began })
    }
  },
  diagnose: async () => say({ diagnosis: await mesh.diagnose?.() }),
  close: async () => {
    await mesh.close()
    process.exit()
  },
}
createInterface(process.stdin)
  .on("line", (line) => {
    const [name, argument] = Object.entries(JSON.parse(line))[0]
    void commands[name](argument)
  })
  .on("close", () => void commands.close())
say({ joined: mesh.name, id: mesh.id, endpoints: mesh.endpoints, at: at() })
