/** Checks of options: no name but those there are, since any other is a mistake that would be ignored in silence; and values. */
import { EarshotError } from "../errors.ts"
import { checkNames as check, type OptionNames } from "../waiters.ts"

/** All names that these options have: the compiler sees to it that none is missing. */
export function namesOf<Options>(names: OptionNames<Options>): object {
  return names
}

/** Of calls that take no more than that. */
export const JUST_TIMEOUT: object = namesOf<{ timeout?: number }>({ timeout: true })

/** Throws EINVAL for what is no object, or has another name. `call`: whose options they are, for people. */
export function checkNames(options: object, names: object, call: string): void {
  if (typeof options !== "object" || (options as unknown) === null)
    throw new EarshotError("EINVAL", `the options of ${call} are an object`)
  check(options, names, call)
}

/** Throws EINVAL for anything but a whole number from `least` on, or Infinity. */
export function whole(name: string, value: number, least: number): number {
  if (value === Infinity || (Number.isInteger(value) && value >= least)) return value
  throw new EarshotError("EINVAL", `${name} must be a whole number from ${least}`)
}
