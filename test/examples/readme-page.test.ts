// The page that the README shows, in a real Chromium, with the one file that the README's command makes.
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import t from "tap"
import { Publisher, Reply, ws } from "../../lib/index.ts"
import { launch, noBrowser } from "../browser/support/chromium.ts"
import { serve } from "../browser/support/site.ts"
import { within } from "../support/sockets.ts"
import { root } from "./program.ts"

const readme = readFileSync(join(root, "README.md"), "utf8")

t.test("the page of the README", { skip: noBrowser, timeout: 60_000 }, async (t) => {
  const [, html] = /^```html\n([\s\S]*?)^```$/m.exec(readme)!
  const [, code, args] = /^echo '(.*)' \| npx esbuild (.*) --outfile=public\/earshot\.js$/m.exec(readme)!
  const esbuild = join(root, "node_modules/esbuild/bin/esbuild")
  const script = execFileSync(process.execPath, [esbuild, ...args!.split(" ")], {
    cwd: root,
    input: code,
    encoding: "utf8",
  })
  const policy = { "content-security-policy": "script-src 'self' 'unsafe-inline'" } // it is in the page itself
  const site = await serve(t, { "/": html!, "/earshot.js": script }, { headers: policy })

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
