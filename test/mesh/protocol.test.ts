// The link protocol: its page against the code, programs that know nothing of Earshot, a peer of bytes recorded when a
// version was new, and a later minor version that says all sorts of things nobody knows yet.
import { spawn, spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import t, { type Test } from "tap"
import { encodeContent } from "../../lib/mesh/content.ts"
import { Codecs, json, raw, text } from "../../lib/mesh/codecs.ts"
import { Digest } from "../../lib/mesh/digest.ts"
import { FEATURES, FIELDS } from "../../lib/mesh/introduction.ts"
import { msgpack } from "../../lib/mesh/msgpack.ts"
import type { Mesh } from "../../lib/mesh/index.ts"
import type { MeshEvents } from "../../lib/mesh/events.ts"
import { FLAGS, Kind, MAJOR, MINOR, PLAIN_HEAD } from "../../lib/mesh/wire.ts"
import { MeshPeer, hubOf, member, unknownOf, type Frames } from "../support/mesh-peer.ts"
import { outcome, until, within } from "../support/sockets.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))
const page = readFileSync(`${root}lib/mesh/PROTOCOL.md`, "utf8")

/** The rows of the table under that line of heads, as cells. */
function table(heads: string): string[][] {
  const lines = page.slice(page.indexOf(`| ${heads} |`)).split("\n")
  const end = lines.findIndex((line) => !line.startsWith("|"))
  return lines.slice(2, end).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
}

t.test("the page says what the code does", async (t) => {
  t.ok(page.startsWith(`# The link protocol of the mesh, version ${MAJOR}.${MINOR}\n`))
  const kinds = table("kind | name | flags | fields of the head | frames behind it")
  t.same(Object.fromEntries(kinds.map(([kind, name]) => [name, Number(kind)])), Kind, "kinds")
  const flags = kinds
    .filter(([, , cell]) => cell !== "")
    .map(([, name, cell]) => [name, Object.fromEntries(cell!.split(", ").map((each) => each.split(" ").toReversed()))])
  t.same(
    JSON.parse(JSON.stringify(Object.fromEntries(flags)), (_, value) => Number(value) || value),
    FLAGS,
    "flags",
  )
  t.same(
    table("codec | name | body").map(([number, name]) => [number, name]),
    [raw, msgpack, json, text].map(({ name }, number) => [String(number), name]).concat([["255", ""]]),
    "codecs",
  )
  const fields = table("field | what").map(([name]) => name!.slice(1, -1))
  t.same(new Set(fields), FIELDS, "fields")
  for (const feature of FEATURES) t.ok(page.includes(`eature \`${feature}\``), `the feature ${feature}`)
})

t.test("numbers kept for later are nobody's", async (t) => {
  const taken = new Set<number>(Object.values(Kind))
  for (const [kind, name] of table("kind | name | for")) t.notOk(taken.has(Number(kind)), name!)
  for (const [name, flag] of table("kind | flag | for")) {
    const [bit, word] = flag!.split(" ")
    const known = Object.values(FLAGS[name as keyof typeof Kind] ?? {})
    t.notOk(known.includes(Number(bit)), `${name} ${word}`)
    t.ok([1, 2, 4, 8, 16, 32, 64].includes(Number(bit)), "128 is for fields to come")
  }
})

t.test("the page's example", async (t) => {
  const [, example] = /is two frames:\n\n```\n([^`]+)```/.exec(page)!
  const frames = [PLAIN_HEAD, ...encodeContent("sensors.t", new Codecs(json).standard, { c: 21.5 })]
  t.equal(frames.map((frame) => Buffer.from(frame).toString("hex")).join("\n"), example!.trim().replaceAll(" ", ""))
  // FNV-1a, by its own published examples, and over UTF-8.
  const digest = new Digest()
  digest.change("foobar", 1)
  t.same(digest.pair, [1, 0xbf9cf968])
  digest.change("ä", 1)
  digest.change("foobar", -1)
  t.same(digest.pair, [1, Math.imul(Math.imul(0x811c9dc5 ^ 0xc3, 0x01000193) ^ 0xa4, 0x01000193) >>> 0])
})

t.test("a BRIEF is a PUBLISH for plain wishes, and goes to those alone that know it", async (t) => {
  const mesh = await member(t)
  const got: unknown[] = []
  mesh.subscribe(
    "in.>",
    ({ subject, data }) => void got.push([subject, data instanceof Uint8Array ? data.length : data]),
  )
  const wish = [[1, "out", null, 0]]
  const knows = await MeshPeer.join(t, mesh, { features: ["brief"] }, wish)
  const doesnt = await MeshPeer.join(t, mesh, { id: "other", features: [] }, wish)
  const leaf = await MeshPeer.join(t, mesh, { id: "leaf", leaf: true, features: [] }, [[1, "in.a", null, 0]])
  const large = new Uint8Array(5000).fill(1)
  for (const body of [{ n: 1 }, large]) {
    t.match(mesh.tryPublish("out", body), { sent: 2, dropped: 0 })
    const [first, second] = await knows.next(Kind.BRIEF)
    const [head, ...frames] = await doesnt.next(Kind.PUBLISH)
    t.equal(head!.join(), PLAIN_HEAD.join())
    t.same(first!.subarray(0, 2), [Kind.BRIEF, 0])
    t.ok(Buffer.from(first!.subarray(2)).equals(frames[0]!), "the same content behind it")
    t.same(second, frames[1])
  }
  const coding = new Codecs(msgpack).standard
  for (const [subject, body] of [
    ["in.a", "small"],
    ["in.b", large],
  ] as const) {
    const [first, ...rest] = encodeContent(subject, coding, body)
    knows.send(Buffer.from([Kind.BRIEF, 0, ...first!]), ...rest)
  }
  await knows.settled()
  t.same(got, [
    ["in.a", "small"],
    ["in.b", 5000],
  ])
  const [passedHead, passed] = await leaf.next(Kind.PUBLISH)
  t.equal(passedHead!.join(), PLAIN_HEAD.join(), "spelled out for a leaf that doesn't know it")
  t.match(Buffer.from(passed!).toString("latin1"), "small")
  for (const garbage of [[], [0, 9, 1], [0, 0, 1, 0, 0]]) {
    const peer = await MeshPeer.join(t, mesh, { id: `bad${garbage.length}`, features: ["brief"] })
    peer.send(Uint8Array.from([Kind.BRIEF, 0, ...garbage]))
    await until("the end of the link", () => peer.ended)
  }
})

// --- Programs that know nothing of Earshot ---

/** Python with what Debian calls python3-zmq and python3-msgpack. */
const python = spawnSync("python3", ["-c", "import zmq, msgpack"]).status === 0

for (const [name, command, skip] of [
  ["npm zeromq", [process.execPath, "member.mjs"], false],
  ["pyzmq", ["python3", "member.py"], python ? false : "there is no python3 with zmq and msgpack here"],
] as const)
  t.test(`a member made of ${name}`, { skip }, async (t) => {
    const mesh = await member(t, { network: "foreign" })
    const hello = new Promise<unknown>((resolve) => mesh.subscribe("foreign.hello", ({ data }) => resolve(data)))
    const echoes: unknown[] = []
    mesh.subscribe("foreign.heard", ({ data }) => void echoes.push(data))
    const left = new Promise<MeshEvents["leave"]>((resolve) => mesh.once("leave", resolve))
    const program = spawn(command[0], [command[1], mesh.endpoints[0]!, "foreign"], {
      cwd: `${root}examples/foreign-member`,
      env: { PATH: process.env["PATH"], PYTHONPATH: process.env["PYTHONPATH"] },
      stdio: ["ignore", "pipe", "inherit"],
    })
    t.teardown(() => program.kill("SIGKILL"))
    const ended = new Promise((resolve) => program.once("exit", resolve))
    let printed = ""
    program.stdout.setEncoding("utf8").on("data", (words: string) => (printed += words))

    const { from } = (await within("its hello", hello)) as { from: string }
    t.match(mesh.members.get(from), { name: "foreign", leaf: true, endpoints: [] })
    t.match(await mesh.publish("greetings.all", { n: 1 }, { confirm: true }), { sent: 1, confirmed: 1 })
    await mesh.publish("greetings.json", [1, "ä"], { codec: json })
    await until("both echoes", () => echoes.length === 2)
    t.same(echoes, [{ n: 1 }, [1, "ä"]])
    t.equal(
      printed,
      'heard greetings.all {"n":1}\nheard greetings.json [1,"ä"]\n'.replace(
        "ä",
        python && name === "pyzmq" ? "\\u00e4" : "ä",
      ),
    )
    t.equal(await mesh.request("foreign.add", [2, 3]), 5)
    const failed = await mesh.request("foreign.add", [2, "x"]).catch((error: unknown) => error)
    t.match(failed, { code: "REMOTE", message: "two numbers, please" })
    await mesh.flush()
    // libzmq comes back by itself, and is asked again.
    const link = hubOf(mesh).links.members.get(from)!
    link.pipe!.close()
    await until("the way back", () => link.linkNumber === 2 && link.known)
    t.equal(await mesh.request("foreign.add", [20, 3]), 23)
    t.equal(unknownOf(mesh), 0)
    program.kill("SIGTERM")
    t.match(await within("its goodbye", left), { reason: "goodbye", member: { id: from } })
    t.equal(await within("its end", ended), 0)
  })

// --- A peer of bytes ---

type Said = readonly [name: keyof typeof Kind, frames: Frames]

/** What a member of that version said in test/mesh/frozen/record.mjs. */
function recorded(version: string): Said[] {
  const lines = JSON.parse(readFileSync(`${root}test/mesh/frozen/${version}.json`, "utf8")) as string[][]
  return lines.map(([name, ...frames]) => [
    name as keyof typeof Kind,
    frames.map((each) => Buffer.from(each, "base64")),
  ])
}

/** Gives what is recorded of one kind, one after the other; `number` is written over the head's. */
function player(peer: MeshPeer, said: readonly Said[], change: (frames: Frames) => Frames[]) {
  const left = [...said]
  return (kind: keyof typeof Kind, to?: Frames): void => {
    const at = left.findIndex(([name]) => name === kind)
    if (at < 0) throw new Error(`nothing more of ${kind} is recorded`)
    const [[, frames]] = left.splice(at, 1) as [Said]
    if (to !== undefined) Buffer.from(frames[0]!.buffer, frames[0]!.byteOffset).set(to[0]!.subarray(2, 6), 2)
    for (const each of change(frames)) peer.send(...each)
  }
}

/** Everything a member takes part in. */
async function takesPart(t: Test, said: readonly Said[], change: (frames: Frames) => Frames[]): Promise<Mesh> {
  const mesh = await member(t, { network: "frozen" })
  const got: unknown[] = []
  mesh.subscribe(
    "now.plain",
    ({ data, headers }) => void got.push(data instanceof Uint8Array ? data.length : [data, headers]),
  )
  mesh.subscribe("now.work", { queue: "crew" }, ({ data }) => void got.push(data))
  mesh.serve("now.add", ([a, b]) => (a as number) + (b as number))
  let slow: AbortSignal | undefined
  mesh.serve("now.slow", (_, { signal }) => {
    slow = signal
    return new Promise(() => {})
  })
  const peer = await MeshPeer.dial(t, mesh.endpoints[0]!)
  const say = player(peer, said, change)
  await peer.next(Kind.ASK)
  say("HELLO")
  await peer.next(Kind.WELCOME)
  say("INTEREST")
  say("INTEREST")
  say("BARRIER")
  await peer.next(Kind.BARRIER)
  await until("its interest", () => mesh.members.size === 1)
  await peer.settled()
  const [info] = mesh.members.values()
  t.match(info, { name: "frozen", meta: { role: "relic" }, leaf: false })

  // Publishing, both ways.
  say("PUBLISH")
  say("PUBLISH")
  say("PUBLISH")
  t.equal((await peer.next(Kind.CONFIRM))[0]!.subarray(2).join(), "0,0,0,1")
  t.same(got, [[{ n: 1 }, { via: ["a", "b"] }], "job", 5000])
  const confirmed = mesh.publish("frozen.plain.x", 1, { confirm: true })
  say("CONFIRM", await peer.next(Kind.PUBLISH))
  t.match(await confirmed, { sent: 1, confirmed: 1 })
  t.match(await mesh.publish("frozen.work", "job"), { sent: 1 })
  t.match(String((await peer.next(Kind.PUBLISH))[0]), "crew")
  say("LOAD")
  await peer.settled()
  t.match(await mesh.publish("frozen.work", "job"), { sent: 0, dropped: 1, reasons: { busy: 1 } })
  say("LOAD")
  await peer.settled()
  t.match(await mesh.publish("frozen.work", "job"), { sent: 1 })

  // Requests, both ways.
  say("REQUEST")
  const [, reply] = await peer.next(Kind.REPLY)
  t.equal(msgpack.decode(reply!.subarray(5)), 3)
  say("REQUEST")
  const accepted = ({ 0: head }: Frames): boolean => head![0] === Kind.ACCEPT && head![5] === 2
  await until("its acceptance", () => peer.inbox.some(accepted))
  say("CANCEL")
  await until("the cancellation", () => slow?.aborted === true)
  const sum = mesh.request("frozen.add", [2, 3])
  const asked = await peer.next(Kind.REQUEST)
  say("ACCEPT", asked)
  say("REPLY", asked)
  t.equal(await sum, 5)
  const failing = mesh.request("frozen.fail").catch((error: unknown) => error)
  say("REPLY", await peer.next(Kind.REQUEST))
  t.match(await failing, { code: "REMOTE", remoteCode: "E_PROMISED", message: "as promised" })

  // Samples, both ways.
  say("SAMPLE")
  await peer.settled()
  await mesh.publish("now.sampled", "one of many")
  await peer.next(Kind.SAMPLED)
  say("SAMPLE")
  const samples = mesh.sample("frozen.sampled")[Symbol.asyncIterator]()
  const sample = samples.next()
  say("SAMPLED", await peer.next(Kind.SAMPLE))
  t.match(await within("a sample", sample), {
    value: { subject: "frozen.sampled", data: "one of many", sampled: true },
  })
  await samples.return?.()

  // The rest.
  const flushed = outcome(mesh.flush())
  say("SYNCED", await peer.next(Kind.SYNC))
  t.equal(await flushed, "done")
  say("SYNC")
  await peer.next(Kind.SYNCED)
  say("UPDATE")
  say("CENSUS")
  say("INTEREST")
  say("INTEREST")
  say("DIGEST")
  say("TAKEN")
  await peer.settled()
  t.equal((info as { meta: { mood?: string } }).meta.mood, "fine")
  t.notOk(
    peer.inbox.some(([head]) => head![0] === Kind.RESEND),
    "the digest is what it was",
  )
  const left = new Promise((resolve) => mesh.once("leave", resolve))
  say("GOODBYE")
  await peer.settled()
  await peer.socket.close()
  t.match(await within("the end", left), { reason: "goodbye" })
  return mesh
}

t.test("a member frozen at 1.0 takes part in everything", async (t) => {
  const mesh = await takesPart(t, recorded("1.0"), (frames) => [frames])
  t.equal(unknownOf(mesh), 0)
})

t.test("so does one of 1.9, and what nobody knows of it is counted", async (t) => {
  let strange = 0
  const change = ([head, ...rest]: Frames): Frames[] => {
    const kind = head![0]!
    const longer = Buffer.from([...head!, 1, 2, 3])
    const door = kind === Kind.HELLO
    longer[1]! |= 0xc0
    if (!door) strange++
    const changed = rest.map((frame) => {
      if (kind === Kind.INTEREST) {
        const ops = msgpack.decode(frame) as unknown[][]
        strange += ops.length + 1
        const later = ops.map(([add, pattern, group, flags]) => [
          add,
          pattern,
          group,
          (flags as number) | 6,
          { every: 100 },
        ])
        return msgpack.encode([...later, [7, "an operation", { of: "another kind" }]])
      }
      if (kind !== Kind.HELLO && kind !== Kind.UPDATE) return frame
      const map = msgpack.decode(frame) as { features?: string[] }
      strange += 2
      const features = map.features && { features: ["telepathy", ...map.features], version: [1, 9] }
      return msgpack.encode({ versions: [[1, 9]], mood: { of: ["many", 3] }, ...map, ...features })
    })
    if (kind === Kind.CENSUS || kind === Kind.DIGEST || kind === Kind.INTEREST)
      changed.push(Buffer.from("one frame more"))
    const unknown = [5, 39, 63, 64, 127, 255].map((each) => [Buffer.from([each, 0xff, 9]), Buffer.from("?")])
    strange += unknown.length
    return [...unknown, [longer, ...changed]]
  }
  const mesh = await takesPart(t, recorded("1.0"), change)
  t.equal(unknownOf(mesh), strange)
})
