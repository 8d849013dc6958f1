/** A line chart of the last ten seconds, on a canvas. */

const SPAN = 10_000
const LINES = 4
const LEFT = 46

/** What was measured, and when, on the page's clock. */
interface Point {
  readonly at: number
  readonly value: number
}

export class Chart {
  private readonly canvas: HTMLCanvasElement
  private points: Point[] = []
  private readonly digits: number

  constructor(canvas: HTMLCanvasElement, digits: number) {
    this.canvas = canvas
    this.digits = digits
  }

  add(value: number, at: number): void {
    this.points.push({ at, value })
  }

  draw(now: number): void {
    const { canvas } = this
    // In the pixels of the screen, so that lines are sharp.
    const scale = devicePixelRatio
    const [width, height] = [canvas.clientWidth, canvas.clientHeight]
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale)
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale)
    const pen = canvas.getContext("2d")!
    pen.setTransform(scale, 0, 0, scale, 0, 0)
    pen.clearRect(0, 0, width, height)

    const begin = this.points.findIndex(({ at }) => at >= now - SPAN)
    this.points = begin === -1 ? [] : this.points.slice(begin)
    if (this.points.length === 0) return
    let [low, high] = [Infinity, -Infinity]
    for (const { value } of this.points) {
      low = Math.min(low, value)
      high = Math.max(high, value)
    }
    const room = (high - low) * 0.1 || 1
    low -= room
    high += room
    const x = (at: number): number => LEFT + ((at - now + SPAN) / SPAN) * (width - LEFT)
    const y = (value: number): number => height - 8 - ((value - low) / (high - low)) * (height - 16)

    const style = getComputedStyle(canvas)
    pen.font = "11px system-ui, sans-serif"
    pen.textAlign = "right"
    pen.textBaseline = "middle"
    pen.lineWidth = 1
    for (let line = 0; line < LINES; line++) {
      const value = low + ((high - low) * (line + 0.5)) / LINES
      pen.fillStyle = style.getPropertyValue("--quiet")
      pen.fillText(value.toFixed(this.digits), LEFT - 8, y(value))
      pen.fillStyle = style.getPropertyValue("--grid")
      pen.fillRect(LEFT, Math.round(y(value)), width - LEFT, 1)
    }
    pen.strokeStyle = style.getPropertyValue("--line")
    pen.lineWidth = 1.5
    pen.lineJoin = "round"
    pen.beginPath()
    for (const { at, value } of this.points) pen.lineTo(x(at), y(value))
    pen.stroke()
  }
}
