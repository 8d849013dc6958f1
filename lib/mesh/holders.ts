/** Up to here it is quicker to look through an array than through a map or a set. */
export const FEW = 16

/** Who stands under one pattern: at least one value, mostly exactly one, and no value twice. */
export class Holders<Value> {
  /** Any of them: for most patterns all there is. */
  first: Value
  /** The others. */
  more: Value[] | undefined
  /** Where in `more` each is, once they are many. */
  private places: Map<Value, number> | undefined

  constructor(first: Value) {
    this.first = first
    this.more = undefined
    this.places = undefined
  }

  has(value: Value): boolean {
    return value === this.first || this.placeOf(value) !== -1
  }

  /** False when it is there already. */
  add(value: Value): boolean {
    if (this.has(value)) return false
    const more = (this.more ??= [])
    more.push(value)
    if (this.places !== undefined) this.places.set(value, more.length - 1)
    else if (more.length > FEW) this.places = new Map(more.map((one, place) => [one, place]))
    return true
  }

  /** What is left when a value that is there has gone; undefined when that was the last. */
  without(value: Value): this | undefined {
    const { more, places } = this
    if (more === undefined) return undefined
    const place = value === this.first ? -1 : this.placeOf(value)
    const last = more.pop()!
    places?.delete(value)
    if (place === -1) {
      this.first = last
      places?.delete(last)
    } else if (place < more.length) {
      more[place] = last
      places?.set(last, place)
    }
    if (more.length === 0) this.more = this.places = undefined
    return this
  }

  /** All of them, in an array of the caller's own. */
  values(): Value[] {
    return this.more === undefined ? [this.first] : [this.first, ...this.more]
  }

  private placeOf(value: Value): number {
    if (this.places !== undefined) return this.places.get(value) ?? -1
    return this.more === undefined ? -1 : this.more.indexOf(value)
  }
}

/** The values of all, each once, in an array of the caller's own. */
export function valuesOf<Value>(holders: readonly Holders<Value>[]): Value[] {
  if (holders.length === 0) return []
  const values = holders[0]!.values()
  let known: Set<Value> | undefined
  const add = (value: Value): void => {
    if (values.length > FEW) known ??= new Set(values)
    if (known === undefined ? values.includes(value) : known.has(value)) return
    known?.add(value)
    values.push(value)
  }
  for (let i = 1; i < holders.length; i++) {
    const { first, more } = holders[i]!
    add(first)
    if (more !== undefined) for (const value of more) add(value)
  }
  return values
}
