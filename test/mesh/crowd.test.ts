// Many members over TCP in one process.
import t from "tap"
import { Mesh, seeds } from "../../lib/mesh/index.ts"

const MEMBERS = 30
const STAYING = 24
/** ms between two messages of each that stays. */
const BEAT = 50
const PATIENCE = 60_000

t.test("a fifth of 30 members restarts in turn under load: those that stay miss nothing of each other", async (t) => {
  const members: Mesh[] = []
  t.teardown(() => Promise.all(members.map((member) => member.close())))
  const join = async (): Promise<Mesh> => {
    const discovery = members.length === 0 ? [] : [seeds(members[0]!.endpoints[0]!)]
    const member = await Mesh.join({ network: "crowd", listen: ["tcp://127.0.0.1:0"], discovery })
    members.push(member)
    return member
  }
  const complete = (member: Mesh): Promise<void> => member.ready({ members: MEMBERS - 1, timeout: PATIENCE })
  for (let i = 0; i < MEMBERS; i++) await join()
  await Promise.all(members.map(complete))

  const staying = members.slice(0, STAYING)
  const heard = new Map<string, number>()
  const troubles: string[] = []
  const key = (from: string, to: string): string => `${from} to ${to}`
  for (const member of staying) {
    member.on("leave", ({ member: gone }) => {
      if (staying.some(({ id }) => id === gone.id)) troubles.push("one that stays was lost")
    })
    const subscription = member.subscribe<number>("load", ({ from, data }) => {
      const pair = key(from.id, member.id)
      const last = heard.get(pair) ?? 0
      if (data !== last + 1) troubles.push(`${data} came behind ${last}`)
      heard.set(pair, data)
    })
    await subscription.ready({ timeout: PATIENCE })
  }
  let sent = 0
  const load = setInterval(() => {
    sent++
    for (const member of staying)
      void member.publish("load", sent, { echo: false }).then(({ dropped }) => {
        if (dropped > 0) troubles.push(`${dropped} dropped`)
      })
  }, BEAT)
  t.teardown(() => clearInterval(load))

  for (const going of members.slice(STAYING)) {
    members.splice(members.indexOf(going), 1)
    await going.close()
    await complete(await join())
  }
  clearInterval(load)
  await Promise.all(staying.map((member) => member.flush({ timeout: PATIENCE })))

  const counts = staying.flatMap(({ id: from }) =>
    staying.filter(({ id }) => id !== from).map(({ id: to }) => heard.get(key(from, to))),
  )
  t.same(troubles, [])
  t.equal(counts.length, STAYING * (STAYING - 1))
  t.same(new Set(counts), new Set([sent]), "every one that stays has all messages of every other")
  t.ok(sent > 10, `${sent} messages of each`)
  const there = members.map(({ id }) => id)
  for (const { id, members: others } of staying)
    t.same([id, ...others.keys()].toSorted(), there.toSorted(), "and knows those that are there, and nobody else")
})
