/** Checks of options: no name but those there are, since any other is a mistake that would be ignored in silence; and values. */
import { EarshotError } from "../errors.ts"
import { checkNames, checkTimeout, type OptionNames } from "../waiters.ts"

export { checkNames }

/** All names that these options have: the compiler sees to it that none is missing. */
export function namesOf<Options>(names: OptionNames<Options>): object {
  return names
}

/** Of a call that has no other option, in ms. Default 10,000. Throws EINVAL. */
export function timeoutOf(options: { readonly timeout?: number | undefined }, call: string): number {
  checkNames(options, { timeout: true }, call)
  const { timeout = 10_000 } = options
  checkTimeout(timeout)
  return timeout
}

/** Throws EINVAL for anything but a whole number from `least` on, or Infinity. */
export function whole(name: string, value: number, least: number): number {
  if (value === Infinity || (Number.isInteger(value) && value >= least)) return value
  throw new EarshotError("EINVAL", `${name} must be a whole number from ${least}`)
}
