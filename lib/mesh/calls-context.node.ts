/** Which call the code that runs now works for, on Node, Bun and Deno: their AsyncLocalStorage follows promises and timers. */
import { AsyncLocalStorage } from "node:async_hooks"
import type { Ambient } from "./contract.ts"

const storage = new AsyncLocalStorage<object | undefined>()
/** Before the first call nothing is looked up: most programs that only publish and subscribe never pay for it. */
let used = false

export const ambient: Ambient = {
  get current() {
    return used ? storage.getStore() : undefined
  },
  run(value, work, ...args) {
    used = true
    return storage.run(value, work, ...args)
  },
}
