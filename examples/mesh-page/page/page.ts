/** The page: a member like any other, but that it reaches the mesh through the server that it came from. */
import { Mesh } from "earshot/mesh"

const show = (id: string, text: string): void => void (document.getElementById(id)!.textContent = text)
const name = `tab ${Math.random().toString(36).slice(2, 6)}`
show("name", name)

const mesh = await Mesh.join({ name, network: "mesh-page" })
const online = (): void => show("state", mesh.members.size > 0 ? "online" : "offline")
mesh.on("join", online)
mesh.on("leave", online)

// Everybody hears what anybody says.
mesh.subscribe<{ from: string; text: string }>("said.>", ({ data }) => {
  const line = document.createElement("li")
  line.textContent = `${data.from}: ${data.text}`
  document.getElementById("said")!.prepend(line)
})
const form = document.querySelector("form")!
form.addEventListener("submit", (event) => {
  event.preventDefault()
  const text = new FormData(form).get("text")
  mesh.tryPublish("said.here", { from: name, text })
  form.reset()
})

// All tabs share the jobs of the server: each goes to one of them.
let jobs = 0
mesh.subscribe("jobs", { queue: "tabs" }, () => show("jobs", String(++jobs)))

// Anybody may ask a tab, and a tab may ask anybody.
mesh.serve("tabs.title", () => document.title)
await mesh.ready({ subject: "time" })
online()
const tell = async (): Promise<void> => {
  const time = await mesh.request<Date>("time").catch((error: { code: string }) => error.code)
  show("time", typeof time === "string" ? time : time.toLocaleTimeString())
}
setInterval(() => void tell(), 1000)
await tell()
