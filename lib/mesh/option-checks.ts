/** Checks of options: no name but those there are, since any other is a mistake that would be ignored in silence; and values. */
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

/** Throws EINVAL for anything but a whole number from `least` on, or Infinity. */
export function whole(name: string, value: number, least: number): number {
  if (value === Infinity || (Number.isInteger(value) && value >= least)) return value
  throw new EarshotError("EINVAL", `${name} must be a whole number from ${least}`)
}
