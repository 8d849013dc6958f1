/** What options of calls are called. Any other name is a mistake, and would be ignored in silence. */
import { EarshotError } from "../errors.ts"

/** All names that these options have: the compiler sees to it that none is missing. */
export function namesOf<Options>(names: Readonly<Record<keyof Options, true>>): ReadonlySet<string> {
  return new Set(Object.keys(names))
}

/** Of calls that take no more than that. */
export const JUST_TIMEOUT: ReadonlySet<string> = namesOf<{ timeout?: number }>({ timeout: true })

/** Throws EINVAL for what is no object, or has another name. `call`: whose options they are, for people. */
export function checkNames(options: object, names: ReadonlySet<string>, call: string): void {
  if (typeof options !== "object" || (options as unknown) === null)
    throw new EarshotError("EINVAL", `the options of ${call} are an object`)
  for (const name in options) if (!names.has(name)) throw new EarshotError("EINVAL", `${call} has no option ${name}`)
}
