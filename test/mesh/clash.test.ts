// A card that was cloned: two living members with one state, in one process and in two.
import { spawn } from "node:child_process"
import { copyFileSync, existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import t, { type Test } from "tap"
import type { MeshEvents } from "../../lib/mesh/events.ts"
import { Mesh, seeds, type MeshOptions } from "../../lib/mesh/index.ts"
import { Program } from "../support/netns.ts"
import { until, within } from "../support/sockets.ts"

async function member(t: Test, name: string, others: readonly Mesh[], more: MeshOptions = {}): Promise<Mesh> {
  const places = others.map(({ endpoints }) => endpoints[0]!)
  const mesh = await Mesh.join({
    name,
    network: "clash",
    listen: ["tcp://127.0.0.1:0"],
    discovery: places.length > 0 ? [seeds(...places)] : [],
    ...more,
  })
  t.teardown(() => within("the member's end", mesh.close()))
  return mesh
}

function record<Name extends keyof MeshEvents>(mesh: Mesh, name: Name): MeshEvents[Name][] {
  const seen: MeshEvents[Name][] = []
  mesh.on(name, (event) => seen.push(event))
  return seen
}

const names = (mesh: Mesh): string =>
  [...mesh.members.values()]
    .map(({ name }) => name)
    .sort()
    .join()

/** A state as it is on a card, and its copy on another. */
async function cloned(t: Test): Promise<[string, string]> {
  const folder = t.testdir({})
  const [one, two] = [join(folder, "one"), join(folder, "two")]
  await (await member(t, "factory", [], { state: one })).close()
  t.ok(existsSync(one))
  copyFileSync(one, two)
  return [one, two]
}

// Who meets whom first: the twins each other, by either's dial, or both a third.
for (const [title, firstKnows, secondKnows] of [
  ["the later boot dials the earlier", [], ["first", "other"]],
  ["both know a third only", ["other"], ["other"]],
] as const)
  for (const boots of ["one more", "as many"] as const)
    t.test(`two members from one copied state, ${title}, ${boots} boots of the second`, async (t) => {
      const [one, two] = await cloned(t)
      if (boots === "one more") await (await member(t, "before", [], { state: two })).close()
      const other = await member(t, "other", [])
      const bystander = await member(t, "bystander", [other])
      const got: string[] = []
      other.subscribe("hello", ({ from }) => void got.push(from.name))
      await bystander.ready({ subject: "hello" })
      const disturbed = [record(bystander, "gap"), record(other, "error")]
      const leaves = record(other, "leave")

      const known = { other } as Record<string, Mesh>
      const first = await member(
        t,
        "first",
        firstKnows.map((name) => known[name]!),
        { state: one },
      )
      known["first"] = first
      const clashes = [record(first, "clash")]
      const id = first.id
      if (firstKnows.length > 0) await first.ready({ members: 2 })
      const second = await member(
        t,
        "second",
        secondKnows.map((name) => known[name]!),
        { state: two },
      )
      clashes.push(record(second, "clash"))
      // Ours are the later boot's and the earlier one's names; with as many boots the larger nonce is the later.
      await until("two ids", () => first.id !== second.id)
      const [earlier, later] = first.id === id ? [first, second] : [second, first]
      if (boots === "one more") t.equal(later, second)
      t.equal(earlier.id, id, "the earlier boot keeps its id")
      t.match(later.id, /^[a-z2-7]{26}$/)
      await until("all linked", () => [first, second, other, bystander].every((mesh) => mesh.members.size === 3))
      t.equal(names(other), "bystander,first,second")
      t.equal(names(earlier), ["bystander", later.name, "other"].sort().join())
      await until("both clash events", () => clashes.every(({ length }) => length > 0))
      for (const [i, mesh] of [first, second].entries())
        t.match(clashes[i], [{ id, member: { name: mesh === first ? "second" : "first" } }], mesh.name)

      for (const mesh of [first, second, bystander]) {
        await mesh.ready({ subject: "hello" })
        t.match(await mesh.publish("hello"), { sent: 1, dropped: 0 })
      }
      await until("three messages", () => got.length === 3)
      t.strictSame(got.sort(), ["bystander", "first", "second"])
      t.match(await bystander.request(`$EARSHOT.${later.id}.PING`), { name: later.name }, "it reports under its new id")
      t.strictSame(disturbed, [[], []])
      t.notOk(
        leaves.some(({ member }) => member.name === "bystander"),
        "nobody else left",
      )
      await later.close()
      await until("its end", () => other.members.size === 2)
      t.ok(other.members.has(id))
    })

const PEER = fileURLToPath(new URL("../support/peers/mesh.mjs", import.meta.url))

interface Said {
  readonly joined?: string
  readonly id?: string
  readonly clash?: string
  readonly with?: string
}

/** A member in a process of its own, which answers by its name. */
function run(t: Test, name: string, state: string, seeds: readonly string[]): { program: Program; said: Said[] } {
  const join = { name, state, network: "clash", listen: ["tcp://127.0.0.1:0"] }
  const program = new Program(
    spawn(process.execPath, [PEER, JSON.stringify({ join, seeds, serve: ["who", `who.${name}`] })], {
      stdio: ["pipe", "pipe", "inherit"],
    }),
  )
  t.teardown(() => program.kill())
  return { program, said: program.said as Said[] }
}

t.test(
  "two processes from one copied state: killed and started anew again and again, both are there, each as itself",
  async (t) => {
    const [one, two] = await cloned(t)
    const other = await member(t, "other", [])
    const errors = record(other, "error")
    const places = [other.endpoints[0]!]
    const there = async (names: string): Promise<void> => {
      await until(
        `${names} are there`,
        () =>
          [...other.members.values()]
            .map(({ name }) => name)
            .sort()
            .join() === names,
      )
      for (const name of names.split(",")) {
        await other.ready({ subject: `who.${name}` })
        const { id } = [...other.members.values()].find((each) => each.name === name)!
        t.equal(await other.request("who", null, { to: id }), name, "the link leads to that one")
      }
    }
    const twins = { first: run(t, "first", one, places), second: run(t, "second", two, places) }
    await there("first,second")
    const id = twins.first.said.find(({ joined }) => joined !== undefined)!.id!
    for (const [name, { said }] of Object.entries(twins)) {
      await until(`${name} hears of the clash`, () => said.some(({ clash }) => clash !== undefined))
      t.match(
        said.find(({ clash }) => clash !== undefined),
        { clash: id, with: name === "first" ? "second" : "first" },
      )
    }
    t.ok(other.members.has(id), "one of them keeps the id")
    const states = { first: one, second: two }
    for (const name of ["second", "first", "first", "second"] as const) {
      await twins[name].program.kill()
      const stays = name === "first" ? "second" : "first"
      await until("it is gone", () => [...other.members.values()].every((each) => each.name !== name))
      await there(stays)
      twins[name] = run(t, name, states[name], places)
      await there("first,second")
      t.equal(new Set(other.members.keys()).size, 2)
    }
    t.strictSame(errors, [])
  },
)
