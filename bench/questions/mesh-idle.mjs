// How much resident memory has an idle member, above a Node process that holds nothing but a timer? `Mesh.join()` with default
// options, one subscription, and another member linked, in a process of its own; both found each other by mDNS on loopback.
import { needLinux, resident } from "../support/proc.mjs"
import { start } from "../support/sides.mjs"

export function meshIdle() {
  const name = "mesh: idle member"
  return [
    {
      name,
      sides: ["net", "mesh"],
      rows: [
        {
          name,
          ours: "mesh",
          theirs: "net",
          rival: "bare node",
          figure: "mb",
          unit: "MB RSS",
          mark: { on: "more", most: 15 },
        },
      ],
      run: (side) => (side === "net" ? bare() : member()),
    },
  ]
}

async function bare() {
  needLinux()
  const child = start("net", "bare", {}, ["--expose-gc"])
  try {
    await child.answer()
    return { mb: resident(child.pid) / 1024 }
  } finally {
    await child.stop()
  }
}

async function member() {
  needLinux()
  const network = `bench-${process.pid}`
  const pair = [1, 2].map(() => start("mesh", "idle", { network }, ["--expose-gc"]))
  try {
    await Promise.all(pair.map((child) => child.answer()))
    return { mb: resident(pair[0].pid) / 1024 }
  } finally {
    await Promise.all(pair.map((child) => child.stop()))
  }
}
