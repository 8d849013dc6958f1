/** Sensors that don't exist, and what a reading looks like on the wire: known to the process and to the page. */

/** What the page shows of a sensor. */
export interface Sensor {
  /** What its messages begin with. */
  readonly topic: string
  readonly name: string
  readonly unit: string
  readonly digits: number
  /** The next value. */
  measure(): number
}

/** Wanders around `middle`, and rather back to it than away. */
function wandering(middle: number, step: number): () => number {
  let value = middle
  return () => {
    value += (middle - value) / 400 + (Math.random() - 0.5) * step
    return value
  }
}

export const sensors: readonly Sensor[] = [
  { topic: "hall/temperature", name: "Temperature", unit: "°C", digits: 2, measure: wandering(21, 0.12) },
  { topic: "hall/humidity", name: "Humidity", unit: "%", digits: 1, measure: wandering(48, 0.5) },
  { topic: "press/force", name: "Force", unit: "kN", digits: 1, measure: wandering(120, 3) },
  { topic: "press/vibration", name: "Vibration", unit: "mm/s", digits: 2, measure: wandering(4, 0.2) },
]

/** A frame of 8 bytes. */
export function encodeReading(value: number): Uint8Array {
  const frame = new Uint8Array(8)
  new DataView(frame.buffer).setFloat64(0, value)
  return frame
}

export function decodeReading(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getFloat64(0)
}
