/**
 * A tab of the browser that Playwright has no hand in: it tells its pages that they are always in front, and such a page
 * can't be frozen. Spoken to by the debugging protocol itself.
 */
import type { Browser } from "playwright-core"
import type { Test } from "tap"
import { within } from "../../support/sockets.ts"

interface Answer {
  readonly id?: number
  readonly error?: { readonly message: string }
  readonly result?: unknown
}

export interface Tab {
  send(method: string, parameters?: object): Promise<unknown>
  /** The value of an expression, or what its promise resolves to. */
  evaluate(expression: string): Promise<unknown>
}

export async function openTab(t: Test, browser: Browser, url: string): Promise<Tab> {
  const session = await browser.newBrowserCDPSession()
  const { targetId } = await session.send("Target.createTarget", { url })
  t.teardown(() => session.send("Target.closeTarget", { targetId }))
  const { sessionId } = await session.send("Target.attachToTarget", { targetId, flatten: false })
  const waiting = new Map<number, (answer: Answer) => void>()
  let ids = 0
  session.on("Target.receivedMessageFromTarget", (event: { sessionId: string; message: string }) => {
    const answer = JSON.parse(event.message) as Answer
    if (event.sessionId === sessionId && answer.id !== undefined) waiting.get(answer.id)?.(answer)
  })
  const send = async (method: string, params: object = {}): Promise<unknown> => {
    const id = ++ids
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve))
    await session.send("Target.sendMessageToTarget", { sessionId, message: JSON.stringify({ id, method, params }) })
    const { error, result } = await within(method, answered)
    waiting.delete(id)
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result
  }
  return {
    send,
    async evaluate(expression) {
      const { result, exceptionDetails } = (await send("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true,
      })) as { result: { value: unknown }; exceptionDetails?: { exception?: { description?: string } } }
      if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? expression)
      return result.value
    },
  }
}
