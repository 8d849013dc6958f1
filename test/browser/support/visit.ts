/** A page in a browser, for a test: what it logs and what goes wrong in it are told. */
import type { Browser, BrowserContext, Page } from "playwright-core"
import type { Test } from "tap"

export interface Visit {
  readonly page: Page
  readonly context: BrowserContext
  /** What was thrown in the page and caught by nobody. */
  readonly errors: string[]
}

/** Opens a page with a profile of its own, which closes when the test ends. */
export async function visit(t: Test, browser: Browser, url: string): Promise<Visit> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const errors: string[] = []
  page.setDefaultTimeout(15_000)
  page.on("pageerror", (error) => errors.push(String(error)))
  page.on("console", (message) => {
    // A refused WebSocket and a missing favicon are no news.
    if (message.type() !== "error") t.comment(`page: ${message.text()}`)
  })
  await page.goto(url)
  await page.waitForFunction("globalThis.earshot !== undefined")
  return { page, context, errors }
}
