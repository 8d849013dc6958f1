/** Waiting until the mesh is as a program needs it. */
import { EarshotError } from "../errors.ts"
import type { Hub } from "./hub.ts"
import { checkNames, namesOf } from "./option-checks.ts"
import type { Route } from "./routes.ts"

/** What `ready` waits for. */
export interface ReadyConditions {
  /** So many others are linked, and their interest is known. */
  readonly members?: number | undefined
  /** Somebody subscribes to it, or answers it. */
  readonly subject?: string | undefined
  /** ms. Default 10,000; then TIMEOUT. */
  readonly timeout?: number | undefined
}

const NAMES = namesOf<ReadyConditions>({ members: true, subject: true, timeout: true })

/** `members` may change while it is waited. */
type Conditions = Omit<ReadyConditions, "members"> & { readonly members?: number | undefined | (() => number) }

/** Resolves when all of it is true. Rejects TIMEOUT, or EBADF when the mesh is closed. */
export function ready(hub: Hub, conditions: Conditions): Promise<void> {
  checkNames(conditions, NAMES, "ready")
  const { members: wanted = 0, subject, timeout = 10_000 } = conditions
  hub.checkOpen()
  if (typeof timeout !== "number" || !(timeout >= 0))
    throw new EarshotError("EINVAL", "timeout is a number of milliseconds")
  const count = typeof wanted === "function" ? wanted : (): number => wanted
  if (typeof count() !== "number" || !(count() >= 0)) throw new EarshotError("EINVAL", "members is a number of members")
  if (subject !== undefined) hub.routes.of(subject)
  const met = (): boolean => {
    const members = count()
    if (members === 0 && subject === undefined) return hub.settled
    let known = 0
    for (const member of hub.links.linked) if (member.known) known++
    return known >= members && (subject === undefined || isTaken(hub.routes.of(subject)))
  }
  if (met()) return Promise.resolve()
  const { clock } = hub
  clock.hold()
  return new Promise<void>((resolve, reject) => {
    const stop = hub.asking.hope(() => {
      if (hub.closed) end(() => reject(new EarshotError("EBADF", "the mesh was closed")))
      else if (met()) end(resolve)
    })
    const timer = clock.timeout(() => end(() => reject(new EarshotError("TIMEOUT", explain()))), timeout)
    const end = (settle: () => void): void => {
      stop()
      timer.cancel()
      settle()
    }
    const explain = (): string => {
      const { hint } = hub
      const linked = `${hub.links.linkedCount} members are linked`
      const wanted = subject === undefined ? `${count()} were to be` : `nobody takes ${subject}`
      return `not ready within ${timeout} ms: ${linked}, ${wanted}${hint === undefined ? "" : `; ${hint}`}`
    }
  }).finally(() => clock.release())
}

/** Somebody is there who gets it; members that are lost don't count. */
function isTaken({ plain, ownPlain, groups }: Route): boolean {
  if (ownPlain || plain.some(({ linked }) => linked)) return true
  return groups.some(({ parties }) => parties.some((party) => party?.linked !== false))
}
