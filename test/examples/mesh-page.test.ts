// The page in the mesh of examples/, as built, in two tabs of a real Chromium: they hear each other and share the jobs.
import { join } from "node:path"
import t from "tap"
import ts from "typescript"
import { launch, noBrowser } from "../browser/support/chromium.ts"
import { program, root } from "./program.ts"

t.setTimeout(120_000)

t.test("the page type-checks as a project without Node's types", async (t) => {
  const config = ts.getParsedCommandLineOfConfigFile(join(root, "examples/mesh-page/page/tsconfig.json"), undefined, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: (problem) =>
      t.fail(ts.flattenDiagnosticMessageText(problem.messageText, "\n")),
  })!
  const checked = ts.createProgram(config.fileNames, config.options)
  const problems = ts.getPreEmitDiagnostics(checked).map(({ messageText }) => messageText)
  t.strictSame([...config.errors, ...problems], [])
})

t.test("two tabs", { skip: noBrowser }, async (t) => {
  const example = await program(t, "mesh-page/main", ["--port", "0", "--piped"])
  const browser = await launch(t)
  const complaints: string[] = []
  const open = async () => {
    const page = await browser.newPage()
    page.setDefaultTimeout(20_000)
    page.on("pageerror", (error) => complaints.push(String(error)))
    await page.goto(example.url)
    await page.locator("#state", { hasText: "online" }).waitFor()
    await page.locator("#time", { hasText: /\d/ }).waitFor()
    return page
  }
  const [one, two] = [await open(), await open()]
  await one.locator("input").fill("good morning")
  await one.locator("button").click()
  const name = await one.locator("#name").innerText()
  for (const page of [one, two]) await page.locator("li", { hasText: `${name}: good morning` }).waitFor()
  for (const page of [one, two]) await page.locator("#jobs", { hasText: /[1-9]/ }).waitFor()
  t.strictSame(complaints, [])
  t.strictSame(await example.end("input"), { code: 0, errors: "" })
})
