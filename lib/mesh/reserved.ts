/**
 * Which subjects a program may use itself. Reserved ones (first token `$…` or `_INBOX`) belong to the mesh: nobody publishes
 * to them, subscribes to them or serves them, so that what a member answers there is its own word. What is answered under
 * `$EARSHOT.` and `$SRV.` may be asked for.
 */
import { EarshotError } from "../errors.ts"
import { checkPattern, checkSubject, isReserved } from "./subject.ts"

/** For `publish`. Throws INVALID_SUBJECT; whether it is a subject at all is found out when it is looked up. */
export function checkPublished(subject: string): string {
  if (typeof subject !== "string") checkSubject(subject)
  if (isReserved(subject)) throw refusal(subject, "published to")
  return subject
}

/** The same for `request`. */
export function checkAsked(subject: string): string {
  if (typeof subject !== "string") checkSubject(subject)
  if (isReserved(subject) && !/^\$(EARSHOT|SRV)\./.test(subject)) throw refusal(subject, "asked")
  return subject
}

/** For `subscribe`, `serve` and `sample`. Throws INVALID_SUBJECT. */
export function checkWanted(pattern: string): string {
  checkPattern(pattern)
  if (isReserved(pattern)) throw refusal(pattern, "subscribed to, served or sampled")
  return pattern
}

function refusal(subject: string, what: string): EarshotError {
  return new EarshotError("INVALID_SUBJECT", `${subject.slice(0, 100)} is reserved: it can't be ${what}`)
}
