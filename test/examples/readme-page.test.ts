// The pages that the README shows, in a real Chromium, with the one file that the README's command makes for each.
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import t, { type Test } from "tap"
import { Publisher, Reply, ws } from "../../lib/index.ts"
import { Mesh } from "../../lib/mesh/index.ts"
import { launch, noBrowser } from "../browser/support/chromium.ts"
import { serve, type Site } from "../browser/support/site.ts"
import { within } from "../support/sockets.ts"
import { root } from "./program.ts"

const readme = readFileSync(join(root, "README.md"), "utf8")

/** The page of this title, served beside the script that the README's command makes. */
async function served(t: Test, title: string, script: string): Promise<Site> {
  const pages = [...readme.matchAll(/^```html\n([\s\S]*?)^```$/gm)].map(([, html]) => html!)
  const html = pages.find((page) => page.includes(`<title>${title}</title>`))!
  const command = new RegExp(`^echo '(.*)' \\| npx esbuild (.*) --outfile=public/${script}$`, "m")
  const [, code, args] = command.exec(readme)!
  const esbuild = join(root, "node_modules/esbuild/bin/esbuild")
  const bundle = execFileSync(process.execPath, [esbuild, ...args!.split(" ")], {
    cwd: root,
    input: code,
    encoding: "utf8",
  })
  const policy = { "content-security-policy": "script-src 'self' 'unsafe-inline'" } // it is in the page itself
  return serve(t, { "/": html, [`/${script}`]: bundle }, { headers: policy })
}

t.test("the page with sockets", { skip: noBrowser, timeout: 60_000 }, async (t) => {
  const site = await served(t, "Weather", "earshot.js")
  const publisher = new Publisher()
  const reply = new Reply()
  t.teardown(() => Promise.all([publisher.close(), reply.close()]))
  await publisher.bind(ws({ server: site.server, path: "/live" }))
  await reply.bind(ws({ server: site.server, path: "/questions" }))

  const page = await (await launch(t)).newPage()
  page.setDefaultTimeout(10_000)
  await page.goto(site.url)
  await within("the page subscribes", publisher.ready({ topic: "weather/" }))
  await publisher.send(["sport/chess", "1:0"])
  await publisher.send(["weather/oslo", "rain"])
  await page.getByText("weather/oslo: rain").waitFor()

  await page.getByRole("button").click()
  const [question] = await within("a question", reply.receive())
  t.equal(String(question), "And tomorrow?")
  await reply.send("Sun, I think.")
  await page.getByRole("button", { name: "Sun, I think." }).waitFor()
})

t.test("the page with a mesh", { skip: noBrowser, timeout: 60_000 }, async (t) => {
  const site = await served(t, "Sensors", "mesh.js")
  const listen = ["tcp://127.0.0.1:0", ws({ server: site.server, path: "/earshot" })]
  const mesh = await Mesh.join({ network: "default", listen, discovery: [] })
  t.teardown(() => mesh.close())
  mesh.serve("time", () => "12 o'clock")

  const page = await (await launch(t)).newPage()
  page.setDefaultTimeout(10_000)
  await page.goto(site.url)
  await mesh.ready({ subject: "sensors.kitchen" })
  await mesh.publish("sensors.kitchen", { celsius: 21 })
  await page.getByText("sensors.kitchen: 21 °C").waitFor()
  await page.getByRole("button").click()
  await page.getByRole("button", { name: "12 o'clock" }).waitFor()
})
