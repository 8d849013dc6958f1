/**
 * What consoles, JSON and the reports of test runners show of an object that users hold: its facts. Without it they walk through
 * all that stands behind it, in circles.
 */

/** Asked for by the consoles of Node, Bun and Deno, which lend their own printer, and by chai, which doesn't. */
const INSPECT: unique symbol = Symbol.for("nodejs.util.inspect.custom")

/** From now on all objects of this class are shown as their facts. */
export function show<Shown extends object>(type: { readonly prototype: Shown }, facts: (shown: Shown) => object): void {
  const prototype = type.prototype as { toJSON?: unknown; [INSPECT]?: unknown }
  prototype.toJSON = function (this: Shown): object {
    return facts(this)
  }
  prototype[INSPECT] = function (this: Shown, _depth: number, options: object, inspect?: Inspect): unknown {
    return inspect === undefined ? facts(this) : `${this.constructor.name} ${inspect(facts(this), options)}`
  }
  for (const name of ["toJSON", INSPECT]) Object.defineProperty(prototype, name, { enumerable: false })
}

type Inspect = (value: unknown, options: object) => string
