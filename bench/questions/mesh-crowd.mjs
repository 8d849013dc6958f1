// Many members on one machine, in four processes: how long until all are linked, what do they cost when nothing happens, how soon
// does one that dies leave every table, and is anything lost between those that stay while a fifth restarts under load?
// Nobody else can be asked the same, so these rows have no rival. All of it takes some six minutes.
import { spawnSync } from "node:child_process"
import { start } from "../support/sides.mjs"

const MEMBERS = 200

export function meshCrowd() {
  const row = (name, figure, unit, mark) => ({
    name,
    ours: "mesh",
    figure,
    unit,
    ...(mark && { mark: { on: "ours", ...mark } }),
  })
  const contest = (name, args, rows) => ({ name, rounds: 1, sides: ["mesh"], rows, run: () => play(args) })
  const all = `mesh of ${MEMBERS} members`
  return [
    contest(all, { scene: "full", total: MEMBERS }, [
      row(`${all}, all linked and ready after the last start`, "linked", "ms", { most: 15_000, ambition: 5000 }),
      row(`${all}, idle, processor of one`, "cpu", "% of a core", { most: 0.5 }),
      row(`${all}, memory, share of one`, "rss", "MB RSS"),
      row(`${all}, a restart under load, nothing lost`, "restarts", "ms"),
    ]),
    ...[10, 50, 100].map((total) => {
      const name = `idle mesh of ${total} members`
      return contest(name, { scene: "idle", total }, [
        row(`${name}, traffic`, "bytes", "B/s"),
        row(`${name}, packets`, "packets", "packets/s"),
      ])
    }),
    ...["SIGKILL", "SIGSTOP"].map((signal) => {
      const name = `one of 100 members gets ${signal}`
      return contest(name, { scene: "gone", total: 100, signal }, [
        row(`${name}, gone from every table`, "ms", "ms", signal === "SIGKILL" ? { most: 6000 } : undefined),
      ])
    }),
  ]
}

async function play(args) {
  const own = isolated.length > 0 ? 1 : 0
  const host = start("mesh-crowd", "host", { ...args, private: own }, [], isolated)
  try {
    for (;;) {
      const { done, ...figures } = await host.answer()
      if (done) return figures
    }
  } finally {
    await host.stop()
  }
}

/** What goes before a command to give it a network of its own; nothing where that can't be done. */
const isolated = spawnSync("unshare", ["-n", "ip", "link", "set", "lo", "up"]).status === 0 ? ["unshare", "-n"] : []
