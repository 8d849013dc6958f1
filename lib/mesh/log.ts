/** EARSHOT_LOG: the mesh's events as lines for people. Who comes, and what discovery and the links noticed, finder.ts tells. */
import type { Events } from "../events.ts"
import type { LogLevel } from "./contract.ts"
import type { MemberInfo, MeshEvents } from "./events.ts"

export function logEvents(events: Events<MeshEvents>, log: (level: LogLevel, text: string) => void): void {
  events.on("leave", ({ member, reason }) => log("info", `${called(member)} is gone: ${reason}`))
  events.on("update", ({ member }) => log("debug", `${called(member)} says something new of itself`))
  events.on("slow", ({ subject, member, full }) => {
    const what = member === undefined ? `the subscription to ${subject}` : `the link to ${called(member)}`
    log("debug", `${what} ${full ? "is full" : "has room again"}`)
  })
  events.on("drop", ({ reason, subject, member, count, bytes }) => {
    const about = subject === undefined ? "" : ` about ${subject}`
    const whose = member === undefined ? "" : ` (${member.name})`
    log("info", `dropped ${count} messages${about}${whose}, ${bytes} bytes: ${reason}`)
  })
  events.on("gap", ({ member, direction, count }) => {
    const way = direction === "sent" ? "to" : "from"
    log("info", `${count ?? "nobody knows how many"} messages ${way} ${called(member)} are missing`)
  })
  events.on("denied", ({ what, subject, member, reason }) => {
    const about = [subject, member].filter((each) => each !== undefined).join(", ")
    log("info", `denied: ${what}${about === "" ? "" : ` (${about})`}: ${reason}`)
  })
  events.on("error", ({ error, subject }) =>
    log("info", `error${subject === undefined ? "" : ` in ${subject}`}: ${error.message}`),
  )
}

const called = ({ name, id }: MemberInfo): string => `${name} (${id})`
