// The house rules that a machine can hold: who imports whom, where time comes from, how long a file may be.
import t from "tap"
import { clockProblems, importProblems, lengthProblems, librarySources, MAX_LINES } from "./support/architecture.ts"

const sources = librarySources(new URL("../", import.meta.url))

t.test("the library keeps to its rules", async (t) => {
  t.ok(sources.length > 0, "there are sources to check")
  t.strictSame(sources.flatMap(importProblems), [], "every import points the right way")
  t.strictSame(sources.flatMap(clockProblems), [], "time, scheduling and randomness come from the clock")
  t.strictSame(sources.flatMap(lengthProblems), [], `no file is over ${MAX_LINES} lines`)
})

t.test("the import checker lets the table through", async (t) => {
  for (const [path, wanted] of [
    ["lib/errors.ts", "./clock.ts"],
    ["lib/balancer.ts", "./ring.ts"],
    ["lib/wire/zmtp.ts", "../bytes.ts"],
    ["lib/socket.ts", "./wire/session.ts"],
    ["lib/mesh/members.ts", "../socket.ts"],
    ["patterns/push.ts", "../lib/balancer.ts"],
    ["transports/inproc.ts", "../lib/contract.ts"],
    ["transports/tcp.ts", "../lib/clock.ts"],
    ["transports/tcp.ts", "./net.ts"],
    ["transports/tcp.ts", "node:net"],
    ["lib/wire/primitives.node.ts", "node:crypto"],
    ["lib/index.ts", "../patterns/push.ts"],
    ["lib/index.ts", "./exports.ts"],
    ["lib/exports.ts", "../patterns/push.ts"],
    ["lib/index.browser.ts", "./runtime.ts"],
  ] as const)
    t.strictSame(importProblems({ path, text: `import { x } from "${wanted}"` }), [], `${path} -> ${wanted}`)
})

t.test("the import checker catches what the table forbids", async (t) => {
  for (const [path, wanted] of [
    ["lib/clock.ts", "./errors.ts"],
    ["lib/contract.ts", "./socket.ts"],
    ["lib/ring.ts", "./options.ts"],
    ["lib/wire/zmtp.ts", "../socket.ts"],
    ["lib/wire/zmtp.ts", "../ring.ts"],
    ["lib/socket.ts", "./wire/zmtp.ts"],
    ["lib/socket.ts", "./index.ts"],
    ["lib/socket.ts", "./exports.ts"],
    ["patterns/push.ts", "../lib/exports.ts"],
    ["lib/exports.ts", "../transports/tcp.ts"],
    ["lib/exports.ts", "./index.ts"],
    ["lib/socket.ts", "../transports/tcp.ts"],
    ["lib/socket.ts", "../patterns/push.ts"],
    ["lib/socket.ts", "./mesh/mesh.ts"],
    ["lib/mesh/mesh.ts", "../../patterns/push.ts"],
    ["lib/mesh/mesh.ts", "./index.ts"],
    ["lib/mesh/mesh.ts", "../wire/zmtp.ts"],
    ["patterns/push.ts", "./pull.ts"],
    ["patterns/push.ts", "../lib/wire/session.ts"],
    ["patterns/push.ts", "../transports/tcp.ts"],
    ["transports/tcp.ts", "./ipc.ts"],
    ["transports/tcp.ts", "../lib/wire/zmtp.ts"],
    ["transports/tcp.ts", "../lib/socket.ts"],
    ["transports/inproc.ts", "node:net"],
    ["lib/socket.ts", "node:events"],
    ["transports/tcp.ts", "net"],
    ["lib/socket.ts", "msgpackr"],
    ["lib/socket.ts", "@noble/curves/ed25519.js"],
    ["lib/socket.ts", "../test/support/architecture.ts"],
    ["elsewhere/file.ts", "../lib/errors.ts"],
  ] as const) {
    for (const text of [
      `import { x } from "${wanted}"`,
      `import type { X } from "${wanted}"`,
      `import "${wanted}"`,
      `export * from "${wanted}"`,
      `const x = await import("${wanted}")`,
      `type X = import("${wanted}").X`,
    ])
      t.equal(importProblems({ path, text }).length, 1, `${path}: ${text}`)
  }
})

t.test("the clock checker catches every way to the platform's time and chance", async (t) => {
  for (const text of [
    "const now = Date.now()",
    "const now = new Date()",
    "const now = performance.now()",
    "setTimeout(tick, 5)",
    "clearTimeout(handle)",
    "globalThis.setInterval(tick, 5)",
    "globalThis['setInterval'](tick, 5)",
    "const { setTimeout: later } = globalThis",
    "socket.setTimeout(5000)",
    "const immediate = typeof setImmediate === 'function' ? setImmediate : undefined",
    "queueMicrotask(tick)",
    "process.nextTick(tick)",
    "process.hrtime.bigint()",
    "new MessageChannel()",
    "fetch(url, { signal: AbortSignal.timeout(5) })",
    "const { timeout } = AbortSignal",
    "const x = Math.random()",
    "const x = Math['random']()",
    "const { random: chance } = Math",
    "crypto.getRandomValues(bytes)",
    "globalThis.crypto.randomUUID()",
    `import { randomBytes } from "node:crypto"`,
    `import { setTimeout as later } from "node:timers/promises"`,
    `import { performance as p } from "node:perf_hooks"`,
    `import * as timers from "node:timers"`,
  ])
    t.not(clockProblems({ path: "lib/made-up.ts", text }).length, 0, text)
})

t.test("the clock checker leaves the rest alone", async (t) => {
  for (const text of [
    "clock.randomBytes(4)",
    "this.options.clock.timeout(tick, 5)",
    "this.clock.random()",
    "const clock = { now: () => 0, randomBytes(length) { return new Uint8Array(length) } }",
    "const signal = AbortSignal.any([a, b])",
    "const x = Math.floor(y)",
    "// Date.now() would be wrong here",
    "const text = 'setTimeout'",
    "let handle: ReturnType<typeof setTimeout>",
    "interface Stamp { at: Date; setTimeout(ms: number): void }",
  ])
    t.strictSame(clockProblems({ path: "lib/made-up.ts", text }), [], text)
  t.strictSame(clockProblems({ path: "lib/clock.ts", text: "Date.now()" }), [], "the clock itself may")
  t.strictSame(clockProblems({ path: "lib/clock.virtual.ts", text: "Math.random()" }), [], "so may its siblings")
})

t.test("the length checker counts lines", async (t) => {
  t.strictSame(lengthProblems({ path: "lib/made-up.ts", text: "x\n".repeat(MAX_LINES) }), [])
  t.equal(lengthProblems({ path: "lib/made-up.ts", text: "x\n".repeat(MAX_LINES + 1) }).length, 1)
})
