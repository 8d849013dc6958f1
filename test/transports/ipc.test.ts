import t from "tap"
import * as fs from "node:fs"
import { once } from "node:events"
import * as net from "node:net"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import type { Test } from "tap"
import { systemClock } from "../../lib/clock.ts"
import { EarshotError } from "../../lib/errors.ts"
import { ipc, systemPath } from "../../transports/ipc.ts"
import { transportConformance } from "../conformance/transport.ts"
import { Bench } from "./bench.ts"
import { turns } from "./recorder.ts"

transportConformance(t, {
  name: "ipc",
  create: ipc,
  wildcard: "*",
  lasting: () => join(tmpdir(), `earshot-test-${process.pid}.sock`),
  nobody: join(tmpdir(), "earshot-test-nobody.sock"),
  alone: "refused",
  malformed: "",
  module: { url: new URL("../../transports/ipc.ts", import.meta.url), factory: "ipc" },
})

const unix = process.platform === "win32" ? "for systems with Unix sockets" : false
const nodeMajor = Number.parseInt(process.versions.node, 10)

t.test("addresses, as each platform spells them", async (t) => {
  const linux = { system: "linux", nodeMajor: 22 }
  const windows = { system: "win32", nodeMajor: 20 }
  for (const [address, platform, path] of [
    ["/tmp/x.sock", linux, "/tmp/x.sock"],
    ["x.sock", linux, "x.sock"],
    ["./a b/é.sock", linux, "./a b/é.sock"],
    ["@name", linux, "\0name"],
    ["@a/b", linux, "\0a/b"],
    [`/tmp/${"x".repeat(102)}`, linux, `/tmp/${"x".repeat(102)}`],
    [`@${"x".repeat(106)}`, linux, `\0${"x".repeat(106)}`],
    ["name", windows, "\\\\.\\pipe\\name"],
    ["/tmp/x.sock", windows, "\\\\.\\pipe\\/tmp/x.sock"],
    ["a\\b", windows, "\\\\.\\pipe\\a/b"],
    ["@name", windows, "\\\\.\\pipe\\@name"],
    ["\\\\.\\pipe\\name", windows, "\\\\.\\pipe\\name"],
    ["\\\\?\\pipe\\name", windows, "\\\\?\\pipe\\name"],
  ] as const)
    t.equal(systemPath(address, platform), path, `${platform.system} ${address}`)
  for (const [address, platform, code, message = /./] of [
    ["", linux, "EINVAL"],
    ["a\0b", linux, "EINVAL"],
    ["/", linux, "EINVAL"],
    [".", linux, "EINVAL"],
    ["/tmp/", linux, "EINVAL"],
    ["/tmp/..", linux, "EINVAL"],
    ["@", linux, "EINVAL"],
    [`/tmp/${"x".repeat(103)}`, linux, "EINVAL", /ENAMETOOLONG/],
    [`/tmp/${"é".repeat(52)}`, linux, "EINVAL", /ENAMETOOLONG/],
    [`/tmp/${"x".repeat(99)}`, { system: "darwin", nodeMajor: 22 }, "EINVAL", /ENAMETOOLONG/],
    ["@name", { system: "linux", nodeMajor: 20 }, "ENOTSUP"],
    ["@name", { system: "darwin", nodeMajor: 22 }, "ENOTSUP"],
    ["x".repeat(248), windows, "EINVAL", /ENAMETOOLONG/],
  ] as const)
    t.throws(() => systemPath(address, platform), { code, message }, `${platform.system} ${address.slice(0, 20)}`)
  t.throws(() => ipc().check("*", "connect"), { code: "EINVAL" })
})

/** A bench, and an empty directory whose path is short. */
function bench(t: Test, own = {}): { made: Bench; directory: string; path: string } {
  const made = new Bench(ipc(), undefined, own)
  const directory = fs.mkdtempSync(join(tmpdir(), "e-"))
  systemClock.hold()
  t.teardown(async () => {
    await made.dispose()
    systemClock.release()
    fs.rmSync(directory, { recursive: true })
  })
  return { made, directory, path: join(directory, "socket") }
}

/** What a process that died leaves: a socket file and nobody behind it. */
async function leaveStale(path: string): Promise<void> {
  const other = `${path}-`
  const server = net.createServer().listen(other)
  await once(server, "listening")
  fs.linkSync(other, path)
  server.close()
  await once(server, "close")
  fs.rmSync(other, { force: true })
}

t.test("a stale path is replaced", { skip: unix }, async (t) => {
  const { made, directory, path } = bench(t)
  await leaveStale(path)
  await t.rejects(made.dial(path), { code: "ECONNREFUSED" })
  const listener = await made.listen(path)
  t.equal(listener.address, path)
  const [near, far] = await made.pair(path)
  near.write(Buffer.from("hello"))
  await far.got(5)
  t.strictSame([near.link.remote, far.link.remote], [`ipc://${path}`, `ipc://${path}`])
  t.strictSame(fs.readdirSync(directory), ["socket"], "nothing is left beside it")
  await listener.close()
  t.strictSame(fs.readdirSync(directory), [], "and it goes with its listener")
})

t.test("a living path is not taken", { skip: unix }, async (t) => {
  const { made, directory, path } = bench(t)
  const server = net.createServer((socket) => socket.on("error", () => {}).end("still me")).listen(path)
  await once(server, "listening")
  await t.rejects(made.listen(path), { code: "EADDRINUSE" })
  await t.rejects(made.listen(path), EarshotError)
  const end = made.end(await made.dial(path)).start()
  await end.got(8)
  t.equal(end.sink.data.toString(), "still me")
  t.strictSame(fs.readdirSync(directory), ["socket"])
  end.link.destroy()
  server.close()
})

t.test("what is no socket is not taken", { skip: unix }, async (t) => {
  const { made, directory, path } = bench(t)
  fs.writeFileSync(path, "precious")
  fs.mkdirSync(`${path}.d`)
  fs.symlinkSync("nowhere", `${path}.l`)
  for (const taken of [path, `${path}.d`, `${path}.l`])
    await t.rejects(made.listen(taken), { code: "EADDRINUSE" }, taken)
  t.equal(fs.readFileSync(path, "utf8"), "precious")
  t.strictSame(fs.readdirSync(directory).toSorted(), ["socket", "socket.d", "socket.l"])
  await t.rejects(made.dial(path), { code: "ECONNREFUSED" })
  await t.rejects(made.dial(join(path, "x")), { code: "ECONNREFUSED" })
  await t.rejects(made.listen(join(directory, "missing", "socket")), { code: "EADDRNOTAVAIL" })
  await t.rejects(made.listen(join(path, "x")), { code: "EADDRNOTAVAIL" })
})

t.test("of many who want a stale path one gets it", { skip: unix }, async (t) => {
  const { made, directory, path } = bench(t)
  for (let round = 0; round < 25; round++) {
    if (round % 5 > 0) await leaveStale(path)
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => made.listen(path)))
    const won = outcomes.filter(({ status }) => status === "fulfilled").length
    t.equal(won, 1)
    for (const outcome of outcomes) if (outcome.status === "rejected") t.match(outcome.reason, { code: "EADDRINUSE" })
    await turns(3)
    for (const link of made.accepted.splice(0)) link.destroy()
    const [near, far] = await made.pair(path)
    near.write(Buffer.from("x"))
    await far.got(1)
    t.strictSame(fs.readdirSync(directory), ["socket"])
    for (const { link } of made.ends.splice(0)) link.destroy()
    for (const listener of made.listeners.splice(0)) await listener.close()
  }
})

t.test("who died while clearing a path does not block it", { skip: unix }, async (t) => {
  let ahead = 0
  const clock = { ...systemClock, wall: () => Date.now() + ahead }
  const { made, directory, path } = bench(t, { clock })
  await leaveStale(path)
  fs.linkSync(path, join(directory, `~${Buffer.from("socket").toString("base64url").slice(-5)}`))
  await t.rejects(made.listen(path), { code: "EADDRINUSE" }, "it may still be alive")
  ahead = 10_000
  await made.listen(path)
  t.strictSame(fs.readdirSync(directory), ["socket"])
})

t.test("a path that is another's by now is left alone", { skip: unix }, async (t) => {
  const { made, path } = bench(t)
  const listener = await made.listen(path)
  // As libzmq does it: without a look.
  fs.unlinkSync(path)
  const server = net.createServer().listen(path)
  await once(server, "listening")
  await listener.close()
  t.ok(fs.lstatSync(path).isSocket())
  server.close()
  await once(server, "close")
  const gone = await made.listen(path)
  fs.unlinkSync(path)
  await gone.close()
  t.notOk(fs.existsSync(path))
})

t.test("relative paths", { skip: unix }, async (t) => {
  const { made, directory, path } = bench(t)
  const before = process.cwd()
  t.teardown(() => process.chdir(before))
  const listener = await made.listen(relative(before, path))
  await made.pair(path)
  await listener.close()
  t.notOk(fs.existsSync(path))
  const deep = join(directory, "d".repeat(100), "e".repeat(100))
  fs.mkdirSync(deep, { recursive: true })
  process.chdir(deep)
  await leaveStale("socket")
  const hidden = await made.listen("socket")
  await made.pair("./socket")
  process.chdir(before)
  await hidden.close()
  t.strictSame(fs.readdirSync(deep), [], "removed from where it was bound")
})

t.test("the longest path, and one that leaves no room", { skip: unix || process.platform !== "linux" }, async (t) => {
  const { made, directory } = bench(t)
  const longest = join(directory, "x".repeat(107 - directory.length - 1))
  t.equal(longest.length, 107)
  await leaveStale(join(directory, "s"))
  fs.renameSync(join(directory, "s"), longest)
  await made.listen(longest)
  await made.pair(longest)
  await t.rejects(made.listen(`${longest}x`), { code: "EINVAL", message: /ENAMETOOLONG/ })
  const crowded = join(directory, "y".repeat(107 - directory.length - 3))
  fs.mkdirSync(crowded)
  await t.rejects(made.listen(join(crowded, "z")), { code: "EINVAL", message: /ENAMETOOLONG/ })
})

t.test("a wildcard is private and goes with its listener", { skip: unix }, async (t) => {
  const { made } = bench(t)
  const listener = await made.listen("*")
  const directory = dirname(listener.address)
  t.ok(listener.address.startsWith(tmpdir()))
  t.equal(fs.statSync(directory).mode & 0o777, 0o700)
  const [near, far] = await made.pair(listener.address)
  await Promise.all([listener.close(), listener.close()])
  t.notOk(fs.existsSync(directory))
  near.write(Buffer.from("x"))
  await far.got(1)
})

t.test("abstract names", { skip: process.platform !== "linux" && "for Linux" }, async (t) => {
  const { made } = bench(t)
  const name = `@earshot-test-${process.pid}`
  if (nodeMajor < 22) {
    await t.rejects(made.listen(name), { code: "ENOTSUP" })
    await t.rejects(made.dial(name), { code: "ENOTSUP" })
    return
  }
  const listener = await made.listen(name)
  t.equal(listener.address, name)
  t.match(fs.readFileSync("/proc/net/unix", "utf8"), new RegExp(`${name}\n`), "without padding, for libzmq to find")
  await t.rejects(made.listen(name), { code: "EADDRINUSE" })
  const [near, far] = await made.pair(name)
  near.write(Buffer.from("x"))
  await far.got(1)
  await listener.close()
  await t.rejects(made.dial(name), { code: "ECONNREFUSED" })
  await made.listen(name)
})
