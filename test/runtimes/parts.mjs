// What runs on every runtime, and what is left out where a runtime lacks something. README.md lists the same (Runtimes);
// test/runtime.test.ts holds the two together.
import { readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))

function tests(folder, except = []) {
  const names = readdirSync(`${root}test/${folder}`).filter((name) => name.endsWith(".test.ts"))
  return names.filter((name) => !except.some((start) => name.startsWith(start))).map((name) => `test/${folder}/${name}`)
}

// Of the mesh, not what needs network namespaces, runs programs of the README, or measures how long things take.
const BOUND = [
  "diagnose",
  "discovery-hosts",
  "first",
  "hosts",
  "interfaces",
  "libp2p",
  "gossipsub",
  "overload",
  "runtimes",
]

/** Files by part. */
export const parts = {
  wire: ["test/endpoint.test.ts", ...tests("wire")],
  // Polling counts the turns of 2 ms, which a busy machine has none of.
  sockets: [...tests("lib", ["polling"]), ...tests("sockets")],
  patterns: tests("patterns", ["libp2p"]),
  transports: tests("transports", ["libp2p"]),
  libp2p: ["patterns", "transports", "mesh", "faults"].flatMap((folder) =>
    tests(folder).filter((file) => /\/(libp2p|gossipsub)[^/]*$/.test(file)),
  ),
  mesh: tests("mesh", [...BOUND, "testing"]),
  testing: tests("mesh").filter((file) => file.endsWith("/testing.test.ts")),
}

const LIBZMQ = [
  "line 6: a long time-to-live",
  "line 8: a topic of 255 bytes from libzmq",
  "line 9: who is turned away for now",
  "line 10: the same with libzmq",
  "line 17: a second peer",
  "line 17: with handover",
  "a libzmq peer with another mechanism",
]
const DRAIN = "keeps the contract of transports > a write that says wait is followed by one onDrain"

const libzmq = { what: "libzmq, to test against", why: "npm zeromq needs all of libuv, and Bun has a part of it" }
const scopes = { what: "scopes of IPv6 addresses (`::1%lo`)", why: "can't be bound to" }
const pausing = { what: "a pause that holds at once", why: "a paused socket of Bun reads on a little" }
const codes = { what: "`EADDRNOTAVAIL`", why: "Deno calls it `EINVAL`" }
const turns = {
  what: "the turns of Node's event loop, which a few tests count",
  why: "what comes in takes more of them",
}
const offers = {
  what: "pages for clients that offer HTTP/2 at first (`Upgrade: h2c`), on a server that `ws()` was given",
  why: "its `node:http` takes no connection that has been read from",
}
const runner = { what: "`node --test`, for a test that uses `earshot/testing`", why: "a command of Node's" }

/**
 * What a runtime lacks: in a `file`, or all of a `part`, the tests whose titles begin as `tests` say, or all of them. `what` and
 * `why` are what README.md says.
 */
export const lacks = [
  { runtime: "Bun", file: "test/wire/lines.test.ts", tests: LIBZMQ, ...libzmq },
  { runtime: "Bun", file: "test/mesh/protocol.test.ts", tests: ["a member made of npm zeromq"], ...libzmq },
  { runtime: "Bun", file: "test/transports/tcp.test.ts", tests: ["places to bind, and how to reach them"], ...scopes },
  {
    runtime: "Bun",
    file: "test/transports/tcp.test.ts",
    tests: ["a write that fails does not cost what has come before"],
    what: "what came before a write failed",
    why: "Bun gives the connection up then, with what it has not read",
  },
  {
    runtime: "Bun",
    file: "test/transports/tcp.test.ts",
    tests: ["who is slow with what comes shares the process"],
    what: "a turn for others after each chunk that a slow reader was given",
    why: "Bun hands over several at once, up to 512 KiB",
  },
  { runtime: "Bun", file: "test/transports/ipc.test.ts", tests: [`ipc ${DRAIN}`], ...pausing },
  { runtime: "Bun", file: "test/transports/ws.test.ts", tests: [`ws ${DRAIN}`], ...pausing },
  {
    runtime: "Bun",
    file: "test/transports/ws-server.test.ts",
    tests: ["who connects and does not ask is let go"],
    what: "room for who asks on `ws://`, when 1,024 others connect and say nothing",
    why: "Bun's `node:http` tells of a connection only when it asks",
  },
  {
    runtime: "Bun",
    file: "test/transports/ws-server.test.ts",
    tests: ["pages are there for clients that offer another upgrade"],
    ...offers,
  },
  {
    runtime: "Bun",
    file: "test/faults/libp2p.test.ts",
    tests: ["whatever dies when"],
    what: "a quiet end for a dial of libp2p that is aborted just as it connects",
    why: "Bun's `node:net` raises an `AbortError` that nobody hears: listen to `uncaughtException`",
  },
  { runtime: "Bun", file: "test/mesh/testing.test.ts", tests: ["under node:test"], ...runner },
  { runtime: "Deno", file: "test/transports/tcp.test.ts", tests: ["places to bind, and how to reach them"], ...scopes },
  {
    runtime: "Deno",
    file: "test/transports/tcp.test.ts",
    tests: ["places that can't be bound", "a link may come from an address of choice"],
    ...codes,
  },
  { runtime: "Deno", file: "test/transports/ws-server.test.ts", tests: ["an address, an interface, a name"], ...codes },
  {
    runtime: "Deno",
    file: "test/transports/ws-server.test.ts",
    tests: ["pages are there for clients that offer another upgrade"],
    ...offers,
  },
  {
    runtime: "Deno",
    file: "test/wire/lines.test.ts",
    tests: ["line 9: nothing but the handshake"],
    what: "a greeting for peers that are turned away",
    why: "what was written just before a connection is destroyed is not sent",
  },
  {
    runtime: "Deno",
    file: "test/mesh/protocol.test.ts",
    tests: ["a member made of npm zeromq"],
    what: "libzmq that connects again, to test against",
    why: "npm zeromq on Deno does not",
  },
  {
    runtime: "Deno",
    file: "test/transports/tcp.test.ts",
    tests: ["a peer that has ended and never reads"],
    what: "end in good order when the peer ends while bytes wait for it",
    why: "Deno's writes fail then (`EPIPE`): the end is an `ECONNRESET`",
  },
  { runtime: "Deno", file: "test/mesh/discovery-mdns.test.ts", tests: ["fault 4: a name alone"], ...turns },
  { runtime: "Deno", file: "test/mesh/testing.test.ts", tests: ["under node:test"], ...runner },
]
