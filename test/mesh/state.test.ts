// A member's memory: what is kept, what breaks it, and who may have it.
import { fork, type ChildProcess } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import t, { type Test } from "tap"
import { systemClock, type Clock } from "../../lib/clock.ts"
import type { StateStore } from "../../lib/mesh/contract.ts"
import { base32, freshId, isId, networkHash } from "../../lib/mesh/identity.ts"
import { openState } from "../../lib/mesh/state.node.ts"
import { until, within } from "../support/sockets.ts"
import { virtualClock } from "../support/virtual-clock.ts"

/** The state, what went wrong with it, and its end with the test. */
async function opened(t: Test, path: string, clock: Clock = systemClock): Promise<StateStore & { problems: string[] }> {
  const state = await within("the state", openState(path, clock))
  const problems: string[] = []
  state.onProblem = (error) => problems.push((error as { code?: string }).code ?? "")
  t.teardown(() => state.close())
  await Promise.resolve()
  return Object.assign(state, { problems })
}

function outcome(path: string): Promise<string> {
  return openState(path, systemClock).then(
    async (state) => (await state.close(), "open"),
    (error: { code: string }) => error.code,
  )
}

t.test("ids and network hashes", async (t) => {
  t.equal(base32(new Uint8Array()), "")
  // RFC 4648, 10.
  for (const [text, wanted] of Object.entries({
    f: "my",
    fo: "mzxq",
    foo: "mzxw6",
    foob: "mzxw6yq",
    foobar: "mzxw6ytboi",
  }))
    t.equal(base32(Buffer.from(text)), wanted)
  const id = freshId(systemClock)
  t.ok(isId(id), id)
  t.not(freshId(systemClock), id)
  t.notOk(isId(id.toUpperCase()))
  // The published vectors of 64-bit FNV-1a.
  t.equal(networkHash(""), "cbf29ce484222325")
  t.equal(networkHash("a"), "af63dc4c8601ec8c")
  t.equal(networkHash("foobar"), "85944171f73967e8")
  t.not(networkHash("küche"), networkHash("kuche"))
})

t.test("an identity lasts, its epoch grows, and addresses are kept", async (t) => {
  const path = join(t.testdir({}), "deep", "down", "state")
  const first = await opened(t, path)
  t.ok(isId(first.id))
  t.equal(first.epoch, 1)
  t.strictSame(first.addresses, [])
  first.remember(["tcp://10.0.0.5:4101", "tcp://10.0.0.5:4101", "tcp://10.0.0.6:4101", "x".repeat(2000)])
  await first.close()
  await first.close()
  const second = await opened(t, path)
  t.equal(second.id, first.id)
  t.equal(second.epoch, 2)
  t.strictSame(second.addresses, ["tcp://10.0.0.5:4101", "tcp://10.0.0.6:4101"])
  t.strictSame([...first.problems, ...second.problems], [])
  await second.close()
  t.strictSame(readdirSync(join(path, "..")), ["state"], "nothing else is left")
  if (process.platform !== "win32") t.equal(statSync(path).mode & 0o777, 0o600, "nobody else reads the seed")
})

t.test("the id is what the design says: base32 of SHA-256 of the Ed25519 public key", async (t) => {
  const path = join(t.testdir({}), "state")
  // RFC 8032, 7.1, test 1.
  const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex")
  const publicKey = Buffer.from("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "hex")
  const clock = {
    ...systemClock,
    randomBytes: (length: number) => (length === 32 ? seed : systemClock.randomBytes(length)),
  }
  const state = await opened(t, path, clock)
  t.equal(state.id, base32(createHash("sha256").update(publicKey).digest().subarray(0, 16)))
})

t.test("a folder holds it as earshot.json; members that we don't know stay", async (t) => {
  const folder = t.testdir({})
  const state = await opened(t, folder)
  await state.close()
  const file = join(folder, "earshot.json")
  const { check: _, ...plain } = JSON.parse(readFileSync(file, "utf8"))
  const later = { ...plain, colour: "blue" }
  const check = createHash("sha256").update(JSON.stringify(later)).digest("hex").slice(0, 32)
  writeFileSync(file, JSON.stringify({ ...later, check }))
  const again = await opened(t, folder)
  t.equal(again.id, state.id)
  await again.close()
  t.match(JSON.parse(readFileSync(file, "utf8")), { colour: "blue", epoch: 2 })
})

t.test("written at most every 10 minutes, and at the end", async (t) => {
  const clock = virtualClock()
  const path = join(t.testdir({}), "state")
  const state = await opened(t, path, clock)
  const kept = (): unknown => JSON.parse(readFileSync(path, "utf8")).addresses
  state.remember(["tcp://10.0.0.1:1"])
  await clock.advance(599_000)
  t.strictSame(kept(), [], "not yet")
  await clock.advance(1000)
  await until("the first write", () => String(kept()) === "tcp://10.0.0.1:1")
  const { mtimeMs, ino } = statSync(path)
  state.remember(["tcp://10.0.0.1:1"])
  await clock.advance(1_200_000)
  t.match(statSync(path), { mtimeMs, ino }, "what is the same is not written again")
  state.remember(["tcp://10.0.0.2:1"])
  await state.close()
  t.strictSame(kept(), ["tcp://10.0.0.2:1"])
  state.remember(["tcp://10.0.0.3:1"])
  t.equal(clock.timers, 0)
})

t.test("torn at every byte, and foreign: set aside, told, begun anew", async (t) => {
  const folder = t.testdir({})
  const path = join(folder, "state")
  const state = await opened(t, path)
  state.remember(["tcp://10.0.0.1:1"])
  await state.close()
  const whole = readFileSync(path)
  const seed = Buffer.from(JSON.parse(whole.toString()).seed)
  const flipped = Buffer.from(whole)
  flipped[whole.indexOf(seed) + 3]! ^= 1
  const bad = [
    ...Array.from(whole, (_, at) => whole.subarray(0, at)),
    ...Array.from({ length: 8 }, (_, at) =>
      Buffer.concat([whole.subarray(0, at * 20), Buffer.alloc(whole.length - at * 20)]),
    ),
    flipped,
    Buffer.from("null"),
    Buffer.from('{"earshot":"state"}'),
    Buffer.from("[".repeat(100_000)),
    Buffer.alloc(1024 * 1024, 0x20),
  ]
  let wrong = 0
  for (const bytes of bad) {
    writeFileSync(path, bytes)
    const torn = await openState(path, systemClock)
    const codes: unknown[] = []
    torn.onProblem = (error) => codes.push((error as { code?: string }).code)
    await torn.close()
    const aside = readFileSync(`${path}.broken`)
    if (torn.id === state.id || torn.epoch !== 1 || codes.join() !== "DECODE" || !aside.equals(bytes)) wrong++
  }
  t.equal(wrong, 0, `${bad.length} files`)
  t.strictSame(readdirSync(folder).sort(), ["state", "state.broken"])
})

t.test("what can't be read is left alone; what can't be written does without", async (t) => {
  const folder = t.testdir({})
  const odd = join(folder, "odd")
  mkdirSync(odd)
  mkdirSync(join(odd, "earshot.json"))
  const state = await opened(t, odd)
  t.strictSame(state.problems, ["EACCES"])
  t.ok(state.epoch > 1_000_000_000, "an epoch that is not kept goes by the wall clock")
  await state.close()
  t.ok(statSync(join(odd, "earshot.json")).isDirectory())

  const nowhere = await opened(t, join(folder, "odd", "earshot.json", "x", "y"))
  t.ok(isId(nowhere.id))
  t.strictSame(nowhere.problems, [])
  await nowhere.close()

  writeFileSync(join(folder, "file"), "")
  const under = await opened(t, join(folder, "file", "state"))
  t.ok(under.problems.length > 0, "a file stands where a folder should")
  under.remember(["tcp://10.0.0.1:1"])
  await under.close()
})

t.test("a read-only disk is a problem, never fatal", async (t) => {
  if (!existsSync("/sys")) return t.comment("there is no folder here that even root can't write to")
  // Nobody may make a file there, and root neither.
  const state = await opened(t, "/sys/earshot-state")
  t.ok(state.problems.length > 0)
  t.ok(isId(state.id))
  state.remember(["tcp://10.0.0.1:1"])
  await state.close()
})

t.test("one member has it at a time", async (t) => {
  const folder = t.testdir({})
  const path = join(folder, "state")
  const state = await opened(t, path)
  t.equal(await outcome(path), "STATE_IN_USE")
  if (process.platform !== "win32") {
    symlinkSync(path, join(folder, "alias"))
    t.equal(await outcome(join(folder, "alias")), "STATE_IN_USE", "by another name, too")
  }
  t.equal(await outcome(join(folder, "state.other")), "open")
  await state.close()
  t.equal(await outcome(path), "open")
})

t.test("of many at once never two have it", async (t) => {
  const path = join(t.testdir({}), "state")
  let most = 0
  let now = 0
  let times = 0
  const one = async (): Promise<void> => {
    try {
      const state = await openState(path, systemClock)
      most = Math.max(most, ++now)
      times++
      await new Promise((resolve) => setImmediate(resolve))
      now--
      await state.close()
    } catch (error) {
      if ((error as { code: string }).code !== "STATE_IN_USE") throw error
    }
  }
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 8 }, one))
  t.equal(most, 1)
  t.ok(times >= 10, `${times} times`)
})

t.test("a long path is locked, too", { skip: process.platform !== "linux" && "only Linux has a way" }, async (t) => {
  const path = join(t.testdir({}), "x".repeat(90), "y".repeat(90), "state")
  const state = await opened(t, path)
  t.strictSame(state.problems, [])
  t.equal(await outcome(path), "STATE_IN_USE")
  await state.close()
  t.strictSame(readdirSync(join(path, "..")), ["state"])
})

t.test("another process is refused while it lives, and killed gives way at once", async (t) => {
  const folder = t.testdir({})
  const path = join(folder, "state")
  const start = async (): Promise<{ process: ChildProcess; said: { id?: string; epoch?: number; code?: string } }> => {
    const started = fork(new URL("../support/peers/state.mjs", import.meta.url), [path], { execArgv: [] })
    t.teardown(() => started.kill("SIGKILL"))
    const [said] = (await within("the child", once(started, "message"))) as [{ id?: string }]
    return { process: started, said }
  }
  const holder = await start()
  t.match(holder.said, { epoch: 1 })
  t.strictSame((await start()).said, { code: "STATE_IN_USE" })
  t.equal(await outcome(path), "STATE_IN_USE")
  // On Deno `kill` of a child works once.
  process.kill(holder.process.pid!, "SIGSTOP")
  t.equal(await outcome(path), "STATE_IN_USE", "one that stands still is still there")
  holder.process.kill("SIGKILL")
  await within("its end", once(holder.process, "exit"))
  const after = await opened(t, path)
  t.match(after, { id: holder.said.id, epoch: 2 })
  await after.close()
  t.strictSame(readdirSync(folder), ["state"], "its lock is cleared away")
})
