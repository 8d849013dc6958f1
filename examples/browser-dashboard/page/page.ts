/** The page: subscribes to all sensors, draws what comes, and asks for the rate that the slider says. */
import { Request, Subscriber } from "earshot"
import { decodeReading, sensors } from "../readings.ts"
import { Chart } from "./chart.ts"

const byId = (id: string): HTMLElement => document.getElementById(id)!

// --- A card with a chart for each sensor ---

const cards = new Map<string, { readonly chart: Chart; readonly show: (value: number) => void }>()
for (const { topic, name, unit, digits } of sensors) {
  const [card, title, figure, canvas] = (["section", "h2", "strong", "canvas"] as const).map((tag) =>
    document.createElement(tag),
  ) as [HTMLElement, HTMLElement, HTMLElement, HTMLCanvasElement]
  title.textContent = `${name} (${topic})`
  card.append(title, figure, canvas)
  byId("charts").append(card)
  const show = (value: number): void => void (figure.textContent = `${value.toFixed(digits)} ${unit}`)
  cards.set(topic, { chart: new Chart(canvas, digits), show })
}

// --- What comes in ---

const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/earshot`
const text = new TextDecoder()
const latest = new Map<string, number>()
let received = 0

const subscriber = new Subscriber()
subscriber.onmessage = ([topic, frame]) => {
  const name = text.decode(topic)
  const value = decodeReading(frame!)
  received++
  latest.set(name, value)
  cards.get(name)?.chart.add(value, performance.now())
}
function tell(state: string): void {
  byId("state").textContent = state
  byId("state").dataset["state"] = state
}
subscriber.events.on("peer:join", () => tell("connected"))
subscriber.events.on("peer:leave", () => tell("connection lost, trying again"))
void subscriber.subscribe("") // everything
void subscriber.connect(address)

function draw(): void {
  for (const [topic, { chart, show }] of cards) {
    const value = latest.get(topic)
    if (value !== undefined) show(value)
    chart.draw(performance.now())
  }
  byId("received").textContent = received.toLocaleString("en-US")
  requestAnimationFrame(draw)
}
requestAnimationFrame(draw)

let counted = 0
setInterval(() => {
  byId("speed").textContent = (received - counted).toLocaleString("en-US")
  counted = received
}, 1000)

// --- What the user wants ---

const request = new Request()
void request.connect(`${address}/rate`)
const slider = byId("rate") as HTMLInputElement
slider.addEventListener("input", () => {
  // One to a thousand, each step a bit more than the one before.
  const wish = Math.round(10 ** Number(slider.value))
  request.request(String(wish), { timeout: 5_000 }).then(
    ([rate]) => void (byId("chosen").textContent = text.decode(rate)),
    () => tell("no answer about the rate"),
  )
})
