/**
 * Who stands under one pattern: at least one value, and none twice. Mostly there is exactly one, and then it stands for
 * itself: tables are large, and an object for each would be a third of their memory and of the time of a search.
 */
export type Holders<Value extends {}> = Value | Several<Value>

/** Up to here it is quicker to look through an array than through a map or a set. */
const FEW = 16

/** Two values or more. */
class Several<Value extends {}> {
  readonly values: Value[]
  /** Where in `values` each is, once they are many. */
  private places: Map<Value, number> | undefined

  constructor(values: Value[]) {
    this.values = values
    this.places = undefined
  }

  placeOf(value: Value): number {
    return this.places === undefined ? this.values.indexOf(value) : (this.places.get(value) ?? -1)
  }

  /** One that is not there. */
  add(value: Value): void {
    this.values.push(value)
    if (this.places !== undefined) this.places.set(value, this.values.length - 1)
    else if (this.values.length > FEW) this.places = new Map(this.values.map((one, place) => [one, place]))
  }

  /** The last one takes the place of the one that goes. */
  remove(place: number): void {
    const { values, places } = this
    const last = values.pop()!
    places?.delete(values[place] ?? last)
    if (place === values.length) return
    values[place] = last
    places?.set(last, place)
  }
}

export function holds<Value extends {}>(holders: Holders<Value>, value: Value): boolean {
  return holders instanceof Several ? holders.placeOf(value) !== -1 : holders === value
}

/** With one more, which isn't there. What was given must not be used any more. */
export function including<Value extends {}>(holders: Holders<Value> | undefined, value: Value): Holders<Value> {
  if (holders === undefined) return value
  if (!(holders instanceof Several)) return new Several([holders, value])
  holders.add(value)
  return holders
}

/** Without one that is there; undefined when it was the last. What was given must not be used any more. */
export function excluding<Value extends {}>(holders: Holders<Value>, value: Value): Holders<Value> | undefined {
  if (!(holders instanceof Several)) return undefined
  holders.remove(holders.placeOf(value))
  return holders.values.length === 1 ? holders.values[0] : holders
}

/** The values of all, each once, in an array of the caller's own. */
export function valuesOf<Value extends {}>(all: readonly Holders<Value>[]): Value[] {
  const [first] = all
  if (first === undefined) return []
  const values = first instanceof Several ? first.values.slice() : [first]
  let known: Set<Value> | undefined
  for (let i = 1; i < all.length; i++) {
    const holders = all[i]!
    const several = holders instanceof Several
    if (values.length > FEW || (several && holders.values.length > FEW)) known ??= new Set(values)
    if (!several) join(values, known, holders)
    else for (const value of holders.values) join(values, known, value)
  }
  return values
}

function join<Value>(values: Value[], known: Set<Value> | undefined, value: Value): void {
  if (known === undefined ? values.includes(value) : known.has(value)) return
  known?.add(value)
  values.push(value)
}
