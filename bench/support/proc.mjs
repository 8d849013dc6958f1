// What Linux knows about a process of ours: memory, wake-ups and time on a core, all of its threads together.
import { readdirSync, readFileSync } from "node:fs"
import { Missing } from "./child.mjs"

export function needLinux() {
  if (process.platform !== "linux") throw new Missing("not measured: needs Linux's /proc")
}

/** Resident memory in KB (of 1,024 bytes). */
export function resident(pid) {
  return field(`/proc/${pid}/status`, "VmRSS")
}

/** Times a thread was woken up and the ms it ran, since the process began. */
export function activity(pid) {
  let wakes = 0
  let ms = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const path = `/proc/${pid}/task/${task}`
    wakes += field(`${path}/status`, "voluntary_ctxt_switches")
    ms += Number(readFileSync(`${path}/schedstat`, "utf8").split(" ")[0]) / 1e6
  }
  return { wakes, ms }
}

function field(path, name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(path, "utf8"))[1])
}
