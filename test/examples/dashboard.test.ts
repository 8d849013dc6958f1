// The dashboard of examples/, as built, in a real Chromium: its charts move, and the page changes the rate. With
// UPDATE_SCREENSHOT=1 the picture that the README shows is taken anew.
import { join } from "node:path"
import t from "tap"
import ts from "typescript"
import { launch, noBrowser } from "../browser/support/chromium.ts"
import { within } from "../support/sockets.ts"
import { program, root } from "./program.ts"

t.setTimeout(120_000)

const folder = join(root, "examples/browser-dashboard")

t.test("the page type-checks as a project without Node's types", async (t) => {
  const config = ts.getParsedCommandLineOfConfigFile(join(folder, "page/tsconfig.json"), undefined, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: (problem) =>
      t.fail(ts.flattenDiagnosticMessageText(problem.messageText, "\n")),
  })!
  const checked = ts.createProgram(config.fileNames, config.options)
  const problems = ts.getPreEmitDiagnostics(checked).map(({ messageText }) => messageText)
  t.strictSame([...config.errors, ...problems], [])
})

t.test("the dashboard", { skip: noBrowser }, async (t) => {
  const dashboard = await program(t, "browser-dashboard/main", ["--port", "0", "--piped"])
  const browser = await launch(t)
  const page = await browser.newPage({ viewport: { width: 1100, height: 560 }, deviceScaleFactor: 1.5 })
  page.setDefaultTimeout(20_000)
  const complaints: string[] = []
  page.on("pageerror", (error) => complaints.push(String(error)))
  page.on("console", (message) => void (message.type() === "error" && complaints.push(message.text())))
  await page.goto(dashboard.url)

  const text = (selector: string): Promise<string> => page.locator(selector).innerText()
  // Asked from outside, frame by frame: the page's own policy lets nobody evaluate strings in it.
  const until = (what: string, script: string): Promise<void> =>
    within(
      what,
      (async () => {
        while ((await page.evaluate(script)) !== true) await page.evaluate(`new Promise(requestAnimationFrame)`)
      })(),
    )
  await until("connected", `document.querySelector("#state").textContent === "connected"`)
  await until(
    "a figure for each sensor",
    `[...document.querySelectorAll("strong")].every((one) => one.textContent !== "")`,
  )
  t.equal(await page.locator("section").count(), 4, "a card for each sensor")

  // As pictures, so that a chart which is merely cleared or scaled does not count.
  const pictures = (): Promise<string[]> =>
    page.locator("canvas").evaluateAll((all) => all.map((one) => (one as unknown as Canvas).toDataURL()))
  const before = await pictures()
  t.equal(new Set(before).size, 4, "each chart draws something of its own")
  const counted = Number((await text("#received")).replaceAll(",", ""))
  await until(
    "more readings",
    `+document.querySelector("#received").textContent.replaceAll(",", "") > ${counted + 100}`,
  )
  const after = await pictures()
  t.ok(
    after.every((picture, index) => picture !== before[index]),
    "every chart has moved",
  )

  if (process.env["UPDATE_SCREENSHOT"] === "1") {
    for (const count of [1000, 2200])
      await until("full charts", `+document.querySelector("#received").textContent.replaceAll(",", "") > ${count}`)
    await page.screenshot({ path: join(folder, "screenshot.png"), fullPage: true })
  }

  await page.locator("#rate").fill("2.7")
  await until("the answer about the rate", `document.querySelector("#chosen").textContent === "501"`)
  await until("more a second", `+document.querySelector("#speed").textContent.replaceAll(",", "") > 1500`)

  t.strictSame(complaints, [], "the page complains about nothing")
  t.strictSame(
    await dashboard.end("input"),
    { code: 0, errors: "" },
    "the process ends with its input, page or no page",
  )
  await until("the page notices", `document.querySelector("#state").textContent !== "connected"`)
})

/** What is used of the DOM's. */
interface Canvas {
  toDataURL(): string
}
