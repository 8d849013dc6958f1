// A member of a mesh, as built, in a process of its own, that takes what others send in its own time. Its argument: { seed, role,
// … }; commands and answers are messages of the channel to its parent.
import { Mesh, seeds } from "../../../dist/lib/mesh/index.js"

const { seed, role, name = role, join = {}, ...options } = JSON.parse(process.argv[2])
const say = (what) => process.send(what)
const mesh = await Mesh.join({
  name: options.pattern ?? name,
  network: "overload",
  listen: ["tcp://127.0.0.1:0"],
  discovery: seed === undefined ? [] : [seeds(seed)],
  ...join,
})
mesh.on("gap", ({ direction, count }) => say({ gap: direction, count }))
mesh.on("leave", ({ member }) => say({ leave: member.name }))
process.on("disconnect", () => process.exit())

const commands = {
  memory: () => process.memoryUsage().rss,
  stats: () => mesh.stats(),
  close: () => mesh.close(),
}

const roles = {
  /** Takes messages, one after the other; with `stall` each keeps the whole process busy for so many ms. */
  sink({ pattern, stall = 0, progress = 0 }) {
    const seen = { count: 0, last: -1, wrong: 0, missing: 0 }
    mesh.subscribe(pattern, { queueSize: 1_000_000, queueBytes: 2 ** 30 }, ({ data: { n } }) => {
      seen.count++
      if (n <= seen.last) seen.wrong++
      else seen.missing += n - seen.last - 1
      seen.last = Math.max(seen.last, n)
      if (progress > 0 && (n + 1) % progress === 0) mesh.tryPublish("progress", n)
      const end = performance.now() + stall
      while (performance.now() < end);
    })
    commands.report = () => seen
    commands.hurry = () => void (stall = 0)
  },

  /** So many more members, each told of the seed only; says when all of them are linked with `total - 1` others. */
  async crowd({ count, total, patience }) {
    const more = Array.from({ length: count - 1 }, (_, i) =>
      Mesh.join({
        name: `${name} ${i}`,
        network: join.network,
        listen: ["tcp://127.0.0.1:0"],
        discovery: [seeds(seed)],
        observe: false,
      }),
    )
    const all = [mesh, ...(await Promise.all(more))]
    await Promise.all(all.map((each) => each.ready({ members: total - 1, timeout: patience })))
    say({ complete: process.cpuUsage() })
  },

  /** Answers each request after so many ms. */
  server({ subject, ms, ...options }) {
    mesh.serve(subject, () => new Promise((resolve) => setTimeout(resolve, ms)), options)
    // Accepted, and not answered.
    commands.open = () => mesh.hub.answering.size
  },
}

roles[role](options)
async function obey([command, argument]) {
  say({ [command]: (await commands[command](argument)) ?? null })
}
process.on("message", (message) => void obey(Object.entries(message)[0]))
